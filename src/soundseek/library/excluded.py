"""Why no sound of a library fulfils a condition: the part that none fulfils, and what values there are instead."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from soundseek.library.filters import And, Comparison, Condition, FieldName, parse_where

if TYPE_CHECKING:
    from soundseek.library.library import Library
    from soundseek.library.library_set import LibrarySet
    from soundseek.library.store.base import SoundFile

MOST_FILES = 100_000
"""Of a larger library values are not looked up: reading all of its facts takes seconds."""

_MOST_VALUES = 8
_PLURALS = {
    "format": "formats", "rate": "rates", "bits": "bit depths", "duration": "lengths", "size": "sizes",
    "loudness": "levels", "modified": "times",
}  # fmt: skip


def num_that_fulfil(library: Library | LibrarySet, where: str) -> int:
    """How many sounds fulfil a condition, whether their files are there now or not.

    Args:
        library: Where to look.
        where: The condition as it was typed.
    """
    condition = parse_where(where)
    return sum(each.store.count(each.as_indexed(condition))[0] for each in _libraries_in(library))


def why_none_fulfils(library: Library | LibrarySet, where: str) -> str:
    """Which condition excludes all sounds, and which values occur; empty where that is not known.

    Args:
        library: It holds sounds, and none fulfils `where`.
        where: The condition as it was typed.
    """
    libraries = _libraries_in(library)
    if sum(each.info().files for each in libraries) > MOST_FILES:
        return ""
    condition = parse_where(where)
    parts = condition.parts if isinstance(condition, And) else (condition,)
    alone = [
        part for part in parts if not any(each.store.count(each.as_indexed(part))[0] for each in libraries)
    ]
    files = [file for each in libraries for file in each.store.files()]
    told = [_told(field, values) for field in _fields(alone or parts) if (values := _values(field, files))]
    if len(parts) > 1 and not alone:
        told.insert(0, "each part has some, but none has all of them")
    elif len(parts) > 1:
        fields = ", ".join(_fields(alone))
        told.insert(0, f"it is the condition on {fields} that none fulfils")
    return "; ".join(told)


def _libraries_in(library: Library | LibrarySet) -> list[Library]:
    from soundseek.library.library_set import LibrarySet

    return [*library.libraries.values()] if isinstance(library, LibrarySet) else [library]


def _fields(parts: Sequence[Condition]) -> list[FieldName]:
    """The fields that some conditions ask, each once."""
    found: dict[FieldName, None] = {}
    for part in parts:
        if isinstance(part, Comparison):
            found[part.field] = None
        else:
            inner = (part.part,) if not hasattr(part, "parts") else part.parts
            found.update(dict.fromkeys(_fields(inner)))
    return list(found)


def _told(field: FieldName, values: str) -> str:
    return f"the {_PLURALS.get(field, field)} in it: {values}"


def _values(field: FieldName, files: Sequence[SoundFile]) -> str:
    """The values of a field: the most frequent ones, or the least and the largest; empty for names and tags."""
    if field == "format":
        return _frequent([file.format for file in files])
    if field == "rate":
        return _frequent([f"{file.sample_rate_hz / 1000:g} kHz" for file in files])
    if field == "channels":
        return _frequent([str(file.channels) for file in files])
    if field == "bits":
        return _frequent(
            [str(each.bit_depth) for file in files if (each := file.description) and each.bit_depth]
        )
    if field == "duration":
        return _range([file.duration_s for file in files], "{:.3g} s")
    if field == "size":
        return _range([file.size_bytes / 1e6 for file in files], "{:.3g} MB")
    if field == "loudness":
        levels = [
            each.loudness_dbfs
            for file in files
            if (each := file.description) and each.loudness_dbfs is not None
        ]
        return _range(levels, "{:.0f} dBFS")
    if field == "modified":
        days = sorted(file.mtime_ns for file in files)
        ends = [time.strftime("%Y-%m-%d", time.localtime(day / 1e9)) for day in (days[0], days[-1])]
        return " to ".join(dict.fromkeys(ends))
    return ""


def _frequent(values: Sequence[str]) -> str:
    counts = Counter(values).most_common()
    more = [f"and {len(counts) - _MOST_VALUES} more"] if len(counts) > _MOST_VALUES else []
    return ", ".join([value for value, _ in counts[:_MOST_VALUES]] + more)


def _range(values: Sequence[float], shown: str) -> str:
    if not values:
        return ""
    return " to ".join(dict.fromkeys(shown.format(value) for value in (min(values), max(values))))
