/** Sounds that the library is taught by hits marked right or wrong, kept by name: "my knocks". */

import { computed, effect, signal } from "../vendor/signals.js";
import * as api from "./api.js";
import { regionOf } from "./collections.js";
import { counted, shown } from "./format.js";
import { change } from "./navigation.js";
import { retry } from "./search.js";
import { focusRow, staying } from "./selection.js";
import { cursor, dialog, query } from "./state.js";
import { complain, say } from "./toast.js";

/** @typedef {import("./types.js").Hit} Hit */

/** Everything that was taught. @type {import("../vendor/signals.js").Signal<import("./types.js").Taught[]>} */
export const taughtSounds = signal([]);

/** The marks of what the query names, by place. @type {import("../vendor/signals.js").Signal<Map<string, {mark: number, isRight: boolean}>>} */
export const marks = signal(new Map());

/** What the query names. */
const name = computed(() => query.value.taught);

/** Whether there are marks that the list on the screen does not know of yet. */
export const hasFreshMarks = signal(false);

/** How many marks there are for what the query names. */
export const markCount = computed(() => {
  const taught = taughtSounds.value.find((one) => one.name === name.value);
  return taught ? taught.right + taught.wrong : 0;
});

/** Names a place to mark: a sound, or a region of one. @param {{id: string, start_s?: number | null, end_s?: number | null}} place */
function placeKey({ id, start_s, end_s }) {
  const isPart = typeof start_s === "number" || typeof end_s === "number";
  return isPart ? `${id}@${(start_s ?? 0).toFixed(2)}-${(end_s ?? 0).toFixed(2)}` : id;
}

/** How a hit is marked in what the query names. @param {Hit} hit @returns {boolean | null} */
export function markOn(hit) {
  return marks.value.get(placeKey(regionOf(hit)))?.isRight ?? null;
}

/** @returns {import("./types.js").Taught | undefined} */
function target() {
  return taughtSounds.peek().find((one) => one.name === query.peek().taught);
}

export async function refreshTaught() {
  try {
    taughtSounds.value = (await api.taught()).taught;
  } catch (error) {
    complain(error);
  }
}

async function refreshMarks() {
  const taught = target();
  if (!taught) {
    marks.value = new Map();
    return;
  }
  const contents = await api.taughtContents(taught.id);
  marks.value = new Map(contents.marks.flatMap(({ mark, item, start_s, end_s, is_right }) => (item
    ? [[placeKey({ id: item.id, start_s, end_s }), { mark, isRight: is_right }]] : [])));
}

// Another name in the query, or other marks under it.
effect(() => {
  name.value;
  taughtSounds.value;
  refreshMarks().catch(complain);
});

// Another query is answered with all marks.
effect(() => {
  query.value;
  hasFreshMarks.value = false;
});

/** Mark hits right or wrong; marked so already, they are no longer. Without a name in the query it is asked for.
 *  @param {Hit[]} hits @param {boolean} isRight */
export async function markHits(hits, isRight) {
  if (!hits.length) return;
  const taught = target();
  if (!taught) {
    dialog.value = { name: "teach", hits, isRight };
    return;
  }
  const places = hits.map((hit) => ({ id: hit.id, ...part(hit), is_right: isRight }));
  const known = marks.peek();
  const undone = places.map((place) => known.get(placeKey(place))).filter((one) => one?.isRight === isRight);
  try {
    if (undone.length === places.length) await Promise.all(undone.map((one) => api.removeMark(taught.id, /** @type {any} */ (one).mark)));
    else await api.addMarks(taught.id, places);
    hasFreshMarks.value = true;
    const what = hits.length === 1 ? shown(hits[0].name) : counted(hits.length, "sound");
    say(undone.length === places.length ? `${what}: no longer marked` : `${what}: ${isRight ? "right" : "wrong"} for “${taught.name}”`);
  } catch (error) {
    complain(error);
  }
  await refreshTaught();
}

/** @param {Hit} hit */
function part(hit) {
  const { start_s, end_s } = regionOf(hit);
  return start_s === undefined ? {} : { start_s, end_s };
}

/** Teach under a name, a new one or one that is there, and mark what was to be marked. @param {string} name @param {Hit[]} hits @param {boolean} isRight */
export async function teach(name, hits, isRight) {
  try {
    if (!taughtSounds.peek().some((one) => one.name === name)) await api.createTaught(name);
    taughtSounds.value = (await api.taught()).taught;
    staying(() => change({ taught: name, all: false }));
    await refreshMarks();
    await markHits(hits, isRight);
    if (document.activeElement === document.body) focusRow(cursor.peek());
  } catch (error) {
    complain(error);
  }
}

/** Search again with the marks that were made since. */
export function searchWithMarks() {
  if (!query.peek().taught) return;
  hasFreshMarks.value = false;
  retry();
}

/** @param {import("./types.js").Taught} taught @param {string} name */
export async function renameTaught(taught, name) {
  try {
    await api.renameTaught(taught.id, name);
    if (query.peek().taught === taught.name) change({ taught: name });
  } catch (error) {
    complain(error);
  }
  refreshTaught();
}

/** @param {import("./types.js").Taught} taught */
export async function forgetTaught(taught) {
  try {
    await api.deleteTaught(taught.id);
    say(`“${taught.name}” and its marks are forgotten; the sounds stay`);
    if (query.peek().taught === taught.name) change({ taught: "" });
  } catch (error) {
    complain(error);
  }
  refreshTaught();
}
