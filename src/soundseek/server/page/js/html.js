/** Markup without a build step: htm's template strings become preact's elements. */

import htm from "../vendor/htm.js";
import { h } from "../vendor/preact.js";
import { ICON } from "./icons.js";

/**
 * Markup as an element. htm would keep the elements of markup without values and hand them out again; preact writes into
 * them which list they were last drawn in, and that list's rows would stay in memory with them.
 * @type {typeof h}
 */
export const html = htm.bind(
  /** @this {any[]} @param {[any, any, ...any]} made */
  function uncached(...made) {
    this[0] = 3; // how htm is told not to keep it
    return h(...made);
  });

/**
 * A decorative icon; the control around it carries the name.
 * @param {{name: string, size?: number, filled?: boolean}} props  Size in pixels at the browser's usual font size.
 */
export function Icon({ name, size = 18, filled = false }) {
  const side = `${size / 16}rem`;
  return html`<svg class=${filled ? "icon filled" : "icon"} style=${{ width: side, height: side }} aria-hidden="true">
    <use href=${`#${ICON}${name}`}></use>
  </svg>`;
}

/**
 * A button that shows an icon only: its label is its accessible name and its tooltip.
 * @param {{icon: string, label: string, keys?: string, onClick: (event: MouseEvent) => void, pressed?: boolean,
 *          filled?: boolean, disabled?: boolean, className?: string, size?: number, tabIndex?: number,
 *          expanded?: boolean}} props
 */
export function IconButton({ icon, label, keys, pressed, filled, className = "", size, expanded, ...rest }) {
  return html`<button
    type="button"
    class=${`icon-button ${className}`}
    aria-label=${label}
    aria-pressed=${pressed === undefined ? undefined : String(pressed)}
    aria-expanded=${expanded === undefined ? undefined : String(expanded)}
    title=${keys ? `${label} (${keys})` : label}
    ...${rest}
  ><${Icon} name=${icon} size=${size} filled=${filled} /></button>`;
}

/**
 * Class names of those keys whose value holds.
 * @param {Record<string, unknown>} names
 */
export function classes(names) {
  return Object.keys(names).filter((name) => names[name]).join(" ");
}
