// What can be chosen on the page: a link to feel, when layers are sent, and the operating point.

import { $, element } from "./dom.js";
import { LINKS } from "./link.js";
import { exitShare, guarantee, pointsOf } from "./points.js";
import { POLICIES } from "./sending.js";

export class Settings {
  /** @param {import("./sending.js").Sending} sending is told what it has to know */
  constructor(sending) {
    this._sending = sending;
    offer("links", "link", LINKS, "none", (id) => this._chooseLink(LINKS[id]));
    offer("policies", "policy", POLICIES, sending.policy, (id) => this._choosePolicy(id));
    $("point").addEventListener("input", () => this._choosePoint());
  }

  /** Offer the operating points of a card that hold for a quality. */
  offerPoints(card, quality) {
    [this._card, this._points] = [card, pointsOf(card, quality)];
    const start = this._points.findIndex(({ name }) => name === card.operating_point);
    Object.assign($("point"), { max: this._points.length - 1, value: Math.max(0, start), disabled: this._points.length < 2 });
    this._choosePoint();
  }

  _chooseLink(link) {
    this.link = link;
    $("link-note").textContent =
      link.up === Infinity
        ? "Nothing is held back. Choose a link to feel what a device on it would."
        : `${link.about}: ${link.up / 1000} kbit/s and ${1000 * link.rtt} ms there and back. Each layer is held back for as long as this link would have carried it.`;
  }

  _choosePolicy(policy) {
    this._sending.policy = policy;
    $("policy-note").textContent = POLICIES[policy].about;
  }

  _choosePoint() {
    this.point = this._points[Number($("point").value)];
    $("point-name").textContent = this.point.name;
    $("point").setAttribute("aria-valuetext", this.point.name);
    $("point-note").textContent = guarantee(this.point, this._card);
    this._sending.expect(exitShare(this.point));
  }
}

/** Choices beside each other, of which one holds. */
function offer(place, name, choices, chosen, choose) {
  const offered = Object.entries(choices).map(([id, choice]) => {
    const input = element("input", { type: "radio", name, value: id, checked: id === chosen });
    input.addEventListener("change", () => choose(id));
    return element("label", {}, input, element("span", { textContent: choice.name }));
  });
  $(place).replaceChildren(...offered);
  choose(chosen);
}
