"""The spelling of a query: a mistyped word becomes the word that the model has learned and that was meant.

A text tower reads a misspelt word as scraps of others, and what it named is lost. `words.txt` of a model directory
lists the words of the captions that the model was trained on, with how often each stood there. A word that is neither
among them, nor in an English dictionary, nor one token of the text tower, becomes the one of the list that a single
slip of the fingers makes it of. Where there is no such word it stays as it was typed, and so do all words of a model
without `words.txt`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from soundseek.errors import ModelError
from soundseek.model.card import TOKENIZER_FILE

WORDS_FILE = "words.txt"

Slip = Literal["swapped", "neighbour", "substituted", "added", "lost"]

# Whole words of letters alone: no part of "dog's", "8bit" or "snare_01".
_WORD = re.compile(r"(?<!\w)(?<!\w['’])[^\W\d_]+(?!\w|['’]\w)")

# Of three letters only swapped ones are taken for a slip ("dgo"): wav and vox are one letter from way and fox.
_SHORTEST = 3
_SHORTEST_BUT_SWAPPED = 4
# In a shorter word a letter that is no neighbour on the keyboard is no slip: doink is not doing, gliss not glass.
_SHORTEST_SUBSTITUTED = 7

_PLACES = {
    letter: (row, column + row / 2)  # each row of keys stands half a key to the right of the one above
    for row, letters in enumerate(("qwertyuiop", "asdfghjkl", "zxcvbnm"))
    for column, letter in enumerate(letters)
}


class Spelling:
    """The words that a model has learned, and what is made of others.

    Args:
        counts: Words in lower case, and how often each stood in the captions; without any, nothing is corrected.
        tower_knows: True for a word that the text tower reads whole, which is no slip whatever a dictionary says.
    """

    def __init__(
        self, counts: Mapping[str, int], tower_knows: Callable[[str], bool] = lambda _: False
    ) -> None:
        self._counts = counts
        self._tower_knows = tower_knows
        self._by_first: dict[str, list[str]] = {}
        for word in counts:
            self._by_first.setdefault(word[:1], []).append(word)

    @classmethod
    def of(cls, directory: Path | None) -> Spelling:
        """The spelling of a model directory; one that corrects nothing where there is no `words.txt`.

        Raises:
            ModelError: A line of the file is no word with its count.
        """
        if directory is None or not (directory / WORDS_FILE).is_file():
            return cls({})
        return cls(_read(directory / WORDS_FILE), _Tokens(directory / TOKENIZER_FILE))

    def __bool__(self) -> bool:
        """False if it corrects nothing."""
        return bool(self._counts)

    def corrected(self, text: str) -> str:
        """The text with its misspelt words corrected, and all else in it as it was.

        >>> Spelling({"dog": 9, "barking": 5}).corrected("a Dgo, barkign")
        'a Dog, barking'
        """
        return _WORD.sub(lambda found: self._corrected_word(found[0]), text) if self._counts else text

    def _corrected_word(self, typed: str) -> str:
        word = typed.lower()
        is_name = typed not in (word, word.capitalize(), typed.upper())  # ProTools, iPhone
        if len(word) < _SHORTEST or is_name or word in self._counts or word in _dictionary():
            return typed
        meant = self._meant(word)
        if meant is None or self._tower_knows(word):
            return typed
        if typed.isupper():
            return meant.upper()
        return meant.capitalize() if typed[0].isupper() else meant

    def _meant(self, word: str) -> str | None:
        """The most frequent word that a single slip makes this one of, those of the same letters first."""
        # The first letter is the one that people get right.
        slips = {known: slip_between(word, known) for known in self._by_first.get(word[0], ())}
        likely = [known for known, slip in slips.items() if slip is not None and _is_likely(word, slip)]
        return max(likely, key=lambda known: (slips[known] == "swapped", self._counts[known]), default=None)


class _Tokens:
    """Whether a word is one token of a tokenizer, which is loaded when it is first asked; one that is gone has none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, word: str) -> bool:
        if self._tokenizer is None:
            return False
        # A mark of the beginning of a word (Ġ, ▁) is no part of it; an unknown word is "[UNK]" and so another.
        read = [self._tokenizer.encode(form, add_special_tokens=False).tokens for form in (word, f" {word}")]
        return any(len(tokens) == 1 and tokens[0].strip("Ġ▁") == word for tokens in read)

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        if not self._path.is_file():
            return None
        try:
            return Tokenizer.from_file(str(self._path))
        except Exception as error:  # the library raises bare Exception for a malformed file
            raise ModelError(f"{self._path} is damaged: {error}") from error


def slip_between(typed: str, word: str) -> Slip | None:
    """The single slip that makes `typed` of another word; None where it takes more than one, or none.

    >>> [slip_between(typed, "dog") for typed in ("dgo", "dig", "dug", "doog", "dg", "cat")]
    ['swapped', 'neighbour', 'substituted', 'added', 'lost', None]
    """
    if typed == word or abs(len(typed) - len(word)) > 1:
        return None
    start = next((at for at, (a, b) in enumerate(zip(typed, word, strict=False)) if a != b), None)
    if start is None:  # one is the beginning of the other
        return "added" if len(typed) > len(word) else "lost"
    found, meant = typed[start:], word[start:]
    if found[1:] == meant[1:]:
        return "neighbour" if _are_neighbours(found[0], meant[0]) else "substituted"
    if found[:2] == meant[1::-1] and found[2:] == meant[2:]:
        return "swapped"
    if found[1:] == meant:
        return "added"
    return "lost" if found == meant[1:] else None


def caption_words(captions: Iterable[str]) -> Counter[str]:
    """The words of some captions in lower case, and how often each stands there.

    >>> caption_words(["A dog's bark", "a 2nd dog"])
    Counter({'a': 2, 'bark': 1, 'dog': 1})
    """
    return Counter(word.lower() for caption in captions for word in _WORD.findall(caption))


def write_words(directory: Path, captions: Iterable[str]) -> int:
    """Write `words.txt` of a model directory, most frequent words first; returns how many there are."""
    counts = caption_words(captions)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    lines = "".join(f"{word}\t{count}\n" for word, count in ordered)
    (directory / WORDS_FILE).write_text(lines, encoding="utf-8", newline="\n")
    return len(ordered)


def _read(path: Path) -> dict[str, int]:
    counts: dict[str, int] = {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        word, _, count = line.partition("\t")
        if not (word.isalpha() and word == word.lower() and count.isdecimal()):
            raise ModelError(
                f"{path}, line {number}: expected a word in lower case, a tab and its count, found {line[:60]!r}; "
                "export or fetch the model again"
            )
        counts[word] = int(count)
    return counts


def _is_likely(typed: str, slip: Slip) -> bool:
    if slip == "swapped":
        return True
    return len(typed) >= (_SHORTEST_SUBSTITUTED if slip == "substituted" else _SHORTEST_BUT_SWAPPED)


def _are_neighbours(letter: str, other: str) -> bool:
    if letter not in _PLACES or other not in _PLACES:
        return False
    (row, column), (other_row, other_column) = _PLACES[letter], _PLACES[other]
    return abs(row - other_row) <= 1 and abs(column - other_column) <= 1


@cache
def _dictionary() -> Collection[str]:
    """160,000 English words, loaded in a fifth of a second when the first unknown word is met."""
    from spellchecker import SpellChecker

    return frozenset(SpellChecker(language="en").word_frequency.words())
