/** The whole page. */

import { html, Icon, IconButton } from "../html.js";
import { startOver } from "../navigation.js";
import { asks } from "../query.js";
import { theme } from "../settings.js";
import { detailsOpen, dialog, isOffline, lassoed, query, results, sidebarOpen } from "../state.js";
import { nextTheme } from "../theme.js";
import { heading } from "../title.js";
import { CollectDialog } from "./collect_dialog.js";
import { Deck } from "./deck.js";
import { Details } from "./details.js";
import { Duplicates } from "./duplicates.js";
import { ExportDialog } from "./export_dialog.js";
import { Filters } from "./filters.js";
import { HelpDialog } from "./help_dialog.js";
import { IndexDialog } from "./index_dialog.js";
import { LabelsDialog } from "./labels.js";
import { MapView } from "./map_view.js";
import { Mix } from "./mix.js";
import { Notices, Results, ResultsBar, ViewSwitch } from "./results.js";
import { DropTarget, SearchBar } from "./search_bar.js";
import { Sidebar } from "./sidebar.js";
import { TeachDialog } from "./teach_dialog.js";
import { Start } from "./start.js";
import { Toasts } from "./toasts.js";

export function App() {
  return html`<div class=${detailsOpen.value ? "app with-details" : "app"}>
    <a class="skip-link" href="#results" onClick=${skip}>Skip to the results</a>
    <${Top} />
    ${isOffline.value && html`<p class="offline" role="alert"><${Icon} name="unplug" size=${16} />The server does not answer. What is on the screen stays; trying again …</p>`}
    <div class="body">
      <${Sidebar} />
      <main class="main">${heading.value && html`<h1 class="visually-hidden">${heading.value}</h1>`}${query.value.view !== "duplicates" && html`<${Filters} /><${Mix} />`}<${Content} /></main>
      <${Details} />
    </div>
    <${Deck} />
    <${CurrentDialog} />
    <${Toasts} />
    <${DropTarget} />
  </div>`;
}

function Top() {
  const themeIcon = { dark: "moon", light: "sun", system: "monitor" }[theme.value] ?? "monitor";
  return html`<header class="top">
    <${IconButton} icon="library" label="Library and collections" className="sidebar-toggle" expanded=${sidebarOpen.value} onClick=${() => (sidebarOpen.value = !sidebarOpen.peek())} />
    <button type="button" class="brand" aria-label="soundseek: start over" onClick=${() => startOver({ view: "list" })}><img src="page/icon.svg" alt="" width="26" height="26" /><span>soundseek</span></button>
    <${SearchBar} />
    <div class="top-tools">
      <${IconButton} icon=${themeIcon} label=${`Theme: ${theme.value}`} keys="T" onClick=${nextTheme} />
      <${IconButton} icon="keyboard" label="Keys" keys="?" onClick=${() => (dialog.value = { name: "help" })} />
    </div>
  </header>`;
}

function Content() {
  const now = query.value;
  if (now.view === "duplicates") return html`<${Duplicates} />`;
  if (now.view === "map") {
    const hasList = lassoed.value !== null || results.value.hits.length > 0;
    return html`<${ResultsBar} /><${Notices} /><div class=${hasList ? "split" : "split alone"}><${MapView} />${hasList && html`<${Results} />`}</div>`;
  }
  if (!asks(now)) return html`<div class="results-bar"><p class="results-count"></p><div class="results-actions"><${ViewSwitch} /></div></div><${Start} />`;
  return html`<${ResultsBar} /><${Notices} /><${Results} />`;
}


function CurrentDialog() {
  const now = dialog.value;
  if (now?.name === "help") return html`<${HelpDialog} />`;
  if (now?.name === "index") return html`<${IndexDialog} showsFailures=${now.showsFailures === true} />`;
  if (now?.name === "export") return html`<${ExportDialog} hits=${now.hits} />`;
  if (now?.name === "teach") return html`<${TeachDialog} hits=${now.hits} isRight=${now.isRight} />`;
  if (now?.name === "labels") return html`<${LabelsDialog} hits=${now.hits} />`;
  if (now?.name === "collect") return html`<${CollectDialog} hits=${now.hits} />`;
  return null;
}

/** @param {Event} event */
function skip(event) {
  event.preventDefault();
  const target = /** @type {HTMLElement | null} */ (document.querySelector('#results [tabindex="0"]') ?? document.getElementById("results"));
  target?.focus();
}
