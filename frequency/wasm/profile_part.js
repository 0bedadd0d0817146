// A part of a profile in its compact form, as frequency/profile_part.py has it and docs/protocol.md describes.

import { inflated } from "./lzma.js";
import { Profile } from "./profile.js";

const MAX_BYTES = 2 ** 20; // the most that a hostile server can make a device inflate
const TOTAL = 2 ** 14; // of the entries of a table
const OUTPUTS = 3;
// Contexts of a layer: levels, shapes and levels of offsets, of which there are more where values are refined.
const CONTEXTS = { first: 32 * 3 * 6, refined: 32 * 3 * 12 };

/**
 * The profile with the tables that a part brings.
 *
 * @param {Uint8Array} packed
 * @param {Profile | null} before has the tables of the layers that were left out
 * @throws {RangeError | SyntaxError} it is damaged, or does not follow `before`
 */
export function unpackPart(packed, before = null) {
  const reader = new Reader(inflated(packed, MAX_BYTES));
  const { after, ...fields } = JSON.parse(reader.text(reader.varint()));
  const known = before?.tables ?? [];
  if (after !== known.length || (before && fields.whole !== before.id)) throw new RangeError("the part does not belong to what is known");
  const layers = [...known];
  while (reader.left) layers.push(tablesOf(reader, fields, layers.length));
  return new Profile({ ...fields, tables: { layers } }, fields.whole);
}

/** The tables of a layer, like those in the JSON of a whole profile. */
function tablesOf(reader, { ladder, low, high, qualities }, layer) {
  const [band] = ladder[layer];
  const refines = ladder.slice(0, layer).some(([other]) => other === band);
  const channels = (band === "low" ? low : high).length;
  const lengths = reader.bytes(reader.bytes(1)[0]);
  const sizes = times(channels, () => reader.bytes(3));
  const [taps, planes, units] = [0, 1, 2].map((i) => sizes.map((size) => size[i]));
  const empty = times(qualities.length, () => reader.bytes(channels));
  const contexts = reader.text(refines ? CONTEXTS.refined : CONTEXTS.first);
  const sources = reader.split(taps);
  const places = reader.split(taps);
  const globals = reader.split(planes);
  const centre = reader.splitWords(taps);
  const biases = reader.splitWords(units.map((count) => count + OUTPUTS));
  const output = units.map((count) => reader.text(OUTPUTS * count));
  const hidden = sizes.map(([tap, plane, unit]) => reader.text((2 * tap + 6 + plane) * unit));
  const tables = reader.splitWords(lengths.map((length) => length - 1));
  const bank = tables.map((table) => [...table, table.reduce((left, entry) => left - entry, TOTAL)]);
  const networks = sizes.map((_, i) => ({
    taps: sources[i].flatMap((source, tap) => [source, places[i][tap]]),
    centre: centre[i],
    globals: globals[i],
    bias: biases[i].slice(0, -OUTPUTS),
    hidden: hidden[i],
    output: output[i],
    output_bias: biases[i].slice(-OUTPUTS),
  }));
  return { bank, contexts, networks, empty };
}

/** Reads columns, one after the other. */
class Reader {
  constructor(body) {
    this._body = body;
    this._at = 0;
  }

  get left() {
    return this._body.length - this._at;
  }

  bytes(count) {
    if (!(count <= this.left)) throw new RangeError("the part ends too early");
    this._at += count;
    return [...this._body.subarray(this._at - count, this._at)];
  }

  text(count) {
    return new TextDecoder().decode(Uint8Array.from(this.bytes(count)));
  }

  varint() {
    for (let [value, shift] = [0, 0]; ; shift += 7) {
      const [byte] = this.bytes(1);
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  }

  /** A column of bytes in pieces of these sizes. */
  split(sizes) {
    return pieces(this.bytes(sum(sizes)), sizes);
  }

  /** The same of int16, whose upper bytes come first. */
  splitWords(sizes) {
    const count = sum(sizes);
    const [upper, lower] = [this.bytes(count), this.bytes(count)];
    return pieces(upper.map((byte, i) => ((byte << 24) >> 16) | lower[i]), sizes);
  }
}

function pieces(column, sizes) {
  let at = 0;
  return sizes.map((size) => column.slice(at, (at += size)));
}

function times(count, make) {
  return Array.from({ length: count }, make);
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}
