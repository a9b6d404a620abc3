/** From a query to results: one request at a time. What is typed while one runs waits for a short pause, and cancels it. */

import { computed, effect } from "../vendor/signals.js";
import * as api from "./api.js";
import { askedText, asks, fromAddress, ranks, toAddress, toRequest, toWhere } from "./query.js";
import { rememberSearch } from "./settings.js";
import { isOffline, keyOf, library, NO_RESULTS, query, results } from "./state.js";
import { complain } from "./toast.js";

/** @typedef {import("./types.js").Hit} Hit */

const DEBOUNCE_MS = 40;
const PAGE = 60;
/** A search inside results looks through this many of the best. */
export const WITHIN_BEST = 200;
const MOST_LISTED = 1000;

/** @type {AbortController | null} */
let running = null;
/** Whether its answer is still to come. */
let isUnderWay = false;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let waiting;
let lastText = "";

/** The query as far as it decides the results: not the view or the window scores, and without a negative that is still being typed. */
const asked = computed(() => {
  const { view, windows, ...rest } = query.value;
  return toAddress({ ...rest, windows: false, view: "list", text: askedText(query.value) });
});

/** The version alone: other facts of the library may change without changing any result. */
const version = computed(() => library.value?.version);

/** Search whenever the query or the library changes. */
export function start() {
  effect(() => {
    const now = fromAddress(asked.value);
    clearTimeout(waiting);
    if (version.value === undefined) return;
    if (!asks(now)) {
      running?.abort();
      results.value = NO_RESULTS;
      return;
    }
    results.value = { ...results.peek(), state: "loading" };
    const isTyping = now.text !== lastText && results.peek().hits.length > 0;
    lastText = now.text;
    waiting = setTimeout(() => run(now), isTyping && isUnderWay ? DEBOUNCE_MS : 0);
  });
}

/** Ask again, after an error. */
export function retry() {
  run(fromAddress(asked.peek()));
}

/** @param {import("./query.js").Query} now */
async function run(now) {
  running?.abort();
  const controller = (running = new AbortController());
  isUnderWay = true;
  try {
    const answer = await page(now, 0, controller.signal);
    if (controller.signal.aborted) return;
    isOffline.value = false;
    results.value = { ...NO_RESULTS, ...answer, state: "ready" };
    if (ranks(now)) setTimeout(() => controller === running && rememberSearch(now.text.trim()), 2000);
  } catch (error) {
    if (api.isAborted(error) || controller.signal.aborted) return;
    isOffline.value = error instanceof api.Offline;
    results.value = { ...results.peek(), state: "failed", error: /** @type {Error} */ (error) };
  } finally {
    if (controller === running) isUnderWay = false;
  }
}

let loadingMore = false;

/** The next page of the list. */
export async function more() {
  const { nextOffset, state } = results.peek();
  const controller = running;
  if (nextOffset === null || state !== "ready" || loadingMore || !controller || query.peek().view === "duplicates") return;
  loadingMore = true;
  try {
    const answer = await page(fromAddress(asked.peek()), nextOffset, controller.signal);
    if (controller.signal.aborted) return;
    const before = results.peek();
    // Where the library has changed in between, pages overlap.
    const shown = new Set(before.hits.map(keyOf));
    const hits = answer.hits.filter((hit) => !shown.has(keyOf(hit)));
    results.value = { ...before, hits: [...before.hits, ...hits], nextOffset: answer.nextOffset };
  } catch (error) {
    complain(error);
  } finally {
    loadingMore = false;
  }
}

/**
 * @param {import("./query.js").Query} now @param {number} offset @param {AbortSignal} signal
 * @returns {Promise<Pick<import("./state.js").Results, "hits" | "total" | "nextOffset"> & Partial<import("./state.js").Results>>}
 */
async function page(now, offset, signal) {
  if (!ranks(now) && now.libraries.length && !now.collection) return togetherPage(now, offset, signal);
  if (!ranks(now)) return now.collection ? collectionPage(now, offset, signal) : listPage(now, offset, signal);
  const within = await scope(now, signal);
  if (within?.length === 0) return { hits: [], total: 0, nextOffset: null, isRanked: true };
  const answer = await api.search(toRequest(now, { k: PAGE, offset, within }), signal);
  return {
    hits: answer.hits, isRanked: true, total: answer.total, elapsedMs: answer.elapsed_ms, queryId: answer.query,
    searchedFor: answer.searched_for, warnings: answer.warnings, nextOffset: answer.next_offset,
  };
}

/** @param {import("./query.js").Query} now @param {number} offset @param {AbortSignal} signal */
async function listPage(now, offset, signal) {
  const within = now.within ? await scope(now, signal) : undefined;
  const where = toWhere(now.filters);
  const answer = await api.items({ ...(where && { where }), k: PAGE, offset }, signal);
  const items = within ? answer.items.filter((item) => within.includes(item.id)) : answer.items;
  return { hits: items.map(whole), total: answer.total, nextOffset: answer.next_offset };
}

/** The files of several libraries, by path. @param {import("./query.js").Query} now @param {number} offset @param {AbortSignal} signal */
async function togetherPage(now, offset, signal) {
  const request = toRequest(now, { k: PAGE, offset });
  const answer = await api.search({ ...request, where: request.where ?? "duration >= 0" }, signal);
  return { hits: answer.hits.map((hit) => ({ ...hit, score: NaN })), total: answer.total, nextOffset: answer.next_offset };
}

/** @param {import("./query.js").Query} now @param {number} offset @param {AbortSignal} signal */
async function collectionPage(now, offset, signal) {
  const answer = await api.collection(now.collection, { k: PAGE, offset }, signal);
  const hits = answer.items.flatMap(({ item, start_s, end_s }) => (item
    ? [{ ...whole(item), ...(start_s !== null && { start_s, moment_s: start_s }), ...(end_s !== null && { end_s }) }] : []));
  return { hits, total: answer.count, nextOffset: answer.next_offset };
}

/** Scopes of earlier searches: the ids that a search inside results or in a collection may find. @type {Map<string, string[]>} */
const scopes = new Map();

/** @param {import("./query.js").Query} now @param {AbortSignal} signal @returns {Promise<string[] | undefined>} */
async function scope(now, signal) {
  if (now.collection) {
    const entries = await api.collection(now.collection, { k: MOST_LISTED }, signal);
    return [...new Set(entries.items.flatMap(({ item }) => item?.id ?? []))];
  }
  if (!now.within) return undefined;
  const key = `${version.peek()} ${now.within}`;
  const known = scopes.get(key);
  if (known) return known;
  const outer = fromAddress(now.within);
  const inner = await scope(outer, signal);
  const ids = ranks(outer)
    ? (await api.search({ ...toRequest(outer, { k: WITHIN_BEST, within: inner }), per: "file" }, signal)).hits.map((hit) => hit.id)
    : (await api.items({ where: toWhere(outer.filters), k: MOST_LISTED }, signal)).items.map((item) => item.id);
  scopes.set(key, ids);
  return ids;
}

/** A file that was not ranked, in the form of a hit. @param {import("./types.js").Item} item @returns {Hit} */
export function whole(item) {
  return { ...item, start_s: 0, end_s: item.duration_s, score: NaN, moments: [], moment_s: 0, frame_s: 0, why: null };
}
