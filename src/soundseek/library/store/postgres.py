"""A library in PostgreSQL with pgvector: for several machines that share one, or more vectors than a folder can scan.

Facts, vectors in 16 bits, frames and collections lie in the tables of a schema (`postgres_tables.py`); a change is one
transaction, and the right to write an advisory lock, which ends with its connection.

Up to `EXACT_SEGMENTS` that pass the filter every one is compared: recall is 1. Above, an HNSW index answers, whose scan
goes on until enough rows pass the filter; hits are scored again in 32 bits.

Threads: each gets a connection of its own. Do not carry a store over a fork.
"""

from __future__ import annotations

import os
import shlex
import socket
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from soundseek._install import install_command
from soundseek._typing import AnyFloatArray, AnyIntArray
from soundseek._vectors import unit_rows
from soundseek.errors import LibraryError, UsageError
from soundseek.library.filters import Condition
from soundseek.library.location import EngineLocation
from soundseek.library.paths import moved_below
from soundseek.library.store import postgres_tables as tables
from soundseek.library.store.base import (
    Changes,
    Damage,
    EmbeddedSound,
    Facets,
    Failure,
    FileOrder,
    FileState,
    Match,
    ModelIdentity,
    NoLibraryError,
    Per,
    SoundFile,
    StoreStats,
    check_identity,
    check_sound,
)
from soundseek.library.store.check import wrong_with
from soundseek.library.store.exact import LONG_FILE, LONG_FILE_ROWS, OF_A_LONG_FILE, SPARE_GROUPS
from soundseek.library.store.fused import (
    MANY_FILES,
    MOST_ADDED,
    NameQuery,
    name_query_words,
    order_with_bonuses,
)
from soundseek.library.store.rows import SEGMENT_DTYPE
from soundseek.library.store.side_tables import script_to_make, tables_beside
from soundseek.library.store.tables import at_or_below, read_failure, state_of
from soundseek.library.store.terms import terms_of_word

if TYPE_CHECKING:
    import sqlite3

    from psycopg import Connection

EXACT_SEGMENTS = 50_000
"""Up to so many segments that pass the filter, every one is compared."""
LEAST_PGVECTOR = (0, 8, 0)
"""The first version whose index scan goes on until enough rows pass a filter."""
_LISTED_SEGMENTS = (
    "unnest(%s::bigint[], %s::integer[]) AS w (file_id, number) "
    "JOIN segments s ON s.file_id = w.file_id AND s.number = w.number"
)
_INDEX_MEMORY = "1GB"
_EF_SEARCH = 400
_MAX_SCAN_TUPLES = 200_000
_CONNECT_TIMEOUT_S = 10
_ADVISORY_CLASS = 0x736E64  # "snd": the first half of the key of the lock, the second is the schema's number


