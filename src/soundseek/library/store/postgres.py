"""A library in PostgreSQL with pgvector: for several machines that share one, or more vectors than a folder can scan.

Facts, vectors in 16 bits, frames and collections lie in the tables of a schema (`postgres_tables.py`); a change is one
transaction, and the right to write an advisory lock, which ends with its connection.

Up to `EXACT_SEGMENTS` that pass the filter every one is compared: recall is 1. Above, an HNSW index answers, whose scan
goes on until enough rows pass the filter; hits are scored again in 32 bits.

Threads: each gets a connection of its own. Do not carry a store over a fork.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from soundseek._typing import AnyFloatArray
from soundseek._vectors import unit_rows
from soundseek.library.filters import Condition
from soundseek.library.location import EngineLocation
from soundseek.library.store import postgres_search
from soundseek.library.store import postgres_tables as tables
from soundseek.library.store.base import (
    Changes,
    Damage,
    EmbeddedSound,
    FileState,
    Match,
    ModelIdentity,
    Question,
    SoundFile,
    StoreStats,
    being_written,
    frames_and_windows,
    keeps_windows,
    known_identity,
)
from soundseek.library.store.exact import LONG_FILE, OF_A_LONG_FILE
from soundseek.library.store.postgres_changes import move_tree, write_changes
from soundseek.library.store.postgres_connection import (
    ADVISORY_CLASS,
    connect_to_postgres,
    create_library,
    explained_by_postgres,
    fetch_one,
    has_vector_index,
    holder_of_lock,
    read_library,
)
from soundseek.library.store.postgres_search import listed_segments, matches_in, pool_of, segments_of_file
from soundseek.library.store.rows import spread_evenly
from soundseek.library.store.segment_rows import arrays_of, wrong_with_rows
from soundseek.library.store.side_tables import script_to_make, tables_beside
from soundseek.library.store.sql_facts import SqlFacts
from soundseek.library.store.tables import at_or_below, state_of
from soundseek.library.store.thread_connections import ThreadConnections

if TYPE_CHECKING:
    import sqlite3

    from psycopg import Connection

_REACHED = (  # and the frame up to which its segments reach: what lies behind it are windows
    "SELECT path, files.id, duration_s, num_frames, max(last_frame) FROM files "
    "JOIN segments ON segments.file_id = files.id"
)
_INDEX_MEMORY = "1GB"


class PostgresStore(SqlFacts):
    """The vectors and facts of a library in a PostgreSQL database: one writer at a time, any number of readers.

    Make it with `PostgresStore.open`.
    """

    def __init__(self, place: EngineLocation, identity: ModelIdentity) -> None:
        super().__init__(place.shown, identity)
        self._place = place
        self._connections = ThreadConnections(place.shown, lambda: connect_to_postgres(place))

    @classmethod
    def open(
        cls, location: str, *, identity: ModelIdentity | None = None, create: bool = True
    ) -> PostgresStore:
        """The library in a database.

        Args:
            location: `postgresql://user@host:port/database?library=name`, the name being "soundseek" if left out.
            identity: The model to be used with it; None takes whichever filled it.
            create: Make schema and tables where there are none (needs `identity`).

        Raises:
            UsageError: psycopg is not installed, or the URI cannot be understood.
            LibraryError: The server cannot be reached or refuses the user; it has no pgvector, or an old one; there is
                no library, somebody else's tables are in its place, or another model filled it.
        """
        place = EngineLocation.parse(location)
        connection = connect_to_postgres(place)
        try:
            with explained_by_postgres(place):
                about = read_library(connection, place)
                if about is None and create and identity is not None:
                    create_library(connection, place, identity)
                    about = read_library(connection, place)
        finally:
            connection.close()
        return cls(place, known_identity(place.shown, about, tables.FORMAT, identity))

    @property
    def compacts_by(self) -> str:
        return (
            "PostgreSQL vacuumed its tables: new sounds take the room of removed ones, and what is free at a "
            "table's end went back to the disk (VACUUM FULL gives all of it back, and lets nobody search meanwhile)"
        )

    @contextmanager
    def writing(self) -> Iterator[None]:
        with explained_by_postgres(self._place):
            connection = self._alive()
            key = fetch_one(connection, "SELECT hashtext(current_schema()::text)")
            lock = (ADVISORY_CLASS, key)
            # The server counts a connection's own locks, so the same thread asks here.
            is_ours = self._writer is None and fetch_one(
                connection, "SELECT pg_try_advisory_lock(%s, %s)", lock
            )
            if not is_ours:
                holder = holder_of_lock(connection, lock)
                raise being_written(self.location, holder)
            self._writer = threading.get_ident()
        try:
            yield
        finally:
            self._writer = None
            with suppress(Exception):  # a lost connection has lost its lock as well
                connection.execute("SELECT pg_advisory_unlock(%s, %s)", lock)

    def finish_run(self, seen_at: str) -> None:
        """Note when a run ended; and make the index of the vectors once there are many."""
        self._need_lock()
        with self._transaction() as connection:
            connection.execute("UPDATE state SET last_indexed = %s", (seen_at,))
        self._index_if_large()

    def relocate(self, old: str, new: str) -> int:
        self._need_lock()
        with self._transaction() as connection:
            return move_tree(connection, old, new)

    def compact(self, *, dead_share: float = 0.3) -> bool:
        """Vacuum all tables where that is asked for whatever the share; else autovacuum does it in its time."""
        self._need_lock()
        self._index_if_large()
        if dead_share > 0:
            return False
        with explained_by_postgres(self._place):
            self._connection().execute("VACUUM (ANALYZE) files, segments, frames, failures, beside")
        return True

    def check(self) -> list[Damage]:
        found = [
            Damage(
                f"{self.location}, index {name}",
                "is not valid; soundseek library compact makes it anew",
                is_sound=False,
            )
            for (name,) in self._fetch(
                "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE NOT i.indisvalid "
                "AND c.relnamespace = current_schema()::regnamespace"
            )
        ]
        columns = f"{tables.FILE_COLUMNS}, id, num_rows, num_frames"
        for row in self._fetch(f"SELECT {columns} FROM files ORDER BY path"):
            file = tables.file_of_row(row)
            if what := self._wrong_with(file, *row[-3:]):
                found.append(Damage(file.path, what, is_sound=True))
        return found

    def repair(self, damages: Sequence[Damage]) -> int:
        num_dropped = super().repair(damages)
        if num_dropped < len(damages):
            with explained_by_postgres(self._place):
                self._connection().execute(f"DROP INDEX IF EXISTS {tables.VECTOR_INDEX}")
        self._index_if_large()
        return num_dropped

    def states(self, under: str) -> dict[str, FileState]:
        sql, values = at_or_below(under)
        return dict(
            map(state_of, self._fetch(f"SELECT {tables.STATE_COLUMNS} FROM files WHERE {sql}", values))
        )

    def read(self, path: str) -> EmbeddedSound | None:
        with self._reading() as connection:
            row = connection.execute(
                f"SELECT {tables.FILE_COLUMNS}, id FROM files WHERE path = %s", (os.fsencode(path),)
            ).fetchone()
            if row is None:
                return None
            return self._sound_of(connection, tables.file_of_row(row), row[-1])

    def vectors(self, path: str) -> tuple[AnyFloatArray, AnyFloatArray] | None:
        """Times and vectors of one file."""
        with self._reading() as connection:
            row = connection.execute("SELECT id FROM files WHERE path = %s", (os.fsencode(path),)).fetchone()
            if row is None:
                return None
            found = segments_of_file(connection, row[0], self._identity.dim)
        times_s, _, vectors = arrays_of(found, self._identity.dim)
        return times_s, vectors

    def shortlist(self, question: Question, *, segments: int, files: int) -> list[Match]:
        with self._reading() as connection:
            pool = pool_of(connection, question, max(segments, files))
            rows = pool.chosen(
                "place <= %s OR (of_file = 1 AND file_place <= %s) OR (num_rows >= %s AND of_file <= %s)",
                [segments, files, LONG_FILE, OF_A_LONG_FILE],
            )
            return matches_in(connection, pool, rows, question.names)

    def spread_vectors(self, count: int) -> AnyFloatArray:
        with self._reading() as connection:
            files = np.array(
                connection.execute("SELECT id, num_rows FROM files ORDER BY id").fetchall(), np.int64
            ).reshape(-1, 2)
            ends = np.cumsum(files[:, 1])
            places = spread_evenly(int(ends[-1]) if len(ends) else 0, count)
            owners = np.searchsorted(ends, places, side="right")
            numbers = places - (ends - files[:, 1])[owners]
            wanted = list(zip(files[owners, 0].tolist(), numbers.tolist(), strict=True))
            found = listed_segments(connection, wanted, self._identity.dim)
        return unit_rows(arrays_of(found, self._identity.dim)[2].astype(np.float32))

    def file_means(self) -> tuple[list[SoundFile], AnyFloatArray]:
        with self._reading() as connection:
            rows = connection.execute(f"SELECT {tables.FILE_COLUMNS}, id FROM files ORDER BY path").fetchall()
            sums = {
                file_id: np.array(numbers, np.float32)
                for file_id, numbers in connection.execute(
                    "SELECT file_id, avg(vector::vector)::real[] FROM segments GROUP BY file_id"
                )
            }
        means = np.array([sums[row[-1]] for row in rows], np.float32).reshape(len(rows), self._identity.dim)
        return [tables.file_of_row(row) for row in rows], unit_rows(means)

    def _frames_and_windows_of(self, paths: Sequence[str]) -> list[tuple[AnyFloatArray, AnyFloatArray]]:
        with self._reading() as connection:
            found = {
                path: place
                for path, *place in connection.execute(
                    f"{_REACHED} WHERE path = ANY(%s) GROUP BY files.id",
                    ([os.fsencode(path) for path in paths],),
                )
            }
            nothing = [-1, 0.0, 0, 0]
            return [
                frames_and_windows(self._frames_of_file(connection, file_id), reached, duration_s)
                for file_id, duration_s, _, reached in (
                    found.get(os.fsencode(path), nothing) for path in paths
                )
            ]

    def without_windows(self) -> set[str]:
        return {
            os.fsdecode(path)
            for path, _, duration_s, num_frames, reached in self._fetch(f"{_REACHED} GROUP BY files.id")
            if not keeps_windows(num_frames, reached, duration_s)
        }

    def stats(self) -> StoreStats:
        """Totals; of the bytes, those of all tables and indexes."""
        row = self._fetch(
            "SELECT count(*), coalesce(sum(num_rows), 0)::bigint, coalesce(sum(duration_s), 0.0), "
            "(SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class WHERE relkind = 'r' "
            " AND relnamespace = current_schema()::regnamespace), "
            "(SELECT count(*) FROM failures), count(*) FILTER (WHERE truncated), "
            "count(*) FILTER (WHERE loudness_dbfs IS NULL), "
            "(SELECT last_indexed FROM state) FROM files"
        )[0]
        return StoreStats(*row)

    @contextmanager
    def reading_beside(self) -> Iterator[sqlite3.Connection]:
        """A copy of the tables of `collections.py` and `taught.py`, in memory."""
        with tables_beside(self._fetch("SELECT script FROM beside")[0][0]) as connection:
            yield connection

    @contextmanager
    def writing_beside(self) -> Iterator[sqlite3.Connection]:
        """A transaction on these tables: the copy is written back when the block ends well."""
        with self._transaction() as connection:
            script = fetch_one(connection, "SELECT script FROM beside FOR UPDATE")
            with tables_beside(script) as beside:
                yield beside
                connection.execute("UPDATE beside SET script = %s", (script_to_make(beside),))

    def close(self) -> None:
        """Close every thread's connection."""
        self._connections.close()

    def _connection(self) -> Connection[Any]:
        connection = self._connections.known()
        if connection is not None and connection.closed and self._writer != threading.get_ident():
            self._connections.forget()
        return self._connections.get()

    def _alive(self) -> Connection[Any]:
        """This thread's connection; a new one where the server has closed it since (a restart, a firewall)."""
        import psycopg

        connection = self._connection()
        if self._writer == threading.get_ident():
            return connection
        try:
            connection.execute("SELECT 1")
        except psycopg.OperationalError:
            self._connections.forget()
        return self._connection()

    @contextmanager
    def _transaction(self) -> Iterator[Connection[Any]]:
        """All of what the block writes, or nothing; the version grows."""
        with explained_by_postgres(self._place):
            connection = self._alive()
            with connection.transaction():
                yield connection
                connection.execute("UPDATE state SET version = version + 1")

    @contextmanager
    def _reading(self) -> Iterator[Connection[Any]]:
        """One and the same version for every statement."""
        with explained_by_postgres(self._place):
            connection = self._alive()
            with connection.transaction():
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                yield connection

    def _fetch(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with explained_by_postgres(self._place):
            return self._alive().execute(sql.replace("?", "%s"), values).fetchall()

    def _where(self, condition: Condition) -> tuple[str, list[object]]:
        sql, values = tables.where_sql(condition)
        return sql.replace("%s", "?"), values

    def _apply(self, changes: Changes) -> None:
        with self._transaction() as connection:
            write_changes(connection, changes)

    def _rename_model(self, identity: ModelIdentity) -> None:
        with self._transaction() as connection:
            for key, value in (("name", identity.name), ("source", identity.source)):
                connection.execute("UPDATE about SET value = %s WHERE key = %s", (value, key))

    def _files(
        self, sql: str, values: Sequence[object] = (), more: str = "", by: str = "path"
    ) -> list[SoundFile]:
        rows = self._fetch(
            f"SELECT {tables.FILE_COLUMNS} FROM files WHERE {sql} ORDER BY {by} {more}", values
        )
        return [tables.file_of_row(row) for row in rows]

    def _index_if_large(self) -> None:
        """Make the HNSW index once more segments are there than are compared one by one."""
        with explained_by_postgres(self._place):
            connection = self._connection()
            num = fetch_one(connection, "SELECT coalesce(sum(num_rows), 0) FROM files")
            if num <= postgres_search.EXACT_SEGMENTS or has_vector_index(connection):
                return
            connection.execute(f"DROP INDEX IF EXISTS {tables.VECTOR_INDEX}")
            # A graph that does not fit is built many times slower; the server's default is 64 MB.
            connection.execute(f"SET maintenance_work_mem = '{_INDEX_MEMORY}'")
            # Not CONCURRENTLY: the lock of this writer keeps others out, and searches go on in both cases.
            connection.execute(
                f"CREATE INDEX {tables.VECTOR_INDEX} ON segments USING hnsw (vector halfvec_ip_ops)"
            )
            connection.execute("RESET maintenance_work_mem")
            connection.execute("ANALYZE files, segments")

    def _sound_of(self, connection: Connection[Any], file: SoundFile, file_id: int) -> EmbeddedSound:
        segments = segments_of_file(connection, file_id, self._identity.dim)
        times_s, spans, vectors = arrays_of(segments, self._identity.dim)
        return EmbeddedSound.of_rows(file, times_s, vectors, self._frames_of_file(connection, file_id), spans)

    def _frames_of_file(self, connection: Connection[Any], file_id: int) -> AnyFloatArray:
        rows = connection.execute(
            "SELECT frames FROM frames WHERE file_id = %s ORDER BY number", (file_id,), binary=True
        ).fetchall()
        numbers = np.frombuffer(b"".join(row[0] for row in rows), dtype="<f2")
        return numbers.reshape(-1, self._identity.dim)

    def _wrong_with(self, file: SoundFile, file_id: int, num_rows: int, num_frames: int) -> str | None:
        """What is wrong with the rows of one sound; None if nothing."""
        import psycopg

        try:
            with self._alive().transaction():
                sound = self._sound_of(self._connection(), file, file_id)
        except psycopg.OperationalError:
            with explained_by_postgres(self._place):
                raise
        except (psycopg.Error, ValueError) as error:
            return f"its rows cannot be read ({self._place.clean(error)})"
        return wrong_with_rows(sound, num_rows, num_frames)
