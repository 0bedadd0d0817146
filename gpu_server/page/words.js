// Numbers and names as people read them.

const NUMBER = new Intl.NumberFormat("en");

/** A number of bytes, in full. */
export function bytes(count) {
  return `${NUMBER.format(count)} B`;
}

/** A number of bytes, rounded. */
export function roughly(count) {
  if (count < 1000) return `${count} bytes`;
  if (count < 1e6) return `${(count / 1e3).toFixed(count < 1e4 ? 1 : 0)} kB`;
  return `${(count / 1e6).toFixed(1)} MB`;
}

export function number(count) {
  return NUMBER.format(count);
}

export function percent(share) {
  if (share > 0 && share < 0.01) return "<1%";
  return `${share < 1 ? Math.min(99, Math.round(100 * share)) : 100}%`;
}

export function duration(seconds) {
  return seconds < 0.995 ? `${Math.max(1, Math.round(1000 * seconds))} ms` : `${seconds.toFixed(seconds < 9.95 ? 1 : 0)} s`;
}

/** What a layer of a ladder tells, in a word or two. */
export function layerName(profile, layer) {
  const { band, factor } = profile.ladder[layer];
  const first = profile.ladder.findIndex((each) => each.band === band) === layer;
  if (band === "high") return first ? "Overtones" : "Overtones, finer";
  if (factor > 1) return first ? "Fundamental, coarse" : "Fundamental, less coarse";
  return first ? "Fundamental" : "Fundamental, finer";
}

/** The same as a sentence about channels. */
export function layerMeaning(profile, layer) {
  const { band, factor } = profile.ladder[layer];
  const count = profile[band].length;
  const first = profile.ladder.findIndex((each) => each.band === band) === layer;
  if (!first) return `the same ${count}, in steps a third as large`;
  return `${count} ${band === "low" ? "low" : "higher"} frequencies${factor > 1 ? `, in steps ${factor} times as large` : ""}`;
}
