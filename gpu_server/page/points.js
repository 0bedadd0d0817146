// Operating points of a card, and what each of them guarantees, in words.

/** The points that hold for a quality, from the one of the fewest bytes to the surest. */
export function pointsOf(card, quality) {
  const fitting = card.operating_points.filter((point) => (point.quality ?? quality) === quality);
  const points = fitting.length ? fitting : card.operating_points;
  const cost = (point) => point.mean_bytes ?? (point.thresholds ? sum(point.thresholds) : doubt(point));
  return [...points].sort((a, b) => cost(a) - cost(b));
}

/** For a detector, the scores between which a box is in doubt. */
function doubt({ unsure, sure, whole }) {
  return whole ? Infinity : Math.max(0, sure - unsure);
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}

/** The share of images that the first layer answers; null where the card does not tell. */
export function exitShare(point) {
  return point.exit_share ?? (point.escalation_share != null ? 1 - point.escalation_share : null);
}

/** What a point guarantees, and what it takes. */
export function guarantee(point, card) {
  const sentences = [bound(point, lost(card))];
  const early = exitShare(point);
  if (early != null) sentences.push(`The first layer answers ${percent(early)} of images`);
  if (point.block_share != null) sentences.push(`more is asked for in ${percent(point.block_share)} of the blocks in the mean`);
  if (point.mean_bytes != null) sentences.push(`an image takes ${Math.round(point.mean_bytes)} bytes in the mean`);
  const [first, ...rest] = sentences;
  const measured = rest.length ? ` ${rest.join("; ")} (${point.n} images held out).` : "";
  return `${first}${measured}`;
}

/** What answering early costs. */
function lost(card) {
  if (card.task === "detect") return (alpha) => `misses at most ${percent(alpha)} of a picture’s things`;
  const agreed = card.origin?.teacher ? "agreement with the network it was made from" : "accuracy";
  return (alpha) => `costs at most ${points(alpha)} of ${agreed}`;
}

function bound({ method, alpha, delta, share, bytes }, loses) {
  if (method === "risk control")
    return `Certified: answering early ${loses(alpha)}, in expectation, on images like those it was certified on.`;
  if (method === "high probability")
    return `Certified with ${percent(1 - delta)} probability: answering early ${loses(alpha)}, on images like those it was certified on.`;
  if (method === "share") return `Certified: at most ${percent(share)} of images are asked for more than their first layer, in expectation.`;
  if (method === "bytes") return `Certified: an image takes at most ${Math.round(bytes)} payload bytes, in expectation.`;
  return "Nothing is guaranteed: its thresholds were chosen by hand.";
}

function points(share) {
  const value = Number((100 * share).toPrecision(3));
  return value === 1 ? "1 point" : `${value} points`;
}

function percent(share) {
  return `${Number((100 * share).toPrecision(3))}%`;
}
