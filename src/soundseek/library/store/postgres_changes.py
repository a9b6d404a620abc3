"""What a change of a library writes to its tables in PostgreSQL, inside a transaction."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from soundseek.library.paths import moved_below
from soundseek.library.store import postgres_tables as tables
from soundseek.library.store.base import Changes, EmbeddedSound
from soundseek.library.store.tables import at_or_below

if TYPE_CHECKING:
    from psycopg import Connection


def write_changes(connection: Connection[Any], changes: Changes) -> None:
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
        insert_sounds(connection, changes.sounds)
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


def insert_sounds(connection: Connection[Any], sounds: Sequence[EmbeddedSound]) -> None:
    """Write new files with their segments and frames."""
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
                (file_id, len(sound.vectors), len(sound.rows), *tables.row_of_file(sound.file), *own)
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
                frames = np.ascontiguousarray(sound.rows, dtype="<f2")
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


def move_tree(connection: Connection[Any], old: str, new: str) -> int:
    """Give everything at or below a path another one; what was known of the new places goes. How many files moved."""
    sql, values = at_or_below(old)
    sql = sql.replace("?", "%s")

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
