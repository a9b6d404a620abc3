/** How much each part of the query counts: a slider a part, once there are two. */

import { setWeight } from "../examples.js";
import { html, Icon } from "../html.js";
import { change } from "../navigation.js";
import { parts } from "../query.js";
import { query } from "../state.js";

export function Mix() {
  const { text, textWeight, like, not, taught, taughtWeight } = query.value;
  if (parts(query.value) < 2) return null;
  return html`<div class="mix" role="group" aria-label="How much each part counts">
    <span class="mix-title"><${Icon} name="sliders-horizontal" size=${16} />Weights</span>
    ${text.trim() && html`<${Weight} kind="words" label=${`“${text.trim()}”`} value=${textWeight}
      onInput=${(/** @type {number} */ weight) => change({ textWeight: weight }, { typing: true })} />`}
    ${taught && html`<${Weight} kind="like" label=${`taught ${taught}`} value=${taughtWeight}
      onInput=${(/** @type {number} */ weight) => change({ taughtWeight: weight }, { typing: true })} />`}
    ${like.map((part, index) => html`<${Weight} key=${`like${index}`} kind="like" label=${part.name} value=${part.weight}
      onInput=${(/** @type {number} */ weight) => setWeight("like", index, weight)} />`)}
    ${not.map((part, index) => html`<${Weight} key=${`not${index}`} kind="not" label=${`not ${part.name}`} value=${part.weight}
      onInput=${(/** @type {number} */ weight) => setWeight("not", index, weight)} />`)}
  </div>`;
}

/** @param {{kind: string, label: string, value: number, onInput: (weight: number) => void}} props */
function Weight({ kind, label, value, onInput }) {
  return html`<label class=${`weight ${kind}`}>
    <span class="weight-label" title=${label}>${label}</span>
    <input type="range" min="0" max="2" step="0.1" value=${value} aria-valuetext=${`times ${value.toFixed(1)}`}
      onInput=${(/** @type {any} */ event) => onInput(Number(event.target.value))} onDblClick=${() => onInput(1)} />
    <output>${value.toFixed(1)}</output>
  </label>`;
}
