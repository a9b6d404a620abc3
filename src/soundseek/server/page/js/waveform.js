/** Draws a waveform of rounded bars; where the sound matched they are in the accent's colour. */

/**
 * @typedef {Object} Drawing
 * @property {import("./types.js").Peaks} peaks
 * @property {{start_s: number, end_s: number}} span       What the canvas shows.
 * @property {{start_s: number, frame_s: number, scores: number[], edge_s?: number} | null} moments
 * @property {{low: number, high: number}} range           Scores from cold to hot.
 * @property {{wave: string, waveDim: string, heat: string[]}} palette
 * @property {{start_s: number, end_s: number} | null} [segment]  The rest is dim.
 */

const BAR = 2;
const GAP = 1;

/** @param {HTMLCanvasElement} canvas @param {Drawing} drawing */
export function drawWaveform(canvas, drawing) {
  const scale = devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  drawBars(context, width, height, drawing);
}

/**
 * @param {CanvasRenderingContext2D} context @param {number} width @param {number} height
 * @param {Drawing} drawing
 */
export function drawBars(context, width, height, { peaks, span, moments, range, palette, segment }) {
  const bars = Math.max(1, Math.floor((width + GAP) / (BAR + GAP)));
  const levels = barLevels(peaks, bars);
  const loudest = Math.max(0.02, ...levels);
  const heat = moments && heatOf(moments, range);
  const seconds = span.end_s - span.start_s;
  for (let bar = 0; bar < bars; bar++) {
    const at = span.start_s + ((bar + 0.5) / bars) * seconds;
    const isOutside = segment && (at < segment.start_s || at > segment.end_s);
    const warmth = isOutside || !heat ? 0 : heat(at);
    // The square root keeps a quiet tail visible beside a loud beginning.
    const tall = Math.max(BAR, Math.sqrt(levels[bar] / loudest) * (height - 2));
    context.fillStyle = isOutside ? palette.waveDim : palette.heat[Math.round(warmth * (palette.heat.length - 1))];
    context.beginPath();
    context.roundRect(bar * (BAR + GAP), (height - tall) / 2, BAR, tall, BAR / 2);
    context.fill();
  }
}

/** The loudest sample of each bar, 0 to 1. @param {import("./types.js").Peaks} peaks @param {number} bars */
function barLevels(peaks, bars) {
  const pieces = peaks.max.length;
  return Array.from({ length: bars }, (_unused, bar) => {
    const from = Math.min(pieces - 1, Math.floor((bar * pieces) / bars));
    const to = Math.max(from + 1, Math.floor(((bar + 1) * pieces) / bars));
    let level = 0;
    for (let piece = from; piece < to && piece < pieces; piece++) {
      level = Math.max(level, Math.abs(peaks.max[piece]), Math.abs(peaks.min[piece]));
    }
    return level;
  });
}

/**
 * How strongly a second matched, 0 to 1: mostly by the range of the whole list, so that better hits glow more, and a
 * little by the sound's own, so that in a weak one it is still seen where to listen.
 * @param {{start_s: number, frame_s: number, scores: number[], edge_s?: number}} moments @param {{low: number, high: number}} range
 * @returns {(at: number) => number}
 */
export function heatOf({ start_s, frame_s, scores, edge_s = 0 }, { low, high }) {
  if (!scores.length || !frame_s) return () => 0;
  const ownHigh = Math.max(...scores);
  const ownLow = scores.reduce((sum, score) => sum + score, 0) / scores.length;
  const place = (/** @type {number} */ value, /** @type {number} */ from, /** @type {number} */ to) =>
    Math.min(1, Math.max(0, (value - from) / Math.max(1e-6, to - from)));
  return (at) => {
    if (at < start_s - edge_s || at >= start_s + scores.length * frame_s + edge_s) return 0;
    const index = Math.min(scores.length - 1, Math.max(0, Math.floor((at - start_s) / frame_s)));
    return 0.65 * place(scores[index], low, high) + 0.35 * place(scores[index], ownLow, ownHigh);
  };
}