class PostgresStore:
    """The vectors and facts of a library in a PostgreSQL database: one writer at a time, any number of readers.

    Make it with `PostgresStore.open`.
    """

    def __init__(self, place: EngineLocation, identity: ModelIdentity) -> None:
        self._place = place
        self._identity = identity
        self._local = threading.local()
        self._connections: list[Connection[Any]] = []
        self._mutex = threading.Lock()
        self._writer: int | None = None
        self._closed = False

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
        connection = _connect(place)
        try:
            with _explained(place):
                about = _read_about(connection, place)
                if about is None and create and identity is not None:
                    _create(connection, place, identity)
                    about = _read_about(connection, place)
        finally:
            connection.close()
        if about is None:
            raise NoLibraryError(
                f"{place.shown} holds no library yet; make one with: soundseek index FOLDER --library "
                f"{shlex.quote(place.shown)}"
            )
        if about["format"] != tables.FORMAT:
            raise LibraryError(
                f"{place.shown} has library format {about['format']}, this soundseek reads {tables.FORMAT}; update "
                "soundseek, or index the sounds into another library: ?library=NAME"
            )
        stored = ModelIdentity(about["name"], about["fingerprint"], int(about["dim"]), about["source"])
        if identity is not None:
            check_identity(place.shown, stored, identity)
        return cls(place, stored)

    @property
    def location(self) -> str:
        """Its URI without a password."""
        return self._place.shown

    @property
    def identity(self) -> ModelIdentity:
        """The model that filled it."""
        return self._identity

    @property
    def compacts_by(self) -> str:
        """What `compact` does here."""
        return (
            "PostgreSQL vacuumed its tables: new sounds take the room of removed ones, and what is free at a "
            "table's end went back to the disk (VACUUM FULL gives all of it back, and lets nobody search meanwhile)"
        )

    def use_model(self, identity: ModelIdentity) -> None:
        """Note that another model searches here from now on; see `Store`."""
        check_identity(self.location, self._identity, identity)
        with self.writing(), self._transaction() as connection:
            for key, value in (("name", identity.name), ("source", identity.source)):
                connection.execute("UPDATE about SET value = %s WHERE key = %s", (value, key))
        self._identity = replace(self._identity, name=identity.name, source=identity.source)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the right to write; see `Store`."""
        with _explained(self._place):
            connection = self._alive()
            key = _fetch_one(connection, "SELECT hashtext(current_schema()::text)")
            lock = (_ADVISORY_CLASS, key)
            # The server counts a connection's own locks, so the same thread asks here.
            is_ours = self._writer is None and _fetch_one(
                connection, "SELECT pg_try_advisory_lock(%s, %s)", lock
            )
            if not is_ours:
                holder = _holder(connection, lock)
                raise LibraryError(
                    f"{self.location} is being written by {holder}; wait until it is done, or stop it. Searching still "
                    "works"
                )
            self._writer = threading.get_ident()
        try:
            yield
        finally:
            self._writer = None
            with suppress(Exception):  # a lost connection has lost its lock as well
                connection.execute("SELECT pg_advisory_unlock(%s, %s)", lock)

    def commit(self, changes: Changes) -> None:
        """Apply all of `changes` durably, or none of it: one transaction."""
        self._need_lock()
        for sound in changes.sounds:
            check_sound(sound, self._identity.dim)
        with self._transaction() as connection:
            _apply(connection, changes)

    def finish_run(self, seen_at: str) -> None:
        """Note when a run ended; and make the index of the vectors once there are many."""
        self._need_lock()
        with self._transaction() as connection:
            connection.execute("UPDATE state SET last_indexed = %s", (seen_at,))
        self._index_if_large()

    def relocate(self, old: str, new: str) -> int:
        """Let everything at or below a path be at another one; see `Store`."""
        self._need_lock()
        with self._transaction() as connection:
            return _move_below(connection, old, new)

    def compact(self, *, dead_share: float = 0.3) -> bool:
        """Vacuum all tables where that is asked for whatever the share; else autovacuum does it in its time."""
        self._need_lock()
        self._index_if_large()
        if dead_share > 0:
            return False
        with _explained(self._place):
            self._connection().execute("VACUUM (ANALYZE) files, segments, frames, failures, beside")
        return True

    def check(self) -> list[Damage]:
        """Everything in the library that is not as it was written; every vector and frame is read."""
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
        paths = self._fetch("SELECT id, path, num_rows, num_frames FROM files ORDER BY path")
        for file_id, path, num_rows, num_frames in paths:
            if what := self._wrong_with(file_id, num_rows, num_frames):
                found.append(Damage(os.fsdecode(path), what, is_sound=True))
        return found

    def repair(self, damages: Sequence[Damage]) -> int:
        """Drop damaged sounds and their rows; see `Store`."""
        dropped = [damage.path for damage in damages if damage.is_sound]
        self.commit(Changes(removed=dropped))
        if len(dropped) < len(damages):
            with _explained(self._place):
                self._connection().execute(f"DROP INDEX IF EXISTS {tables.VECTOR_INDEX}")
        self._index_if_large()
        return len(dropped)

    def states(self, under: str) -> dict[str, FileState]:
        """Path -> state of the files at or below a path."""
        sql, values = _at_or_below(under)
        return dict(
            map(state_of, self._fetch(f"SELECT {tables.STATE_COLUMNS} FROM files WHERE {sql}", values))
        )

    def failures(self, under: str | None = None) -> list[Failure]:
        """Failures at or below a path, or all."""
        sql, values = _at_or_below(under) if under is not None else ("true", [])
        columns = tables.FAILURE_COLUMNS
        rows = self._fetch(f"SELECT {columns} FROM failures WHERE {sql} ORDER BY path", values)
        return [read_failure(row) for row in rows]

    def settings(self) -> dict[str, str]:
        """What the library remembers of its runs, by name."""
        return dict(self._fetch("SELECT key, value FROM about"))

    def roots(self) -> Mapping[str, int]:
        """Scanned folders -> the device number that each had."""
        return {
            os.fsdecode(path): int(device) for path, device in self._fetch("SELECT path, device FROM roots")
        }

    def sizes(self) -> set[int]:
        """Every file size."""
        return {size for (size,) in self._fetch("SELECT DISTINCT size_bytes FROM files")}

    def has_size(self, size_bytes: int) -> bool:
        """Whether a file has this size."""
        return bool(self._fetch("SELECT 1 FROM files WHERE size_bytes = %s LIMIT 1", [size_bytes]))

    def same_content(self, content_hash: bytes) -> list[SoundFile]:
        """Files with this content, ordered by path."""
        return self._files("content_hash = %s", [content_hash])

    def twin(self, content_hash: bytes, limit_s: float) -> SoundFile | None:
        """One file with this content, embedded whole or at least up to `limit_s`."""
        sql = "content_hash = %s AND (NOT truncated OR limit_s >= %s)"
        return next(iter(self._files(sql, [content_hash, limit_s], "LIMIT 1")), None)

    def copies(self, content_hash: bytes) -> list[str]:
        """Paths of the files with this content, in order."""
        rows = self._fetch("SELECT path FROM files WHERE content_hash = %s ORDER BY path", [content_hash])
        return [os.fsdecode(path) for (path,) in rows]

    def contents(self, paths: Iterable[str], limit_s: float) -> dict[str, bytes]:
        """Path -> hash of the content, of those files that are embedded whole or at least up to `limit_s`."""
        rows = self._fetch(
            "SELECT path, content_hash FROM files WHERE (NOT truncated OR limit_s >= %s) AND path = ANY(%s)",
            [limit_s, [os.fsencode(path) for path in paths]],
        )
        return {os.fsdecode(path): content_hash for path, content_hash in rows}

    def cut_files(self) -> list[SoundFile]:
        """Files of which only the beginning was embedded, ordered by path."""
        return self._files("truncated")

    def file(self, path: str) -> SoundFile | None:
        """What is known of one file."""
        return next(iter(self._files("path = %s", [os.fsencode(path)])), None)

    def files(
        self, where: Condition | None = None, *, order: FileOrder = "path", k: int = -1, offset: int = 0
    ) -> list[SoundFile]:
        """At most `k` files (all if negative) that fulfil a condition; see `Store`."""
        sql, values = tables.where_sql(where) if where is not None else ("true", [])
        by = {"path": "path", "modified": "mtime_ns DESC, path", "duration": "duration_s DESC, path"}[order]
        limits = [None if k < 0 else k, offset]
        return self._files(sql, [*values, *limits], "LIMIT %s OFFSET %s", by=by)

    def count(
        self, where: Condition | None = None, *, only: Collection[str] | None = None
    ) -> tuple[int, int]:
        """Files that fulfil a condition (of some paths, or of all), and their segments."""
        sql, values = _allowed(where, (), only)
        rows = self._fetch(
            f"SELECT count(*), coalesce(sum(num_rows), 0)::bigint FROM files WHERE {sql}", values
        )
        return rows[0][0], rows[0][1]

    def read(self, path: str) -> EmbeddedSound | None:
        """All of one file."""
        with self._reading() as connection:
            row = connection.execute(
                f"SELECT {tables.FILE_COLUMNS}, id FROM files WHERE path = %s", (os.fsencode(path),)
            ).fetchone()
            if row is None:
                return None
            times_s, spans, vectors = self._segments_of(connection, row[-1])
            frames = self._frames_of_file(connection, row[-1])
        return EmbeddedSound(tables.file_of_row(row), times_s, vectors, frames, spans)

    def vectors(self, path: str) -> tuple[AnyFloatArray, AnyFloatArray] | None:
        """Times and vectors of one file."""
        with self._reading() as connection:
            row = connection.execute("SELECT id FROM files WHERE path = %s", (os.fsencode(path),)).fetchone()
            if row is None:
                return None
            times_s, _, vectors = self._segments_of(connection, row[0])
        return times_s, vectors

    def search(
        self,
        query: AnyFloatArray,
        *,
        k: int,
        per: Per = "file",
        where: Condition | None = None,
        leave_out: Collection[str] = (),
        only: Collection[str] | None = None,
        names: NameQuery | None = None,
    ) -> list[Match]:
        """The best `k`, best first; see `Store`."""
        wanted = k + SPARE_GROUPS
        chosen = "of_file = 1 AND file_place <= %s" if per == "file" else "place <= %s"
        with self._reading() as connection:
            pool = self._pool(connection, query, wanted, per, where, leave_out, only)
            rows = pool.chosen(chosen, [wanted]) if k > 0 else []
            return self._matches(connection, pool, rows, names, k=k, per=per)

    def shortlist(
        self,
        query: AnyFloatArray,
        *,
        segments: int,
        files: int,
        where: Condition | None = None,
        leave_out: Collection[str] = (),
        only: Collection[str] | None = None,
        names: NameQuery | None = None,
    ) -> list[Match]:
        """The segments that are worth a closer look at their frames, best first by their means; see `Store`."""
        with self._reading() as connection:
            pool = self._pool(
                connection, query, max(segments, files), "file", where, leave_out, only, with_long=True
            )
            rows = pool.chosen(
                "place <= %s OR (of_file = 1 AND file_place <= %s) OR (num_rows >= %s AND of_file <= %s)",
                [segments, files, LONG_FILE, OF_A_LONG_FILE],
            )
            return self._matches(connection, pool, rows, names, k=None, per="segment")

    def spread_vectors(self, count: int) -> AnyFloatArray:
        """Vectors of at most `count` segments, evenly spread over the library; always the same."""
        with self._reading() as connection:
            files = np.array(
                connection.execute("SELECT id, num_rows FROM files ORDER BY id").fetchall(), np.int64
            ).reshape(-1, 2)
            ends = np.cumsum(files[:, 1])
            num_rows = int(ends[-1]) if len(ends) else 0
            places = np.unique(np.linspace(0, num_rows - 1, min(count, num_rows)).astype(np.int64))
            owners = np.searchsorted(ends, places, side="right")
            numbers = places - (ends - files[:, 1])[owners]
            rows = connection.execute(
                f"SELECT halfvec_send(vector) FROM {_LISTED_SEGMENTS} ORDER BY s.file_id, s.number",
                (files[owners, 0].tolist(), numbers.tolist()),
                binary=True,
            ).fetchall()
        vectors = tables.half_vectors([row[0] for row in rows], self._identity.dim)
        return unit_rows(vectors.astype(np.float32))

    def file_means(self) -> tuple[list[SoundFile], AnyFloatArray]:
        """Every file, and the mean of its segments' vectors at unit norm."""
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

    def frames_of(self, paths: Sequence[str]) -> list[AnyFloatArray]:
        """The frames of each file, `(frames, dim)` float16; none of one that is not here."""
        with self._reading() as connection:
            ids = dict(
                connection.execute(
                    "SELECT path, id FROM files WHERE path = ANY(%s)",
                    ([os.fsencode(path) for path in paths],),
                ).fetchall()
            )
            return [self._frames_of_file(connection, ids.get(os.fsencode(path), -1)) for path in paths]

    def facets(self) -> Facets:
        """Which values a filter can ask for."""
        formats = self._fetch("SELECT format FROM files GROUP BY format ORDER BY count(*) DESC, format")
        rates = self._fetch("SELECT DISTINCT sample_rate_hz FROM files ORDER BY 1")
        longest = self._fetch("SELECT coalesce(max(duration_s), 0.0) FROM files")
        return Facets(tuple(f for (f,) in formats), tuple(r for (r,) in rates), longest[0][0])

    def version(self) -> int:
        """Grows with every commit."""
        return int(self._fetch("SELECT version FROM state")[0][0])

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
            script = _fetch_one(connection, "SELECT script FROM beside FOR UPDATE")
            with tables_beside(script) as beside:
                yield beside
                connection.execute("UPDATE beside SET script = %s", (script_to_make(beside),))

    def close(self) -> None:
        """Close every thread's connection."""
        with self._mutex:
            self._closed = True
            for connection in self._connections:
                connection.close()
            self._connections.clear()
        self._local = threading.local()

    def _connection(self) -> Connection[Any]:
        connection: Connection[Any] | None = getattr(self._local, "connection", None)
        if connection is not None and connection.closed and self._writer != threading.get_ident():
            self._forget_connection(connection)
            connection = None
        if connection is None:
            if self._closed:
                raise LibraryError(f"the library {self.location} is closed; open it again with Library.open")
            connection = _connect(self._place)
            self._local.connection = connection
            with self._mutex:
                self._connections.append(connection)
        return connection

    def _alive(self) -> Connection[Any]:
        """This thread's connection; a new one where the server has closed it since (a restart, a firewall)."""
        import psycopg

        connection = self._connection()
        if self._writer == threading.get_ident():
            return connection
        try:
            connection.execute("SELECT 1")
        except psycopg.OperationalError:
            self._forget_connection(connection)
        return self._connection()

    def _forget_connection(self, connection: Connection[Any]) -> None:
        self._local.connection = None
        with self._mutex, suppress(ValueError):
            self._connections.remove(connection)
        with suppress(Exception):
            connection.close()

    def _need_lock(self) -> None:
        if self._writer != threading.get_ident():
            raise LibraryError(
                f"{self.location}: writing needs the lock; do it inside `with store.writing():`"
            )

    @contextmanager
    def _transaction(self) -> Iterator[Connection[Any]]:
        """All of what the block writes, or nothing; the version grows."""
        with _explained(self._place):
            connection = self._alive()
            with connection.transaction():
                yield connection
                connection.execute("UPDATE state SET version = version + 1")

    @contextmanager
    def _reading(self) -> Iterator[Connection[Any]]:
        """One and the same version for every statement."""
        with _explained(self._place):
            connection = self._alive()
            with connection.transaction():
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                yield connection

    def _fetch(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with _explained(self._place):
            return self._alive().execute(sql, values).fetchall()

    def _files(
        self, sql: str, values: Sequence[object] = (), more: str = "", by: str = "path"
    ) -> list[SoundFile]:
        rows = self._fetch(
            f"SELECT {tables.FILE_COLUMNS} FROM files WHERE {sql} ORDER BY {by} {more}", values
        )
        return [tables.file_of_row(row) for row in rows]

    def _index_if_large(self) -> None:
        """Make the HNSW index once more segments are there than are compared one by one."""
        with _explained(self._place):
            connection = self._connection()
            num = _fetch_one(connection, "SELECT coalesce(sum(num_rows), 0) FROM files")
            if num <= EXACT_SEGMENTS or _has_index(connection):
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

    def _segments_of(
        self, connection: Connection[Any], file_id: int
    ) -> tuple[AnyFloatArray, AnyIntArray, AnyFloatArray]:
        """Times, spans and vectors of a file's segments."""
        rows = connection.execute(
            "SELECT start_s, end_s, first_frame, last_frame, halfvec_send(vector) FROM segments WHERE file_id = %s "
            "ORDER BY number",
            (file_id,),
            binary=True,
        ).fetchall()
        times_s = np.array([row[:2] for row in rows], np.float64).reshape(-1, 2)
        spans = np.array([row[2:4] for row in rows], np.int64).reshape(-1, 2)
        return times_s, spans, tables.half_vectors([row[4] for row in rows], self._identity.dim)

    def _frames_of_file(self, connection: Connection[Any], file_id: int) -> AnyFloatArray:
        rows = connection.execute(
            "SELECT frames FROM frames WHERE file_id = %s ORDER BY number", (file_id,), binary=True
        ).fetchall()
        numbers = np.frombuffer(b"".join(row[0] for row in rows), dtype="<f2")
        return numbers.reshape(-1, self._identity.dim)

    def _wrong_with(self, file_id: int, num_rows: int, num_frames: int) -> str | None:
        """What is wrong with the rows of one sound; None if nothing."""
        import psycopg

        try:
            with self._alive().transaction():
                times_s, spans, vectors = self._segments_of(self._connection(), file_id)
                frames = self._frames_of_file(self._connection(), file_id)
        except psycopg.OperationalError:
            with _explained(self._place):
                raise
        except (psycopg.Error, ValueError) as error:
            return f"its rows cannot be read ({self._place.clean(error)})"
        if (len(vectors), len(frames)) != (num_rows, num_frames):
            return "its rows are missing"
        records = np.empty(num_rows, SEGMENT_DTYPE)
        records["file_id"] = file_id
        records["start_s"], records["end_s"] = times_s.T
        records["first_frame"], records["last_frame"] = spans.T
        return wrong_with(vectors, records, frames, file_id, 0)

    def _pool(
        self,
        connection: Connection[Any],
        query: AnyFloatArray,
        wanted: int,
        per: Per,
        where: Condition | None,
        leave_out: Collection[str],
        only: Collection[str] | None,
        *,
        with_long: bool = False,
    ) -> _Pool:
        """The segments that a search ranks: all that pass the filter, or the best by the index."""
        sql, values = _allowed(where, leave_out, only)
        counted = f"SELECT count(*), coalesce(sum(num_rows), 0)::bigint FROM files WHERE {sql}"
        num_files, num_rows = _fetch_row(connection, counted, values)
        text = "[" + ",".join(map(repr, query.astype(np.float32).tolist())) + "]"
        pool = _Pool(connection, query, text, sql, values)
        if num_rows <= EXACT_SEGMENTS or not _has_index(connection):
            return pool
        groups = num_files if per == "file" else num_rows
        count = 4 * wanted
        while True:
            pool.by_index(min(count, num_rows))
            if with_long:
                pool.and_long_files()
            if count >= num_rows or pool.num_groups(per) >= min(wanted, groups):
                return pool
            count *= 8
            if count > _MAX_SCAN_TUPLES:  # the index gives no more; few files own what is near
                return _Pool(connection, query, text, sql, values)

    def _matches(
        self,
        connection: Connection[Any],
        pool: _Pool,
        rows: list[tuple[int, int]],
        names: NameQuery | None,
        *,
        k: int | None,
        per: Per,
    ) -> list[Match]:
        """Rows of a pool as matches with scores in 32 bits, once names and tags have been asked as well; best first."""
        bonuses: dict[int, float] = {}
        listed = set(rows)
        if names is not None:
            bonus = _bonus(connection, names)
            if bonus is None and names.is_all:
                return []
            if bonus is not None:
                most = max(MOST_ADDED, k or 0) if names.is_all else MOST_ADDED
                bonuses, added = pool.named(bonus, {file_id for file_id, _ in rows}, most, names.is_all)
                rows = sorted(listed | added)
                if names.is_all:
                    rows = [row for row in rows if bonuses.get(row[0])]
        if not rows or k == 0:
            return []
        found = connection.execute(
            "SELECT s.file_id, s.number, start_s, end_s, first_frame, last_frame, halfvec_send(vector) "
            f"FROM {_LISTED_SEGMENTS} ORDER BY s.file_id, s.number",
            ([row[0] for row in rows], [row[1] for row in rows]),
            binary=True,
        ).fetchall()
        vectors = tables.half_vectors([row[6] for row in found], self._identity.dim).astype(np.float32)
        # Row by row, so that a score does not depend on which other rows are there; no cosine is above 1.
        scores = np.clip((vectors * pool.query.astype(np.float32)).sum(axis=1), -1.0, 1.0)
        owners = np.array([row[0] for row in found], np.int64)
        order, extra = order_with_bonuses(
            np.arange(len(found)),
            scores,
            owners,
            np.array([bonuses.get(row[0], 0.0) for row in found], np.float32),
            np.array([(row[0], row[1]) in listed for row in found], np.bool_),
            k=len(found) if k is None else k,
            per=per,
            is_all=names is not None and names.is_all,
        )
        best = [found[place] for place in order.tolist()]
        files = _files_by_id(connection, {row[0] for row in best})
        frames = self._frames_of_segments(connection, [(row[0], row[4], row[5]) for row in best])
        return [
            Match(
                file=files[row[0]][0],
                start_s=row[2],
                end_s=row[3],
                score=float(scores[place]),
                frames=own,
                bonus=float(bonus),
                keywords=_words_found(names, files[row[0]][1]) if bonus and names is not None else (),
            )
            for row, place, own, bonus in zip(best, order.tolist(), frames, extra, strict=True)
        ]

    def _frames_of_segments(
        self, connection: Connection[Any], segments: Sequence[tuple[int, int, int]]
    ) -> list[AnyFloatArray]:
        """`(frames, dim)` of each segment `(file, first frame, last frame)`: only the bytes that are its own."""
        width, size = 2 * self._identity.dim, tables.FRAMES_A_ROW
        pieces: list[list[bytes]] = [[] for _ in segments]
        found = connection.execute(
            "SELECT n, substring(f.frames FROM (greatest(a - f.number * %s::bigint, 0) * %s)::integer + 1 FOR "
            " ((least(b, (f.number + 1) * %s::bigint) - greatest(a, f.number * %s::bigint)) * %s)::integer) "
            "FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) WITH ORDINALITY AS w (file_id, a, b, n) "
            "JOIN frames f ON f.file_id = w.file_id AND f.number BETWEEN a / %s AND (b - 1) / %s ORDER BY n, f.number",
            (size, width, size, size, width, *map(list, zip(*segments, strict=True)), size, size),
            binary=True,
        )
        for number, piece in found:
            pieces[number - 1].append(piece)
        return [np.frombuffer(b"".join(each), dtype="<f2").reshape(-1, self._identity.dim) for each in pieces]


class _Pool:
    """The segments that a search ranks, as SQL.

    Args:
        connection: Inside the read transaction of the search.
        query: `(dim,)`.
        text: The same as pgvector reads it.
        sql: What a file has to fulfil.
        values: Of its `%s`.
    """

    def __init__(
        self, connection: Connection[Any], query: AnyFloatArray, text: str, sql: str, values: list[object]
    ) -> None:
        self._connection = connection
        self.query = query
        self._text = text
        self._allowed, self._allowed_values = sql, values
        # Materialised, so that no index takes part: every row is compared.
        self._sql = (
            "SELECT s.file_id, s.number, s.vector <#> %s::halfvec AS distance FROM segments s "
            f"JOIN files ON files.id = s.file_id WHERE {sql}"
        )
        self._values: list[object] = [text, *values]

    def by_index(self, count: int) -> None:
        """Take the best `count` segments by the HNSW index instead."""
        for name, value in (
            ("hnsw.iterative_scan", "strict_order"),
            ("hnsw.ef_search", str(_EF_SEARCH)),
            ("hnsw.max_scan_tuples", str(_MAX_SCAN_TUPLES)),
        ):
            self._connection.execute("SELECT set_config(%s, %s, true)", (name, value))
        self._sql = (
            "SELECT s.file_id, s.number, s.vector <#> %s::halfvec AS distance FROM segments s "
            f"JOIN files ON files.id = s.file_id WHERE {self._allowed} ORDER BY s.vector <#> %s::halfvec LIMIT %s"
        )
        self._values = [self._text, *self._allowed_values, self._text, count]

    def and_long_files(self) -> None:
        """Add every segment of long files, as many as have `LONG_FILE_ROWS` together: one of a mean of ten seconds may
        say so little of a short event that hundreds of short files come before it.
        """
        self._sql = (
            f"(({self._sql}) UNION (SELECT s.file_id, s.number, s.vector <#> %s::halfvec FROM segments s JOIN "
            "(SELECT id, sum(num_rows) OVER (ORDER BY id) AS so_far FROM files WHERE num_rows >= %s AND "
            f"({self._allowed})) AS long_files ON long_files.id = s.file_id WHERE so_far <= %s))"
        )
        self._values += [self._text, LONG_FILE, *self._allowed_values, LONG_FILE_ROWS]

    def num_groups(self, per: Per) -> int:
        """Files (or segments) in the pool."""
        counted = "count(DISTINCT file_id)" if per == "file" else "count(*)"
        return int(_fetch_one(self._connection, f"SELECT {counted} FROM ({self._sql}) AS pool", self._values))

    def chosen(self, sql: str, values: Sequence[object]) -> list[tuple[int, int]]:
        """`(file, number)` of the segments that fulfil a condition over their places and those of their files."""
        return self._connection.execute(
            f"WITH pool AS MATERIALIZED ({self._sql}), ranked AS (SELECT file_id, number, distance, "
            " row_number() OVER (ORDER BY distance, file_id, number) AS place, "
            " row_number() OVER (PARTITION BY file_id ORDER BY distance, number) AS of_file FROM pool), "
            "best AS (SELECT file_id, row_number() OVER (ORDER BY distance, file_id) AS file_place FROM ranked "
            " WHERE of_file = 1) "
            "SELECT file_id, number FROM ranked JOIN best USING (file_id) JOIN files ON files.id = file_id "
            f"WHERE {sql}",
            [*self._values, *values],
        ).fetchall()

    def named(
        self, bonus: tables.BonusSql, file_ids: set[int], most: int, is_all: bool
    ) -> tuple[dict[int, float], set[tuple[int, int]]]:
        """The bonuses of some files and of the `most` with the largest ones; and the best segments of these.

        Args:
            bonus: What names are asked for.
            file_ids: Files that are listed already.
            most: How many are added.
            is_all: Every segment of the added files, not the best one alone.
        """
        found = self._connection.execute(
            f"WITH named AS (SELECT id, {bonus.sql} AS bonus FROM files "
            f" WHERE terms && %s::text[] AND ({self._allowed})) "
            "(SELECT id, bonus, true FROM named WHERE bonus > 0 ORDER BY bonus DESC, id LIMIT %s) UNION ALL "
            "(SELECT id, bonus, false FROM named WHERE bonus > 0 AND id = ANY(%s))",
            [*bonus.values, bonus.terms, *self._allowed_values, most, list(file_ids)],
        ).fetchall()
        added = [file_id for file_id, _, is_added in found if is_added]
        first = "" if is_all else "DISTINCT ON (file_id)"
        rows = self._connection.execute(
            f"SELECT {first} file_id, number FROM segments WHERE file_id = ANY(%s) "
            "ORDER BY file_id, vector <#> %s::halfvec",
            (added, self._text),
        ).fetchall()
        return {file_id: float(value) for file_id, value, _ in found}, set(rows)


def _connect(place: EngineLocation) -> Connection[Any]:
    """A connection whose tables are those of the library, where there is one.

    Raises:
        UsageError: psycopg is not installed.
        LibraryError: The server cannot be reached, or refuses the user.
    """
    try:
        import psycopg
    except ImportError as error:
        raise UsageError(
            f"a library in PostgreSQL needs psycopg ({error}); install it with: {install_command('postgres')}"
        ) from error
    from psycopg.conninfo import conninfo_to_dict

    try:
        asked: dict[str, Any] = {**conninfo_to_dict(place.uri)}
    except psycopg.ProgrammingError as error:
        raise UsageError(
            f"--library {place.shown}: {place.clean(error)}; write postgresql://user@host:port/database?library=name"
        ) from None
    asked.setdefault("connect_timeout", _CONNECT_TIMEOUT_S)
    asked["application_name"] = f"soundseek {os.getpid()} on {socket.gethostname()}"[:63]
    with _explained(place):
        connection: Connection[Any] = psycopg.connect(**asked, autocommit=True)
        try:
            home = connection.execute(
                "SELECT nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'vector'"
            ).fetchone()
            path = [place.name, *([home[0]] if home else [])]
            connection.execute(
                "SELECT set_config('search_path', %s, false)", (", ".join(f'"{each}"' for each in path),)
            )
            # Rows of soundseek and nobody else: a filter of the server's own would lose hits without a word.
            connection.execute("SET row_security = off")
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def _explained(place: EngineLocation) -> Iterator[None]:
    """Say which library, and what to do, where PostgreSQL says only what; no message holds a password."""
    import psycopg
    from psycopg import errors

    try:
        yield
    except psycopg.Error as error:
        said = place.clean(error) or type(error).__name__
        advice = "look into the server's log"
        what = "cannot be used"
        if isinstance(error, errors.InsufficientPrivilege):
            advice = "let the database's owner give this user the right (GRANT), or use another user"
        elif isinstance(error, (errors.DiskFull, errors.OutOfMemory, errors.TooManyConnections)):
            advice = "make room on the server, or let its owner raise the limit, and run the same again"
        elif isinstance(error, errors.UndefinedTable | errors.UndefinedColumn | errors.UndefinedObject):
            advice = "it was removed or changed meanwhile: index the sounds again"
        elif isinstance(error, psycopg.OperationalError):
            what, advice = _unreachable(said)
        raise LibraryError(f"the library {place.shown} {what} ({said}); {advice}") from None


def _unreachable(said: str) -> tuple[str, str]:
    """What an error of a connection means, and what to do."""
    if any(
        sign in said for sign in ("password authentication failed", "no password supplied", "pg_hba.conf")
    ):
        return (
            "cannot be opened: the server refuses the user",
            "put the right password into ~/.pgpass or PGPASSWORD, and the right user before the @ of the URI",
        )
    if "role" in said and "does not exist" in said:
        return "cannot be opened: the server does not know the user", "name another before the @ of the URI"
    if "database" in said and "does not exist" in said:
        return "is in no database", "make it (createdb NAME), or name another behind the host of the URI"
    if any(
        sign in said
        for sign in (
            "Connection refused",
            "could not translate",
            "timeout",
            "No such file",
            "failed to resolve",
            "Name or",
        )
    ):
        return "cannot be reached", "is the server running, and are host and port of the URI right?"
    return (
        "has lost its connection",
        "what was committed is kept, and nothing of the rest: run the same command again",
    )


def _read_about(connection: Connection[Any], place: EngineLocation) -> dict[str, str] | None:
    """Format and model of a library; None where there is none.

    Raises:
        LibraryError: The schema holds tables of somebody else.
    """
    names = {
        name
        for (name,) in connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %s) "
            "AND relkind IN ('r', 'v', 'm', 'p', 'f')",
            (place.name,),
        )
    }
    if not names:
        return None
    about: dict[str, str] = {}
    if {"about", "state", "files", "segments", "frames"} <= names:
        from psycopg import errors, sql

        # By its whole name: of a schema that this user may not use, the server says so.
        select = sql.SQL("SELECT key, value FROM {}.about").format(sql.Identifier(place.name))
        with suppress(errors.UndefinedColumn):
            about = dict(connection.execute(select).fetchall())
    if not {"format", "name", "fingerprint", "dim", "source"} <= set(about):
        few = ", ".join(sorted(names)[:3])
        raise LibraryError(
            f"the schema {place.name} of {place.shown} holds tables that are not soundseek's ({few}); name another one "
            "behind the database: ?library=NAME"
        )
    return about


