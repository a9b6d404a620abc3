/** Starts the page: draws it, listens to the keys, asks the server what it holds, and notices when it is gone. */

import { render } from "../vendor/preact.js";
import { effect } from "../vendor/signals.js";
import * as api from "./api.js";
import { refreshCollections } from "./collections.js";
import { App } from "./components/app.js";
import { html } from "./html.js";
import { keepIcons } from "./icons.js";
import { pickUp, refreshLibrary } from "./indexing.js";
import "./navigation.js";
import { retry, start } from "./search.js";
import { onKey } from "./shortcuts.js";
import { isOffline, libraryError, results } from "./state.js";
import { refreshTaught } from "./taught.js";
import "./theme.js";
import { startWindowScores } from "./window_scores.js";

const ASK_AGAIN_MS = 2000;
const LOOK_MS = 20_000;

async function greet() {
  try {
    await refreshLibrary();
    libraryError.value = null;
    if (isOffline.peek()) {
      isOffline.value = false;
      if (results.peek().state === "failed") retry();
    }
    return true;
  } catch (error) {
    isOffline.value = error instanceof api.Offline;
    libraryError.value = /** @type {Error} */ (error);
    return false;
  }
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let coming;

/** @param {number} milliseconds */
function askIn(milliseconds) {
  clearTimeout(coming);
  coming = setTimeout(watch, milliseconds);
}

/** Ask at once, then often while there is no answer, seldom while there is. */
async function watch() {
  const isThere = document.hidden || (await greet());
  askIn(isThere ? LOOK_MS : ASK_AGAIN_MS);
}

// A search may be the first to find no server; the next look would be up to twenty seconds away.
effect(() => {
  if (isOffline.value) askIn(ASK_AGAIN_MS);
  else keepIcons();
});

start();
startWindowScores();
render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById("app")));
addEventListener("keydown", onKey);
addEventListener("offline", greet);
watch();
refreshCollections();
refreshTaught();
pickUp();
document.getElementById("search-text")?.focus();
