/** The player at the foot of the page: transport, what can be done with the region, the waveform of the current file. */

import { collectHits, exportHits, regionAsHit } from "../actions.js";
import { addNot, dragOut, moreLike, partOf } from "../examples.js";
import { clock, shortFolder, shown } from "../format.js";
import { html, Icon, IconButton } from "../html.js";
import * as player from "../player.js";
import { goTo, move } from "../selection.js";
import { matchesGain, playsWhileBrowsing, showsSpectrogram, volume } from "../settings.js";
import { detailsOpen, keyOf, shownHits } from "../state.js";
import { DeckWave } from "./deck_wave.js";

export function Deck() {
  const hit = player.current.value;
  if (!hit) return null;
  const row = shownHits.value.findIndex((one) => keyOf(one) === keyOf(hit));
  const step = (/** @type {number} */ by) => () => (row < 0 ? move(by) : goTo(row + by, { play: true }));
  return html`<section class="deck" aria-label="Player">
    <div class="deck-bar">
      <div class="transport">
        <${IconButton} icon="skip-back" label="Sound before" keys="↑" onClick=${step(-1)} filled />
        <button type="button" class="play-button big" aria-label=${player.isPlaying.value ? "Stop" : "Play"} title="Play or stop (space)" onClick=${() => player.toggle(hit)}>
          <${Icon} name=${player.isPlaying.value ? "pause" : "play"} size=${20} filled /></button>
        <${IconButton} icon="skip-forward" label="Next sound" keys="↓" onClick=${step(1)} filled />
      </div>
      <div class="deck-title" draggable="true" title="Drag it into another program" onDragStart=${(/** @type {DragEvent} */ event) => dragOut(event, [hit])}>
        <span class="deck-name">${shown(hit.name)}</span>
        <span class="deck-folder">${player.playError.value || shown(shortFolder(hit.folder))}</span>
      </div>
      <${Time} duration=${hit.duration_s} />
      <${RegionTools} />
      <div class="deck-tools">
        <${IconButton} icon="repeat" label="Loop" keys="L" pressed=${player.loops.value} onClick=${() => (player.loops.value = !player.loops.peek())} />
        <${IconButton} icon="scale" label="Everything equally loud" keys="G" className="phone-less" pressed=${matchesGain.value} onClick=${() => (matchesGain.value = !matchesGain.peek())} />
        <${IconButton} icon="list-music" label="Play while going through the list" pressed=${playsWhileBrowsing.value} onClick=${() => (playsWhileBrowsing.value = !playsWhileBrowsing.peek())} className="wide-only" />
        <${IconButton} icon="chart-gantt" label="Spectrogram" keys="S" pressed=${showsSpectrogram.value} onClick=${() => (showsSpectrogram.value = !showsSpectrogram.peek())} />
        <${IconButton} icon="info" label="Details" keys="Enter" pressed=${detailsOpen.value} onClick=${() => (detailsOpen.value = !detailsOpen.peek())} />
        <label class="volume wide-only"><${Icon} name=${volume.value === 0 ? "volume-x" : volume.value < 0.5 ? "volume-1" : "volume-2"} />
          <input type="range" min="0" max="1" step="0.01" aria-label="Volume" value=${volume.value} aria-valuetext=${`${Math.round(volume.value * 100)} percent`}
            onInput=${(/** @type {any} */ event) => (volume.value = Number(event.target.value))} /></label>
      </div>
    </div>
    <${DeckWave} hit=${shownHits.value[row] ?? hit} />
  </section>`;
}

/** @param {{duration: number}} props */
function Time({ duration }) {
  return html`<span class="deck-time number"><span>${clock(player.time.value)}</span><span class="faint"> / ${clock(duration)}</span></span>`;
}

/** What can be done with the region that is selected in the waveform. */
function RegionTools() {
  const region = player.region.value;
  const hit = regionAsHit();
  if (!region || !hit) return html`<div class="region-tools empty"><span class="hint wide-only">Drag over the waveform to select a region</span></div>`;
  return html`<div class="region-tools" role="group" aria-label="The selected region">
    <span class="region-span number">${clock(region.start_s, 2)} – ${clock(region.end_s, 2)}</span>
    <button type="button" class="button small" title="More like this region (M)" aria-label="More like this region" onClick=${() => moreLike([hit], region)}><${Icon} name="radar" size=${14} /><span>More like this</span></button>
    <button type="button" class="button small" title="Keep sounds like it out (N)" aria-label="Not this region" onClick=${() => addNot([partOf(hit, region)])}><${Icon} name="circle-minus" size=${14} /><span>Not this</span></button>
    <button type="button" class="button small" title="Keep the region in a collection (A)" aria-label="Collect the region" onClick=${() => collectHits([hit])}><${Icon} name="list-plus" size=${14} /><span>Collect</span></button>
    <button type="button" class="button small" title="Export the region (E)" aria-label="Cut the region out" onClick=${() => exportHits([hit])}><${Icon} name="scissors" size=${14} /><span>Cut</span></button>
    <${IconButton} icon="x" label="Clear the region" keys="Escape" size=${14} className="small" onClick=${() => (player.region.value = null)} />
  </div>`;
}