def _create(connection: Connection[Any], place: EngineLocation, identity: ModelIdentity) -> None:
    """Make an empty library of this model, unless somebody else makes it at this moment.

    Raises:
        LibraryError: The server has no pgvector, or one that is too old.
    """
    from psycopg import errors, sql

    have = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    if have is None:
        try:
            connection.execute("CREATE EXTENSION vector SCHEMA public")
        except (errors.UndefinedFile, errors.FeatureNotSupported) as error:
            raise LibraryError(
                f"{place.shown} has no pgvector ({place.clean(error).split(' DETAIL')[0]}); install it on the server "
                "(Debian: postgresql-NN-pgvector) and run the same again"
            ) from None
        except errors.InsufficientPrivilege:
            raise LibraryError(
                f"{place.shown} has no pgvector in this database, and this user may not add it; let an administrator "
                "run there: CREATE EXTENSION vector"
            ) from None
        except errors.UniqueViolation:  # somebody else made it at this moment
            pass
        have = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    _check_version(place, str(have[0]) if have else "0")
    home = _fetch_one(
        connection,
        "SELECT nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'vector'",
    )
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", (_ADVISORY_CLASS,))
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(place.name)))
        connection.execute("SELECT set_config('search_path', %s, false)", (f'"{place.name}", "{home}"',))
        if _read_about(connection, place) is not None:
            return
        connection.execute(tables.TABLES.format(dim=identity.dim))
        about = {
            "format": tables.FORMAT,
            "name": identity.name,
            "fingerprint": identity.fingerprint,
            "dim": str(identity.dim),
            "source": identity.source,
        }
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO about VALUES (%s, %s)", list(about.items()))


