/** Short messages at the foot of the page, read out by screen readers. */

import { signal } from "../vendor/signals.js";

/** @typedef {{id: number, text: string, kind: "note" | "problem", action?: {label: string, run: () => void}}} Toast */

/** @type {import("../vendor/signals.js").Signal<Toast[]>} */
export const toasts = signal([]);

let last = 0;

/** @param {string} text @param {Toast["action"]} [action] */
export function say(text, action) {
  add({ id: ++last, text, kind: "note", action }, action ? 8000 : 4000);
}

/** @param {unknown} error */
export function complain(error) {
  if (error instanceof Error && error.name === "AbortError") return;
  add({ id: ++last, text: error instanceof Error ? error.message : String(error), kind: "problem" }, 10_000);
}

/** @param {number} id */
export function dismiss(id) {
  toasts.value = toasts.peek().filter((toast) => toast.id !== id);
}

/** @param {Toast} toast @param {number} milliseconds */
function add(toast, milliseconds) {
  // A note takes the place of the one before it, so that a row of them does not cover the list.
  const stay = toasts.peek().filter((old) => old.text !== toast.text && (toast.kind === "problem" || old.kind === "problem" || old.action));
  toasts.value = [...stay, toast].slice(-3);
  setTimeout(() => dismiss(toast.id), milliseconds);
}
