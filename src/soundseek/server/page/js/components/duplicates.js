/** The view of recordings that are there more than once: the search for them, and the groups. Nothing is ever deleted. */

import { useEffect, useRef, useState } from "../../vendor/preact-hooks.js";
import { collectHits, copyPaths, exportHits } from "../actions.js";
import { duplicates, duplicatesError, findDuplicates, goneFiles, hasMoreDuplicates, isComparing, moreDuplicates, refreshDuplicates, stopComparing } from "../duplicates.js";
import { count, counted, wait } from "../format.js";
import { html, Icon } from "../html.js";
import { selectNone, selectSome } from "../selection.js";
import { duplicateHits, keyOf, library, selection } from "../state.js";
import { HitRow } from "./hit_row.js";
import { SelectionBar } from "./results.js";

/** What it takes to be one recording: measured in docs/results.md; higher finds less and is surer. */
const USUAL_SCORE = 0.45;

export function Duplicates() {
  const version = library.value?.version;
  useEffect(() => {
    if (version !== undefined) refreshDuplicates();
  }, [version]);
  const now = duplicates.value;
  const hits = duplicateHits.value;
  if (duplicatesError.value) return html`<${Broken} error=${duplicatesError.value} />`;
  return html`${selection.value.size ? html`<${SelectionBar} />` : html`<${Bar} now=${now} hits=${hits} />`}
    ${isComparing(now) && html`<${Comparing} now=${now} />`}
    ${now?.is_stale && !isComparing(now) && html`<p class="notice" role="status"><${Icon} name="info" size=${16} /><span>The library has changed since these were found.</span></p>`}
    ${now?.state === "failed" && html`<p class="notice problem" role="alert"><${Icon} name="circle-alert" size=${16} /><span>${now.error}</span></p>`}
    ${hits.length ? html`<${Groups} hits=${hits} />` : html`<${Empty} now=${now} />`}`;
}

/** @param {{now: import("../types.js").DuplicatesState | null, hits: import("../types.js").Hit[]}} props */
function Bar({ now, hits }) {
  const others = hits.filter((hit, at) => at > 0 && hits[at - 1].group === hit.group && hit.isSpare);
  return html`<div class="results-bar">
    <p class="results-count" role="status">${now?.total ? `${counted(now.total, "recording")} more than once, ${counted(now.more_files, "further file")}` : "Duplicates"}</p>
    <div class="results-actions">
      ${others.length > 0 && html`<button type="button" class="button quiet" title="Select every file but the first of each group, and but those that hold more than a copy" onClick=${() => selectSome(others)}><${Icon} name="check" size=${16} /><span>Select the others</span></button>`}
      ${hits.length > 0 && html`<button type="button" class="button quiet" onClick=${() => exportHits(hits)}><${Icon} name="download" size=${16} /><span>Export</span></button>`}
      <${SearchForm} now=${now} />
    </div>
  </div>`;
}

/** The threshold, and the button that begins. @param {{now: import("../types.js").DuplicatesState | null}} props */
function SearchForm({ now }) {
  const [score, setScore] = useState(now?.min_score ?? USUAL_SCORE);
  const isBusy = isComparing(now);
  return html`<form class="duplicates-form" onSubmit=${(/** @type {Event} */ event) => { event.preventDefault(); findDuplicates(score); }}>
    <label class="duplicates-score" title="Least correlation of two waveforms that count as one recording: lower finds more, higher is surer"><span>Likeness from</span>
      <input type="number" min="0.05" max="1" step="0.05" required value=${score} onInput=${(/** @type {any} */ event) => setScore(Number(event.target.value))} /></label>
    ${isBusy ? html`<button type="button" class="button" disabled=${now?.state === "stopping"} onClick=${stopComparing}><${Icon} name="square" size=${14} filled />Stop</button>`
      : html`<button type="submit" class="button primary" disabled=${!now}><${Icon} name="copy" size=${16} />${now?.state === "none" ? "Find duplicates" : "Find again"}</button>`}
  </form>`;
}

/** @param {{now: import("../types.js").DuplicatesState}} props */
function Comparing({ now }) {
  const at = now.progress;
  return html`<section class="comparing" aria-label="Progress">
    <p class="job-line"><strong>${now.state === "stopping" ? "Stopping …" : at ? "Comparing recordings" : "Looking for candidates"}</strong>
      <span class="number">${at ? `${count(at.files_done)} of ${count(at.files_total)} files${at.eta_s ? `, ${wait(at.eta_s)} left` : ""}` : ""}</span></p>
    <progress aria-label="Files compared" max=${at?.files_total || 1} value=${at ? at.files_done : undefined}></progress>
  </section>`;
}

