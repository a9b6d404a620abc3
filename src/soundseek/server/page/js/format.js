/** Numbers, times and paths as people read them. */

/** From which probability on a hit is called so; as model/match.py says it. @type {[number, string][]} */
const MATCH_WORDS = [[0.8, "sure"], [0.5, "likely"], [0.2, "maybe"], [0, "unlikely"]];

/** How well a hit fits, in a word. @param {number} match Probability, 0 to 1. */
export function matchWord(match) {
  return MATCH_WORDS.find(([least]) => match >= least)?.[1] ?? "unlikely";
}

/** "0:07.3" below an hour, "1:02:07" above: a place in a file. @param {number} seconds @param {number} [digits] */
export function clock(seconds, digits = 1) {
  const unit = 10 ** digits;
  const rounded = Math.round(Math.max(0, seconds) * unit) / unit;
  const hours = Math.floor(rounded / 3600);
  const minutes = Math.floor((rounded % 3600) / 60);
  const rest = rounded % 60;
  const shown = rest.toFixed(hours ? 0 : digits).padStart(hours || digits === 0 ? 2 : digits + 3, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${shown}` : `${minutes}:${shown}`;
}

/** "0.4 s", "12 s", "3:20", "1:02:07": a length. @param {number} seconds */
export function length(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  return clock(seconds, 0);
}

/** "5 s", "3 min", "2 h 10 min": what is left of a wait. @param {number} seconds */
export function wait(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** "44.1 kHz". @param {number} hertz */
export function rate(hertz) {
  return `${Number((hertz / 1000).toFixed(3))} kHz`;
}

/** "mono", "stereo", "6 channels". @param {number} count */
export function channels(count) {
  return ["", "mono", "stereo"][count] || `${count} channels`;
}

/** "3.2 MB". @param {number} bytes */
export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return `${value < 10 && power ? value.toFixed(1) : Math.round(value)} ${units[power]}`;
}

/** "12,408". @param {number} value */
export function count(value) {
  return value.toLocaleString("en");
}

/** "1 sound", "12,408 sounds". @param {number} value @param {string} noun */
export function counted(value, noun) {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** "WAV", "FLAC", "OGG": a format for a narrow column. @param {string} format */
export function container(format) {
  return format.split("/")[0];
}

/** The last two folders of a path, "…/Doors/Wood". @param {string} folder */
export function shortFolder(folder) {
  const parts = folder.split(/[\\/]/).filter(Boolean);
  return parts.length > 2 ? `…/${parts.slice(-2).join("/")}` : folder;
}

/** The last part of a path. @param {string} path */
export function baseName(path) {
  return path.split(/[\\/]/).filter(Boolean).pop() || path;
}

/** A date of the API in the reader's own way. @param {string} iso */
export function date(iso) {
  const when = new Date(iso);
  return Number.isNaN(when.getTime()) ? iso : when.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/** The day and the time of a clock of the API, "2023-06-14 10:22:03". @param {string} clock */
export function timeOfDay(clock) {
  return clock.replace("T", " ").split(".")[0];
}

/** "DOORS" as "Doors". @param {string} name */
export function sentenceCase(name) {
  return name.charAt(0) + name.slice(1).toLowerCase();
}

/** A label as people say it: of UCS, whose names are in capitals, "Doors: wood", which a search understands as well. @param {import("./types.js").SoundLabel} label */
export function labelWords({ label, category, subcategory }) {
  return category && subcategory ? `${sentenceCase(category)}: ${subcategory.toLowerCase()}` : label;
}

/** File names may hold lone surrogates (bytes that are no UTF-8): shown as the replacement character. @param {string} text */
export function shown(text) {
  return text.toWellFormed ? text.toWellFormed() : text;
}
