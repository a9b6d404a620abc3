/**
 * The waveform in the player: wavesurfer draws it and lets a region be dragged; we tell it where we are.
 *
 * It shows a window of the file, all of a short one, the surroundings of the hit in a long one, with its own peaks for
 * exactly that window: a three-hour recording is as sharp as a click. The strip above is the whole file.
 */

import { useEffect, useRef, useState } from "../../vendor/preact-hooks.js";
import { effect, signal } from "../../vendor/signals.js";
import WaveSurfer from "../../vendor/wavesurfer.js";
import Regions from "../../vendor/wavesurfer-regions.js";
import waveStyle from "../../vendor/wavesurfer-style.js";
import Timeline from "../../vendor/wavesurfer-timeline.js";
import * as api from "../api.js";
import { clock } from "../format.js";
import { html, IconButton } from "../html.js";
import { momentsOf, momentsOfFile } from "../moments.js";
import { peaksOf } from "../peaks.js";
import * as player from "../player.js";
import { showsSpectrogram } from "../settings.js";
import { momentRange, results } from "../state.js";
import { palette } from "../theme.js";
import { drawBars } from "../waveform.js";
import { Spectrogram } from "./spectrogram.js";

const WHOLE_S = 45;
const SHORTEST_S = 0.5;
/** In rem, like the rest of the page. */
const HEIGHT = 5.25;
const AXIS = 1;

const rem = () => parseFloat(getComputedStyle(document.documentElement).fontSize);

const sheet = new CSSStyleSheet();
// Its own way of showing what was played is to cover it in another colour; the colours here are the moments'.
sheet.replaceSync(`${waveStyle} .canvases { clip-path: none !important } .progress { display: none }`);

/** @typedef {{start_s: number, end_s: number}} Span */

/** What is shown of a file at first. @param {import("../types.js").Hit} hit @returns {Span} */
function firstWindow(hit) {
  if (hit.duration_s <= WHOLE_S) return { start_s: 0, end_s: hit.duration_s };
  const middle = (hit.start_s + hit.end_s) / 2;
  const half = Math.max(15, Math.min(60, (hit.end_s - hit.start_s) * 1.5));
  return within({ start_s: middle - half, end_s: middle + half }, hit.duration_s);
}

/** A span moved, and if need be cut, into the file. @param {Span} span @param {number} duration @returns {Span} */
function within(span, duration) {
  const seconds = Math.min(duration, span.end_s - span.start_s);
  const start_s = Math.min(Math.max(0, span.start_s), duration - seconds);
  return { start_s, end_s: start_s + seconds };
}

/** @param {{hit: import("../types.js").Hit}} props */
export function DeckWave({ hit }) {
  const [span, setSpan] = useState(() => firstWindow(hit));
  const key = `${hit.id}@${hit.start_s}`;
  const shownKey = useRef(key);
  if (shownKey.current !== key) {
    shownKey.current = key;
    setSpan(firstWindow(hit));
  }
  const scores = useMoments(hit);
  const zoom = (/** @type {number} */ factor, at = player.time.peek()) => {
    const seconds = Math.min(hit.duration_s, Math.max(SHORTEST_S, (span.end_s - span.start_s) * factor));
    const inside = at >= span.start_s && at <= span.end_s ? at : (span.start_s + span.end_s) / 2;
    const part = (inside - span.start_s) / (span.end_s - span.start_s);
    setSpan(within({ start_s: inside - part * seconds, end_s: inside + (1 - part) * seconds }, hit.duration_s));
  };
  const isWhole = span.end_s - span.start_s >= hit.duration_s - 0.01;
  return html`<div class="deck-wave">
    ${!isWhole && html`<${Overview} hit=${hit} span=${span} onMove=${setSpan} />`}
    <${Wave} hit=${hit} span=${span} scores=${scores} onZoom=${zoom} />
    <div class="zoom">
      <${IconButton} icon="zoom-in" label="Closer" size=${16} className="small" onClick=${() => zoom(0.5)} />
      <${IconButton} icon="zoom-out" label="Further away" size=${16} className="small" disabled=${isWhole} onClick=${() => zoom(2)} />
      <${IconButton} icon="maximize-2" label="The whole file" size=${16} className="small" disabled=${isWhole} onClick=${() => setSpan({ start_s: 0, end_s: hit.duration_s })} />
    </div>
    ${showsSpectrogram.value && html`<${Spectrogram} hit=${hit} span=${span} />`}
  </div>`;
}

/** The scores of the whole file where the server still knows the query, else those of the hit; window scores only where the
 *  library keeps those of the whole file. @param {import("../types.js").Hit} hit */
