// The layers drawn as plates: first the frequencies that each of them carries, then what it made of an image.

import { basis } from "./device/dct.js";
import { $, canvas, element } from "./dom.js";
import { layerMeaning, layerName } from "./words.js";

const PARTS = { 0: [1, 1, 1], 1: [0.35, 0.5, 1], 2: [1, 0.55, 0.4] }; // how Y, Cb and Cr are tinted

export class Plates {
  constructor(profile) {
    this._profile = profile;
    this._plates = profile.ladder.map((_, layer) => plate(profile, layer));
    $("plates").replaceChildren(...this._plates.map(({ root }) => root));
    this._plates.forEach((each, layer) => drawFrequencies(each.context, channelsOf(profile, layer), profile.ladder[layer].factor));
  }

  /** A layer's state ("", "sending", "sent", "spared"), what is said of its bytes, and the picture up to it. */
  show(layer, state, said, picture = null) {
    const { root, amount, context } = this._plates[layer];
    root.dataset.state = state;
    amount.textContent = said;
    if (picture) context.putImageData(picture, 0, 0);
  }
}

function plate(profile, layer) {
  const drawn = canvas(profile.size);
  drawn.setAttribute("aria-hidden", "true");
  const amount = element("span", { className: "amount" });
  const name = element("b", { textContent: layerName(profile, layer) });
  const meaning = element("span", { className: "meaning", textContent: layerMeaning(profile, layer) });
  const legend = element("div", { className: "legend" }, name, meaning, amount);
  const root = element("li", { className: "plate" }, element("div", { className: "sheet" }, drawn), legend);
  root.style.setProperty("--floor", layer);
  root.style.zIndex = layer;
  return { root, amount, context: drawn.getContext("2d") };
}

function channelsOf(profile, layer) {
  return profile.channels.slice(...profile.channelsOf(layer));
}

/** Draws the basis of each channel as a tile, in fewer shades where its steps are large. */
function drawFrequencies(context, channels, factor) {
  const side = context.canvas.width;
  const columns = Math.ceil(Math.sqrt(channels.length));
  const rows = Math.ceil(channels.length / columns);
  const image = context.createImageData(side, side);
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      const [column, row] = [Math.floor((x * columns) / side), Math.floor((y * rows) / side)];
      const channel = channels[row * columns + column];
      const inside = [(x * columns) / side - column, (y * rows) / side - row];
      const pixel = channel === undefined ? [236, 236, 236] : shade(channel, inside, factor);
      image.data.set([...pixel, 255], 4 * (y * side + x));
    }
  context.putImageData(image, 0, 0);
}

function shade(channel, [across, down], factor) {
  const edge = Math.min(across, down, 1 - across, 1 - down) < 0.04;
  if (edge) return [236, 236, 236];
  if ((channel & 63) === 0) return PARTS[channel >> 6].map((tint) => 150 + 28 * tint);
  const exact = 4 * basis(channel & 63, Math.min(7, Math.floor(down * 8)), Math.min(7, Math.floor(across * 8)));
  const step = 0.3 * factor;
  const wave = factor > 1 ? step * Math.round(exact / step) : exact;
  return PARTS[channel >> 6].map((tint) => 150 + 78 * wave * (wave > 0 ? tint : 1));
}

