/** One row of the list. */

import { collectHits, copyPaths, exportHits, labelHits, moreLikeHits, notLike, onlyFolder, segmentOf, showInFolder, takeOut, toggleFavourite } from "../actions.js";
import { addLike, dragOut, partOf } from "../examples.js";
import { clock, container, length, matchWord, rate, shortFolder, shown, timeOfDay } from "../format.js";
import { classes, html, Icon, IconButton } from "../html.js";
import * as player from "../player.js";
import { goTo, selectedHits, toggleSelected } from "../selection.js";
import { can, cursor, detailsOpen, keyOf, query, selection } from "../state.js";
import { markHits, markOn } from "../taught.js";
import { Popover } from "./popover.js";
import { RowWave } from "./row_wave.js";

/** @typedef {import("../types.js").Hit} Hit */

/** @param {{hit: Hit, row: number, rowIndex: number, isRanked: boolean}} props */
export function HitRow({ hit, row, rowIndex, isRanked }) {
  const isCurrent = cursor.value === row;
  const isSelected = selection.value.has(keyOf(hit));
  const isPlaying = player.isPlaying.value && player.isIn(hit);
  const tab = isCurrent ? 0 : -1;
  const playFrom = (/** @type {number | undefined} */ at) => {
    goTo(row, { play: false });
    player.play(hit, at);
  };
  const onClick = (/** @type {MouseEvent} */ event) => {
    if (event.shiftKey) toggleSelected(row, { range: true });
    else if (event.ctrlKey || event.metaKey) toggleSelected(row);
    else goTo(row);
  };
  const onDragStart = (/** @type {DragEvent} */ event) => dragOut(event, isSelected ? selectedHits() : [hit]);
  return html`<div role="row" class=${classes({ hit: true, current: isCurrent, selected: isSelected, playing: isPlaying })}
    data-row=${row} tabindex=${isCurrent || (cursor.value < 0 && row === 0) ? 0 : -1}
    aria-rowindex=${rowIndex} aria-selected=${String(isSelected)} aria-label=${spoken(hit, row, isRanked)}
    onClick=${onClick} onDblClick=${() => (detailsOpen.value = true)} draggable="true" onDragStart=${onDragStart}>
    <div role="gridcell" class="cell-play">
      <button type="button" class="play-button" tabindex=${tab} aria-label=${isPlaying ? `Stop ${hit.name}` : `Play ${hit.name}`}
        onClick=${(/** @type {Event} */ event) => { event.stopPropagation(); isPlaying ? player.stop() : playFrom(undefined); }}>
        <${Icon} name=${isPlaying ? "pause" : "play"} size=${16} filled />
      </button>
      <input type="checkbox" class="select-box" checked=${isSelected} tabindex=${tab} aria-label=${`Select ${hit.name}`}
        onClick=${(/** @type {MouseEvent} */ event) => { event.stopPropagation(); toggleSelected(row, { range: event.shiftKey }); }} />
    </div>
    <div role="gridcell" class="cell-name">
      <span class="hit-name" title=${shown(hit.path)}>${shown(hit.name)}</span>
      <span class="hit-folder" title=${shown(hit.folder)}><span class="hit-place">${hit.library ? html`<span class="hit-library">${libraryName(hit.library)}</span> · ` : ""}${shown(shortFolder(hit.folder))}</span>${noteOn(hit) && html` <span class="hit-named" title=${hit.note ?? "Words of the query that its name, folder or tags hold"}>${noteOn(hit)}</span>`}</span>
    </div>
    <div role="gridcell" class="cell-wave"><${RowWave} hit=${hit} onPlay=${playFrom} /></div>
    <div role="gridcell" class="cell-moment number" title=${hit.clock ? `recorded at ${timeOfDay(hit.clock)}` : undefined}>${isRanked ? clock(hit.moment_s) : hit.start_s > 0 ? clock(hit.start_s) : ""}</div>
    <div role="gridcell" class="cell-length number">${length(hit.duration_s)}</div>
    <div role="gridcell" class="cell-format">${container(hit.format)}<span class="hit-rate">${rate(hit.sample_rate_hz)}</span></div>
    <div role="gridcell" class="cell-score number" title=${isRanked && typeof hit.match === "number" ? `fits with a probability of ${Math.round(100 * hit.match)} %` : undefined}>${isRanked && html`<span class="score-bar" style=${{ "--part": scorePart(hit) }}></span>
      <span class="score-number">${hit.score.toFixed(2)}</span>${typeof hit.match === "number" && html`<span class="score-word">${matchWord(hit.match)}</span>`}`}</div>
    <div role="gridcell" class="cell-actions">
      ${query.value.taught ? html`<${MarkButtons} hit=${hit} tab=${tab} />` : html`<${IconButton} icon="heart" label=${hit.is_favourite ? "No longer a favourite" : "Favourite"} keys="F" pressed=${hit.is_favourite} filled=${hit.is_favourite}
        tabIndex=${tab} className="heart" size=${16} onClick=${(/** @type {Event} */ event) => { event.stopPropagation(); toggleFavourite(hit); }} />
      <${IconButton} icon="radar" label="More like this" keys="M" tabIndex=${tab} size=${16}
        onClick=${(/** @type {Event} */ event) => { event.stopPropagation(); moreLikeHits([hit]); }} />`}
      <${RowMenu} hit=${hit} tab=${tab} />
    </div>
  </div>`;
}

