/** The map: sounds that are alike lie together. A click plays, a lasso selects; hits of the search glow. */

import { useEffect, useMemo, useRef, useState } from "../../vendor/preact-hooks.js";
import * as api from "../api.js";
import { baseName, count, sentenceCase, shown } from "../format.js";
import { classes, html, Icon, IconButton } from "../html.js";
import { MapRenderer, STATE } from "../map_renderer.js";
import * as player from "../player.js";
import { whole } from "../search.js";
import { colourMapBy } from "../settings.js";
import { lassoed, library, query, results, selection } from "../state.js";
import { palette, rgb } from "../theme.js";
import { complain, say } from "../toast.js";
import { ownName } from "../together.js";

const COLOURS = 10;
const MOST_IN_LASSO = 1000;

export function MapView() {
  const [state, setState] = useState(/** @type {import("../types.js").MapState | null} */ (null));
  const [error, setError] = useState("");
  const version = library.value?.version;
  useEffect(() => {
    let timer = 0;
    const controller = new AbortController();
    const ask = () => api.map(controller.signal).then((answer) => {
      setState(answer);
      if (answer.state === "computing" || answer.is_stale) timer = setTimeout(ask, 1000);
    }, (problem) => !api.isAborted(problem) && setError(problem.message));
    ask();
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [version]);
  if (error) return html`<${Message} icon="circle-alert" title="No map" text=${error} />`;
  if (!state || (state.state === "computing" && !state.count)) {
    return html`<${Message} icon="map" title="Drawing the map" text="Sounds that are alike are laid out side by side; it takes a minute for a large library, once.">
      <progress aria-label="Map" max="1" value=${state?.progress || undefined}></progress><//>`;
  }
  if (state.state === "empty") return html`<${Message} icon="map" title="Nothing to lay out yet" text="The map needs a few indexed sounds." />`;
  if (state.state === "failed" && !state.count) return html`<${Message} icon="circle-alert" title="No map" text=${state.error ?? "It could not be computed."} />`;
  return html`<${Points} key=${state.version} map=${state} />`;
}

/** @param {{icon: string, title: string, text: string, children?: unknown}} props */
function Message({ icon, title, text, children }) {
  return html`<div class="map state" role="status"><${Icon} name=${icon} size=${40} /><h2>${title}</h2><p>${text}</p>${children}</div>`;
}

/** @param {{map: import("../types.js").MapState}} props */
function Points({ map }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const overlay = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const renderer = useRef(/** @type {MapRenderer | null} */ (null));
  const [folders, setFolders] = useState(new Uint32Array(0));
  const labels = useLabels(map.version);
  const [isLoaded, setLoaded] = useState(false);
  const [error, setError] = useState("");
  const [usesLasso, setUsesLasso] = useState(false);
  const [only, setOnly] = useState(-1);
  const [chosen, setChosen] = useState(/** @type {number[]} */ ([]));
  const colours = palette.value;

  useEffect(() => {
    const controller = new AbortController();
    /** @type {MapRenderer | undefined} */
    let made;
    try {
      made = renderer.current = new MapRenderer(/** @type {HTMLCanvasElement} */ (canvas.current));
    } catch (problem) {
      setError(/** @type {Error} */ (problem).message);
      return undefined;
    }
    const observer = new ResizeObserver(() => made?.draw());
    observer.observe(/** @type {HTMLCanvasElement} */ (canvas.current));
    api.mapPoints(map.version, controller.signal).then((buffer) => {
      const points = Math.floor(buffer.byteLength / 12);
      const numbers = new DataView(buffer);
      const xy = new Float32Array(2 * points);
      const numbersOfFolders = new Uint32Array(points);
      for (let point = 0; point < points; point++) {
        xy[2 * point] = numbers.getFloat32(12 * point, true);
        xy[2 * point + 1] = numbers.getFloat32(12 * point + 4, true);
        numbersOfFolders[point] = numbers.getUint32(12 * point + 8, true);
      }
      made?.setPoints(xy, new Uint8Array(points));
      setFolders(numbersOfFolders);
      setLoaded(true);
    }, (problem) => !api.isAborted(problem) && setError(problem.message));
    return () => {
      controller.abort();
      observer.disconnect();
      made?.destroy();
    };
  }, []);

  useEffect(() => {
    renderer.current?.setColours([...colours.folders, colours.hot, colours.cursor].map(rgb));
  }, [colours, isLoaded]);

  /** What the colours stand for: a number a point, a name and a colour a number. */
  const kinds = useMemo(() => {
    if (colourMapBy.value === "label" && labels) {
      // The most frequent ones have a colour of their own, the others share the last.
      return { title: "Sounds by colour", names: labels.labels.map(sentenceCase), numbers: Uint32Array.from(labels.label_of, (one) => one ?? labels.labels.length), colourOf: (/** @type {number} */ one) => Math.min(one, COLOURS - 1) };
    }
    return { title: "Folders by colour", names: map.folders, numbers: folders, colourOf: (/** @type {number} */ one) => one % COLOURS };
  }, [colourMapBy.value, labels, folders]);
  useEffect(() => {
    if (isLoaded) renderer.current?.setColourNumbers(Uint8Array.from(kinds.numbers, kinds.colourOf));
  }, [kinds, isLoaded]);

  const found = useFound(map.version);
  useEffect(() => {
    if (!isLoaded) return;
    const states = new Uint8Array(folders.length);
    if (only >= 0) kinds.numbers.forEach((kind, point) => (states[point] = kind === only ? STATE.plain : STATE.dim));
    if (found.length) {
      states.fill(STATE.dim);
      found.forEach((point) => (states[point] = STATE.hit));
    }
    chosen.forEach((point) => (states[point] = STATE.selected));
    renderer.current?.setStates(states);
  }, [isLoaded, only, chosen, found, kinds]);

  const playPoint = async (/** @type {number} */ point) => {
    try {
      const { items } = await api.mapItems(map.version, [point]);
      if (!items[0]) return complain("That file is gone.");
      setChosen([point]);
      player.play(results.peek().hits.find((hit) => hit.id === items[0]?.id) ?? whole(items[0]));
    } catch (problem) {
      complain(problem);
    }
  };
  const select = async (/** @type {number[]} */ points) => {
    setChosen(points);
    if (!points.length) {
      lassoed.value = null;
      return;
    }
    try {
      const { items } = await api.mapItems(map.version, points.slice(0, MOST_IN_LASSO));
      selection.value = new Set();
      lassoed.value = items.flatMap((item) => (item ? [whole(item)] : []));
      if (points.length > MOST_IN_LASSO) say(`The list shows ${count(MOST_IN_LASSO)} of the ${count(points.length)} sounds in the lasso; zoom in for fewer.`);
    } catch (problem) {
      complain(problem);
    }
  };
  const hover = useGestures({ canvas, overlay, renderer, usesLasso, playPoint, select, version: map.version });

  if (error) return html`<${Message} icon="circle-alert" title="No map" text=${error} />`;
  return html`<div class=${classes({ map: true, lassoing: usesLasso })}>
    <canvas ref=${canvas} class="map-points" tabindex="0" role="application"
      aria-label=${`Map of ${count(map.count)} sounds: arrows move, plus and minus zoom, Enter plays the sound nearest to the middle. The list shows the same sounds.`}></canvas>
    <canvas ref=${overlay} class="map-overlay" aria-hidden="true"></canvas>
    ${hover && html`<div class="map-label" style=${{ left: `${hover.x}px`, top: `${hover.y}px` }}>${hover.name}</div>`}
    <div class="map-tools" role="toolbar" aria-label="Map">
      <${IconButton} icon="lasso" label="Lasso: draw around sounds (or hold shift)" pressed=${usesLasso} onClick=${() => setUsesLasso(!usesLasso)} />
      <${IconButton} icon="zoom-in" label="Closer" onClick=${() => renderer.current?.zoomAt(1.6)} />
      <${IconButton} icon="zoom-out" label="Further away" onClick=${() => renderer.current?.zoomAt(1 / 1.6)} />
      <${IconButton} icon="maximize-2" label="The whole map" onClick=${() => renderer.current?.reset()} />
    </div>
    <${Legend} kinds=${kinds} only=${only} onOnly=${setOnly} isWaiting=${colourMapBy.value === "label" && !labels} />
    <p class="map-state" role="status">${ownName.value && query.value.libraries.length > 0 && html`<strong>The map is of ${ownName.value}${" "}alone. </strong>`}${[`${count(map.count)} sounds`, found.length > 0 && `the ${count(found.length)} best of the search glow`].filter(Boolean).join(", ")}${map.is_stale && ". The library has changed; the next map is on its way."}</p>
  </div>`;
}

/** Hits glow that are at least half as good as the best: of a small library the list holds nearly everything. */
const GLOWS_FROM = 0.5;

/** The points of the best hits in the list. @param {number} version @returns {number[]} */
function useFound(version) {
  const [found, setFound] = useState(/** @type {number[]} */ ([]));
  const { hits } = results.value;
  useEffect(() => {
    const best = hits[0]?.score ?? NaN;
    const good = hits.filter((hit) => !Number.isFinite(best) || hit.score >= GLOWS_FROM * best);
    if (!good.length) {
      setFound([]);
      return undefined;
    }
    const controller = new AbortController();
    api.mapFind(version, [...new Set(good.map((hit) => hit.id))], controller.signal).then(
      (answer) => setFound(answer.points.filter((point) => point !== null)), () => {});
    return () => controller.abort();
  }, [hits, version]);
  return found;
}

/**
 * Pan, zoom, click, hover, lasso and keys on the canvas.
 * @param {{canvas: {current: HTMLCanvasElement | null}, overlay: {current: HTMLCanvasElement | null}, renderer: {current: MapRenderer | null},
 *          usesLasso: boolean, playPoint: (point: number) => void, select: (points: number[]) => void, version: number}} parts
 * @returns {{x: number, y: number, name: string} | null}
 */
function useGestures(parts) {
  const [hover, setHover] = useState(/** @type {{x: number, y: number, name: string} | null} */ (null));
  const latest = useRef(parts);
  latest.current = parts;
  useEffect(() => {
    const element = /** @type {HTMLCanvasElement} */ (parts.canvas.current);
    if (!element) return undefined;
    /** @type {Map<number, [number, number]>} */
    const fingers = new Map();
    /** @type {{start: [number, number], last: [number, number], line: [number, number][] | null, moved: boolean} | null} */
    let drag = null;
    let hoverTimer = 0;
    const place = (/** @type {MouseEvent} */ event) => /** @type {[number, number]} */ ([event.offsetX, event.offsetY]);
    const map = () => /** @type {MapRenderer} */ (latest.current.renderer.current);

    const down = (/** @type {PointerEvent} */ event) => {
      element.setPointerCapture(event.pointerId);
      element.focus({ preventScroll: true });
      fingers.set(event.pointerId, place(event));
      const isLasso = latest.current.usesLasso || event.shiftKey;
      drag = { start: place(event), last: place(event), line: isLasso ? [place(event)] : null, moved: false };
      setHover(null);
    };
    const move = (/** @type {PointerEvent} */ event) => {
      const at = place(event);
      const before = fingers.get(event.pointerId);
      if (!before || !drag) return hoverAt(at);
      fingers.set(event.pointerId, at);
      if (fingers.size === 2) {
        const other = /** @type {[number, number]} */ ([...fingers].find(([id]) => id !== event.pointerId)?.[1]);
        const spread = (/** @type {[number, number]} */ one) => Math.hypot(one[0] - other[0], one[1] - other[1]);
        map().zoomAt(spread(at) / Math.max(1, spread(before)), (at[0] + other[0]) / 2, (at[1] + other[1]) / 2);
        drag.moved = true;
        return undefined;
      }
      if (Math.hypot(at[0] - drag.start[0], at[1] - drag.start[1]) > 4) drag.moved = true;
      if (drag.line) {
        drag.line.push(at);
        drawLasso(latest.current.overlay.current, drag.line);
      } else if (drag.moved) map().pan(at[0] - drag.last[0], at[1] - drag.last[1]);
      drag.last = at;
      return undefined;
    };
    const up = (/** @type {PointerEvent} */ event) => {
      fingers.delete(event.pointerId);
      if (!drag || fingers.size) return;
      const { line, moved } = drag;
      drag = null;
      drawLasso(latest.current.overlay.current, []);
      if (line && moved) latest.current.select(map().inside(line));
      else if (!moved) {
        const point = map().pick(...place(event));
        if (point >= 0) latest.current.playPoint(point);
        else latest.current.select([]);
      }
    };
    const hoverAt = (/** @type {[number, number]} */ at) => {
      clearTimeout(hoverTimer);
      const point = map().pick(...at, 8);
      element.classList.toggle("over-point", point >= 0);
      if (point < 0) return setHover(null);
      hoverTimer = setTimeout(() => api.mapItems(latest.current.version, [point]).then(({ items }) => {
        const [x, y] = map().toCanvas(point);
        setHover(items[0] ? { x, y, name: shown(items[0].name) } : null);
      }, () => {}), 60);
      return undefined;
    };
    const wheel = (/** @type {WheelEvent} */ event) => {
      event.preventDefault();
      map().zoomAt(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016)), ...place(event));
      setHover(null);
    };
    const key = (/** @type {KeyboardEvent} */ event) => {
      const by = 60;
      /** @type {Record<string, () => void>} */
      const does = {
        ArrowLeft: () => map().pan(by, 0), ArrowRight: () => map().pan(-by, 0), ArrowUp: () => map().pan(0, by), ArrowDown: () => map().pan(0, -by),
        "+": () => map().zoomAt(1.4), "=": () => map().zoomAt(1.4), "-": () => map().zoomAt(1 / 1.4), 0: () => map().reset(),
        Enter: () => {
          const point = map().pick(element.clientWidth / 2, element.clientHeight / 2, 120);
          if (point >= 0) latest.current.playPoint(point);
        },
      };
      if (event.ctrlKey || event.metaKey || !does[event.key]) return;
      event.preventDefault();
      event.stopPropagation();
      does[event.key]();
    };
    const leave = () => { clearTimeout(hoverTimer); setHover(null); };
    /** @type {[string, (event: any) => void, AddEventListenerOptions?][]} */
    const listeners = [["pointerdown", down], ["pointermove", move], ["pointerup", up], ["pointercancel", up], ["pointerleave", leave], ["wheel", wheel, { passive: false }], ["keydown", key]];
    listeners.forEach(([name, listener, options]) => element.addEventListener(name, listener, options));
    return () => {
      clearTimeout(hoverTimer);
      listeners.forEach(([name, listener]) => element.removeEventListener(name, listener));
    };
  }, []);
  return hover;
}

