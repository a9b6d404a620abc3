/** Which collection some sounds go into, or a new one. */

import { useState } from "../../vendor/preact-hooks.js";
import { collect, create, FAVOURITES, regionOf } from "../actions.js";
import { collectionName } from "../collections.js";
import { counted } from "../format.js";
import { html, Icon } from "../html.js";
import { collections } from "../state.js";
import { closeDialog, Dialog } from "./dialog.js";

/** @param {{hits: import("../types.js").Hit[]}} props */
export function CollectDialog({ hits }) {
  const [name, setName] = useState("");
  const put = (/** @type {string} */ id, /** @type {string} */ title) => {
    closeDialog();
    collect(id, title, hits.map(regionOf));
  };
  return html`<${Dialog} title=${hits.length === 1 ? `Keep ${hits[0].name}` : `Keep ${counted(hits.length, "sound")}`} className="narrow">
    <form class="field-row" onSubmit=${async (/** @type {Event} */ event) => {
      event.preventDefault();
      if (!name.trim()) return;
      const made = await create(name.trim());
      if (made) put(made.id, made.name);
    }}>
      <input type="text" aria-label="Name of a new collection" placeholder="New collection" maxlength="200" value=${name} autofocus onInput=${(/** @type {any} */ event) => setName(event.target.value)} />
      <button type="submit" class="button primary" disabled=${!name.trim()}>Create</button>
    </form>
    <ul class="choice-list">${collections.value.map((one) => html`<li><button type="button" class="nav-item" onClick=${() => put(one.id, collectionName(one.id))}>
      <${Icon} name=${one.id === FAVOURITES ? "heart" : "bookmark"} size=${16} /><span class="nav-name">${collectionName(one.id)}</span><span class="nav-count">${one.count}</span></button></li>`)}</ul>
  <//>`;
}
