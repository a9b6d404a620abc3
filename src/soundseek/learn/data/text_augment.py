"""Other words for a caption: synonyms, neighbours that change places, words left out or put in, back-translation.

The four edits are those of EDA (Wei and Zou, 2019), each with a probability per word. All randomness comes from the
generator that is passed in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from soundseek._typing import Report
from soundseek.errors import UsageError
from soundseek.learn.data.back_translation import cached_paraphrases, refuse_translation
from soundseek.learn.data.wordnet import find_wordnet, read_synonyms
from soundseek.learn.recipe.keys import TextAugmentConfig

_PARAPHRASED = 0.5  # of the captions, where translation models are given: as often as not
_PARTS = re.compile(r"^(\W*)(.*?)(\W*)$", re.DOTALL)  # what stands before, in and after a word
_STOP = re.compile(r"[\s.!?]*$")


@dataclass(frozen=True)
class TextAugment:
    """`augment(caption, generator)` -> the caption in other words, never empty.

    It holds plain data only, so that worker processes can be given it.

    Attributes:
        config: Probabilities.
        synonyms: Lower-case word -> what may stand in its place.
        paraphrases: Caption -> the same by way of another language.
    """

    config: TextAugmentConfig
    synonyms: Mapping[str, Sequence[str]] = field(default_factory=dict)
    paraphrases: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, caption: str, generator: np.random.Generator) -> str:
        """One caption changed; edits come in the order synonym, insert, swap, delete.

        Raises:
            UsageError: A caption without a word.
        """
        if not caption.split():
            raise UsageError(f"a caption to change must not be empty, got {caption!r}")
        if self.paraphrases and generator.random() < _PARAPHRASED:
            caption = self.paraphrases.get(caption, caption)
        stop = _STOP.search(caption)[0].strip()  # type: ignore[index]  # it always matches
        words = caption[: len(caption) - len(stop)].split() if stop else caption.split()
        if not words:
            return caption  # nothing but punctuation
        capital = words[0][:1].isupper() and words[0][1:] == words[0][1:].lower()
        if capital and words[0] != "I":
            words[0] = words[0].lower()
        words = self._exchange(words, generator)
        words = self._insert(words, generator)
        words = _swap(words, self.config.swap, generator)
        words = _delete(words, self.config.delete, generator)
        changed = " ".join(words)
        return (changed[0].upper() + changed[1:] if capital else changed) + stop

    def _exchange(self, words: list[str], generator: np.random.Generator) -> list[str]:
        exchanged = []
        for word, draw in zip(words, generator.random(len(words)), strict=True):
            before, core, after = _PARTS.match(word).groups()  # type: ignore[union-attr]  # it always matches
            others = self.synonyms.get(core.lower(), ()) if draw < self.config.synonym else ()
            exchanged.append(f"{before}{_one(others, generator)}{after}" if others else word)
        return exchanged

    def _insert(self, words: list[str], generator: np.random.Generator) -> list[str]:
        known = [
            core for core in (_PARTS.sub(r"\2", word).lower() for word in words) if core in self.synonyms
        ]
        inserted = []
        for word, draw in zip(words, generator.random(len(words)), strict=True):
            if known and draw < self.config.insert:
                inserted.append(_one(self.synonyms[_one(known, generator)], generator))
            inserted.append(word)
        return inserted


def refuse_text_augment(config: TextAugmentConfig) -> None:
    """Raise a RecipeError unless this machine has what `build_text_augment` will need."""
    if config.back_translation:
        refuse_translation(config.back_translation)
    if config.synonym or config.insert:
        find_wordnet()


def build_text_augment(
    config: TextAugmentConfig, captions: Iterable[str], *, report: Report | None = None
) -> TextAugment:
    """What a recipe's `text.augment` asks for, with synonyms and paraphrases of all captions.

    Args:
        config: The recipe's section.
        captions: All that may be changed.
        report: Called while captions are translated.

    Raises:
        RecipeError: Synonyms without WordNet on this machine, or no translation models in that directory.
    """
    captions = list(dict.fromkeys(captions))
    synonyms: Mapping[str, Sequence[str]] = {}
    paraphrases: Mapping[str, str] = {}
    if config.back_translation:
        paraphrases = cached_paraphrases(captions, config.back_translation, report=report)
    if config.synonym or config.insert:
        texts = (*captions, *paraphrases.values())
        synonyms = read_synonyms({_PARTS.sub(r"\2", word).lower() for text in texts for word in text.split()})
    return TextAugment(config, synonyms, paraphrases)


def _swap(words: list[str], probability: float, generator: np.random.Generator) -> list[str]:
    """Each word changes places with the next one with that probability, none twice."""
    swapped, place = list(words), 0
    draws = generator.random(len(words))
    while place + 1 < len(swapped):
        if draws[place] < probability:
            swapped[place], swapped[place + 1] = swapped[place + 1], swapped[place]
            place += 1
        place += 1
    return swapped


def _delete(words: list[str], probability: float, generator: np.random.Generator) -> list[str]:
    """Each word is left out with that probability; one stays."""
    kept = [
        word for word, draw in zip(words, generator.random(len(words)), strict=True) if draw >= probability
    ]
    return kept or [_one(words, generator)]


def _one(choices: Sequence[str], generator: np.random.Generator) -> str:
    return choices[int(generator.integers(len(choices)))]