function useMoments(hit) {
  const own = momentsOf(hit);
  const [all, setAll] = useState(/** @type {({id: string} & import("../moments.js").PlacedMoments) | null} */ (null));
  const { queryId } = results.value;
  useEffect(() => {
    setAll(null);
    if (!queryId || !own || hit.end_s - hit.start_s >= hit.duration_s - 0.05) return undefined;
    const controller = new AbortController();
    const pause = setTimeout(() => api.moments(hit.id, queryId, controller.signal).then(
      (moments) => { if (moments.window_s || !hit.window_s) setAll({ id: hit.id, ...momentsOfFile(moments) }); }, () => {}), 250);
    return () => {
      clearTimeout(pause);
      controller.abort();
    };
  }, [hit.id, queryId, hit.window_s]);
  return all?.id === hit.id ? all : own;
}

/** @param {{hit: import("../types.js").Hit, span: Span, scores: {start_s: number, frame_s: number, scores: number[]} | null,
 *           onZoom: (factor: number, at: number) => void}} props */
function Wave({ hit, span, scores, onZoom }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const shown = useRef(/** @type {{span: Span, scores: any, range: any, palette: any}} */ ({ span, scores, range: null, palette: null }));
  const wave = useRef(/** @type {any} */ (null));
  const range = momentRange.value;
  const colours = palette.value;
  const width = useWidth(box);
  shown.current = { span, scores, range, palette: colours };

  useEffect(() => {
    const container = /** @type {HTMLElement} */ (box.current);
    let isGone = false;
    /** @type {(() => void)[]} */
    const undo = [];
    const pieces = Math.min(4000, Math.max(400, Math.round(container.clientWidth)));
    peaksOf(hit.id, { ...span, n: pieces }).then((peaks) => {
      if (isGone) return;
      container.replaceChildren();
      const made = draw(container, peaks, hit, shown);
      wave.current = made.surfer;
      undo.push(made.destroy);
    }, () => !isGone && container.replaceChildren());
    return () => {
      isGone = true;
      wave.current = null;
      undo.forEach((one) => one());
    };
  }, [hit.id, span.start_s, span.end_s, width]);

  useEffect(() => {
    wave.current?.setOptions({ cursorColor: colours.cursor });
  }, [scores, range, colours]);

  const onWheel = (/** @type {WheelEvent} */ event) => {
    if (!event.ctrlKey && Math.abs(event.deltaX) <= Math.abs(event.deltaY) * 2 && !event.shiftKey) return;
    event.preventDefault();
    const rect = /** @type {HTMLElement} */ (box.current).getBoundingClientRect();
    onZoom(event.deltaY > 0 ? 1.25 : 0.8, span.start_s + ((event.clientX - rect.left) / rect.width) * (span.end_s - span.start_s));
  };
  useEffect(() => {
    const element = /** @type {HTMLElement} */ (box.current);
    element.addEventListener("wheel", onWheel, { passive: false });
    return () => element.removeEventListener("wheel", onWheel);
  });
  return html`<div class="wave" ref=${box} onMouseDown=${keepFocus} role="slider" tabindex="0" aria-label="Place in the sound" aria-valuemin="0" aria-valuemax=${Math.round(hit.duration_s * 10) / 10}
    aria-valuenow=${Math.round(player.time.value * 10) / 10} aria-valuetext=${clock(player.time.value)}
    onKeyDown=${(/** @type {KeyboardEvent} */ event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1, ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[event.key];
      if (event.key === "Home") player.seek(0);
      else if (event.key === "End") player.seek(hit.duration_s);
      else if (by !== undefined) player.nudge(event.shiftKey ? by / 10 : by);
      else return;
      event.preventDefault();
      event.stopPropagation();
    }}></div>`;
}

const WIDTH_RESTS_MS = 150;

/** The width of an element, once it rests: labels and heights of another width do not fit. @param {{current: HTMLElement | null}} box */
function useWidth(box) {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const element = /** @type {HTMLElement} */ (box.current);
    let timer = 0;
    let isFirst = true;
    const observer = new ResizeObserver(() => {
      if (isFirst) isFirst = false;
      else {
        clearTimeout(timer);
        timer = setTimeout(() => setWidth(element.clientWidth), WIDTH_RESTS_MS);
      }
    });
    observer.observe(element);
    return () => {
      clearTimeout(timer);
      observer.disconnect();
    };
  }, []);
  return width;
}

/** The pointer leaves the focus where it is, so that the arrows still go through the list after a region was dragged. @param {Event} event */
function keepFocus(event) {
  event.preventDefault();
}

/**
 * @param {HTMLElement} container @param {import("../types.js").Peaks} peaks @param {import("../types.js").Hit} hit
 * @param {{current: {span: Span, scores: any, range: any, palette: any}}} shown
 */
