"""Named lists of sounds and regions, kept in the library's own database.

An entry knows its sound by content and by path: a file that was moved is found by its content, and one that was edited
by its path. An index run does not touch these tables, so entries outlive a file that is gone, and come back with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from soundseek.errors import LibraryError, UsageError

if TYPE_CHECKING:
    from sqlite3 import Connection

    from soundseek.library.store.base import SoundFile, Store

FAVOURITES = 1
FAVOURITES_NAME = "favourites"

_TABLES = (
    """CREATE TABLE IF NOT EXISTS collections (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_at TEXT NOT NULL, modified_at TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS collection_entries (
        id INTEGER PRIMARY KEY, collection INTEGER NOT NULL, content_hash BLOB NOT NULL, path BLOB NOT NULL,
        start_s REAL, end_s REAL, note TEXT NOT NULL, added_at TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS entries_by_collection ON collection_entries (collection, content_hash)",
)
_SUMMARY = (
    "SELECT c.id, c.name, count(e.id), c.created_at, c.modified_at FROM collections c "
    "LEFT JOIN collection_entries e ON e.collection = c.id"
)


class UnknownCollectionError(UsageError):
    """There is no collection, or no entry, of that number."""


class NameTakenError(UsageError):
    """A collection of that name is there already."""


@dataclass(frozen=True)
class Collection:
    """A named list.

    Attributes:
        id: Its number; `FAVOURITES` is always there.
        name: What people call it.
        count: Entries in it.
        created_at: ISO 8601 in UTC.
        modified_at: When its name or its entries changed last.
    """

    id: int
    name: str
    count: int
    created_at: str
    modified_at: str


@dataclass(frozen=True)
class Entry:
    """A sound in a collection, or a region of one.

    Attributes:
        id: Its number.
        path: Where the file is, or was seen last.
        content_hash: Of the file's bytes.
        start_s: Where the region begins; None from the beginning.
        end_s: Where it ends; None to the end.
        note: What somebody wrote beside it.
        added_at: ISO 8601 in UTC.
        file: What the library knows of it; None while it is not in the library.
    """

    id: int
    path: str
    content_hash: bytes
    start_s: float | None
    end_s: float | None
    note: str
    added_at: str
    file: SoundFile | None = None


@dataclass(frozen=True)
class NewEntry:
    """A sound to put into a collection."""

    file: SoundFile
    start_s: float | None = None
    end_s: float | None = None
    note: str = ""


class Collections:
    """The collections of a library. Threads may share one.

    Args:
        store: The library's store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self) -> list[Collection]:
        """Every collection, the favourites first, the others by name."""
        with self._reading() as connection:
            if connection is None:
                return [_empty_favourites()]
            rows = connection.execute(
                f"{_SUMMARY} GROUP BY c.id ORDER BY c.id != 1, c.name COLLATE NOCASE"
            ).fetchall()
        return [Collection(*row) for row in rows]

    def get(self, collection: int) -> Collection:
        """One collection.

        Raises:
            UnknownCollectionError: There is none of that number.
        """
        with self._reading() as connection:
            if connection is None and collection == FAVOURITES:
                return _empty_favourites()
            return _get(connection, collection)

    def create(self, name: str) -> Collection:
        """A new, empty collection.

        Raises:
            NameTakenError: There is one of that name.
        """
        with self._writing() as connection:
            _check_name(connection, name)
            at = utc_now()
            made = connection.execute(
                "INSERT INTO collections VALUES (NULL, ?, ?, ?)", (name.strip(), at, at)
            )
            return _get(connection, int(made.lastrowid or 0))

    def rename(self, collection: int, name: str) -> Collection:
        """Give a collection another name.

        Raises:
            UnknownCollectionError: There is none of that number.
            NameTakenError: There is one of that name, or it is the favourites.
        """
        with self._writing() as connection:
            _get(connection, collection)
            if collection == FAVOURITES:
                raise NameTakenError("the favourites keep their name; make a collection of your own")
            _check_name(connection, name, collection)
            connection.execute(
                "UPDATE collections SET name = ?, modified_at = ? WHERE id = ?",
                (name.strip(), utc_now(), collection),
            )
            return _get(connection, collection)

    def remove(self, collection: int) -> None:
        """Remove a collection and its entries; the sounds stay. The favourites are only emptied.

        Raises:
            UnknownCollectionError: There is none of that number.
        """
        with self._writing() as connection:
            _get(connection, collection)
            connection.execute("DELETE FROM collection_entries WHERE collection = ?", (collection,))
            if collection != FAVOURITES:
                connection.execute("DELETE FROM collections WHERE id = ?", (collection,))

    def add(self, collection: int, entries: Sequence[NewEntry]) -> Collection:
        """Put sounds into a collection, behind those that are in it; what is in it already stays as it is.

        Raises:
            UnknownCollectionError: There is none of that number.
        """
        with self._writing() as connection:
            _get(connection, collection)
            for entry in entries:
                values = (
                    collection,
                    entry.file.content_hash,
                    os.fsencode(entry.file.path),
                    entry.start_s,
                    entry.end_s,
                )
                connection.execute(
                    "INSERT INTO collection_entries (collection, content_hash, path, start_s, end_s, note, added_at) "
                    "SELECT ?, ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM collection_entries "
                    "WHERE collection = ? AND content_hash = ? AND path = ? AND start_s IS ? AND end_s IS ?)",
                    (*values, entry.note, utc_now(), *values),
                )
            _touch(connection, collection)
            return _get(connection, collection)

    def discard(self, collection: int, entry: int) -> None:
        """Take an entry out of a collection.

        Raises:
            UnknownCollectionError: It is not in it.
        """
        with self._writing() as connection:
            gone = connection.execute(
                "DELETE FROM collection_entries WHERE id = ? AND collection = ?", (entry, collection)
            )
            if not gone.rowcount:
                raise UnknownCollectionError(
                    f"collection {collection} has no entry {entry}; list its entries again"
                )
            _touch(connection, collection)

    def entries(self, collection: int, *, k: int = 1000, offset: int = 0) -> list[Entry]:
        """The entries of a collection in the order in which they came in, each with its file where that is now.

        Raises:
            UnknownCollectionError: There is none of that number.
        """
        with self._reading() as connection:
            if connection is None and collection == FAVOURITES:
                return []
            _get(connection, collection)
            assert connection is not None
            rows = connection.execute(
                "SELECT id, path, content_hash, start_s, end_s, note, added_at FROM collection_entries "
                "WHERE collection = ? ORDER BY id LIMIT ? OFFSET ?",
                (collection, k, offset),
            ).fetchall()
        entries = [Entry(row[0], os.fsdecode(row[1]), *row[2:]) for row in rows]
        found = [
            replace(entry, file=file_now(self._store, entry.content_hash, entry.path)) for entry in entries
        ]
        self._remember_where(found)
        return [replace(each, path=each.file.path) if each.file is not None else each for each in found]

    def containing(self, file: SoundFile) -> list[int]:
        """Numbers of the collections that a file, or a region of it, is in."""
        with self._reading() as connection:
            if connection is None:
                return []
            rows = connection.execute(
                "SELECT DISTINCT collection FROM collection_entries WHERE content_hash = ? AND path = ? "
                "ORDER BY collection",
                (file.content_hash, os.fsencode(file.path)),
            ).fetchall()
        return [number for (number,) in rows]

    def favourites_among(self, files: Sequence[SoundFile]) -> set[str]:
        """Paths of those files that are favourites."""
        with self._reading() as connection:
            if connection is None or not files:
                return set()
            marks = ", ".join("?" * len(files))
            rows = connection.execute(
                f"SELECT path FROM collection_entries WHERE collection = 1 AND content_hash IN ({marks})",
                [file.content_hash for file in files],
            ).fetchall()
        return {os.fsdecode(path) for (path,) in rows} & {file.path for file in files}

    def copy_from(self, other: Collections) -> None:
        """Take over another library's collections by name, and their entries, those that are not there yet."""
        with other._reading() as theirs:
            if theirs is None:
                return
            named = theirs.execute("SELECT name, created_at, modified_at FROM collections").fetchall()
            entries = theirs.execute(
                "SELECT c.name, e.content_hash, e.path, e.start_s, e.end_s, e.note, e.added_at "
                "FROM collection_entries e JOIN collections c ON c.id = e.collection ORDER BY e.id"
            ).fetchall()
        with self._writing() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO collections (name, created_at, modified_at) VALUES (?, ?, ?)", named
            )
            ids = dict(connection.execute("SELECT name, id FROM collections").fetchall())
            for name, *entry in entries:
                values = (ids[name], *entry)
                if not connection.execute(
                    "SELECT 1 FROM collection_entries WHERE collection = ? AND content_hash = ? AND path = ? "
                    "AND start_s IS ? AND end_s IS ?",
                    values[:5],
                ).fetchone():
                    connection.execute(
                        "INSERT INTO collection_entries "
                        "(collection, content_hash, path, start_s, end_s, note, added_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                        values,
                    )

    def _remember_where(self, entries: Sequence[Entry]) -> None:
        """Note where moved and edited files are now, so that they are found after the next change as well."""
        moved = [
            (os.fsencode(entry.file.path), entry.file.content_hash, entry.id)
            for entry in entries
            if entry.file is not None
            and (entry.file.path, entry.file.content_hash) != (entry.path, entry.content_hash)
        ]
        if not moved:
            return
        # Only a note: whoever reads a library that cannot be written to, or is being written, is answered all the same.
        with suppress(LibraryError), self._writing() as connection:
            connection.executemany(
                "UPDATE collection_entries SET path = ?, content_hash = ? WHERE id = ?", moved
            )

    @contextmanager
    def _reading(self) -> Iterator[Connection | None]:
        """A connection, or None where the library has no collections yet."""
        with self._store.reading_beside() as connection:
            made = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'collections'").fetchone()
            yield connection if made else None

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with transaction_on(self._store, _TABLES) as connection:
            at = utc_now()
            connection.execute(
                "INSERT OR IGNORE INTO collections VALUES (?, ?, ?, ?)", (FAVOURITES, FAVOURITES_NAME, at, at)
            )
            yield connection


