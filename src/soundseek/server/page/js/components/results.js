/** The list of hits with what stands above it, and what stands in its place when there is none. */

import { useEffect, useRef } from "../../vendor/preact-hooks.js";
import { collectHits, copyPaths, exportHits, labelHits, moreLikeHits, searchInside, takeOut } from "../actions.js";
import { counted } from "../format.js";
import { classes, html, Icon } from "../html.js";
import { change, startOver } from "../navigation.js";
import { asks, exclusions, hasFilters, NO_FILTERS, onlyExcludes, ranks } from "../query.js";
import { more, retry, WITHIN_BEST } from "../search.js";
import { selectAll, selectedHits, selectNone } from "../selection.js";
import { dialog, keyOf, lassoed, query, results, selection, shownHits } from "../state.js";
import { hasFreshMarks, markCount, markHits, searchWithMarks } from "../taught.js";
import { canScoreWindows, windowsDone } from "../window_scores.js";
import { PerSwitch } from "./filters.js";
import { HitRow } from "./hit_row.js";

export function ResultsBar() {
  const { state, total, elapsedMs, isRanked } = results.value;
  const hits = state === "failed" ? [] : results.value.hits; // those of before are not on the screen
  if (selection.value.size) return html`<${SelectionBar} />`;
  const chosen = lassoed.value;
  const number = chosen ? `${counted(chosen.length, "sound")} in the lasso`
    : !hits.length ? "" : counted(total, isRanked && query.value.per === "segment" ? "moment" : "sound");
  return html`<div class="results-bar">
    <p class="results-count" role="status" aria-live="polite">${state === "ready" || chosen ? number : state === "loading" && !hits.length ? "Searching …" : number}
      ${state === "ready" && isRanked && hits.length > 0 && !chosen && html`<span class="results-order">best first</span><span class="results-time">${Math.max(1, Math.round(elapsedMs))} ms</span>`}</p>
    ${chosen && html`<button type="button" class="link-button" onClick=${() => (lassoed.value = null)}>Leave the lasso</button>`}
    <div class="results-actions">
      ${query.value.taught && hasFreshMarks.value && html`<button type="button" class="button primary" title="Search again with the marks (R)" onClick=${searchWithMarks}>
        <${Icon} name="refresh-cw" size=${16} /><span>Use ${counted(markCount.value, "mark")}</span></button>`}
      ${hits.length > 0 && ranks(query.value) && !query.value.taught && html`<button type="button" class="button quiet" title="Mark hits right or wrong, and find more of what you mean (Y: right, U: wrong)" onClick=${() => (dialog.value = { name: "teach", hits: [], isRight: true })}>
        <${Icon} name="check" size=${16} /><span>Teach</span></button>`}
      ${hits.length > 1 && ranks(query.value) && html`<button type="button" class="button quiet" title=${`Another search, inside the ${WITHIN_BEST} best of this one`} onClick=${searchInside}>
        <${Icon} name="text-search" size=${16} /><span>Search inside</span></button>`}
      ${(hits.length > 0 || chosen) && html`<button type="button" class="button quiet" title="Export the list (E: what is selected)" onClick=${() => exportHits(shownHits.value)}>
        <${Icon} name="download" size=${16} /><span>Export</span></button>`}
      ${canScoreWindows.value && html`<${WindowsButton} />`}
      ${ranks(query.value) && html`<${PerSwitch} name="per-list" />`}
      <${ViewSwitch} />
    </div>
  </div>`;
}

/** Moments by window scores, for a model whose own are flat; how far that is stands on the button. */
function WindowsButton() {
  const { windows } = query.value;
  const far = windowsDone.value;
  return html`<button type="button" class="button quiet" aria-pressed=${String(windows)} onClick=${() => change({ windows: !windows })}
    title="The model’s own moments are flat: score windows of two seconds, each embedded alone. It takes seconds a hit.">
    <${Icon} name="audio-lines" size=${16} /><span>Window scores${far && far.done < far.total ? html` <span class="number faint">${far.done} of ${far.total}</span>` : ""}</span></button>`;
}