def _check_version(place: EngineLocation, version: str) -> None:
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    if numbers < LEAST_PGVECTOR:
        least = ".".join(map(str, LEAST_PGVECTOR))
        raise LibraryError(
            f"{place.shown} has pgvector {version}, and soundseek needs {least} or later; install it on the server, "
            "and run in this database: ALTER EXTENSION vector UPDATE"
        )


def _holder(connection: Connection[Any], lock: tuple[int, int]) -> str:
    """Who holds an advisory lock: "this process (4711)", "process 4711 on studio (10.0.0.3)"."""
    row = connection.execute(
        "SELECT application_name, host(client_addr) FROM pg_locks JOIN pg_stat_activity USING (pid) "
        "WHERE locktype = 'advisory' AND classid = %s AND objid = %s::bigint & 4294967295 AND granted "
        # Libraries of one name in several databases of a server have one key.
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        lock,
    ).fetchone()
    if row is None:
        return "another process"
    name, address = row
    number, _, host = name.removeprefix("soundseek ").partition(" on ")
    if number == str(os.getpid()) and host and socket.gethostname().startswith(host):
        return f"this process ({number})"
    return f"process {number} on {host}" + (f" ({address})" if address else "")


def _fetch_row(connection: Connection[Any], sql: str, values: Sequence[object] = ()) -> tuple[Any, ...]:
    """The first row; nothing of a statement that has none."""
    return connection.execute(sql, values).fetchone() or ()


