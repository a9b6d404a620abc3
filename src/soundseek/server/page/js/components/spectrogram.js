/** The spectrogram under the waveform: the same seconds at the same places, drawn when asked for, at most two minutes of them. */

import { useEffect, useRef, useState } from "../../vendor/preact-hooks.js";
import { useSignalEffect } from "../../vendor/signals.js";
import WaveSurfer from "../../vendor/wavesurfer.js";
import SpectrogramPlugin from "../../vendor/wavesurfer-spectrogram.js";
import * as api from "../api.js";
import { clock } from "../format.js";
import { html } from "../html.js";
import * as player from "../player.js";
import { shownTheme } from "../theme.js";

/** @typedef {{start_s: number, end_s: number}} Span */

const LONGEST_S = 120;
/** Marks of the axis of frequency, in hertz. */
const MARKS_HZ = [500, 1000, 2000, 5000, 10000, 20000];

/** @param {{hit: import("../types.js").Hit, span: Span}} props  `span` is what the waveform shows. */
export function Spectrogram({ hit, span }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const [state, setState] = useState("Listening …");
  const region = player.region.value;
  const seconds = span.end_s - span.start_s;
  const { start_s, end_s } = drawn(span, region ?? hit);
  const theme = shownTheme.value;
  const sampleRate = Math.min(48000, Math.max(8000, hit.sample_rate_hz));
  useEffect(() => {
    const container = /** @type {HTMLElement} */ (box.current);
    const controller = new AbortController();
    /** @type {any} */
    let surfer = null;
    setState("Listening …");
    const pause = setTimeout(async () => {
      try {
        const sound = await api.audioPart(hit.id, start_s, end_s, controller.signal);
        const hidden = document.createElement("div");
        hidden.className = "spectrogram-source";
        container.replaceChildren(hidden);
        surfer = WaveSurfer.create({
          container: hidden, height: 1, sampleRate, interact: false,
          plugins: [SpectrogramPlugin.create({
            container, height: container.clientHeight, labels: false, fftSamples: 1024, scale: "mel", gainDB: 20, rangeDB: 80, frequencyMax: sampleRate / 2,
            colorMap: theme === "dark" ? "roseus" : "gray",
          })],
        });
        await surfer.loadBlob(new Blob([sound], { type: "audio/wav" }));
        setState("");
      } catch (error) {
        if (!api.isAborted(error)) setState(/** @type {Error} */ (error).message);
      }
    }, 200);
    return () => {
      clearTimeout(pause);
      controller.abort();
      surfer?.destroy();
    };
  }, [hit.id, start_s, end_s, theme]);
  const place = (/** @type {number} */ at) => `${(100 * (at - span.start_s)) / seconds}%`;
  const seek = (/** @type {MouseEvent} */ event) => {
    const frame = /** @type {HTMLElement} */ (event.currentTarget).getBoundingClientRect();
    player.seek(span.start_s + ((event.clientX - frame.left) / frame.width) * seconds);
  };
  return html`<div class="spectrogram" role="img" aria-label=${`Spectrogram from ${clock(start_s)} to ${clock(end_s)}`}>
    <div class="spectrogram-frame" onClick=${seek}>
      <div class="spectrogram-box" ref=${box} style=${{ left: place(start_s), width: `${(100 * (end_s - start_s)) / seconds}%` }}></div>
      ${region && html`<span class="spectrogram-region" style=${{ left: place(region.start_s), right: `calc(100% - ${place(region.end_s)})` }}></span>`}
      <${Line} span=${span} />
      ${state && html`<span class="spectrogram-state" role="status">${state}</span>`}
    </div>
    ${MARKS_HZ.filter((hertz) => hertz < sampleRate / 2).map((hertz) => html`<span class="spectrogram-mark number" aria-hidden="true"
      style=${{ bottom: `${(100 * mel(hertz)) / mel(sampleRate / 2)}%` }}>${hertz < 1000 ? hertz : `${hertz / 1000}k`}</span>`)}
  </div>`;
}

/** What is drawn of a long span: the surroundings of a place in it. @param {Span} span @param {Span} place @returns {Span} */
function drawn(span, place) {
  if (span.end_s - span.start_s <= LONGEST_S) return span;
  const middle = (place.start_s + place.end_s) / 2;
  const start_s = Math.min(Math.max(span.start_s, middle - LONGEST_S / 2), span.end_s - LONGEST_S);
  return { start_s, end_s: start_s + LONGEST_S };
}

/** The scale of the picture. @param {number} hertz */
function mel(hertz) {
  return Math.log10(1 + hertz / 700);
}

/** A line at the place that is playing. @param {{span: Span}} props */
function Line({ span }) {
  const line = useRef(/** @type {HTMLElement | null} */ (null));
  useSignalEffect(() => {
    const part = (player.time.value - span.start_s) / (span.end_s - span.start_s);
    if (!line.current) return;
    line.current.hidden = part < 0 || part > 1;
    line.current.style.left = `${100 * part}%`;
  });
  return html`<span class="spectrogram-line" ref=${line} hidden></span>`;
}
