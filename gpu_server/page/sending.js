// When layers are sent: the policy, what it knows of each link, and why it has chosen as it did.

import { Conversation } from "./client/conversation.js";
import { LinkEstimator } from "./client/link_estimator.js";
import { PlanSelector } from "./client/policy.js";
import { DETECT } from "./client/upload.js";
import { duration, percent } from "./words.js";

export const POLICIES = {
  auto: {
    name: "Auto",
    about: "Layers go together where asking for them would take longer than sending them; over many images at most an eighth of the bytes is wasted on that.",
  },
  on_demand: { name: "On demand", about: "The first layer goes alone, and others when the server asks for them." },
  at_once: { name: "At once", about: "All layers go together, whether or not the server needs them." },
};

export class Sending {
  constructor() {
    this.policy = "auto";
    this._exitShare = null;
    this.forget();
  }

  /** Forget what was learned, for another model for example. */
  forget() {
    this._selectors = new Map();
  }

  /** Start from the share of images that the first layer answers; null where no card gives it. */
  expect(exitShare) {
    this._exitShare = exitShare;
    for (const selector of this._selectors.values()) selector.expect(exitShare);
  }

  /** How many layers are to be coded before it is known which are wanted. */
  layersAtFirst(profile) {
    return this.policy === "at_once" ? profile.layers : 1;
  }

  /** The requests about an image over a link, planned; and why they are planned so. */
  conversation(upload, link) {
    const selector = this._selector(link);
    const conversation = new Conversation(upload, selector);
    return { conversation, why: this._why(conversation, selector) };
  }

  /** What is known of a link that is played, and learned of the real connection. */
  _selector(link) {
    const key = `${this.policy} ${link.name}`;
    if (!this._selectors.has(key)) {
      const known = { rate: link.up / 8, roundTrip: link.rtt, sent: () => 0, replied: () => {} };
      const played = link.up !== Infinity;
      this._selectors.set(key, new PlanSelector(this.policy, { exitShare: this._exitShare, link: played ? known : new LinkEstimator() }));
    }
    return this._selectors.get(key);
  }

  _why({ upload, together }, selector) {
    const { link } = selector;
    const { payloads, task, count } = upload;
    if (this.policy !== "auto") return POLICIES[this.policy].about;
    if (task === DETECT) return "The first layer goes alone: of a picture, others are wanted in some blocks only.";
    if (payloads.length === 1 && count > 1) return "The first layer goes alone: the tables for others come when the server first asks for one.";
    if (link.rate === null) return "The first layer goes alone until this page has measured the connection, which takes a few images.";
    const trip = `asking takes ${duration(link.roundTrip)}`;
    const needed = (layer) => `${percent(selector.shares(count)[layer - 1])} of images need layer ${layer}`;
    if (together === 1) return `The first layer goes alone: ${trip}, and ${needed(2)}, so to send that unasked would cost more than it saves.`;
    return `${first(together, count)} go together: ${needed(together)}, and ${trip}.`;
  }
}

/** The first so many layers of all. */
export function first(together, count) {
  if (together === 1) return "The first layer";
  if (together === count) return `All ${count} layers`;
  return together === 2 ? "The first two layers" : `The first ${together} layers`;
}
