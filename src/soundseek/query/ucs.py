"""Codes and names of the Universal Category System (UCS 8.2.1) -> what they sound like.

`WTHRThun`, "WEATHER THUNDER", `DOGBark_Big Dog_JD`: official codes, codes that people make of official parts, and file
names that begin with one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from soundseek.query.lexicon import Category, english
from soundseek.query.text import fold, word_set, words

_CODE = re.compile(r"^[A-Z]{2,5}[A-Z][a-z]+\d*$|^[A-Z]{2,6}$|^[A-Za-z]{4,11}$")
_CAMEL = re.compile(r"^(?P<prefix>[A-Z]{2,5})(?P<suffix>[A-Z][a-z]{1,9})$")
_EXTENSION = re.compile(r"\.(?:wav|aiff?|flac|mp3|ogg|opus|m4a|caf|w64|bwf)$", re.IGNORECASE)
# The category word before or after what it is of; all others: "metal door", "dog animal".
_FORMS = {
    "ambience": "{0} ambience", "footsteps": "footsteps on {0}", "animals": "{0}", "birds": "{0}", "vehicles": "{0}",
    "user interface": "user interface {0}", "weather": "{0}", "foley": "{0}", "human": "{0}", "musical": "{0}",
    "objects": "{0}", "tools": "{0}", "machines": "{0} machine", "voices": "{0} voice", "designed": "designed {0}",
    "rain": "rain {0}", "natural disaster": "{0}", "food & drink": "{0}", "sports": "{0}", "weapons": "{0}",
    "wind": "wind {0}", "music": "{0} music", "sound effect": "{0}", "background": "{0} ambience", "nature": "{0}",
    "equipment": "{0}", "crowds": "crowd {0}", "guns": "{0} gun", "explosions": "{0} explosion", "water": "water {0}",
    "magic": "magic {0}", "cartoon": "cartoon {0}", "scifi": "science fiction {0}", "creatures": "{0} creature",
    "communications": "{0}", "trains": "train {0}", "aircraft": "{0} aircraft", "boats": "{0} boat",
    "cloth": "cloth {0}",
}  # fmt: skip
_ON_WHAT = ("rain", "footsteps")  # rain on a surface: "rain on metal"
_SINGULAR = {
    "doors": "door",
    "bells": "bell",
    "beeps": "beep",
    "clocks": "clock",
    "computers": "computer",
    "drawers": "drawer",
    "windows": "window",
    "wings": "wings",
    "toys": "toy",
    "lasers": "laser",
    "motors": "motor",
    "robots": "robot",
    "horns": "horn",
    "alarms": "alarm",
    "chains": "chain",
    "bullets": "bullet",
    "games": "game",
    "rocks": "rock",
    "ceramics": "ceramic",
    "chemicals": "chemical",
    "farts": "fart",
    "whistles": "whistle",
}
_SURFACES = word_set(
    """wood metal concrete gravel grass dirt sand snow mud water tile glass roof leaves carpet ice plastic stone cloth
    tent vegetation asphalt marble pavement tin"""
)
_CREATOR = re.compile(r"^(?:[A-Z]{1,5}\d*|\d+[A-Za-z]?|[A-Z0-9]{2,8}|[A-Za-z]*\d+)$")


@dataclass(frozen=True)
class UcsCode:
    """What a code or a category's name was read as.

    Attributes:
        source: The text that was read.
        readings: In the words of captions, the nearest first.
    """

    source: str
    readings: tuple[str, ...]


def read_code(word: str, is_word: Callable[[str], bool]) -> UcsCode | None:
    """A code, official or made of official parts.

    Args:
        word: One word.
        is_word: True for a word in lower case that people use: "door" is none of the codes, whatever parts it has.

    >>> read_code("WTHRThun", lambda _: False).readings[0]
    'thunder rumbling'
    >>> read_code("AMBNatr", lambda _: False) is not None
    True
    >>> read_code("ambience", lambda word: word == "ambience") is None
    True
    """
    word = word.strip()
    if not _CODE.match(word):
        return None
    lexicon = english()
    official = lexicon.categories.get(word)
    looks_like_code = word != word.lower() and word != word.capitalize()
    if official is None and (looks_like_code or not is_word(word.lower())):
        official = lexicon.by_folded_id.get(word.casefold())
        if official is not None and word.lower() == word and len(word) < 5:
            official = None  # "ref", "raw", "mix": words before they are codes
    if official is not None and not (is_word(word.lower()) and not re.search("[a-z]", word)):
        return UcsCode(word, _readings(official))
    return _from_parts(word, is_word)


def read_name(text: str) -> UcsCode | None:
    """A category's name, as "WEATHER THUNDER", "Doors - Wood", "ambience/forest".

    >>> read_name("WEATHER - THUNDER").readings[0]
    'thunder rumbling'
    """
    name = " ".join(words(fold(re.sub(r"[_/>:|&,\-–]+", " ", text))))
    found = english().by_name.get(name) or _by_singular().get(name)
    return UcsCode(text, _readings(found)) if found else None


def split_name(text: str, is_word: Callable[[str], bool]) -> tuple[UcsCode, str] | None:
    """A file name that begins with a code: the code, and the description in words, which may be empty.

    >>> code, rest = split_name("DOORWood_Old Cellar Door Slam_JD_HOUSE.wav", lambda _: False)
    >>> code.readings[0], rest
    ('wooden door opening or closing', 'Old Cellar Door Slam')
    """
    stem = _EXTENSION.sub("", text.strip())
    found = re.match(r"^([^\s_\-]+)([_\-]|\s+-\s+)(.+)$", stem)
    if found is None:
        return None
    head, mark, rest = found.groups()
    code = read_code(head, is_word)
    if code is None or (not re.search(r"[A-Z]", head) and "_" not in text):
        return None
    if mark == "-":  # DOORWood-CELLAR_Old Door: the user's category says something as well
        rest = rest.replace("_", " ", 1)
    fields = [field for field in rest.split("_") if field]
    # FXName_Creator_Source_UserData: what follows the name are initials and codes
    named = (
        [fields[0], *(field for field in fields[1:] if not _CREATOR.match(field) and " " in field)]
        if fields
        else []
    )
    if len(fields) > 1 and len(fields[0].split()) == 1 and not _CREATOR.match(fields[1]):
        named = [
            field for field in fields if not _CREATOR.match(field)
        ]  # Old_Door_Slam: blanks were not allowed
    description = " ".join(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", field) for field in named)
    description = re.sub(r"\b\d+\b", " ", description.replace("-", " "))
    return code, " ".join(description.split())


def _readings(category: Category) -> tuple[str, ...]:
    return tuple(category.plain.split("|"))


def _from_parts(word: str, is_word: Callable[[str], bool]) -> UcsCode | None:
    camel = _CAMEL.match(word)
    lexicon = english()
    if camel is None:
        if (word != word.lower() and not word.isupper()) or len(word) < 6 or is_word(word.lower()):
            return None
        upper = word.upper()  # "ambforst": written without its capitals, so both parts must be known
        for at in range(6, 1, -1):
            meaning = _suffixes().get(word[at:].lower())
            if upper[:at] in lexicon.prefixes and meaning and len(word) - at >= 3:
                return UcsCode(word, _joined(lexicon.prefixes[upper[:at]], meaning))
        return None
    # The last capital of a run may belong to either part: "UIClick" is UI + Click.
    letters = word
    for at in range(min(6, len(letters) - 2), 1, -1):
        prefix, suffix = letters[:at], letters[at:]
        if prefix in lexicon.prefixes and suffix[:1].isupper() and suffix[1:].islower():
            meaning = lexicon.suffixes.get(suffix) or _suffixes().get(suffix.lower())
            if meaning is None and is_word(suffix.lower()):
                meaning = suffix.lower()
            if meaning is not None:
                return UcsCode(word, _joined(lexicon.prefixes[prefix], meaning))
            return UcsCode(word, (_SINGULAR.get(lexicon.prefixes[prefix], lexicon.prefixes[prefix]),))
    return None


def _joined(category: str, meaning: str) -> tuple[str, ...]:
    """The meanings of both parts as a caption says them."""
    readings = []
    for each in meaning.split(" | ") if " | " in meaning else meaning.split("|"):
        each = each.strip()
        official = english().by_name.get(f"{category} {each}".replace(" & ", " "))
        if official is not None:
            readings.append(official.plain.split("|")[0])
            continue
        form = _FORMS.get(category, f"{{0}} {_SINGULAR.get(category, category)}")
        if category in _ON_WHAT and each in _SURFACES:
            form = f"{category} on {{0}}"
        elif category == "footsteps":
            form = "{0} footsteps"
        if each in ("misc", "miscellaneous", "general"):
            form, each = "{0}", _SINGULAR.get(category, category)
        readings.append(form.format(each))
    return tuple(dict.fromkeys(readings))


@cache
def _suffixes() -> dict[str, str]:
    return {suffix.lower(): meaning for suffix, meaning in english().suffixes.items()}


@cache
def _by_singular() -> dict[str, Category]:
    """Names with the category in the singular, "door wood", where the subcategory is no common word after it."""
    return {
        f"{_SINGULAR[first]} {rest}": each
        for name, each in english().by_name.items()
        for first, _, rest in (name.partition(" "),)
        if first in _SINGULAR and rest
    }