export function ViewSwitch() {
  const { view } = query.value;
  const pick = (/** @type {"list" | "map"} */ one) => () => change({ view: one });
  return html`<div class="segmented" role="radiogroup" aria-label="View">
    <label class="segment" title="List (V)"><input type="radio" name="view" checked=${view === "list"} onChange=${pick("list")} /><span><${Icon} name="list" size=${16} /><b>List</b></span></label>
    <label class="segment" title="Map (V)"><input type="radio" name="view" checked=${view === "map"} onChange=${pick("map")} /><span><${Icon} name="map" size=${16} /><b>Map</b></span></label>
  </div>`;
}

export function SelectionBar() {
  const hits = selectedHits();
  return html`<div class="results-bar selecting">
    <p class="results-count" role="status">${hits.length} selected</p>
    <div class="results-actions">
      <button type="button" class="button quiet" onClick=${() => exportHits(hits)}><${Icon} name="download" size=${16} /><span>Export</span></button>
      <button type="button" class="button quiet" onClick=${() => collectHits(hits)}><${Icon} name="list-plus" size=${16} /><span>Collect</span></button>
      <button type="button" class="button quiet" onClick=${() => moreLikeHits(hits)}><${Icon} name="radar" size=${16} /><span>More like these</span></button>
      ${query.value.taught && html`<button type="button" class="button quiet" onClick=${() => markHits(hits, true)}><${Icon} name="check" size=${16} /><span>Right</span></button>
        <button type="button" class="button quiet" onClick=${() => markHits(hits, false)}><${Icon} name="x" size=${16} /><span>Wrong</span></button>`}
      <button type="button" class="button quiet" onClick=${() => labelHits(hits)}><${Icon} name="tag" size=${16} /><span>Words</span></button>
      <button type="button" class="button quiet" onClick=${() => copyPaths(hits)}><${Icon} name="copy" size=${16} /><span>Copy paths</span></button>
      ${query.value.collection && html`<button type="button" class="button quiet" onClick=${() => takeOut(hits)}><${Icon} name="trash-2" size=${16} /><span>Take out</span></button>`}
      <button type="button" class="button quiet" onClick=${selectAll}>All</button>
      <button type="button" class="button quiet" onClick=${selectNone}>None</button>
    </div>
  </div>`;
}

/** Where even the best hit is less probable than these, nothing in the library answers the query, or perhaps nothing does (model/match.py). */
const NOTHING_BELOW = 0.05;
const DOUBTFUL_BELOW = 0.2;

/** What was searched for in place of mistyped words, and what else to know of the hits. */
export function Notices() {
  const { searchedFor, warnings, state, hits, isRanked } = results.value;
  if (state === "idle") return null;
  const changed = searchedFor ? readings(searchedFor, query.value) : [];
  const sure = hits.map((hit) => hit.match).filter((match) => typeof match === "number");
  const best = isRanked && sure.length ? Math.max(...sure) : 1;
  return html`<div class="notices" role="status">
    ${best < DOUBTFUL_BELOW && html`<p class="verdict"><${Icon} name="info" size=${16} /><span>${hits[0]?.keywords?.length ? "The first ones are found by words of their names or tags; by sound" : `${best < NOTHING_BELOW ? "Nothing" : "Perhaps nothing"} here sounds like that:`}${" the best hit fits with a probability of "}${Math.round(100 * best)} %.${hits[0]?.keywords?.length ? "" : " The nearest:"}</span></p>`}
    ${changed.map(({ how, read, manners, unwanted, typed, isFromText }) => html`<p class="notice"><${Icon} name="info" size=${16} />
      <span>${how} ${strong(read, unwanted.length > 0)}${manners && `, ${manners} first`}${unwanted.length > 0 && html`${read ? ", not " : "anything but "}${unwanted.map((word, index) => [index > 0 && " and ", strong(word, true)])}`}; you typed “${typed}”.</span>
      ${isFromText && html`<button type="button" class="link-button" onClick=${() => change({ asTyped: true })}>Search as typed</button>`}</p>`)}
    ${warnings.map((warning) => html`<p class="notice"><${Icon} name="triangle-alert" size=${16} /><span>${warning}</span></p>`)}
  </div>`;
}

