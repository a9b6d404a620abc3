/**
 * The server's API, one function an endpoint. Types: types.js.
 *
 * Every function throws `Problem` where the server says no, and `Offline` where there is no server to say anything.
 */

const BASE = new URL("../../api/v1/", import.meta.url);

/** Items of the server's other libraries: which API answers for each. @type {Map<string, URL>} */
const homes = new Map();

/** Which API answers for an item. @param {string} [id] */
const homeOf = (id) => (id && homes.get(id)) || BASE;

/** Remember where hits of several libraries are at home. @param {{id: string, library?: string | null}[]} hits */
function remember(hits) {
  hits.forEach(({ id, library }) => library && homes.set(id, new URL(`${library}api/v1/`, location.origin)));
}

/** Whether another library's API answers for an item. @param {URL} home */
const isElsewhere = (home) => home.href !== BASE.href;

/** Places by the API that answers for them. @template {{id: string}} T @param {T[]} places @returns {[URL, T[]][]} */
function byHome(places) {
  /** @type {Map<string, [URL, T[]]>} */
  const found = new Map();
  places.forEach((place) => {
    const home = homeOf(place.id);
    if (!found.has(home.href)) found.set(home.href, [home, []]);
    found.get(home.href)?.[1].push(place);
  });
  return [...found.values()];
}

/** Ids of items, those of one library together. @param {string[]} ids */
export const byLibrary = (ids) => byHome(ids.map((id) => ({ id }))).map(([, places]) => places.map(({ id }) => id));

/** What the server said was wrong, in words that can be shown. */
export class Problem extends Error {
  /** @param {{title?: string, detail?: string, status?: number, type?: string}} problem @param {number} status */
  constructor(problem, status) {
    super(problem.detail || problem.title || `The server answered ${status}.`);
    this.name = "Problem";
    this.title = problem.title || "That did not work";
    this.status = status;
    this.type = problem.type || "";
  }
}

/** The server cannot be reached. */
export class Offline extends Error {
  constructor() {
    super("The soundseek server does not answer. Is it still running? The page goes on by itself once it is back.");
    this.name = "Offline";
    this.title = "Not connected";
  }
}

/**
 * @param {string} path Below `/api/v1/`.
 * @param {{method?: string, query?: Record<string, unknown>, json?: unknown, body?: BodyInit, headers?: Record<string, string>,
 *          signal?: AbortSignal, home?: URL}} [options]  `home` is the API that is asked, where it is another library's.
 * @returns {Promise<Response>}
 */
async function request(path, { method = "GET", query, json, body, headers = {}, signal, home } = {}) {
  const address = addressOf(path, query, home);
  /** @type {Response} */
  let response;
  try {
    response = await fetch(address, {
      method,
      signal,
      credentials: "same-origin",
      headers: json === undefined ? headers : { "Content-Type": "application/json", ...headers },
      body: json === undefined ? body : JSON.stringify(json),
    });
  } catch (error) {
    if (signal?.aborted || /** @type {Error} */ (error).name === "AbortError") throw error;
    throw new Offline();
  }
  if (response.ok) return response;
  throw new Problem(await response.json().catch(() => ({})), response.status);
}

/** @param {string} path @param {Record<string, unknown>} [query] @param {URL} [home] */
function addressOf(path, query = {}, home = BASE) {
  const address = new URL(path, home);
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") address.searchParams.append(name, String(one));
    }
  }
  return address.href;
}

/** @param {string} path @param {Parameters<typeof request>[1]} [options] @returns {Promise<any>} */
async function json(path, options) {
  const response = await request(path, options);
  return response.status === 204 ? null : response.json();
}

/** Server-sent events, until one says that it is the last. @template T
 *  @param {string} path @param {string} name Of the events. @param {(news: T) => boolean} onNews Whether more will come. @returns {() => void} Stops following. */
