/** Favourites and named collections. */

import * as api from "./api.js";
import { change, startOver } from "./navigation.js";
import { changeHits, collections, query } from "./state.js";
import { complain, say } from "./toast.js";

/** @typedef {import("./types.js").Hit} Hit */

export const FAVOURITES = "favourites";

/** What a collection is called on the page. @param {string} id */
export function collectionName(id) {
  return id === FAVOURITES ? "Favourites" : collections.value.find((one) => one.id === id)?.name ?? "a collection";
}

export async function refreshCollections() {
  try {
    collections.value = (await api.collections()).collections;
  } catch (error) {
    complain(error);
  }
}

/** A hit as an entry: whole files without a region. @param {Hit} hit @returns {import("./types.js").Region} */
export function regionOf(hit) {
  const isWhole = hit.start_s <= 0 && hit.end_s >= hit.duration_s - 0.01;
  return { id: hit.id, ...(!isWhole && { start_s: hit.start_s, end_s: hit.end_s }), ...(Number.isFinite(hit.score) && { score: clamp(hit.score) }) };
}

/** @param {number} score */
function clamp(score) {
  return Math.min(1, Math.max(-1, score));
}

/** Make a sound a favourite, or no longer. @param {Hit} hit */
export async function toggleFavourite(hit) {
  const isFavourite = !hit.is_favourite;
  mark(hit.id, isFavourite);
  try {
    if (isFavourite) await api.addToCollection(FAVOURITES, [{ id: hit.id }]);
    else await removeItems(FAVOURITES, [hit.id]);
    say(isFavourite ? `${hit.name} is a favourite` : `${hit.name} is no longer a favourite`);
  } catch (error) {
    mark(hit.id, !isFavourite);
    complain(error);
  }
  refreshCollections();
}

/** @param {string} id @param {boolean} isFavourite */
function mark(id, isFavourite) {
  changeHits((hit) => (hit.id === id ? { ...hit, is_favourite: isFavourite } : hit));
}

/** @param {string} id @param {string} name @param {import("./types.js").Region[]} items */
export async function collect(id, name, items) {
  try {
    await api.addToCollection(id, items);
    say(`${items.length === 1 ? "1 sound is" : `${items.length} sounds are`} in “${name}”`, {
      label: "Open", run: () => startOver({ collection: id }),
    });
    if (id === FAVOURITES) items.forEach((item) => mark(item.id, true));
  } catch (error) {
    complain(error);
  }
  refreshCollections();
}

/** @param {string} name @returns {Promise<import("./types.js").Collection | null>} */
export async function create(name) {
  try {
    const made = await api.createCollection(name);
    await refreshCollections();
    return made;
  } catch (error) {
    complain(error);
    return null;
  }
}

/** @param {import("./types.js").Collection} collection @param {string} name */
export async function rename(collection, name) {
  await api.renameCollection(collection.id, name).catch(complain);
  refreshCollections();
}

/** @param {import("./types.js").Collection} collection */
export async function remove(collection) {
  try {
    await api.deleteCollection(collection.id);
    say(`The collection “${collection.name}” is gone; its sounds stay where they are`);
    if (query.peek().collection === collection.id) change({ collection: "" });
  } catch (error) {
    complain(error);
  }
  refreshCollections();
}

/** Take sounds out of a collection. @param {string} id @param {string[]} items Ids of items. */
export async function removeItems(id, items) {
  for (const own of api.byLibrary(items)) {
    const contents = await api.collection(id, { k: 1000 }, undefined, own[0]);
    const entries = contents.items.filter(({ item }) => item && own.includes(item.id));
    await Promise.all(entries.map(({ entry }) => api.removeFromCollection(id, entry, own[0])));
  }
  refreshCollections();
}
