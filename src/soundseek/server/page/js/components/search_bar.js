/** The one search field: words, chips of sounds to be like or unlike, the microphone. */

import { useEffect, useRef, useState } from "../../vendor/preact-hooks.js";
import { collectionName } from "../collections.js";
import { addLike, addNot, addNotTexts, draggedHits, DRAG_TYPE, dropFiles, partOf, removePart } from "../examples.js";
import { clock } from "../format.js";
import { classes, html, Icon, IconButton } from "../html.js";
import { recording, toggleRecording } from "../microphone.js";
import { change, settle, startOver } from "../navigation.js";
import { splitNegatives, toAddress } from "../query.js";
import { goTo } from "../selection.js";
import { focusSearch } from "../shortcuts.js";
import { query, results, shownHits } from "../state.js";
import { Popover } from "./popover.js";

export function SearchBar() {
  const { like, not, text, within, collection, taught } = query.value;
  const picker = useRef(/** @type {HTMLInputElement | null} */ (null));
  const isEmpty = toAddress({ ...query.value, view: "list", libraries: [], windows: false }) === "";
  return html`<search class="search">
    <div class=${classes({ "search-box": true, busy: results.value.state === "loading" })} onClick=${focusField}>
      <${Icon} name="search" size=${20} />
      <div class="search-parts">
        ${collection && html`<${ScopeChip} icon="bookmark" label=${collectionName(collection)} kind="In" onRemove=${() => change({ collection: "" })} />`}
        ${within && html`<${ScopeChip} icon="text-search" label=${describe(within)} kind="Inside" onRemove=${() => change({ within: "" })} />`}
        ${taught && html`<${ScopeChip} icon="check" label=${taught} kind="Taught" onRemove=${() => change({ taught: "" })} />`}
        ${like.map((part, index) => html`<${Chip} key=${`like${index}`} part=${part} side="like" index=${index} />`)}
        ${not.map((part, index) => html`<${Chip} key=${`not${index}`} part=${part} side="not" index=${index} />`)}
        <${Field} text=${text} hasParts=${like.length + not.length > 0 || taught !== ""} />
      </div>
      ${!isEmpty && html`<${IconButton} icon="x" label="Clear the search" onClick=${() => { startOver(); focusSearch(); }} />`}
      <${NotButton} />
      <${IconButton} icon="audio-lines" label="Search by a sound file" onClick=${() => picker.current?.click()} />
      <${Microphone} />
      <input type="file" accept="audio/*,.wav,.flac,.aif,.aiff,.caf,.ogg,.opus,.mp3,.m4a" multiple hidden ref=${picker} aria-label="Sound file to search by"
        onChange=${(/** @type {any} */ event) => { dropFiles([...event.target.files]); event.target.value = ""; }} />
    </div>
  </search>`;
}

function focusField(/** @type {MouseEvent} */ event) {
  if (event && /** @type {HTMLElement} */ (event.target).closest("button, input, .popover")) return;
  document.getElementById("search-text")?.focus();
}

/** @param {{text: string, hasParts: boolean}} props */
function Field({ text, hasParts }) {
  // The field belongs to whoever types: it is written to only where the query has changed by other means, never while
  // drawing, so that a slow machine takes no letter back.
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const last = useRef(text);
  const write = (/** @type {string} */ value) => {
    if (field.current && field.current.value !== value) field.current.value = value;
    last.current = value;
  };
  useEffect(() => write(text), []);
  useEffect(() => {
    const now = query.peek().text;
    if (now !== last.current) write(now);
  }, [text]);
  const commit = (/** @type {string} */ value, isDone = false) => {
    const split = splitNegatives(value, isDone);
    if (split.negatives.length) {
      write(split.text);
      change({ text: split.text });
      addNotTexts(split.negatives);
      return;
    }
    last.current = value;
    if (value !== query.peek().text) change({ text: value, asTyped: false, all: false }, { typing: true });
  };
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    if (event.isComposing) return;
    if (event.key === "ArrowDown" && shownHits.peek().length) {
      event.preventDefault();
      goTo(0);
    } else if (event.key === "Enter") {
      event.preventDefault();
      commit(/** @type {HTMLInputElement} */ (event.target).value, true);
      settle();
      if (shownHits.peek().length && results.peek().state === "ready") goTo(0);
    } else if (event.key === "Backspace" && /** @type {HTMLInputElement} */ (event.target).value === "") {
      const { like, not, within, collection, taught } = query.peek();
      if (not.length) removePart("not", not.length - 1);
      else if (like.length) removePart("like", like.length - 1);
      else if (taught) change({ taught: "" });
      else if (within) change({ within: "" });
      else if (collection) change({ collection: "" });
    }
  };
  return html`<input id="search-text" type="text" inputmode="search" enterkeyhint="search" autocomplete="off" autocapitalize="off"
    spellcheck=${false} aria-label="Describe the sound" aria-describedby="search-hint" placeholder=${hasParts ? "and in words …" : "Describe the sound you need"}
    ref=${field} onInput=${(/** @type {any} */ event) => commit(event.target.value)} onKeyDown=${onKeyDown} autofocus />
    <span id="search-hint" class="visually-hidden">Results appear while you type. Arrow down goes to the first and plays it. A word behind a minus is kept out.</span>
    ${!text && !hasParts && html`<kbd class="search-key" aria-hidden="true">/</kbd>`}`;
}

