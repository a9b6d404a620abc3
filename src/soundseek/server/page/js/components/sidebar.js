/** The panel at the left: everything, favourites, collections, and the library with its indexing. */

import { useState } from "../../vendor/preact-hooks.js";
import { collect, create, FAVOURITES, regionOf } from "../actions.js";
import { remove, rename } from "../collections.js";
import { draggedHits, DRAG_TYPE } from "../examples.js";
import { baseName, count, counted, wait } from "../format.js";
import { classes, html, Icon, IconButton } from "../html.js";
import { startOver } from "../navigation.js";
import { can, collections, dialog, job, library, query, sidebarOpen } from "../state.js";
import { forgetTaught, renameTaught, taughtSounds } from "../taught.js";
import { searched } from "../together.js";
import { Libraries } from "./libraries.js";
import { NameForm } from "./name_form.js";
import { Popover } from "./popover.js";

export function Sidebar() {
  const now = query.value;
  const go = (/** @type {Partial<import("../query.js").Query>} */ start) => () => {
    sidebarOpen.value = false;
    startOver(start);
  };
  const named = collections.value.filter((one) => one.id !== FAVOURITES);
  const favourites = collections.value.find((one) => one.id === FAVOURITES);
  return html`<nav class=${classes({ sidebar: true, open: sidebarOpen.value })} aria-label="Library">
    <ul class="nav-list">
      <li><button type="button" class="nav-item" aria-current=${now.all && !now.collection ? "page" : undefined} onClick=${go({ all: true })}>
        <${Icon} name="library" size=${16} /><span>All sounds</span><span class="nav-count">${searched.value ? count(searched.value.files) : ""}</span></button></li>
      <li><button type="button" class="nav-item" aria-current=${now.view === "duplicates" ? "page" : undefined} onClick=${go({ view: "duplicates" })}>
        <${Icon} name="copy" size=${16} /><span>Duplicates</span></button></li>
      <${Entry} collection=${favourites ?? { id: FAVOURITES, name: "Favourites", count: 0 }} icon="heart" label="Favourites" onOpen=${go({ collection: FAVOURITES })} />
    </ul>
    <div class="nav-head"><h2>Collections</h2><${NewCollection} /></div>
    <ul class="nav-list">
      ${named.map((one) => html`<${Entry} key=${one.id} collection=${one} icon="bookmark" label=${one.name} onOpen=${go({ collection: one.id })} editable />`)}
      ${!named.length && html`<li class="nav-hint">Drag sounds here to keep them together.</li>`}
    </ul>
    ${taughtSounds.value.length > 0 && html`<div class="nav-head"><h2>Taught</h2></div>
    <ul class="nav-list">${taughtSounds.value.map((one) => html`<${TaughtEntry} key=${one.id} taught=${one} onOpen=${go({ taught: one.name })} />`)}</ul>`}
    <${Libraries} />
    <${LibraryPanel} />
  </nav>
  ${sidebarOpen.value && html`<div class="scrim" onClick=${() => (sidebarOpen.value = false)}></div>`}`;
}