@contextmanager
def transaction_on(store: Store, tables: Sequence[str]) -> Iterator[Connection]:
    """A write transaction on tables that stand beside the store's own.

    Args:
        store: The library's store.
        tables: Statements that make them where they are not there yet.

    Raises:
        LibraryError: The library cannot be written to.
    """
    with store.writing_beside() as connection:
        for statement in tables:
            connection.execute(statement)
        yield connection


def file_now(store: Store, content_hash: bytes, path: str) -> SoundFile | None:
    """The file that had a content and a path: the one at that path, one that has moved, or one that was edited."""
    same = store.same_content(content_hash)
    for file in same:
        if file.path == path:
            return file
    return same[0] if same else store.file(path)


def _get(connection: Connection | None, collection: int) -> Collection:
    row: tuple[Any, ...] | None = None
    if connection is not None and abs(collection) < 1 << 62:
        row = connection.execute(f"{_SUMMARY} WHERE c.id = ? GROUP BY c.id", (collection,)).fetchone()
    if row is None:
        raise UnknownCollectionError(f"there is no collection {collection}; list them to see which there are")
    return Collection(*row)


def _touch(connection: Connection, collection: int) -> None:
    connection.execute("UPDATE collections SET modified_at = ? WHERE id = ?", (utc_now(), collection))


def _check_name(connection: Connection, name: str, own: int | None = None) -> None:
    if not name.strip():
        raise UsageError("a collection needs a name")
    row = connection.execute("SELECT id FROM collections WHERE name = ?", (name.strip(),)).fetchone()
    if row is not None and row[0] != own:
        raise NameTakenError(f"there is a collection {name.strip()!r} already; choose another name")


def _empty_favourites() -> Collection:
    at = utc_now()
    return Collection(FAVOURITES, FAVOURITES_NAME, 0, at, at)


def utc_now() -> str:
    """This second, ISO 8601 in UTC."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
