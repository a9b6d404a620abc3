/** Words for sounds, out of a list: AudioSet's names, the categories of UCS, or one's own. A click searches for a word. */

import { useEffect, useRef, useState } from "../../vendor/preact-hooks.js";
import { regionOf } from "../actions.js";
import * as api from "../api.js";
import { save } from "../downloads.js";
import { baseName, clock, counted, labelWords, shown } from "../format.js";
import { html, Icon } from "../html.js";
import { startOver } from "../navigation.js";
import { labelList, ownLabels } from "../settings.js";
import { complain, say } from "../toast.js";
import { closeDialog, Dialog } from "./dialog.js";

/** @typedef {import("../types.js").Hit} Hit */

const MOST_SOUNDS = 200;
/** @type {["audioset" | "ucs" | "own", string][]} */
const LISTS = [["audioset", "AudioSet’s names"], ["ucs", "UCS categories"], ["own", "My own words"]];

/** The words to choose from: the name of a list, or one's own. */
function chosenLabels() {
  if (labelList.value !== "own") return /** @type {"audioset" | "ucs"} */ (labelList.value);
  return [...new Set(ownLabels.value.split(/[\n,;]/).map((word) => word.trim()).filter(Boolean))].slice(0, 1000);
}

/** @param {Hit[]} hits @param {number} k @returns {import("../types.js").LabelsRequest} */
function requestFor(hits, k) {
  return { items: hits.slice(0, MOST_SOUNDS).map(placeOf), labels: chosenLabels(), k };
}

/** @param {Hit} hit */
function placeOf(hit) {
  const { id, start_s, end_s } = regionOf(hit);
  return { id, ...(start_s !== undefined && { start_s, end_s }) };
}

/**
 * The labels of some sounds; null while they are on their way.
 * @param {Hit[]} hits @param {number} k
 * @returns {{sounds: import("../types.js").LabelledSound[] | null, warnings: string[], error: string}}
 */
function useLabels(hits, k) {
  const [answer, setAnswer] = useState(/** @type {{sounds: import("../types.js").LabelledSound[] | null, warnings: string[], error: string}} */ ({ sounds: null, warnings: [], error: "" }));
  const request = requestFor(hits, k);
  const about = JSON.stringify(request);
  const list = labelList.value;
  const answered = useRef(list);
  useEffect(() => {
    const controller = new AbortController();
    // Words of another list would be taken for those of the chosen one.
    setAnswer((before) => ({ ...before, error: "", ...(list !== answered.current && { sounds: null, warnings: [] }) }));
    answered.current = list;
    if (!request.labels.length) {
      setAnswer({ sounds: [], warnings: [], error: "" });
      return undefined;
    }
    // A pause, so that a list that is being typed, or held arrows, do not ask for each.
    const pause = setTimeout(() => api.labels(request, controller.signal).then(
      ({ sounds, warnings }) => setAnswer({ sounds, warnings, error: "" }),
      (problem) => !api.isAborted(problem) && setAnswer({ sounds: [], warnings: [], error: problem.message })), 250);
    return () => {
      clearTimeout(pause);
      controller.abort();
    };
  }, [about]);
  return answer;
}

/** The words of one sound, in the details. @param {{hit: Hit}} props */
export function LabelsOf({ hit }) {
  const { sounds, error } = useLabels([hit], 5);
  const mine = sounds?.[0]?.id === hit.id ? sounds[0] : null;
  return html`<section class="labels" aria-busy=${String(!mine && !error)}><h4>Words for it</h4>
    <${ListChoice} name="labels-details" />
    ${error ? html`<p class="problem-text">${error}</p>` : mine ? html`<${Words} labels=${mine.labels} />`
      : sounds?.length === 0 ? html`<p class="hint">Write the words to choose from, one a line.</p>` : html`<div class="label-words waiting" aria-hidden="true"></div>`}
  </section>`;
}

/** The words of several sounds, and the same as a table. @param {{hits: Hit[]}} props */
export function LabelsDialog({ hits }) {
  const { sounds, warnings, error } = useLabels(hits, 3);
  const [busy, setBusy] = useState(false);
  const download = async () => {
    setBusy(true);
    try {
      save(await api.labelsCsv(requestFor(hits, 5)), "labels.csv");
      say("labels.csv is in your downloads");
    } catch (problem) {
      complain(problem);
    }
    setBusy(false);
  };
  return html`<${Dialog} title=${hits.length === 1 ? `Words for ${shown(hits[0].name)}` : `Words for ${counted(hits.length, "sound")}`} className="labels-dialog">
    <${ListChoice} name="labels-dialog" />
    ${warnings.map((warning) => html`<p class="hint">${warning}</p>`)}
    ${hits.length > MOST_SOUNDS && html`<p class="hint">The first ${MOST_SOUNDS} of them.</p>`}
    <div class="label-table" role="region" aria-label="Words" tabindex="0" aria-busy=${String(sounds === null)}>
      ${sounds === null && !error && html`<p class="hint">Comparing with the words …</p>`}
      ${sounds?.map((sound) => html`<div class="label-row" key=${`${sound.id}@${sound.start_s}`}>
        <span class="label-name" title=${shown(sound.path)}>${shown(baseName(sound.path))}${sound.start_s > 0 ? html` <span class="faint number">${clock(sound.start_s)}</span>` : ""}</span><${Words} labels=${sound.labels} /></div>`)}
    </div>
    <p class="dialog-state" role="status">${error && html`<span class="problem-text"><${Icon} name="circle-alert" size=${16} />${error}</span>`}</p>
    <div class="dialog-foot"><span class="hint">A click on a word searches for it.</span><button type="button" class="button" onClick=${closeDialog}>Close</button>
      <button type="button" class="button primary" disabled=${busy || !sounds?.length} onClick=${download}><${Icon} name="download" size=${16} />CSV</button></div>
  <//>`;
}

/** Which words there are to choose from. @param {{name: string}} props */
function ListChoice({ name }) {
  return html`<div class="label-lists"><label class="stacked"><span>Out of</span><select value=${labelList.value} onChange=${(/** @type {any} */ event) => (labelList.value = event.target.value)}>
      ${LISTS.map(([id, title]) => html`<option value=${id} selected=${labelList.value === id}>${title}</option>`)}</select></label>
    ${labelList.value === "own" && html`<label class="stacked"><span>My words, one a line</span><textarea id=${name} rows="4" spellcheck=${false} placeholder=${"a door knock\nrain on a window"} value=${ownLabels.value}
      onInput=${(/** @type {any} */ event) => (ownLabels.value = event.target.value)}></textarea></label>`}</div>`;
}

/** The best first, by the number that is shown. @param {import("../types.js").SoundLabel[]} labels */
function byFit(labels) {
  const fit = (/** @type {import("../types.js").SoundLabel} */ one) => one.match ?? one.score;
  return [...labels].sort((one, other) => fit(other) - fit(one));
}

/** @param {{labels: import("../types.js").SoundLabel[]}} props */
function Words({ labels }) {
  return html`<ul class="label-words">${byFit(labels).map((one) => {
    const sure = typeof one.match === "number" ? `${Math.round(100 * one.match)} %` : one.score.toFixed(2);
    return html`<li><button type="button" class="idea small" title=${`${one.cat_id ? `${one.cat_id}: ` : ""}score ${one.score.toFixed(3)}. Search for this word`}
      onClick=${() => { closeDialog(); startOver({ text: labelWords(one) }); }}><span class="visually-hidden">Search for </span><span>${labelWords(one)}</span><span class="number faint">${sure}</span></button></li>`;
  })}</ul>`;
}