/** @param {{collection: import("../types.js").Collection, icon: string, label: string, onOpen: () => void, editable?: boolean}} props */
function Entry({ collection, icon, label, onOpen, editable }) {
  const [over, setOver] = useState(false);
  const [naming, setNaming] = useState(false);
  const drop = (/** @type {DragEvent} */ event) => {
    setOver(false);
    const hits = draggedHits(event.dataTransfer);
    if (!hits.length) return;
    event.preventDefault();
    collect(collection.id, label, hits.map(regionOf));
  };
  if (naming) return html`<li><${NameForm} initial=${collection.name} label="Name of the collection" onDone=${(/** @type {string} */ name) => {
    setNaming(false);
    if (name && name !== collection.name) rename(collection, name);
  }} /></li>`;
  return html`<li class=${classes({ "nav-row": true, over })}
    onDragOver=${(/** @type {DragEvent} */ event) => { if (event.dataTransfer?.types.includes(DRAG_TYPE)) { event.preventDefault(); setOver(true); } }}
    onDragLeave=${() => setOver(false)} onDrop=${drop}>
    <button type="button" class="nav-item" aria-current=${query.value.collection === collection.id ? "page" : undefined} onClick=${onOpen}>
      <${Icon} name=${icon} size=${16} /><span class="nav-name">${label}</span><span class="nav-count">${count(collection.count)}</span></button>
    ${editable && html`<${Popover} label=${`Actions for ${label}`} buttonClass="icon-button small" className="nav-menu" align="end" menu button=${() => html`<${Icon} name="ellipsis" size=${14} />`}>
      ${(/** @type {() => void} */ close) => html`
        <button type="button" role="menuitem" class="menu-item" onClick=${() => { close(); setNaming(true); }}><${Icon} name="pencil" size=${16} /><span>Rename</span></button>
        <button type="button" role="menuitem" class="menu-item" onClick=${() => { close(); remove(collection); }}><${Icon} name="trash-2" size=${16} /><span>Delete</span></button>`}
    <//>`}
  </li>`;
}

/** @param {{taught: import("../types.js").Taught, onOpen: () => void}} props */
function TaughtEntry({ taught, onOpen }) {
  const [naming, setNaming] = useState(false);
  if (naming) return html`<li><${NameForm} initial=${taught.name} label="Name of what is taught" onDone=${(/** @type {string} */ name) => {
    setNaming(false);
    if (name && name !== taught.name) renameTaught(taught, name);
  }} /></li>`;
  return html`<li class="nav-row">
    <button type="button" class="nav-item" title=${`${taught.right} marked right, ${taught.wrong} wrong`} aria-current=${query.value.taught === taught.name ? "page" : undefined} onClick=${onOpen}>
      <${Icon} name="check" size=${16} /><span class="nav-name">${taught.name}</span><span class="nav-count">${count(taught.right + taught.wrong)}<span class="visually-hidden"> marks</span></span></button>
    <${Popover} label=${`Actions for ${taught.name}`} buttonClass="icon-button small" className="nav-menu" align="end" menu button=${() => html`<${Icon} name="ellipsis" size=${14} />`}>
      ${(/** @type {() => void} */ close) => html`
        <button type="button" role="menuitem" class="menu-item" onClick=${() => { close(); setNaming(true); }}><${Icon} name="pencil" size=${16} /><span>Rename</span></button>
        <button type="button" role="menuitem" class="menu-item" onClick=${() => { close(); forgetTaught(taught); }}><${Icon} name="trash-2" size=${16} /><span>Forget</span></button>`}
    <//>
  </li>`;
}

function NewCollection() {
  const [open, setOpen] = useState(false);
  if (!open) return html`<${IconButton} icon="plus" label="New collection" size=${16} className="small" onClick=${() => setOpen(true)} />`;
  return html`<${NameForm} initial="" label="Name of the new collection" onDone=${(/** @type {string} */ name) => { setOpen(false); if (name) create(name); }} />`;
}

function LibraryPanel() {
  const holds = library.value;
  const facts = searched.value;
  const run = job.value;
  const isRunning = run?.state === "running" || run?.state === "stopping";
  const progress = run?.progress;
  return html`<section class="library-panel" aria-label="The library">
    ${isRunning && html`<button type="button" class="job-card" onClick=${() => (dialog.value = { name: "index" })}>
      <span class="job-line"><strong>Indexing</strong><span class="number">${progress ? `${count(progress.files_done)} of ${count(progress.files_total)}` : "…"}</span></span>
      <progress aria-label="Indexed" max=${progress?.files_total || 1} value=${progress?.files_done ?? 0}></progress>
      <span class="job-line faint"><span>${progress?.eta_s ? `${wait(progress.eta_s)} left` : "counting"}</span><span class="number">${progress?.x_realtime ? `${Math.round(progress.x_realtime)} × real time` : ""}</span></span>
    </button>`}
    ${holds && facts && html`<p class="library-facts" title=${facts.paths.join("\n")}>
      <strong>${facts.names.length ? facts.names.join(" + ") : baseName(holds.path)}</strong>
      <span>${counted(facts.files, "sound")} · ${facts.audioHours < 1 ? `${Math.round(facts.audioHours * 60)} min` : `${facts.audioHours.toFixed(1)} h`} · <span class="unbroken">${facts.model}</span></span>
      ${holds.failures > 0 && html`<button type="button" class="link-button" onClick=${() => (dialog.value = { name: "index", showsFailures: true })}>${counted(holds.failures, "file")} not readable</button>`}
    </p>`}
    ${can.value.index && !isRunning && html`<button type="button" class="button wide" onClick=${() => (dialog.value = { name: "index" })}><${Icon} name="folder-plus" size=${16} />Index folders …</button>`}
  </section>`;
}
