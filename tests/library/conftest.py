"""What tests of the library share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from library.engines import ENGINES, empty_store, place_in
from library.shelves import Shelf
from library.stores import IDENTITY

from soundseek.library.store.base import Store
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
