// Links to feel: what is sent is held back for as long as the link would have carried it.

import { pause } from "./client/time.js";

// Rates in bits a second and round trips in seconds are those of `overtone link`.
export const LINKS = {
  "nb-iot": { name: "NB-IoT", up: 60e3, down: 60e3, rtt: 0.6, about: "meters, deep indoors" },
  "lte-m": { name: "LTE-M", up: 300e3, down: 300e3, rtt: 0.12, about: "battery-powered devices" },
  "3g": { name: "3G", up: 1e6, down: 1e6, rtt: 0.1, about: "UMTS/HSPA" },
  none: { name: "None", up: Infinity, down: Infinity, rtt: 0, about: "" },
};
const TICK = 30; // milliseconds between looks at how much has left

/** Seconds in which a link carries so many bytes up, in so many requests with short replies. */
export function seconds(link, bytes, requests = 1) {
  return (8 * bytes) / link.up + requests * link.rtt;
}

/** Wait until a link has carried so many bytes up; `progress` is told how many have left. */
export async function up(link, bytes, signal, progress) {
  await held((8 * bytes) / link.up, signal, (share) => progress(Math.floor(bytes * share)));
  progress(bytes);
  await held(link.rtt / 2, signal);
}

/** The same down. */
export async function down(link, bytes, signal) {
  await held(link.rtt / 2 + (8 * bytes) / link.down, signal);
}

async function held(duration, signal, progress = () => {}) {
  const end = performance.now() + 1000 * duration;
  for (let left = 1000 * duration; left > 0; left = end - performance.now()) {
    progress(1 - left / (1000 * duration));
    await pause(Math.min(left, TICK), signal);
  }
}
