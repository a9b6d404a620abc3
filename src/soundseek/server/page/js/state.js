/**
 * What the page shows, as signals: a component that reads one is drawn again when it changes.
 * Modules with verbs (search.js, selection.js, player.js, collections.js) write them.
 */

import { computed, signal } from "../vendor/signals.js";
import { EMPTY } from "./query.js";

/** @typedef {import("./types.js").Hit} Hit */

/** @type {import("../vendor/signals.js").Signal<import("./query.js").Query>} */
export const query = signal(EMPTY);

/**
 * What came back.
 * @typedef {Object} Results
 * @property {"idle" | "loading" | "ready" | "failed"} state  While "loading", `hits` are still those of before.
 * @property {Hit[]} hits
 * @property {boolean} isRanked          There are scores.
 * @property {number} total
 * @property {number} elapsedMs          On the server.
 * @property {string} queryId
 * @property {import("./types.js").SearchAnswer["searched_for"]} searchedFor
 * @property {string[]} warnings
 * @property {number | null} nextOffset
 * @property {Error | null} error
 */

/** @type {Results} */
export const NO_RESULTS = Object.freeze({
  state: "idle", hits: [], isRanked: false, total: 0, elapsedMs: 0, queryId: "", searchedFor: null, warnings: [],
  nextOffset: null, error: null,
});

export const results = signal(NO_RESULTS);

/** The lowest and highest moment of the list, between which the colours run. */
export const momentRange = computed(() => {
  let high = -Infinity;
  let sum = 0;
  let n = 0;
  for (const hit of results.value.hits) {
    for (const moment of hit.moments) {
      if (moment > high) high = moment;
      sum += moment;
      n += 1;
    }
  }
  return n ? { low: sum / n, high: Math.max(high, sum / n + 0.01) } : { low: 0, high: 1 };
});

/** Row of the list that the keyboard is on; -1 before there is one. */
export const cursor = signal(-1);

/** Keys of the selected hits. @type {import("../vendor/signals.js").Signal<ReadonlySet<string>>} */
export const selection = signal(new Set());

/** The files of the duplicates view, group after group. @type {import("../vendor/signals.js").Signal<Hit[]>} */
export const duplicateHits = signal([]);

/** Hits chosen with the map's lasso, which stand in for the results. @type {import("../vendor/signals.js").Signal<Hit[] | null>} */
export const lassoed = signal(null);

/** The list on the screen. */
export const shownHits = computed(() => (query.value.view === "duplicates" ? duplicateHits.value : lassoed.value ?? results.value.hits));

/** Every list of hits anew, where one of them has changed. @param {(hit: Hit) => Hit} change */
export function changeHits(change) {
  results.value = { ...results.peek(), hits: results.peek().hits.map(change) };
  duplicateHits.value = duplicateHits.peek().map(change);
  lassoed.value = lassoed.peek()?.map(change) ?? null;
}

/** @type {import("../vendor/signals.js").Signal<import("./types.js").Library | null>} */
export const library = signal(null);

/** What this server can do. @type {import("../vendor/signals.js").Signal<Partial<import("./types.js").Capabilities>>} */
export const can = signal({});

/** Why there is no library, if there is none. @type {import("../vendor/signals.js").Signal<Error | null>} */
export const libraryError = signal(null);

/** @type {import("../vendor/signals.js").Signal<import("./types.js").Collection[]>} */
export const collections = signal([]);

/** The run that indexes, or the last one. @type {import("../vendor/signals.js").Signal<import("./types.js").Job | null>} */
export const job = signal(null);

export const isOffline = signal(false);

/** The panel of facts beside the list. */
export const detailsOpen = signal(false);

/** The panel of collections; on wide screens always there. */
export const sidebarOpen = signal(false);

/**
 * The dialog on the screen.
 * @type {import("../vendor/signals.js").Signal<null | {name: "help"} | {name: "index", showsFailures?: boolean} | {name: "export" | "collect" | "labels", hits: Hit[]}
 *        | {name: "teach", hits: Hit[], isRight: boolean}>}
 */
export const dialog = signal(null);

/** Names a hit within a list. @param {{id: string, start_s: number}} hit */
export function keyOf(hit) {
  return `${hit.id}@${hit.start_s}`;
}
