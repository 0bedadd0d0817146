// What is seen of one image: its frames, its answer, its bytes.

import { drawBoxes } from "./boxes.js";
import { $, canvas, element } from "./dom.js";
import { seconds } from "./link.js";
import { bytes, duration, layerName, percent, roughly } from "./words.js";

export class View {
  /** @param {string} part what of the original is sent */
  constructor(profile, part) {
    this._profile = profile;
    const original = frame("Original", profile.size, `The original, ${part}`);
    this._original = original.context;
    original.amount.textContent = `${profile.size} px`;
    original.said.textContent = part;
    original.root.classList.add("original");
    original.bar.remove();
    this._frames = profile.ladder.map((_, layer) =>
      frame(layerName(profile, layer), profile.size, `What the server sees after layer ${layer + 1}`),
    );
    $("frames").replaceChildren(original.root, ...this._frames.map(({ root }) => root));
    $("frames").style.setProperty("--columns", profile.layers + 1);
  }

  /** Begin with an image: its square, of which `extent` is shown, and after each layer the picture. */
  begin({ original, pictures, extent }, point) {
    $("result").hidden = false;
    this._extent = extent;
    put(this._original, original, extent);
    this._frames.forEach((each, layer) => {
      this.picture(layer, pictures[layer]);
      each.bar.hidden = !point.thresholds;
      this._mark(each, point.thresholds?.[layer]);
      this.layer(layer, "waiting", "");
      each.fill.style.width = "0";
      each.said.textContent = "";
    });
  }

  /** The picture after a layer. */
  picture(layer, picture) {
    put(this._frames[layer].context, picture, this._extent);
  }

  /** Boxes of what was found after a layer. */
  boxes(layer, things) {
    drawBoxes(this._frames[layer].context, things);
  }

  /** A layer's state ("waiting", "sending", "known", "final", "spared"), and what is said of its bytes. */
  layer(layer, state, amount) {
    this._frames[layer].root.dataset.state = state;
    this._frames[layer].amount.textContent = amount;
  }

  /** What the server thought after a layer; of layers before it that came with it, it was not asked. */
  thought(layer, label, confidence, point) {
    const { fill, said } = this._frames[layer];
    fill.style.width = `${100 * confidence}%`;
    const threshold = point.thresholds[layer];
    const needed = threshold === undefined || threshold > 1 ? "" : `, ${percent(threshold)} would do`;
    said.textContent = `${label}: ${percent(confidence)} sure${confidence < threshold ? needed : ""}`;
  }

  /** What is said of a layer that has no thought of its own. */
  remark(layer, text) {
    this._frames[layer].said.textContent = text;
  }

  /** A line above the answer, and the answer. */
  headline(kicker, answer) {
    $("stage").textContent = kicker;
    $("answer").textContent = answer;
  }

  /** The best answers, as bars. */
  top(scores) {
    $("top").replaceChildren(
      ...scores.map(({ label, probability }) => {
        const name = element("span", { className: "name", textContent: label });
        return element("li", {}, element("div", { className: "row" }, name, element("span", { textContent: percent(probability) })), track([probability]));
      }),
    );
  }

  /** Bytes sent, request by request, beside those of JPEG and WebP, and the time that a link takes for them. */
  bytes(sent, { jpeg, webp, what }, link, requests) {
    const total = sum(sent);
    const most = Math.max(total, jpeg ?? 0, webp ?? 0, 1);
    const row = (name, size, parts, className = "") => {
      const time = link.up === Infinity ? "" : `, ${duration(seconds(link, size, className ? requests : 1))} on ${link.name}`;
      const head = element("div", { className: "row" }, element("span", { textContent: name }), element("span", { textContent: bytes(size) + time }));
      return element("div", { className: `meter ${className}` }, head, track(parts.map((part) => part / most)));
    };
    const rows = [row("Overtone", total, sent, "ours")];
    if (webp) rows.push(row("WebP", webp, [webp]));
    if (jpeg) rows.push(row("JPEG", jpeg, [jpeg]));
    $("bytes").replaceChildren(...rows);
    $("bytes-note").textContent =
      `JPEG and WebP are ${what} and quality 75, written by this browser: so many pixels hold as much detail as all layers ` +
      "do. They are not chosen for equal accuracy. All are payloads, without HTTP’s headers." +
      (link.up === Infinity ? "" : ` Times are computed: bytes at the link’s rate, and a round trip for each request, of which Overtone took ${requests}.`);
  }

  /** One line beside the answer. */
  sum(html) {
    $("sum").replaceChildren(...html);
  }

  /** Why layers are sent as they are. */
  why(text) {
    $("why").textContent = text;
  }

  _mark(each, threshold) {
    each.mark.hidden = threshold === undefined || threshold > 1;
    each.mark.style.left = `calc(${100 * Math.min(threshold ?? 1, 1)}% - 1px)`;
    each.mark.title = threshold === undefined ? "" : `sure enough from ${percent(threshold)} on`;
  }
}

/** What a finished image took, as nodes for `sum`: the bytes of each layer that was sent, of which the answer used some. */
export function summary(sent, { layers: used, stage }, layers, elapsed, rival) {
  const strong = (text) => element("b", { textContent: text });
  const total = sum(sent);
  const idle = sum(sent.slice(used));
  const nodes = [strong(roughly(total)), ` in ${sent.length} of ${layers} layers, `, strong(duration(elapsed))];
  if (idle) nodes.push(element("br"), `${roughly(idle)} of them were not ${stage === "brownout" ? "used" : "needed"}`);
  const share = total / rival;
  if (rival) nodes.push(element("br"), share > 1 ? `${share.toFixed(1)} times the JPEG’s bytes` : `${percent(share)} of the JPEG’s bytes`);
  return nodes;
}

/** Draws the part of a square that is shown. */
function put(context, picture, [width, height]) {
  const { canvas } = context;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  context.putImageData(picture, 0, 0);
}

function frame(name, size, label) {
  const drawn = canvas(size, label);
  const amount = element("span", { className: "amount" });
  const [fill, mark, said] = [element("i"), element("u"), element("span")];
  const bar = element("div", { className: "sureness" }, fill, mark);
  bar.setAttribute("aria-hidden", "true");
  const head = element("span", { className: "name" }, element("span", { textContent: name }), amount);
  const root = element("figure", { className: "frame" }, drawn, element("figcaption", {}, head, bar, said));
  return { root, context: drawn.getContext("2d"), amount, bar, fill, mark, said };
}

export function sum(sizes) {
  return sizes.reduce((total, size) => total + size, 0);
}

function track(shares) {
  const made = element("div", { className: "track" });
  for (const share of shares) {
    const part = element("i");
    part.style.width = `${100 * share}%`;
    made.append(part);
  }
  made.setAttribute("aria-hidden", "true");
  return made;
}