/** Whether a hit is what the query's name says. @param {{hit: Hit, tab: number}} props */
function MarkButtons({ hit, tab }) {
  const marked = markOn(hit);
  const mark = (/** @type {boolean} */ isRight) => (/** @type {Event} */ event) => {
    event.stopPropagation();
    markHits([hit], isRight);
  };
  return html`<${IconButton} icon="check" label=${`Right for ${query.value.taught}`} keys="Y" pressed=${marked === true} tabIndex=${tab} className="mark right" size=${16} onClick=${mark(true)} />
    <${IconButton} icon="x" label=${`Wrong for ${query.value.taught}`} keys="U" pressed=${marked === false} tabIndex=${tab} className="mark wrong" size=${16} onClick=${mark(false)} />`;
}

/** What a screen reader says of a row. @param {Hit} hit @param {number} row @param {boolean} isRanked */
function spoken(hit, row, isRanked) {
  const facts = [`${row + 1}, ${shown(hit.name)}`, length(hit.duration_s)];
  if (isRanked) facts.push(`best moment at ${clock(hit.moment_s)}`, `score ${hit.score.toFixed(2)}`);
  if (isRanked && typeof hit.match === "number") facts.push(`${matchWord(hit.match)}, fits with a probability of ${Math.round(100 * hit.match)} %`);
  if (hit.library) facts.push(`in ${libraryName(hit.library)}`);
  if (noteOn(hit)) facts.push(noteOn(hit));
  if (query.value.taught && markOn(hit) !== null) facts.push(markOn(hit) ? "marked right" : "marked wrong");
  if (hit.clock) facts.push(`recorded at ${timeOfDay(hit.clock)}`);
  return facts.join(", ");
}

/** @param {string} address */
function libraryName(address) {
  return can.value.libraries?.find((one) => one.address === address)?.name ?? address;
}

/** What belongs to it in this list; or that its name, folder or tags hold words of the query, so that it ranks higher. @param {Hit} hit */
function noteOn(hit) {
  if (hit.note) return hit.note;
  return hit.keywords?.length ? `+ name: ${hit.keywords.join(" ")}` : "";
}

/** How full the bar is: the probability that the hit fits, else its cosine. @param {Hit} hit */
function scorePart({ match, score }) {
  return Math.max(0.02, Math.min(1, match ?? score));
}

/** @param {{hit: Hit, tab: number}} props */
function RowMenu({ hit, tab }) {
  /** @type {(false | undefined | [string, string, () => void, string?])[]} */
  const entries = [
    ["radar", "More like this", () => moreLikeHits([hit]), "M"],
    ["plus", "Add to the search as an example", () => addLike([partOf(hit, segmentOf(hit))])],
    ["circle-minus", "Keep sounds like this out", () => notLike([hit]), "N"],
    ["check", "Right: teach it", () => markHits([hit], true), "Y"],
    ["x", "Wrong: not this", () => markHits([hit], false), "U"],
    ["folder", "Only this folder", () => onlyFolder(hit.folder)],
    ["list-plus", "Add to a collection …", () => collectHits([hit]), "A"],
    ["download", "Export …", () => exportHits([hit]), "E"],
    ["tag", "Words for it …", () => labelHits([hit]), "W"],
    ["copy", "Copy the path", () => copyPaths([hit]), "C"],
    can.value.show_in_folder && ["folder-open", "Show in its folder", () => showInFolder(hit), "B"],
    query.value.taught !== "" && ["heart", hit.is_favourite ? "No longer a favourite" : "Favourite", () => toggleFavourite(hit), "F"],
    query.value.collection !== "" && ["trash-2", "Take out of the collection", () => takeOut([hit])],
  ];
  return html`<${Popover} label=${`Actions for ${hit.name}`} title="More" buttonClass="icon-button" align="end" menu tabIndex=${tab}
    button=${() => html`<${Icon} name="ellipsis" size=${16} />`}>
    ${(/** @type {() => void} */ close) => entries.map((entry) => entry && html`<button type="button" role="menuitem" class="menu-item"
      onClick=${() => { close(); entry[2](); }}><${Icon} name=${entry[0]} size=${16} /><span>${entry[1]}</span>${entry[3] && html`<kbd>${entry[3]}</kbd>`}</button>`)}
  <//>`;
}
