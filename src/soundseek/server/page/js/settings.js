/** What the browser remembers between visits: a signal each, kept in local storage where that is allowed. */

import { effect, signal } from "../vendor/signals.js";

/** @template T @param {string} name @param {T} initial @returns {import("../vendor/signals.js").Signal<T>} */
function remembered(name, initial) {
  const key = `soundseek.${name}`;
  let value = initial;
  try {
    const stored = localStorage.getItem(key);
    if (stored !== null) value = typeof initial === "string" ? stored : JSON.parse(stored);
  } catch {
    // A browser that stores nothing, or something unreadable: the initial value.
  }
  const setting = signal(value);
  effect(() => {
    const now = setting.value;
    try {
      localStorage.setItem(key, typeof now === "string" ? now : JSON.stringify(now));
    } catch {
      // It holds until the page is closed.
    }
  });
  return setting;
}

/** "system", "dark" or "light". */
export const theme = remembered("theme", "system");
export const volume = remembered("volume", 0.9);
export const matchesGain = remembered("matchGain", true);
export const playsWhileBrowsing = remembered("autoplay", true);
export const showsSpectrogram = remembered("spectrogram", false);
export const singleKeys = remembered("singleKeys", true);
/** The last texts searched for, the latest first. @type {import("../vendor/signals.js").Signal<string[]>} */
export const recent = remembered("recent", []);
/** Which words sounds are labelled with: "audioset", "ucs" or "own". */
export const labelList = remembered("labelList", "audioset");
export const ownLabels = remembered("ownLabels", "");
/** Named sets of the server's libraries. @type {import("../vendor/signals.js").Signal<{name: string, libraries: string[]}[]>} */
export const librarySets = remembered("librarySets", []);
/** What the colours of the map stand for: "folder" or "label". */
export const colourMapBy = remembered("colourMapBy", "folder");

/** @param {string} text */
export function rememberSearch(text) {
  if (text.length < 3) return;
  const others = recent.peek().filter((old) => old !== text && !text.startsWith(old));
  recent.value = [text, ...others].slice(0, 8);
}
