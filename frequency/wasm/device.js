// A device in JavaScript: pixels to the payloads of layers, byte for byte those of the Python package.

import { analysis, offsets, synthesis } from "./dct.js";
import { checksum, concatenated, header } from "./payload.js";

const GOOD = 0;
const PAGE = 65536;
// All layers are of all blocks.
const EVERYWHERE = { packed: undefined, blocks: null, after: Infinity };

/** The codec of coder.c, block_mask.c and image.c, compiled to WebAssembly. */
export class Codec {
  constructor(instance) {
    this._c = instance.exports;
    this._begin = this._c.__heap_base.value;
  }

  /** The codec of a module's bytes, or of a response that brings them. */
  static async load(source) {
    const response = typeof Response !== "undefined" && source instanceof Response;
    const loaded = await (response ? WebAssembly.instantiateStreaming(source) : WebAssembly.instantiate(source));
    return new Codec(loaded.instance);
  }

  /**
   * The part of an RGBA image between (left, top) and (right, bottom) as RGB of size x size, as Pillow resizes it with
   * BICUBIC.
   */
  resized({ data, width, height }, [left, top, right, bottom], size) {
    const side = Math.max(right - left, bottom - top);
    const room = this._room();
    const from = room.put(data);
    const work = room.take(this._c.overtone_fit_workspace(height, side, size));
    const to = room.take(3 * size * size);
    this._c.overtone_fit(from, width, height, left, top, right, bottom, size, work, to);
    return this._bytes(to, 3 * size * size).slice();
  }

  /** A whole RGBA image in a letter box, as RGB of size x size; `boxed` says where it lies. */
  letterBoxed({ data, width, height }, size) {
    const room = this._room();
    const from = room.put(data);
    const work = room.take(this._c.overtone_letter_box_workspace(width, height, size));
    const to = room.take(3 * size * size);
    this._c.overtone_letter_box(from, width, height, size, work, to);
    return this._bytes(to, 3 * size * size).slice();
  }

  /** The quantised coefficients int16[C * h * w] of RGB of the profile's size. */
  quantised(rgb, profile, quality) {
    const { channels, size, blocks } = profile;
    const threshold = profile.threshold(quality);
    const room = this._room();
    const from = room.put(rgb);
    const matrix = room.put(analysis(channels));
    const offset = room.put(offsets(channels));
    const steps = room.put(profile.knownSteps(quality, profile.layers));
    const to = room.take(2 * channels.length * blocks * blocks);
    const dead = threshold === 0.5 ? 0 : 1 - threshold;
    this._c.overtone_quantise(from, size, channels.length, matrix, offset, steps, dead, to);
    return new Int16Array(this._c.memory.buffer, to, channels.length * blocks * blocks).slice();
  }

  /** The payloads of quantised coefficients, of all layers that the profile has tables for. */
  payloads(values, profile, quality) {
    const later = this.furtherPayloads(values, profile, quality, 1);
    const sizes = Array.from({ length: profile.layers - 1 }, (_, i) => later[i]?.length ?? 0);
    return [this._payload(values, 0, profile, quality, sizes), ...later];
  }

  /** Those after the first so many layers, which may be of a region. */
  furtherPayloads(values, profile, quality, after, region) {
    const layers = Array.from({ length: Math.max(0, profile.encodable - after) }, (_, i) => after + i);
    return layers.map((layer) => this._payload(values, layer, profile, quality, [], region));
  }

  /**
   * Some blocks of an image, as a packed mask says which, for the layers after the first `after` ones; `blocks` has a 1
   * for each of them.
   *
   * @throws {RangeError} the mask is damaged or of another size, or there is no such layer
   */
  region(packed, after, profile) {
    const side = profile.blocks;
    const room = this._room();
    const from = room.put(packed);
    const to = room.take(side * side);
    const layered = after >= 1 && after <= profile.layers;
    if (!layered || this._c.overtone_unpack_mask(from, packed.length, side, side, to) !== GOOD)
      throw new RangeError("no region of this image");
    return { packed, after, blocks: this._bytes(to, side * side).slice() };
  }

  /** RGBA of the image as the first so many layers tell it, of which some may be of a region. */
  picture(values, profile, quality, layers, region = EVERYWHERE) {
    const known = knownValues(values, profile, layers, region);
    const channels = profile.channels.slice(0, profile.count(layers));
    const bytes = 4 * profile.size * profile.size;
    const room = this._room();
    const from = room.put(known);
    const matrix = room.put(synthesis(channels));
    const steps = room.put(profile.knownSteps(quality, layers));
    const to = room.take(bytes);
    this._c.overtone_picture(from, profile.blocks, channels.length, matrix, steps, to);
    return new Uint8ClampedArray(this._bytes(to, bytes));
  }

