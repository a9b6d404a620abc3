/** Where on the time line the moments of a hit lie. */

/** @typedef {{start_s: number, frame_s: number, scores: number[], edge_s: number}} PlacedMoments  `edge_s`: so far the first and last one reach beyond their frame. */

/**
 * Of a hit: only of the segment that it is.
 * @param {import("./types.js").Hit} hit @returns {PlacedMoments | null}
 */
export function momentsOf(hit) {
  return hit.moments.length ? placed(hit.start_s, hit.moments, hit) : null;
}

/** Of a whole file. @param {import("./types.js").Moments} moments @returns {PlacedMoments} */
export function momentsOfFile(moments) {
  return placed(0, moments.scores, moments);
}

/**
 * Frames lie one behind the other. Windows overlap: each stands for its middle, the first and the last for their ends as well.
 * @param {number} start_s @param {number[]} scores @param {{frame_s: number, window_s?: number | null}} of @returns {PlacedMoments}
 */
function placed(start_s, scores, { frame_s, window_s }) {
  const edge_s = window_s ? Math.max(0, (window_s - frame_s) / 2) : 0;
  return { start_s: start_s + edge_s, frame_s, scores, edge_s };
}