/** @param {HTMLCanvasElement | null} canvas @param {[number, number][]} line */
function drawLasso(canvas, line) {
  if (!canvas) return;
  const density = devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * density;
  canvas.height = canvas.clientHeight * density;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  if (line.length < 2) return;
  const { cursor } = palette.peek();
  context.scale(density, density);
  context.beginPath();
  line.forEach(([x, y], at) => (at ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.closePath();
  context.strokeStyle = cursor;
  context.lineWidth = 1.5;
  context.setLineDash([5, 4]);
  context.stroke();
  context.globalAlpha = 0.12;
  context.fillStyle = cursor;
  context.fill();
}

/** The colours of folders or of what sounds are; a press shows one alone.
 *  @param {{kinds: {title: string, names: string[], numbers: Uint32Array, colourOf: (kind: number) => number}, only: number, onOnly: (kind: number) => void, isWaiting: boolean}} props */
function Legend({ kinds, only, onOnly, isWaiting }) {
  const { names, numbers } = kinds;
  const sizes = new Uint32Array(names.length);
  numbers.forEach((kind) => { sizes[kind] += 1; });
  const largest = [...sizes.keys()].sort((a, b) => sizes[b] - sizes[a]).slice(0, 14);
  const pick = (/** @type {string} */ by) => () => {
    colourMapBy.value = by;
    onOnly(-1);
  };
  return html`<div class="legend"><div class="segmented" role="radiogroup" aria-label="Colours by">
      <label class="segment"><input type="radio" name="map-colours" checked=${colourMapBy.value !== "label"} onChange=${pick("folder")} /><span>Folder</span></label>
      <label class="segment"><input type="radio" name="map-colours" checked=${colourMapBy.value === "label"} onChange=${pick("label")} /><span>Sound</span></label></div>
    <ul aria-label=${kinds.title} aria-busy=${String(isWaiting)}>${largest.map((kind) => html`<li><button type="button" class="legend-entry" aria-pressed=${String(only === kind)}
    title=${names[kind]} onClick=${() => onOnly(only === kind ? -1 : kind)}><i class=${`folder-${kinds.colourOf(kind)}`}></i><span>${shown(baseName(names[kind]))}</span><span class="number faint">${count(sizes[kind])}</span></button></li>`)}</ul></div>`;
}

/** What the points sound like, once colours are asked for by it. @param {number} version @returns {{labels: string[], label_of: (number | null)[]} | null} */
function useLabels(version) {
  const [labels, setLabels] = useState(/** @type {{labels: string[], label_of: (number | null)[]} | null} */ (null));
  const isAsked = colourMapBy.value === "label";
  useEffect(() => {
    if (!isAsked || labels) return undefined;
    const controller = new AbortController();
    api.mapLabels(version, controller.signal).then(setLabels, complain);
    return () => controller.abort();
  }, [isAsked, version]);
  return labels;
}
