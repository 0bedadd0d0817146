// The REST interface of docs/protocol.md: what is asked for, and what responses mean. Its users do the sending.

import { Profile } from "../device/profile.js";
import { unpackPart } from "../device/profile_part.js";
import { OvertoneError } from "./error.js";
import { CLASSIFY, DETECT } from "./upload.js";

export const PAYLOADS = "application/vnd.overtone";
const PART = "application/vnd.overtone.profile";
const [ACCEPTED, CHANGED] = [202, 409];
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
 * Send an image: the first layers as planned, and others as the server asks for them; from the first one on again if it
 * has forgotten them.
 *
 * @param {import("./conversation.js").Conversation} conversation
 * @param {(path: string, size: object, payloads: Uint8Array[], known: number) => Promise<Response>} post sends the
 *     payloads after so many known ones
 * @param {{signal?: AbortSignal, fetching?: (layers: number) => void, asked?: (soFar: object, layers: number) => void}} options
 *     `fetching` is told when more is wanted after so many layers, and tables have to come for it; `asked` is told when it
 *     has been coded
 * @returns {Promise<object>} the answer
 * @throws {OvertoneError} there is none, or the model is for another task
 */
export async function exchange(conversation, post, { signal, fetching = () => {}, asked = () => {} } = {}) {
  const { upload, together } = conversation;
  let [known, wanted, token] = [0, together, ""];
  await upload.need(together, signal);
  for (;;) {
    const path = conversation.path(wanted, token);
    const response = await post(path, (!token && upload.picture) || {}, conversation.send(known, wanted), known);
    if (token && LOST.has(response.status)) {
      [known, token] = [0, ""];
      continue;
    }
    const body = await read(response);
    check(upload.task, response.status === ACCEPTED ? taskAsking(body) : body.task);
    if (response.status !== ACCEPTED) {
      conversation.answered(body);
      return body;
    }
    if (!(body.layers > wanted && body.layers <= upload.count))
      throw new OvertoneError("INTERNAL", "the server asks for layers that there are not", { status: ACCEPTED });
    conversation.asked(body.layers);
    [known, wanted, token] = [wanted, body.layers, body.token];
    if (upload.lacks(wanted)) fetching(known);
    await (body.blocks ? needBlocks(upload, body, known, signal) : upload.need(wanted, signal));
    asked(body.so_far, known);
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

/** Code the layers after the known ones of the blocks that a server asks for. */
async function needBlocks(upload, { blocks, layers }, known, signal) {
  try {
    await upload.needBlocks(Uint8Array.from(atob(blocks), (letter) => letter.charCodeAt(0)), layers, known, signal);
  } catch (cause) {
    if (!(cause instanceof RangeError || cause.name === "InvalidCharacterError")) throw cause;
    throw new OvertoneError("INTERNAL", "the server asks for blocks that cannot be read", { status: ACCEPTED, cause });
  }
}

/**
 * The profile that a response to `GET /v1/profile` brings: a part of it, with what was known `before`, or from a server of
 * an earlier version all of it.
 */
export async function profileOf(response, before = null) {
  if (response.headers.get("content-type") !== PART) return wholeProfileOf(response);
  const id = idOf(response);
  if (before && id !== before.id) throw new OvertoneError("FAILED_PRECONDITION", "the server has changed its model", { status: CHANGED });
  try {
    return unpackPart(new Uint8Array(await response.arrayBuffer()), before);
  } catch (cause) {
    throw new OvertoneError("INTERNAL", `the server's profile cannot be used (${cause.message})`, { cause });
  }
}

async function wholeProfileOf(response) {
  const fields = await read(response);
  const id = idOf(response);
  if (!id) throw new OvertoneError("INTERNAL", "the profile came without its id, the entity tag of the response");
  return new Profile(fields, id);
}

function idOf(response) {
  return /[0-9a-f]{8}/.exec(response.headers.get("etag") ?? "")?.[0];
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
