"""Named lists of sounds, or of regions in them, in tables beside a store's own: what collections and marks share.

An entry knows its sound by content and by path: a file that was moved is found by its content, and one that was edited
by its path. An index run does not touch these tables, so entries outlive a file that is gone, and come back with it.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from soundseek.errors import UsageError

if TYPE_CHECKING:
    from sqlite3 import Connection

    from soundseek.library.store.base import SoundFile, Store

L = TypeVar("L")


@dataclass(frozen=True)
class ListedSound:
    """A sound in a list, or a region of one.

    Attributes:
        id: Its number.
        path: Where the file is, or was seen last.
        content_hash: Of the file's bytes, when it was seen last.
        start_s: Where the region begins; None from the beginning.
        end_s: Where it ends; None to the end.
        added_at: ISO 8601 in UTC.
        file: What the library knows of it; None while it is not in the library.
    """

    id: int
    path: str
    content_hash: bytes
    start_s: float | None
    end_s: float | None
    added_at: str
    file: SoundFile | None = None


E = TypeVar("E", bound=ListedSound)


class NameTakenError(UsageError):
    """A list of that name is there already."""


@dataclass(frozen=True)
class ListTables:
    """Where lists of a kind are kept, and what is said of one that is not there.

    Attributes:
        lists: The table of names: id, name, created_at, modified_at.
        entries: The table of what they hold: id, a list, content_hash, path, start_s, end_s, one more, added_at.
        owner: Its column with the number of the list.
        more: Its column that this kind alone has.
        made_by: Statements that make both where they are not there yet.
        summary: Selects the fields of a list from `lists` AS l and its `entries` AS e.
        order: By what lists are told.
        unknown: What is raised over a list or an entry that is not there.
        no_list: Its message, of `{number}`.
        no_entry: Its message, of `{number}` and `{entry}`.
        no_name: What is said of an empty name.
        taken: What is said of a name that there is, of `{name}`.
    """

    lists: str
    entries: str
    owner: str
    more: str
    made_by: tuple[str, ...]
    summary: str
    order: str
    unknown: type[UsageError]
    no_list: str
    no_entry: str
    no_name: str
    taken: str

    @property
    def columns(self) -> str:
        """What an entry is made of, beside its number and that of its list."""
        return f"content_hash, path, start_s, end_s, {self.more}, added_at"


class NamedLists(ABC, Generic[L]):
    """The lists of one kind in a library. Threads may share one.

    Args:
        store: The library's store.
    """

    tables: ListTables

    def __init__(self, store: Store) -> None:
        self._store = store

    @abstractmethod
    def _list_of(self, row: Sequence[Any]) -> L:
        """The list that a row of the summary means."""

    def all(self) -> list[L]:
        """Every list, by name."""
        with self._reading() as connection:
            if connection is None:
                return []
            sql = f"{self._summary} GROUP BY l.id ORDER BY {self.tables.order}"
            return [self._list_of(row) for row in connection.execute(sql).fetchall()]

    def get(self, number: int) -> L:
        """The list of a number.

        Raises:
            UsageError: There is none, of the kind's own class.
        """
        with self._reading() as connection:
            return self._get(connection, number)

    def create(self, name: str) -> L:
        """A new, empty list.

        Raises:
            UsageError: The name is empty, or holds a lone surrogate.
            NameTakenError: There is one of that name.
        """
        with self._writing() as connection:
            self._check_name(connection, name)
            at = utc_now()
            made = connection.execute(
                f"INSERT INTO {self.tables.lists} VALUES (NULL, ?, ?, ?)", (name.strip(), at, at)
            )
            return self._get(connection, int(made.lastrowid or 0))

    def rename(self, number: int, name: str) -> L:
        """Give a list another name.

        Raises:
            UsageError: There is none of that number.
            NameTakenError: There is one of that name.
        """
        with self._writing() as connection:
            self._get(connection, number)
            self._check_name(connection, name, own=number)
            connection.execute(
                f"UPDATE {self.tables.lists} SET name = ? WHERE id = ?", (name.strip(), number)
            )
            self._touch(connection, number)
            return self._get(connection, number)

    def remove(self, number: int) -> None:
        """Remove a list and its entries; the sounds stay.

        Raises:
            UsageError: There is none of that number.
        """
        with self._writing() as connection:
            self._empty(connection, number)
            connection.execute(f"DELETE FROM {self.tables.lists} WHERE id = ?", (number,))

    def discard(self, number: int, entry: int) -> None:
        """Take an entry out of a list.

        Raises:
            UsageError: It is not in it.
        """
        tables = self.tables
        with self._writing() as connection:
            gone = connection.execute(
                f"DELETE FROM {tables.entries} WHERE id = ? AND {tables.owner} = ?", (entry, number)
            )
            if not gone.rowcount:
                raise tables.unknown(tables.no_entry.format(number=number, entry=entry))
            self._touch(connection, number)

    def _listed(self, number: int, kind: Callable[..., E], *, k: int = -1, offset: int = 0) -> list[E]:
        """The entries of a list, in the order in which they came in, each with its file where that is now."""
        with self._reading() as connection:
            self._get(connection, number)
            rows = (
                []
                if connection is None
                else connection.execute(
                    f"SELECT id, {self.tables.columns} FROM {self.tables.entries} WHERE {self.tables.owner} = ? "
                    "ORDER BY id LIMIT ? OFFSET ?",
                    (number, k, offset),
                ).fetchall()
            )
        return [
            kind(
                id=id,
                path=os.fsdecode(path),
                content_hash=content_hash,
                start_s=start_s,
                end_s=end_s,
                added_at=added_at,
                file=file_now(self._store, content_hash, os.fsdecode(path)),
                **{self.tables.more: more},
            )
            for id, content_hash, path, start_s, end_s, more, added_at in rows
        ]

    def _insert(self, connection: Connection, number: int, entry: Sequence[object]) -> None:
        """Put the values of `columns` into a list."""
        connection.execute(
            f"INSERT INTO {self.tables.entries} ({self.tables.owner}, {self.tables.columns}) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (number, *entry),
        )

    def _empty(self, connection: Connection, number: int) -> None:
        self._get(connection, number)
        connection.execute(f"DELETE FROM {self.tables.entries} WHERE {self.tables.owner} = ?", (number,))

    def _get(self, connection: Connection | None, number: int) -> L:
        row: tuple[Any, ...] | None = None
        if connection is not None and abs(number) < 1 << 62:
            row = connection.execute(f"{self._summary} WHERE l.id = ? GROUP BY l.id", (number,)).fetchone()
        if row is None:
            raise self.tables.unknown(self.tables.no_list.format(number=number))
        return self._list_of(row)

    @property
    def _summary(self) -> str:
        tables = self.tables
        joined = f"{tables.lists} l LEFT JOIN {tables.entries} e ON e.{tables.owner} = l.id"
        return f"SELECT {tables.summary} FROM {joined}"

    def _touch(self, connection: Connection, number: int) -> None:
        connection.execute(
            f"UPDATE {self.tables.lists} SET modified_at = ? WHERE id = ?", (utc_now(), number)
        )

    def _check_name(self, connection: Connection, name: str, own: int | None = None) -> None:
        if not name.strip():
            raise UsageError(self.tables.no_name)
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise UsageError(
                f"the name {name!r} has a byte that is no UTF-8; type it anew, or choose another"
            )
        sql = f"SELECT id FROM {self.tables.lists} WHERE name = ?"
        row = connection.execute(sql, (name.strip(),)).fetchone()
        if row is not None and row[0] != own:
            raise NameTakenError(self.tables.taken.format(name=name.strip()))

    @contextmanager
    def _reading(self) -> Iterator[Connection | None]:
        """A connection, or None where the library has no lists of this kind yet."""
        with self._store.reading_beside() as connection:
            sql = "SELECT 1 FROM sqlite_master WHERE name = ?"
            made = connection.execute(sql, (self.tables.lists,)).fetchone()
            yield connection if made else None

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A write transaction on the tables, which are made where they are not there yet.

        Raises:
            LibraryError: The library cannot be written to.
        """
        with self._store.writing_beside() as connection:
            for statement in self.tables.made_by:
                connection.execute(statement)
            yield connection


def file_now(store: Store, content_hash: bytes, path: str) -> SoundFile | None:
    """The file that had a content and a path: the one at that path, one that has moved, or one that was edited."""
    same = store.same_content(content_hash)
    for file in same:
        if file.path == path:
            return file
    return same[0] if same else store.file(path)


def utc_now() -> str:
    """This second, ISO 8601 in UTC."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
