// LZMA2 without a container, in which parts of profiles come: as in the specification of LZMA, with lc, lp and pb 0.

const [HALF, BITS, MOVE, TOP] = [1024, 11, 5, 2 ** 24];
const LITERAL = 7; // states below it follow a literal
const FULL_SLOTS = 14; // slots of distances from here on have bits without a model
const ALIGNED = 4;
const SHORTEST = 2;

/**
 * What raw LZMA2 was made of.
 *
 * @param {Uint8Array} packed
 * @param {number} most the most bytes that it may be
 * @throws {RangeError} it is damaged, has other properties, or is of more bytes
 */
export function inflated(packed, most) {
  const window = { bytes: new Uint8Array(most), size: 0 };
  let [at, decoder] = [0, null];
  const word = () => (take(packed, at++) << 8) | take(packed, at++);
  for (let control; (control = take(packed, at++)); ) {
    if (control < 0x80) {
      require(control < 3);
      const size = word() + 1;
      write(window, packed.subarray(at, at + size), size);
      at += size;
      continue;
    }
    const size = (((control & 0x1f) << 16) | word()) + 1;
    const end = word() + 1;
    const reset = (control >> 5) & 3; // 1: the state, 2: the properties as well, 3: and the dictionary
    if (reset > 1) require(take(packed, at++) === 0);
    if (reset) decoder = new Decoder(window);
    require(decoder && window.size + size <= most);
    decoder.decode(new Range(packed.subarray(at, at + end)), window.size + size);
    at += end;
  }
  require(at === packed.length);
  return window.bytes.slice(0, window.size);
}

/** The state that chunks share: probabilities, and the last four distances. */
class Decoder {
  constructor(window) {
    this._window = window;
    this._state = 0;
    this._distances = [0, 0, 0, 0];
    [this._match, this._rep, this._rep0, this._rep1, this._rep2, this._long] = Array.from({ length: 6 }, () => model(12));
    this._literals = model(0x300);
    this._slots = Array.from({ length: 4 }, () => model(64));
    this._special = model(115);
    this._align = model(16);
    [this._length, this._repLength] = [lengths(), lengths()];
  }

  decode(range, end) {
    const window = this._window;
    while (window.size < end)
      if (!range.bit(this._match, this._state)) this._put(this._literal(range));
      else this._copy(this._pair(range), end);
  }

  _literal(range) {
    const probabilities = this._literals;
    let symbol = 1;
    if (this._state >= LITERAL) {
      let byte = this._last();
      for (let same = true; same && symbol < 0x100; byte <<= 1) {
        const expected = (byte >> 7) & 1;
        const bit = range.bit(probabilities, ((1 + expected) << 8) + symbol);
        symbol = (symbol << 1) | bit;
        same = bit === expected;
      }
    }
    while (symbol < 0x100) symbol = (symbol << 1) | range.bit(probabilities, symbol);
    this._state = this._state < 4 ? 0 : this._state - (this._state < 10 ? 3 : 6);
    return symbol;
  }

  /** The length of a copy; its distance is the first of the last four then. */
  _pair(range) {
    const state = this._state;
    const after = (literal, other) => (this._state = state < LITERAL ? literal : other);
    if (!range.bit(this._rep, state)) {
      const length = lengthOf(range, this._length);
      this._distances = [this._distance(range, length), ...this._distances.slice(0, 3)];
      after(7, 10);
      return length + SHORTEST;
    }
    const which = !range.bit(this._rep0, state) ? 0 : !range.bit(this._rep1, state) ? 1 : 2 + range.bit(this._rep2, state);
    if (which === 0 && !range.bit(this._long, state)) {
      after(9, 11);
      return 1;
    }
    this._distances.unshift(...this._distances.splice(which, 1));
    after(8, 11);
    return lengthOf(range, this._repLength) + SHORTEST;
  }

  _distance(range, length) {
    const slot = range.tree(this._slots[Math.min(length, 3)], 6);
    if (slot < 4) return slot;
    const bits = (slot >> 1) - 1;
    const start = (2 | (slot & 1)) * 2 ** bits;
    if (slot < FULL_SLOTS) return start + range.reversed(this._special, bits, start - slot);
    return start + range.direct(bits - ALIGNED) * 2 ** ALIGNED + range.reversed(this._align, ALIGNED);
  }

  _put(byte) {
    this._window.bytes[this._window.size++] = byte;
  }

  _last() {
    return this._window.bytes[this._window.size - this._distances[0] - 1];
  }

  _copy(length, end) {
    const window = this._window;
    require(this._distances[0] < window.size && window.size + length <= end);
    for (let i = 0; i < length; i++) this._put(this._last());
  }
}

/** Bits, each with the probability that a model has of it. */
class Range {
  constructor(bytes) {
    this._bytes = bytes;
    this._at = 1; // the first byte is 0
    this._width = 0xffffffff;
    this._code = 0;
    for (let i = 0; i < 4; i++) this._code = this._code * 256 + take(bytes, this._at++);
  }

  bit(probabilities, index) {
    const bound = (this._width >>> BITS) * probabilities[index];
    const bit = Number(this._code >= bound);
    if (bit) {
      this._width -= bound;
      this._code -= bound;
      probabilities[index] -= probabilities[index] >> MOVE;
    } else {
      this._width = bound;
      probabilities[index] += (2 * HALF - probabilities[index]) >> MOVE;
    }
    this._fill();
    return bit;
  }

  /** Bits without a model. */
  direct(count) {
    let value = 0;
    for (let i = 0; i < count; i++) {
      this._width >>>= 1;
      const bit = Number(this._code >= this._width);
      if (bit) this._code -= this._width;
      value = 2 * value + bit;
      this._fill();
    }
    return value;
  }

  /** A number of so many bits, the highest first. */
  tree(probabilities, bits) {
    let node = 1;
    for (let i = 0; i < bits; i++) node = (node << 1) | this.bit(probabilities, node);
    return node - (1 << bits);
  }

  /** The same, the lowest first. */
  reversed(probabilities, bits, offset = 0) {
    let [node, value] = [1, 0];
    for (let i = 0; i < bits; i++) {
      const bit = this.bit(probabilities, offset + node);
      node = (node << 1) | bit;
      value |= bit << i;
    }
    return value;
  }

  _fill() {
    if (this._width >= TOP) return;
    this._width = (this._width << 8) >>> 0;
    this._code = ((this._code << 8) | take(this._bytes, this._at++)) >>> 0;
  }
}

function lengths() {
  return { choices: model(2), short: model(8), middle: model(8), long: model(256) };
}

function lengthOf(range, { choices, short, middle, long }) {
  if (!range.bit(choices, 0)) return range.tree(short, 3);
  return range.bit(choices, 1) ? 16 + range.tree(long, 8) : 8 + range.tree(middle, 3);
}

function model(size) {
  return new Uint16Array(size).fill(HALF);
}

function write(window, bytes, size) {
  require(bytes.length === size && window.size + size <= window.bytes.length);
  window.bytes.set(bytes, window.size);
  window.size += size;
}

function take(bytes, at) {
  require(at < bytes.length);
  return bytes[at];
}

function require(good) {
  if (!good) throw new RangeError("the LZMA2 stream is damaged");
}
