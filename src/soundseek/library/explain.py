"""Which words of a query carried a hit: leave each content word out and see how far the score falls."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]

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

    def embed_text(self, texts: Sequence[str], /) -> Float:
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


def word_contributions(model: TextEmbedder, query: str, vectors: Float) -> list[tuple[WordContribution, ...]]:
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
