/** A field for a name that stands where the name will be. */

import { html, IconButton } from "../html.js";

/** @param {{initial: string, label: string, onDone: (name: string) => void}} props */
export function NameForm({ initial, label, onDone }) {
  return html`<form class="name-form" onSubmit=${(/** @type {any} */ event) => { event.preventDefault(); onDone(event.target.elements.name.value.trim()); }}>
    <input name="name" type="text" maxlength="200" aria-label=${label} placeholder="Name" defaultValue=${initial} autocomplete="off"
      ref=${(/** @type {HTMLInputElement | null} */ input) => input && document.activeElement !== input && !input.dataset.met && ((input.dataset.met = "1"), input.focus(), input.select())}
      onKeyDown=${(/** @type {KeyboardEvent} */ event) => { if (event.key === "Escape") { event.preventDefault(); event.stopPropagation(); onDone(initial); } }} />
    <${IconButton} icon="check" label="Save" size=${16} className="small" onClick=${(/** @type {any} */ event) => event.currentTarget.form.requestSubmit()} />
  </form>`;
}
