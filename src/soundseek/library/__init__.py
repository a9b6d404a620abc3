"""Folders of sounds -> vectors on disk -> hits.

scan (new, changed, moved, gone) -> workers (embed) -> index (commit) -> store -> search
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from soundseek.library.index import IndexReport as IndexReport
    from soundseek.library.index import Progress as Progress
    from soundseek.library.library import FileVectors as FileVectors
    from soundseek.library.library import Library as Library
    from soundseek.library.library import LibraryInfo as LibraryInfo
    from soundseek.library.library import default_library_path as default_library_path
    from soundseek.library.library_set import LibrarySet as LibrarySet
    from soundseek.library.search import Hit as Hit
    from soundseek.library.store.base import Failure as Failure
    from soundseek.library.store.base import SoundFile as SoundFile

_HOMES = {
    "Failure": "store.base",
    "FileVectors": "library",
    "Hit": "search",
    "IndexReport": "index",
    "Library": "library",
    "LibraryInfo": "library",
    "LibrarySet": "library_set",
    "Progress": "index",
    "SoundFile": "store.base",
    "default_library_path": "library",
}

__all__ = [
    "Failure",
    "FileVectors",
    "Hit",
    "IndexReport",
    "Library",
    "LibraryInfo",
    "LibrarySet",
    "Progress",
    "SoundFile",
    "default_library_path",
]


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used: the command line starts without numpy."""
    if name not in _HOMES:
        raise AttributeError(
            f"module 'soundseek.library' has no attribute {name!r}; it has: {', '.join(__all__)}"
        )
    value = getattr(import_module(f"soundseek.library.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
