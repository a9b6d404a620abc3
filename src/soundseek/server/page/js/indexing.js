/** The run that indexes: started, followed, stopped. The library is asked again as it grows. */

import * as api from "./api.js";
import { count } from "./format.js";
import { can, job, library } from "./state.js";
import { complain, say } from "./toast.js";

/** @type {() => void} */
let stopFollowing = () => {};
let lastRefresh = 0;

/** Whether a run is on. @param {import("./types.js").Job | null} run */
export function isRunning(run) {
  return run?.state === "running" || run?.state === "stopping";
}

export async function refreshLibrary() {
  lastRefresh = Date.now();
  try {
    library.value = await api.library();
    can.value = library.value.can;
  } catch (error) {
    if (!(error instanceof api.Offline)) can.value = await api.capabilities().catch(() => ({}));
    throw error;
  }
}

/** Follow a run that was started elsewhere, or before the page was loaded. */
export async function pickUp() {
  const { jobs } = await api.jobs().catch(() => ({ jobs: [] }));
  if (jobs.length) job.value = jobs[0];
  if (jobs.length && isRunning(jobs[0])) follow(jobs[0].id);
}

/** @param {string[]} folders None: those of earlier runs again. */
export async function startIndexing(folders) {
  try {
    job.value = await api.startJob(folders);
    follow(/** @type {any} */ (job.value).id);
  } catch (error) {
    complain(error);
  }
}

export async function stopIndexing() {
  const run = job.peek();
  if (run) job.value = await api.stopJob(run.id).catch((error) => (complain(error), run));
}

export async function resumeIndexing() {
  const run = job.peek();
  if (!run) return;
  try {
    job.value = await api.resumeJob(run.id);
    follow(/** @type {any} */ (job.value).id);
  } catch (error) {
    complain(error);
  }
}

/** @param {string} id */
function follow(id) {
  stopFollowing();
  stopFollowing = api.followJob(id, (run) => {
    job.value = run;
    const hasEnded = !isRunning(run);
    if (hasEnded || Date.now() - lastRefresh > 5000) refreshLibrary().catch(() => {});
    if (run.state === "done" && run.report) say(`Indexed: ${foundInWords(run.report)}`);
    if (run.state === "failed") complain(run.error ?? "Indexing failed.");
  });
}

/** "3 new, 10 moved": what a run found. @param {NonNullable<import("./types.js").Job["report"]>} report */
export function foundInWords({ added, changed, moved, removed, unchanged, failed }) {
  return /** @type {[number, string][]} */ ([[added, "new"], [changed, "changed"], [moved, "moved"], [removed, "removed"], [unchanged, "unchanged"], [failed, "not readable"]])
    .filter(([number]) => number).map(([number, word]) => `${count(number)} ${word}`).join(", ") || "no sounds";
}
