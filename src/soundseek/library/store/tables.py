"""The tables of `library.sqlite`: how a file lies in them, how new rows are laid out, how a change is carried out.

Every value travels as a parameter; only column lists and placeholders are pasted into SQL.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from soundseek._typing import BoolArray, IntArray
from soundseek.audio.files import TAGS_REVISION
from soundseek.errors import LibraryError
from soundseek.library.filters import file_name, to_sql
from soundseek.library.keywords import folder_words, name_token, name_words, tag_words
from soundseek.library.paths import moved_below
from soundseek.library.store.base import (
    Changes,
    Description,
    EmbeddedSound,
    Failure,
    FileState,
    ModelIdentity,
    Question,
    SoundFile,
    StoreStats,
    about_library,
)
from soundseek.library.store.rows import SEGMENT_DTYPE, Rows, Snapshot

if TYPE_CHECKING:
    from sqlite3 import Connection


DATABASE_FILE = "library.sqlite"
LOCK_FILE = "write.lock"
# Written into `about`; a library of a newer format is refused in words.
FORMAT = "1"
# SQLite's `user_version` of a library that has all that `migrate` adds.
SCHEMA = 4

# How full-text search cuts texts into words and stems them.
TOKENIZER = "porter unicode61 remove_diacritics 2"

# Paths are BLOBs (os.fsencode): a path is bytes, and need not be valid text.
# `state` has one row; its version grows with every commit, so a reader knows when to map the row files again.
# `descriptions` and the full-text table `keywords` have a row a file (`files.id`); a library of an earlier soundseek
# has neither until it is written to, and a file of one has no description until the next run.
# `dead` are the rows of files that were removed or replaced, until a compaction drops them.
TABLES = (
    "CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS state (
        only INTEGER PRIMARY KEY CHECK (only = 1), version INTEGER NOT NULL, generation INTEGER NOT NULL,
        num_rows INTEGER NOT NULL, num_frames INTEGER NOT NULL, dead_rows INTEGER NOT NULL,
        next_file INTEGER NOT NULL, last_indexed TEXT)""",
    """CREATE TABLE IF NOT EXISTS files (
        id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, size_bytes INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL, content_hash BLOB NOT NULL, format TEXT NOT NULL,
        sample_rate_hz INTEGER NOT NULL, channels INTEGER NOT NULL, duration_s REAL NOT NULL,
        truncated INTEGER NOT NULL, frame_s REAL NOT NULL, limit_s REAL NOT NULL, name TEXT NOT NULL,
        first_row INTEGER NOT NULL, num_rows INTEGER NOT NULL,
        first_frame INTEGER NOT NULL, num_frames INTEGER NOT NULL, volume TEXT NOT NULL DEFAULT '')""",
    "CREATE INDEX IF NOT EXISTS files_by_content ON files (content_hash)",
    "CREATE TABLE IF NOT EXISTS dead (first_row INTEGER PRIMARY KEY, num_rows INTEGER NOT NULL)",
    """CREATE TABLE IF NOT EXISTS failures (
        path BLOB PRIMARY KEY, reason TEXT NOT NULL, seen_at TEXT NOT NULL, size_bytes INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL, decoders TEXT NOT NULL, content_hash BLOB NOT NULL DEFAULT x'')""",
    "CREATE TABLE IF NOT EXISTS roots (path BLOB PRIMARY KEY, device TEXT NOT NULL)",
    "INSERT OR IGNORE INTO state VALUES (1, 0, 1, 0, 0, 0, 1, NULL)",
    """CREATE TABLE IF NOT EXISTS descriptions (
        file_id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, bit_depth INTEGER, loudness_dbfs REAL, clock_s REAL,
        recorded_on TEXT, tags TEXT NOT NULL)""",
    f"CREATE VIRTUAL TABLE IF NOT EXISTS keywords USING fts5 (name, folder, tags, tokenize = '{TOKENIZER}')",
)
# With which schema these came.
_DESCRIBED_SCHEMA = 3

