/**
 * One audio element that plays hits.
 *
 * Times are seconds of the file. Of a file that browsers cannot play the server makes WAV, at most ten minutes at once:
 * `clip` is the part that the element holds, and begins at 0 of its own time.
 */

import { effect, signal } from "../vendor/signals.js";
import * as api from "./api.js";
import { matchedGain, peaksOf } from "./peaks.js";
import { matchesGain, volume } from "./settings.js";
import { say } from "./toast.js";

/** @typedef {import("./types.js").Hit} Hit */

/** A moment is heard from a little before it. */
const LEAD_S = 0.4;
const CLIP_S = 600;

export const audio = new Audio();
audio.preload = "auto";

/** The hit in the player. @type {import("../vendor/signals.js").Signal<Hit | null>} */
export const current = signal(null);
export const isPlaying = signal(false);
/** Seconds of the file. */
export const time = signal(0);
/** @type {import("../vendor/signals.js").Signal<string>} */
export const playError = signal("");
/** The selected region of the current file. @type {import("../vendor/signals.js").Signal<{start_s: number, end_s: number} | null>} */
export const region = signal(null);
export const loops = signal(false);

let clip = { start_s: 0, end_s: Infinity };

/** Where a hit is played from: just before its best moment, or its beginning. @param {Hit} hit */
export function startOf(hit) {
  return hit.moments.length ? Math.max(hit.start_s, hit.moment_s - hit.frame_s / 2 - LEAD_S) : hit.start_s;
}

/** Put a hit into the player without playing it. @param {Hit} hit @param {number} [at] */
export function load(hit, at = startOf(hit)) {
  const part = clipAround(hit, at);
  const address = api.audioAddress(hit, part.end_s === Infinity ? {} : part);
  const isOther = current.peek()?.id !== hit.id;
  if (audio.src !== address) {
    audio.src = address;
    clip = part;
  }
  playError.value = "";
  if (isOther) region.value = null;
  current.value = hit;
  seek(at);
  if (isOther) matchGain();
}

/** @param {Hit} hit @param {number} at */
function clipAround(hit, at) {
  if (!hit.needs_preview || hit.duration_s <= CLIP_S) return { start_s: 0, end_s: Infinity };
  if (current.peek()?.id === hit.id && at >= clip.start_s && at < clip.end_s) return clip;
  const start_s = Math.max(0, Math.min(at - 30, hit.duration_s - CLIP_S));
  return { start_s, end_s: start_s + CLIP_S };
}

/** @param {Hit} hit @param {number} [at] Seconds of the file. */
export async function play(hit, at) {
  load(hit, at);
  await resume();
}

export async function resume() {
  if (!current.peek()) return;
  try {
    await graph?.context.resume();
    await audio.play();
  } catch (error) {
    if (/** @type {Error} */ (error).name !== "AbortError" && !audio.error) playError.value = "The browser did not start to play.";
  }
}

export function stop() {
  audio.pause();
}

/** Play or stop; a hit that is not in the player yet is played. @param {Hit | null} [hit] */
export function toggle(hit = current.peek()) {
  if (!hit) return;
  if (isPlaying.peek() && isIn(hit)) stop();
  else if (isIn(hit)) resume();
  else play(hit);
}

/** Whether a hit is the one in the player. @param {Hit} hit */
export function isIn(hit) {
  return current.value?.id === hit.id && current.value.start_s === hit.start_s;
}

/** @param {number} at Seconds of the file. */
export function seek(at) {
  const hit = current.peek();
  if (!hit) return;
  const target = Math.min(Math.max(at, 0), hit.duration_s);
  if (target < clip.start_s || target >= clip.end_s) {
    const wasPlaying = isPlaying.peek();
    load(hit, target);
    if (wasPlaying) resume();
    return;
  }
  audio.currentTime = target - clip.start_s;
  time.value = target;
}

/** @param {number} seconds */
export function nudge(seconds) {
  seek(time.peek() + seconds);
}

/** Fetch the beginning of what will probably be played next. @param {Hit | undefined} hit */
export function preload(hit) {
  if (!hit || hit.id === current.peek()?.id || (hit.needs_preview && hit.duration_s > CLIP_S)) return;
  const address = api.audioAddress(hit);
  if (next.src !== address) next.src = address;
}

const next = new Audio();
next.preload = "auto";
next.muted = true;

// --- The element's events

audio.addEventListener("play", () => {
  isPlaying.value = true;
  requestAnimationFrame(tick);
});
audio.addEventListener("pause", () => (isPlaying.value = false));
audio.addEventListener("ended", () => {
  if (loops.peek()) {
    seek(region.peek()?.start_s ?? 0);
    resume();
  }
});
audio.addEventListener("error", () => {
  if (!current.peek()) return;
  isPlaying.value = false;
  playError.value = "This file cannot be played here. It may have been moved, or its disk may be off.";
  say(playError.peek());
});

/** While it plays: the time, and back to the region's beginning at its end. */
function tick() {
  if (audio.paused) return;
  const now = clip.start_s + audio.currentTime;
  const loop = loops.peek() ? region.peek() : null;
  if (loop && now >= loop.end_s) seek(loop.start_s);
  else time.value = Math.min(now, current.peek()?.duration_s ?? now);  // a decoded file may be a little longer
  requestAnimationFrame(tick);
}

// --- Loudness

/** @type {{context: AudioContext, gain: GainNode} | null} */
let graph = null;
let matched = 1;

effect(() => {
  const level = volume.value;
  if (graph) setGain();
  audio.volume = Math.min(1, Math.max(0, level));
});

effect(() => {
  matchesGain.value;
  matchGain();
});

/** Bring the current hit to the loudness of all others, or leave it as it is. */
async function matchGain() {
  const hit = current.peek();
  matched = 1;
  if (hit && matchesGain.peek()) {
    const part = hit.duration_s > 30 ? { start_s: hit.start_s, end_s: Math.min(hit.end_s, hit.start_s + 30) } : {};
    const peaks = await peaksOf(hit.id, { ...part, n: 300 }).catch(() => null);
    if (current.peek()?.id !== hit.id) return;
    if (peaks) matched = matchedGain(peaks);
  }
  if (matched !== 1 && !graph) graph = connect();
  setGain();
}

/** Through WebAudio, which alone can make louder. It may only begin after a key or a click. */
function connect() {
  if (!navigator.userActivation?.hasBeenActive) return null;
  const context = new AudioContext();
  const gain = context.createGain();
  context.createMediaElementSource(audio).connect(gain).connect(context.destination);
  context.resume();
  return { context, gain };
}

function setGain() {
  graph?.gain.gain.setTargetAtTime(matched, graph.context.currentTime, 0.015);
}

/** The gain of the preview in decibels, for those who want to see it. */
export function gainDb() {
  return 20 * Math.log10(matched);
}
