/** Every key, from the table that the keys themselves come from. */

import { html } from "../html.js";
import { singleKeys } from "../settings.js";
import { SHORTCUTS } from "../shortcuts.js";
import { Dialog } from "./dialog.js";

/** @type {Record<string, string>} */
const NAMES = {
  ArrowDown: "↓", ArrowUp: "↑", ArrowLeft: "←", ArrowRight: "→", " ": "Space", Enter: "Enter", Home: "Home", End: "End", Escape: "Esc",
  PageDown: "Page ↓", PageUp: "Page ↑", Shift: "⇧", Ctrl: navigator.platform.startsWith("Mac") ? "⌘" : "Ctrl",
};

export function HelpDialog() {
  const groups = [...new Set(SHORTCUTS.map(({ group }) => group))];
  return html`<${Dialog} title="Keys" className="help">
    <div class="key-groups" tabindex="-1" autofocus>${groups.map((group) => html`<section><h3>${group}</h3><dl>${SHORTCUTS.filter((one) => one.group === group).map((one) => html`<div>
      <dt>${one.keys.map((key, at) => html`${at > 0 && html`<span class="faint"> or </span>`}${key.split("+").map((part) => html`<kbd>${NAMES[part] ?? part.toUpperCase()}</kbd>`)}`)}</dt><dd>${one.does}</dd></div>`)}</dl></section>`)}</div>
    <p class="hint">With the mouse: click a waveform to play from there, drag over the player's waveform for a region, Ctrl + wheel on it to zoom, drag a row into another program, into the search field, or onto a collection. Shift + click and Ctrl + click select.</p>
    <label class="check"><input type="checkbox" checked=${singleKeys.value} onChange=${(/** @type {any} */ event) => (singleKeys.value = event.target.checked)} />
      <span>Single letters are keys (turn this off for speech input)</span></label>
  <//>`;
}
