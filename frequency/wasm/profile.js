// What a device knows of a checkpoint, read from the server's JSON: frequency/profile.py and tables.py tell more.

const LETTERS = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).filter((c) => c !== '"' && c !== "\\");
const MIDDLE = LETTERS.length >> 1;
const WEIGHTS = new Map(LETTERS.map((letter, i) => [letter, i - MIDDLE]));
const LETTER_NUMBERS = new Map(LETTERS.map((letter, i) => [letter, i]));
const DC = new Set([0, 64, 128]);
const MAX_RATIO = 2 ** 19;
const MAX_SCALED = 2 ** 20;
const MAX_INPUT = 2 ** 31 - 1;
const OUTPUTS = 3;

/** A profile: channels, ladder, steps, and how each layer is coded. */
export class Profile {
  /**
   * @param {object} fields the profile's JSON, parsed
   * @param {string} id its id in hexadecimal, which is the entity tag of `GET /v1/profile`
   */
  constructor(fields, id) {
    this.id = id;
    this.name = fields.name;
    this.size = fields.size;
    this.low = fields.low;
    this.high = fields.high;
    this.channels = [...fields.low, ...fields.high];
    this.qualities = fields.qualities;
    this.quality = fields.quality;
    this.labels = fields.labels;
    this.ladder = (fields.ladder ?? [["low", 1], ["high", 1]]).map(([band, factor]) => ({ band, factor }));
    this.blocks = fields.size / 8;
    this._steps = fields.steps;
    this._thresholds = fields.thresholds ?? [];
    /** How layers are coded; of a part of a profile only the first ones. */
    this.tables = fields.tables.layers;
    this._plans = new Map();
  }

  get layers() {
    return this.ladder.length;
  }

  /** How many layers there are tables for. */
  get encodable() {
    return this.tables.length;
  }

  /** The same with the tables of the first so many layers alone. */
  upTo(layers) {
    return Object.assign(Object.create(Profile.prototype), this, { tables: this.tables.slice(0, layers) });
  }

  /** The steps of all channels, low and high, at a quality. */
  steps(quality) {
    return this._steps[this._index(quality)];
  }

  /** The fraction of a step from which a value is rounded away from zero; a half means to nearest. */
  threshold(quality) {
    const found = this._thresholds[this._index(quality)];
    return found === undefined ? 0.5 : found / 100;
  }

  /** The numbers [begin, end) of the channels that a layer codes. */
  channelsOf(layer) {
    const split = this.low.length;
    return this.ladder[layer].band === "low" ? [0, split] : [split, this.channels.length];
  }

  /** For each band, the factor with which the first so many layers tell it; 0 where they tell nothing. */
  factors(layers) {
    const known = { low: 0, high: 0 };
    for (const { band, factor } of this.ladder.slice(0, layers)) known[band] = factor;
    return known;
  }

  /** How many channels the first so many layers tell. */
  count(layers) {
    const { low, high } = this.factors(layers);
    return high ? this.channels.length : low ? this.low.length : 0;
  }

  /** What the values of the first so many layers are multiples of, channel by channel. */
  knownSteps(quality, layers) {
    const { low, high } = this.factors(layers);
    const scaled = this.steps(quality).map((step, c) => step * (c < this.low.length ? low : high));
    return Float32Array.from(scaled.slice(0, this.count(layers)));
  }

  /** How to code a layer at a quality, as `CodingPlan.packed` of frequency/coding_plan.py; made once. */
  plan(layer, quality) {
    const key = `${layer} ${quality}`;
    if (!this._plans.has(key)) this._plans.set(key, this._pack(layer, this._index(quality)));
    return this._plans.get(key);
  }

  _index(quality) {
    const index = this.qualities.indexOf(quality);
    if (index < 0) throw new RangeError(`the profile has no quality ${quality}`);
    return index;
  }

  _pack(layer, index) {
    const { bank, contexts, networks, empty } = this.tables[layer];
    const [first] = this.channelsOf(layer);
    const steps = this.knownSteps(this.qualities[index], layer + 1);
    const known = this.count(layer);
    const refines = this.ladder.slice(0, layer).some(({ band }) => band === this.ladder[layer].band);
    const numbers = [first, known, Number(refines), steps.length];
    numbers.push(...this.channels.slice(0, steps.length).map((c) => Number(DC.has(c))));
    numbers.push(networks.length, bank.length);
    for (const table of bank) numbers.push(table.length, ...table);
    numbers.push(...Array.from(contexts, (letter) => LETTER_NUMBERS.get(letter)));
    const weights = [];
    networks.forEach((network, i) => packNetwork(network, first + i, steps, empty[index][i] << 6, numbers, weights));
    return packed(numbers, weights);
  }
}

function packNetwork(network, number, units, empty, numbers, weights) {
  const own = units[number];
  const hiddenUnits = network.bias.length;
  const taps = network.taps.length / 2;
  numbers.push(empty, hiddenUnits);
  numbers.push(...Array.from(units, (unit) => clamp(Math.floor((1024 * unit) / own), 1, MAX_RATIO)), taps);
  for (let i = 0; i < taps; i++) {
    const [plane, place] = network.taps.slice(2 * i, 2 * i + 2);
    numbers.push(plane, place, scaled(network.centre[i], units[plane], own));
  }
  numbers.push(network.globals.length, ...network.globals, ...network.output_bias);
  const hidden = Array.from(network.hidden, (letter) => 2 * WEIGHTS.get(letter));
  const row = (i) => hidden.slice(i * hiddenUnits, (i + 1) * hiddenUnits);
  const step = codeOf(own * 1024);
  const unitWeights = row(2 * taps + 2); // of the code of the channel's own unit, which is always the same
  weights.push(...network.bias.map((bias, i) => bias + step * unitWeights[i]));
  weights.push(...hidden.slice(0, (2 * taps + 2) * hiddenUnits), ...hidden.slice((2 * taps + 3) * hiddenUnits));
  if (network.output.length !== OUTPUTS * hiddenUnits) throw new RangeError("an output lacks weights");
  weights.push(...Array.from(network.output, (letter) => WEIGHTS.get(letter)));
}

function packed(numbers, weights) {
  const plan = new Uint8Array(4 * (numbers.length + 1) + 2 * weights.length);
  new Int32Array(plan.buffer, 0, numbers.length + 1).set([numbers.length + 1, ...numbers]);
  new Int16Array(plan.buffer, 4 * (numbers.length + 1)).set(weights); // sums wrap around at 16 bits
  return plan;
}

/** A weight in 256ths of coefficients as one in 1024ths of a step of quantised coefficients. */
function scaled(weight, unit, own) {
  return clamp(Math.floor((weight * unit * 4 + Math.floor(own / 2)) / own), -MAX_SCALED, MAX_SCALED);
}

/** The code of a magnitude in 1024ths of a step, as in frequency/features.py. */
function codeOf(magnitude) {
  const shifted = 64 + Math.floor(Math.min(magnitude, MAX_INPUT) / 4);
  const exponent = 31 - Math.clz32(shifted);
  return Math.min(8 * exponent + ((shifted >> (exponent - 3)) & 7) - 48, 127);
}

function clamp(value, least, most) {
  return Math.max(least, Math.min(most, value));
}
