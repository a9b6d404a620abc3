"""Which words of a query carried a hit: leave each content word out and see how far the score falls.

One file and one query, without a library: the score over time, and what each word of the query contributed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from soundseek._typing import FloatArray
from soundseek.errors import QueryError
from soundseek.library.search import Hit, moments_of, strongest_s

if TYPE_CHECKING:
    from soundseek.model.model import AudioEmbedding


MAX_WORDS = 12  # one batch of texts; a query of more content words is explained by its first twelve

_WORD = re.compile(r"\w+(?:['’-]\w+)*")

# Words that say nothing about a sound. "no" and "without" are here because embeddings do not understand them.
_EMPTY_WORDS = frozenset(
    word
    for line in (
        "a an the this that these those some any each every all both no not without and or but while as",
        "when then than so if because until after before during of in on at to from by with into onto",
        "over under up down off out near behind through across along around about for is are was were be",
        "been being am do does did has have had having can could will would may might must shall should",
        "it its it's he she they them his her their there here i me my you your we us our who which what",
        "where how very quite too also just only someone something somebody sound sounds sounding noise",
        "noises recording recordings recorded audio clip heard hear hearing",
    )
    for word in line.split()
)


class TextEmbedder(Protocol):
    """What an explanation needs of a model."""

    def embed_text(self, texts: Sequence[str], /) -> FloatArray:
        """Unit vectors `(text, dim)`."""
        ...


@dataclass(frozen=True)
class WordContribution:
    """How much a hit's score falls without one word; negative if the score rises."""

    word: str
    drop: float


def content_words(query: str) -> list[str]:
    """The words of a query that name something to hear, each once, lower case, in their order.

    Example:
        >>> content_words("The sound of a dog that barks while it rains")
        ['dog', 'barks', 'rains']
    """
    return [word for word in every_word(query) if word not in _EMPTY_WORDS]


def every_word(query: str) -> list[str]:
    """All words of a query, each once, lower case, in their order.

    Example:
        >>> every_word("A dog barks at a dog")
        ['a', 'dog', 'barks', 'at']
    """
    return list(dict.fromkeys(match.group().lower() for match in _WORD.finditer(query)))


def without_word(query: str, word: str) -> str:
    """The query with every occurrence of a word left out.

    Example:
        >>> without_word("A dog barks at a dog", "dog")
        'A barks at a'
    """
    kept = _WORD.sub(lambda match: "" if match.group().lower() == word else match.group(), query)
    return " ".join(kept.split())


def word_contributions(
    model: TextEmbedder, query: str, vectors: FloatArray
) -> list[tuple[WordContribution, ...]]:
    """What each content word of a query contributes to the scores of some segments.

    All variants of the query are embedded in one batch, whatever the number of segments.

    Args:
        model: The model that embedded the segments.
        query: The query's text.
        vectors: `(segment, dim)`, the segments' unit vectors.

    Returns:
        For each segment its words, the one whose loss costs most first. A query of one content word has that
        word with the segment's whole score; one without any (or no segment at all) has none.
    """
    words = content_words(query)[:MAX_WORDS]
    if not words or not len(vectors):
        return [() for _ in vectors]
    left = [without_word(query, word) for word in words] if len(words) > 1 else []
    embeddings = model.embed_text([query, *left])  # (1 + word, dim)
    scores = vectors.astype(np.float32) @ embeddings.T  # (segment, 1 + word)
    drops = scores[:, :1] - scores[:, 1:] if left else scores
    return [
        tuple(
            sorted(
                (WordContribution(word, float(d)) for word, d in zip(words, row, strict=True)), key=_by_drop
            )
        )
        for row in drops
    ]


def strongest_words(contributions: Sequence[WordContribution]) -> list[str]:
    """The one or two words that carried a hit; the second only if it counts at least half of the first.

    Example:
        >>> strongest_words([WordContribution("dog", 0.2), WordContribution("big", 0.01)])
        ['dog']
    """
    best = contributions[0].drop if contributions else 0.0
    return [each.word for each in contributions[:2] if each.drop > 0 and each.drop >= best / 2]


def _by_drop(contribution: WordContribution) -> float:
    return -contribution.drop


MAX_EXPLAINED_WORDS = 64  # a text tower reads no more tokens than that, and a word is at least one


class ListeningModel(Protocol):
    """What an explanation of a file needs of a model."""

    def embed_text(self, texts: Sequence[str], /) -> FloatArray:
        """Unit vectors `(text, dim)`."""
        ...

    def embed_file(self, path: str | Path, /) -> AudioEmbedding:
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
    heard = model.embed_file(absolute)
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


def _hit(heard: AudioEmbedding, number: int, query: FloatArray, score: float, path: str) -> Hit:
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
