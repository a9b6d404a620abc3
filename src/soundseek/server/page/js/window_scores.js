/**
 * Window scores: where the model embeds a segment as a whole, as CLAP does, its moments are flat, and the server can score
 * windows of two seconds instead. That takes seconds a hit, so the list is there first, and file after file gets its own.
 */

import { computed, effect } from "../vendor/signals.js";
import * as api from "./api.js";
import { askedText, ranks, toRequest } from "./query.js";
import { changeHits, keyOf, library, query, results } from "./state.js";

/** @typedef {import("./types.js").Hit} Hit */

const MOST_OF_A_FILE = 50;

/** Whether there is anything to ask for: the model has no moments of its own, and one library is searched. */
export const canScoreWindows = computed(() => library.value?.has_moments === false && ranks(query.value) && !query.value.libraries.length);

/** How many hits of the list have their window scores, and how many there are; null where they are not asked for. */
export const windowsDone = computed(() => {
  const { hits, isRanked } = results.value;
  if (!query.value.windows || !canScoreWindows.value || !isRanked) return null;
  return { done: hits.filter((hit) => hit.window_s).length, total: hits.length };
});

/** @type {AbortController | null} */
let asking = null;
/** Files that were asked for, of the list of one query. @type {Set<string>} */
const tried = new Set();
let listOf = "";

/** Follow the list: ask for one file after the other, and anew for each list. */
export function startWindowScores() {
  effect(() => {
    const { queryId, state } = results.value;
    const isWanted = windowsDone.value !== null && state === "ready";
    if (!isWanted || queryId !== listOf) {
      asking?.abort();
      asking = null;
      tried.clear();
      listOf = queryId;
    }
    if (isWanted) next();
  });
}

function next() {
  const hit = asking ? undefined : results.peek().hits.find((one) => !one.window_s && !tried.has(one.id));
  if (hit) ask(hit.id);
}

/** @param {string} id */
async function ask(id) {
  const controller = (asking = new AbortController());
  tried.add(id);
  const now = query.peek();
  const page = { k: now.per === "segment" ? MOST_OF_A_FILE : 1, within: [id] };
  /** @type {Hit[]} */
  let found = [];
  try {
    found = (await api.search({ ...toRequest({ ...now, text: askedText(now) }, page), windows: true }, controller.signal)).hits;
  } catch (error) {
    if (api.isAborted(error)) return;
    // The hit stays as it is, and the next one is asked for.
  }
  if (controller.signal.aborted) return;
  asking = null;
  const scored = new Map(found.filter((hit) => hit.window_s).map((hit) => [keyOf(hit), hit]));
  changeHits((hit) => {
    const one = scored.get(keyOf(hit));
    return one ? { ...hit, moments: one.moments, moment_s: one.moment_s, frame_s: one.frame_s, window_s: one.window_s, clock: one.clock } : hit;
  });
  next();
}
