// A whole picture as detectors want it: its layers, and further ones of some blocks only.

/** The payloads of one picture at one quality. */
export class Picture {
  /**
   * @param {import("../device/device.js").Codec} codec
   * @param {import("../device/profile.js").Profile} profile
   * @param {Int16Array} values its quantised coefficients
   * @param {number} width and height in pixels before it was put into the square
   */
  constructor(codec, profile, quality, values, width, height) {
    this._codec = codec;
    this._profile = profile;
    this._quality = quality;
    this._values = values;
    this.width = width;
    this.height = height;
    /** The payloads of all layers, of all blocks. */
    this.layers = codec.payloads(values, profile, quality);
  }

  /**
   * The payloads of all layers: the first `after` ones as they are, the others of some blocks only.
   *
   * @param {Uint8Array} mask a packed block mask, as a server sends it
   * @returns {Uint8Array[]}
   * @throws {RangeError} the mask is damaged, or there is no such layer
   */
  region(mask, after = 1) {
    const region = this._codec.region(mask, after, this._profile);
    const further = this._codec.furtherPayloads(this._values, this._profile, this._quality, after, region);
    return [...this.layers.slice(0, after), ...further];
  }
}
