/** What is written down, copied, packed or cut of the chosen sounds. */

import { useState } from "../../vendor/preact-hooks.js";
import { regionOf } from "../actions.js";
import * as api from "../api.js";
import { save } from "../downloads.js";
import { counted } from "../format.js";
import { html, Icon } from "../html.js";
import { inWords } from "../query.js";
import { can, library, query } from "../state.js";
import { say } from "../toast.js";
import { closeDialog, Dialog } from "./dialog.js";

/** @typedef {import("../types.js").ExportFormat} ExportFormat */

/** @type {[ExportFormat, string, string][]} */
const FORMATS = [
  ["zip", "ZIP", "the sounds in one file"],
  ["folder", "Folder", "copies in a folder of this machine"],
  ["csv", "CSV", "for spreadsheets"],
  ["json", "JSON", "for programs"],
  ["m3u", "M3U", "a playlist"],
  ["audacity", "Audacity", "label track"],
  ["reaper", "REAPER", "markers"],
  ["raven", "Raven", "selection table"],
];

/** @type {["audacity" | "reaper" | "raven", string][]} */
const LABELS = [["audacity", "Audacity"], ["reaper", "REAPER"], ["raven", "Raven"]];

/** @typedef {import("../types.js").Hit} Hit */

/** What a list has a line of: the place, and what a search said of it. @param {Hit} hit @returns {import("../types.js").ExportedRegion} */
function lineOf(hit) {
  return {
    ...regionOf(hit),
    ...(hit.moments.length > 0 && { moment_s: hit.moment_s }),
    ...(typeof hit.match === "number" && { match: hit.match }),
    ...(hit.keywords?.length && { keywords: hit.keywords }),
  };
}

/** The whole file. @param {Hit} hit @returns {import("../types.js").ExportedRegion} */
function fileOf(hit) {
  const { id, score } = regionOf(hit);
  return { id, ...(score !== undefined && { score }) };
}

/** What is cut out. @param {Hit} hit @returns {import("../types.js").ExportedRegion} */
function stretchOf(hit) {
  return { ...regionOf(hit), start_s: hit.start_s, end_s: hit.end_s };
}

/** @param {{hits: import("../types.js").Hit[]}} props */
export function ExportDialog({ hits }) {
  const [format, setFormat] = useState(/** @type {ExportFormat} */ ("zip"));
  const isCopy = format === "zip" || format === "folder";
  const hasParts = hits.some((hit) => regionOf(hit).start_s !== undefined);
  const [cuts, setCuts] = useState(hits.length === 1 && hasParts);
  const [before, setBefore] = useState(0);
  const [after, setAfter] = useState(0);
  const [audio, setAudio] = useState(/** @type {"own" | "wav24"} */ ("own"));
  const [labels, setLabels] = useState(/** @type {("audacity" | "reaper" | "raven")[]} */ ([]));
  const [folder, setFolder] = useState("");
  const [state, setState] = useState(/** @type {{busy?: boolean, error?: string, done?: string}} */ ({}));
  const looksFor = inWords(query.value).slice(0, 2000);
  const canFolder = can.value.export_folder;

  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    setState({ busy: true });
    /** @type {import("../types.js").ExportRequest} */
    const request = {
      format,
      items: hits.map(isCopy ? (cuts ? stretchOf : fileOf) : lineOf),
      ...(format === "folder" && { folder: folder.trim() }),
      ...(isCopy && cuts && { cut: { before_s: before, after_s: after, format: audio } }),
      ...(isCopy && labels.length && { labels }),
      ...(looksFor && { label_text: looksFor }),
    };
    try {
      if (format === "folder") {
        const answer = await api.exportFolder(request);
        const skipped = answer.skipped.length ? `; ${answer.skipped.length} could not be: ${answer.skipped[0].reason}` : "";
        setState({ done: `${counted(answer.files.length, "file")} written to ${answer.folder}${skipped}` });
      } else {
        const files = await api.exportFiles(request);
        files.forEach(({ blob, name }) => save(blob, name));
        closeDialog();
        say(files.length === 1 ? `${files[0].name} is in your downloads` : `${files.length} files, one for each library, are in your downloads`);
      }
    } catch (error) {
      setState({ error: /** @type {Error} */ (error).message });
    }
  };
  return html`<${Dialog} title=${hits.length === 1 ? `Export ${hits[0].name}` : `Export ${counted(hits.length, "sound")}`} className="export">
    <form onSubmit=${submit}>
      <fieldset class="cards"><legend>As</legend>${FORMATS.filter(([id]) => id !== "folder" || canFolder).map(([id, title, text]) => html`<label class="card">
        <input type="radio" name="format" value=${id} checked=${format === id} autofocus=${format === id} onChange=${() => setFormat(id)} /><span><b>${title}</b><small>${text}</small></span></label>`)}</fieldset>
      ${isCopy && html`<fieldset class="plain-set"><legend>What</legend>
        <label class="check"><input type="radio" name="cut" checked=${!cuts} onChange=${() => setCuts(false)} /><span>Whole files, as they are</span></label>
        <label class="check"><input type="radio" name="cut" checked=${cuts} onChange=${() => setCuts(true)} /><span>Only the ${hits.length === 1 ? "region" : "matching stretches"}, cut out</span></label></fieldset>`}
      ${isCopy && cuts && html`<div class="field-grid">
        <label class="stacked"><span>Handle before, s</span><input type="number" min="0" max="600" step="any" value=${before} onInput=${(/** @type {any} */ event) => setBefore(Number(event.target.value) || 0)} /></label>
        <label class="stacked"><span>Handle behind, s</span><input type="number" min="0" max="600" step="any" value=${after} onInput=${(/** @type {any} */ event) => setAfter(Number(event.target.value) || 0)} /></label>
        <label class="stacked"><span>Format</span><select value=${audio} onChange=${(/** @type {any} */ event) => setAudio(event.target.value)}>
          <option value="own">the file's own, sample for sample</option><option value="wav24">WAV, 24 bits</option></select></label></div>`}
      ${isCopy && html`<fieldset class="plain-set row"><legend>Labels beside them</legend>${LABELS.map(([id, title]) => html`<label class="check"><input type="checkbox" checked=${labels.includes(id)}
        onChange=${() => setLabels(labels.includes(id) ? labels.filter((one) => one !== id) : [...labels, id])} /><span>${title}</span></label>`)}</fieldset>`}
      ${format === "folder" && html`<label class="stacked"><span>Folder, below an allowed root; a new one is made</span><input type="text" required value=${folder} placeholder=${`${library.value?.folders[0] ?? "/sounds"}/picked`} onInput=${(/** @type {any} */ event) => setFolder(event.target.value)} /></label>`}
      <p class="dialog-state" role="status">${state.error ? html`<span class="problem-text"><${Icon} name="circle-alert" size=${16} />${state.error}</span>` : state.done ? html`<span><${Icon} name="check" size=${16} />${state.done}</span>` : ""}</p>
      <div class="dialog-foot"><button type="button" class="button" onClick=${closeDialog}>${state.done ? "Close" : "Cancel"}</button>
        <button type="submit" class="button primary" disabled=${state.busy}>${state.busy ? "Writing …" : "Export"}</button></div>
    </form>
  <//>`;
}
