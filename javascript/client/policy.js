// Which layers go together in the first request. edge_client/policy.py derives the arithmetic, and has the same numbers;
// over REST, where nothing can follow a request, its plans are the first k layers together.

import { LinkEstimator } from "./link_estimator.js";
import { NeedEstimator } from "./need_estimator.js";

export const POLICIES = ["auto", "on_demand", "at_once"];
// Seconds that a byte may cost: it stands for energy, air time and money.
const BYTE_SECONDS = 50e-6;
// The share of payload bytes that may be wasted, over many images.
const UNASKED = 1 / 8;
const MAX_EXPONENT = 20;
const REQUEST_BYTES = 220; // of a further request, beside the payload
const RECENT = 16; // images of which the server's time is known

/**
 * How many layers to send together, for the lowest price.
 *
 * @param {{sizes: number[], shares: number[], rate: number, roundTrip: number, compute: number}} costs bytes of layers,
 *     shares of images that need more than 0, 1, ... of them, bytes a second, and seconds
 * @param {number} debt bytes that were wasted beyond the limit
 */
export function best(costs, debt = 0) {
  const prices = costs.sizes.map((_, i) => price(costs, i + 1, debt));
  return 1 + prices.indexOf(Math.min(...prices));
}

/** What is made least, in seconds. */
function price({ sizes, shares, rate, roundTrip, compute }, together, debt) {
  const expected = (value) => sizes.reduce((total, _, i) => total + (shares[i] - (shares[i + 1] ?? 0)) * value(i + 1), 0);
  const carried = (layers) => sum(sizes.slice(0, layers)) / rate;
  const asked = (layers) => Math.max(0, layers - together);
  const seconds = expected((layers) => {
    const judged = carried(Math.max(together, layers)) + layers * compute;
    return (1 + asked(layers)) * roundTrip + judged;
  });
  const framing = REQUEST_BYTES * expected(asked);
  const wasted = rate * expected((layers) => Math.max(0, carried(together) - carried(layers)));
  const dear = BYTE_SECONDS * Math.exp(Math.min(MAX_EXPONENT, debt / sum(sizes)));
  return seconds + framing * (1 / rate + BYTE_SECONDS) + wasted * (1 / rate + dear);
}

/** Selects for each image how many layers are sent together, and learns the link and the model from what it observes. */
export class PlanSelector {
  /**
   * @param {string} policy one of `POLICIES`
   * @param {{exitShare?: number | null, link?: object}} options the share of images that the first layer answers, as the
   *     model's card gives it; the link, if it need not be estimated
   * @throws {TypeError} there is no such policy
   */
  constructor(policy, { exitShare = null, link = new LinkEstimator() } = {}) {
    if (!POLICIES.includes(policy)) throw new TypeError(`no policy ${policy}: choose from ${POLICIES.join(", ")}`);
    this._policy = policy;
    this.link = link;
    this.expect(exitShare);
    this._serverSeconds = [];
    this._debt = 0;
  }

  /** Start from the share of images that the first layer answers, as a card gives it; null without a card. */
  expect(exitShare) {
    this._needs = new NeedEstimator(exitShare);
  }

  /** The shares of images that need more than 0, 1, ... of so many layers. */
  shares(layers) {
    return this._needs.shares(layers);
  }

  /**
   * How many layers of these sizes go first.
   *
   * Where the server asks for further layers in some blocks only, those of all blocks are not worth it.
   */
  plan(sizes, { inRegions = false } = {}) {
    if (this._policy === "at_once") return sizes.length;
    const { rate, roundTrip } = this.link;
    if (this._policy === "on_demand" || inRegions || rate === null) return 1;
    return best({ sizes, shares: this.shares(sizes.length), rate, roundTrip, compute: this._compute }, this._debt);
  }

  /** Learn from an image that was answered, an observation of conversation.js. */
  observe(seen) {
    this._debt = Math.max(0, this._debt + seen.wasted - UNASKED * seen.sent);
    this._needs.observe(seen);
    if (seen.judgements === 1) this._serverSeconds = [...this._serverSeconds, seen.server].slice(-RECENT);
    for (const [end, at] of seen.trips(this._compute)) this.link.replied(end, at);
  }

  get _compute() {
    return this._serverSeconds.length ? median(this._serverSeconds) : 0;
  }
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}