FILE_COLUMNS = (
    "path, size_bytes, mtime_ns, content_hash, format, sample_rate_hz, channels, duration_s, truncated, "
    "frame_s, limit_s"
)
DESCRIPTION_COLUMNS = "revision, tags, bit_depth, loudness_dbfs, clock_s, recorded_on"
_NUM_FILE_COLUMNS = 11
_NUM_DESCRIPTION_COLUMNS = 6
PLACE_COLUMNS = "id, name, first_row, num_rows, first_frame, num_frames"
INSERT_FILE = f"INSERT INTO files ({FILE_COLUMNS}, {PLACE_COLUMNS}) VALUES ({', '.join('?' * 17)})"
FAILURE_COLUMNS = "path, reason, seen_at, size_bytes, mtime_ns, decoders, content_hash"
INSERT_FAILURE = f"INSERT OR REPLACE INTO failures ({FAILURE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"


def has_descriptions(connection: Connection) -> bool:
    """Whether the library has the tables of names and tags, or is one of an earlier soundseek."""
    return bool(connection.execute("PRAGMA user_version").fetchone()[0] >= _DESCRIBED_SCHEMA)


def select_files(connection: Connection, *more: str) -> str:
    """`SELECT ... FROM files`, to be read by `file_of`: facts, description, and more columns behind them."""
    if has_descriptions(connection):
        columns, source = DESCRIPTION_COLUMNS, "files LEFT JOIN descriptions ON file_id = id"
    else:
        columns, source = ", ".join(["NULL"] * _NUM_DESCRIPTION_COLUMNS), "files"
    return f"SELECT {', '.join([FILE_COLUMNS, columns, *more])} FROM {source}"


def select_states(connection: Connection) -> str:
    """`SELECT ... FROM files`, to be read by `state_of`."""
    columns = "path, size_bytes, mtime_ns, CASE truncated WHEN 1 THEN limit_s ELSE 0 END"
    if not has_descriptions(connection):
        volume = "volume" if _has_column(connection, "volume") else "''"
        return f"SELECT {columns}, {volume}, 0 FROM files"
    is_described = f"revision IS NOT NULL AND revision >= {TAGS_REVISION}"
    return f"SELECT {columns}, volume, {is_described} FROM files LEFT JOIN descriptions ON file_id = id"


def _has_column(connection: Connection, name: str, of: str = "files") -> bool:
    return name in {row[1] for row in connection.execute(f"PRAGMA table_info({of})")}


def row_of(file: SoundFile) -> tuple[object, ...]:
    """The values of `FILE_COLUMNS`."""
    return (
        os.fsencode(file.path),
        file.size_bytes,
        file.mtime_ns,
        file.content_hash,
        file.format,
        file.sample_rate_hz,
        file.channels,
        float(file.duration_s),
        int(file.truncated),
        float(file.frame_s),
        float(file.limit_s),
    )


def file_of(row: Sequence[Any]) -> SoundFile:
    """The file that the columns of `select_files` mean; `row` may go on behind them."""
    path, size, mtime, content, form, rate, channels, duration, truncated, frame_s, limit_s = row[:11]
    described = row[_NUM_FILE_COLUMNS : _NUM_FILE_COLUMNS + _NUM_DESCRIPTION_COLUMNS]
    return SoundFile(
        path=os.fsdecode(path),
        size_bytes=size,
        mtime_ns=mtime,
        content_hash=content,
        format=form,
        sample_rate_hz=rate,
        channels=channels,
        duration_s=duration,
        truncated=bool(truncated),
        frame_s=frame_s,
        limit_s=limit_s,
        description=_description_of(described),
    )


def _description_of(row: Sequence[Any]) -> Description | None:
    """The description that the values of `DESCRIPTION_COLUMNS` mean; None of a file that has none."""
    if not row or row[0] is None:
        return None
    _, tags, bit_depth, loudness_dbfs, clock_s, date = row
    return Description(_pairs(tags), bit_depth, loudness_dbfs, clock_s, date)


def _pairs(tags: str) -> tuple[tuple[str, str], ...]:
    """Tags as they are kept, JSON of pairs."""
    return tuple((str(name), str(text)) for name, text in json.loads(tags))


def state_of(row: Sequence[Any]) -> tuple[str, FileState]:
    """Path and state from the columns of `select_states`."""
    return os.fsdecode(row[0]), FileState(row[1], row[2], row[3], row[4], bool(row[5]))


def read_failure(row: Sequence[Any]) -> Failure:
    """The failure that the values of `FAILURE_COLUMNS` mean; a library of before has no content hashes."""
    return Failure(os.fsdecode(row[0]), *row[1:])


