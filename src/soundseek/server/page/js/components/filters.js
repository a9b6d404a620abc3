/** The filters: a pill each, which says what it lets through. */

import { useState } from "../../vendor/preact-hooks.js";
import { baseName, container, length, rate } from "../format.js";
import { html, Icon } from "../html.js";
import { change } from "../navigation.js";
import { hasFilters, NO_FILTERS } from "../query.js";
import { library, query, results } from "../state.js";
import { Popover } from "./popover.js";

/** @typedef {import("../query.js").FilterValues} FilterValues */

const MOST_FOLDERS = 12;

/** @param {Partial<FilterValues>} values @param {{typing?: boolean}} [how] */
function set(values, how) {
  change({ filters: { ...query.peek().filters, ...values } }, how);
}

export function Filters() {
  const { filters } = query.value;
  return html`<div class="filters" role="group" aria-label="Filters">
    <${Duration} filters=${filters} />
    <${Format} filters=${filters} />
    <${Rate} filters=${filters} />
    <${Folder} filters=${filters} />
    <${Modified} filters=${filters} />
    <${Name} filters=${filters} />
    <${Where} filters=${filters} />
    ${hasFilters(filters) && html`<button type="button" class="link-button" onClick=${() => change({ filters: NO_FILTERS })}>Clear filters</button>`}
    <${PerSwitch} name="per-filters" />
  </div>`;
}

/**
 * One hit a file, or every moment. It stands beside the filters on a phone, above the list elsewhere.
 * @param {{name: string}} props  Of the radio buttons, which there may be twice.
 */
export function PerSwitch({ name }) {
  const { per } = query.value;
  return html`<div class=${`segmented ${name}`} role="radiogroup" aria-label="One hit a file, or every matching moment">
    <label class="segment" title="The best moment of each file"><input type="radio" name=${name} checked=${per === "file"} onChange=${() => change({ per: "file" })} /><span>Files</span></label>
    <label class="segment" title="Every matching stretch of long recordings"><input type="radio" name=${name} checked=${per === "segment"} onChange=${() => change({ per: "segment" })} /><span>Moments</span></label>
  </div>`;
}

/** @param {{label: string, value: string, onClear: () => void, children: (close: () => void) => unknown}} props */
function Pill({ label, value, onClear, children }) {
  return html`<div class=${value ? "pill active" : "pill"}>
    <${Popover} label=${value ? `${label}: ${value}` : label} buttonClass="pill-button"
      button=${() => html`<span>${label}</span>${value ? html`<b>${value}</b>` : html`<${Icon} name="chevron-down" size=${14} />`}`}>
      ${(/** @type {() => void} */ close) => html`<div class="pill-panel">${children(close)}</div>`}
    <//>
    ${value && html`<button type="button" class="pill-clear" aria-label=${`Clear: ${label}`} onClick=${onClear}><${Icon} name="x" size=${14} /></button>`}
  </div>`;
}

/** @param {number | undefined} min @param {number | undefined} max @param {(value: number) => string} say */
function between(min, max, say) {
  if (min === undefined && max === undefined) return "";
  if (min === undefined) return `up to ${say(/** @type {number} */ (max))}`;
  if (max === undefined) return `from ${say(min)}`;
  return min === max ? say(min) : `${say(min)} – ${say(max)}`;
}

const DURATIONS = [
  ["One-shots", undefined, 2], ["Short", undefined, 10], ["Medium", 10, 60], ["Long", 60, undefined],
];

/** @param {{filters: FilterValues}} props */
function Duration({ filters }) {
  const { minDuration, maxDuration } = filters;
  return html`<${Pill} label="Duration" value=${between(minDuration, maxDuration, length)}
    onClear=${() => set({ minDuration: undefined, maxDuration: undefined })}>${() => html`
    <div class="presets">${DURATIONS.map(([name, min, max]) => html`<button type="button" class="button small"
      aria-pressed=${String(min === minDuration && max === maxDuration)}
      onClick=${() => set({ minDuration: /** @type {any} */ (min), maxDuration: /** @type {any} */ (max) })}>${name}</button>`)}</div>
    <div class="field-row">
      <${Number_} label="From" unit="s" value=${minDuration} onChange=${(/** @type {any} */ value) => set({ minDuration: value }, { typing: true })} />
      <${Number_} label="to" unit="s" value=${maxDuration} onChange=${(/** @type {any} */ value) => set({ maxDuration: value }, { typing: true })} />
    </div>`}<//>`;
}

/** @param {{label: string, unit: string, value: number | undefined, onChange: (value: number | undefined) => void}} props */
function Number_({ label, unit, value, onChange }) {
  return html`<label class="number"><span>${label}</span><input type="number" min="0" step="any" value=${value ?? ""}
    onInput=${(/** @type {any} */ event) => onChange(event.target.value === "" ? undefined : Math.max(0, Number(event.target.value)))} /><span>${unit}</span></label>`;
}

/** @param {{filters: FilterValues}} props */
function Format({ filters }) {
  const formats = [...new Set((library.value?.formats ?? []).map((format) => container(format).toLowerCase()))];
  const toggle = (/** @type {string} */ format) => set({
    formats: filters.formats.includes(format) ? filters.formats.filter((one) => one !== format) : [...filters.formats, format],
  });
  return html`<${Pill} label="Format" value=${filters.formats.map((one) => one.toUpperCase()).join(", ")} onClear=${() => set({ formats: [] })}>${() => html`
    <div class="checks" role="group" aria-label="Format">${formats.map((format) => html`<label class="check"><input type="checkbox"
      checked=${filters.formats.includes(format)} onChange=${() => toggle(format)} /><span>${format.toUpperCase()}</span></label>`)}</div>`}<//>`;
}

