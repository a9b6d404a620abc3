/** What is on the screen, in words: the heading that screen readers find, and the title of the browser's tab. */

import { computed, effect } from "../vendor/signals.js";
import { collectionName } from "./collections.js";
import { asks, inWords, ranks } from "./query.js";
import { query } from "./state.js";

/** The heading of the page; "" where what is drawn has its own. */
export const heading = computed(() => {
  const now = query.value;
  if (now.view === "duplicates") return "Duplicates";
  const place = now.collection && collectionName(now.collection);
  const sought = ranks(now) ? `Sounds for: ${inWords(now)}` : "";
  const list = [sought, place].filter(Boolean).join(", in ") || (now.all ? "All sounds" : asks(now) ? "Sounds that pass the filters" : "");
  return now.view === "map" ? ["Map", list].filter(Boolean).join(": ") : list;
});

effect(() => {
  document.title = heading.value ? `${heading.value} · soundseek` : "soundseek";
});