def at_or_below(path: str) -> tuple[str, list[object]]:
    """The SQL condition "this path or anything below it", and its values."""
    exact, separator = os.fsencode(path), os.fsencode(os.sep)
    inside = exact.rstrip(separator) + separator
    # All paths below sort between "/a/b/" and "/a/b0" ("0" is the byte after "/"), so the index serves it.
    return "(path = ? OR (path >= ? AND path < ?))", [exact, inside, inside[:-1] + bytes([inside[-1] + 1])]


@dataclass(frozen=True)
class StoreState:
    """The one row of the table `state`."""

    version: int
    generation: int
    num_rows: int
    num_frames: int
    dead_rows: int
    next_file: int
    last_indexed: str | None


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """All of what the block writes, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has already undone it
            connection.execute("ROLLBACK")
        raise


def create_tables(connection: Connection, identity: ModelIdentity) -> None:
    """Make an empty library of this model, unless there is one."""
    with transaction(connection):
        for statement in TABLES:
            connection.execute(statement)
        connection.executemany(
            "INSERT OR IGNORE INTO about VALUES (?, ?)", about_library(identity, FORMAT).items()
        )
        connection.execute(f"PRAGMA user_version = {SCHEMA}")


def rename_model(connection: Connection, identity: ModelIdentity) -> None:
    """Note name and source of the model that searches, whose sounds have the same vectors."""
    with transaction(connection):
        connection.executemany(
            "UPDATE about SET value = ? WHERE key = ?", [(identity.name, "name"), (identity.source, "source")]
        )


def migrate(connection: Connection, location: str) -> None:
    """Bring the tables of a library that an earlier soundseek made up to date: all of it, or nothing.

    Raises:
        LibraryError: A later soundseek has written to it, whose tables this one does not know.
    """
    schema = connection.execute("PRAGMA user_version").fetchone()[0]
    if schema > SCHEMA:
        raise LibraryError(
            f"{location} was written by a later soundseek (schema {schema}; this one writes {SCHEMA}): update "
            "soundseek to index here, or index the sounds into another folder with --library DIR. Searching still works"
        )
    if schema == SCHEMA:
        return
    with transaction(connection):
        if not _has_column(connection, "volume"):
            connection.execute("ALTER TABLE files ADD COLUMN volume TEXT NOT NULL DEFAULT ''")
        if not _has_column(connection, "content_hash", of="failures"):
            connection.execute("ALTER TABLE failures ADD COLUMN content_hash BLOB NOT NULL DEFAULT x''")
        # Names were compared without case, but letter by letter as they lay on the disk.
        names = [
            (file_name(os.fsdecode(path)), file_id, name)
            for file_id, path, name in connection.execute("SELECT id, path, name FROM files")
        ]
        connection.executemany(
            "UPDATE files SET name = ? WHERE id = ?", [(new, id) for new, id, old in names if new != old]
        )
        for statement in TABLES:
            connection.execute(statement)
        connection.execute("DELETE FROM keywords")
        rows = connection.execute(
            "SELECT id, path, tags FROM files LEFT JOIN descriptions ON file_id = id"
        ).fetchall()
        connection.executemany(
            INSERT_KEYWORDS,
            [
                _keywords_of(file_id, os.fsdecode(path), Description(_pairs(tags)) if tags else None)
                for file_id, path, tags in rows
            ],
        )
        connection.execute(f"PRAGMA user_version = {SCHEMA}")


def read_about(connection: Connection) -> dict[str, str]:
    """Format and model of a library; empty when its tables were never made."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'about'").fetchone():
        return {}
    return dict(connection.execute("SELECT key, value FROM about").fetchall())


def read_state(connection: Connection) -> StoreState:
    """What the library counts now."""
    row = connection.execute(
        "SELECT version, generation, num_rows, num_frames, dead_rows, next_file, last_indexed FROM state"
    ).fetchone()
    return StoreState(*row)


def records_and_rows(
    sounds: list[EmbeddedSound], state: StoreState
) -> tuple[list[Rows], list[tuple[object, ...]]]:
    """The segment records and the `files` rows of new sounds, from the end of the committed rows on."""
    records, files = [], []
    row, frame = state.num_rows, state.num_frames
    for file_id, sound in enumerate(sounds, start=state.next_file):
        record = np.empty(len(sound.vectors), SEGMENT_DTYPE)
        record["file_id"] = file_id
        record["start_s"], record["end_s"] = sound.times_s.T
        record["first_frame"], record["last_frame"] = sound.spans.T + frame
        records.append(record)
        place = (file_id, file_name(sound.file.path), row, len(sound.vectors), frame, len(sound.rows))
        files.append((*row_of(sound.file), *place))
        row, frame = row + len(sound.vectors), frame + len(sound.rows)
    return records, files


