"""A folder of toy sounds and the store that is filled from it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from library import fakes
from library.best_matches import best_matches

from soundseek.library.index import IndexReport, update
from soundseek.library.store.sqlite import SqliteStore

EXTENSIONS = frozenset({".wav", ".ogg"})


class Shelf:
    """A folder of sounds, a store, and the paths embedded in the last run."""

    def __init__(self, folder: Path, store: SqliteStore) -> None:
        self.folder = folder
        self.store = store
        self.embedded: list[str] = []

    def put(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def index(self, *folders: Path, **options: object) -> dict[str, int]:
        """Index, and give the counts that are not zero."""
        self.embedded.clear()
        return counts(self.report(*folders, **options))

    def report(self, *folders: Path, **options: object) -> IndexReport:
        chosen = {"load": fakes.Counting(self.embedded), "extensions": EXTENSIONS, **options}
        return update(self.store, folders or (self.folder,), **chosen)  # type: ignore[arg-type]

    def names(self) -> set[str]:
        return {os.path.relpath(path, self.folder) for path in self.store.states("/")}

    def failures(self) -> dict[str, str]:
        return {Path(failure.path).name: failure.reason for failure in self.store.failures()}

    def says(self, text: str) -> str:
        """The name of the file that sounds most like a text, which must be exactly like it."""
        (match,) = best_matches(self.store, fakes.content(text), k=1)
        assert match.score == pytest.approx(1, abs=2e-3)
        return os.path.relpath(match.file.path, self.folder)


def counts(report: IndexReport) -> dict[str, int]:
    names = ("added", "changed", "moved", "removed", "unchanged", "failed", "cut", "missing", "vanished")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


def set_time(path: Path, seconds: float) -> None:
    os.utime(path, (seconds, seconds))
