/**
 * The query and the address bar, kept equal in both directions.
 *
 * Typing rewrites the current entry of the history; whatever is more deliberate (a chip, a filter, Enter, a pause) adds
 * one, so that "back" goes to the search before and not to the letter before.
 */

import { EMPTY, finishedFromAddress, toAddress } from "./query.js";
import { cursor, lassoed, query, selection } from "./state.js";

const PAUSE_MS = 1500;

let isTyping = false;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let pause;

/** Change parts of the query. @param {Partial<import("./query.js").Query>} change @param {{typing?: boolean}} [how] */
export function change(change, { typing = false } = {}) {
  const next = { ...query.peek(), ...change };
  // The duplicates are no search: whatever is asked for leaves them.
  if (next.view === "duplicates" && !change.view) next.view = "list";
  const address = `${location.pathname}${suffix(toAddress(next))}`;
  if (address !== location.pathname + location.search) {
    if (typing && isTyping) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
  }
  settle();
  isTyping = typing;
  if (typing) pause = setTimeout(settle, PAUSE_MS);
  set(next);
}

/** A new query in place of the old one; the view stays, and what is searched and how moments are told. @param {Partial<import("./query.js").Query>} [start] */
export function startOver(start = {}) {
  const { view, libraries, windows } = query.peek();
  change({ ...EMPTY, libraries, windows, view: view === "map" ? "map" : "list", ...start });
}

/** What follows is a new entry of the history. */
export function settle() {
  clearTimeout(pause);
  isTyping = false;
}

/** @param {string} address */
function suffix(address) {
  return address ? `?${address}` : "";
}

/** @param {import("./query.js").Query} next */
function set(next) {
  if (toAddress(next) === toAddress(query.peek())) return;
  const { view: before, windows } = query.peek();
  const viewOnly = toAddress({ ...next, view: before, windows }) === toAddress(query.peek());
  query.value = next;
  if (viewOnly && next.view !== "duplicates" && before !== "duplicates") return;
  cursor.value = -1;
  selection.value = new Set();
  lassoed.value = null;
}

addEventListener("popstate", () => {
  settle();
  set(finishedFromAddress(location.search));
});

query.value = finishedFromAddress(location.search);