/** @param {{filters: FilterValues}} props */
function Rate({ filters }) {
  const rates = [...(library.value?.sample_rates_hz ?? [])].sort((a, b) => a - b);
  const { minRate, maxRate } = filters;
  return html`<${Pill} label="Rate" value=${between(minRate, maxRate, rate)} onClear=${() => set({ minRate: undefined, maxRate: undefined })}>${() => html`
    <div class="checks" role="radiogroup" aria-label="Sample rate">
      ${rates.map((one) => html`<label class="check"><input type="radio" name="rate" checked=${minRate === one && maxRate === one}
        onChange=${() => set({ minRate: one, maxRate: one })} /><span>${rate(one)}</span></label>`)}
      <label class="check"><input type="radio" name="rate" checked=${minRate === 48000 && maxRate === undefined}
        onChange=${() => set({ minRate: 48000, maxRate: undefined })} /><span>48 kHz and above</span></label>
    </div>`}<//>`;
}

/** @param {{filters: FilterValues}} props */
function Folder({ filters }) {
  // Those that were indexed, and those that the list comes from: a library is often one folder with many in it.
  const ofHits = results.value.hits.filter((hit) => !hit.library).map((hit) => hit.folder);
  const folders = [...new Set([...(library.value?.folders ?? []), ...filters.folders, ...ofHits])].slice(0, MOST_FOLDERS);
  return html`<${Pill} label="Folder" value=${filters.folders.map(baseName).join(", ")} onClear=${() => set({ folders: [] })}>${(/** @type {() => void} */ close) => html`
    <${Text} label="Files in this folder or below it" value=${filters.folders[0] ?? ""} placeholder="/sounds/rain"
      onSubmit=${(/** @type {string} */ value) => { set({ folders: value ? [value] : [] }); close(); }} />
    <div class="checks">${folders.map((folder) => html`<label class="check" title=${folder}><input type="radio" name="folder"
      checked=${filters.folders.includes(folder)} onChange=${() => set({ folders: [folder] })} /><span>${baseName(folder)}</span></label>`)}</div>
    <p class="hint">The menu of a sound has “Only this folder”.</p>`}<//>`;
}

/** @param {{filters: FilterValues}} props */
function Modified({ filters }) {
  const { after, before } = filters;
  const said = [after && `since ${after}`, before && `before ${before}`].filter(Boolean).join(", ");
  const since = (/** @type {number} */ days) => new Date(Date.now() - days * 86_400_000).toISOString().slice(0, 10);
  return html`<${Pill} label="Modified" value=${said} onClear=${() => set({ after: "", before: "" })}>${() => html`
    <div class="presets">${[["Today", 0], ["7 days", 7], ["30 days", 30], ["A year", 365]].map(([name, days]) => html`<button type="button"
      class="button small" aria-pressed=${String(after === since(/** @type {number} */ (days)))} onClick=${() => set({ after: since(/** @type {number} */ (days)), before: "" })}>${name}</button>`)}</div>
    <div class="field-column">
      <label class="stacked"><span>From</span><input type="date" value=${after} onChange=${(/** @type {any} */ event) => set({ after: event.target.value })} /></label>
      <label class="stacked"><span>Before</span><input type="date" value=${before} onChange=${(/** @type {any} */ event) => set({ before: event.target.value })} /></label>
    </div>`}<//>`;
}

/** @param {{filters: FilterValues}} props */
function Name({ filters }) {
  return html`<${Pill} label="Name" value=${filters.name && `“${filters.name}”`} onClear=${() => set({ name: "" })}>${(/** @type {() => void} */ close) => html`
    <${Text} label="The file name contains" value=${filters.name} placeholder="ZOOM" onSubmit=${(/** @type {string} */ value) => { set({ name: value }); close(); }} />`}<//>`;
}

/** @param {{filters: FilterValues}} props */
function Where({ filters }) {
  return html`<${Pill} label="Where" value=${filters.where} onClear=${() => set({ where: "" })}>${(/** @type {() => void} */ close) => html`
    <${Text} label="A condition" value=${filters.where} placeholder="duration < 5"
      onSubmit=${(/** @type {string} */ value) => { set({ where: value }); close(); }} />
    <p class="hint">As <code>--where</code> on the command line: duration, format, rate, channels, bits, size, loudness, folder, path, modified, name, tag; and, or, not, ( ). For example
      <code>channels = 1 and loudness > -30</code>, <code>tag ~ "scene 12"</code>.</p>`}<//>`;
}

/** @param {{label: string, value: string, placeholder: string, onSubmit: (value: string) => void}} props */
function Text({ label, value, placeholder, onSubmit }) {
  const [typed, setTyped] = useState(value);
  return html`<form class="text-filter" onSubmit=${(/** @type {Event} */ event) => { event.preventDefault(); onSubmit(typed.trim()); }}>
    <label class="stacked"><span>${label}</span><input type="text" value=${typed} placeholder=${placeholder} autocomplete="off"
      onInput=${(/** @type {any} */ event) => setTyped(event.target.value)} /></label>
    <button type="submit" class="button primary">Apply</button>
  </form>`;
}