def apply_changes(connection: Connection, changes: Changes, new_files: list[tuple[object, ...]]) -> None:
    """Carry out a change in SQL, and count the rows that are there now."""
    replaced = [*changes.removed, *(failure.path for failure in changes.failures)]
    resolved = [*changes.resolved, *(failure.path for failure in changes.unread)]
    connection.executemany("DELETE FROM failures WHERE path = ?", [(os.fsencode(path),) for path in resolved])
    replaced += [move.path for move in changes.moves]
    replaced += [sound.file.path for sound in changes.sounds]
    dead_rows = sum(_forget(connection, os.fsencode(path)) for path in replaced)
    connection.executemany(
        "UPDATE files SET path = ?, name = ?, mtime_ns = ? WHERE path = ?",
        [
            (os.fsencode(m.path), file_name(m.path), m.mtime_ns, os.fsencode(m.old_path))
            for m in changes.moves
        ],
    )
    _renew_keywords(connection, [move.path for move in changes.moves])
    connection.executemany(
        "UPDATE files SET mtime_ns = ? WHERE path = ?",
        [(mtime_ns, os.fsencode(path)) for path, mtime_ns in changes.touches.items()],
    )
    connection.executemany(INSERT_FILE, new_files)
    for sound, row in zip(changes.sounds, new_files, strict=True):
        describe_file(connection, int(row[_NUM_FILE_COLUMNS]), sound.file.path, sound.file.description)  # type: ignore[call-overload]
    for path, description in changes.descriptions.items():
        for (file_id,) in connection.execute(
            "SELECT id FROM files WHERE path = ?", (os.fsencode(path),)
        ).fetchall():
            describe_file(connection, file_id, path, description)
    connection.executemany(
        INSERT_FAILURE,
        [
            (os.fsencode(f.path), f.reason, f.seen_at, f.size_bytes, f.mtime_ns, f.decoders, f.content_hash)
            for f in (*changes.failures, *changes.unread)
        ],
    )
    connection.executemany(
        "UPDATE files SET volume = ? WHERE path = ?",
        [(volume, os.fsencode(path)) for path, volume in changes.volumes.items()],
    )
    connection.executemany(
        "DELETE FROM roots WHERE path = ?", [(os.fsencode(path),) for path in changes.forgotten_roots]
    )
    for key, value in changes.settings.items():
        connection.execute("DELETE FROM about WHERE key = ?", (key,))
        if value is not None:
            connection.execute("INSERT INTO about VALUES (?, ?)", (key, value))
    connection.executemany(
        "INSERT OR REPLACE INTO roots VALUES (?, ?)",
        [(os.fsencode(path), str(device)) for path, device in changes.roots.items()],
    )
    connection.execute(
        "UPDATE state SET version = version + 1, num_rows = num_rows + ?, num_frames = num_frames + ?, "
        "dead_rows = dead_rows + ?, next_file = next_file + ?",
        (
            sum(len(sound.vectors) for sound in changes.sounds),
            sum(len(sound.rows) for sound in changes.sounds),
            dead_rows,
            len(changes.sounds),
        ),
    )


def _forget(connection: Connection, path: bytes) -> int:
    """Remove a path from `files` and `failures`; how many rows died."""
    connection.execute("DELETE FROM failures WHERE path = ?", (path,))
    found = connection.execute("SELECT id, first_row, num_rows FROM files WHERE path = ?", (path,)).fetchone()
    if found is None:
        return 0
    file_id, first_row, num_rows = found
    connection.execute("DELETE FROM files WHERE id = ?", (file_id,))
    connection.execute("DELETE FROM descriptions WHERE file_id = ?", (file_id,))
    connection.execute("DELETE FROM keywords WHERE rowid = ?", (file_id,))
    connection.execute("INSERT INTO dead VALUES (?, ?)", (first_row, num_rows))
    return int(num_rows)


