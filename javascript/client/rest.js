// The REST interface of docs/protocol.md: what is asked for, and what responses mean. Its users do the sending.

import { join } from "../device/payload.js";
import { Profile } from "../device/profile.js";
import { OvertoneError } from "./error.js";

export const PAYLOADS = "application/vnd.overtone";
const ACCEPTED = 202;
// The server no longer has the layers that came before.
const LOST = new Set([404, 410]);
// For errors of a proxy, which are not in the server's JSON.
const CODES = {
  400: "INVALID_ARGUMENT",
  401: "UNAUTHENTICATED",
  403: "PERMISSION_DENIED",
  409: "FAILED_PRECONDITION",
  413: "INVALID_ARGUMENT",
  429: "RESOURCE_EXHAUSTED",
  502: "UNAVAILABLE",
  503: "UNAVAILABLE",
  504: "UNAVAILABLE",
};

/**
 * Send an image layer by layer, as the server asks for them; from the first one on again if it has forgotten them.
 *
 * @param {Uint8Array[]} payloads of all layers
 * @param {(path: string, body: Uint8Array, layers: [number, number]) => Promise<Response>} post sends the layers after
 *     the first number, up to the second
 * @param {(soFar: object, layers: number) => void} asked is told when more is wanted after so many layers
 * @returns {Promise<Response>} the response that ends it, an answer or a refusal
 */
export async function exchange(payloads, post, asked = () => {}) {
  let [known, wanted, token] = [0, 1, ""];
  for (;;) {
    const path = token ? `/v1/images/${encodeURIComponent(token)}/layers` : "/v1/images";
    const response = await post(path, join(payloads.slice(known, wanted)), [known, wanted]);
    if (token && LOST.has(response.status)) {
      [known, token] = [0, ""];
      continue;
    }
    if (response.status !== ACCEPTED) return response;
    const body = await read(response);
    if (!(body.layers > wanted && body.layers <= payloads.length))
      throw new OvertoneError("INTERNAL", "the server asks for layers that there are not", { status: ACCEPTED });
    [known, wanted, token] = [wanted, body.layers, body.token];
    asked(body.so_far, known);
  }
}

/** The profile that a response to `GET /v1/profile` brings. */
export async function profileOf(response) {
  const fields = await read(response);
  const id = /[0-9a-f]{8}/.exec(response.headers.get("etag") ?? "")?.[0];
  if (!id) throw new OvertoneError("INTERNAL", "the profile came without its id, the entity tag of the response");
  return new Profile(fields, id);
}

/**
 * The JSON object in a response.
 *
 * @throws {OvertoneError} it is a refusal, or no object
 */
export async function read(response) {
  const { status, headers } = response;
  const body = await response.json().catch(() => null);
  if (response.ok && body) return body;
  const code = body?.error?.code ?? CODES[status] ?? "INTERNAL";
  const retryAfter = Number(headers.get("retry-after")) || null;
  throw new OvertoneError(code, body?.error?.message ?? `HTTP ${status}`, { status, retryAfter });
}
