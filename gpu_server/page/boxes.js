// Masks, boxes, labels and blocks, drawn on a picture.

import { maskPixels } from "./client/mask.js";

// Of classes that follow each other, as `overtone detect --out` has them (edge_client/drawing.py).
const COLOURS = [
  "#e6194b", "#3cb44b", "#ffe119", "#4363d8", "#f58231", "#911eb4", "#42d4f4", "#f032e6", "#bfef45", "#fabed4",
  "#469990", "#dcbeff", "#9a6324", "#fffac8", "#800000", "#aaffc3", "#808000", "#ffd8b1", "#000075", "#a9a9a9",
];
const OPACITY = 115; // of masks, of 255
const BLOCK = 8; // pixels of the square
const [BLACK, WHITE] = ["#000", "#fff"];
// Lines and letters, as shares of a picture's longest side.
const [LINE, LETTER] = [1 / 220, 1 / 34];

export function colour(index) {
  return COLOURS[index % COLOURS.length];
}

/** Tints the masks of things that have one. */
export function drawMasks(context, things, chosen = null) {
  const { width, height } = context.canvas;
  for (const thing of [...things].reverse())
    if (thing.mask && (!chosen || thing === chosen)) context.drawImage(tinted(thing), 0, 0, width, height);
}

/** Draws the boxes of things, the surest ones on top; without `chosen`, or with it alone in full. */
export function drawBoxes(context, things, chosen = null) {
  for (const thing of [...things].reverse()) {
    context.globalAlpha = chosen && thing !== chosen ? 0.25 : 1;
    drawBox(context, corners(context.canvas, thing.box), colour(thing.index));
  }
  context.globalAlpha = 1;
}

/** Draws the labels of things, at the upper left corners of their boxes. */
export function drawLabels(context, things, text, chosen = null) {
  const height = Math.max(13, LETTER * longest(context.canvas));
  context.font = `600 ${height}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  for (const thing of [...things].reverse()) {
    if (chosen && thing !== chosen) continue;
    const [left, top] = corners(context.canvas, thing.box);
    const width = context.measureText(text(thing)).width + height * 0.7;
    const x = Math.max(0, Math.min(left, context.canvas.width - width));
    const y = Math.max(0, top - 1.35 * height);
    context.fillStyle = colour(thing.index);
    context.fillRect(x, y, width, 1.35 * height);
    context.fillStyle = isLight(colour(thing.index)) ? BLACK : WHITE;
    context.fillText(text(thing), x + 0.35 * height, y + 0.7 * height);
  }
}

/**
 * Marks the blocks of a region quietly: a tint, and a line around them.
 *
 * @param {Uint8Array} blocks 1 for each of them, `side` in a row of the square
 * @param {number} width how many pixels of the square the picture is wide
 */
export function drawBlocks(context, blocks, side, width) {
  const scale = (BLOCK * context.canvas.width) / width;
  const inside = (x, y) => x >= 0 && y >= 0 && x < side && y < side && blocks[y * side + x] === 1;
  const tints = new Path2D();
  const lines = new Path2D();
  const line = (x, y, toX, toY) => {
    lines.moveTo(x * scale, y * scale);
    lines.lineTo(toX * scale, toY * scale);
  };
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      if (!inside(x, y)) continue;
      tints.rect(x * scale, y * scale, scale, scale);
      if (!inside(x, y - 1)) line(x, y, x + 1, y);
      if (!inside(x, y + 1)) line(x, y + 1, x + 1, y + 1);
      if (!inside(x - 1, y)) line(x, y, x, y + 1);
      if (!inside(x + 1, y)) line(x + 1, y, x + 1, y + 1);
    }
  context.fillStyle = "rgb(255 255 255 / 16%)";
  context.fill(tints);
  context.setLineDash([scale / 3, scale / 3]);
  context.lineWidth = Math.max(1, scale / 8);
  context.strokeStyle = "rgb(255 255 255 / 85%)";
  context.stroke(lines);
  context.setLineDash([]);
}

/** A canvas with the mask of a thing in its colour. */
function tinted({ mask, index }) {
  const [height, width] = mask.size;
  const canvas = new OffscreenCanvas(width, height);
  const image = new ImageData(width, height);
  const pixel = [...channels(colour(index)), OPACITY];
  maskPixels(mask).forEach((inside, i) => inside && image.data.set(pixel, 4 * i));
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

function drawBox(context, [left, top, right, bottom], stroke) {
  const width = Math.max(2, LINE * longest(context.canvas));
  for (const [style, wide] of [["rgb(0 0 0 / 55%)", 1.8 * width], [stroke, width]]) {
    context.strokeStyle = style;
    context.lineWidth = wide;
    context.strokeRect(left, top, right - left, bottom - top);
  }
}

function corners({ width, height }, [left, top, right, bottom]) {
  return [left * width, top * height, right * width, bottom * height];
}

function longest({ width, height }) {
  return Math.max(width, height);
}

function isLight(hex) {
  const [red, green, blue] = channels(hex);
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140;
}

function channels(hex) {
  return hex.match(/[0-9a-f]{2}/g).map((part) => parseInt(part, 16));
}
