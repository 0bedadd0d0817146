// The task of a detector on the page: the whole picture in a letter box, and the things in it.

import { Upload } from "./client/upload.js";
import { boxed } from "./device/device.js";
import { $ } from "./dom.js";
import { rivalsOf, shown } from "./images.js";
import { named, Scene } from "./scene.js";
import { percent } from "./words.js";
import { View } from "./view.js";

export class Things {
  constructor(codec, current) {
    const { profile } = current;
    [this._codec, this._current, this._profile] = [codec, current, profile];
    this.view = new View(profile, "the whole picture");
    this._scene = new Scene(profile);
    [$("best").hidden, $("scene").hidden] = [true, false];
  }

  /** A picture as it is sent, of which so many layers are coded at first, and what the server will see of it. */
  code(rgba, layers) {
    const { _codec: codec, _profile: profile } = this;
    const { width, height } = rgba;
    const rgb = codec.letterBoxed(rgba, profile.size);
    const values = codec.quantised(rgb, profile, profile.quality);
    const upload = new Upload(codec, this._current, profile.quality, values, { width, height }, layers);
    const extent = boxed(width, height, profile.size);
    const coded = { upload, original: shown(rgb, profile.size), extent, values, picture: rgba };
    coded.pictures = this._pictures(coded);
    return coded;
  }

  /** Bytes of the same picture as other formats, at half the resolution, which holds as much detail as all layers do. */
  async rivals(rgba) {
    const size = this._profile.size / 2;
    const [width, height] = boxed(rgba.width, rgba.height, size);
    const square = shown(this._codec.letterBoxed(rgba, size), size);
    return { ...(await rivalsOf(square, width, height)), what: `the same picture at ${width} × ${height} pixels` };
  }

  begin(coded, filming) {
    this._latest = coded;
    if (!filming) this._scene.show(coded, [], "");
  }

  /**
   * More is wanted after so many layers, perhaps in some blocks only. A detector that asks for more does not say what it
   * has found so far; `look` asks for that.
   */
  asked(coded, known, _, point, look) {
    const where = coded.upload.region ? `in ${percent(this._share(coded))} of the picture` : "everywhere";
    coded.pictures = this._pictures(coded);
    coded.pictures.forEach((picture, layer) => layer >= known && this.view.picture(layer, picture));
    this.view.remark(known - 1, `in doubt ${where}`);
    if (!look) return "…";
    this._scene.show(coded, [], `The server asks for overtones ${where}.`);
    look().then(({ detections }) => {
      if (coded !== this._latest) return;
      this.view.boxes(known - 1, detections);
      this.view.remark(known - 1, `${counted(detections)} so far, in doubt ${where}`);
      if (!coded.finished) this._scene.show(coded, detections, `After layer ${known}; the server asks for overtones ${where}.`);
    }, () => {}); // nothing depends on it
    return "…";
  }

  finish(coded, answer) {
    const { detections, layers } = answer;
    coded.finished = true;
    this.view.boxes(layers - 1, detections);
    this.view.remark(layers - 1, counted(detections));
    this._scene.show(coded, detections, this._note(coded, answer));
  }

  title({ detections }) {
    const counts = new Map();
    for (const { label } of detections) counts.set(label, 1 + (counts.get(label) ?? 0));
    const names = Array.from(counts, ([label, count]) => (count > 1 ? `${count} × ${label}` : label));
    return names.join(", ") || "Nothing found";
  }

  sureness({ confident }) {
    return confident ? "Nothing left in doubt after" : "Not certain, after";
  }

  said({ detections }) {
    return detections.length ? `${counted(detections)}: ${detections.map(named).join(", ")}` : "Nothing found";
  }

  _note(coded, { layers, stage }) {
    if (stage === "brownout") return "The server was too busy to ask for overtones.";
    if (layers === 1) return "No box was in doubt after the first layer.";
    if (!coded.upload.region) return "Overtones were sent of the whole picture.";
    return `Overtones were sent of the blocks that are outlined, ${percent(this._share(coded))} of the picture.`;
  }

  /** The share of the picture's blocks that are wanted. */
  _share({ upload: { region }, extent: [width, height] }) {
    const blocks = Math.ceil(width / 8) * Math.ceil(height / 8);
    return Math.min(1, region.blocks.reduce((sum, block) => sum + block, 0) / blocks);
  }

  _pictures({ values, upload: { region } }) {
    const { _codec: codec, _profile: profile } = this;
    return profile.ladder.map(
      (_, layer) => new ImageData(codec.picture(values, profile, profile.quality, layer + 1, region ?? undefined), profile.size, profile.size),
    );
  }
}

function counted(detections) {
  return detections.length === 1 ? "1 thing" : `${detections.length} things`;
}
