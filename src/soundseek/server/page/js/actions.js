/** What can be done with hits, the same from a key, a button and a menu. */

import * as api from "./api.js";
import { collect, create, FAVOURITES, regionOf, removeItems, toggleFavourite } from "./collections.js";
import { addNot, moreLike, partOf } from "./examples.js";
import { change } from "./navigation.js";
import { current, region } from "./player.js";
import { retry } from "./search.js";
import { NO_FILTERS, toAddress } from "./query.js";
import { dialog, query } from "./state.js";
import { complain, say } from "./toast.js";

/** @typedef {import("./types.js").Hit} Hit */

/** @param {Hit[]} hits */
export async function copyPaths(hits) {
  const text = hits.map((hit) => hit.path).join("\n");
  try {
    await navigator.clipboard.writeText(text);
    say(hits.length === 1 ? "Path copied" : `${hits.length} paths copied`);
  } catch {
    complain("The browser did not allow copying.");
  }
}

/** @param {Hit} hit */
export async function showInFolder(hit) {
  await api.show(hit.id).catch(complain);
}

/** @param {Hit[]} hits */
export function exportHits(hits) {
  if (hits.length) dialog.value = { name: "export", hits };
}

/** @param {Hit[]} hits */
export function collectHits(hits) {
  if (hits.length) dialog.value = { name: "collect", hits };
}

/** @param {Hit[]} hits */
export function labelHits(hits) {
  if (hits.length) dialog.value = { name: "labels", hits };
}

/** @param {Hit[]} hits */
export function notLike(hits) {
  addNot(hits.slice(0, 8).map((hit) => partOf(hit, segmentOf(hit))));
}

/** The segment of a hit where that is not the whole file. @param {Hit} hit */
export function segmentOf(hit) {
  const { start_s, end_s } = regionOf(hit);
  return start_s === undefined || end_s === undefined ? null : { start_s, end_s };
}

/** More like a hit: like its segment, which is what was found. @param {Hit[]} hits */
export function moreLikeHits(hits) {
  if (hits.length === 1) moreLike(hits, segmentOf(hits[0]));
  else moreLike(hits);
}

/** The region selected in the player, as a hit. @returns {Hit | null} */
export function regionAsHit() {
  const hit = current.value;
  const part = region.value;
  return hit && part ? { ...hit, ...part } : null;
}

/** Search inside the results of the present query. */
export function searchInside() {
  const { view, ...now } = query.peek();
  change({ text: "", textWeight: 1, like: [], not: [], taught: "", taughtWeight: 1, filters: NO_FILTERS, all: false, collection: "", asTyped: false,
    within: toAddress({ ...now, view: "list" }) });
  document.getElementById("search-text")?.focus();
}

/** Only files of one folder. @param {string} folder */
export function onlyFolder(folder) {
  change({ filters: { ...query.peek().filters, folders: [folder] } });
}

/** @param {Hit[]} hits */
export async function takeOut(hits) {
  const { collection } = query.peek();
  try {
    await removeItems(collection, hits.map((hit) => hit.id));
    say(hits.length === 1 ? `${hits[0].name} is out of the collection` : `${hits.length} sounds are out of the collection`);
    retry();
  } catch (error) {
    complain(error);
  }
}

export { collect, create, FAVOURITES, regionOf, toggleFavourite };
