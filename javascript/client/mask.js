// Masks in the run-lengths of COCO's API, as edge_client/mask.py reads them.

const FIRST = "0".charCodeAt(0);
const [MORE, SIGN, BITS] = [0x20, 0x10, 5];
// A run-length has at most 32 bits.
const LONGEST = 7;

/**
 * Whether each pixel of a mask belongs to the thing: a byte for each, row by row.
 *
 * @param {{size: [number, number], counts: string}} mask height and width, and the run-lengths
 * @returns {Uint8Array}
 * @throws {RangeError} the run-lengths are damaged
 */
export function maskPixels({ size: [height, width], counts }) {
  const found = new Uint8Array(height * width);
  let at = 0;
  runs(counts).forEach((run, number) => {
    if (run < 0 || at + run > found.length) throw new RangeError("the run-lengths of a mask do not fit its size");
    // Pixels are counted column by column, those outside first.
    if (number % 2) for (let i = at; i < at + run; i++) found[(i % height) * width + Math.floor(i / height)] = 1;
    at += run;
  });
  if (at !== found.length) throw new RangeError("the run-lengths of a mask do not fit its size");
  return found;
}

/** From the fourth one on, what is written is the difference to the run before the last one. */
function runs(counts) {
  const found = [];
  for (const number of numbers(counts)) found.push(number + (found.length > 2 ? found.at(-2) : 0));
  return found;
}

/** Numbers in groups of five bits, lowest first. */
function* numbers(counts) {
  let [value, groups] = [0, 0];
  for (const character of counts) {
    const group = character.charCodeAt(0) - FIRST;
    if (!(group >= 0 && group < 64) || groups >= LONGEST) throw new RangeError("the run-lengths of a mask cannot be read");
    value += (group & (MORE - 1)) * 2 ** (BITS * groups++);
    if (group & MORE) continue;
    yield group & SIGN ? value - 2 ** (BITS * groups) : value;
    [value, groups] = [0, 0];
  }
  if (groups) throw new RangeError("the run-lengths of a mask are cut off");
}
