"""What tests of the library share."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from library.approximations import FILES, FROM, WIDE, numbered_sounds
from library.engines import ENGINES, empty_store, place_in
from library.shelves import Shelf
from library.stores import IDENTITY

from soundseek.library.store import approximate, approximate_build, approximate_files, approximate_lists
from soundseek.library.store.base import Changes, Store
from soundseek.library.store.sqlite import SqliteStore


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    folder = tmp_path / "sounds"
    folder.mkdir()
    store = SqliteStore.open(tmp_path / "library", identity=IDENTITY)
    yield Shelf(folder, store)
    store.close()


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a library may be made, in each of the engines."""
    with place_in(request.param, tmp_path) as location:
        yield location


@pytest.fixture(params=ENGINES)
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store, of each of the engines."""
    with empty_store(request.param, tmp_path) as store:
        yield store


SHORT_LISTS = 40
"""Segments in a list of a library of some thousands."""


@pytest.fixture
def for_small_libraries(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """An index from 200 segments on, with few candidates; what would be started in the background is noted."""
    started: list[list[str]] = []

    def start(command: list[str], **options: object) -> SimpleNamespace:
        assert options["start_new_session"]
        started.append(command)
        return SimpleNamespace(wait=lambda: 0)

    monkeypatch.setenv(approximate.FROM_VARIABLE, str(FROM))
    monkeypatch.setattr(approximate, "CANDIDATES", 128)
    monkeypatch.setattr(approximate_lists, "LIST_ROWS", SHORT_LISTS)
    monkeypatch.setattr(approximate_files, "COMPARED_SHARE", 0.6)
    monkeypatch.setattr(approximate_files, "COMPARED_A_CANDIDATE", 4)
    monkeypatch.setattr(approximate_files, "LEAST_COMPARED", 0)
    # Of this module alone: numpy starts processes, too.
    monkeypatch.setattr(
        approximate_build, "subprocess", SimpleNamespace(Popen=start, DEVNULL=subprocess.DEVNULL)
    )
    return started


@pytest.fixture(scope="session")
def filled_and_indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a library of 2,000 segments and its index, to be copied."""
    folder = tmp_path_factory.mktemp("approximate") / "library"
    store = SqliteStore.open(folder, identity=WIDE)
    with store.writing():
        store.commit(Changes(sounds=numbered_sounds(0, FILES)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(approximate_lists, "LIST_ROWS", SHORT_LISTS)
        store.approximate()
    store.close()
    return folder


@pytest.fixture
def indexed(filled_and_indexed: Path, tmp_path: Path) -> Iterator[SqliteStore]:
    """A copy of that library."""
    (tmp_path / "library").mkdir()
    for file in filled_and_indexed.iterdir():
        (tmp_path / "library" / file.name).write_bytes(file.read_bytes())
    opened = SqliteStore.open(tmp_path / "library", identity=WIDE)
    yield opened
    opened.close()
