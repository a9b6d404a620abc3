"""A connection to a library's SQLite file, for writing or, where nobody may write, for reading alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soundseek.errors import LibraryError
from soundseek.library.store.schema import DATABASE_FILE

BUSY_TIMEOUT_S = 30.0


def connect(directory: Path) -> sqlite3.Connection:
    """A connection that any thread may close; one to read with where the folder cannot be written to."""
    try:
        return _connect_to_write(directory)
    except sqlite3.OperationalError as error:
        if not any(sign in str(error) for sign in ("readonly", "unable to open")):
            raise
        return _connect_to_read(directory)


def _connect_to_write(directory: Path) -> sqlite3.Connection:
    connection = _opened(directory / DATABASE_FILE)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_to_read(directory: Path) -> sqlite3.Connection:
    """SQLite wants to make a log beside the file even to read it.

    Where there is no log, nobody is writing, and the file may be taken for immutable; what somebody else
    writes later is seen when the library is opened again.
    """
    path = directory.absolute() / DATABASE_FILE
    has_log = path.with_name(f"{path.name}-wal").exists()
    return _opened(f"{path.as_uri()}?mode=ro{'' if has_log else '&immutable=1'}", uri=True)


def _opened(database: Path | str, *, uri: bool = False) -> sqlite3.Connection:
    # check_same_thread=False, because close() closes all threads' connections; no two threads use one.
    return sqlite3.connect(
        database, uri=uri, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )


@contextmanager
def explained(directory: Path) -> Iterator[None]:
    """Say which library, and what to do, where SQLite or the system say only what."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        advice = "check the disk's space and permissions"
        if "not a database" in str(error) or "malformed" in str(error):
            advice = "it is damaged: remove the folder and index the sounds again"
        elif isinstance(error, sqlite3.ProgrammingError):
            advice = "it may have been closed meanwhile: open it again"
        raise LibraryError(f"the library {directory} cannot be used ({error}); {advice}") from error
