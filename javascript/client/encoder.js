// Pixels to the payloads of layers.

import { box, Codec } from "../device/device.js";
import { Picture } from "./picture.js";

const MODULE = new URL("../device/overtone.wasm", import.meta.url);
let loading = null;

/** The codec with the module that comes with this package, which is loaded once. */
export async function loadedCodec() {
  loading ??= codec().catch((error) => {
    loading = null;
    throw error;
  });
  return loading;
}

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
    return new Encoder(await loadedCodec(), profile);
  }

  /**
   * The payloads of all layers of an image; its centre is cropped and resized as every device does it.
   *
   * @param {Uint8Array | Uint8ClampedArray} rgba four bytes a pixel, row by row; the last one is not looked at
   * @returns {Uint8Array[]}
   */
  encode(rgba, width, height, quality = this.profile.quality) {
    return this._codec.payloads(quantised(this._codec, this.profile, quality, rgba, width, height), this.profile, quality);
  }

  /**
   * A whole picture in a letter box, as detectors want it.
   *
   * @param {Uint8Array | Uint8ClampedArray} rgba as for `encode`
   * @returns {Picture}
   */
  picture(rgba, width, height, quality = this.profile.quality) {
    const values = quantisedPicture(this._codec, this.profile, quality, rgba, width, height);
    return new Picture(this._codec, this.profile, quality, values, width, height);
  }
}

/** The quantised coefficients of an image's centre. */
export function quantised(codec, profile, quality, rgba, width, height) {
  const rgb = codec.resized(checked(rgba, width, height), box(width, height, profile.size), profile.size);
  return codec.quantised(rgb, profile, quality);
}

/** Those of a whole picture in a letter box. */
export function quantisedPicture(codec, profile, quality, rgba, width, height) {
  return codec.quantised(codec.letterBoxed(checked(rgba, width, height), profile.size), profile, quality);
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
