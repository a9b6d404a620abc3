"""One file and one query, without a library: the score over time, and what each word of the query contributed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from soundseek.errors import QueryError
from soundseek.library.explain import every_word, without_word
from soundseek.library.search import Hit, moments_of, strongest_s

if TYPE_CHECKING:
    from soundseek.model.embedder import Heard

Float = npt.NDArray[np.float32]

MAX_EXPLAINED_WORDS = 64  # a text tower reads no more tokens than that, and a word is at least one


class ListeningModel(Protocol):
    """What an explanation of a file needs of a model."""

    def embed_text(self, texts: Sequence[str], /) -> Float:
        """Unit vectors `(text, dim)`."""
        ...

    def hear(self, path: str | Path, /) -> Heard:
        """All segments of one file."""
        ...


@dataclass(frozen=True)
class Segment:
    """The score of one window of a file."""

    start_s: float
    end_s: float
    score: float


@dataclass(frozen=True)
class WordShare:
    """What one word of a query did to a score.

    Attributes:
        word: In lower case.
        without: The score of the query without it; 0 where nothing is left to ask.
        contribution: The query's score minus `without`; negative where the word is not heard.
    """

    word: str
    without: float
    contribution: float


@dataclass(frozen=True)
class Explanation:
    """Why a file has the score that it has.

    Attributes:
        hit: The file's best segment, as a search gives it: the mean of its `moments` is its `score`.
        frame_s: Seconds from one moment to the next.
        words: The query's words in their order, each once. They do not add up to the score: words that belong
            together ("door", "slams") lose more together than one by one.
        segments: Every segment of the file, in order of time.
    """

    hit: Hit
    frame_s: float
    words: tuple[WordShare, ...]
    segments: tuple[Segment, ...]


def explain_file(model: ListeningModel, path: str | os.PathLike[str], query: str) -> Explanation:
    """How a query's score in one file comes about.

    Raises:
        QueryError: The query has no word.
        DecodeError: The file cannot be heard.
    """
    query = query.strip()
    words = every_word(query)[:MAX_EXPLAINED_WORDS]
    if not words:
        raise QueryError('nothing to explain; say it in words: soundseek explain FILE "a dog barks"')
    absolute = os.path.abspath(os.path.expanduser(os.fspath(path)))  # noqa: PTH100, PTH111 (as `Library.search`)
    heard = model.hear(absolute)
    left = [without_word(query, word) for word in words]
    # A query of one word has nothing left without it; the empty text would still have some direction.
    texts = model.embed_text([query, *(text for text in left if text)])  # (1 + word, dim)
    scores = np.clip(heard.vectors @ texts.T, -1.0, 1.0)  # (segment, 1 + word); beyond 1 is float error
    best = int(scores[:, 0].argmax())
    remaining = iter(scores[best, 1:].tolist())
    score = float(scores[best, 0])
    without = [next(remaining) if text else 0.0 for text in left]
    return Explanation(
        hit=_hit(heard, best, texts[0], score, absolute),
        frame_s=heard.frame_s,
        words=tuple(WordShare(word, rest, score - rest) for word, rest in zip(words, without, strict=True)),
        segments=tuple(
            Segment(segment.start_s, segment.end_s, value)
            for segment, value in zip(heard.segments, scores[:, 0].tolist(), strict=True)
        ),
    )


def _hit(heard: Heard, number: int, query: Float, score: float, path: str) -> Hit:
    segment, (first, last) = heard.segments[number], heard.spans[number]
    moments = moments_of(heard.frames[first:last], query)
    moments += score - moments.mean()  # float error only
    return Hit(
        path=path,
        start_s=segment.start_s,
        end_s=segment.end_s,
        score=score,
        moments=tuple(moments.tolist()),
        duration_s=heard.info.duration_s,
        moment_s=strongest_s(moments, segment.start_s, segment.end_s, heard.frame_s),
        sample_rate_hz=heard.info.sample_rate_hz,
        format=heard.info.format,
    )
