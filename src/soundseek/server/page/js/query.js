/**
 * A query, its address and its request.
 *
 * The address holds the whole query, so that back, forward, a bookmark and a link sent to a colleague bring back the
 * same list: `?q=rain&like=ID@1-3.5*0.7~creek.wav&not=speech&format=wav&duration=..30`.
 */

/**
 * A part of a query that is a sound, or for `not` a sound or words.
 * @typedef {Object} Part
 * @property {string} [text]     Words (only in `not`).
 * @property {string} [id]       An item of the library.
 * @property {string} [upload]   A dropped or recorded sound.
 * @property {string} name       What the chip says.
 * @property {number} [start_s]  A region.
 * @property {number} [end_s]
 * @property {number} weight     0 to 2.
 *
 * @typedef {Object} FilterValues
 * @property {number} [minDuration]
 * @property {number} [maxDuration]
 * @property {number} [minRate]
 * @property {number} [maxRate]
 * @property {string[]} formats
 * @property {string[]} folders
 * @property {string} after
 * @property {string} before
 * @property {string} name
 * @property {string} where      A condition in the command line's language.
 *
 * @typedef {Object} Query
 * @property {string} text
 * @property {number} textWeight
 * @property {Part[]} like
 * @property {Part[]} not
 * @property {string} taught      Name of what was taught by marks, or "".
 * @property {number} taughtWeight
 * @property {FilterValues} filters
 * @property {import("./types.js").Per} per
 * @property {boolean} asTyped
 * @property {boolean} windows    Moments by window scores, where the model's own are flat.
 * @property {string} within      The address of the query whose results are searched, or "".
 * @property {string[]} libraries  Addresses of the libraries that are searched together; none is the page's own.
 * @property {string} collection  Id of the collection that is listed or searched, or "".
 * @property {boolean} all        List everything that passes the filters.
 * @property {"list" | "map" | "duplicates"} view
 */

/** @type {FilterValues} */
export const NO_FILTERS = Object.freeze({ formats: [], folders: [], after: "", before: "", name: "", where: "" });

/** @type {Query} */
export const EMPTY = Object.freeze({
  text: "", textWeight: 1, like: [], not: [], taught: "", taughtWeight: 1, filters: NO_FILTERS, per: "file", asTyped: false, windows: false, within: "",
  libraries: [], collection: "", all: false, view: "list",
});

/** Whether words are kept out and nothing is asked for. @param {Query} query */
export function onlyExcludes({ text, like, not, taught }) {
  return withoutUnfinished(text).trim() === "" && !like.length && !taught && not.some((part) => part.text);
}

/** What a query that asks for nothing keeps out, as it is typed: `-"thunder" -"car horn"`. @param {Query} query */
export function exclusions({ not }) {
  return not.flatMap(({ text }) => (text ? `-"${text.replaceAll('"', " ")}"` : [])).join(" ");
}

/**
 * The words that are asked for: without a negative that is still being typed, unless it is all there is.
 * @param {Query} query
 */
