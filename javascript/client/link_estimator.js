// What a device learns about its link, by the arithmetic of edge_client/link_estimator.py; only what REST needs of it.

const WINDOW = 32; // replies that are remembered
const MESSAGES = 256;
const ENOUGH = 4; // with fewer replies nothing is estimated
// Bounds in bytes a second, and what is assumed before anything is known.
const [FASTEST, SLOWEST, FIRST_RATE] = [125e6, 50, 32_000];
const COARSE = spaced(1 / FASTEST, 1 / SLOWEST, 64);
const NEAR = spaced(1 / 1.25, 1.25, 33);
const [FINE, REFINEMENTS] = [33, 2];

/** Estimates a link from what was sent over it and when the server replied; all times are seconds of one clock. */
export class LinkEstimator {
  constructor() {
    this._messages = []; // of each, when it was sent, and how many bytes had been sent up to its end
    this._replies = [];
    [this._sent, this._start] = [0, 0];
    this._freeBefore = -Infinity; // when the queue was empty of what came before the first message
    this._estimate = null; // seconds per byte, and the round trip
    this._outdated = false;
  }

  /** Bytes a second towards the server; null as long as it is unknown. */
  get rate() {
    this._update();
    return this._estimate && 1 / this._estimate.perByte;
  }

  /** Seconds of a round trip of a message without bytes; 0 as long as it is unknown. */
  get roundTrip() {
    this._update();
    return this._estimate?.roundTrip ?? 0;
  }

  /** Record that so many bytes are sent; the result is the offset at which they end. */
  sent(size, now) {
    this._sent += size;
    this._messages.push({ when: now, end: this._sent });
    if (this._messages.length > MESSAGES) this._forgetMessage();
    return this._sent;
  }

  /** Record when the first reply came, less the server's time, to the message that ends at an offset. */
  replied(end, at) {
    this._replies = [...this._replies, { end, at }].slice(-WINDOW);
    this._outdated = true;
    const oldest = Math.min(...this._replies.map((reply) => reply.end));
    while (this._messages.length && this._messages[0].end < oldest) this._forgetMessage();
  }

  _forgetMessage() {
    const { when, end } = this._messages.shift();
    this._freeBefore = Math.max(when, this._freeBefore) + (end - this._start) * (this._estimate?.perByte ?? 1 / FIRST_RATE);
    this._start = end;
  }

  _update() {
    if (!this._outdated || !this._messages.length) return;
    this._outdated = false;
    const replies = this._replies.filter(({ end }) => end > this._start);
    const sizes = this._messages.map(({ end }, i) => end - (this._messages[i - 1]?.end ?? this._start));
    if (replies.length >= ENOUGH && new Set(sizes).size > 1) this._estimate = this._fit(replies);
  }

  /** The estimate for which the round trips differ least: among those over all decades, and near the last one. */
  _fit(replies) {
    let best = this._best(replies, COARSE, REFINEMENTS);
    if (this._estimate) {
      const near = this._best(replies, NEAR.map((factor) => factor * this._estimate.perByte), REFINEMENTS - 1);
      if (near.loss < best.loss) best = near;
    }
    return best;
  }

  _best(replies, tried, refinements) {
    const losses = tried.map((perByte) => this._loss(replies, perByte));
    const i = losses.reduce((least, { loss }, number) => (loss < losses[least].loss ? number : least), 0);
    if (!refinements) return losses[i];
    const [low, high] = [tried[Math.max(0, i - 1)], tried[Math.min(tried.length - 1, i + 1)]];
    return this._best(replies, spaced(low, high, FINE), refinements - 1);
  }

  /** By how much round trips differ from their median, if a byte takes so many seconds. */
  _loss(replies, perByte) {
    const left = this._departures(perByte);
    const trips = replies.map(({ end, at }) => at - left.get(end)).sort((a, b) => a - b);
    const middle = (trips[(trips.length - 1) >> 1] + trips[trips.length >> 1]) / 2;
    const loss = trips.reduce((sum, trip) => sum + Math.abs(trip - middle), 0);
    return { loss, perByte, roundTrip: Math.max(0, middle) };
  }

  /** When each message has left the queue, by the offset at which it ends. */
  _departures(perByte) {
    let [free, before] = [this._freeBefore, this._start];
    return new Map(
      this._messages.map(({ when, end }) => {
        free = Math.max(free, when) + perByte * (end - before);
        before = end;
        return [end, free];
      }),
    );
  }
}

/** Numbers of equal ratios from one to another. */
function spaced(from, to, count) {
  return Array.from({ length: count }, (_, i) => from * (to / from) ** (i / (count - 1)));
}
