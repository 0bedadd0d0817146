/** What went wrong at the server or on the way to it. */
export class OvertoneError extends Error {
  /**
   * @param {string} code the name of a gRPC status, as in docs/protocol.md
   * @param {string} message
   * @param {{status?: number, retryAfter?: number | null, cause?: unknown}} more the HTTP status, 0 without a reply;
   *     the seconds after which the server wants to be asked again, if it said so
   */
  constructor(code, message, { status = 0, retryAfter = null, cause } = {}) {
    super(message, { cause });
    this.name = "OvertoneError";
    this.code = code;
    this.status = status;
    this.retryAfter = retryAfter;
  }
}