function follow(path, name, onNews) {
  const events = new EventSource(addressOf(path));
  events.addEventListener(name, (event) => {
    if (!onNews(JSON.parse(/** @type {MessageEvent} */ (event).data))) events.close();
  });
  return () => events.close();
}

/** Whether an error only says that a newer request took this one's place. @param {unknown} error */
export function isAborted(error) {
  return error instanceof Error && error.name === "AbortError";
}

// --- Searching

/** @param {import("./types.js").SearchRequest} body @param {AbortSignal} [signal]
 *  @returns {Promise<import("./types.js").SearchAnswer>} */
export async function search(body, signal) {
  const answer = await json("search", { method: "POST", json: body, signal });
  remember(answer.hits);
  return answer;
}

/** @param {Blob} sound @param {string} name @param {AbortSignal} [signal]
 *  @returns {Promise<import("./types.js").Upload>} */
export const upload = (sound, name, signal) =>
  json("uploads", { method: "POST", query: { name }, body: sound, headers: { "Content-Type": sound.type || "application/octet-stream" }, signal });

// --- Items

/** @param {{where?: string, k: number, offset?: number}} page @param {AbortSignal} [signal]
 *  @returns {Promise<{items: import("./types.js").Item[], total: number, next_offset: number | null}>} */
export const items = (page, signal) => json("items", { query: page, signal });

/** @param {string} id @param {AbortSignal} [signal] @returns {Promise<import("./types.js").Item>} */
export const item = (id, signal) => json(`items/${id}`, { signal, home: homeOf(id) });

/** Open the folder of a file on the user's own machine. @param {string} id */
export const show = (id) => json(`items/${id}/show`, { method: "POST", home: homeOf(id) });

/** @param {string} id @param {{start_s?: number, end_s?: number, n: number}} part @param {AbortSignal} [signal]
 *  @returns {Promise<import("./types.js").Peaks>} */
export const peaks = (id, part, signal) => json(`peaks/${id}`, { query: part, signal, home: homeOf(id) });

/** @param {string} id @param {string} query Of a search's answer. @param {AbortSignal} [signal]
 *  @returns {Promise<import("./types.js").Moments>} */
export const moments = (id, query, signal) => json(`moments/${id}`, { query: { query }, signal, home: homeOf(id) });

/**
 * Where an audio element finds a file, or a part of it where the server has to make the WAV.
 * @param {{id: string, needs_preview: boolean}} item @param {{start_s?: number, end_s?: number}} [part]
 */
export const audioAddress = (item, part = {}) =>
  addressOf(`audio/${item.id}`, item.needs_preview ? { preview: "wav", ...part } : {}, homeOf(item.id));

/** Where the file itself is found, byte for byte. @param {string} id */
export const fileAddress = (id) => addressOf(`audio/${id}`, {}, homeOf(id));

/** A part of a file as WAV. @param {string} id @param {number} start_s @param {number} end_s @param {AbortSignal} [signal] */
export const audioPart = async (id, start_s, end_s, signal) =>
  (await request(`audio/${id}`, { query: { preview: "wav", start_s, end_s }, signal, home: homeOf(id) })).arrayBuffer();

// --- Labels

/** @param {import("./types.js").LabelsRequest} body @param {AbortSignal} [signal]
 *  @returns {Promise<{sounds: import("./types.js").LabelledSound[], warnings: string[]}>} */
export async function labels(body, signal) {
  const answers = await Promise.all(byHome(body.items).map(([home, items]) => json("labels", { method: "POST", json: { ...body, items }, signal, home })));
  return { sounds: answers.flatMap(({ sounds }) => sounds), warnings: answers[0]?.warnings ?? [] };
}

