// A device: images in, answers out.

import { join } from "../device/payload.js";
import { Encoder } from "./encoder.js";
import { OvertoneError } from "./error.js";
import { exchange, PAYLOADS, profileOf, read } from "./rest.js";
import { Retries } from "./retries.js";
import { within } from "./time.js";

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
   */
  constructor(url, { token = "", operatingPoint = "", model = "", quality, top = 1, timeout = 10_000 } = {}) {
    if (!/^https?:$/.test(new URL(url).protocol)) throw new TypeError(`the address must be http:// or https://, not ${url}`);
    this._url = String(url).replace(/\/+$/, "");
    this._headers = token ? { authorization: `Bearer ${token}` } : {};
    this._model = new URLSearchParams(model ? { model } : {});
    this._query = new URLSearchParams({ top, ...(operatingPoint && { operating_point: operatingPoint }), ...(model && { model }) });
    this._quality = quality;
    this._timeout = timeout;
    this._encoder = null;
  }

  /** The card of the server's model. */
  async card({ signal } = {}) {
    return within(this._timeout, signal, async (limit) => read(await this._get(`/v1/model?${this._model}`, limit)));
  }

  /** The profile for which the server wants images to be encoded; it is fetched once. */
  async profile({ signal } = {}) {
    return within(this._timeout, signal, async (limit) => (await this._current(limit)).profile);
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
    return this._within(signal, (encoder) => encoder.encode(rgba, width, height, this._quality));
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
    return this._within(signal, (encoder) => encoder.picture(rgba, width, height, this._quality));
  }

  _within(signal, encode) {
    return within(this._timeout, signal, (limit, deadline) => this._answer(encode, new Retries(deadline), limit));
  }

  /** The answer to what an encoder makes of an image: a list of payloads, or a picture for a detector. */
  async _answer(encode, retries, signal) {
    let [encoder, image, problem, renewed] = [null, null, null, false];
    const sent = { bytes: 0 };
    for (;;)
      try {
        if (problem?.code === "UNAVAILABLE") await this._probe(signal);
        const current = await this._current(signal);
        if (current !== encoder) [encoder, image] = [current, encode(current)];
        return { ...(await this._send(image, sent, signal)), bytesSent: sent.bytes };
      } catch (error) {
        problem = error;
        if (error.status === WRONG_PROFILE && !renewed) {
          renewed = true;
          if (this._encoder === encoder) this._encoder = null;
        } else await retries.pause(error, signal);
      }
  }

  /** Find out with a few bytes whether a server is there again, because payloads are dear. */
  async _probe(signal) {
    const response = await this._get("/readyz", signal);
    if (AWAY.has(response.status)) await read(response);
  }

  /** The encoder for the server's profile. */
  async _current(signal) {
    if (!this._encoder) {
      const profile = await profileOf(await this._get(`/v1/profile?${this._model}`, signal));
      this._encoder = await Encoder.load(profile);
    }
    return this._encoder;
  }

  _send(image, sent, signal) {
    const post = (path, size, payloads) => {
      for (const payload of payloads) sent.bytes += payload.length;
      const query = new URLSearchParams([...this._query, ...Object.entries(size)]);
      const options = { method: "POST", body: join(payloads), headers: { "content-type": PAYLOADS } };
      return this._request(`${path}?${query}`, options, signal);
    };
    return exchange(image, post);
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
