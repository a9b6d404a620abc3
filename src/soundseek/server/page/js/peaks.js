/** Waveforms from the server, each fetched once, at most a few at a time. */

import * as api from "./api.js";

const KEPT = 1500;
const AT_ONCE = 4;

/** @type {Map<string, Promise<import("./types.js").Peaks>>} */
const known = new Map();
/** @type {(() => void)[]} */
const queue = [];
let running = 0;

/**
 * @param {string} id @param {{start_s?: number, end_s?: number, n: number}} part
 * @returns {Promise<import("./types.js").Peaks>}
 */
export function peaksOf(id, part) {
  const key = `${id} ${part.start_s ?? ""} ${part.end_s ?? ""} ${part.n}`;
  const found = known.get(key);
  if (found) return found;
  const coming = slot().then(() => api.peaks(id, part)).finally(freed);
  coming.catch(() => known.delete(key));
  known.set(key, coming);
  if (known.size > KEPT) known.delete(/** @type {string} */ (known.keys().next().value));
  return coming;
}

/** The latest wish is served first: it is what the reader is looking at. @returns {Promise<void>} */
function slot() {
  if (running < AT_ONCE) {
    running += 1;
    return Promise.resolve();
  }
  return new Promise((go) => queue.push(go));
}

function freed() {
  const next = queue.pop();
  if (next) next();
  else running -= 1;
}

/**
 * What a preview is played at, so that quiet and loud recordings are equally loud: the gain that brings the loudest
 * seconds to -20 dBFS, at most 24 dB up, never so far up that a peak clips.
 * @param {import("./types.js").Peaks} peaks
 */
export function matchedGain(peaks) {
  const levels = peaks.max.map((high, at) => Math.max(Math.abs(high), Math.abs(peaks.min[at])));
  const peak = levels.reduce((most, level) => Math.max(most, level), 0);
  if (peak === 0) return 1;
  const loudest = [...levels].sort((a, b) => b - a).slice(0, Math.max(1, Math.ceil(levels.length * 0.3)));
  // The peaks of short pieces lie about 9 dB above their power.
  const rms = Math.sqrt(loudest.reduce((sum, level) => sum + level * level, 0) / loudest.length) * 10 ** (-9 / 20);
  return Math.min(10 ** (-20 / 20) / rms, 10 ** (24 / 20), 0.98 / peak);
}
