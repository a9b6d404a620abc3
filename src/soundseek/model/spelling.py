"""The spelling of a query: a mistyped word becomes the word that the model has learned and that was meant.

A text tower reads a misspelt word as scraps of others, and what it named is lost. `words.txt` of a model directory
lists the words of the captions that the model was trained on, with how often each stood there. A word that is neither
among them, nor in an English dictionary, nor one token of the text tower, becomes the one of the list that a single
slip of the fingers makes it of. Where there is no such word it stays as it was typed, and so do all words of a model
without a `words.txt` that can be read.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from soundseek.errors import ModelError

WORDS_FILE = "words.txt"

Slip = Literal["swapped", "doubled", "lost", "neighbour", "added", "substituted"]

# Whole words of letters alone: no part of "dog's", "8bit" or "snare_01".
_WORD = re.compile(r"(?<!\w)(?<!\w['’])[^\W\d_]+(?!\w|['’]\w)")

# Of three letters only swapped ones are taken for a slip ("dgo"): wav and vox are one letter from way and fox.
_SHORTEST = 3
_SHORTEST_BUT_SWAPPED = 4
# Of several words those of the likelier slip come first: "ocen" is an ocean, though ovens are more frequent.
_LIKELIHOOD: Mapping[Slip, int] = {
    "swapped": 3, "doubled": 3, "lost": 2, "neighbour": 1, "added": 1, "substituted": 0,
}  # fmt: skip
# In a shorter word a letter that is no neighbour on the keyboard is no slip: doink is not doing, gliss not glass.
_SHORTEST_SUBSTITUTED = 7

_VOWELS = "aeiouy"
_COUNT = re.compile(r"[0-9]{1,18}")

_PLACES = {
    letter: (row, column + row / 2)  # each row of keys stands half a key to the right of the one above
    for row, letters in enumerate(("qwertyuiop", "asdfghjkl", "zxcvbnm"))
    for column, letter in enumerate(letters)
}


class Spelling:
    """The words that a model has learned, and what is made of others.

    Args:
        counts: Words in lower case, and how often each stood in the captions; without any, nothing is corrected.
        is_one_token: True for a word that the text tower reads whole, which is no slip whatever a dictionary says.
    """

    def __init__(
        self, counts: Mapping[str, int], is_one_token: Callable[[str], bool] = lambda _: False
    ) -> None:
        self._counts = counts
        self._is_one_token = is_one_token
        self._by_first: dict[str, list[str]] = {}
        for word in counts:
            self._by_first.setdefault(word[:1], []).append(word)

    @classmethod
    def of(cls, model: object) -> Spelling:
        """The spelling of a model, by its `directory` and its `is_one_token`.

        It corrects nothing where there is no directory or no `words.txt` in it; nor where the file is damaged, of which
        a warning is logged, for a search does without.
        """
        directory: Path | None = getattr(model, "directory", None)
        try:
            counts = read_words(directory / WORDS_FILE) if directory is not None else {}
        except ModelError as error:
            logging.getLogger("soundseek").warning("%s; until then no mistyped word is corrected", error)
            counts = {}
        return cls(counts, getattr(model, "is_one_token", lambda _: False))

    @property
    def counts(self) -> Mapping[str, int]:
        """The words that the model has learned, and how often each stood in the captions."""
        return self._counts

    @staticmethod
    def is_english(word: str) -> bool:
        """True for a word in lower case that an English dictionary has."""
        return word in _dictionary()

    def __bool__(self) -> bool:
        """False if it corrects nothing."""
        return bool(self._counts)

    def corrected(self, text: str, is_known: Callable[[str], bool] = lambda _: False) -> str:
        """The text with its misspelt words corrected, and all else in it as it was.

        Args:
            text: The text as it was typed.
            is_known: True for a word in lower case that is right although neither the list nor a dictionary has it.

        >>> Spelling({"dog": 9, "barking": 5}).corrected("a Dgo, barkign")
        'a Dog, barking'
        """
        if not self._counts:
            return text
        return _WORD.sub(lambda found: self._corrected_word(found[0], is_known), text)

    def _corrected_word(self, typed: str, is_known: Callable[[str], bool]) -> str:
        word = typed.lower()
        is_name = typed not in (word, word.capitalize(), typed.upper())  # ProTools, iPhone
        if (
            len(word) < _SHORTEST
            or is_name
            or not _is_listable(word)
            or self._is_known(word)
            or is_known(word)
        ):
            return typed
        meant = self._meant(word)
        if meant is None or self._is_one_token(word):
            return typed
        if typed.isupper():
            return meant.upper()
        return meant.capitalize() if typed[0].isupper() else meant

    def _is_known(self, word: str) -> bool:
        """True for a word of the list or of the dictionary, there also with an apostrophe: dont, thats."""
        if word in self._counts or word in _dictionary():
            return True
        return any(f"{word[:at]}'{word[at:]}" in _dictionary() for at in range(1, len(word)))

    def _meant(self, word: str) -> str | None:
        """The word that the likeliest single slip makes this one of; of several the most frequent one."""
        # The first letter is the one that people get right.
        slips = {known: slip_between(word, known) for known in self._by_first.get(word[0], ())}
        likely = {
            known: (_LIKELIHOOD[slip], self._counts[known])
            for known, slip in slips.items()
            if slip is not None and _is_likely(word, known, slip)
        }
        return max(likely, key=likely.__getitem__, default=None)


def slip_between(typed: str, word: str) -> Slip | None:
    """The single slip that makes `typed` of another word; None where it takes more than one, or none.

    >>> [slip_between(typed, "dog") for typed in ("dgo", "doog", "dg", "dig", "dowg", "dug", "cat")]
    ['swapped', 'doubled', 'lost', 'neighbour', 'added', 'substituted', None]
    """
    if typed == word or abs(len(typed) - len(word)) > 1:
        return None
    differing = (at for at, (a, b) in enumerate(zip(typed, word, strict=False)) if a != b)
    start = next(differing, min(len(typed), len(word)))  # one may be the beginning of the other
    found, meant = typed[start:], word[start:]
    if found[1:] == meant:
        return "doubled" if typed[:start].endswith(found[0]) else "added"
    if found == meant[1:]:
        return "lost"
    if found[1:] == meant[1:]:
        return "neighbour" if _are_neighbours(found[0], meant[0]) else "substituted"
    return "swapped" if found[:2] == meant[1::-1] and found[2:] == meant[2:] else None


def caption_words(captions: Iterable[str]) -> Counter[str]:
    """The words of some captions in lower case, and how often each stands there.

    Left out are those that are not letters alone, as "m²", or in lower case no longer are, as "İzmir".

    >>> caption_words(["A dog's bark", "a 2nd dog"])
    Counter({'a': 2, 'bark': 1, 'dog': 1})
    """
    words = (word.lower() for caption in captions for word in _WORD.findall(caption))
    return Counter(filter(_is_listable, words))


def write_words(directory: Path, captions: Iterable[str]) -> int:
    """Write `words.txt` of a model directory, most frequent words first; returns how many there are."""
    return _write_counts(directory, caption_words(captions))


def add_words(directory: Path, captions: Iterable[str]) -> int:
    """Add the words of captions to `words.txt` of a model directory; returns how many it has then."""
    known = read_words(directory / WORDS_FILE)
    return _write_counts(directory, Counter(known) + caption_words(captions))


def _write_counts(directory: Path, counts: Counter[str]) -> int:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    lines = "".join(f"{word}\t{count}\n" for word, count in ordered)
    (directory / WORDS_FILE).write_text(lines, encoding="utf-8", newline="\n")
    return len(ordered)


def read_words(path: Path) -> dict[str, int]:
    """The words of a list and their counts; none where there is no file.

    Raises:
        ModelError: It cannot be read, or a line is no word with its count.
    """
    counts: dict[str, int] = {}
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return counts
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read: {error.strerror}; export or fetch the model again"
        ) from error
    for number, line in enumerate(lines, start=1):
        word, _, count = line.partition("\t")
        if not (_is_listable(word) and _COUNT.fullmatch(count)):
            raise ModelError(
                f"{path}, line {number}: expected a word in lower case, a tab and its count, found {line[:60]!r}; "
                "export or fetch the model again"
            )
        counts[word] = int(count)
    return counts


def _is_listable(word: str) -> bool:
    """True for letters alone, in lower case: what stands in a list, and what is looked up there."""
    return word.isalpha() and word == word.lower()


def _is_likely(typed: str, word: str, slip: Slip) -> bool:
    if slip == "swapped":
        return True
    if len(typed) < (_SHORTEST_SUBSTITUTED if slip == "substituted" else _SHORTEST_BUT_SWAPPED):
        return False
    if not word.startswith(typed[:-1]):
        return True
    # Only the ending differs, which makes words: boomy and clangy of boom and clang, walla beside walls.
    if len(typed) > len(word):
        return slip == "doubled"
    if typed.endswith("s") and len(typed) <= _SHORTEST_BUT_SWAPPED:  # several of three letters: wavs
        return False
    return word != f"{typed}s" if slip == "lost" else slip == "neighbour" and typed[-1] not in _VOWELS


def _are_neighbours(letter: str, other: str) -> bool:
    if letter not in _PLACES or other not in _PLACES:
        return False
    (row, column), (other_row, other_column) = _PLACES[letter], _PLACES[other]
    return abs(row - other_row) <= 1 and abs(column - other_column) <= 1


# Spellings that the American dictionary lacks and that name things that sound, or colour a sentence about them.
_BRITISH = frozenset(
    (
        *(
            "aluminium",
            "aeroplane",
            "aeroplanes",
            "tyres",
            "kerb",
            "moulding",
            "colour",
            "pyjamas",
            "tannoy",
            "mould",
        ),
        *(
            "neighbour",
            "programme",
            "centre",
            "metre",
            "litre",
            "cheque",
            "gaol",
            "sceptre",
            "draught",
            "draughts",
        ),
        "manoeuvre",
    )
)


# Spellings that the dictionary has of words that captions spell otherwise. Of its rare words most are right as they are
# (shunting, timbre, plops), however near a frequent one.
_VARIANTS = frozenset({
    "ahchoo", "alarum", "bongoes", "carrousel", "chrystal", "craunch", "craunching", "florescent", "hyaena", "marascas",
    "pickax", "racoon", "ricochetting", "samisen", "tambourin", "whacky", "whirr", "zombi",
})  # fmt: skip


@cache
def _dictionary() -> Collection[str]:
    """160,000 English words, loaded in a fifth of a second when the first unknown word is met."""
    from spellchecker import SpellChecker

    return (frozenset(SpellChecker(language="en").word_frequency.words()) | _BRITISH) - _VARIANTS
