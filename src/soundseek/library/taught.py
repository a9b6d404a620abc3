"""Sounds that a library was taught by marks, kept by name in its own database: "my knocks".

A mark knows its sound as a collection's entry does, so it outlives a move, an edit and a new index run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from soundseek._typing import FloatArray
from soundseek.errors import UsageError
from soundseek.library.named_lists import ListedSound, ListTables, NamedLists, utc_now
from soundseek.library.regions import Embedded
from soundseek.library.teaching import NUM_BACKGROUND, taught_direction

if TYPE_CHECKING:
    from soundseek._typing import AnyFloatArray
    from soundseek.library.store.base import SoundFile, Store

V = TypeVar("V")
_values: WeakKeyDictionary[Store, dict[int, tuple[object, Any]]] = WeakKeyDictionary()
_mutex = Lock()

MOST_MARKS = 2_000
"""Marks of one name: the classifier looks at all of them at each search."""

_ROUNDED_S = 0.1  # ends of hits are shown to a tenth of a second

_TABLES = (
    """CREATE TABLE IF NOT EXISTS taught (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_at TEXT NOT NULL, modified_at TEXT NOT NULL)""",
    # AUTOINCREMENT: a number is never given twice, so that count and highest number tell whether marks have changed.
    """CREATE TABLE IF NOT EXISTS marks (
        id INTEGER PRIMARY KEY AUTOINCREMENT, taught INTEGER NOT NULL, content_hash BLOB NOT NULL, path BLOB NOT NULL,
        start_s REAL, end_s REAL, is_right INTEGER NOT NULL, added_at TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS marks_by_taught ON marks (taught, content_hash)",
)


class UnknownTaughtError(UsageError):
    """Nothing of that name or number was taught."""


@dataclass(frozen=True)
class TaughtSound:
    """What a library was taught under one name.

    Attributes:
        id: Its number.
        name: What people call it.
        right: Marks of sounds that are it.
        wrong: Marks of sounds that are not.
        created_at: ISO 8601 in UTC.
        modified_at: When its name or its marks changed last.
    """

    id: int
    name: str
    right: int
    wrong: int
    created_at: str
    modified_at: str


@dataclass(frozen=True)
class Mark(ListedSound):
    """A sound, or a region of one, that is what the name says (`is_right`), or is not."""

    is_right: bool = True


@dataclass(frozen=True)
class NewMark:
    """A sound to mark, or the part of it from `start_s` to `end_s`.

    Raises:
        UsageError: The part does not lie within the sound.
    """

    file: SoundFile
    is_right: bool
    start_s: float | None = None
    end_s: float | None = None

    def __post_init__(self) -> None:
        length_s = self.file.duration_s
        if (self.start_s or 0.0) >= length_s or (self.end_s or 0.0) > length_s + _ROUNDED_S:
            begin = f"{self.start_s or 0.0:g}"
            part = f"from {begin} s on" if self.end_s is None else f"from {begin} to {self.end_s:g} s"
            raise UsageError(
                f"{self.file.path} is {length_s:.2f} s long, and the part {part} does not lie within it"
            )


