"""The tables beside a store's own (collections, what was taught) in engines that are no SQLite: a script of statements.

They are written by people, one click at a time, and so are small: an engine keeps them as one text, and whoever reads
or writes them gets a database in memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def tables_beside(script: str) -> Iterator[sqlite3.Connection]:
    """A database in memory with the tables that a script makes.

    Whoever may write to the engine wrote the script: it reaches no file of this machine.
    """
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        connection.set_authorizer(_without_files)
        connection.executescript(script)
        yield connection
    finally:
        connection.close()


def script_to_make(connection: sqlite3.Connection) -> str:
    """The statements that make the tables of a database, with their rows."""
    return "\n".join(connection.iterdump())


def _without_files(action: int, *_: object) -> int:
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_ATTACH else sqlite3.SQLITE_OK
