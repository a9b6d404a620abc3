/** Every key of the page in one table, which the help dialog shows as it stands. */

import { collectHits, copyPaths, exportHits, labelHits, moreLikeHits, notLike, regionAsHit, showInFolder, toggleFavourite } from "./actions.js";
import { moreLike } from "./examples.js";
import { change } from "./navigation.js";
import * as player from "./player.js";
import { chosen, currentHit, goTo, move, selectAll, selectNone, toggleSelected } from "./selection.js";
import { matchesGain, showsSpectrogram, singleKeys } from "./settings.js";
import { can, cursor, detailsOpen, dialog, query, selection, shownHits, sidebarOpen } from "./state.js";
import { markHits, searchWithMarks } from "./taught.js";
import { nextTheme } from "./theme.js";

/**
 * @typedef {Object} Shortcut
 * @property {string[]} keys     As `KeyboardEvent.key` names them, with "Shift+" or "Ctrl+" (on a Mac also Command).
 * @property {string} does
 * @property {"Searching" | "Listening" | "Selecting" | "Doing"} group
 * @property {() => unknown} run
 * @property {boolean} [everywhere]  Also while the focus is in a text field.
 */

const PAGE_ROWS = 8;
const regionSound = () => regionAsHit();

/** @type {Shortcut[]} */
export const SHORTCUTS = [
  { group: "Searching", keys: ["/", "Ctrl+k"], does: "Type a search", run: focusSearch, everywhere: true },
  { group: "Searching", keys: ["Escape"], does: "Back to the list; clear region or selection", run: back, everywhere: true },
  { group: "Searching", keys: ["m"], does: "More like this, or like the region", run: moreLikeThis },
  { group: "Searching", keys: ["n"], does: "Not like this", run: () => notLike(regionSound() ? [/** @type {any} */ (regionSound())] : chosen()) },
  { group: "Searching", keys: ["y"], does: "Right: teach it", run: () => markHits(withRegion(), true) },
  { group: "Searching", keys: ["u"], does: "Wrong: not what is taught", run: () => markHits(withRegion(), false) },
  { group: "Searching", keys: ["r"], does: "Search again with the new marks", run: searchWithMarks },
  { group: "Searching", keys: ["v"], does: "List or map", run: () => change({ view: query.peek().view === "map" ? "list" : "map" }) },
  { group: "Listening", keys: ["ArrowDown", "j"], does: "Next sound, played", run: () => move(1) },
  { group: "Listening", keys: ["ArrowUp", "k"], does: "Sound before, played", run: () => move(-1) },
  { group: "Listening", keys: ["PageDown"], does: "Further down", run: () => move(PAGE_ROWS) },
  { group: "Listening", keys: ["PageUp"], does: "Further up", run: () => move(-PAGE_ROWS) },
  { group: "Listening", keys: ["Home"], does: "Best hit", run: () => goTo(0) },
  { group: "Listening", keys: ["End"], does: "Last of the list", run: () => goTo(shownHits.peek().length - 1) },
  { group: "Listening", keys: [" "], does: "Play or stop", run: () => player.toggle(currentHit() ?? player.current.peek()) },
  { group: "Listening", keys: ["ArrowRight"], does: "1 second on", run: () => player.nudge(1) },
  { group: "Listening", keys: ["ArrowLeft"], does: "1 second back", run: () => player.nudge(-1) },
  { group: "Listening", keys: ["."], does: "From the best moment", run: fromMoment },
  { group: "Listening", keys: ["i"], does: "Region begins here", run: () => mark("start_s") },
  { group: "Listening", keys: ["o"], does: "Region ends here", run: () => mark("end_s") },
  { group: "Listening", keys: ["l"], does: "Loop", run: () => (player.loops.value = !player.loops.peek()) },
  { group: "Listening", keys: ["g"], does: "Everything equally loud", run: () => (matchesGain.value = !matchesGain.peek()) },
  { group: "Listening", keys: ["s"], does: "Spectrogram", run: () => (showsSpectrogram.value = !showsSpectrogram.peek()) },
  { group: "Selecting", keys: ["Shift+ArrowDown"], does: "Select downwards", run: () => move(1, { extend: true }) },
  { group: "Selecting", keys: ["Shift+ArrowUp"], does: "Select upwards", run: () => move(-1, { extend: true }) },
  { group: "Selecting", keys: ["x"], does: "Select this, or no longer", run: () => toggleSelected(cursor.peek()) },
  { group: "Selecting", keys: ["Ctrl+a"], does: "Select all that is listed", run: selectAll },
  { group: "Doing", keys: ["Enter"], does: "Details of the sound", run: () => (detailsOpen.value = !detailsOpen.peek()) },
  { group: "Doing", keys: ["f"], does: "Favourite", run: () => chosen().forEach(toggleFavourite) },
  { group: "Doing", keys: ["a"], does: "Add to a collection", run: () => collectHits(withRegion()) },
  { group: "Doing", keys: ["e"], does: "Export", run: () => exportHits(withRegion()) },
  { group: "Doing", keys: ["w"], does: "Words for it", run: () => labelHits(withRegion()) },
  { group: "Doing", keys: ["c"], does: "Copy the path", run: () => chosen().length && copyPaths(chosen()) },
  { group: "Doing", keys: ["b"], does: "Show in its folder", run: () => can.peek().show_in_folder && currentHit() && showInFolder(/** @type {any} */ (currentHit())) },
  { group: "Doing", keys: ["t"], does: "Dark, light, or the system's theme", run: nextTheme },
  { group: "Doing", keys: ["?"], does: "These keys", run: () => (dialog.value = { name: "help" }) },
];

