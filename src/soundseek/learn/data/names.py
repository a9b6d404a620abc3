"""File names that mean the same file, although an archive, a table and a disk spell them differently."""

from __future__ import annotations

import html
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable


def tidy(name: str) -> str:
    """A file name as soundseek writes it: composed characters, no space at either end.

    Example:
        >>> tidy(" typical neighborhood.wav")
        'typical neighborhood.wav'
    """
    return unicodedata.normalize("NFC", name).strip()


def loose(name: str) -> str:
    """What is left of a name when everything that archivers and spreadsheets change is dropped.

    Example:
        >>> loose("Rain on metal: police.WAV") == loose(" Rain on metal_police.wav")
        True
    """
    text = unicodedata.normalize("NFKC", html.unescape(name)).casefold()
    return "".join(character for character in text if character.isalnum())


def match_names(wanted: Iterable[str], found: Iterable[str]) -> dict[str, str]:
    """Wanted name -> the found name that means it: the same, else tidied, else loosely and without a doubt.

    Example:
        >>> match_names(["a.wav", "b: c.wav"], [" a.wav", "b_ c.wav", "d.wav"])
        {'a.wav': ' a.wav', 'b: c.wav': 'b_ c.wav'}
    """
    rest, left = list(dict.fromkeys(wanted)), list(dict.fromkeys(found))
    matched: dict[str, str] = {}
    for key in (str, tidy, loose):
        theirs, ours = _by_key(left, key), _by_key(rest, key)
        for spelling, names in ours.items():
            if len(names) == 1 and len(theirs.get(spelling, ())) == 1:
                matched[names[0]] = theirs[spelling][0]
        taken = set(matched.values())
        rest = [name for name in rest if name not in matched]
        left = [name for name in left if name not in taken]
    return matched


def _by_key(names: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[key(name)].append(name)
    return groups
