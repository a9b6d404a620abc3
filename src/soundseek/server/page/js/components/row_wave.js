/** The waveform of a row: the file, or its segment of a long one, with the moments in colour; a click plays from there. */

import { useEffect, useRef, useState } from "../../vendor/preact-hooks.js";
import { useSignalEffect } from "../../vendor/signals.js";
import { clock } from "../format.js";
import { html } from "../html.js";
import { momentsOf } from "../moments.js";
import { peaksOf } from "../peaks.js";
import * as player from "../player.js";
import { momentRange } from "../state.js";
import { palette } from "../theme.js";
import { drawWaveform } from "../waveform.js";

/** Files up to this length are shown whole. */
const WHOLE_S = 20;
const PIECES = 400;

/** What a row shows of a file. @param {import("../types.js").Hit} hit */
export function spanOf(hit) {
  const isShort = hit.duration_s <= WHOLE_S;
  return isShort ? { start_s: 0, end_s: hit.duration_s } : { start_s: hit.start_s, end_s: Math.min(hit.end_s, hit.start_s + 60) };
}

/** @param {{hit: import("../types.js").Hit, onPlay: (at: number) => void}} props */
export function RowWave({ hit, onPlay }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const [peaks, setPeaks] = useState(/** @type {import("../types.js").Peaks | null} */ (null));
  const [failed, setFailed] = useState(false);
  const [hover, setHover] = useState(/** @type {number | null} */ (null));
  const span = spanOf(hit);
  const isLong = hit.duration_s > WHOLE_S;

  useEffect(() => {
    setPeaks(null);
    setFailed(false);
    let isGone = false;
    return whenSeen(/** @type {HTMLCanvasElement} */ (canvas.current), () => {
      peaksOf(hit.id, { ...(isLong && span), n: PIECES }).then(
        (found) => !isGone && setPeaks(found), () => !isGone && setFailed(true));
    }, () => (isGone = true));
  }, [hit.id, span.start_s, span.end_s]);

  const range = momentRange.value;
  const colours = palette.value;
  useEffect(() => {
    if (!peaks || !canvas.current) return undefined;
    const draw = () => canvas.current && drawWaveform(canvas.current, {
      peaks, span, range, palette: colours, segment: hit.moments.length ? hit : null,
      moments: momentsOf(hit),
    });
    draw();
    const observer = new ResizeObserver(draw);
    observer.observe(canvas.current);
    return () => observer.disconnect();
  }, [peaks, range, colours, hit]);

  const at = (/** @type {PointerEvent} */ event) => {
    const box = /** @type {HTMLElement} */ (event.currentTarget).getBoundingClientRect();
    return span.start_s + Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * (span.end_s - span.start_s);
  };
  const percent = (/** @type {number} */ seconds) => `${(100 * (seconds - span.start_s)) / Math.max(0.01, span.end_s - span.start_s)}%`;
  return html`<div class=${peaks ? "row-wave drawn" : "row-wave"}
    onClick=${(/** @type {any} */ event) => { event.stopPropagation(); onPlay(at(event)); }}
    onPointerMove=${(/** @type {any} */ event) => event.pointerType === "mouse" && setHover(at(event))} onPointerLeave=${() => setHover(null)}>
    <canvas ref=${canvas} aria-hidden="true"></canvas>
    ${failed && html`<span class="wave-failed">no waveform</span>`}
    ${hit.moments.length > 0 && html`<span class="moment-mark" aria-hidden="true" style=${{ left: percent(hit.moment_s) }}></span>`}
    <${Playhead} hit=${hit} span=${span} />
    ${hover !== null && html`<span class=${hover > (span.start_s + span.end_s) / 2 ? "hover-line left" : "hover-line"} aria-hidden="true" style=${{ left: percent(hover) }}><span>${clock(hover)}</span></span>`}
    ${isLong && html`<span class="locator" aria-hidden="true"><span style=${{
      left: `${(100 * span.start_s) / hit.duration_s}%`, width: `${Math.max(0.8, (100 * (span.end_s - span.start_s)) / hit.duration_s)}%`,
    }}></span></span>`}
  </div>`;
}

/** A line at the place that is playing; moved without drawing the row again. @param {{hit: import("../types.js").Hit, span: {start_s: number, end_s: number}}} props */
function Playhead({ hit, span }) {
  const line = useRef(/** @type {HTMLElement | null} */ (null));
  useSignalEffect(() => {
    if (!line.current) return;
    const part = (player.time.value - span.start_s) / (span.end_s - span.start_s);
    const isHere = player.isIn(hit) && part >= 0 && part <= 1;
    line.current.hidden = !isHere;
    if (isHere) line.current.style.left = `${part * 100}%`;
  });
  return html`<span class="playhead" ref=${line} hidden aria-hidden="true"></span>`;
}

/** Call once when an element is on the screen or near it. @param {Element} element @param {() => void} onSeen @param {() => void} onGone */
function whenSeen(element, onSeen, onGone) {
  const observer = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    onSeen();
  }, { rootMargin: "200px" });
  observer.observe(element);
  return () => {
    observer.disconnect();
    onGone();
  };
}
