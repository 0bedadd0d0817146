// The task of a classifier on the page: the square in the middle of an image, and what it shows.

import { Upload } from "./client/upload.js";
import { box } from "./device/device.js";
import { $ } from "./dom.js";
import { rivalsOf, shown } from "./images.js";
import { percent } from "./words.js";
import { View } from "./view.js";

const RIVAL_SIZE = 112;

export class Classes {
  constructor(codec, current) {
    const { profile } = current;
    [this._codec, this._current, this._profile] = [codec, current, profile];
    this.view = new View(profile, "the square that is looked at");
    [$("best").hidden, $("scene").hidden] = [false, true];
  }

  /** An image as it is sent, and what the server will see of it. */
  code(rgba) {
    const { _codec: codec, _profile: profile } = this;
    const rgb = this._fitted(rgba, profile.size);
    const values = codec.quantised(rgb, profile, profile.quality);
    const upload = new Upload(codec, this._current, profile.quality, values);
    const pictures = profile.ladder.map(
      (_, layer) => new ImageData(codec.picture(values, profile, profile.quality, layer + 1), profile.size, profile.size),
    );
    const original = shown(rgb, profile.size);
    return { upload, original, pictures, extent: [profile.size, profile.size] };
  }

  /** Bytes of the same square as other formats. */
  async rivals(rgba) {
    const square = shown(this._fitted(rgba, RIVAL_SIZE), RIVAL_SIZE);
    return { ...(await rivalsOf(square)), what: `the same square at ${RIVAL_SIZE} pixels` };
  }

  begin(_, filming) {
    if (!filming) this.view.top([]);
  }

  /** More is wanted after so many layers; the name of what the server thinks so far. */
  asked(coded, known, { label, confidence }, point) {
    this.view.thought(known - 1, label, confidence, point);
    return label;
  }

  finish(coded, answer, point) {
    this.view.thought(answer.layers - 1, answer.label, answer.confidence, point);
    this.view.top(answer.top);
  }

  /** The answer in a word. */
  title({ label }) {
    return label;
  }

  /** How sure it is, for the line above. */
  sureness({ confidence }) {
    return `${percent(confidence)} sure, after`;
  }

  /** The same for a screen reader. */
  said({ label, confidence }) {
    return `${label}, ${Math.round(100 * confidence)} percent sure`;
  }

  _fitted(rgba, size) {
    return this._codec.resized(rgba, box(rgba.width, rgba.height, size), size);
  }
}
