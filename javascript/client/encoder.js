// Pixels to the payloads of layers.

import { box, Codec } from "../device/device.js";
import { Picture } from "./picture.js";

const MODULE = new URL("../device/overtone.wasm", import.meta.url);
let loading = null;

/** Encodes images for one profile. */
export class Encoder {
  /**
   * @param {import("../device/device.js").Codec} codec
   * @param {import("../device/profile.js").Profile} profile
   */
  constructor(codec, profile) {
    this._codec = codec;
    this.profile = profile;
  }

  /** An encoder with the module that comes with this package, which is loaded once. */
  static async load(profile) {
    loading ??= codec().catch((error) => {
      loading = null;
      throw error;
    });
    return new Encoder(await loading, profile);
  }

  /**
   * The payloads of all layers of an image; its centre is cropped and resized as every device does it.
   *
   * @param {Uint8Array | Uint8ClampedArray} rgba four bytes a pixel, row by row; the last one is not looked at
   * @returns {Uint8Array[]}
   */
  encode(rgba, width, height, quality = this.profile.quality) {
    const { _codec: codec, profile } = this;
    const image = checked(rgba, width, height);
    const rgb = codec.resized(image, box(width, height, profile.size), profile.size);
    return codec.payloads(codec.quantised(rgb, profile, quality), profile, quality);
  }

  /**
   * A whole picture in a letter box, as detectors want it.
   *
   * @param {Uint8Array | Uint8ClampedArray} rgba as for `encode`
   * @returns {Picture}
   */
  picture(rgba, width, height, quality = this.profile.quality) {
    const { _codec: codec, profile } = this;
    const rgb = codec.letterBoxed(checked(rgba, width, height), profile.size);
    return new Picture(codec, profile, quality, codec.quantised(rgb, profile, quality), width, height);
  }
}

function checked(data, width, height) {
  if (!(width > 0 && height > 0 && data.length === 4 * width * height))
    throw new RangeError(`an image of ${width} by ${height} pixels has ${4 * width * height} bytes, not ${data.length}`);
  return { data, width, height };
}

async function codec() {
  if (MODULE.protocol !== "file:") return Codec.load(await fetch(MODULE));
  // fetch of Node does not read files, and bundlers for browsers need not follow this.
  const { readFile } = await import(/* webpackIgnore: true */ /* @vite-ignore */ "node:fs/promises");
  return Codec.load(await readFile(MODULE));
}