/** @param {KeyboardEvent} event */
export function onKey(event) {
  if (event.defaultPrevented || event.isComposing || event.altKey || dialog.peek()) return;
  const name = nameOf(event);
  const shortcut = SHORTCUTS.find(({ keys }) => keys.includes(name));
  if (!shortcut) return;
  const target = /** @type {HTMLElement} */ (event.target);
  if (isTextField(target) && (!shortcut.everywhere || name === "/")) return;
  if (!singleKeys.peek() && name.length === 1 && name !== " ") return;
  if (ownsKey(target, name)) return;
  if (name === "Ctrl+a" && !shownHits.peek().length) return;
  event.preventDefault();
  shortcut.run();
}

/** @param {KeyboardEvent} event */
function nameOf(event) {
  const isCommand = event.ctrlKey || event.metaKey;
  if (isCommand) return `Ctrl+${event.key.toLowerCase()}`;
  if (event.shiftKey && event.key.startsWith("Arrow")) return `Shift+${event.key}`;
  return event.key.length === 1 ? event.key.toLowerCase() : event.key;
}

/** @param {HTMLElement} element */
function isTextField(element) {
  return element.matches("input:not([type=checkbox], [type=radio], [type=range], [type=button]), textarea, [contenteditable=true]");
}

/** Whether a control needs a key itself: a button its Enter and space, a slider its arrows. @param {HTMLElement} element @param {string} name */
function ownsKey(element, name) {
  if (name === "Enter" || name === " ") return element.matches("button, a, summary, input, select, [role=menuitem], [role=option]");
  if (/^(Arrow|Page|Home|End)/.test(name)) return element.matches("input, select, [role=menuitem], [role=option], [role=slider]");
  return false;
}

export function focusSearch() {
  const field = /** @type {HTMLInputElement | null} */ (document.getElementById("search-text"));
  field?.focus();
  field?.select();
}

function back() {
  const active = /** @type {HTMLElement | null} */ (document.activeElement);
  if (sidebarOpen.peek()) sidebarOpen.value = false;
  else if (active?.id === "search-text") shownHits.peek().length ? goTo(Math.max(0, cursor.peek()), { play: false }) : active.blur();
  else if (player.region.peek()) player.region.value = null;
  else if (selection.peek().size) selectNone();
  else if (detailsOpen.peek()) detailsOpen.value = false;
  else player.stop();
}

function moreLikeThis() {
  const part = regionAsHit();
  if (part) moreLike([part], part);
  else if (chosen().length) moreLikeHits(chosen());
}

/** The region of the player alone where there is one, else what is chosen. */
function withRegion() {
  const part = regionAsHit();
  return part ? [part] : chosen();
}

function fromMoment() {
  const hit = player.current.peek() ?? currentHit();
  if (hit) player.play(hit);
}

/** @param {"start_s" | "end_s"} side */
function mark(side) {
  const hit = player.current.peek();
  if (!hit) return;
  const before = player.region.peek() ?? { start_s: 0, end_s: hit.duration_s };
  const next = { ...before, [side]: player.time.peek() };
  player.region.value = next.end_s - next.start_s >= 0.05 ? next : { start_s: player.time.peek(), end_s: hit.duration_s };
}