def _fetch_one(connection: Connection[Any], sql: str, values: Sequence[object] = ()) -> Any:
    """The first value of the first row; None where there is none."""
    return next(iter(_fetch_row(connection, sql, values)), None)


def _has_index(connection: Connection[Any]) -> bool:
    return bool(
        _fetch_one(
            connection,
            "SELECT indisvalid FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE relname = %s "
            "AND relnamespace = current_schema()::regnamespace",
            (tables.VECTOR_INDEX,),
        )
    )


def _at_or_below(path: str) -> tuple[str, list[object]]:
    sql, values = at_or_below(path)
    return sql.replace("?", "%s"), values


def _allowed(
    where: Condition | None, leave_out: Collection[str], only: Collection[str] | None
) -> tuple[str, list[object]]:
    """What a file has to fulfil to answer, in SQL, and the values."""
    tests, values = [], list[object]()
    if where is not None:
        sql, values = tables.where_sql(where)
        tests.append(f"({sql})")
    if only is not None:
        tests.append("path = ANY(%s::bytea[])")
        values.append([os.fsencode(path) for path in only])
    if leave_out:
        tests.append("path <> ALL(%s::bytea[])")
        values.append([os.fsencode(path) for path in leave_out])
    return " AND ".join(tests) or "true", values


def _files_by_id(connection: Connection[Any], ids: set[int]) -> dict[int, tuple[SoundFile, frozenset[str]]]:
    """Number -> file and the terms of its name, folder and tags."""
    rows = connection.execute(
        f"SELECT {tables.FILE_COLUMNS}, id, terms FROM files WHERE id = ANY(%s)", (list(ids),)
    ).fetchall()
    return {row[-2]: (tables.file_of_row(row), frozenset(row[-1])) for row in rows}