INSERT_KEYWORDS = "INSERT INTO keywords (rowid, name, folder, tags) VALUES (?, ?, ?, ?)"


def _keywords_of(file_id: int, path: str, description: Description | None) -> tuple[object, ...]:
    """The values of `INSERT_KEYWORDS`."""
    tags = tag_words(description.tags) if description is not None else ""
    name = os.path.basename(path)  # noqa: PTH119
    return file_id, f"{name_words(name)} {name_token(name)}", folder_words(path), tags


def describe_file(connection: Connection, file_id: int, path: str, description: Description | None) -> None:
    """Write what a file says of itself, and the words by which it is found."""
    if description is not None:
        # A known loudness stays: it is measured where a file is decoded, and tags are read on their own.
        connection.execute(
            "INSERT INTO descriptions VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (file_id) DO UPDATE SET "
            "revision = excluded.revision, bit_depth = excluded.bit_depth, clock_s = excluded.clock_s, "
            "recorded_on = excluded.recorded_on, tags = excluded.tags, "
            "loudness_dbfs = coalesce(excluded.loudness_dbfs, loudness_dbfs)",
            (
                file_id,
                TAGS_REVISION,
                description.bit_depth,
                description.loudness_dbfs,
                description.clock_s,
                description.date,
                json.dumps(description.tags, ensure_ascii=False),
            ),
        )
    connection.execute("DELETE FROM keywords WHERE rowid = ?", (file_id,))
    connection.execute(INSERT_KEYWORDS, _keywords_of(file_id, path, description))


def _renew_keywords(connection: Connection, paths: Collection[str]) -> None:
    """Let files be found by the names that they have now."""
    for path in paths:
        sql = f"{select_files(connection, 'id')} WHERE path = ?"
        for row in connection.execute(sql, (os.fsencode(path),)).fetchall():
            file = file_of(row)
            connection.execute("DELETE FROM keywords WHERE rowid = ?", (row[-1],))
            connection.execute(INSERT_KEYWORDS, _keywords_of(row[-1], path, file.description))


def allowed_rows(
    connection: Connection,
    snapshot: Snapshot,
    question: Question,
) -> BoolArray | None:
    """`(rows,)` True where a row may answer; None when all may.

    Args:
        connection: Inside the read transaction of the search.
        snapshot: What this transaction sees.
        question: Says which files may.
    """
    where, only = question.where, question.only
    num_rows, mask = len(snapshot.maps.vectors), snapshot.live
    if only is not None:
        allowed = np.zeros(num_rows, dtype=np.bool_)
        for path in only:
            found = file_and_place(connection, path)
            if found is not None:
                allowed[found[1]] = True
    if where is not None:
        sql, values = to_sql(where)
        mask = snapshot.masks.mask(
            (sql, *values), num_rows, lambda: _rows_that_fulfil(connection, snapshot, sql, values)
        )
    if only is not None:
        mask = allowed if mask is None else mask & allowed
    for path in question.leave_out:
        found = file_and_place(connection, path)
        if found is not None:
            mask = np.ones(num_rows, dtype=np.bool_) if mask is None else mask.copy()
            mask[found[1]] = False
    return mask


def _rows_that_fulfil(
    connection: Connection, snapshot: Snapshot, sql: str, values: Sequence[object]
) -> BoolArray:
    """`(rows,)` True for the rows of the files that an SQL condition selects."""
    numbers = snapshot.maps.segments["file_id"]
    # Rows of a file that was removed may have a higher number than all that are there.
    is_wanted = np.zeros(1 + max(snapshot.last_file, int(numbers.max(initial=0))), np.bool_)
    is_wanted[numbers_in(connection, f"SELECT group_concat(id) FROM files WHERE {sql}", values)] = True
    mask: BoolArray = is_wanted[numbers]
    if snapshot.live is not None:
        mask &= snapshot.live
    return mask


def numbers_in(connection: Connection, sql: str, values: Sequence[object] = ()) -> IntArray:
    """`(n,)` the numbers of a statement that gives one `group_concat`: hundreds of thousands, without a tuple each."""
    (numbers,) = connection.execute(sql, values).fetchone()
    return np.fromstring(numbers or "", np.int64, sep=",")


