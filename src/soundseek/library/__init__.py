"""Folders of sounds -> vectors on disk -> hits.

scan (new, changed, moved, gone) -> workers (embed) -> index (commit) -> store -> search
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from soundseek._lazy import lazy_names

if TYPE_CHECKING:
    from soundseek.library.hits import Hit as Hit
    from soundseek.library.index import IndexReport as IndexReport
    from soundseek.library.index import Progress as Progress
    from soundseek.library.library import FileVectors as FileVectors
    from soundseek.library.library import Library as Library
    from soundseek.library.library import LibraryInfo as LibraryInfo
    from soundseek.library.library import default_library_path as default_library_path
    from soundseek.library.library_set import LibrarySet as LibrarySet
    from soundseek.library.store.base import Failure as Failure
    from soundseek.library.store.base import SoundFile as SoundFile

_HOMES = {
    "Failure": "soundseek.library.store.base",
    "FileVectors": "soundseek.library.library",
    "Hit": "soundseek.library.hits",
    "IndexReport": "soundseek.library.index",
    "Library": "soundseek.library.library",
    "LibraryInfo": "soundseek.library.library",
    "LibrarySet": "soundseek.library.library_set",
    "Progress": "soundseek.library.index",
    "SoundFile": "soundseek.library.store.base",
    "default_library_path": "soundseek.library.library",
}

__all__ = [*_HOMES]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
