"""Moments of hits by models that embed a segment as a whole: the scores of short windows, each embedded alone.

They are no parts of the segment's score, as frames' scores are where the head is linear: their mean is another number.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from soundseek._typing import AnyFloatArray
from soundseek.errors import DecodeError
from soundseek.library.search import Hit

if TYPE_CHECKING:
    from soundseek.audio.segments import Segment


class WindowModel(Protocol):
    """A model that can embed parts of a file."""

    def embed_windows(
        self, path: str | os.PathLike[str], spans: Sequence[tuple[float, float]], /
    ) -> list[tuple[list[Segment], AnyFloatArray]]:
        """See `Model.embed_windows`."""
        ...


def with_window_scores(model: WindowModel, hits: Sequence[Hit], queries: AnyFloatArray) -> list[Hit]:
    """Hits whose moments are the scores of short windows.

    Args:
        model: What found them.
        hits: In any order; a file is decoded once.
        queries: `(queries, dim)` unit norm; a window's score is its best one.
    """
    spans: dict[str, list[tuple[float, float]]] = {}
    for hit in hits:
        spans.setdefault(hit.path, []).append((hit.start_s, hit.end_s))
    found: dict[tuple[str, float, float], tuple[list[Segment], AnyFloatArray]] = {}
    for path, asked in spans.items():
        try:
            windows = model.embed_windows(path, asked)
        except DecodeError as error:
            logging.getLogger("soundseek").warning("no moments for a hit: %s", error)
            continue
        found |= {(path, *span): each for span, each in zip(asked, windows, strict=True)}
    return [_with_moments(hit, *found[key], queries) if (key := _key(hit)) in found else hit for hit in hits]


def _key(hit: Hit) -> tuple[str, float, float]:
    return hit.path, hit.start_s, hit.end_s


def _with_moments(hit: Hit, windows: list[Segment], vectors: AnyFloatArray, queries: AnyFloatArray) -> Hit:
    scores = (np.asarray(vectors, np.float32) @ queries.T).max(axis=1)
    best = windows[int(scores.argmax())]
    scored = replace(
        hit,
        moments=tuple(scores.tolist()),
        moment_s=(best.start_s + best.end_s) / 2,
        window_s=windows[0].duration_s,
    )
    for name, value in vars(hit).items():
        if name not in vars(scored):  # what is no field, such as the vector, `replace` leaves behind
            object.__setattr__(scored, name, value)
    return scored
