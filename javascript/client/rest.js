// The REST interface of docs/protocol.md: what is asked for, and what responses mean. Its users do the sending.

import { Profile } from "../device/profile.js";
import { OvertoneError } from "./error.js";

export const PAYLOADS = "application/vnd.overtone";
export const CLASSIFY = "classify"; // the task of a model that does not name one
export const DETECT = "detect";
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
 * @param {Uint8Array[] | import("./picture.js").Picture} image the payloads of all layers, or for a detector a picture
 * @param {(path: string, query: object, payloads: Uint8Array[], known: number) => Promise<Response>} post sends the
 *     payloads after so many known ones
 * @param {(soFar: object, layers: number, payloads: Uint8Array[]) => void} asked is told when more is wanted after so many
 *     layers, with what the payloads are now
 * @returns {Promise<object>} the answer
 * @throws {OvertoneError} there is none, or the model is for another task
 */
export async function exchange(image, post, asked = () => {}) {
  const picture = Array.isArray(image) ? null : image;
  let payloads = picture ? picture.layers : image;
  let [known, wanted, token] = [0, 1, ""];
  for (;;) {
    const path = token ? `/v1/images/${encodeURIComponent(token)}/layers` : "/v1/images";
    const size = picture && !token ? { width: picture.width, height: picture.height } : {};
    const response = await post(path, size, payloads.slice(known, wanted), known);
    if (token && LOST.has(response.status)) {
      [known, token] = [0, ""];
      continue;
    }
    const body = await read(response);
    check(picture ? DETECT : CLASSIFY, response.status === ACCEPTED ? taskAsking(body) : body.task);
    if (response.status !== ACCEPTED) return body;
    if (!(body.layers > wanted && body.layers <= payloads.length))
      throw new OvertoneError("INTERNAL", "the server asks for layers that there are not", { status: ACCEPTED });
    [known, wanted, token] = [wanted, body.layers, body.token];
    if (body.blocks) payloads = ofBlocks(picture, body.blocks, known);
    asked(body.so_far, known, payloads);
  }
}

/** The task of a model that asks for more: only a classifier says what it thinks so far. */
function taskAsking(body) {
  return body.so_far ? CLASSIFY : DETECT;
}

function check(wanted, task = CLASSIFY) {
  if (task === wanted) return;
  throw new OvertoneError("INVALID_ARGUMENT", `the server's model is for the task ${task}, and this was to ${wanted}`);
}

/** The payloads of a picture whose layers after the known ones are of the blocks that a server asks for. */
function ofBlocks(picture, blocks, known) {
  try {
    return picture.region(Uint8Array.from(atob(blocks), (letter) => letter.charCodeAt(0)), known);
  } catch (cause) {
    throw new OvertoneError("INTERNAL", "the server asks for blocks that cannot be read", { status: ACCEPTED, cause });
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
