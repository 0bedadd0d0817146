// The server over REST, and its refusals in sentences.

import { CurrentProfile } from "./client/current_profile.js";
import { OvertoneError } from "./client/error.js";
import { exchange, PAYLOADS, read } from "./client/rest.js";
import { pause } from "./client/time.js";
import { join } from "./device/payload.js";
import * as link from "./link.js";

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

  /** The card of the served model, its bytes as sent, and as much of its profile as the first layer takes. */
  async describe() {
    const profile = new CurrentProfile((query) => this._get(`/v1/profile?${new URLSearchParams(query)}`));
    const [card, current] = await Promise.all([this._get("/v1/model"), inSentences(profile.open(1))]);
    const text = await card.text();
    // A proxy may leave out the length.
    const cardBytes = Number(card.headers.get("content-length")) || new TextEncoder().encode(text).length;
    return { card: JSON.parse(text), cardBytes, current };
  }

  /** Fetch the tables of so many layers, as far as they are missing. */
  async fetchTables(current, layers, signal) {
    return inSentences(current.grow(layers, signal));
  }

  /** Metrics as text, or null if they are not for everybody. */
  async metrics() {
    const response = await fetch("/metrics", { headers: this._headers() });
    return response.ok ? response.text() : null;
  }

  /** Wait until the server is ready. */
  async back(signal) {
    for (let wait = 500; ; wait = Math.min(2 * wait, 5000)) {
      await pause(wait, signal);
      const response = await fetch("/readyz", { signal }).catch(() => null);
      signal.throwIfAborted();
      if (response?.ok) return;
    }
  }

  /**
   * The answer to an image, sending layers as planned and as the server asks for them.
   *
   * @param {import("./client/conversation.js").Conversation} conversation
   * @param {{point: string, top: number, link: object, signal: AbortSignal}} options
   * @param {{sending: Function, fetching: Function, asked: Function}} told `sending(layers, bytes)` while bytes leave,
   *     `fetching(layers)` when tables have to come for what is wanted after so many layers, and `asked(soFar, layers)`
   */
  async answer(conversation, options, told) {
    const post = (path, size, payloads, known) =>
      this._held(`${path}?${query(options, size)}`, join(payloads), options, (bytes) =>
        told.sending([known, known + payloads.length], bytes),
      );
    return inSentences(exchange(conversation, post, { signal: options.signal, ...told }));
  }

  /** What a detector has found in the first so many layers of a picture; no link holds this back. */
  async look({ payloads, picture }, count, options) {
    const path = `/v1/detect?${query(options, picture)}`;
    return inSentences(read(await this._post(path, join(payloads.slice(0, count)), options.signal)));
  }

  async _held(path, body, { link: chosen, signal }, sending) {
    await link.up(chosen, body.length, signal, sending);
    const response = await this._post(path, body, signal);
    await link.down(chosen, (await response.clone().arrayBuffer()).byteLength, signal);
    return response;
  }

  /** A response with all of its body. */
  async _post(path, body, signal) {
    const headers = { ...this._headers(), "content-type": PAYLOADS };
    const response = await fetch(path, { method: "POST", headers, body, signal }).catch((error) => unreachable(error, signal));
    const content = await response.arrayBuffer().catch((error) => unreachable(error, signal));
    return new Response(content, { status: response.status, headers: response.headers });
  }

  async _get(path) {
    const response = await fetch(path, { headers: this._headers() }).catch(unreachable);
    if (!response.ok) await inSentences(read(response));
    return response;
  }

  _headers() {
    return this._token ? { authorization: `Bearer ${this._token}` } : {};
  }
}

function query({ top, point }, size) {
  return new URLSearchParams({ top, ...(point && { operating_point: point }), ...size });
}

function unreachable(error, signal) {
  signal?.throwIfAborted();
  throw new Failure("away", "The server cannot be reached. This page tries again until it is back.");
}

/** What the client's code gives, with its errors as failures. */
async function inSentences(result) {
  try {
    return await result;
  } catch (error) {
    throw error instanceof OvertoneError ? failure(error) : error;
  }
}

function failure({ status, message, retryAfter }) {
  const wait = retryAfter ?? 1;
  switch (status) {
    case 401:
      return new Failure("token", "The server does not know this token.");
    case 409:
      return new Failure("profile", "The server has changed its model.");
    case 429:
      return new Failure("busy", `The server is busy, and asks to try again in ${wait} s.`, wait);
    case 502:
    case 503:
    case 504:
      return new Failure("away", `The server is not ready (${message}). This page tries again until it is.`, wait);
    default:
      return new Failure("refused", `The server refuses this image: ${message}`);
  }
}