/** @param {{part: import("../query.js").Part, side: "like" | "not", index: number}} props */
function Chip({ part, side, index }) {
  const region = part.start_s !== undefined && part.end_s !== undefined ? `${clock(part.start_s)}–${clock(part.end_s)}` : "";
  const word = side === "like" ? "Like" : "Not";
  return html`<span class=${`chip ${side}`} title=${part.name}>
    <${Icon} name=${side === "not" ? "circle-minus" : "audio-lines"} size=${14} />
    <span class="visually-hidden">${word}: </span>
    <span class="chip-name">${part.name}</span>
    ${region && html`<span class="chip-region">${region}</span>`}
    ${part.weight !== 1 && html`<span class="chip-region">×${part.weight.toFixed(1)}</span>`}
    <button type="button" class="chip-remove" aria-label=${`Remove: ${word.toLowerCase()} ${part.name}`} onClick=${() => removePart(side, index)}><${Icon} name="x" size=${14} /></button>
  </span>`;
}

/** @param {{icon: string, kind: string, label: string, onRemove: () => void}} props */
function ScopeChip({ icon, kind, label, onRemove }) {
  return html`<span class="chip scope" title=${`${kind} ${label}`}>
    <${Icon} name=${icon} size=${14} /><span class="chip-kind">${kind}</span><span class="chip-name">${label}</span>
    <button type="button" class="chip-remove" aria-label=${`Leave: ${label}`} onClick=${onRemove}><${Icon} name="x" size=${14} /></button>
  </span>`;
}

/** What a query asks for, in a few words. @param {string} address */
export function describe(address) {
  const values = new URLSearchParams(address);
  const like = values.getAll("like").map((part) => `like ${part.split("~").pop()}`);
  const not = values.getAll("not").map((part) => `not ${part.split("*")[0]}`);
  return [values.get("q"), values.get("taught"), ...like, ...not].filter(Boolean).join(", ") || "the filtered list";
}

function NotButton() {
  return html`<${Popover} label="Keep something out" title="Keep something out (or type a minus before a word)" align="end"
    button=${() => html`<${Icon} name="circle-minus" />`} buttonClass="icon-button">
    ${(/** @type {() => void} */ close) => html`<form class="not-form" onSubmit=${(/** @type {any} */ event) => {
      event.preventDefault();
      const words = event.target.elements.words.value.trim();
      if (words) addNotTexts([words]);
      close();
    }}>
      <label for="not-words">It should not sound like</label>
      <div class="field-row">
        <input id="not-words" name="words" type="text" placeholder="speech" autocomplete="off" />
        <button type="submit" class="button primary">Keep out</button>
      </div>
      <p class="hint">The same by keyboard: <code>rain -speech</code>, <code>-"car horn"</code>. On a sound: <kbd>N</kbd>.</p>
    </form>`}
  <//>`;
}

function Microphone() {
  const now = recording.value;
  return html`<span class="microphone">
    <${IconButton} icon=${now ? "square" : "mic"} label=${now ? "Stop recording and search" : "Search by a sound from the microphone"}
      className=${now ? "recording" : ""} filled=${Boolean(now)} onClick=${toggleRecording} />
    ${now && html`<span class="recording-state" role="timer" aria-label="Recording">
      <span class="recording-level" style=${{ "--level": Math.min(1, now.level * 1.4) }}></span>${clock(now.seconds, 0)}</span>`}
  </span>`;
}

/** Sounds can be dropped anywhere on the page: files, or hits from the list. */
export function DropTarget() {
  const [over, setOver] = useState(/** @type {"" | "files" | "hits"} */ (""));
  useEffect(() => {
    let inside = 0;
    const kind = (/** @type {DragEvent} */ event) =>
      event.dataTransfer?.types.includes(DRAG_TYPE) ? "hits" : event.dataTransfer?.types.includes("Files") ? "files" : "";
    const enter = (/** @type {DragEvent} */ event) => { inside += 1; setOver(kind(event)); };
    const leave = () => { inside -= 1; if (inside <= 0) { inside = 0; setOver(""); } };
    const hover = (/** @type {DragEvent} */ event) => { if (kind(event)) event.preventDefault(); };
    const drop = (/** @type {DragEvent} */ event) => {
      inside = 0;
      setOver("");
      if (!kind(event) || event.defaultPrevented) return;
      event.preventDefault();
      const side = /** @type {HTMLElement} */ (event.target).closest?.("[data-drop]")?.getAttribute("data-drop") ?? "like";
      const hits = draggedHits(event.dataTransfer);
      if (hits.length) (side === "not" ? addNot : addLike)(hits.map((hit) => partOf(hit)));
      else if (event.dataTransfer?.files.length) dropFiles(event.dataTransfer.files);
    };
    const listeners = /** @type {const} */ ([["dragenter", enter], ["dragleave", leave], ["dragover", hover], ["drop", drop]]);
    listeners.forEach(([name, listener]) => addEventListener(name, /** @type {any} */ (listener)));
    return () => listeners.forEach(([name, listener]) => removeEventListener(name, /** @type {any} */ (listener)));
  }, []);
  if (!over) return null;
  return html`<div class=${`drop-target ${over}`} aria-hidden="true">
    <div class="drop-zone like" data-drop="like"><${Icon} name="audio-lines" size=${28} /><strong>Find sounds like this</strong></div>
    ${over === "hits" && html`<div class="drop-zone not" data-drop="not"><${Icon} name="circle-minus" size=${28} /><strong>Keep sounds like this out</strong></div>`}
  </div>`;
}
