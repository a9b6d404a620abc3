/** The row that the keyboard is on, and the rows that are selected. */

import { effect } from "../vendor/signals.js";
import * as player from "./player.js";
import { more } from "./search.js";
import { playsWhileBrowsing } from "./settings.js";
import { cursor, keyOf, selection, shownHits } from "./state.js";

/** @typedef {import("./types.js").Hit} Hit */

/** Row from which a range is selected. */
let anchor = -1;

/** Names the hit that the keyboard was put on. */
let currentKey = "";

// A list in another order: the keyboard stays on its hit.
effect(() => {
  const hits = shownHits.value;
  const at = cursor.peek();
  if (at < 0 || (hits[at] && keyOf(hits[at]) === currentKey)) return;
  const row = hits.findIndex((hit) => keyOf(hit) === currentKey);
  if (row >= 0) cursor.value = row;
});

/** The hit that the keyboard is on. @returns {Hit | undefined} */
export function currentHit() {
  return shownHits.value[cursor.value];
}

/** What an action applies to: the selected hits in their order, else the one that the keyboard is on. @returns {Hit[]} */
export function chosen() {
  const selected = selectedHits();
  const hit = currentHit();
  return selected.length ? selected : hit ? [hit] : [];
}

/** @returns {Hit[]} */
export function selectedHits() {
  return shownHits.value.filter((hit) => selection.value.has(keyOf(hit)));
}

/**
 * Go to a row and play it.
 * @param {number} row @param {{extend?: boolean, play?: boolean, focus?: boolean}} [how]
 */
export function goTo(row, { extend = false, play = playsWhileBrowsing.peek(), focus = true } = {}) {
  const hits = shownHits.peek();
  if (!hits.length) return;
  const target = Math.min(Math.max(row, 0), hits.length - 1);
  if (extend) selectRange(anchor < 0 ? Math.max(0, cursor.peek()) : anchor, target);
  else anchor = target;
  const isNew = cursor.peek() !== target;
  cursor.value = target;
  currentKey = keyOf(hits[target]);
  if (focus) focusRow(target);
  if (isNew && play && !extend) player.play(hits[target]);
  player.preload(hits[target + 1]);
  if (target >= hits.length - 8) more();
}

/** @param {number} rows Negative is up. @param {{extend?: boolean}} [how] */
export function move(rows, how) {
  goTo(cursor.peek() < 0 ? 0 : cursor.peek() + rows, how);
}

/** Do what makes the list forget its row, a change of the query, and stay on the hit that the keyboard is on. @param {() => void} act */
export function staying(act) {
  const hit = currentHit();
  act();
  if (!hit) return;
  currentKey = keyOf(hit);
  cursor.value = shownHits.peek().findIndex((one) => keyOf(one) === currentKey);
}

/** @param {number} row */
export function focusRow(row) {
  const element = /** @type {HTMLElement | null} */ (document.querySelector(`[data-row="${row}"]`));
  element?.focus({ preventScroll: true });
  element?.scrollIntoView({ block: "nearest" });
}

/** @param {number} from @param {number} to */
function selectRange(from, to) {
  if (anchor < 0) anchor = from;
  const [low, high] = from < to ? [from, to] : [to, from];
  selection.value = new Set(shownHits.peek().slice(low, high + 1).map(keyOf));
}

/** Select a row, or no longer. @param {number} row @param {{range?: boolean}} [how] */
export function toggleSelected(row, { range = false } = {}) {
  const hit = shownHits.peek()[row];
  if (!hit) return;
  if (range && anchor >= 0) {
    selectRange(anchor, row);
    return;
  }
  anchor = row;
  const next = new Set(selection.peek());
  if (!next.delete(keyOf(hit))) next.add(keyOf(hit));
  selection.value = next;
}

export function selectAll() {
  selection.value = new Set(shownHits.peek().map(keyOf));
}

/** @param {Hit[]} hits */
export function selectSome(hits) {
  selection.value = new Set(hits.map(keyOf));
}

export function selectNone() {
  selection.value = new Set();
}
