"""Libraries that were written with every earlier schema open, are searched and become today's, whole or not at all.

Each was written by the code of its time: four sounds, of which one was removed again, a failure, a folder, a setting.
Libraries of soundseek 0.1.0 have a test of their own, test_old_library.py.
"""

from __future__ import annotations

import shutil
import sqlite3
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from library.best_matches import best_matches
from library.stores import DIM, IDENTITY

from soundseek.library.collections import FAVOURITES, Collections, NewEntry
from soundseek.library.filters import parse_where
from soundseek.library.store import tables
from soundseek.library.store.base import Changes, Description, NameQuery
from soundseek.library.store.sqlite import SqliteStore

WRITTEN = Path(__file__).parent / "libraries_of_earlier_schemas"
SCHEMAS = sorted(int(folder.name) for folder in WRITTEN.iterdir())
KNOCK, CAFE, LONG = "/s/knock on wood.wav", unicodedata.normalize("NFD", "/s/Übung/Café.wav"), "/s/long.wav"
SEEDS = {KNOCK: 1, CAFE: 2, LONG: 4}
SEGMENTS = {KNOCK: 2, CAFE: 3, LONG: 2}


@pytest.fixture(params=SCHEMAS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    shutil.copytree(WRITTEN / str(request.param), tmp_path / "library")
    return tmp_path / "library"


def vectors_of(path: str) -> np.ndarray:
    rows = np.random.default_rng(SEEDS[path]).standard_normal((SEGMENTS[path], DIM)).astype(np.float32)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def schema_of(folder: Path) -> int:
    connection = sqlite3.connect(folder / tables.DATABASE_FILE)
    (number,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(number)


def check_contents(store: SqliteStore) -> None:
    """Everything that was written is there, and nothing else."""
    assert store.identity == IDENTITY
    assert {file.path for file in store.files()} == set(SEEDS)
    for path in SEEDS:
        sound = store.read(path)
        assert sound is not None
        np.testing.assert_array_equal(sound.vectors, vectors_of(path))
        (best,) = best_matches(store, vectors_of(path)[0].astype(np.float32), k=1)
        assert (best.file.path, best.start_s) == (path, 0.0)
    (failure,) = store.failures()
    assert (failure.path, failure.reason, failure.mtime_ns) == ("/s/bad.wav", "no sound in it", 4)
    assert store.roots() == {"/s": 7} and store.settings()["workers"] == "3"
    stats = store.stats()
    assert (stats.segments, stats.truncated, stats.last_indexed) == (7, 1, "2026-01-02T00:00:00Z")
    assert store.states("/s")[LONG].limit_s == 60.0
    assert store.check() == []


def test_there_is_a_library_of_each_schema_before_this_one() -> None:
    assert list(range(1, tables.SCHEMA)) == SCHEMAS


def test_it_is_read_without_being_written_to(folder: Path) -> None:
    before = (folder / tables.DATABASE_FILE).read_bytes()
    store = SqliteStore.open(folder, create=False)
    check_contents(store)
    store.close()
    assert (folder / tables.DATABASE_FILE).read_bytes() == before


def test_the_first_writer_brings_it_up_to_date(folder: Path) -> None:
    store = SqliteStore.open(folder, create=False)
    with store.writing():
        pass
    assert schema_of(folder) == tables.SCHEMA
    check_contents(store)
    assert [file.path for file in store.files(parse_where("name = café.wav"))] == [CAFE]
    query = np.eye(DIM, dtype=np.float32)[0]
    (named,) = best_matches(store, query, k=9, names=NameQuery("wood", ("wood",), is_all=True))
    assert (named.file.path, named.keywords) == (KNOCK, ("wood",))
    tagged = Description((("scene", "12"),), 16)
    with store.writing():
        store.commit(Changes(descriptions={LONG: tagged}, volumes={LONG: "disk"}, removed=[CAFE]))
        store.compact(dead_share=0.0)
    assert [file.path for file in store.files(parse_where('tag ~ "scene 12" and bits = 16'))] == [LONG]
    file = store.file(KNOCK)
    assert file is not None and store.states("/s")[LONG].volume == "disk" and store.check() == []
    Collections(store).add(FAVOURITES, [NewEntry(file)])
    assert Collections(store).get(FAVOURITES).count == 1
    store.close()


def test_a_change_of_schema_that_is_killed_leaves_the_library_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema, store = schema_of(folder), SqliteStore.open(folder, create=False)

    def killed(*about: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tables, "_keywords_of", killed)  # the last step
        with pytest.raises(KeyboardInterrupt):
            store.writing().__enter__()
    assert schema_of(folder) == schema
    check_contents(store)
    with store.writing():
        pass
    assert schema_of(folder) == tables.SCHEMA
    check_contents(store)
    store.close()
