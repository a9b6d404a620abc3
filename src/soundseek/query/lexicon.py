"""The tables that the product carries: terms of sound people, UCS, words of fourteen languages, with plain readings.

Two compressed files beside this one, written by `scripts/compile_lexicon.py`; each is loaded when it is first needed.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from soundseek.query.text import fold, loosen, words

FOLDER = Path(__file__).parent
ENGLISH_FILE = "english.json.gz"
LANGUAGES_FILE = "languages.json.gz"


def steering(note: str) -> str:
    """The letters that say how a term is used, from the note of its row.

    a: add the reading to the query, do not replace the term; w: only when it is the whole query; e: its readings are
    alternatives; m: a misspelling; n: names equipment, which has no sound of its own.

    >>> steering("broad: add to the query; common caption word (9x): only when it is the whole query")
    'aw'
    """
    marks = {
        "a": "broad:",
        "w": "only when it is the whole query",
        "e": "readings",
        "m": "misspelling",
        "n": "carries no sound",
    }
    return "".join(letter for letter, text in marks.items() if text in note)


def alternatives_of(plain: str) -> tuple[tuple[str, ...], ...]:
    """The readings of a row's `plain`: `|` stands between wordings of one thing, `||` between things that differ.

    >>> alternatives_of("scary music|dark drone||monster growling")
    (('scary music', 'dark drone'), ('monster growling',))
    """
    return tuple(tuple(each.split("|")) for each in plain.split("||"))


_PLAIN_KINDS = frozenset(
    (
        "effect",
        "animal",
        "ambience",
        "instrument",
        "vehicle",
        "foley",
        "voice",
        "music",
        "weapon",
        "signal",
        "horror",
    )
)


@dataclass(frozen=True)
class Term:
    """A term of sound people.

    Attributes:
        term: In lower case.
        alternatives: What it means in the words of captions, the nearest first; each of the things that it may be is
            an alternative, with its wordings.
        kind: "onomatopoeia", "brand", "animal" ...
        steering: See `steering`.
    """

    term: str
    alternatives: tuple[tuple[str, ...], ...]
    kind: str = "jargon"
    steering: str = ""

    @property
    def readings(self) -> tuple[str, ...]:
        """All of its readings."""
        return tuple(reading for wordings in self.alternatives for reading in wordings)

    @property
    def is_plain(self) -> bool:
        """True for a thing by its usual name, which a model knows once it has learned its words."""
        return self.kind in _PLAIN_KINDS


@dataclass(frozen=True)
class Category:
    """An entry of the Universal Category System: `AMBForst`, AMBIENCE, FOREST, and what it sounds like."""

    cat_id: str
    category: str
    subcategory: str
    plain: str
    synonyms: str


class EnglishLexicon:
    """Jargon, onomatopoeia, brands and UCS.

    Args:
        content: What `compile_english` of the script made.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._readings: list[str] = content["readings"]
        self._terms: dict[str, tuple[int, str, str]] = content["terms"]
        self.prefixes: dict[str, str] = content["ucs_parts"]["prefix"]
        self.suffixes: dict[str, str] = content["ucs_parts"]["suffix"]
        self.categories = {cat_id: Category(cat_id, *row) for cat_id, row in content["ucs"].items()}

    def term(self, text: str) -> Term | None:
        """The term that a text is, in any case and with any blanks, hyphens or letters held long.

        >>> english().term("Walla").readings[0], english().term("whooooosh").term
        ('crowd of people murmuring', 'whoosh')
        """
        for form in _forms(text):
            found = self._terms.get(form) or self._terms.get(self._joined.get(form.replace(" ", ""), ""))
            if found:
                number, kind, steer = found
                return Term(form, alternatives_of(self._readings[number]), kind, steer)
        return None

    @cached_property
    def _joined(self) -> dict[str, str]:
        """Terms of several words or with hyphens, by their letters alone: "ker-splash", "ker splash".

        Not "5-0": 50 is a number.
        """
        joined: dict[str, str] = {}
        for term in self._terms:
            letters = term.replace(" ", "").replace("-", "")
            if not letters.isdigit() or letters == term:
                joined.setdefault(letters, term)
        return joined

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """Every word of the terms and of their readings, in lower case."""
        texts = [*self._terms, *self._readings, *(each.plain for each in self.categories.values())]
        texts += [each.synonyms for each in self.categories.values()]
        return frozenset(word for text in texts for word in words(fold(text)))

    def meanings(self) -> Iterator[tuple[str, str]]:
        """Every term with each of its readings, and UCS' names and synonyms with theirs; no misspellings."""
        for term, (number, _, steer) in self._terms.items():
            if "m" not in steer and "n" not in steer:
                for wordings in alternatives_of(self._readings[number]):
                    yield from ((term, reading) for reading in wordings)
        for each in self.categories.values():
            yield f"{each.category} {each.subcategory}".lower(), each.plain
            yield from ((word.strip(), each.plain) for word in each.synonyms.split(",") if word.strip())

    @cached_property
    def plain_readings(self) -> tuple[str, ...]:
        """What the terms and the categories mean in the words of captions, each once, sorted."""
        texts = [*self._readings, *(each.plain for each in self.categories.values())]
        return tuple(sorted({reading.strip() for text in texts for reading in text.split("|")} - {""}))

    @cached_property
    def longest(self) -> int:
        """How many words the longest term has."""
        return max(len(term.split()) for term in self._terms)

    @cached_property
    def by_folded_id(self) -> dict[str, Category]:
        """UCS entries by their id in lower case."""
        return {cat_id.casefold(): category for cat_id, category in self.categories.items()}

    @cached_property
    def by_name(self) -> dict[str, Category]:
        """UCS entries by category and subcategory in lower case: "doors wood"; signs are left out."""
        return {
            " ".join(words(fold(f"{each.category} {each.subcategory}").replace("&", " "))): each
            for each in self.categories.values()
        }