function draw(container, peaks, hit, shown) {
  const { span } = shown.current;
  const seconds = span.end_s - span.start_s;
  const axis = ticks(seconds, container.clientWidth);
  const isFine = axis.primaryLabelInterval < 1;
  const first_s = isFine ? Math.floor(10 * span.start_s) / 10 : Math.floor(span.start_s);
  const regions = Regions.create();
  const surfer = WaveSurfer.create({
    container, height: HEIGHT * rem(), peaks: [peaks.max], duration: seconds, interact: true, cursorWidth: 2,
    cursorColor: shown.current.palette.cursor, progressColor: "transparent", hideScrollbar: true,
    plugins: [regions, Timeline.create({
      // Notches count from the beginning of the axis: it is moved so that they stand at round times of the file.
      height: AXIS * rem(), timeOffset: first_s - span.start_s, formatTimeCallback: (/** @type {number} */ at) => (at > seconds - axis.primaryLabelInterval / 2 ? "" : clock(first_s + at, isFine ? 1 : 0)),
      ...axis, style: { fontSize: "0.6875rem", color: "var(--text-3)" },
    })],
    renderFunction: (/** @type {unknown} */ _channels, /** @type {CanvasRenderingContext2D} */ context) => {
      const scale = devicePixelRatio || 1;
      const { width, height } = context.canvas;
      context.save();
      context.scale(scale, scale);
      drawBars(context, width / scale, height / scale, {
        peaks, span, moments: shown.current.scores, range: shown.current.range, palette: shown.current.palette,
      });
      context.restore();
    },
  });
  const root = surfer.getWrapper().getRootNode();
  if (root instanceof ShadowRoot) root.adoptedStyleSheets = [sheet];

  surfer.on("interaction", (/** @type {number} */ at) => player.seek(span.start_s + at));
  regions.enableDragSelection({ color: "rgb(122 162 255 / 0.22)" }, 4);
  let isOurs = false;
  const report = (/** @type {any} */ region) => {
    player.region.value = { start_s: span.start_s + region.start, end_s: span.start_s + region.end };
  };
  regions.on("region-created", (/** @type {any} */ region) => {
    regions.getRegions().filter((/** @type {any} */ other) => other !== region).forEach((/** @type {any} */ other) => other.remove());
    if (isOurs) return;
    report(region);
    player.seek(span.start_s + region.start);
  });
  regions.on("region-updated", report);
  regions.on("region-clicked", (/** @type {any} */ _region, /** @type {MouseEvent} */ event) => {
    event.stopPropagation();
    const box = container.getBoundingClientRect();
    player.seek(span.start_s + ((event.clientX - box.left) / box.width) * seconds);
  });
  // A region that wavesurfer draws before it knows the duration ends where it begins, and is reported like that.
  const isReady = signal(false);
  surfer.once("ready", () => (isReady.value = true));
  const stopRegion = effect(() => {
    if (!isReady.value) return;
    const region = player.region.value;
    const drawn = regions.getRegions()[0];
    const start = region && region.start_s - span.start_s;
    const end = region && region.end_s - span.start_s;
    if (!region || start === null || end === null || end <= 0 || start >= seconds) drawn?.remove();
    else if (!drawn) {
      isOurs = true;
      regions.addRegion({ start: Math.max(0, start), end: Math.min(seconds, end), color: "rgb(122 162 255 / 0.22)" });
      isOurs = false;
    } else if (Math.abs(drawn.start - start) > 0.001 || Math.abs(drawn.end - end) > 0.001) drawn.setOptions({ start: Math.max(0, start), end: Math.min(seconds, end) });
  });
  const stopTime = effect(() => {
    const at = player.time.value - span.start_s;
    if (player.current.value?.id === hit.id) surfer.setTime(Math.min(seconds, Math.max(0, at)));
  });
  return {
    surfer,
    destroy() {
      stopRegion();
      stopTime();
      surfer.destroy();
    },
  };
}

/** Marks of the time axis: about one label every 90 pixels at the usual type, at a round step. @param {number} seconds @param {number} width */
function ticks(seconds, width) {
  const wanted = (seconds * 5.625 * rem()) / Math.max(1, width);
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800].find((one) => one >= wanted) ?? 3600;
  return { timeInterval: step / 2, primaryLabelInterval: step, secondaryLabelInterval: 0, secondaryLabelOpacity: 0 };
}

/** The whole file, and which part of it is shown. @param {{hit: import("../types.js").Hit, span: Span, onMove: (span: Span) => void}} props */
function Overview({ hit, span, onMove }) {
  const line = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => effect(() => {
    if (line.current) line.current.style.left = `${(100 * player.time.value) / hit.duration_s}%`;
  }), [hit.id]);
  const move = (/** @type {any} */ event) => {
    if (event.type === "pointermove" && !event.buttons) return;
    const box = event.currentTarget.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * hit.duration_s;
    const half = (span.end_s - span.start_s) / 2;
    onMove(within({ start_s: at - half, end_s: at + half }, hit.duration_s));
    if (event.type === "pointerdown") player.seek(at);
  };
  return html`<div class="overview" title="The whole file: click to go there" aria-hidden="true" onPointerDown=${move} onPointerMove=${move}>
    <span class="overview-window" style=${{ left: `${(100 * span.start_s) / hit.duration_s}%`, width: `${Math.max(0.5, (100 * (span.end_s - span.start_s)) / hit.duration_s)}%` }}></span>
    <span class="overview-line" ref=${line}></span>
  </div>`;
}
