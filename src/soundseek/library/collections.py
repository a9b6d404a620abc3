"""Named lists of sounds and regions, kept in the library's own database; the favourites are always there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from soundseek.errors import LibraryError, UsageError
from soundseek.library.named_lists import ListedSound, ListTables, NamedLists, NameTakenError, utc_now

if TYPE_CHECKING:
    from sqlite3 import Connection

    from soundseek.library.store.base import SoundFile

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


class UnknownCollectionError(UsageError):
    """There is no collection, or no entry, of that number."""


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
class Entry(ListedSound):
    """A sound in a collection, or a region of one; `note` is what somebody wrote beside it."""

    note: str = ""


@dataclass(frozen=True)
class NewEntry:
    """A sound to put into a collection."""

    file: SoundFile
    start_s: float | None = None
    end_s: float | None = None
    note: str = ""


class Collections(NamedLists[Collection]):
    """The collections of a library, the favourites first. Threads may share one.

    Args:
        store: The library's store.
    """

    tables = ListTables(
        lists="collections",
        entries="collection_entries",
        owner="collection",
        more="note",
        made_by=_TABLES,
        summary="l.id, l.name, count(e.id), l.created_at, l.modified_at",
        order=f"l.id != {FAVOURITES}, l.name COLLATE NOCASE",
        unknown=UnknownCollectionError,
        no_list="there is no collection {number}; list them to see which there are",
        no_entry="collection {number} has no entry {entry}; list its entries again",
        no_name="a collection needs a name",
        taken="there is a collection {name!r} already; choose another name",
    )

    def _list_of(self, row: Sequence[Any]) -> Collection:
        return Collection(*row)

    def all(self) -> list[Collection]:
        """Every collection, the favourites first, the others by name."""
        return super().all() or [_empty_favourites()]

    def rename(self, number: int, name: str) -> Collection:
        """Give a collection another name.

        Raises:
            UnknownCollectionError: There is none of that number.
            NameTakenError: There is one of that name, or it is the favourites.
        """
        if number == FAVOURITES:
            raise NameTakenError("the favourites keep their name; make a collection of your own")
        return super().rename(number, name)

    def remove(self, number: int) -> None:
        """Remove a collection and its entries; the sounds stay. The favourites are only emptied.

        Raises:
            UnknownCollectionError: There is none of that number.
        """
        if number == FAVOURITES:
            with self._writing() as connection:
                self._empty(connection, number)
        else:
            super().remove(number)

    def add(self, collection: int, entries: Sequence[NewEntry]) -> Collection:
        """Put sounds into a collection, behind those that are in it; what is in it already stays as it is.

        Raises:
            UnknownCollectionError: There is none of that number.
        """
        with self._writing() as connection:
            self._get(connection, collection)
            for entry in entries:
                place = (
                    entry.file.content_hash,
                    os.fsencode(entry.file.path),
                    entry.start_s,
                    entry.end_s,
                )
                if not _has(connection, collection, place):
                    self._insert(connection, collection, (*place, entry.note, utc_now()))
            self._touch(connection, collection)
            return self._get(connection, collection)

    def entries(self, collection: int, *, k: int = 1000, offset: int = 0) -> list[Entry]:
        """The entries of a collection in the order in which they came in, each with its file where that is now.

        Raises:
            UnknownCollectionError: There is none of that number.
        """
        found = self._listed(collection, Entry, k=k, offset=offset)
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
                if not _has(connection, ids[name], entry[:4]):
                    self._insert(connection, ids[name], entry)

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

    def _get(self, connection: Connection | None, number: int) -> Collection:
        if connection is None and number == FAVOURITES:
            return _empty_favourites()
        return super()._get(connection, number)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with super()._writing() as connection:
            at = utc_now()
            connection.execute(
                "INSERT OR IGNORE INTO collections VALUES (?, ?, ?, ?)", (FAVOURITES, FAVOURITES_NAME, at, at)
            )
            yield connection


def _has(connection: Connection, collection: int, place: Sequence[object]) -> bool:
    """Whether a collection has an entry of a content, a path, a begin and an end."""
    found = connection.execute(
        "SELECT 1 FROM collection_entries WHERE collection = ? AND content_hash = ? AND path = ? "
        "AND start_s IS ? AND end_s IS ?",
        (collection, *place),
    )
    return found.fetchone() is not None


def _empty_favourites() -> Collection:
    at = utc_now()
    return Collection(FAVOURITES, FAVOURITES_NAME, 0, at, at)
