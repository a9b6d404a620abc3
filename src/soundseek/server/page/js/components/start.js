/** Before the first search: what can be asked, what was asked, what is here. */

import { Problem } from "../api.js";
import { counted } from "../format.js";
import { html, Icon } from "../html.js";
import { change, startOver } from "../navigation.js";
import { recent } from "../settings.js";
import { can, dialog, library, libraryError } from "../state.js";

const IDEAS = [
  "rain on a tin roof", "footsteps on gravel", "an old door creaks open", "crowd cheering in a stadium",
  "a distant dog barks at night", "metal scraping, tense", "children laughing outside", "deep rumble",
];

export function Start() {
  const holds = library.value;
  const error = libraryError.value;
  if (error && !(error instanceof Problem && error.status === 409 && can.value.index)) return html`<${NoLibrary} error=${error} />`;
  if (error || holds?.files === 0) return html`<${EmptyLibrary} />`;
  return html`<div id="results" class="start" tabindex="-1">
    <h1>What should it sound like?</h1>
    <p class="start-lead">Describe it in your own words. soundseek listens to the recordings themselves; words that also stand in names and tags help.</p>
    ${recent.value.length > 0 && html`<section aria-labelledby="recent-title"><h2 id="recent-title">Searched before</h2>
      <div class="ideas">${recent.value.map((text) => html`<button type="button" class="idea" onClick=${() => change({ text })}><${Icon} name="rotate-ccw" size=${14} />${text}</button>`)}</div></section>`}
    <section aria-labelledby="ideas-title"><h2 id="ideas-title">For example</h2>
      <div class="ideas">${IDEAS.map((text) => html`<button type="button" class="idea" onClick=${() => change({ text })}>${text}</button>`)}</div></section>
    <div class="start-ways">
      <p><${Icon} name="audio-lines" size=${20} /><span><strong>Drop a sound</strong> anywhere to find what is like it.</span></p>
      <p><${Icon} name="mic" size=${20} /><span><strong>Make the noise yourself:</strong> the microphone in the field searches by it.</span></p>
      <p><${Icon} name="circle-minus" size=${20} /><span><strong>Keep things out:</strong> <code>rain -thunder</code>.</span></p>
      <p><${Icon} name="keyboard" size=${20} /><span><kbd>/</kbd> types, <kbd>↓</kbd> plays the next, <kbd>?</kbd> shows every key.</span></p>
    </div>
    ${holds && html`<p class="start-facts">${counted(holds.files, "sound")}, ${holds.audio_hours < 1 ? `${Math.round(holds.audio_hours * 60)} minutes` : `${holds.audio_hours.toFixed(1)} hours`}.${" "}
      <button type="button" class="link-button" onClick=${() => startOver({ all: true })}>Browse them all</button></p>`}
  </div>`;
}

function EmptyLibrary() {
  return html`<div id="results" class="state" tabindex="-1"><${Icon} name="folder-plus" size=${40} />
    <h1>The library is empty</h1>
    <p>Choose folders with recordings. soundseek listens to them once and leaves them as they are.</p>
    ${can.value.index ? html`<button type="button" class="button primary" onClick=${() => (dialog.value = { name: "index" })}>Index folders …</button>`
      : html`<p><code>soundseek index ~/Sounds</code></p>`}
  </div>`;
}

/** @param {{error: Error}} props */
function NoLibrary({ error }) {
  return html`<div id="results" class="state" role="alert" tabindex="-1"><${Icon} name=${error.name === "Offline" ? "unplug" : "circle-alert"} size=${40} />
    <h1>${/** @type {any} */ (error).title ?? "No library"}</h1><p>${error.message}</p></div>`;
}