  _payload(values, layer, profile, quality, sizes, region = EVERYWHERE) {
    const id = profile.id.match(/../g).map((hex) => parseInt(hex, 16));
    const below = knownValues(values, profile, layer, region);
    const [begin, end] = profile.channelsOf(layer).map((number) => number * profile.blocks ** 2);
    const coded = knownValues(values, profile, layer + 1, region).slice(begin, end);
    const check = checksum(layer, quality, id, sizes, [below, coded], region.packed);
    const plan = profile.plan(layer, quality);
    const body = this._body(plan, profile.blocks, below, coded, check & 0xffff, region.blocks);
    return concatenated([header(layer, quality, check, id, sizes, region.packed), body]);
  }

  _body(plan, side, known, coded, check, blocks) {
    const room = this._room();
    const layer = room.take(20);
    const needs = room.take(16);
    const at = room.put(plan);
    const allBlocks = 0;
    const some = blocks ? room.put(blocks) : allBlocks;
    this._words(layer, 5).set([at, plan.length, side, side, some]);
    this._succeed(this._c.overtone_measure(layer, needs));
    const [, , workspace, most] = this._words(needs, 4);
    const below = room.put(known);
    const values = room.put(coded);
    const work = room.take(workspace);
    const body = room.take(most);
    const size = room.take(4);
    this._succeed(this._c.overtone_encode(layer, below, values, check, work, body, size));
    return this._bytes(body, this._words(size, 1)[0]).slice();
  }

  _succeed(status) {
    if (status === GOOD) return;
    const at = this._c.overtone_message(status);
    const memory = new Uint8Array(this._c.memory.buffer);
    throw new Error(new TextDecoder().decode(memory.slice(at, memory.indexOf(0, at))));
  }

  _bytes(at, count) {
    return new Uint8Array(this._c.memory.buffer, at, count);
  }

  _words(at, count) {
    return new Uint32Array(this._c.memory.buffer, at, count);
  }

  /** Memory from the heap's beginning on; what an earlier call had there is gone. */
  _room() {
    let next = this._begin;
    const take = (bytes) => {
      const at = next;
      next = Math.ceil((at + bytes) / 16) * 16;
      const missing = next - this._c.memory.buffer.byteLength;
      if (missing > 0) this._c.memory.grow(Math.ceil(missing / PAGE));
      return at;
    };
    const put = (array) => {
      const at = take(array.byteLength);
      this._bytes(at, array.byteLength).set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
      return at;
    };
    return { take, put };
  }
}

/**
 * What the first so many layers tell of quantised coefficients, in multiples of their factors; in blocks outside a region
 * that is what the layers of all blocks tell, 0 where there is none of them.
 */
export function knownValues(values, profile, layers, region = EVERYWHERE) {
  const factors = profile.factors(layers);
  const everywhere = profile.factors(Math.min(layers, region.after));
  const blocks = profile.blocks ** 2;
  const split = profile.low.length * blocks;
  const told = values.slice(0, profile.count(layers) * blocks);
  for (let i = 0; i < told.length; i++) {
    const band = i < split ? "low" : "high";
    const inside = !region.blocks || region.blocks[i % blocks];
    const factor = inside ? factors[band] : everywhere[band];
    told[i] = factor && nearest(told[i], factor) * (factor / factors[band]);
  }
  return told;
}

function nearest(value, factor) {
  return Math.floor((value + (factor >> 1)) / factor);
}

/** The square of an image that a profile's size shows, as `pixels.fit` takes it: [left, top, right, bottom]. */
export function box(width, height, size) {
  const short = roundHalfEven((size * 8) / 7);
  const scale = short / Math.min(width, height);
  const wide = Math.max(short, roundHalfEven(width * scale));
  const high = Math.max(short, roundHalfEven(height * scale));
  const [left, top] = [(wide - size) / 2, (high - size) / 2];
  return [(left * width) / wide, (top * height) / high, ((left + size) * width) / wide, ((top + size) * height) / high];
}

/** [width, height] in pixels of a whole image in the upper left corner of a square, as `LetterBox.content`. */
export function boxed(width, height, size) {
  const longest = Math.max(width, height);
  return [width, height].map((side) => Math.max(1, Math.floor((2 * side * size + longest) / (2 * longest))));
}

function roundHalfEven(value) {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 ? floor + 1 : floor;
}
