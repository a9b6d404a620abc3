/** Choose folders, watch them being indexed, see what could not be read. */

import { useEffect, useRef, useState } from "../../vendor/preact-hooks.js";
import * as api from "../api.js";
import { count, counted, date, shown, wait } from "../format.js";
import { html, Icon } from "../html.js";
import { foundInWords, isRunning, resumeIndexing, startIndexing, stopIndexing } from "../indexing.js";
import { job, library } from "../state.js";
import { Dialog } from "./dialog.js";

/** @param {{showsFailures: boolean}} props  Open the list of what could not be read. */
export function IndexDialog({ showsFailures }) {
  const run = job.value;
  return html`<${Dialog} title="Index folders" className="index">
    ${isRunning(run) ? html`<${Progress} run=${run} />` : html`${run && html`<${Report} run=${run} />`}<${Chooser} />`}
    <${Failures} key=${run?.state} isOpen=${showsFailures} />
  <//>`;
}

/** @param {{run: import("../types.js").Job}} props */
function Progress({ run }) {
  const at = run.progress;
  return html`<section class="job" aria-label="Progress">
    <p class="job-line"><strong>${run.state === "stopping" ? "Stopping …" : "Listening to your recordings"}</strong><span class="number">${at ? `${count(at.files_done)} of ${count(at.files_total)} files` : ""}</span></p>
    <progress aria-label="Files indexed" max=${at?.files_total || 1} value=${at ? at.files_done : undefined}></progress>
    <p class="job-line faint"><span>${at?.eta_s ? `about ${wait(at.eta_s)} left` : "looking through the folders"}</span><span class="number">${at?.x_realtime ? `${Math.round(at.x_realtime)} × real time` : ""}</span></p>
    <p class="job-current" title=${at ? shown(at.current) : ""}>${at ? shown(at.current) : "\u00a0"}</p>
    <div class="dialog-foot"><span class="hint">What is done stays done, also when you stop.</span>
      <button type="button" class="button" disabled=${run.state === "stopping"} onClick=${stopIndexing}><${Icon} name="square" size=${14} filled />Stop</button></div>
  </section>`;
}

/** @param {{run: import("../types.js").Job}} props */
function Report({ run }) {
  const { report } = run;
  const title = { done: "Done", stopped: "Stopped", failed: "Failed", running: "", stopping: "" }[run.state];
  return html`<section class="job" role="status">
    <p class="job-line"><strong>${title}</strong>${report && html`<span class="number">${wait(report.elapsed_s)}</span>`}</p>
    ${run.error && html`<p class="problem-text">${run.error}</p>`}
    ${report && html`<p>${foundInWords(report)}</p>`}
    ${run.state === "stopped" && html`<button type="button" class="button" onClick=${resumeIndexing}><${Icon} name="play" size=${14} />Go on</button>`}
  </section>`;
}

function Chooser() {
  const [list, setList] = useState(/** @type {import("../types.js").FolderList | null} */ (null));
  const [error, setError] = useState("");
  const [picked, setPicked] = useState(/** @type {string[]} */ ([]));
  const open = (/** @type {string | undefined} */ path) => api.folders(path).then((answer) => { setList(answer); setError(""); }, (problem) => setError(problem.message));
  useEffect(() => { open(undefined); }, []);
  const toggle = (/** @type {string} */ path) => setPicked(picked.includes(path) ? picked.filter((one) => one !== path) : [...picked, path]);
  const indexed = library.value?.folders ?? [];
  // Whoever walks into a folder means that one.
  const chosen = picked.length ? picked : list?.path ? [list.path] : [];
  return html`<section class="chooser" aria-label="Folders">
    <div class="crumbs">${list?.path ? html`<button type="button" class="button small" onClick=${() => open(list.parent ?? undefined)}><${Icon} name="arrow-left" size=${14} />Up</button><span class="crumb-path">${shown(list.path)}</span>
      <label class="check"><input type="checkbox" checked=${picked.includes(list.path)} onChange=${() => toggle(/** @type {string} */ (list.path))} /><span>This folder</span></label>` : html`<span class="hint">Folders that this server may read</span>`}</div>
    ${error && html`<p class="problem-text">${error}</p>`}
    <ul class="folder-list">${list?.folders.map((folder) => html`<li><label class="check" title=${folder.path}><input type="checkbox" aria-label=${folder.name} checked=${picked.includes(folder.path)} onChange=${() => toggle(folder.path)} /></label>
      <button type="button" class="nav-item" onClick=${() => open(folder.path)}><${Icon} name="folder" size=${16} /><span class="nav-name">${shown(folder.name)}</span>${folder.is_indexed && html`<span class="tag">indexed</span>`}<${Icon} name="chevron-right" size=${14} /></button></li>`)}
      ${list && !list.folders.length && html`<li class="hint">No folders in here.</li>`}</ul>
    <div class="dialog-foot">
      ${indexed.length > 0 && html`<button type="button" class="button" onClick=${() => startIndexing([])}><${Icon} name="refresh-cw" size=${14} />Bring up to date</button>`}
      <button type="button" class="button primary" disabled=${!chosen.length} onClick=${() => startIndexing(chosen)}>${picked.length ? `Index ${counted(picked.length, "folder")}` : chosen.length ? "Index this folder" : "Index"}</button>
    </div>
  </section>`;
}

/** @param {{isOpen: boolean}} props */
function Failures({ isOpen }) {
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  const [answer, setAnswer] = useState(/** @type {{failures: import("../types.js").Failure[], total: number} | null} */ (null));
  useEffect(() => { api.failures().then(setAnswer, () => {}); }, []);
  useEffect(() => { if (isOpen) list.current?.scrollIntoView({ block: "nearest" }); }, [answer]);
  if (!answer?.total) return null;
  return html`<details class="failures" open=${isOpen} ref=${list}><summary>${counted(answer.total, "file")} could not be read</summary>
    <ul>${answer.failures.map((failure) => html`<li><span class="failure-path">${shown(failure.path)}</span><span class="faint">${failure.reason}</span><time class="faint">${date(failure.seen_at)}</time></li>`)}</ul></details>`;
}
