// The requests about one image, and what can be learned from them about the link.

import { Observation } from "./observation.js";
import { DETECT } from "./upload.js";

const IMAGES = "/v1/images";
// Where all layers are there, nothing can be asked for.
const AT_ONCE = { classify: "/v1/classify", detect: "/v1/detect" };

export class Conversation {
  /**
   * @param {import("./upload.js").Upload} upload
   * @param {import("./policy.js").PlanSelector} selector plans it, and learns from it
   */
  constructor(upload, selector) {
    this.upload = upload;
    /** How many layers go in the first request. */
    this.together = selector.plan(upload.sizes, { inRegions: upload.task === DETECT });
    this._selector = selector;
    this._ends = [];
    this._replies = [];
    this._sentAgain = false;
  }

  /** Where so many layers are posted, further ones with the token that asked for them. */
  path(layers, token) {
    if (token) return `${IMAGES}/${encodeURIComponent(token)}/layers`;
    return layers < this.upload.count ? IMAGES : AT_ONCE[this.upload.task];
  }

  /** The payloads from one layer to another, which are sent now. */
  send(from, to) {
    const { payloads, sizes } = this.upload;
    if (from < this._ends.length) this._sentAgain = true;
    else this._ends.push(...Array(to - from).fill(this._selector.link.sent(sum(sizes.slice(from, to)), now())));
    return payloads.slice(from, to);
  }

  /** The server asks for layers up to this number. */
  asked(layers) {
    this._replied(layers);
  }

  /** The server has answered. */
  answered({ layers, stage, timings }) {
    if (this._sentAgain) return;
    this._replied(layers);
    const { together, _replies: replies, _ends: ends } = this;
    const sizes = Array.from({ length: this.upload.count }, (_, i) => this.upload.sizes[i] ?? 0);
    const server = (timings.queue_ms + timings.compute_ms) / 1000;
    this._selector.observe(new Observation({ together, sizes, replies, ends, server, stage }));
  }

  _replied(layers) {
    this._replies.push({ at: now(), layers, sent: sum(this.upload.sizes.slice(0, this._ends.length)) });
  }
}

function now() {
  return performance.now() / 1000;
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}
