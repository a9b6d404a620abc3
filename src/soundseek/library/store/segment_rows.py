"""Segments as rows of an engine: as arrays, ranked by sound and name, as matches, and whether they are whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from soundseek._typing import AnyFloatArray, AnyIntArray
from soundseek.library.store.base import EmbeddedSound, Match, NameQuery, SoundFile
from soundseek.library.store.check import wrong_with
from soundseek.library.store.exact import inner_products
from soundseek.library.store.fused import order_with_bonuses, weighed_words
from soundseek.library.store.rows import SEGMENT_DTYPE
from soundseek.library.store.terms import terms_of_word


class SegmentRow(NamedTuple):
    """One segment as an engine gives it back.

    Attributes:
        file_id: The number of its file.
        number: Its place in the file.
        start_s: Where it starts in the file.
        end_s: Where it ends.
        first_frame: The first of its frames.
        last_frame: The one behind its last.
        vector: `(dim,)`.
    """

    file_id: int
    number: int
    start_s: float
    end_s: float
    first_frame: int
    last_frame: int
    vector: AnyFloatArray


class RankedSegment(NamedTuple):
    """A segment that a search lists.

    Attributes:
        row: The segment.
        score: Inner product of the query and its vector, in 32 bits.
        bonus: What its file's name adds.
    """

    row: SegmentRow
    score: float
    bonus: float


def arrays_of(segments: Sequence[SegmentRow], dim: int) -> tuple[AnyFloatArray, AnyIntArray, AnyFloatArray]:
    """Times `(segments, 2)`, spans `(segments, 2)` and vectors `(segments, dim)` float16 of a file's segments."""
    times_s = np.array([(row.start_s, row.end_s) for row in segments], np.float64).reshape(-1, 2)
    spans = np.array([(row.first_frame, row.last_frame) for row in segments], np.int64).reshape(-1, 2)
    return times_s, spans, np.array([row.vector for row in segments], np.float16).reshape(-1, dim)


def ranked(
    query: AnyFloatArray,
    segments: Sequence[SegmentRow],
    listed: Collection[tuple[int, int]],
    bonuses: Mapping[int, float],
    names: NameQuery | None,
) -> list[RankedSegment]:
    """Segments by score and bonus, best first.

    Args:
        query: `(dim,)`.
        segments: By file and number.
        listed: `(file, number)` of those that the sound has brought; the others were brought by names.
        bonuses: File -> what its name adds; nothing of a file that is not there.
        names: What names and tags were asked for.
    """
    if not segments:
        return []
    vectors = np.array([row.vector for row in segments], np.float32)
    # As in a folder, and whichever other rows are there; no cosine is above 1.
    scores = np.clip(inner_products(vectors, query), -1.0, 1.0)
    order, extra = order_with_bonuses(
        np.arange(len(segments)),
        scores,
        np.array([row.file_id for row in segments], np.int64),
        np.array([bonuses.get(row.file_id, 0.0) for row in segments], np.float32),
        np.array([(row.file_id, row.number) in listed for row in segments], np.bool_),
        is_all=names is not None and names.is_all,
    )
    return [
        RankedSegment(segments[place], float(scores[place]), float(bonus))
        for place, bonus in zip(order.tolist(), extra, strict=True)
    ]


def as_matches(
    best: Sequence[RankedSegment],
    frames: Sequence[AnyFloatArray],
    files: Mapping[int, tuple[SoundFile, Collection[str]]],
    names: NameQuery | None,
) -> list[Match]:
    """Ranked segments as a store answers with them.

    Args:
        best: The segments.
        frames: `(frames, dim)` of each.
        files: Number -> the file, and the terms of its name, folder and tags.
        names: What names and tags were asked for.
    """
    return [
        Match(
            file=files[row.file_id][0],
            start_s=row.start_s,
            end_s=row.end_s,
            score=score,
            frames=own,
            bonus=bonus,
            keywords=_words_among(names, files[row.file_id][1]) if bonus and names is not None else (),
        )
        for (row, score, bonus), own in zip(best, frames, strict=True)
    ]


def wrong_with_rows(sound: EmbeddedSound, num_rows: int, num_frames: int) -> str | None:
    """What is wrong with a sound as an engine gives it back; None if nothing.

    Args:
        sound: Out of its rows.
        num_rows: Segments that it should have.
        num_frames: Rows of its frames and windows that it should have.
    """
    if (len(sound.vectors), len(sound.rows)) != (num_rows, num_frames):
        return "its rows are missing"
    records = np.empty(num_rows, SEGMENT_DTYPE)
    records["file_id"] = 0
    records["start_s"], records["end_s"] = sound.times_s.T
    records["first_frame"], records["last_frame"] = sound.spans.T
    return wrong_with(sound.vectors, records, sound.rows, 0, 0, duration_s=sound.file.duration_s)


def _words_among(names: NameQuery, terms: Collection[str]) -> tuple[str, ...]:
    """The words of a query that are among the terms of a file, in the order of the query."""
    words = dict.fromkeys(word for text in names.texts for word in weighed_words(text))
    return tuple(word for word in words if set(terms).issuperset(terms_of_word(word)))