def switch_generation(
    connection: Connection, state: StoreState, files: IntArray, rows_at: IntArray, frames_at: IntArray
) -> None:
    """Let the rewritten row files count.

    Args:
        connection: Inside a transaction.
        state: What counted until now.
        files: `(files, 5)`: id, first row, number of rows, first frame, number of frames.
        rows_at: `(files,)` where the rows of each file now begin.
        frames_at: `(files,)` where its frames do.
    """
    connection.executemany(
        "UPDATE files SET first_row = ?, first_frame = ? WHERE id = ?",
        zip(rows_at.tolist(), frames_at.tolist(), files[:, 0].tolist(), strict=True),
    )
    connection.execute("DELETE FROM dead")
    connection.execute(
        "UPDATE state SET version = version + 1, generation = ?, num_rows = ?, num_frames = ?, dead_rows = 0",
        (state.generation + 1, int(files[:, 2].sum()), int(files[:, 4].sum())),
    )


def file_and_place(connection: Connection, path: str) -> tuple[SoundFile, slice, slice] | None:
    """A file, its rows and its frames."""
    row = connection.execute(
        f"{select_files(connection, PLACE_COLUMNS)} WHERE path = ?",
        (os.fsencode(path),),
    ).fetchone()
    if row is None:
        return None
    first_row, num_rows, first_frame, num_frames = row[-4:]
    return (
        file_of(row),
        slice(first_row, first_row + num_rows),
        slice(first_frame, first_frame + num_frames),
    )


def read_stats(connection: Connection, num_bytes: int) -> StoreStats:
    """Totals."""
    files, segments, audio_s, truncated = connection.execute(
        "SELECT count(*), coalesce(sum(num_rows), 0), coalesce(sum(duration_s), 0.0), "
        "coalesce(sum(truncated), 0) FROM files"
    ).fetchone()
    (failures,) = connection.execute("SELECT count(*) FROM failures").fetchone()
    measured = 0
    if has_descriptions(connection):
        sql = "SELECT count(*) FROM descriptions WHERE loudness_dbfs IS NOT NULL"
        (measured,) = connection.execute(sql).fetchone()
    return StoreStats(
        files=files,
        segments=segments,
        audio_s=audio_s,
        bytes_on_disk=num_bytes,
        failures=failures,
        truncated=truncated,
        unmeasured=files - measured,
        last_indexed=read_state(connection).last_indexed,
    )


def files_by_id(connection: Connection, ids: list[int]) -> dict[int, SoundFile]:
    """Files by their number."""
    files: dict[int, SoundFile] = {}
    for at in range(0, len(ids), 500):
        some = ids[at : at + 500]
        rows = connection.execute(
            f"{select_files(connection, 'id')} WHERE id IN ({', '.join('?' * len(some))})", some
        )
        files.update({row[-1]: file_of(row) for row in rows})
    return files


def move_below(connection: Connection, old: str, new: str) -> int:
    """Give everything at or below a path another one; what was known of the new places goes. How many files moved.

    Args:
        connection: Inside a transaction.
        old: A folder or file.
        new: Where it is now.
    """
    sql, values = at_or_below(old)

    def renamed(path: bytes) -> bytes:
        return os.fsencode(moved_below(os.fsdecode(path), old, new))

    moved = [path for (path,) in connection.execute(f"SELECT path FROM files WHERE {sql}", values)]
    staying = {renamed(path) for path in moved}.difference(moved)
    dead_rows = sum(_forget(connection, path) for path in staying)
    connection.execute("UPDATE state SET version = version + 1, dead_rows = dead_rows + ?", (dead_rows,))
    # In two steps, since a path may be another one's new place: no path on a disk holds a zero byte.
    connection.executemany(
        "UPDATE files SET path = ? WHERE path = ?", [(b"\0" + renamed(path), path) for path in moved]
    )
    connection.executemany(
        "UPDATE files SET path = ?, name = ? WHERE path = ?",
        [(renamed(path), file_name(os.fsdecode(renamed(path))), b"\0" + renamed(path)) for path in moved],
    )
    _renew_keywords(connection, [os.fsdecode(renamed(path)) for path in moved])
    for table in ("failures", "roots"):
        paths = [path for (path,) in connection.execute(f"SELECT path FROM {table} WHERE {sql}", values)]
        connection.executemany(
            f"UPDATE OR REPLACE {table} SET path = ? WHERE path = ?",
            [(renamed(path), path) for path in sorted(paths, reverse=new.startswith(old))],
        )
    return len(moved)
