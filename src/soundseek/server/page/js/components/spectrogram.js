/** The spectrogram of the current sound, or of its region: drawn when asked for, at most a minute of it. */

import { useEffect, useRef, useState } from "../../vendor/preact-hooks.js";
import WaveSurfer from "../../vendor/wavesurfer.js";
import SpectrogramPlugin from "../../vendor/wavesurfer-spectrogram.js";
import * as api from "../api.js";
import { clock } from "../format.js";
import { html } from "../html.js";
import * as player from "../player.js";
import { shownTheme } from "../theme.js";

const LONGEST_S = 60;

/** The axis of frequency lies on the picture, which may be of any shade there: it has a ground of its own. */
const LABELS = { labelsBackground: "rgba(0, 0, 0, .66)", labelsColor: "#fff", labelsHzColor: "#fff" };

/** @param {{hit: import("../types.js").Hit}} props */
export function Spectrogram({ hit }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const [state, setState] = useState("Listening …");
  const region = player.region.value;
  const isShort = hit.duration_s <= LONGEST_S;
  const start_s = region ? region.start_s : isShort ? 0 : hit.start_s;
  const end_s = Math.min(start_s + LONGEST_S, region ? region.end_s : isShort ? hit.duration_s : hit.end_s);
  const theme = shownTheme.value;
  useEffect(() => {
    const container = /** @type {HTMLElement} */ (box.current);
    const controller = new AbortController();
    /** @type {any} */
    let surfer = null;
    setState("Listening …");
    const pause = setTimeout(async () => {
      try {
        const sound = await api.audioPart(hit.id, start_s, end_s, controller.signal);
        const sampleRate = Math.min(48000, Math.max(8000, hit.sample_rate_hz));
        const hidden = document.createElement("div");
        hidden.className = "spectrogram-source";
        container.replaceChildren(hidden);
        surfer = WaveSurfer.create({
          container: hidden, height: 1, sampleRate, interact: false,
          plugins: [SpectrogramPlugin.create({
            container, height: container.clientHeight, labels: true, ...LABELS, fftSamples: 1024, scale: "mel", gainDB: 20, rangeDB: 80, frequencyMax: sampleRate / 2,
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
  return html`<div class="spectrogram" role="img" aria-label=${`Spectrogram from ${clock(start_s)} to ${clock(end_s)}`}>
    <div class="spectrogram-box" ref=${box}></div>
    <span class="spectrogram-span number">${clock(start_s)} – ${clock(end_s)}</span>
    ${state && html`<span class="spectrogram-state" role="status">${state}</span>`}
  </div>`;
}