/** A text that is searched for; in quotation marks where others stand beside it. @param {string} text @param {boolean} isQuoted */
function strong(text, isQuoted) {
  return text && html`<strong>${isQuoted ? `“${text}”` : text}</strong>`;
}

/**
 * What was read otherwise than it was typed: the text with what it keeps out itself, and each word that was given to be kept out.
 * @typedef {{how: string, read: string, manners: string, unwanted: string[], typed: string, isFromText: boolean}} Read
 * @param {NonNullable<import("../types.js").SearchAnswer["searched_for"]>} said
 * @param {import("../query.js").Query} now
 * @returns {Read[]}
 */
function readings(said, now) {
  const { query: read, typed, not_typed: given } = said;
  const own = said.not.slice(0, said.not.length - given.length);
  /** @type {Read[]} */
  const changed = [];
  const chips = onlyExcludes(now) && typed === exclusions(now) ? now.not.flatMap(({ text }) => text ?? []) : null;
  if (chips ? chips.join("\n") !== own.join("\n") : read !== null && (read !== typed || own.length)) {
    changed.push({
      how: "Searched for", read: said.alternatives.map(([text]) => text).join(" or ") || read || "", manners: said.manners.join(" and "), unwanted: own,
      typed: chips ? chips.map((text) => `-${text}`).join(" ") : typed ?? "", isFromText: !chips,
    });
  }
  given.forEach((text, index) => {
    const word = said.not[own.length + index];
    if (word !== text) changed.push({ how: "Kept out", read: word, manners: "", unwanted: [], typed: text, isFromText: true });
  });
  return changed;
}

export function Results() {
  const { state, hits, isRanked, error, nextOffset } = results.value;
  const list = shownHits.value;
  const scroller = useRef(/** @type {HTMLElement | null} */ (null));
  const first = hits[0] && keyOf(hits[0]);
  const unlikelyFrom = isRanked && !lassoed.value ? firstUnlikely(list) : -1;
  const goesOn = nextOffset !== null && !lassoed.value;
  // Rows are counted as they are read out: the head, the hits, and the line before the unlikely ones.
  const rowIndex = (/** @type {number} */ row) => row + 2 + (unlikelyFrom >= 0 && row >= unlikelyFrom ? 1 : 0);
  useEffect(() => scroller.current?.scrollTo(0, 0), [first, lassoed.value]);
  if (state === "failed") return html`<${Failed} error=${error} />`;
  if (state !== "ready" && !list.length) return html`<${Skeleton} />`;
  if (!list.length) return html`<${Nothing} />`;
  return html`<div id="results" class=${classes({ results: true, stale: state === "loading" })} role="grid" aria-label="Sounds" aria-multiselectable="true"
    aria-rowcount=${goesOn ? -1 : rowIndex(list.length) - 1} aria-colcount="8" aria-busy=${String(state === "loading")} ref=${scroller}>
    <div role="row" class="hit-head" aria-rowindex="1">
      <div role="columnheader" class="cell-play"><span class="visually-hidden">Play</span></div>
      <div role="columnheader" class="cell-name">Sound</div>
      <div role="columnheader" class="cell-wave">${isRanked ? "Where it matches" : "Waveform"}</div>
      <div role="columnheader" class="cell-moment">${isRanked ? "Moment" : "From"}</div>
      <div role="columnheader" class="cell-length">Length</div>
      <div role="columnheader" class="cell-format">Format</div>
      <div role="columnheader" class="cell-score">${isRanked ? "Score" : html`<span class="visually-hidden">Score</span>`}</div>
      <div role="columnheader" class="cell-actions"><span class="visually-hidden">Actions</span></div>
    </div>
    ${list.flatMap((hit, row) => [
      row === unlikelyFrom && html`<div role="row" class="unlikely-row" key="unlikely" aria-rowindex=${row + 2}><div role="gridcell" aria-colspan="8">unlikely from here on</div></div>`,
      html`<${HitRow} key=${keyOf(hit)} hit=${hit} row=${row} rowIndex=${rowIndex(row)} isRanked=${Number.isFinite(hit.score)} />`,
    ])}
    ${goesOn && html`<${More} rowIndex=${rowIndex(list.length)} />`}
  </div>`;
}

