/** The libraries that are searched together, and what they hold. */

import { computed, effect, signal } from "../vendor/signals.js";
import * as api from "./api.js";
import { can, library, query } from "./state.js";
import { complain } from "./toast.js";

/** Name of the library whose page this is, where the server has several. */
export const ownName = computed(() => can.value.libraries?.find((one) => one.is_this)?.name ?? "");

/** Addresses of the other libraries that the query names; a text, so that other changes of the query count for nothing. */
const others = computed(() => {
  const own = can.value.libraries?.find((one) => one.is_this)?.address;
  return query.value.libraries.filter((address) => address !== own).join("\n");
});

/** What the others hold, by address. @type {import("../vendor/signals.js").Signal<Map<string, import("./types.js").Library>>} */
const known = signal(new Map());

effect(() => {
  const asked = others.value.split("\n").filter((address) => address && !known.peek().has(address));
  asked.forEach((address) => api.libraryAt(address).then((holds) => {
    known.value = new Map(known.peek()).set(address, holds);
  }, complain));
});

/** What is searched: the page's own library, or those that the query names; null while one of them is not known. */
export const searched = computed(() => {
  const addresses = query.value.libraries;
  const all = can.value.libraries ?? [];
  const chosen = addresses.length ? all.filter((one) => addresses.includes(one.address)) : [];
  const holds = chosen.length ? chosen.map((one) => (one.is_this ? library.value : known.value.get(one.address))) : [library.value];
  if (!holds.every((one) => one)) return null;
  const found = /** @type {import("./types.js").Library[]} */ (holds);
  return {
    names: chosen.map((one) => one.name), paths: found.map((one) => one.path), model: found[0].model,
    files: found.reduce((sum, one) => sum + one.files, 0), audioHours: found.reduce((sum, one) => sum + one.audio_hours, 0),
  };
});
