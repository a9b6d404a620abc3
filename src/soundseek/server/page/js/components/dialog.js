/** A modal dialog: the browser's own, which keeps the focus inside and closes on Escape. */

import { useEffect, useRef } from "../../vendor/preact-hooks.js";
import { html, IconButton } from "../html.js";
import { dialog } from "../state.js";

export function closeDialog() {
  dialog.value = null;
}

/** @param {{title: string, className?: string, children?: unknown}} props */
export function Dialog({ title, className = "", children }) {
  const element = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    const before = /** @type {HTMLElement | null} */ (document.activeElement);
    const box = /** @type {HTMLDialogElement} */ (element.current);
    box.showModal();
    return () => {
      box.close();
      before?.focus?.({ preventScroll: true });
    };
  }, []);
  return html`<dialog class=${`dialog ${className}`} ref=${element} aria-labelledby="dialog-title" onCancel=${closeDialog}
    onClick=${(/** @type {MouseEvent} */ event) => event.target === element.current && closeDialog()}>
    <div class="dialog-body">
      <header class="dialog-head"><h2 id="dialog-title">${title}</h2><${IconButton} icon="x" label="Close" onClick=${closeDialog} /></header>
      ${children}
    </div>
  </dialog>`;
}
