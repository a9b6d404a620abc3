"""The words of names and tags: what the full-text table holds of a file, and what is asked of it.

`DOORWood_OldCellarDoor_JD.wav` is found as it is written, by its parts ("old cellar door") and by what its code of the
Universal Category System means ("wooden door opening or closing").
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from soundseek.query.text import word_set
from soundseek.query.ucs import read_code

if TYPE_CHECKING:
    from soundseek.query import Reading

FOLDERS = 2
"""So many of the folders above a file count as words about it; those above them are said of everything."""

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])")
_TOKEN = re.compile(r"[^\W_]+")
_CODE_LIKE = re.compile(r"^[A-Z]{2,6}[a-z]{0,10}\d*$")
# Words that say nothing of which sound is meant.
_STOP_WORDS = word_set(
    """a an the this that of in on at to from by with into onto over under and or for is are was were be been being as
    it its his her their there sound sounds noise recording of someone something somebody some any while through"""
)

# Words that recorders, editors and people who have no name for a sound give to any: they tell no file from another.
_NAMES_OF_ANY = word_set(
    """audio edit export file files final mono new rec recorded recording recordings render sample samples sfx fx stereo
    take takes tmp unnamed untitled version wav mp3 flac aiff ogg"""
)


# What any sound does: typed by nobody, such a word of a reading says of no name that it is meant.
_SAYS_NO_SOUND = word_set(
    """coming doing getting going happening having heard hearing made make makes making moving once performed performing
    play played playing plays produced producing sounding used using"""
)


def name_words(name: str) -> str:
    """A file's name without its ending, its parts, and in words what its UCS code means.

    >>> name_words("AMBForst_OldForest_ZOOM0746.wav")
    'AMBForst_OldForest_ZOOM0746 Old Forest ZOOM 0746 746 forest ambience'
    """
    stem = _readable(os.path.splitext(name)[0] or name)  # noqa: PTH122 (300,000 times, on plain strings)
    tokens = _TOKEN.findall(stem)
    parts = [part for token in tokens if len(pieces := _CAMEL.split(token)) > 1 for part in pieces]
    meaning = _code_meaning(tokens[0]) if tokens else ""
    parts += [part.lstrip("0") for part in (*tokens, *parts) if part.isdecimal() and part[0] == "0"]
    if meaning:
        parts = [part for part in parts if part not in _CAMEL.split(tokens[0])]
    return " ".join(filter(None, [stem, *parts, meaning]))


def folder_words(path: str) -> str:
    """The names of the folders just above a file, as words.

    >>> folder_words("/home/ada/Sounds/Old Doors/cellar.wav")
    'Sounds Old Doors'
    """
    folders = _readable(os.path.dirname(path)).split(os.sep)  # noqa: PTH120, PTH206
    return " ".join(filter(None, folders[-FOLDERS:]))


def tag_words(fields: Iterable[tuple[str, str]]) -> str:
    """Tags as lines of words: a name and its text behind it, so that "scene 12" is a phrase."""
    return "\n".join(f"{name} {text}" for name, text in fields)


def phrase(text: str) -> str:
    """An FTS5 expression for words in this order; `*` at the end leaves the last one open.

    >>> phrase('scene 1*')
    '"scene 1"*'
    """
    words = " ".join(_TOKEN.findall(_readable(text)))
    return f'"{words}"' + ("*" if text.rstrip().endswith("*") else "")


def query_words(text: str) -> list[str]:
    """The words of a query that say which sound is meant, each once, in lower case.

    >>> query_words("The sound of a Door, door: scene 12")
    ['door', 'scene', '12']
    """
    words = [word.casefold() for word in _TOKEN.findall(_readable(text))]
    return list(dict.fromkeys(word for word in words if word not in _STOP_WORDS))


def telling_words(text: str) -> list[str]:
    """Of these words those by which names are told apart; all of them where there is none.

    >>> telling_words("an untitled recording of a dog, take 3"), telling_words("untitled 3")
    (['dog', '3'], ['3'])
    >>> telling_words("the new take")
    ['new', 'take']
    """
    words = query_words(text)
    return [word for word in words if word not in _NAMES_OF_ANY] or words


def words_for_names(reading: Reading) -> list[str]:
    """What a query was read as, in words that may count as words of names: typed ones, and those that stand for them.

    What a reading adds to a term that it keeps ("bagpipes playing a drone and melody") describes it to the model.

    >>> from soundseek.query import Note, Reading
    >>> note = Note("term", "bagpipes", "bagpipes playing a drone")
    >>> words_for_names(Reading("bagpipes", (("bagpipes playing a drone",),), notes=(note,)))
    ['bagpipes']
    """
    typed = _stems(reading.typed)
    added: set[str] = set()
    for note in reading.notes:
        said = _stems(note.source)
        for text in note.read.split(" | ") if note.kind == "term" else ():
            if said and said <= (read := _stems(text)):
                added |= read - said
    texts = []
    for text in reading.texts:
        words = [
            word
            for word in query_words(text)
            if (stem := _stem(word)) in typed or (stem not in added and word not in _SAYS_NO_SOUND)
        ]
        texts += [" ".join(words)] if words else []
    return list(dict.fromkeys(texts))


def _stems(text: str) -> set[str]:
    return {_stem(word) for word in query_words(text)}


def _stem(word: str) -> str:
    return word.removesuffix("s")


def plain_name(text: str) -> str:
    """A name for comparing: without ending, case, and what separates its words.

    >>> plain_name("Old-Cellar_door 03.WAV") == plain_name("old cellar door 03")
    True
    """
    stem, ending = os.path.splitext(text.strip())  # noqa: PTH122
    if not re.fullmatch(r"\.[A-Za-z][A-Za-z0-9]{1,4}", ending):
        stem = text
    return " ".join(_TOKEN.findall(_readable(stem).casefold()))


def name_token(text: str) -> str:
    """A name as one word, by which it is found as it stands; empty of a text without letters and digits.

    >>> name_token("Old-Cellar_door 03.WAV")
    'whole0oldcellardoor03'
    """
    words = plain_name(text).split()
    return "whole0" + "".join(words) if words else ""


@lru_cache(maxsize=10_000)
def _code_meaning(word: str) -> str:
    if not _CODE_LIKE.match(word):
        return ""
    code = read_code(word, lambda _: False)
    return " ".join(code.readings) if code is not None else ""


def _readable(text: str) -> str:
    """Composed letters; bytes that are no text are left out."""
    return unicodedata.normalize("NFC", text.encode("utf-8", "ignore").decode("utf-8"))