export function askedText({ text, like, not, taught, asTyped }) {
  const isAlone = !like.length && !not.length && !taught && /^\s*-[^\s"-]\S*\s*$/.test(text);
  return asTyped || isAlone ? text : withoutUnfinished(text);
}

/** Whether there is something to rank by. @param {Query} query */
export function ranks(query) {
  return askedText(query).trim() !== "" || query.like.length > 0 || query.taught !== "" || onlyExcludes(query);
}

/** Whether there is anything to show: a ranking, or a list. @param {Query} query */
export function asks(query) {
  return ranks(query) || query.all || query.collection !== "" || hasFilters(query.filters);
}

/** @param {FilterValues} filters */
export function hasFilters(filters) {
  return Object.keys(toFilters(filters)).length > 0 || filters.where.trim() !== "";
}

/** What is looked for, in words: it stands on exported labels. @param {Query} query */
export function inWords(query) {
  if (onlyExcludes(query)) return `anything but ${query.not.map(({ name }) => name).join(" and ")}`;
  const { text, taught, like } = query;
  return [text.trim(), taught, ...like.map(({ name }) => `like ${name.replace(/\.\w+$/, "")}`)].filter(Boolean).join(", ");
}

/** The parts whose weights can be set against each other. @param {Query} query */
export function parts(query) {
  return (query.text.trim() ? 1 : 0) + (query.taught ? 1 : 0) + query.like.length + query.not.length;
}

/**
 * The body of `POST /search`.
 * @param {Query} query
 * @param {{k: number, offset?: number, within?: string[]}} page
 * @returns {import("./types.js").SearchRequest}
 */
export function toRequest(query, { k, offset, within }) {
  const filters = toFilters(query.filters);
  const where = query.filters.where.trim();
  const isNothingAsked = onlyExcludes(query);
  const text = isNothingAsked ? exclusions(query) : query.text.trim();
  const not = isNothingAsked ? query.not.filter((part) => !part.text) : query.not;
  return {
    ...(text && { text, text_weight: query.textWeight }),
    ...(query.like.length && { like: query.like.map(toSound) }),
    ...(not.length && { not: not.map(toSound) }),
    ...(query.taught && { taught: query.taught, taught_weight: query.taughtWeight }),
    ...(Object.keys(filters).length && { filters }),
    ...(where && { where }),
    ...(within && { within }),
    ...(query.libraries.length && { libraries: query.libraries }),
    per: query.per,
    k,
    ...(offset && { offset }),
    ...(query.asTyped && !isNothingAsked && { as_typed: true }),
  };
}

/** @param {Part} part */
function toSound({ name, ...sound }) {
  return sound;
}

/** @param {FilterValues} filters @returns {import("./types.js").Filters} */
export function toFilters(filters) {
  return {
    ...range("duration_s", filters.minDuration, filters.maxDuration),
    ...range("sample_rate_hz", filters.minRate, filters.maxRate),
    ...(filters.formats.length && { format: filters.formats }),
    ...(filters.folders.length && { folder: filters.folders }),
    ...(filters.after && { modified_after: filters.after }),
    ...(filters.before && { modified_before: filters.before }),
    ...(filters.name.trim() && { name: filters.name.trim() }),
  };
}

/**
 * The filters as a condition of `--where`, for `GET /items`.
 * @param {FilterValues} filters
 */
export function toWhere(filters) {
  const anyOf = (/** @type {string} */ field, /** @type {string[]} */ values) =>
    values.length > 1 ? `(${values.map((value) => `${field} = ${quoted(value)}`).join(" or ")})`
      : values.map((value) => `${field} = ${quoted(value)}`).join("");
  return [
    filters.minDuration !== undefined && `duration >= ${filters.minDuration}`,
    filters.maxDuration !== undefined && `duration <= ${filters.maxDuration}`,
    filters.minRate !== undefined && `rate >= ${filters.minRate}`,
    filters.maxRate !== undefined && `rate <= ${filters.maxRate}`,
    anyOf("format", filters.formats),
    anyOf("folder", filters.folders),
    filters.after && `modified >= ${filters.after}`,
    filters.before && `modified < ${filters.before}`,
    filters.name.trim() && `name ~ ${quoted(filters.name.trim())}`,
    filters.where.trim() && `(${filters.where.trim()})`,
  ].filter(Boolean).join(" and ");
}

/** @param {string} value */
function quoted(value) {
  return value.includes('"') ? `'${value}'` : `"${value}"`;
}

/** @param {string} name @param {number} [min] @param {number} [max] */
function range(name, min, max) {
  if (min === undefined && max === undefined) return {};
  return { [name]: { ...(min !== undefined && { min }), ...(max !== undefined && { max }) } };
}

/** The address's part behind "?", without it; "" for the empty query. @param {Query} query */
export function toAddress(query) {
  const address = new URLSearchParams();
  const add = (/** @type {string} */ name, /** @type {unknown} */ value) => value && address.append(name, String(value));
  add("q", query.text);
  if (query.textWeight !== 1) add("weight", query.textWeight);
  query.like.forEach((part) => add("like", soundToText(part)));
  add("taught", query.taught);
  if (query.taughtWeight !== 1) address.append("taught_weight", String(query.taughtWeight));
  query.not.forEach((part) => (part.text ? add("not", textToText(part)) : add("unlike", soundToText(part))));
  const { filters } = query;
  add("duration", rangeToText(filters.minDuration, filters.maxDuration));
  add("rate", rangeToText(filters.minRate, filters.maxRate));
  filters.formats.forEach((format) => add("format", format));
  filters.folders.forEach((folder) => add("folder", folder));
  add("after", filters.after);
  add("before", filters.before);
  add("name", filters.name);
  add("where", filters.where);
  if (query.per === "segment") add("per", "segment");
  if (query.asTyped) add("as_typed", 1);
  if (query.windows) add("windows", 1);
  query.libraries.forEach((library) => add("library", library));
  add("within", query.within);
  add("collection", query.collection);
  if (query.all) add("all", 1);
  if (query.view !== "list") add("view", query.view);
  return address.toString();
}

/** A query from the address bar, where nobody is still typing: words behind a minus are negatives. @param {string} search @returns {Query} */
export function finishedFromAddress(search) {
  const query = fromAddress(search);
  if (query.asTyped) return query;
  const { text, negatives } = splitNegatives(query.text, true);
  return { ...query, text, not: [...query.not, ...negatives.map((each) => ({ text: each, name: each, weight: 1 }))] };
}

/** @param {string} search With or without "?". @returns {Query} */
export function fromAddress(search) {
  const address = new URLSearchParams(search);
  const one = (/** @type {string} */ name) => address.get(name) || "";
  const [minDuration, maxDuration] = rangeFromText(one("duration"));
  const [minRate, maxRate] = rangeFromText(one("rate"));
  return {
    text: one("q"),
    textWeight: weightFrom(one("weight")),
    like: address.getAll("like").map(soundFromText).filter((part) => part !== null),
    not: [
      ...address.getAll("not").map(textFromText),
      ...address.getAll("unlike").map(soundFromText).filter((part) => part !== null),
    ],
    taught: one("taught"),
    taughtWeight: weightFrom(one("taught_weight")),
    filters: {
      minDuration, maxDuration, minRate, maxRate,
      formats: address.getAll("format"),
      folders: address.getAll("folder"),
      after: one("after"), before: one("before"), name: one("name"), where: one("where"),
    },
    per: one("per") === "segment" ? "segment" : "file",
    asTyped: one("as_typed") !== "",
    windows: one("windows") !== "",
    libraries: address.getAll("library"),
    within: one("within"),
    collection: one("collection"),
    all: one("all") !== "",
    view: one("view") === "map" ? "map" : one("view") === "duplicates" ? "duplicates" : "list",
  };
}

/** `ID@1-3.5*0.7~creek.wav`; an upload's id begins with "u:". @param {Part} part */
function soundToText(part) {
  const region = part.start_s === undefined && part.end_s === undefined
    ? "" : `@${trimmed(part.start_s ?? 0)}-${part.end_s === undefined ? "" : trimmed(part.end_s)}`;
  const weight = part.weight === 1 ? "" : `*${trimmed(part.weight)}`;
  return `${part.id ?? `u:${part.upload}`}${region}${weight}~${part.name}`;
}

const SOUND = /^(u:)?([0-9a-f-]+)(?:@([\d.]+)-([\d.]*))?(?:\*([\d.]+))?(?:~(.*))?$/s;

/** @param {string} text @returns {Part | null} */
function soundFromText(text) {
  const match = SOUND.exec(text);
  if (!match) return null;
  const [, isUpload, id, start, end, weight, name] = match;
  return {
    ...(isUpload ? { upload: id } : { id }),
    ...(start !== undefined && { start_s: Number(start) }),
    ...(end && { end_s: Number(end) }),
    weight: weightFrom(weight),
    name: name || "a sound",
  };
}

/** `speech*0.7` @param {Part} part */
function textToText(part) {
  return part.weight === 1 ? /** @type {string} */ (part.text) : `${part.text}*${trimmed(part.weight)}`;
}

/** @param {string} text @returns {Part} */
function textFromText(text) {
  const match = /^(.*?)(?:\*([\d.]+))?$/s.exec(text);
  const words = match ? match[1] : text;
  return { text: words, name: words, weight: weightFrom(match?.[2]) };
}

/** @param {number} [min] @param {number} [max] */
function rangeToText(min, max) {
  return min === undefined && max === undefined ? "" : `${min ?? ""}..${max ?? ""}`;
}

/** @param {string} text @returns {[number | undefined, number | undefined]} */
function rangeFromText(text) {
  const match = /^([\d.]*)\.\.([\d.]*)$/.exec(text);
  const numberOf = (/** @type {string | undefined} */ part) => (part && Number.isFinite(Number(part)) ? Number(part) : undefined);
  return [numberOf(match?.[1]), numberOf(match?.[2])];
}

/** @param {string | undefined} text */
function weightFrom(text) {
  const weight = text ? Number(text) : 1;
  return Number.isFinite(weight) ? Math.min(2, Math.max(0, weight)) : 1;
}

/** @param {number} value */
function trimmed(value) {
  return String(Number(value.toFixed(3)));
}

/**
 * Words behind a minus become negatives, as in other searches: `rain -wind -"car horn" ` is "rain" without two things.
 * One that is still being typed (nothing behind it yet) stays in the text.
 * @param {string} text @param {boolean} [isDone] The last word is complete too.
 * @returns {{text: string, negatives: string[]}}
 */
export function splitNegatives(text, isDone = false) {
  /** @type {string[]} */
  const negatives = [];
  const pattern = isDone ? /(^|\s)-(?:"([^"]+)"?|([^\s"-][^\s"]*))(?=\s|$)/g : /(^|\s)-(?:"([^"]+)"|([^\s"-][^\s"]*))(?=\s)/g;
  const rest = text.replace(pattern, (_whole, before, quoted, word) => {
    negatives.push(quoted ?? word);
    return before;
  });
  return { text: negatives.length ? rest.replace(/\s+/g, " ").trimStart() : text, negatives };
}

/** The text without a negative that is still being typed. @param {string} text */
export function withoutUnfinished(text) {
  return text.replace(/(^|\s)-("[^"]*|\S*)$/, "");
}
