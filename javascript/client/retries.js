// When something is tried again, as edge_client/retry.py does it and docs/protocol.md explains.

import { pause } from "./time.js";

// Milliseconds before an image that no server answered is sent again: at first, and at most. They double each time.
const FIRST_PAUSE = 50;
const LONGEST_PAUSE = 5000;
// With less time left than this, nothing is tried again.
const TOO_LATE = 20;

export class Retries {
  /** @param {number} deadline on the clock of `performance.now()` */
  constructor(deadline) {
    this._deadline = deadline;
    this._tries = 0;
  }

  /** Wait until it is time to try again; throws `error` itself if there is no time, or it would only come again. */
  async pause(error, signal) {
    const asked = error.retryAfter ? 1000 * error.retryAfter : null;
    const wait = this._wait(error.code, asked);
    const left = this._deadline - performance.now();
    if (wait === null || (asked ?? TOO_LATE) >= left) throw error;
    await pause(Math.min(wait, asked === null ? left / 2 : left), signal);
  }

  _wait(code, asked) {
    const busy = code === "RESOURCE_EXHAUSTED";
    if (code !== "UNAVAILABLE" && !(busy && asked !== null)) return null;
    const backoff = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** Math.min(this._tries++, 30));
    // No sooner than asked, but not all at the same moment either.
    if (asked === null) return backoff * between(0.5, 1);
    return (busy ? Math.max(asked, backoff) : asked) * between(1, 1.1);
  }
}

function between(least, most) {
  return least + (most - least) * Math.random();
}
