/** A button that opens a small panel beneath it; Escape and a click elsewhere close it. */

import { useLayoutEffect, useRef, useState } from "../../vendor/preact-hooks.js";
import { html } from "../html.js";

/**
 * @param {{button: (open: boolean) => unknown, label: string, className?: string, buttonClass?: string, align?: "start" | "end",
 *          tabIndex?: number, title?: string, menu?: boolean, children: (close: () => void) => unknown}} props
 */
export function Popover({ button, label, className = "", buttonClass = "", align = "start", tabIndex, title, menu, children }) {
  const [open, setOpen] = useState(false);
  const root = useRef(/** @type {HTMLElement | null} */ (null));
  const close = () => {
    setOpen(false);
    root.current?.querySelector("button")?.focus();
  };
  useLayoutEffect(() => {
    if (!open) return undefined;
    const panel = /** @type {HTMLElement} */ (root.current?.querySelector(".popover-panel"));
    if (menu) putBeside(panel, /** @type {HTMLElement} */ (root.current?.querySelector("button")), align);
    else keepOnScreen(panel);
    /** @type {HTMLElement | null} */ (panel.querySelector("input, [role=menuitem], button"))?.focus();
    const outside = (/** @type {Event} */ event) => {
      if (!root.current?.contains(/** @type {Node} */ (event.target))) setOpen(false);
    };
    // A menu stands still on the screen; the row that it is of would go on without it.
    const onScroll = () => menu && setOpen(false);
    document.addEventListener("pointerdown", outside, true);
    document.addEventListener("scroll", onScroll, true);
    return () => {
      document.removeEventListener("pointerdown", outside, true);
      document.removeEventListener("scroll", onScroll, true);
    };
  }, [open]);
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    if (!open) return;
    if (event.key === "Escape") {
      event.preventDefault();
      close();
    } else if (menu) moveInMenu(event, /** @type {HTMLElement} */ (root.current));
  };
  return html`<div class=${`popover ${className}`} ref=${root} onKeyDown=${onKeyDown}>
    <button type="button" class=${buttonClass} aria-haspopup=${menu ? "menu" : "dialog"} aria-expanded=${String(open)}
      aria-label=${label} title=${title} tabindex=${tabIndex}
      onClick=${(/** @type {Event} */ event) => { event.stopPropagation(); setOpen(!open); }}>${button(open)}</button>
    ${open && html`<div class=${`popover-panel align-${align}`} role=${menu ? "menu" : "dialog"} aria-label=${label}
      onClick=${(/** @type {Event} */ event) => event.stopPropagation()}>${children(close)}</div>`}
  </div>`;
}

/**
 * Show a menu above everything: a row's would be cut off where its list ends.
 * @param {HTMLElement} panel @param {HTMLElement} button @param {"start" | "end"} align
 */
function putBeside(panel, button, align) {
  const [gap, edge] = [6, 8];
  panel.popover = "manual";
  panel.showPopover();
  const at = button.getBoundingClientRect();
  const { width, height } = panel.getBoundingClientRect();
  const below = at.bottom + gap;
  const above = at.top - gap - height;
  const top = below + height <= innerHeight - edge ? below : above >= edge ? above : innerHeight - edge - height;
  const left = align === "end" ? at.right - width : at.left;
  const rightmost = document.documentElement.clientWidth - edge - width;
  Object.assign(panel.style, { position: "fixed", inset: "auto", margin: "0", top: `${Math.max(edge, top)}px`, left: `${Math.max(edge, Math.min(left, rightmost))}px` });
}

/** Move a panel that would stick out at the right, left or bottom. @param {HTMLElement} panel */
function keepOnScreen(panel) {
  const box = panel.getBoundingClientRect();
  const right = box.right - (document.documentElement.clientWidth - 8);
  if (right > 0) panel.style.translate = `${-Math.round(right)}px 0`;
  else if (box.left < 8) panel.style.translate = `${Math.round(8 - box.left)}px 0`;
  if (box.bottom > innerHeight - 8 && box.height < box.top) panel.classList.add("above");
}

/** @param {KeyboardEvent} event @param {HTMLElement} root */
function moveInMenu(event, root) {
  const items = /** @type {HTMLElement[]} */ ([...root.querySelectorAll("[role=menuitem]")]);
  const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  items[(to + items.length) % items.length]?.focus();
}
