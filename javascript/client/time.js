// Pauses and time limits, which end early with a signal.

import { OvertoneError } from "./error.js";

/** Wait; it ends early, with an error, when the signal does. */
export async function pause(milliseconds, signal) {
  signal?.throwIfAborted();
  if (milliseconds <= 0) return;
  await new Promise((resolve, reject) => {
    const timer = setTimeout(done, milliseconds);
    function done() {
      signal?.removeEventListener("abort", abort);
      resolve();
    }
    function abort() {
      clearTimeout(timer);
      reject(signal.reason);
    }
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/** What `work(signal, deadline)` gives. Its signal ends with `outer`, or when so many milliseconds have passed. */
export async function within(milliseconds, outer, work) {
  outer?.throwIfAborted();
  const limit = new AbortController();
  const abort = () => limit.abort(outer.reason);
  outer?.addEventListener("abort", abort, { once: true });
  const late = new OvertoneError("DEADLINE_EXCEEDED", `no answer within ${milliseconds / 1000} s`);
  const timer = setTimeout(() => limit.abort(late), milliseconds);
  try {
    return await work(limit.signal, performance.now() + milliseconds);
  } finally {
    clearTimeout(timer);
    outer?.removeEventListener("abort", abort);
  }
}

/** What a promise gives; it ends early, with an error, when the signal does, and whatever it is of goes on. */
export async function raced(promise, signal) {
  signal?.throwIfAborted();
  let abort;
  const aborted = new Promise((_, reject) => {
    abort = () => reject(signal.reason);
    signal?.addEventListener("abort", abort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}