/** The same as CSV. @param {import("./types.js").LabelsRequest} body @returns {Promise<Blob>} */
export async function labelsCsv(body) {
  const tables = await Promise.all(byHome(body.items).map(async ([home, items]) =>
    (await request("labels", { method: "POST", json: { ...body, items, format: "csv" }, home })).text()));
  // One heading for all.
  const lines = tables.map((table, at) => (at ? table.slice(table.indexOf("\n") + 1) : table));
  return new Blob(lines, { type: "text/csv" });
}

// --- Duplicates

/** @param {{k: number, offset?: number}} page @returns {Promise<import("./types.js").Duplicates>} */
export const duplicates = (page) => json("duplicates", { query: page });

/** @param {number} min_score @returns {Promise<import("./types.js").DuplicatesState>} */
export const findDuplicates = (min_score) => json("duplicates", { method: "POST", json: { min_score } });

/** @returns {Promise<import("./types.js").DuplicatesState>} */
export const stopDuplicates = () => json("duplicates/stop", { method: "POST" });

/** Follow the search. @param {(state: import("./types.js").DuplicatesState) => void} onState @returns {() => void} Stops following. */
export const followDuplicates = (onState) =>
  follow("duplicates/events", "duplicates", (/** @type {import("./types.js").DuplicatesState} */ state) => (onState(state), state.state === "running" || state.state === "stopping"));

// --- Collections

/** @returns {Promise<{collections: import("./types.js").Collection[]}>} */
export const collections = () => json("collections");

/** @param {string} name @returns {Promise<import("./types.js").Collection>} */
export const createCollection = (name) => json("collections", { method: "POST", json: { name } });

/** @param {string} id @param {string} name */
export const renameCollection = (id, name) => json(`collections/${id}`, { method: "PATCH", json: { name } });

/** @param {string} id */
export const deleteCollection = (id) => json(`collections/${id}`, { method: "DELETE" });

/** @param {string} id @param {{k?: number, offset?: number}} [page] @param {AbortSignal} [signal] @param {string} [item]  Of the library of this item.
 *  @returns {Promise<import("./types.js").CollectionContents>} */
export const collection = (id, page, signal, item) => json(`collections/${id}`, { query: page, signal, home: homeOf(item) });

/** @param {string} id @param {import("./types.js").Region[]} items */
export async function addToCollection(id, items) {
  for (const [home, own] of byHome(items)) {
    // Favourites are in every library; another collection is of the page's own.
    if (isElsewhere(home) && id !== "favourites") throw new Error("A sound of another library goes into a collection on that library's own page.");
    await json(`collections/${id}/items`, { method: "POST", json: { items: own }, home });
  }
}

/** @param {string} id @param {number} entry @param {string} [item]  Of the library of this item. */
export const removeFromCollection = (id, entry, item) => json(`collections/${id}/items/${entry}`, { method: "DELETE", home: homeOf(item) });

// --- Taught sounds

/** @returns {Promise<{taught: import("./types.js").Taught[]}>} */
export const taught = () => json("taught");

/** @param {string} name @returns {Promise<import("./types.js").Taught>} */
export const createTaught = (name) => json("taught", { method: "POST", json: { name } });

/** @param {string} id @returns {Promise<import("./types.js").TaughtContents>} */
export const taughtContents = (id) => json(`taught/${id}`);

/** @param {string} id @param {string} name */
export const renameTaught = (id, name) => json(`taught/${id}`, { method: "PATCH", json: { name } });

/** @param {string} id */
export const deleteTaught = (id) => json(`taught/${id}`, { method: "DELETE" });

/** @param {string} id @param {import("./types.js").NewMark[]} marks @returns {Promise<import("./types.js").Taught>} */
export async function addMarks(id, marks) {
  if (marks.some((mark) => isElsewhere(homeOf(mark.id)))) throw new Error("A sound of another library is marked on that library's own page.");
  return json(`taught/${id}/marks`, { method: "POST", json: { marks } });
}

/** @param {string} id @param {number} mark */
export const removeMark = (id, mark) => json(`taught/${id}/marks/${mark}`, { method: "DELETE" });