def _bonus(connection: Connection[Any], names: NameQuery) -> tables.BonusSql | None:
    words = tables.words_of_names(names)
    counts = ["(SELECT count(*) FROM files)"] + [
        "(SELECT count(*) FROM files WHERE terms @> %s::text[])"
    ] * len(words)
    sql = f"SELECT {', '.join(counts)}"
    num_files, *num_with = _fetch_row(connection, sql, [list(terms_of_word(word)) for word in words])
    return tables.bonus_sql(
        names, num_files, dict(zip(words, num_with, strict=True)), is_large=num_files > MANY_FILES
    )


def _words_found(names: NameQuery, terms: frozenset[str]) -> tuple[str, ...]:
    """Words of the query that are among the terms of a file, in the order of the query."""
    words = dict.fromkeys(word for text in names.texts for word in name_query_words(text))
    return tuple(word for word in words if terms.issuperset(terms_of_word(word)))


def _apply(connection: Connection[Any], changes: Changes) -> None:
    """Carry out a change; in the order of `tables.apply_changes`."""
    encode = os.fsencode
    replaced = [*changes.removed, *(failure.path for failure in changes.failures)]
    replaced += [move.path for move in changes.moves]
    replaced += [sound.file.path for sound in changes.sounds]
    resolved = [*changes.resolved, *(failure.path for failure in changes.unread), *replaced]
    connection.execute("DELETE FROM failures WHERE path = ANY(%s)", ([encode(path) for path in resolved],))
    connection.execute("DELETE FROM files WHERE path = ANY(%s)", ([encode(path) for path in replaced],))
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE files SET path = %s, mtime_ns = %s WHERE path = %s",
            [(encode(move.path), move.mtime_ns, encode(move.old_path)) for move in changes.moves],
        )
        _rename(connection, {move.path: move.path for move in changes.moves})
        cursor.executemany(
            "UPDATE files SET mtime_ns = %s WHERE path = %s",
            [(mtime_ns, encode(path)) for path, mtime_ns in changes.touches.items()],
        )
        _insert_sounds(connection, changes.sounds)
        described = list(changes.descriptions.items())
        for (path, description), names in zip(described, tables.named(described), strict=True):
            cursor.execute(
                tables.DESCRIBE_FILE, (*tables.description_values(description), *names[3:], encode(path))
            )
        cursor.executemany(
            tables.INSERT_FAILURE,
            [
                (
                    encode(f.path),
                    f.reason.replace("\0", "\ufffd"),  # the one letter that PostgreSQL has not
                    f.seen_at,
                    f.size_bytes,
                    f.mtime_ns,
                    f.decoders,
                    f.content_hash,
                )
                for f in (*changes.failures, *changes.unread)
            ],
        )
        cursor.executemany(
            "UPDATE files SET volume = %s WHERE path = %s",
            [(volume, encode(path)) for path, volume in changes.volumes.items()],
        )
        cursor.executemany(
            "DELETE FROM roots WHERE path = %s", [(encode(path),) for path in changes.forgotten_roots]
        )
        for key, value in changes.settings.items():
            cursor.execute("DELETE FROM about WHERE key = %s", (key,))
            if value is not None:
                cursor.execute("INSERT INTO about VALUES (%s, %s)", (key, value))
        cursor.executemany(
            "INSERT INTO roots VALUES (%s, %s) ON CONFLICT (path) DO UPDATE SET device = excluded.device",
            [(encode(path), str(device)) for path, device in changes.roots.items()],
        )


