// Pixels to the payloads of layers.

import { box, Codec } from "../device/device.js";

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
    if (!(width > 0 && height > 0 && rgba.length === 4 * width * height))
      throw new RangeError(`an image of ${width} by ${height} pixels has ${4 * width * height} bytes, not ${rgba.length}`);
    const rgb = codec.resized({ data: rgba, width, height }, box(width, height, profile.size), profile.size);
    return codec.payloads(codec.quantised(rgb, profile, quality), profile, quality);
  }
}

async function codec() {
  if (MODULE.protocol !== "file:") return Codec.load(await fetch(MODULE));
  // fetch of Node does not read files, and bundlers for browsers need not follow this.
  const { readFile } = await import(/* webpackIgnore: true */ /* @vite-ignore */ "node:fs/promises");
  return Codec.load(await readFile(MODULE));
}
