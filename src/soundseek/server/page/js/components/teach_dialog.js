/** What a sound that is taught is called: a new name, or one that was taught before. */

import { useState } from "../../vendor/preact-hooks.js";
import { html, Icon } from "../html.js";
import { query } from "../state.js";
import { taughtSounds, teach } from "../taught.js";
import { closeDialog, Dialog } from "./dialog.js";

/** @param {{hits: import("../types.js").Hit[], isRight: boolean}} props */
export function TeachDialog({ hits, isRight }) {
  const [name, setName] = useState(query.peek().text.trim());
  const begin = (/** @type {string} */ chosen) => {
    closeDialog();
    teach(chosen, hits, isRight);
  };
  return html`<${Dialog} title="Teach a sound" className="narrow">
    <p class="hint">Mark hits right or wrong: from the third mark on the search finds more of what you mean. The marks stay with the library.</p>
    <form class="field-row" onSubmit=${(/** @type {Event} */ event) => { event.preventDefault(); if (name.trim()) begin(name.trim()); }}>
      <input type="text" aria-label="What it is called" placeholder="my knocks" maxlength="200" value=${name} autofocus onInput=${(/** @type {any} */ event) => setName(event.target.value)} />
      <button type="submit" class="button primary" disabled=${!name.trim()}>Teach</button>
    </form>
    ${taughtSounds.value.length > 0 && html`<ul class="choice-list" aria-label="Taught before">${taughtSounds.value.map((one) => html`<li><button type="button" class="nav-item" onClick=${() => begin(one.name)}>
      <${Icon} name="check" size=${16} /><span class="nav-name">${one.name}</span><span class="nav-count">${one.right} right, ${one.wrong} wrong</span></button></li>`)}</ul>`}
  <//>`;
}