def _insert_sounds(connection: Connection[Any], sounds: Sequence[EmbeddedSound]) -> None:
    if not sounds:
        return
    ids = [
        file_id
        for (file_id,) in connection.execute(
            "SELECT nextval(pg_get_serial_sequence('files', 'id')) FROM generate_series(1, %s)",
            (len(sounds),),
        )
    ]
    names = tables.named([(sound.file.path, sound.file.description) for sound in sounds])
    with connection.cursor() as cursor:
        cursor.executemany(
            tables.INSERT_FILE,
            [
                (file_id, len(sound.vectors), len(sound.frames), *tables.row_of_file(sound.file), *own)
                for file_id, sound, own in zip(ids, sounds, names, strict=True)
            ],
        )
        with cursor.copy(
            "COPY segments (file_id, number, start_s, end_s, first_frame, last_frame, vector) "
            "FROM STDIN (FORMAT BINARY)"
        ) as copy:
            # The bytes of a vector are as its type receives them.
            copy.set_types(["int8", "int4", "float8", "float8", "int8", "int8", "bytea"])
            for file_id, sound in zip(ids, sounds, strict=True):
                rows = tables.half_vector_rows(np.asarray(sound.vectors))
                times_s, spans = sound.times_s.tolist(), sound.spans.tolist()
                for number, row in enumerate(rows):
                    copy.write_row((file_id, number, *map(float, times_s[number]), *spans[number], row))
        with cursor.copy("COPY frames (file_id, number, frames) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int8", "int4", "bytea"])
            size = tables.FRAMES_A_ROW
            for file_id, sound in zip(ids, sounds, strict=True):
                frames = np.ascontiguousarray(sound.frames, dtype="<f2")
                for number, first in enumerate(range(0, len(frames), size)):
                    copy.write_row((file_id, number, frames[first : first + size].tobytes()))


