"""How a process comes to a library's database: a connection, and the right to write, which one holds at a time."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from soundseek._files import has_full_disk, is_full_disk, release_lock, take_lock
from soundseek.errors import LibraryError
from soundseek.library.filters import IS_BELOW, PATH_HAS, is_below, path_has
from soundseek.library.store.base import being_written
from soundseek.library.store.tables import DATABASE_FILE

BUSY_TIMEOUT_S = 30.0
# The database, its log, the log's index, the folder.
HANDLES = 4
FREE_THE_DISK = (
    "its disk is full: free some space there and give the same command again. Searching still works"
)
ASK_FOR_THE_RIGHT = (
    "ask its owner for the right to read it, or name another with --library DIR (or SOUNDSEEK_LIBRARY)"
)
INDEX_AGAIN = "index the sounds again"
NO_LOCKS = "put the library on a local disk with --library DIR (or SOUNDSEEK_LIBRARY)"


def connect(directory: Path) -> sqlite3.Connection:
    """A connection that any thread may close; one to read with where nothing can be written: no right, or no space."""
    try:
        return _connect_to_write(directory)
    except sqlite3.OperationalError as error:
        is_full = "disk" in str(error) and has_full_disk(directory / DATABASE_FILE)
        if not is_full and not any(sign in str(error) for sign in ("readonly", "unable to open")):
            raise
        _need_handles()
        return _connect_to_read(directory)


def _need_handles() -> None:
    """Raise OSError where SQLite fails because it may not open as many files as it needs, which it does not say."""
    with ExitStack() as opened:
        for _ in range(HANDLES):
            opened.enter_context(Path(os.devnull).open("rb"))


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
    """A connection where SQLite cannot make its log beside the file, which it wants even to read.

    Where there is no log, nobody is writing, and the file may be taken for immutable; what somebody else
    writes later is seen when the library is opened again. Without the log that is there, old rows would be read.
    """
    path = directory.absolute() / DATABASE_FILE
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        next_step = (
            "the disk is full; free some space there"
            if has_full_disk(path)
            else "you may not write there; open it once as a user who may: soundseek info --library DIR"
        )
        raise LibraryError(
            f"the library {directory} cannot be read: a run that was stopped left a part of it in a log, and "
            f"{next_step}"
        )
    return _opened(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)


def _opened(database: Path | str, *, uri: bool = False) -> sqlite3.Connection:
    # check_same_thread=False, because close() closes all threads' connections; no two threads use one.
    connection = sqlite3.connect(
        database, uri=uri, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    connection.create_function(IS_BELOW, 2, is_below, deterministic=True)
    connection.create_function(PATH_HAS, 2, path_has, deterministic=True)
    return connection


@contextmanager
def explained(directory: Path, *, is_new: bool = False) -> Iterator[None]:
    """Say which library, and what to do, where SQLite or the system say only what.

    Args:
        directory: The library's folder.
        is_new: Whether the block makes it.
    """
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise LibraryError(
            f"the library {directory} {_what_happened(directory, error, is_new=is_new)}"
        ) from error


def _what_happened(directory: Path, error: sqlite3.Error | OSError, *, is_new: bool) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        advice = "close other programs, or allow more open files and try again: ulimit -n 4096"
    elif is_full_disk(error) if isinstance(error, OSError) else "database or disk is full" in text:
        advice = FREE_THE_DISK
    elif "not a database" in text or "malformed" in text:
        advice = f"it is damaged: remove the folder and {INDEX_AGAIN}"
    elif any(sign in text for sign in ("locking protocol", "disk I/O error", "database is locked")):
        advice = f"if it lies on a network drive or a full disk, {NO_LOCKS}"
    elif is_new and (isinstance(error, OSError) or _needs_right(error)):
        why = error.strerror if isinstance(error, OSError) else _why_not_writable(directory)
        return (
            f"cannot be made ({why or error}); name another folder with --library DIR (or SOUNDSEEK_LIBRARY)"
        )
    elif "no such table: descriptions" in text or "no such table: keywords" in text:
        advice = (
            "an earlier soundseek filled it, without tags, bits and loudness; bring it up to date, which embeds "
            f"nothing again: soundseek index --library {directory}"
        )
    elif isinstance(error, sqlite3.Error) and _needs_right(error):
        if unreadable := _why_not_readable(directory):
            return f"cannot be read ({unreadable}); {ASK_FOR_THE_RIGHT}"
        why = _why_not_writable(directory)
        if why or not has_full_disk(directory / DATABASE_FILE):
            return _not_written(why or text)
        advice = FREE_THE_DISK
    elif isinstance(error, sqlite3.ProgrammingError):
        advice = "it may have been closed meanwhile: open it again"
    else:
        advice = "check that its disk is there, and who may read and write it"
    return f"cannot be used ({error}); {advice}"


def _needs_right(error: sqlite3.Error) -> bool:
    """Whether SQLite may not write, or cannot make the files that it needs to."""
    return any(sign in str(error) for sign in ("readonly database", "unable to open"))


def _why_not_readable(directory: Path) -> str | None:
    """What the system says to who would read a library, which SQLite does not pass on; None where one may."""
    try:
        (directory / DATABASE_FILE).open("rb").close()
    except FileNotFoundError:
        return None
    except OSError as error:
        return error.strerror
    return None


def _why_not_writable(directory: Path) -> str | None:
    """What the system says to who would write to a library, which SQLite does not pass on; None where one may."""
    database = directory / DATABASE_FILE
    try:
        if database.exists():
            database.open("r+b").close()
    except OSError as error:
        return error.strerror
    return None if os.access(directory, os.W_OK) else os.strerror(errno.EACCES)


def _not_written(why: str | None) -> str:
    return (
        f"cannot be written to ({why}); ask its owner for the right to write there, or index into another with "
        "--library DIR. Searching still works"
    )


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """Hold the lock while the block runs.

    Args:
        path: The lock file; it stays there and holds the writer's process id.

    Raises:
        LibraryError: Somebody else holds it (the message names the process), the folder is read-only, or its file
            system has no locks.
    """
    try:
        handle = path.open("a+b")
    except OSError as error:
        raise LibraryError(f"the library {path.parent} {_not_written(error.strerror)}") from error
    try:
        try:
            holder = take_lock(handle)
        except OSError as error:  # NFS whose lock daemon is down, some FUSE and SMB mounts
            raise LibraryError(
                f"the library {path.parent} cannot be locked ({error.strerror}): its file system has no locks, and "
                f"two writers would spoil it; {NO_LOCKS}"
            ) from error
        if holder:
            raise being_written(path.parent, holder)
        try:
            yield
        finally:
            release_lock(handle)
    finally:
        handle.close()
