// An image on its way: its payloads as far as they are coded, and further ones when they are wanted.

export const CLASSIFY = "classify"; // the task of a model that does not name one
export const DETECT = "detect";

export class Upload {
  /**
   * @param {import("../device/device.js").Codec} codec
   * @param {import("./current_profile.js").CurrentProfile} current has tables, and fetches those that are missing
   * @param {number} quality
   * @param {Int16Array} values quantised coefficients
   * @param {{width: number, height: number} | null} picture the size of a picture for a detector
   * @param {number} layers of how many layers at most payloads are made before they are wanted
   */
  constructor(codec, current, quality, values, picture = null, layers = Infinity) {
    [this._codec, this._current, this._quality, this._values] = [codec, current, quality, values];
    this.picture = picture;
    this.count = current.profile.layers;
    this.payloads = codec.payloads(values, current.profile.upTo(layers), quality);
    /** The blocks of the layers that were wanted of some blocks only. */
    this.region = null;
  }

  get task() {
    return this.picture ? DETECT : CLASSIFY;
  }

  /** The bytes of the payloads so far. */
  get sizes() {
    return this.payloads.map((payload) => payload.length);
  }

  /** Whether tables have to come before the layers up to this number can be coded. */
  lacks(layers) {
    return layers > this._current.profile.encodable;
  }

  /** Code the layers up to this number; tables may have to come for them. */
  async need(layers, signal) {
    if (layers > this.payloads.length) this._code(await this._current.grow(layers, signal), this.payloads.length);
  }

  /**
   * Code the layers after the first `after` ones, up to this number, of some blocks only.
   *
   * @param {Uint8Array} mask a packed block mask, as a server sends it
   * @throws {RangeError} the mask is damaged
   */
  async needBlocks(mask, layers, after, signal) {
    const profile = await this._current.grow(layers, signal);
    this.region = this._codec.region(mask, after, profile);
    this._code(profile, after, this.region);
  }

  _code(profile, after, region) {
    const further = this._codec.furtherPayloads(this._values, profile, this._quality, after, region);
    this.payloads = [...this.payloads.slice(0, after), ...further];
  }
}
