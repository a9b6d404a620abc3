/** Sounds as parts of a query: like this, not like this; from the library, from a file, from the microphone. */

import * as api from "./api.js";
import { change, startOver } from "./navigation.js";
import { query } from "./state.js";
import { complain, say } from "./toast.js";

/** @typedef {import("./query.js").Part} Part */
/** @typedef {import("./types.js").Hit} Hit */

/** What a hit is dragged as, so that it can be dropped on the search field or a collection. */
export const DRAG_TYPE = "application/x-soundseek-hits";

/**
 * A hit, its segment or a region of it, as a part of a query.
 * @param {{id: string, name: string}} sound @param {{start_s: number, end_s: number} | null} [region]
 * @returns {Part}
 */
export function partOf(sound, region = null) {
  return {
    id: sound.id, name: sound.name, weight: 1,
    ...(region && { start_s: Number(region.start_s.toFixed(2)), end_s: Number(region.end_s.toFixed(2)) }),
  };
}

/** Search for sounds like these alone. @param {{id: string, name: string}[]} sounds @param {{start_s: number, end_s: number} | null} [region] */
export function moreLike(sounds, region = null) {
  const { filters, per } = query.peek();
  startOver({ filters, per, like: sounds.slice(0, 8).map((sound) => partOf(sound, region)) });
}

/** Add examples to the query. @param {Part[]} parts */
export function addLike(parts) {
  change({ like: [...query.peek().like, ...parts].slice(-16), all: false });
}

/** @param {Part[]} parts */
export function addNot(parts) {
  change({ not: [...query.peek().not, ...parts].slice(-16) });
}

/** @param {string[]} texts */
export function addNotTexts(texts) {
  addNot(texts.map((text) => ({ text, name: text, weight: 1 })));
}

/** @param {"like" | "not"} side @param {number} index @param {number} weight */
export function setWeight(side, index, weight) {
  change({ [side]: query.peek()[side].map((part, at) => (at === index ? { ...part, weight } : part)) }, { typing: true });
}

/** @param {"like" | "not"} side @param {number} index */
export function removePart(side, index) {
  change({ [side]: query.peek()[side].filter((_part, at) => at !== index) });
}

/** Send sound files and search for what is like them. @param {Iterable<File>} files */
export async function dropFiles(files) {
  for (const file of [...files].slice(0, 4)) {
    try {
      say(`Listening to ${file.name} …`);
      const { upload } = await api.upload(file, file.name);
      addLike([{ upload, name: file.name, weight: 1 }]);
    } catch (error) {
      complain(error);
    }
  }
}

/** The hits that a drag carries, if they come from this page. @param {DataTransfer | null} data @returns {Hit[]} */
export function draggedHits(data) {
  const text = data?.getData(DRAG_TYPE);
  return text ? JSON.parse(text) : [];
}

/**
 * Drag hits out: into the page as hits, into another program as a file (Chromium takes the file from the address), into
 * a text field as paths.
 * @param {DragEvent} event @param {Hit[]} hits
 */
export function dragOut(event, hits) {
  const data = event.dataTransfer;
  if (!data || !hits.length) return;
  const [first] = hits;
  data.effectAllowed = "copy";
  data.setData(DRAG_TYPE, JSON.stringify(hits));
  data.setData("DownloadURL", `${first.media_type}:${first.name.replaceAll(":", "_")}:${api.fileAddress(first.id)}`);
  data.setData("text/uri-list", hits.map((hit) => api.fileAddress(hit.id)).join("\r\n"));
  data.setData("text/plain", hits.map((hit) => hit.path).join("\n"));
}