/** @param {{hits: import("../types.js").Hit[]}} props */
function Groups({ hits }) {
  const sizes = new Map();
  hits.forEach((hit) => sizes.set(hit.group, (sizes.get(hit.group) ?? 0) + 1));
  const groups = [...sizes.keys()];
  // Rows are counted as they are read out: the head of each group, and its files.
  const rowIndex = (/** @type {number} */ row) => row + 2 + groups.indexOf(hits[row].group);
  const lastIndex = rowIndex(hits.length - 1);
  return html`<div id="results" class="results groups" role="grid" aria-label="Duplicates" aria-multiselectable="true" tabindex="-1"
    aria-rowcount=${hasMoreDuplicates() ? -1 : lastIndex}>
    ${hits.flatMap((hit, row) => [
      (row === 0 || hits[row - 1].group !== hit.group) && html`<${GroupHead} key=${`group${hit.group}`} hits=${hits} group=${hit.group} size=${sizes.get(hit.group)} rowIndex=${rowIndex(row) - 1} />`,
      html`<${HitRow} key=${keyOf(hit)} hit=${hit} row=${row} rowIndex=${rowIndex(row)} isRanked=${false} />`,
    ])}
    ${hasMoreDuplicates() && html`<${More} rowIndex=${lastIndex + 1} />`}
  </div>`;
}

/** @param {{hits: import("../types.js").Hit[], group: number, size: number, rowIndex: number}} props */
function GroupHead({ hits, group, size, rowIndex }) {
  const own = hits.filter((hit) => hit.group === group);
  const gone = goneFiles.value.get(group);
  return html`<div role="row" class="group-head" aria-rowindex=${rowIndex}>
    <div role="rowheader" class="group-name">${counted(size, "file")}${gone ? html`<span class="faint">, ${counted(gone, "file")} no longer in the library</span>` : ""}</div>
    <div role="gridcell" class="group-actions">
      <button type="button" class="button quiet small" aria-label=${`Collect group ${group}`} onClick=${() => collectHits(own)}><${Icon} name="list-plus" size=${14} /><span>Collect</span></button>
      <button type="button" class="button quiet small" aria-label=${`Copy paths of group ${group}`} onClick=${() => copyPaths(own)}><${Icon} name="copy" size=${14} /><span>Copy paths</span></button>
      <button type="button" class="button quiet small" aria-label=${`Select the others of group ${group}, all but the first and what holds more`} onClick=${() => { selectNone(); selectSome(own.slice(1).filter((hit) => hit.isSpare)); }}><${Icon} name="check" size=${14} /><span>Select the others</span></button>
    </div>
  </div>`;
}

/** Asks for the next groups when it comes into sight. @param {{rowIndex: number}} props */
function More({ rowIndex }) {
  const element = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    const observer = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && moreDuplicates(), { rootMargin: "600px" });
    observer.observe(/** @type {HTMLElement} */ (element.current));
    return () => observer.disconnect();
  });
  return html`<div role="row" class="more-row" aria-rowindex=${rowIndex} ref=${element}><div role="gridcell"><button type="button" class="button quiet" onClick=${moreDuplicates}>More</button></div></div>`;
}

/** @param {{now: import("../types.js").DuplicatesState | null}} props */
function Empty({ now }) {
  if (!now) return html`<div id="results" class="state" aria-hidden="true"></div>`;
  if (isComparing(now)) return html`<div id="results" class="state" tabindex="-1"><${Icon} name="copy" size=${40} /><h2>Comparing</h2><p>The groups appear when all files are compared. Searching and listening go on meanwhile.</p></div>`;
  if (now.state === "ready") return html`<div id="results" class="state" tabindex="-1"><${Icon} name="check" size=${40} /><h2>No recording is there more than once</h2><p>With a lower likeness more counts as the same.</p></div>`;
  return html`<div id="results" class="state" tabindex="-1"><${Icon} name="copy" size=${40} /><h2>What is there more than once?</h2>
    <p>The same recording in another format, rate or level, trimmed, or inside a longer file. Waveforms are compared, so another take of one sound does not count. Nothing is deleted.</p></div>`;
}

/** @param {{error: Error}} props */
function Broken({ error }) {
  return html`<div id="results" class="state" role="alert" tabindex="-1"><${Icon} name=${error.name === "Offline" ? "unplug" : "circle-alert"} size=${40} />
    <h2>${/** @type {any} */ (error).title ?? "That did not work"}</h2><p>${error.message}</p>
    <button type="button" class="button primary" onClick=${refreshDuplicates}><${Icon} name="refresh-cw" size=${16} />Try again</button></div>`;
}
