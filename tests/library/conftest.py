"""What tests of the library share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from library.shelves import Shelf
from library.stores import IDENTITY

from soundseek.library.store.sqlite import SqliteStore


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    folder = tmp_path / "sounds"
    folder.mkdir()
    store = SqliteStore.open(tmp_path / "library", identity=IDENTITY)
    yield Shelf(folder, store)
    store.close()
