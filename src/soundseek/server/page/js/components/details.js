/** The panel of facts about the current sound. */

import { useEffect, useState } from "../../vendor/preact-hooks.js";
import { collectHits, copyPaths, exportHits, moreLikeHits, notLike, segmentOf, showInFolder, toggleFavourite } from "../actions.js";
import * as api from "../api.js";
import { collectionName } from "../collections.js";
import { addLike, partOf } from "../examples.js";
import { channels, clock, date, length, matchWord, rate, shown, size, timeOfDay } from "../format.js";
import { html, Icon, IconButton } from "../html.js";
import { startOver } from "../navigation.js";
import * as player from "../player.js";
import { currentHit } from "../selection.js";
import { can, detailsOpen, results, shownHits } from "../state.js";
import { LabelsOf } from "./labels.js";

/** @typedef {import("../types.js").Hit} Hit */

export function Details() {
  if (!detailsOpen.value) return null;
  const playing = player.current.value;
  const hit = currentHit() ?? (playing && (shownHits.value.find((one) => one.id === playing.id) ?? playing));
  return html`<aside class="details" aria-label="Details">
    <div class="details-head"><h2>Details</h2><${IconButton} icon="x" label="Close the details" keys="Escape" onClick=${() => (detailsOpen.value = false)} /></div>
    ${hit ? html`<${Facts} key=${hit.id} hit=${hit} />` : html`<p class="hint">Choose a sound in the list.</p>`}
  </aside>`;
}

/** @param {{hit: Hit}} props */
function Facts({ hit }) {
  const item = useAnswer(() => api.item(hit.id), [hit.id]);
  const isThere = item?.is_there !== false;
  return html`<div class="details-body">
    <h3 class="details-name">${shown(hit.name)}</h3>
    <p class="details-path"><span>${shown(hit.path)}</span><${IconButton} icon="copy" label="Copy the path" keys="C" size=${16} className="small" onClick=${() => copyPaths([hit])} /></p>
    ${!isThere && html`<p class="notice problem"><${Icon} name="triangle-alert" size=${16} />The file is not where it was. Was it moved, or is its disk off?</p>`}
    <div class="details-actions">
      <button type="button" class="button" onClick=${() => moreLikeHits([hit])}><${Icon} name="radar" size=${16} />More like this</button>
      <button type="button" class="button" onClick=${() => notLike([hit])}><${Icon} name="circle-minus" size=${16} />Not like this</button>
      <button type="button" class="button" onClick=${() => addLike([partOf(hit, segmentOf(hit))])}><${Icon} name="plus" size=${16} />As example</button>
      <button type="button" class="button" aria-pressed=${String(hit.is_favourite)} onClick=${() => toggleFavourite(hit)}><${Icon} name="heart" size=${16} filled=${hit.is_favourite} />Favourite</button>
      <button type="button" class="button" onClick=${() => collectHits([hit])}><${Icon} name="list-plus" size=${16} />Collect</button>
      <button type="button" class="button" onClick=${() => exportHits([hit])}><${Icon} name="download" size=${16} />Export</button>
      ${can.value.show_in_folder && html`<button type="button" class="button" onClick=${() => showInFolder(hit)}><${Icon} name="folder-open" size=${16} />Show in folder</button>`}
    </div>
    <dl class="facts">
      <div><dt>Length</dt><dd>${length(hit.duration_s)}</dd></div>
      <div><dt>Format</dt><dd>${hit.format}</dd></div>
      <div><dt>Rate</dt><dd>${rate(hit.sample_rate_hz)}</dd></div>
      <div><dt>Channels</dt><dd>${channels(hit.channels)}</dd></div>
      ${typeof hit.bit_depth === "number" && html`<div><dt>Bit depth</dt><dd>${hit.bit_depth}</dd></div>`}
      ${typeof hit.loudness_dbfs === "number" && html`<div><dt>Level</dt><dd>${hit.loudness_dbfs.toFixed(1)} dBFS RMS</dd></div>`}
      <div><dt>Size</dt><dd>${size(hit.size_bytes)}</dd></div>
      <div><dt>Modified</dt><dd>${date(hit.modified)}</dd></div>
      ${Number.isFinite(hit.score) && html`<div><dt>Score</dt><dd>${hit.score.toFixed(3)}${typeof hit.match === "number" ? ` (${matchWord(hit.match)})` : ""}, best moment at ${clock(hit.moment_s)}</dd></div>`}
      ${hit.window_s && html`<div><dt>Moments</dt><dd>scores of windows of ${length(hit.window_s)}, each heard alone</dd></div>`}
      ${hit.clock && html`<div><dt>Recorded</dt><dd>${timeOfDay(hit.clock)}</dd></div>`}
      ${item?.is_truncated && html`<div><dt>Indexed</dt><dd>only its beginning</dd></div>`}
    </dl>
    ${item && item.collections.length > 0 && html`<section><h4>In collections</h4><div class="ideas">${item.collections.map((id) => html`<button type="button" class="idea small"
      onClick=${() => startOver({ collection: id })}>${collectionName(id)}</button>`)}</div></section>`}
    ${item?.tags && item.tags.length > 0 && html`<section><h4>Tags</h4><dl class="facts">${item.tags.map(({ name, text }) => html`<div><dt>${shown(name)}</dt><dd>${shown(text)}</dd></div>`)}</dl></section>`}
    <${LabelsOf} hit=${hit} />
    <${Places} hit=${hit} />
    ${item && item.copies.length > 0 && html`<section><h4>Same content</h4><ul class="plain">${item.copies.map((path) => html`<li>${shown(path)}</li>`)}</ul></section>`}
  </div>`;
}

/** Other stretches of a long file that matched. @param {{hit: Hit}} props */
function Places({ hit }) {
  const { queryId } = results.value;
  const isLong = hit.duration_s > hit.end_s - hit.start_s + 1;
  const moments = useAnswer(() => (queryId && isLong && hit.moments.length ? api.moments(hit.id, queryId) : Promise.resolve(null)), [hit.id, queryId]);
  if (!moments || moments.segments.length < 2) return null;
  /** @type {import("../types.js").Moments["segments"]} */
  const best = [];
  for (const one of [...moments.segments].sort((a, b) => b.score - a.score)) {
    // Segments overlap by half: of neighbours the better one stands for both.
    if (best.length < 6 && best.every((other) => one.start_s >= other.end_s || one.end_s <= other.start_s)) best.push(one);
  }
  return html`<section><h4>Places in this file</h4><ul class="places">${best.map((place) => html`<li><button type="button" class="place"
    onClick=${() => player.play({ ...hit, start_s: place.start_s, end_s: place.end_s, moments: [] }, place.start_s)}>
    <${Icon} name="play" size=${12} filled /><span class="number">${clock(place.start_s, 0)} – ${clock(place.end_s, 0)}</span><span class="number faint">${place.score.toFixed(2)}</span></button></li>`)}</ul></section>`;
}

/** What a request answers; null before, and where it fails. @template T @param {() => Promise<T>} ask @param {unknown[]} about @returns {T | null} */
function useAnswer(ask, about) {
  const [answer, setAnswer] = useState(/** @type {T | null} */ (null));
  useEffect(() => {
    let isGone = false;
    setAnswer(null);
    ask().then((value) => !isGone && setAnswer(value), () => {});
    return () => { isGone = true; };
  }, about);
  return answer;
}