class Language:
    """The words of one language, and what they mean in the words of captions."""

    def __init__(self, name: str, content: Mapping[str, Any], readings: list[str]) -> None:
        self.name = name
        self._loose: dict[str, int] = content["loose"]
        self._exact: dict[str, int] = content["exact"]
        self._readings = readings
        self.english = frozenset(content["english"])
        self.stop = frozenset(content["stop"])
        self.endings: list[str] = content["endings"]
        self._accented = frozenset(content["accented"])

    def reading(self, text: str) -> str | None:
        """What a word or phrase means, several meanings with `|` between them; None where it is not known."""
        number = self._exact.get(fold(text))
        if number is None:
            number = self._loose.get(loosen(text))
        return None if number is None else self._readings[number]

    def lacks_accents(self, word: str) -> bool:
        """True for a word that is known only with accents that are missing here."""
        return fold(word) == (loose := loosen(word)) and loose in self._accented

    @cached_property
    def single_words(self) -> tuple[str, ...]:
        """Its single words in the form they are looked up by, sorted."""
        return tuple(sorted(term for term in self._loose if " " not in term))

    @cached_property
    def longest(self) -> int:
        """How many words its longest term has."""
        return max(len(term.split()) for term in self._loose)

    @cached_property
    def longest_letters(self) -> int:
        """How many letters its longest term has, for languages without blanks."""
        return max(len(term) for term in self._loose)


@dataclass(frozen=True)
class Languages:
    """All languages, and the nouns of their readings without the sound that they make: "dog" of "dog barking"."""

    by_name: Mapping[str, Language]
    heads: Mapping[str, str]


@cache
def english() -> EnglishLexicon:
    """The terms of sound people, loaded once."""
    return EnglishLexicon(_load(ENGLISH_FILE))


@cache
def languages() -> Languages:
    """The words of other languages, loaded once."""
    content = _load(LANGUAGES_FILE)
    by_name = {
        name: Language(name, words_of, content["readings"]) for name, words_of in content["languages"].items()
    }
    return Languages(by_name, content["heads"])


def _load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(gzip.decompress((FOLDER / name).read_bytes()))
    return content


def _forms(text: str) -> tuple[str, ...]:
    """The forms under which a term may be listed, the likeliest first."""
    import re

    plain = " ".join(fold(text).split())
    forms = [plain, plain.replace("-", " "), plain.strip(".,;:!?\"'()[]")]
    for kept in ("\\1\\1", "\\1"):  # wooooosh, brrrrr: a letter held long stands twice or once in a list
        forms.append(re.sub(r"(\w)\1{2,}", kept, plain))
    return tuple(dict.fromkeys(forms))
