/** Which of the server's libraries are searched, and named sets of them; nothing where the server has one. */

import { useState } from "../../vendor/preact-hooks.js";
import { html, Icon, IconButton } from "../html.js";
import { change } from "../navigation.js";
import { librarySets } from "../settings.js";
import { can, query } from "../state.js";
import { NameForm } from "./name_form.js";

export function Libraries() {
  const [naming, setNaming] = useState(false);
  const all = can.value.libraries ?? [];
  if (all.length < 2) return null;
  const own = all.find((one) => one.is_this)?.address ?? "/";
  const chosen = query.value.libraries.length ? query.value.libraries : [own];
  const choose = (/** @type {string[]} */ libraries) => change({ libraries: libraries.length === 1 && libraries[0] === own ? [] : libraries });
  const toggle = (/** @type {string} */ address) => {
    const next = chosen.includes(address) ? chosen.filter((one) => one !== address) : all.map((one) => one.address).filter((one) => one === address || chosen.includes(one));
    if (next.length) choose(next);
  };
  const keep = (/** @type {string} */ name) => {
    setNaming(false);
    if (name) librarySets.value = [...librarySets.peek().filter((one) => one.name !== name), { name, libraries: chosen }];
  };
  return html`<section class="libraries" aria-label="Libraries">
    <div class="nav-head"><h2>Libraries</h2>${chosen.length > 1 && !naming && html`<${IconButton} icon="plus" label="Keep this choice as a set" size=${16} className="small" onClick=${() => setNaming(true)} />`}</div>
    ${naming && html`<${NameForm} initial="" label="Name of the set" onDone=${keep} />`}
    <ul class="nav-list">
      ${all.map((one) => html`<li class="library-row"><label class="check" title=${one.path}><input type="checkbox" checked=${chosen.includes(one.address)} onChange=${() => toggle(one.address)} /><span class="nav-name">${one.name}</span></label>
        ${!one.is_this && html`<a class="icon-button small" href=${one.address} aria-label=${`Open ${one.name} alone`} title="Open it alone: its collections, map and duplicates"><${Icon} name="chevron-right" size=${14} /></a>`}</li>`)}
      ${librarySets.value.map((set) => html`<li class="nav-row"><button type="button" class="nav-item" aria-current=${String(set.libraries) === String(chosen) ? "true" : undefined}
          onClick=${() => choose(set.libraries.filter((address) => all.some((one) => one.address === address)))}><${Icon} name="library" size=${16} /><span class="nav-name">${set.name}</span></button>
        <${IconButton} icon="x" label=${`Forget the set ${set.name}`} size=${14} className="small nav-menu" onClick=${() => (librarySets.value = librarySets.peek().filter((one) => one !== set))} /></li>`)}
    </ul>
  </section>`;
}