class TaughtSounds(NamedLists[TaughtSound]):
    """All that a library was taught. Threads may share one.

    Args:
        store: The library's store.
    """

    tables = ListTables(
        lists="taught",
        entries="marks",
        owner="taught",
        more="is_right",
        made_by=_TABLES,
        summary="l.id, l.name, coalesce(sum(e.is_right), 0), count(e.id) - coalesce(sum(e.is_right), 0), l.created_at, "
        "l.modified_at",
        order="l.name COLLATE NOCASE",
        unknown=UnknownTaughtError,
        no_list="nothing with the number {number} was taught; list what was",
        no_entry="what has the number {number} has no mark {entry}; list its marks again",
        no_name="what is taught needs a name",
        taken="something was taught as {name!r} already; choose another name",
    )

    def _list_of(self, row: Sequence[Any]) -> TaughtSound:
        return TaughtSound(*row)

    def named(self, name: str) -> TaughtSound:
        """What has a name.

        Raises:
            UnknownTaughtError: Nothing has it; the message lists the names that there are.
        """
        found = self.all()
        for each in found:
            if each.name == name.strip():
                return each
        names = ", ".join(repr(each.name) for each in found) or "nothing so far"
        raise UnknownTaughtError(f"this library was not taught {name!r}, but {names}")

    def mark(self, taught: int, marks: Sequence[NewMark]) -> TaughtSound:
        """Mark sounds; a sound, or region of one, that is marked already changes its mind.

        Raises:
            UnknownTaughtError: There is none of that number.
            UsageError: It would have more than `MOST_MARKS` marks.
        """
        with self._writing() as connection:
            self._get(connection, taught)
            for each in marks:
                place = (taught, each.file.content_hash, each.start_s, each.end_s)
                connection.execute(
                    "DELETE FROM marks WHERE taught = ? AND content_hash = ? AND start_s IS ? AND end_s IS ?",
                    place,
                )
                path = os.fsencode(each.file.path)
                self._insert(connection, taught, (place[1], path, *place[2:], each.is_right, utc_now()))
            self._touch(connection, taught)
            changed = self._get(connection, taught)
            if changed.right + changed.wrong > MOST_MARKS:
                raise UsageError(
                    f"{changed.name!r} would have {changed.right + changed.wrong} marks, more than {MOST_MARKS}; "
                    "teach another name, or train with: soundseek adapt"
                )
            return changed

    def marks(self, taught: int) -> list[Mark]:
        """The marks in the order in which they were made, each with its file where that is now.

        Raises:
            UnknownTaughtError: There is none of that number.
        """
        found = self._listed(taught, Mark)
        return [
            replace(each, path=each.file.path if each.file else each.path, is_right=bool(each.is_right))
            for each in found
        ]

    def copy_from(self, other: TaughtSounds) -> None:
        """Take over what another library was taught, those names that are not there yet."""
        with other._reading() as theirs:
            if theirs is None:
                return
            named = theirs.execute("SELECT id, name, created_at, modified_at FROM taught").fetchall()
            marks = theirs.execute(
                "SELECT taught, content_hash, path, start_s, end_s, is_right, added_at FROM marks ORDER BY id"
            ).fetchall()
        with self._writing() as connection:
            known = {name for (name,) in connection.execute("SELECT name FROM taught")}
            for number, *about in named:
                if about[0] in known:
                    continue
                made = connection.execute("INSERT INTO taught VALUES (NULL, ?, ?, ?)", about).lastrowid
                for owner, *mark in marks:
                    if owner == number:
                        self._insert(connection, int(made or 0), mark)

    def vectors(self, taught: int) -> tuple[FloatArray, FloatArray]:
        """Unit vectors of what is marked right, `(n, dim)`, and of what is marked wrong, `(m, dim)`.

        Marks of sounds that are not in the library now do not count.

        Raises:
            UnknownTaughtError: There is none of that number.
        """
        with self._reading() as connection:
            self._get(connection, taught)
            assert connection is not None
            (revision,) = connection.execute(
                "SELECT count(*) || ' ' || coalesce(max(id), 0) FROM marks WHERE taught = ?", (taught,)
            ).fetchone()
        state = self._store.version(), revision
        return _kept(self._store, taught, state, lambda: _vectors_of(self._store, self.marks(taught)))


def taught_query(store: Store, name: str, query: AnyFloatArray | None, *, weight: float = 1.0) -> FloatArray:
    """The direction `(dim,)` in which a query looks once what was taught under a name counts; see `taught_direction`.

    Args:
        store: The library's store.
        name: What was taught.
        query: `(dim,)` unit norm; None where nothing else is asked for.
        weight: How much the marks count.

    Raises:
        UnknownTaughtError: The library was not taught that.
        QueryError: There is neither a query nor a right mark.
    """
    sounds = TaughtSounds(store)
    right, wrong = sounds.vectors(sounds.named(name).id)
    background = _kept(store, 0, store.version(), lambda: store.spread_vectors(NUM_BACKGROUND))
    return taught_direction(query, right, wrong, background, weight=weight)


def _vectors_of(store: Store, marks: Sequence[Mark]) -> tuple[FloatArray, FloatArray]:
    found: dict[bool, list[FloatArray]] = {True: [], False: []}
    for mark in marks:
        sound = store.read(mark.file.path) if mark.file is not None else None
        if sound is None or (mark.start_s or 0.0) >= sound.file.duration_s:
            continue
        found[mark.is_right].append(Embedded.of(sound).vector(mark.start_s, mark.end_s))
    dim = store.identity.dim
    right, wrong = (np.array(found[each], np.float32).reshape(-1, dim) for each in (True, False))
    return right, wrong


def _kept(store: Store, number: int, state: object, make: Callable[[], V]) -> V:
    """A value that is made anew where the state of its store has changed; it goes with the store.

    Args:
        store: The store.
        number: What was taught; 0, which no number is, for the background.
        state: What the value depends on.
        make: Makes it.
    """
    with _mutex:
        of_store = _values.setdefault(store, {})
        if number in of_store and of_store[number][0] == state:
            value: V = of_store[number][1]
            return value
    value = make()
    with _mutex:
        of_store[number] = state, value
    return value
