"""Segments of a search -> events: windows that overlap on one moment become one hit with its own begin and end.

A file's frames are scored as segments are, by the two seconds and the ten seconds around each. The best frame makes an
event, which reaches to both sides as far as the frames' scores stay above a share of its height; then the best frame
outside it, and so on. No frame is in two events: what a later one would share with an earlier one is the earlier one's.
The height is counted from what the frames around score at their quieter times.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from soundseek._typing import AnyFloatArray, BoolArray, FloatArray
from soundseek.library.store.base import Match, ScoredBy
from soundseek.model.stretches import (
    CONTEXT_S,
    STRETCH_S,
    blended,
    num_stretches,
    scores_of_sentences,
    stretch_frames,
)

_SMOOTHED_S = 1.0
_QUIETER = 0.3  # the quantile of the frames that an event's height is counted from
_EDGE = 0.4  # the share of the height at which an event begins and ends
# A second event in what is one run of windows needs so much of the height of the first: the rest of a clip that has
# answered is no event of its own.
_HEIGHT = 0.5
_LEAST_HEIGHT = 0.1  # a sound that lasts scores alike all the time; what is nearly level is one event
_AROUND_S = 20.0
_BETTER = (
    0.05  # an event in the middle of its ten seconds scores a little more than the best window that has it
)

EventsOfRuns: TypeAlias = dict[tuple[str, float, float, int], list[Match]]
"""Path, begin, end and number of the segments of a run -> its events."""


def events_of(
    matches: Sequence[Match],
    queries: AnyFloatArray,
    *,
    enough: int,
    by: ScoredBy = "moments",
    made: EventsOfRuns | None = None,
) -> list[Match]:
    """The events in the segments of a search, best first, with the frames that lie in them.

    Args:
        matches: Segments with their scores; more than those that are wanted, for what lies between two is not known.
        queries: `(1 + parts, dim)`, the first one the whole.
        enough: Once so many are better than what other segments can bring, these are passed by.
        by: As the segments were scored.
        made: Of earlier calls for these queries, which saves making them again; what is made now is added.
    """
    made = {} if made is None else made
    by_file: dict[str, list[Match]] = defaultdict(list)
    for match in matches:
        by_file[match.file.path].append(match)
    runs = [(max(match.score for match in run), run) for own in by_file.values() for run in _runs(own)]
    runs.sort(key=lambda pair: -pair[0])
    events: list[Match] = []
    scores: list[float] = []  # of the events, the lowest first
    for best, run in runs:
        if len(scores) - bisect_right(scores, best + _BETTER) >= enough:
            break
        key = (run[0].file.path, run[0].start_s, run[-1].end_s, len(run))
        if key not in made:
            made[key] = _of_run(run, queries, by)
        events += made[key]
        for event in made[key]:
            insort(scores, event.score)
    return sorted(events, key=lambda event: -event.score)


def _runs(matches: list[Match]) -> list[list[Match]]:
    """The segments of a file in the order of time, parted where they leave a gap."""
    runs: list[list[Match]] = []
    for match in sorted(matches, key=lambda each: each.start_s):
        if runs and match.start_s <= runs[-1][-1].end_s + match.file.frame_s / 2:
            runs[-1].append(match)
        else:
            runs.append([match])
    return runs


def _of_run(run: list[Match], queries: AnyFloatArray, by: ScoredBy) -> list[Match]:
    frame_s, start_s = run[0].file.frame_s, run[0].start_s
    frames = _joined(run)
    scores, smooth = _scored(frames, queries, frame_s, by)
    margin, around = stretch_frames(frame_s), max(1, round(_AROUND_S / frame_s))
    free, taken = np.ones(len(frames), np.bool_), np.zeros(len(frames), np.bool_)
    events: list[Match] = []
    highest = 0.0
    for peak in np.argsort(-scores, kind="stable").tolist():
        if not free[peak]:
            continue
        near = slice(max(0, peak - margin // 2), peak + margin // 2 + 1)
        loudest = near.start + int(smooth[near].argmax())
        near_scores = smooth[max(0, loudest - around) : loudest + around]
        quiet = int(_QUIETER * (len(near_scores) - 1))
        quieter = float(np.partition(near_scores, quiet)[quiet])
        height = max(float(smooth[loudest]) - quieter, _LEAST_HEIGHT)
        if events and height < _HEIGHT * highest:
            break
        highest = max(highest, height)
        # A lower peak has a lower edge, which may lie below all of an event beside it.
        above = smooth >= smooth[loudest] - (1 - _EDGE) * height
        first, last = _reach(above & ~taken, loudest)
        taken[first:last] = True
        free[max(0, min(first, peak) - margin) : max(last, peak + 1) + margin] = False
        begins_s = start_s + first * frame_s
        events.append(
            replace(
                run[0],
                start_s=begins_s,
                end_s=max(min(start_s + last * frame_s, run[-1].end_s), begins_s),
                score=float(np.clip(scores[peak], -1.0, 1.0)),
                frames=frames[first:last],
                bonus=0.0,
                keywords=(),
            )
        )
    return events


def _joined(run: list[Match]) -> AnyFloatArray:
    """`(frames, dim)` of a run, each moment once: of windows that overlap, the earlier one's."""
    frame_s, pieces, known = run[0].file.frame_s, [run[0].frames], len(run[0].frames)
    for match in run[1:]:
        at = round((match.start_s - run[0].start_s) / frame_s)
        new = match.frames[max(0, known - at) :]
        pieces.append(new)
        known += len(new)
    return np.concatenate(pieces)


def _scored(
    frames: AnyFloatArray, queries: AnyFloatArray, frame_s: float, by: ScoredBy
) -> tuple[FloatArray, FloatArray]:
    """Of each frame `(frames,)` its score, and what the second around it scores for the whole query."""
    rows = np.asarray(frames, np.float32)
    sums = np.concatenate([np.zeros((1, rows.shape[1]), np.float32), np.cumsum(rows, axis=0)])
    projected = sums @ np.asarray(queries, np.float32).T  # (1 + frames, 1 + parts)

    def cosines(seconds: float) -> FloatArray:
        width = min(max(1, round(seconds / frame_s)), len(rows))
        first = np.clip(np.arange(len(rows)) - width // 2, 0, len(rows) - width)
        windows = sums[first + width] - sums[first]
        norms = np.maximum(np.sqrt(np.einsum("nd,nd->n", windows, windows)), 1e-9)
        found: FloatArray = (projected[first + width] - projected[first]) / norms[:, None]
        return found

    scores = cosines(CONTEXT_S)
    if by == "moments":
        length = min(max(1, round(CONTEXT_S / frame_s)), len(rows))
        scores = blended(scores, cosines(STRETCH_S), num_stretches(length, frame_s))
    return scores_of_sentences(scores), cosines(_SMOOTHED_S)[:, 0]


def _reach(above: BoolArray, at: int) -> tuple[int, int]:
    """The frames `[first, last)` around one that are above the edge, without a gap."""
    first, last = at, at + 1
    while first > 0 and above[first - 1]:
        first -= 1
    while last < len(above) and above[last]:
        last += 1
    return first, last