def _rename(connection: Connection[Any], moved: Mapping[str, str]) -> None:
    """Give files their new path, its name and the words of both.

    Args:
        connection: Inside a transaction.
        moved: The path under which each file stands -> the one that it gets.
    """
    if not moved:
        return
    encoded = [os.fsencode(path) for path in moved]
    about = {
        os.fsdecode(row[0]): tables.file_of_row(row).description
        for row in connection.execute(
            f"SELECT {tables.FILE_COLUMNS} FROM files WHERE path = ANY(%s)", (encoded,)
        )
    }
    there = [(path, new) for path, new in moved.items() if path in about]
    names = tables.named([(new, about[path]) for path, new in there])
    with connection.cursor() as cursor:
        cursor.executemany(
            tables.RENAME_FILE,
            [
                (os.fsencode(new), *own, os.fsencode(path))
                for (path, new), own in zip(there, names, strict=True)
            ],
        )


def _move_below(connection: Connection[Any], old: str, new: str) -> int:
    """Give everything at or below a path another one; what was known of the new places goes. How many files moved."""
    sql, values = _at_or_below(old)

    def renamed(path: bytes) -> bytes:
        return os.fsencode(moved_below(os.fsdecode(path), old, new))

    moved = [path for (path,) in connection.execute(f"SELECT path FROM files WHERE {sql}", values)]
    staying = {renamed(path) for path in moved}.difference(moved)
    connection.execute("DELETE FROM failures WHERE path = ANY(%s)", (list(staying),))
    connection.execute("DELETE FROM files WHERE path = ANY(%s)", (list(staying),))
    # In two steps, since a path may be another one's new place: no path on a disk holds a zero byte.
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE files SET path = %s WHERE path = %s", [(b"\0" + renamed(path), path) for path in moved]
        )
    _rename(connection, {os.fsdecode(b"\0" + renamed(path)): os.fsdecode(renamed(path)) for path in moved})
    for table, more in (
        ("failures", "reason, seen_at, size_bytes, mtime_ns, decoders, content_hash"),
        ("roots", "device"),
    ):
        rows = connection.execute(
            f"DELETE FROM {table} WHERE {sql} RETURNING path, {more}", values
        ).fetchall()
        marks = ", ".join(["%s"] * len(rows[0])) if rows else ""
        with connection.cursor() as cursor:
            cursor.executemany(
                "DELETE FROM " + table + " WHERE path = %s", [(renamed(row[0]),) for row in rows]
            )
            cursor.executemany(
                f"INSERT INTO {table} (path, {more}) VALUES ({marks})",
                [(renamed(row[0]), *row[1:]) for row in rows],
            )
    return len(moved)
