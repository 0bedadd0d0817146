// A device: images in, answers out.

import { join } from "../device/payload.js";
import { Conversation } from "./conversation.js";
import { CurrentProfile } from "./current_profile.js";
import { loadedCodec, quantised, quantisedPicture } from "./encoder.js";
import { OvertoneError } from "./error.js";
import { PlanSelector } from "./policy.js";
import { exchange, PAYLOADS, profileOf, read } from "./rest.js";
import { Retries } from "./retries.js";
import { raced, within } from "./time.js";
import { Upload } from "./upload.js";

const WRONG_PROFILE = 409;
// Those that come from a proxy without a server, or from a server that is not ready.
const AWAY = new Set([502, 503, 504]);

/** Classifies images, or finds things in pictures, at one server. */
export class Client {
  /**
   * @param {string | URL} url http:// or https://, with host and port
   * @param {object} options
   * @param {string} [options.token] a bearer token, where the server asks for one
   * @param {string} [options.operatingPoint] one of the model's card; without it the card's default
   * @param {string} [options.model] NAME or NAME:VERSION, where the server has several
   * @param {number} [options.quality] a quality of the profile; without it the profile's default
   * @param {number} [options.top] how many classes an answer carries
   * @param {number} [options.timeout] milliseconds for one image, retries included
   * @param {string} [options.policy] `auto` measures the link and chooses for each image how many layers go together in the
   *     first request; `on_demand` sends the first one alone; `at_once` all of them
   */
  constructor(url, options = {}) {
    const { token = "", operatingPoint = "", model = "", quality, top = 1, timeout = 10_000, policy = "auto" } = options;
    if (!/^https?:$/.test(new URL(url).protocol)) throw new TypeError(`the address must be http:// or https://, not ${url}`);
    this._url = String(url).replace(/\/+$/, "");
    this._headers = token ? { authorization: `Bearer ${token}` } : {};
    this._model = new URLSearchParams(model ? { model } : {});
    this._query = new URLSearchParams({ top, ...(operatingPoint && { operating_point: operatingPoint }), ...(model && { model }) });
    this._quality = quality;
    this._timeout = timeout;
    this._selector = new PlanSelector(policy);
    this._layersAtFirst = policy === "at_once" ? 0 : 1;
    [this._opened, this._opening] = [null, null];
  }

  /** The card of the server's model. */
  async card({ signal } = {}) {
    return within(this._timeout, signal, async (limit) => read(await this._get(`/v1/model?${this._model}`, limit)));
  }

  /** The whole profile for which the server wants images to be encoded, of which this client needs a part only. */
  async profile({ signal } = {}) {
    return within(this._timeout, signal, async (limit) => profileOf(await this._get(`/v1/profile?${this._model}`, limit)));
  }

  /** Fetch the tables of the first so many layers, or of all, which otherwise come when they are wanted. */
  async fetchTables(layers, { signal } = {}) {
    await within(this._timeout, signal, async (limit) => {
      const current = await this._current(limit);
      await current.grow(layers ?? current.profile.layers, limit);
    });
  }

  /**
   * The answer to an image, sending layers as the server asks for them.
   *
   * It is sent again while no server can be reached or one is busy, for as long as the client's time limit lasts.
   *
   * @param {Uint8Array | Uint8ClampedArray} rgba four bytes a pixel, row by row
   * @param {{signal?: AbortSignal}} options
   * @throws {OvertoneError} there was no answer in time, or the server refuses the image
   */
  async classify(rgba, width, height, { signal } = {}) {
    return this._within(signal, (codec, current, quality) =>
      new Upload(codec, current, quality, quantised(codec, current.profile, quality, rgba, width, height)));
  }

  /**
   * What is in a picture and where, of a server whose model is a detector; it asks for further layers in some blocks only.
   *
   * It is sent again as `classify` does it.
   *
   * @param {Uint8Array | Uint8ClampedArray} rgba four bytes a pixel, row by row
   * @param {{signal?: AbortSignal}} options
   * @throws {OvertoneError} there was no answer in time, or the server refuses the picture
   */
  async detect(rgba, width, height, { signal } = {}) {
    return this._within(signal, (codec, current, quality) => {
      const values = quantisedPicture(codec, current.profile, quality, rgba, width, height);
      return new Upload(codec, current, quality, values, { width, height }, this._layersAtFirst || Infinity);
    });
  }

  _within(signal, encode) {
    return within(this._timeout, signal, (limit, deadline) => this._answer(encode, new Retries(deadline), limit));
  }

  /** The answer to what is made of an image. */
  async _answer(encode, retries, signal) {
    const codec = await loadedCodec();
    let [profile, upload, problem, renewed] = [null, null, null, false];
    const sent = { bytes: 0 };
    for (;;)
      try {
        if (problem?.code === "UNAVAILABLE") await this._probe(signal);
        const current = await this._current(signal);
        if (current !== profile) [profile, upload] = [current, encode(codec, current, this._quality ?? current.profile.quality)];
        return { ...(await this._send(upload, sent, signal)), bytesSent: sent.bytes };
      } catch (error) {
        problem = error;
        if (error.status === WRONG_PROFILE && !renewed) {
          renewed = true;
          if (this._opened === profile) this._opened = null;
        } else await retries.pause(error, signal);
      }
  }

  /** Find out with a few bytes whether a server is there again, because payloads are dear. */
  async _probe(signal) {
    const response = await this._get("/readyz", signal);
    if (AWAY.has(response.status)) await read(response);
  }

  /** What is known of the server's profile; it is asked for once, however many wait for it. */
  async _current(signal) {
    if (this._opened) return this._opened;
    this._opening ??= this._open().finally(() => (this._opening = null));
    return raced(this._opening, signal);
  }

  async _open() {
    const get = (query) => {
      const asked = new URLSearchParams([...Object.entries(query), ...this._model]);
      return within(this._timeout, undefined, (limit) => this._get(`/v1/profile?${asked}`, limit));
    };
    this._opened = await new CurrentProfile(get, this._quality).open(this._layersAtFirst);
    return this._opened;
  }

  _send(upload, sent, signal) {
    const post = (path, size, payloads) => {
      for (const payload of payloads) sent.bytes += payload.length;
      const query = new URLSearchParams([...this._query, ...Object.entries(size)]);
      const options = { method: "POST", body: join(payloads), headers: { "content-type": PAYLOADS } };
      return this._request(`${path}?${query}`, options, signal);
    };
    return exchange(new Conversation(upload, this._selector), post, { signal });
  }

  _get(path, signal) {
    return this._request(path, {}, signal);
  }

  /** A response with all of its body, so that a connection that breaks does it here. */
  async _request(path, { headers, ...options }, signal) {
    try {
      const response = await fetch(this._url + path, { ...options, headers: { ...this._headers, ...headers }, signal });
      return new Response(await response.arrayBuffer(), { status: response.status, headers: response.headers });
    } catch (error) {
      signal.throwIfAborted();
      throw new OvertoneError("UNAVAILABLE", `${this._url} cannot be reached (${error.cause?.message ?? error.message})`, { cause: error });
    }
  }
}
