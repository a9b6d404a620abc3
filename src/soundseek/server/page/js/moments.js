/** Where on the time line the moments of a hit lie. */

/** @typedef {{start_s: number, frame_s: number, scores: number[], edge_s: number}} PlacedMoments  `edge_s`: so far the first and last one reach beyond their frame. */

/**
 * Frames lie one behind the other. Windows overlap: each stands for its middle, the first and the last for their ends as well.
 * @param {import("./types.js").Hit} hit @returns {PlacedMoments | null}
 */
export function momentsOf(hit) {
  if (!hit.moments.length) return null;
  const edge_s = hit.window_s ? Math.max(0, (hit.window_s - hit.frame_s) / 2) : 0;
  return { start_s: hit.start_s + edge_s, frame_s: hit.frame_s, scores: hit.moments, edge_s };
}
