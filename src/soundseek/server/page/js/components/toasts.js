/** The messages at the foot of the page. */

import { html, Icon, IconButton } from "../html.js";
import { dismiss, toasts } from "../toast.js";

export function Toasts() {
  return html`<div class="toasts" role="status" aria-live="polite">${toasts.value.map((toast) => html`<div key=${toast.id} class=${`toast ${toast.kind}`}>
    ${toast.kind === "problem" && html`<${Icon} name="circle-alert" size=${16} />`}<span>${toast.text}</span>
    ${toast.action && html`<button type="button" class="link-button" onClick=${() => { dismiss(toast.id); toast.action?.run(); }}>${toast.action.label}</button>`}
    <${IconButton} icon="x" label="Dismiss" size=${14} className="small" onClick=${() => dismiss(toast.id)} /></div>`)}</div>`;
}
