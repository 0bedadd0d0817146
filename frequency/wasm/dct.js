// Matrices between the 192 numbers of an RGB block and its DCT coefficients, as in frequency/dct.py.

const BLOCK = 8;
const NUMBERS = 3 * BLOCK * BLOCK;
const RGB_TO_YCC = [
  [0.299, 0.587, 0.114],
  [-0.299 / 1.772, -0.587 / 1.772, 0.886 / 1.772],
  [0.701 / 1.402, -0.587 / 1.402, -0.114 / 1.402],
];
const YCC_TO_RGB = [
  [1, 0, 1.402],
  [1, (-0.114 * 1.772) / 0.587, (-0.299 * 1.402) / 0.587],
  [1, 1.772, 0],
];
// Row k is the basis of frequency k.
const BASIS = Array.from({ length: BLOCK }, (_, k) =>
  Array.from({ length: BLOCK }, (_, x) =>
    k ? Math.sqrt(2 / BLOCK) * Math.cos((Math.PI * (2 * x + 1) * k) / (2 * BLOCK)) : Math.sqrt(1 / BLOCK),
  ),
);

/** The value of a frequency's basis at a pixel of a block; `channel` is 8 * vertical + horizontal frequency. */
export function basis(channel, y, x) {
  return BASIS[channel >> 3][y] * BASIS[channel & 7][x];
}

/** float32[channels, 192]: from the numbers of a block (row, column, colour) to coefficients. */
export function analysis(channels) {
  const matrix = new Float32Array(channels.length * NUMBERS);
  each(channels, (i, component, frequency, y, x, colour) => {
    matrix[i * NUMBERS + (y * BLOCK + x) * 3 + colour] = basis(frequency, y, x) * RGB_TO_YCC[component][colour];
  });
  return matrix;
}

/** float32[channels]: what is added after that; it moves the range of luma to both sides of zero. */
export function offsets(channels) {
  return Float32Array.from(channels, (channel) => (channel === 0 ? -128 * BLOCK : 0));
}

/** float32[channels, 192]: what a unit of each coefficient adds to the numbers of a block. */
export function synthesis(channels) {
  const matrix = new Float32Array(channels.length * NUMBERS);
  each(channels, (i, component, frequency, y, x, colour) => {
    matrix[i * NUMBERS + (y * BLOCK + x) * 3 + colour] = basis(frequency, y, x) * YCC_TO_RGB[colour][component];
  });
  return matrix;
}

function each(channels, visit) {
  channels.forEach((channel, i) => {
    for (let y = 0; y < BLOCK; y++)
      for (let x = 0; x < BLOCK; x++)
        for (let colour = 0; colour < 3; colour++) visit(i, channel >> 6, channel & 63, y, x, colour);
  });
}
