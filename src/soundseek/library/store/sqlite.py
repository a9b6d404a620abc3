"""The store: SQLite in WAL mode is the truth, vectors lie beside it in append-only float16 files.

    library.sqlite     what files there are, and which rows of the files below are theirs
    vectors.1.f16      one row a segment, `(dim,)` float16, unit norm; scanned exactly
    segments.1.rows    one record a segment: its file, its times, its frames
    frames.1.f16       the projected frames of every file, not normalised, and behind them the vectors of its short
                       windows, where the library keeps these; read for the hits alone
    approximate.*      above some million segments, an index derived from the vectors; see `approximate.py`

The row files are on the disk before SQL says that their rows count, so a killed process leaves at most bytes
behind the last committed row, which nobody reads and the next writer cuts off. A compaction writes files of
the next generation and lets SQL switch to them in one transaction.

Threads: one store may be shared by all threads of a process. Each thread gets its own connection; the maps of
the row files are shared and never change. Do not carry a store over a fork.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from soundseek._typing import AnyFloatArray
from soundseek._vectors import unit_rows
from soundseek.errors import LibraryError
from soundseek.library.filters import Condition, to_sql
from soundseek.library.store import tables
from soundseek.library.store.approximate import Approximation
from soundseek.library.store.approximate_files import MANIFEST
from soundseek.library.store.base import (
    Changes,
    Damage,
    EmbeddedSound,
    FileState,
    Match,
    ModelIdentity,
    NameQuery,
    Question,
    SoundFile,
    StoreStats,
    frames_and_windows,
    keeps_windows,
    known_identity,
)
from soundseek.library.store.check import find_damage, lengthen
from soundseek.library.store.connection import ASK_FOR_THE_RIGHT, connect, explained, write_lock
from soundseek.library.store.estimates import VectorCodes
from soundseek.library.store.exact import inner_products, shortlisted_rows
from soundseek.library.store.fused import Ranking, found_words, rank_with_names
from soundseek.library.store.rows import (
    Generation,
    Snapshot,
    let_go,
    make_folder,
    rows_without,
    spread_evenly,
)
from soundseek.library.store.sql_facts import SqlFacts
from soundseek.library.store.tables import (
    allowed_rows,
    apply_changes,
    create_tables,
    file_and_place,
    files_by_id,
    migrate,
    read_about,
    read_state,
    read_stats,
    records_and_rows,
    switch_generation,
    transaction,
)
from soundseek.library.store.thread_connections import ThreadConnections

MEMORY = "memory://"
# Segments whose frames stay in memory: some hundred megabytes.
SEGMENTS_HELD = 4_000
# Each failed attempt is a whole compaction that a writer has done between two steps of this reader.
SNAPSHOT_ATTEMPTS = 50


class SqliteStore(SqlFacts):
    """The vectors and facts of a library in a folder: one writer at a time, any number of readers.

    Make it with `SqliteStore.open`, or with `SqliteStore.temporary` for one that is gone when it is closed.
    """

    def __init__(self, directory: Path, identity: ModelIdentity) -> None:
        super().__init__(str(directory), identity)
        self.directory = directory
        self._connections = ThreadConnections(str(directory), self._connect)
        self._mutex = threading.Lock()
        self._cached: Snapshot | None = None
        self._num_read = 0
        self.approximation = Approximation(directory, identity)
        self._remove: Callable[[], object] | None = None

    @classmethod
    def open(
        cls, directory: Path, *, identity: ModelIdentity | None = None, create: bool = True
    ) -> SqliteStore:
        """The store in a folder.

        Args:
            directory: The folder.
            identity: The model to be used with it; None takes whichever filled it.
            create: Make folder and tables where there are none (needs `identity`).

        Raises:
            LibraryError: There is no library, it was filled by another model, or it cannot be read.
        """
        about: dict[str, str] = {}
        if directory.exists() and not directory.is_dir():
            raise LibraryError(
                f"{directory} is a file, and a library is a folder; name one with --library DIR"
            )
        try:
            is_new = not (directory / tables.DATABASE_FILE).is_file()
        except PermissionError as error:
            raise LibraryError(
                f"the library {directory} cannot be read ({error.strerror}); {ASK_FOR_THE_RIGHT}"
            ) from error
        if not is_new or (identity is not None and create):
            with explained(directory, is_new=is_new):
                about = _read_or_create(directory, identity if create else None)
        return cls(directory, known_identity(str(directory), about, tables.FORMAT, identity))

    @classmethod
    def temporary(cls, identity: ModelIdentity) -> SqliteStore:
        """A new store in a folder of its own, which goes when the store is closed, or the process ends."""
        directory = tempfile.mkdtemp(prefix="soundseek-")
        store = cls.open(Path(directory), identity=identity)
        store._location = MEMORY
        store._remove = weakref.finalize(store, shutil.rmtree, directory, ignore_errors=True)
        return store

    @property
    def compacts_by(self) -> str:
        return "the row files were written anew without the rows of removed sounds"

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the right to write; `commit`, `finish_run`, `relocate` and `compact` need it.

        Raises:
            LibraryError: Another process (or thread) is writing, and is named; or nobody can write here.
        """
        with write_lock(self.directory / tables.LOCK_FILE):
            self._writer = threading.get_ident()
            try:
                with explained(self.directory):
                    migrate(self._connection(), self.location)
                    self._generation(read_state(self._connection()).generation).remove_others()
                yield
            finally:
                self._writer = None

    def _apply(self, changes: Changes) -> None:
        """The rows are on the disk before SQL counts them."""
        connection = self._connection()
        with explained(self.directory):
            state = read_state(connection)
            new_rows, new_files = records_and_rows(changes.sounds, state)
            if changes.sounds:
                rows = self._generation(state.generation)
                rows.append(state.num_rows, state.num_frames, changes.sounds, new_rows)
            with transaction(connection):
                apply_changes(connection, changes, new_files)

    def _rename_model(self, identity: ModelIdentity) -> None:
        with explained(self.directory):
            tables.rename_model(self._connection(), identity)

    def finish_run(self, seen_at: str) -> None:
        connection = self._connection_for_writing()
        with explained(self.directory), transaction(connection):
            connection.execute("UPDATE state SET last_indexed = ?", (seen_at,))
        if self._remove is None and self.approximation_is_due():
            self.approximation.build_in_background()

    def relocate(self, old: str, new: str) -> int:
        connection = self._connection_for_writing()
        with explained(self.directory), transaction(connection):
            return tables.move_below(connection, old, new)

    def compact(self, *, dead_share: float = 0.3) -> bool:
        """Rewrite the row files without dead rows, when these are more than `dead_share` of all; True if it did."""
        connection = self._connection_for_writing()
        with explained(self.directory):
            state = read_state(connection)
            if state.dead_rows == 0 or state.dead_rows <= dead_share * state.num_rows:
                return False
            rows = connection.execute(
                "SELECT id, first_row, num_rows, first_frame, num_frames FROM files ORDER BY first_row"
            ).fetchall()
            files = np.array(rows, dtype=np.int64).reshape(-1, 5)
            old = self._generation(state.generation).map(state.num_rows, state.num_frames)
            rows_at, frames_at = self._generation(state.generation + 1).rewrite(files[:, 1:], old)
            with transaction(connection):
                switch_generation(connection, state, files, rows_at, frames_at)
        with self._mutex:
            self._cached = None
        self._generation(state.generation + 1).remove_others()
        return True

    def check(self) -> list[Damage]:
        connection = self._connection()
        with explained(self.directory):
            connection.execute("BEGIN")
            try:
                state = read_state(connection)
                found = list(find_damage(connection, self._generation(state.generation), state))
            finally:
                connection.execute("ROLLBACK")
        if not found:  # else its vectors cannot be relied on
            with self._reading() as (_, snapshot):
                found += self.approximation.find_damage(snapshot)
        return found

    def repair(self, damages: Sequence[Damage]) -> int:
        if any(Path(damage.path).name == MANIFEST for damage in damages):
            self.approximation.remove()
        num_dropped = super().repair(damages)
        with explained(self.directory):
            state = read_state(self._connection())
            lengthen(self._generation(state.generation), state)
        with self._mutex:
            self._cached = None
        self.compact(dead_share=0.0)
        return num_dropped

    def approximation_is_due(self, *, is_asked: bool = False) -> bool:
        """Whether the library is large enough for an index, and has none, or one that covers too little of it.

        Args:
            is_asked: Somebody wants it, though of few files it is of little use.
        """
        with self._reading() as (connection, snapshot):
            return self.approximation.is_due(connection, snapshot, is_asked=is_asked)

    def approximate(self, *, progress: Callable[[int, int], None] | None = None) -> None:
        """Make the approximate index of all segments that are there now; others may search and index meanwhile.

        Args:
            progress: Is told of the segments that are done, and their number.

        Raises:
            LibraryError: Another process is making it.
            StorageError: The disk is full.
        """
        with self._reading() as (connection, snapshot):
            next_file = read_state(connection).next_file
        with explained(self.directory):
            self.approximation.build(snapshot, next_file=next_file, progress=progress)

    def states(self, under: str) -> dict[str, FileState]:
        sql, values = tables.at_or_below(under)
        with explained(self.directory):
            select = tables.select_states(self._connection())
        rows = self._fetch(f"{select} WHERE {sql}", values)
        return dict(map(tables.state_of, rows))

    def read(self, path: str) -> EmbeddedSound | None:
        """All of one file, copied out of the maps."""
        with self._reading() as (connection, snapshot):
            found = file_and_place(connection, path)
            if found is None:
                return None
            file, rows, frames = found
            records = snapshot.maps.segments[rows]
            return EmbeddedSound.of_rows(
                file,
                times_s=np.stack([records["start_s"], records["end_s"]], axis=1),
                vectors=snapshot.maps.vectors[rows].copy(),
                rows=snapshot.maps.frames[frames].copy(),
                spans=np.stack([records["first_frame"], records["last_frame"]], axis=1) - frames.start,
            )

    def vectors(self, path: str) -> tuple[AnyFloatArray, AnyFloatArray] | None:
        """Times and vectors of one file, copied out of the maps."""
        with self._reading() as (connection, snapshot):
            found = file_and_place(connection, path)
            if found is None:
                return None
            records = snapshot.maps.segments[found[1]]
            times_s = np.stack([records["start_s"], records["end_s"]], axis=1)
            return times_s, snapshot.maps.vectors[found[1]].copy()

    def shortlist(self, question: Question, *, segments: int, files: int) -> list[Match]:
        with self._reading() as (connection, snapshot):
            vectors = snapshot.maps.vectors
            query, allowed = question.vector, allowed_rows(connection, snapshot, question)
            rows = self.approximation.shortlisted_rows(
                connection, snapshot, query, segments=segments, files=files, allowed=allowed
            )
            if rows is None:
                rows = shortlisted_rows(
                    vectors,
                    query,
                    segments=segments,
                    files=files,
                    runs=snapshot.runs,
                    allowed=allowed,
                    scan=snapshot.estimates,
                )
            scores = np.clip(inner_products(vectors, query, rows), -1.0, 1.0)
            order = np.lexsort((rows, -scores))
            rows, scores = rows[order], scores[order]
            ranking = rank_with_names(connection, snapshot, question, rows, scores, allowed)
            self._make_room_for(len(ranking.rows), snapshot)
            return _matches(connection, snapshot, ranking, question.names)

    def file_means(self) -> tuple[list[SoundFile], AnyFloatArray]:
        with self._reading() as (connection, snapshot):
            rows = connection.execute(
                f"{tables.select_files(connection, 'first_row', 'num_rows')} ORDER BY path"
            ).fetchall()
            means = np.empty((len(rows), self._identity.dim), np.float32)
            for number, row in enumerate(rows):
                first, num = row[-2:]
                means[number] = snapshot.maps.vectors[first : first + num].mean(axis=0, dtype=np.float32)
        return [tables.file_of(row) for row in rows], unit_rows(means)

    def spread_vectors(self, count: int) -> AnyFloatArray:
        with self._reading() as (_, snapshot):
            num_rows = len(snapshot.maps.vectors)
            live = np.arange(num_rows) if snapshot.live is None else np.flatnonzero(snapshot.live)
            return unit_rows(snapshot.maps.vectors[live[spread_evenly(len(live), count)]].astype(np.float32))

    def _frames_and_windows_of(self, paths: Sequence[str]) -> list[tuple[AnyFloatArray, AnyFloatArray]]:
        nothing = np.empty((0, self._identity.dim), np.float16)
        found = []
        with self._reading() as (connection, snapshot):
            for path in paths:
                place = file_and_place(connection, path)
                if place is None:
                    found.append((nothing, nothing))
                    continue
                file, rows, frames = place
                reached = int(snapshot.maps.segments["last_frame"][rows].max()) - frames.start
                found.append(frames_and_windows(snapshot.maps.frames[frames], reached, file.duration_s))
        return found

    def without_windows(self) -> set[str]:
        sql = "SELECT path, duration_s, first_row, num_rows, first_frame, num_frames FROM files"
        missing = set()
        with self._reading() as (connection, snapshot):
            last_frames = snapshot.maps.segments["last_frame"]
            for path, duration_s, first_row, num_rows, first_frame, num_frames in connection.execute(sql):
                reached = int(last_frames[first_row : first_row + num_rows].max()) - first_frame
                if not keeps_windows(num_frames, reached, duration_s):
                    missing.add(os.fsdecode(path))
        return missing

    def stats(self) -> StoreStats:
        num_bytes = 0
        for path in self.directory.iterdir():
            with suppress(
                FileNotFoundError
            ):  # a compaction beside us may remove it between listing and looking
                num_bytes += path.stat().st_size
        with self._reading() as (connection, snapshot):
            stats = read_stats(connection, num_bytes)
            return replace(stats, approximate=self.approximation.described(connection, snapshot))

    @contextmanager
    def reading_beside(self) -> Iterator[sqlite3.Connection]:
        with explained(self.directory):
            yield self._connection()

    @contextmanager
    def writing_beside(self) -> Iterator[sqlite3.Connection]:
        """A write transaction on these tables."""
        with explained(self.directory), transaction(self._connection()):
            yield self._connection()

    def close(self) -> None:
        """Close every thread's connection and let go of the maps."""
        self._connections.close()
        with self._mutex:
            self._cached = None
        self.approximation.close()
        if self._remove is not None:
            self._remove()

    def _connect(self) -> sqlite3.Connection:
        with explained(self.directory):
            return connect(self.directory)

    def _connection(self) -> sqlite3.Connection:
        return self._connections.get()

    def _connection_for_writing(self) -> sqlite3.Connection:
        self._need_lock()
        return self._connection()

    def _fetch(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with explained(self.directory):
            return self._connection().execute(sql, values).fetchall()

    def _files(
        self, sql: str, values: Sequence[object] = (), more: str = "", by: str = "path"
    ) -> list[SoundFile]:
        with explained(self.directory):
            select = tables.select_files(self._connection())
        rows = self._fetch(f"{select} WHERE {sql} ORDER BY {by} {more}", values)
        return [tables.file_of(row) for row in rows]

    def _where(self, condition: Condition) -> tuple[str, list[object]]:
        return to_sql(condition)

    @contextmanager
    def _reading(self) -> Iterator[tuple[sqlite3.Connection, Snapshot]]:
        """SQL and row files of one and the same version, however busy a writer is."""
        connection = self._connection()
        with explained(self.directory):
            snapshot = self._begin(connection)
            try:
                yield connection, snapshot
            finally:
                connection.execute("ROLLBACK")

    def _begin(self, connection: sqlite3.Connection) -> Snapshot:
        attempts = SNAPSHOT_ATTEMPTS
        while True:
            connection.execute("BEGIN")
            try:
                return self._snapshot(connection)
            except FileNotFoundError:
                # A compaction has removed this generation since BEGIN; the next BEGIN sees the new one.
                connection.execute("ROLLBACK")
                attempts -= 1
                if not attempts:
                    raise
            except BaseException:
                connection.execute("ROLLBACK")
                raise

    def _make_room_for(self, num_segments: int, snapshot: Snapshot) -> None:
        """Let go of the frames that earlier searches read: a server would come to hold the whole file."""
        with self._mutex:
            self._num_read += num_segments
            is_much = self._num_read > SEGMENTS_HELD
            if is_much:
                self._num_read = num_segments
        if is_much:
            let_go(snapshot.maps.frames)

    def _snapshot(self, connection: sqlite3.Connection) -> Snapshot:
        state = read_state(connection)
        with self._mutex:
            known = self._cached
        if known is not None and known.version == state.version:
            return known
        maps = self._generation(state.generation).map(state.num_rows, state.num_frames)
        dead = (
            connection.execute("SELECT first_row, num_rows FROM dead").fetchall() if state.dead_rows else []
        )
        is_same = known is not None and known.generation == state.generation
        codes = known.codes if known is not None and is_same else VectorCodes()
        live = rows_without(state.num_rows, dead)
        num_files, last = connection.execute("SELECT count(*), coalesce(max(id), 0) FROM files").fetchone()
        snapshot = Snapshot(state.version, state.generation, maps, live, codes, num_files, last)
        with self._mutex:
            self._cached = snapshot
        return snapshot

    def _generation(self, number: int) -> Generation:
        return Generation(self.directory, self._identity.dim, number)


def _matches(
    connection: sqlite3.Connection, snapshot: Snapshot, ranking: Ranking, names: NameQuery | None
) -> list[Match]:
    """Rows of a snapshot as matches, in their order."""
    records = snapshot.maps.segments[ranking.rows]
    files = files_by_id(connection, sorted(set(records["file_id"].tolist())))
    words: dict[int, tuple[str, ...]] = {}
    if names is not None and ranking.bonuses.any():
        words = found_words(connection, names, list(files))
    return [
        Match(
            file=files[int(record["file_id"])],
            start_s=float(record["start_s"]),
            end_s=float(record["end_s"]),
            score=float(score),
            frames=snapshot.maps.frames[int(record["first_frame"]) : int(record["last_frame"])],
            bonus=float(bonus),
            keywords=words.get(int(record["file_id"]), ()) if bonus else (),
        )
        for record, score, bonus in zip(records, ranking.scores, ranking.bonuses, strict=True)
    ]


def _read_or_create(directory: Path, identity: ModelIdentity | None) -> dict[str, str]:
    make_folder(directory)
    connection = connect(directory)
    try:
        if identity is not None and not read_about(connection):
            create_tables(connection, identity)
        return read_about(connection)
    finally:
        connection.close()