// --- The library and its indexing

/** @param {AbortSignal} [signal] @returns {Promise<import("./types.js").Library>} */
export const library = (signal) => json("library", { signal });

/** Of another library of the server. @param {string} address @returns {Promise<import("./types.js").Library>} */
export const libraryAt = (address) => json("library", { home: new URL(`${address}api/v1/`, location.origin) });

/** What the server can do, also while there is no library. @returns {Promise<import("./types.js").Capabilities>} */
export const capabilities = () => json("capabilities");

/** @param {string} [path] @returns {Promise<import("./types.js").FolderList>} */
export const folders = (path) => json("folders", { query: { path } });

/** @returns {Promise<{jobs: import("./types.js").Job[]}>} */
export const jobs = () => json("jobs");

/** @param {string[]} folders @returns {Promise<import("./types.js").Job>} */
export const startJob = (folders) => json("jobs", { method: "POST", json: { folders } });

/** @param {string} id @returns {Promise<import("./types.js").Job>} */
export const stopJob = (id) => json(`jobs/${id}/stop`, { method: "POST" });

/** @param {string} id @returns {Promise<import("./types.js").Job>} */
export const resumeJob = (id) => json(`jobs/${id}/resume`, { method: "POST" });

/** @returns {Promise<{failures: import("./types.js").Failure[], total: number}>} */
export const failures = () => json("failures", { query: { k: 200 } });

/** Follow a job. @param {string} id @param {(job: import("./types.js").Job) => void} onJob @returns {() => void} Stops following. */
export function followJob(id, onJob) {
  return follow(`jobs/${id}/events`, "job", (/** @type {import("./types.js").Job} */ job) => (onJob(job), job.state === "running" || job.state === "stopping"));
}

// --- The map

/** @param {AbortSignal} [signal] @returns {Promise<import("./types.js").MapState>} */
export const map = (signal) => json("map", { signal });

/** @param {number} version @param {AbortSignal} [signal] @returns {Promise<ArrayBuffer>} */
export const mapPoints = async (version, signal) => (await request("map/points", { query: { version }, signal })).arrayBuffer();

/** What each point sounds like. @param {number} version @param {AbortSignal} [signal] @returns {Promise<{labels: string[], label_of: (number | null)[]}>} */
export const mapLabels = (version, signal) => json("map/labels", { query: { version }, signal });

/** @param {number} version @param {number[]} points @param {AbortSignal} [signal]
 *  @returns {Promise<{items: (import("./types.js").Item | null)[]}>} */
export const mapItems = (version, points, signal) => json("map/items", { method: "POST", json: { version, points }, signal });

/** The points of some items; null for one that is not on the map. @param {number} version @param {string[]} ids @param {AbortSignal} [signal]
 *  @returns {Promise<{points: (number | null)[]}>} */
export const mapFind = (version, ids, signal) => json("map/find", { method: "POST", json: { version, ids }, signal });

// --- Export

/** @param {import("./types.js").ExportRequest} body @param {AbortSignal} [signal] @returns {Promise<{blob: Blob, name: string}[]>} One for each library that the sounds are of. */
export async function exportFiles(body, signal) {
  const files = [];
  for (const [home, items] of byHome(body.items)) {
    const response = await request("export", { method: "POST", json: { ...body, items }, signal, home });
    const stated = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") || "");
    files.push({ blob: await response.blob(), name: stated ? stated[1] : `soundseek.${body.format}` });
  }
  return files;
}

/** @param {import("./types.js").ExportRequest} body @returns {Promise<import("./types.js").ExportAnswer>} */
export async function exportFolder(body) {
  const answers = [];
  for (const [home, items] of byHome(body.items)) answers.push(await json("export", { method: "POST", json: { ...body, items }, home }));
  return { folder: answers[0].folder, files: answers.flatMap(({ files }) => files), skipped: answers.flatMap(({ skipped }) => skipped) };
}