/**
 * The row from which on every hit is unlikely; -1 where none is, where all are (which a notice says), or where the model does not say.
 * @param {import("../types.js").Hit[]} list
 */
function firstUnlikely(list) {
  let row = list.length;
  while (row > 0 && (list[row - 1].match ?? 1) < DOUBTFUL_BELOW) row -= 1;
  return row > 0 && row < list.length ? row : -1;
}

/** Asks for the next page when it comes into sight. */
/** @param {{rowIndex: number}} props */
function More({ rowIndex }) {
  const element = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    const observer = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && more(), { rootMargin: "600px" });
    observer.observe(/** @type {HTMLElement} */ (element.current));
    return () => observer.disconnect();
  });
  return html`<div role="row" class="more-row" aria-rowindex=${rowIndex} ref=${element}><div role="gridcell" aria-colspan="8"><button type="button" class="button quiet" onClick=${more}>More</button></div></div>`;
}

/** Rows as they will be, so that nothing moves when they come. */
function Skeleton() {
  return html`<div id="results" class="results skeleton" aria-hidden="true"><div class="hit-head"></div>
    ${Array.from({ length: 12 }, () => html`<div class="hit"><div class="cell-play"></div><div class="cell-name"><i></i><i></i></div><div class="cell-wave"><i></i></div></div>`)}</div>`;
}

/** @param {{error: Error | null}} props */
function Failed({ error }) {
  const title = /** @type {any} */ (error)?.title ?? "That did not work";
  const isOffline = error?.name === "Offline";
  // The same question would get the same answer.
  const isWrongFilter = /** @type {any} */ (error)?.status === 422 && hasFilters(query.value.filters);
  return html`<div id="results" class="state" role="alert" tabindex="-1">
    <${Icon} name=${isOffline ? "unplug" : "circle-alert"} size=${40} />
    <h2>${title}</h2><p>${error?.message}</p>
    ${isWrongFilter ? html`<button type="button" class="button primary" onClick=${() => change({ filters: NO_FILTERS })}>Clear the filters</button>`
      : html`<button type="button" class="button primary" onClick=${retry}><${Icon} name="refresh-cw" size=${16} />Try again</button>`}
  </div>`;
}

function Nothing() {
  const now = query.value;
  if (!asks(now)) return null;
  const filtered = hasFilters(now.filters);
  const isEmpty = now.collection && !ranks(now);
  return html`<div id="results" class="state" tabindex="-1">
    <${Icon} name="waves" size=${40} />
    <h2>${isEmpty ? "The collection is empty" : filtered ? "No sound passes the filters" : "Nothing here sounds like that"}</h2>
    <p>${isEmpty ? "Drag sounds onto it, or press A on one." : filtered ? "Each of them may be met by some sounds, all together by none."
      : "Try plainer words: what makes the sound, and where."}</p>
    <div class="state-actions">
      ${filtered && html`<button type="button" class="button primary" onClick=${() => change({ filters: NO_FILTERS })}>Clear the filters</button>`}
      ${now.within && html`<button type="button" class="button" onClick=${() => change({ within: "" })}>Search everything</button>`}
      <button type="button" class="button" onClick=${() => startOver()}>Start over</button>
    </div>
  </div>`;
}
