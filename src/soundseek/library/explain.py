"""Why a sound fits a query: leave each word out and see how far the score falls; and the score over time.

For hits, the one or two words that carried each; for one file, every word and every moment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from soundseek._typing import FloatArray
from soundseek.audio.segments import WINDOW_HOP_S
from soundseek.errors import QueryError
from soundseek.library.hits import Hit
from soundseek.library.paths import absolute
from soundseek.library.search import moments_of, strongest_s
from soundseek.library.windows import windows_within, with_moments
from soundseek.model.stretches import scores_of_sentences, segment_scores
from soundseek.query.lexicon import languages
from soundseek.query.looked_up import embed_query
from soundseek.query.parts import sentence_parts
from soundseek.query.reading import Reading
from soundseek.query.text import loosen

if TYPE_CHECKING:
    from soundseek.library.workers import EmbeddingModel
    from soundseek.model.model import AudioEmbedding

MAX_WORDS = 12  # one batch of texts; a query of more content words is explained by its first twelve
MAX_EXPLAINED_WORDS = 64  # a text tower reads no more tokens than that, and a word is at least one

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


@dataclass(frozen=True)
class WordContribution:
    """What one word of a query did to a score.

    Attributes:
        word: In lower case.
        without: The score of the query without it; 0 where nothing is left to ask.
        contribution: The query's score minus `without`; negative where the word does not fit.
    """

    word: str
    without: float
    contribution: float


@dataclass(frozen=True)
class ScoredSegment:
    """The score of one window of a file."""

    start_s: float
    end_s: float
    score: float


@dataclass(frozen=True)
class Explanation:
    """Why a file has the score that it has.

    Attributes:
        hit: The file's best segment, as a search gives it.
        frame_s: Seconds from one moment to the next.
        words: The query's words in their order, each once. They do not add up to the score: words that belong
            together ("door", "slams") lose more together than one by one.
        segments: Every segment of the file, in order of time.
    """

    hit: Hit
    frame_s: float
    words: tuple[WordContribution, ...]
    segments: tuple[ScoredSegment, ...]


def content_words(query: str) -> list[str]:
    """The words of a query that name a sound, each once, lower case, in their order.

    Example:
        >>> content_words("The sound of a dog that barks while it rains")
        ['dog', 'barks', 'rains']
    """
    return [word for word in every_word(query) if word not in _EMPTY_WORDS]


def foreign_stop_words(reading: Reading) -> frozenset[str]:
    """Articles and the like of other languages, in a query that was not read in one: they name no sound.

    Example:
        >>> sorted(foreign_stop_words(Reading("der Donner", (("der Donner",),), unknown=("der", "Donner"))))
        ['der']
    """
    stops = [language.stop for language in languages().by_name.values()] if reading.unknown else []
    return frozenset(
        word.lower() for word in reading.unknown if any(loosen(word) in words for words in stops)
    )


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


def contributions_of_nearest(
    model: EmbeddingModel,
    queries: Sequence[str],
    vectors: FloatArray,
    *,
    leave_out: Collection[str] = (),
) -> list[tuple[WordContribution, ...]]:
    """As `word_contributions`, each segment by that of the queries which it fits best."""
    if len(queries) < 2 or not len(vectors):
        return word_contributions(model, queries[0] if queries else "", vectors, leave_out=leave_out)
    nearest = (vectors @ embed_query(model, queries).T).argmax(axis=1)
    found: list[tuple[WordContribution, ...]] = [() for _ in vectors]
    for number in np.unique(nearest).tolist():
        rows = np.flatnonzero(nearest == number)
        explained = word_contributions(model, queries[number], vectors[rows], leave_out=leave_out)
        for row, words in zip(rows.tolist(), explained, strict=True):
            found[row] = words
    return found


def word_contributions(
    model: EmbeddingModel, query: str, vectors: FloatArray, *, leave_out: Collection[str] = ()
) -> list[tuple[WordContribution, ...]]:
    """What each content word of a query contributes to the scores of some segments.

    All variants of the query are embedded in one batch, whatever the number of segments.

    Args:
        model: The model that embedded the segments.
        query: The query's text.
        vectors: `(segment, dim)`, the segments' unit vectors.
        leave_out: Words of it that name no sound, besides those that never do.

    Returns:
        For each segment its words, the one whose loss costs most first. A query of one content word has that
        word with the segment's whole score; one without any (or no segment at all) has none.
    """
    words = [word for word in content_words(query) if word not in leave_out][:MAX_WORDS]
    if not words or not len(vectors):
        return [() for _ in vectors]
    left = [without_word(query, word) for word in words]
    texts = _embedded(model, query, [text if content_words(text) else "" for text in left])
    scores = vectors.astype(np.float32) @ texts.T  # (segment, 1 + word)
    return [
        tuple(sorted(_contributions(words, row), key=lambda each: -each.contribution))
        for row in scores.tolist()
    ]


def strongest_words(contributions: Sequence[WordContribution]) -> list[str]:
    """The one or two words that carried a hit; the second only if it counts at least half of the first.

    Example:
        >>> strongest_words([WordContribution("dog", 0.1, 0.2), WordContribution("big", 0.29, 0.01)])
        ['dog']
    """
    best = contributions[0].contribution if contributions else 0.0
    return [
        each.word for each in contributions[:2] if each.contribution > 0 and each.contribution >= best / 2
    ]


def explain_file(model: EmbeddingModel, path: str | os.PathLike[str], query: str) -> Explanation:
    """How a query's score in one file comes about; the file is embedded whole.

    Raises:
        QueryError: The query has no word.
        DecodeError: The file cannot be decoded.
    """
    need_words(query)
    name = absolute(path, "the file to explain")
    return explain_sound(model, model.embed_file(name), name, query)


def explain_sound(model: EmbeddingModel, sound: AudioEmbedding, path: str, query: str) -> Explanation:
    """The same for a file that is embedded already.

    Args:
        model: The model that embedded it.
        sound: The file's segments and vectors.
        path: The file.
        query: What it was asked for.

    Raises:
        QueryError: The query has no word.
    """
    need_words(query)
    query = query.strip()
    words = every_word(query)[:MAX_EXPLAINED_WORDS]
    texts = [query, *(without_word(query, word) for word in words)]
    parts = [sentence_parts(text) for text in texts]
    vectors = _embedded(model, query, [*texts[1:], *(part for own in parts for part in own)])
    spans = [sound.frames[first:last] for first, last in sound.spans]
    each = segment_scores(spans, vectors, frame_s=[sound.frame_s] * len(spans))
    at = np.cumsum([len(texts), *(len(own) for own in parts)])
    # (segment, 1 + word)
    scores = np.stack(
        [
            scores_of_sentences(each[:, [number, *range(at[number], at[number + 1])]])
            for number in range(len(texts))
        ],
        axis=1,
    )
    best = int(scores[:, 0].argmax())
    return Explanation(
        hit=_best_hit(sound, best, vectors[0], float(scores[best, 0]), path),
        frame_s=sound.frame_s if sound.windows is None else WINDOW_HOP_S,
        words=tuple(_contributions(words, scores[best].tolist())),
        segments=tuple(
            ScoredSegment(segment.start_s, segment.end_s, value)
            for segment, value in zip(sound.segments, scores[:, 0].tolist(), strict=True)
        ),
    )


def need_words(query: str) -> None:
    """Check that a query has a word that can be left out.

    Raises:
        QueryError: It has none.
    """
    if not every_word(query):
        raise QueryError('nothing to explain; say it in words: soundseek explain FILE "a dog barks"')


def _embedded(model: EmbeddingModel, query: str, left: Sequence[str]) -> FloatArray:
    """`(1 + left, dim)`: the query, and what is left of it without each word; zeros, which score 0, for nothing.

    The empty text would still have some direction. What is left is looked for as the query is: turned towards one sound
    where the query is not, it would score higher for that alone.
    """
    embedded = embed_query(model, [query, *filter(None, left)], as_one=not sentence_parts(query))
    texts = np.zeros((1 + len(left), embedded.shape[1]), np.float32)
    texts[[0, *(row for row, text in enumerate(left, 1) if text)]] = embedded
    return texts


def _contributions(words: Sequence[str], scores: Sequence[float]) -> list[WordContribution]:
    """Words beside the score of the whole query, which comes first, and the scores without each."""
    whole, *without = scores
    return [WordContribution(word, rest, whole - rest) for word, rest in zip(words, without, strict=True)]


def _best_hit(sound: AudioEmbedding, number: int, query: FloatArray, score: float, path: str) -> Hit:
    segment, (first, last) = sound.segments[number], sound.spans[number]
    moments = moments_of(sound.frames[first:last], query)
    hit = Hit(
        path=path,
        start_s=segment.start_s,
        end_s=segment.end_s,
        score=score,
        moments=tuple(moments.tolist()),
        duration_s=sound.info.duration_s,
        moment_s=strongest_s(moments, segment.start_s, segment.end_s, sound.frame_s),
        sample_rate_hz=sound.info.sample_rate_hz,
        format=sound.info.format,
        is_cut=sound.info.truncated,
    )
    if sound.windows is None:
        return hit
    windows = windows_within(sound.windows, sound.info.duration_s, segment.start_s, segment.end_s)
    return with_moments(hit, *windows, query[None])
