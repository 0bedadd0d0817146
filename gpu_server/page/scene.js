// A picture with the things that were found in it: drawn, and as a list that the keyboard and screen readers reach.

import { colour, drawBlocks, drawBoxes, drawLabels, drawMasks } from "./boxes.js";
import { $, element } from "./dom.js";
import { percent } from "./words.js";

export class Scene {
  constructor(profile) {
    this._side = profile.blocks;
    this._context = $("found").getContext("2d");
    this._list = $("things");
    this._pinned = null; // the number of the thing that was chosen with a click
    this._pointed = null; // and of the one that has the focus or the pointer
    this._list.replaceChildren();
  }

  /**
   * Show a picture.
   *
   * @param {ImageData} picture
   * @param {number[]} extent how many pixels of the square it is wide and high
   * @param {{region: {blocks: Uint8Array} | null}} upload the blocks in which more was asked for
   * @param {boolean} finished whether no more is expected
   * @param {object[]} things as far as they are known, the surest first
   * @param {string} note a sentence below
   */
  show({ picture, extent: [width], upload: { region }, finished = false }, things, note) {
    [this._picture, this._width, this._region, this._things] = [picture, width, region, things];
    this._pinned = this._pointed = null;
    const { canvas } = this._context;
    if (canvas.width !== picture.width || canvas.height !== picture.height) Object.assign(canvas, { width: picture.width, height: picture.height });
    canvas.setAttribute("aria-label", things.length ? `The picture, with boxes around ${things.map(named).join(", ")}` : "The picture, without boxes");
    $("found-note").textContent = note;
    $("nothing").textContent = finished ? "Nothing was found." : "None yet.";
    this._fill();
    this._draw();
  }

  /** Draw everything again, with the chosen thing alone in full if there is one. */
  _draw() {
    const chosen = this._things[this._pointed ?? this._pinned] ?? null;
    this._context.putImageData(this._picture, 0, 0);
    if (this._region) drawBlocks(this._context, this._region.blocks, this._side, this._width);
    drawMasks(this._context, this._things, chosen);
    drawBoxes(this._context, this._things, chosen);
    drawLabels(this._context, this._things, named, chosen);
  }

  /** The list; its items stay where they are, so that the focus does while a camera films. */
  _fill() {
    const items = this._list.children;
    while (items.length > this._things.length) this._list.lastChild.remove();
    while (items.length < this._things.length) this._list.append(this._item(items.length));
    this._things.forEach((thing, i) => {
      const [button] = items[i].children;
      const [swatch, name, place] = button.children;
      button.setAttribute("aria-pressed", "false");
      swatch.style.background = colour(thing.index);
      name.textContent = named(thing);
      place.textContent = placed(thing.box);
    });
    $("nothing").hidden = this._things.length > 0;
  }

  _item(number) {
    const swatch = element("i");
    swatch.setAttribute("aria-hidden", "true");
    const parts = [swatch, element("span", { className: "name" }), element("span", { className: "place" })];
    const button = element("button", { type: "button", className: "thing" }, ...parts);
    const point = (to) => () => {
      this._pointed = to;
      this._draw();
    };
    for (const begin of ["focus", "pointerenter"]) button.addEventListener(begin, point(number));
    for (const end of ["blur", "pointerleave"]) button.addEventListener(end, point(null));
    button.addEventListener("click", () => this._pin(number));
    return element("li", {}, button);
  }

  _pin(number) {
    this._pinned = this._pinned === number ? null : number;
    this._pointed = null;
    [...this._list.children].forEach((item, i) => item.firstChild.setAttribute("aria-pressed", String(i === this._pinned)));
    this._draw();
  }
}

/** A thing as it is called. */
export function named({ label, probability }) {
  return `${label} ${percent(probability)}`;
}

/** Where a box is, in words: which part of the picture its middle is in, and its size. */
function placed([left, top, right, bottom]) {
  const part = (middle, names) => names[Math.min(2, Math.floor(3 * middle))];
  const row = part((top + bottom) / 2, ["top", "middle", "bottom"]);
  const column = part((left + right) / 2, ["left", "centre", "right"]);
  return `${row} ${column}, ${percent(right - left)} wide and ${percent(bottom - top)} high`;
}
