// The server over REST, as docs/protocol.md describes it, and its refusals in sentences.

import { join } from "./device/payload.js";
import { Profile } from "./device/profile.js";
import * as link from "./link.js";

const PAYLOADS = "application/vnd.overtone";
const TOKEN = "overtone-token";

/** What went wrong, as a sentence. Its kind says what helps: "away", "busy", "token", "profile" or "refused". */
export class Failure extends Error {
  constructor(kind, sentence, retryAfter = 1) {
    super(sentence);
    this.kind = kind;
    this.retryAfter = retryAfter;
  }
}

export class Server {
  constructor() {
    this._token = sessionStorage.getItem(TOKEN) ?? "";
  }

  /** Show this token from now on; it is kept for as long as the tab. */
  use(token) {
    this._token = token;
    sessionStorage.setItem(TOKEN, token);
  }

  /** The card and the profile of the served model. */
  async describe() {
    const [card, profile] = await Promise.all([this._get("/v1/model"), this._get("/v1/profile")]);
    const id = /[0-9a-f]{8}/.exec(profile.headers.get("etag") ?? "")?.[0] ?? "";
    return { card: await card.json(), profile: new Profile(await profile.json(), id) };
  }

  /** Metrics as text, or null if they are not for everybody. */
  async metrics() {
    const response = await fetch("/metrics", { headers: this._headers() });
    return response.ok ? response.text() : null;
  }

  /** Wait until the server is ready. */
  async back(signal) {
    for (let wait = 500; ; wait = Math.min(2 * wait, 5000)) {
      await link.pause(wait, signal);
      const response = await fetch("/readyz", { signal }).catch(() => null);
      signal.throwIfAborted();
      if (response?.ok) return;
    }
  }

  /**
   * The answer to an image, sending layers as the server asks for them.
   *
   * @param {Uint8Array[]} payloads of all layers
   * @param {{point: string, top: number, link: object, signal: AbortSignal}} options
   * @param {{sending: Function, asked: Function}} told `sending(layers, bytes, of)` while bytes leave, and
   *     `asked(soFar, layers)` when more is wanted
   */
  async classify(payloads, options, told) {
    const query = new URLSearchParams({ top: options.top });
    if (options.point) query.set("operating_point", options.point);
    let [known, wanted, token, again] = [0, 1, "", false];
    for (;;) {
      const path = token ? `/v1/images/${encodeURIComponent(token)}/layers` : "/v1/images";
      const parts = payloads.slice(known, wanted);
      const response = await this._post(`${path}?${query}`, join(parts), options, (bytes, of) =>
        told.sending([known, wanted], bytes, of),
      );
      if ((response.status === 404 || response.status === 410) && token && !again) {
        [known, token, again] = [0, "", true]; // the server has forgotten what came before
        continue;
      }
      const body = await read(response);
      if (response.status !== 202) return body;
      if (!(body.layers > wanted && body.layers <= payloads.length))
        throw new Failure("refused", "The server asks for layers that this image does not have.");
      [known, wanted, token] = [wanted, body.layers, body.token];
      told.asked(body.so_far, known);
    }
  }

  async _post(path, body, { link: chosen, signal }, sending) {
    await link.up(chosen, body.length, signal, (bytes) => sending(bytes, body.length));
    const headers = { ...this._headers(), "content-type": PAYLOADS };
    const response = await fetch(path, { method: "POST", headers, body, signal }).catch((error) => unreachable(error, signal));
    const content = await response.arrayBuffer().catch((error) => unreachable(error, signal));
    await link.down(chosen, content.byteLength, signal);
    return new Response(content, { status: response.status, headers: response.headers });
  }

  async _get(path) {
    const response = await fetch(path, { headers: this._headers() }).catch(unreachable);
    if (!response.ok) await read(response);
    return response;
  }

  _headers() {
    return this._token ? { authorization: `Bearer ${this._token}` } : {};
  }
}

function unreachable(error, signal) {
  signal?.throwIfAborted();
  throw new Failure("away", "The server cannot be reached. This page tries again until it is back.");
}

async function read(response) {
  const body = await response.json().catch(() => null);
  if (response.ok && body) return body;
  const said = body?.error?.message ?? `HTTP ${response.status}`;
  const wait = Number(response.headers.get("retry-after")) || 1;
  switch (response.status) {
    case 401:
      throw new Failure("token", "The server does not know this token.");
    case 409:
      throw new Failure("profile", "The server has changed its model.");
    case 429:
      throw new Failure("busy", `The server is busy, and asks to try again in ${wait} s.`, wait);
    case 502:
    case 503:
    case 504:
      throw new Failure("away", `The server is not ready (${said}). This page tries again until it is.`, wait);
    default:
      throw new Failure("refused", `The server refuses this image: ${said}`);
  }
}
