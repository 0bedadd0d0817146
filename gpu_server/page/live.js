// The server live, from its metrics, where everybody may read them.

import { $, element } from "./dom.js";
import { number, percent, roughly } from "./words.js";

const INTERVAL = 2000;

/** Looks at the server's metrics for as long as the page is seen. */
export function watch(server) {
  let before = null;
  let timer = 0;
  const look = async () => {
    clearTimeout(timer);
    if (document.hidden) return;
    const text = await server.metrics().catch(() => undefined);
    if (text === null) {
      $("live-note").textContent = "This server shows its figures to its administrators only: it asks for tokens, or has a port for them.";
      return; // that does not change
    }
    if (text === undefined) $("live-note").textContent = "No figures: the server cannot be reached.";
    else before = show({ at: performance.now(), samples: parsed(text) }, before);
    timer = setTimeout(look, INTERVAL);
  };
  document.addEventListener("visibilitychange", look);
  look();
}

function show(now, before) {
  const sum = (name, labels = {}) => total(now.samples, name, labels);
  const answers = sum("overtone_answers_total");
  const images = total(now.samples, "overtone_batch_size_sum", {});
  const batches = sum("overtone_batch_size_count");
  const rate = before ? (1000 * (answers - total(before.samples, "overtone_answers_total", {}))) / (now.at - before.at) : 0;
  const early = sum("overtone_answers_total", { stage: "low" });
  const queue = sum("overtone_queue_seconds_sum") / Math.max(1, sum("overtone_queue_seconds_count"));
  const gauges = [
    ["Images answered", number(answers), `${rate.toFixed(1)} a second`],
    ["By the low network", answers ? percent(early / answers) : "–", "the others took the high one"],
    ["Waiting now", number(sum("overtone_queue_depth")), `${(1000 * queue).toFixed(1)} ms in the mean so far`],
    ["Images in a batch", batches ? (images / batches).toFixed(1) : "–", "in the mean"],
    ["Payload received", roughly(sum("overtone_received_bytes_total")), answers ? `${Math.round(sum("overtone_received_bytes_total") / answers)} bytes an answer` : ""],
  ];
  $("live").replaceChildren(
    ...gauges.map(([name, value, more]) =>
      element("div", {}, element("dt", { textContent: name }), element("dd", {}, value, element("small", { textContent: more }))),
    ),
  );
  $("live-note").textContent = "Of all clients since the server started.";
  return now;
}

/** Samples of the text format of Prometheus: name, labels, value. */
function parsed(text) {
  const line = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/gm;
  return Array.from(text.matchAll(line), ([, name, labels, value]) => ({ name, labels: labels ?? "", value: Number(value) }));
}

function total(samples, name, labels) {
  const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
  const fits = (sample) => sample.name === name && wanted.every((each) => sample.labels.includes(each));
  return samples.filter(fits).reduce((sum, { value }) => sum + value, 0);
}
