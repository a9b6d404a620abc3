"""Moments of hits by models that embed a segment as a whole: the scores of short windows, each embedded alone.

They are no parts of the segment's score, as frames' scores are where the head is linear: their mean is another number.
A library keeps the windows' vectors where it was asked to at indexing; else the windows of the hits shown are embedded.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from soundseek._typing import AnyFloatArray
from soundseek.audio.segments import Segment, plan_windows
from soundseek.errors import DecodeError, UsageError
from soundseek.library.hits import Hit
from soundseek.library.store.base import Store

WINDOWS = "windows"
"""Name under which a library remembers that it keeps windows."""


class WindowModel(Protocol):
    """A model that can embed parts of a file."""

    def embed_windows(
        self, path: str | os.PathLike[str], spans: Sequence[tuple[float, float]], /
    ) -> list[tuple[list[Segment], AnyFloatArray]]:
        """See `Model.embed_windows`."""
        ...


def need_flat_moments(model: object) -> None:
    """Check that a model has a use for windows.

    Raises:
        UsageError: It has moments of its own.
    """
    if getattr(model, "has_moments", True):
        config = getattr(model, "config", None)
        name = f"the model {config.name}" if config is not None else "this model"
        raise UsageError(f"{name} has moments of its own, so there are no windows to keep; leave windows out")


def with_window_scores(model: WindowModel, hits: Sequence[Hit], queries: AnyFloatArray) -> list[Hit]:
    """Hits whose moments are the scores of short windows, which are embedded now where a hit has no such moments.

    Args:
        model: What found them.
        hits: In any order; a file is decoded once.
        queries: `(queries, dim)` unit norm; a window's score is its best one.
    """
    spans: dict[str, list[tuple[float, float]]] = {}
    for hit in (hit for hit in hits if hit.window_s is None):
        spans.setdefault(hit.path, []).append((hit.start_s, hit.end_s))
    found: dict[tuple[str, float, float], tuple[list[Segment], AnyFloatArray]] = {}
    for path, asked in spans.items():
        try:
            windows = model.embed_windows(path, asked)
        except DecodeError as error:
            logging.getLogger("soundseek").warning("no moments for a hit: %s", error)
            continue
        found |= {(path, *span): each for span, each in zip(asked, windows, strict=True)}
    return [with_moments(hit, *found[key], queries) if (key := _key(hit)) in found else hit for hit in hits]


def with_kept_windows(store: Store, hits: Sequence[Hit], queries: AnyFloatArray) -> list[Hit]:
    """Hits whose moments are the scores of the windows that a library keeps; others stay as they are.

    Args:
        store: What was searched.
        hits: In any order.
        queries: `(queries, dim)` unit norm; a window's score is its best one.
    """
    kept = store.windows_of([hit.path for hit in hits])
    return with_clocks(
        store,
        [
            with_moments(hit, *windows_within(vectors, hit.duration_s, hit.start_s, hit.end_s), queries)
            if len(vectors)
            else hit
            for hit, vectors in zip(hits, kept, strict=True)
        ],
    )


def with_clocks(store: Store, hits: Sequence[Hit]) -> list[Hit]:
    """Hits that say when their best window was recorded, where their files say when they begin."""
    clocked = []
    for hit in hits:
        file = store.file(hit.path) if hit.clock is not None and hit.window_s is not None else None
        if file is not None and file.description is not None:
            hit = _changed(hit, clock=file.description.clock_at(hit.moment_s))
        clocked.append(hit)
    return clocked


def windows_within(
    vectors: AnyFloatArray, duration_s: float, start_s: float, end_s: float
) -> tuple[list[Segment], AnyFloatArray]:
    """Those of a file's windows whose middle lies in a part of it, or the nearest one.

    Args:
        vectors: `(windows, dim)` of the whole file.
        duration_s: Its length.
        start_s: Where the part begins.
        end_s: Where it ends.
    """
    planned = plan_windows(duration_s)
    middles = np.array([(window.start_s + window.end_s) / 2 for window in planned])
    inside = np.flatnonzero((middles >= start_s) & (middles <= end_s))
    if not len(inside):
        inside = np.array([np.abs(middles - (start_s + end_s) / 2).argmin()])
    return [planned[number] for number in inside.tolist()], vectors[inside]


def _key(hit: Hit) -> tuple[str, float, float]:
    return hit.path, hit.start_s, hit.end_s


def with_moments(hit: Hit, windows: list[Segment], vectors: AnyFloatArray, queries: AnyFloatArray) -> Hit:
    """A hit whose moments are the scores of these windows, a score the best of the queries'."""
    scores = (np.asarray(vectors, np.float32) @ queries.T).max(axis=1)
    best = windows[int(scores.argmax())]
    return _changed(
        hit,
        moments=tuple(scores.tolist()),
        moment_s=(best.start_s + best.end_s) / 2,
        window_s=windows[0].duration_s,
    )


def _changed(hit: Hit, **changes: Any) -> Hit:
    """A hit with other fields; what is no field, such as the vector, goes along, which `replace` leaves behind."""
    changed = replace(hit, **changes)
    for name, value in vars(hit).items():
        if name not in vars(changed):
            object.__setattr__(changed, name, value)
    return changed
