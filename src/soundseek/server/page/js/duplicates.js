/** Recordings that the library has more than once: the search for them, followed, and its groups as hits. */

import { signal } from "../vendor/signals.js";
import * as api from "./api.js";
import { baseName, clock, shown } from "./format.js";
import { whole } from "./search.js";
import { duplicateHits } from "./state.js";
import { complain } from "./toast.js";

/** @typedef {import("./types.js").Hit} Hit */

const PAGE = 40;

/** How the search stands; null before the server was asked. @type {import("../vendor/signals.js").Signal<import("./types.js").DuplicatesState | null>} */
export const duplicates = signal(null);
/** Why the server could not be asked. @type {import("../vendor/signals.js").Signal<Error | null>} */
export const duplicatesError = signal(null);
/** Files of listed groups that are not in the library any more, by group. @type {import("../vendor/signals.js").Signal<Map<number, number>>} */
export const goneFiles = signal(new Map());

/** @type {number | null} */
let nextOffset = null;
let isAsking = false;
/** @type {() => void} */
let stopFollowing = () => {};

/** Whether a search is under way. @param {import("./types.js").DuplicatesState | null} state */
export function isComparing(state) {
  return state?.state === "running" || state?.state === "stopping";
}

/** Ask the server for the state and the first groups; a search that is under way is followed. */
export async function refreshDuplicates() {
  try {
    const answer = await api.duplicates({ k: PAGE });
    duplicatesError.value = null;
    duplicates.value = answer;
    duplicateHits.value = hitsOf(answer, new Map());
    if (isComparing(answer)) watch();
  } catch (error) {
    duplicatesError.value = /** @type {Error} */ (error);
  }
}

/** The next groups of the list. */
export async function moreDuplicates() {
  if (nextOffset === null || isAsking) return;
  isAsking = true;
  try {
    const answer = await api.duplicates({ k: PAGE, offset: nextOffset });
    const before = duplicateHits.peek();
    duplicateHits.value = [...before, ...hitsOf(answer, goneFiles.peek())];
  } catch (error) {
    complain(error);
  } finally {
    isAsking = false;
  }
}

/** Whether there are groups that are not listed yet. */
export function hasMoreDuplicates() {
  return nextOffset !== null;
}

/** @param {number} minScore */
export async function findDuplicates(minScore) {
  try {
    duplicates.value = await api.findDuplicates(minScore);
    watch();
  } catch (error) {
    complain(error);
  }
}

export async function stopComparing() {
  try {
    duplicates.value = await api.stopDuplicates();
  } catch (error) {
    complain(error);
  }
}

function watch() {
  stopFollowing();
  stopFollowing = api.followDuplicates((state) => {
    duplicates.value = state;
    if (!isComparing(state)) refreshDuplicates();
  });
}

/** @param {import("./types.js").Duplicates} answer @param {Map<number, number>} gone @returns {Hit[]} */
function hitsOf(answer, gone) {
  nextOffset = answer.next_offset;
  const missing = new Map(gone);
  answer.groups.forEach(({ group, files }) => {
    const count = files.filter(({ item }) => !item).length;
    if (count) missing.set(group, count);
  });
  goneFiles.value = missing;
  return answer.groups.flatMap(({ group, files }) => files.flatMap((file, at) => (file.item
    ? [{ ...whole(/** @type {any} */ (file.item)), group, note: noteOf(file, at === 0), isSpare: isSpare(file) }] : [])));
}

/** Whether nothing is lost with it: what holds more than another file is no copy of it. @param {import("./types.js").DuplicateFile} file */
export function isSpare(file) {
  return file.kind !== "contains" && file.kind !== "overlap";
}

/** How a file belongs to its group. @param {import("./types.js").DuplicateFile} file @param {boolean} isFirst */
export function noteOf(file, isFirst) {
  if (isFirst) return "the longest";
  const of = shown(baseName(file.of));
  if (file.kind === "identical") return `the same bytes as ${of}`;
  const word = file.surety === "sure" ? "" : `${file.surety} `;
  if (file.kind === "part") return `${word}inside ${of}, ${clock(file.start_s)} to ${clock(file.end_s)}${word && ` (${file.score.toFixed(2)})`}`;
  if (file.kind === "contains") return `${word}holds all of ${of} and more (${file.score.toFixed(2)})`;
  if (file.kind === "overlap") return `${word}has a stretch of ${of}, not all of it, and more (${file.score.toFixed(2)})`;
  return `${word}the same recording as ${of} (${file.score.toFixed(2)})`;
}
