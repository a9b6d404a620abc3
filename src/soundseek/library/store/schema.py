"""The tables of `library.sqlite`, and how a `SoundFile` lies in them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from soundseek.library.store.base import Failure, FileState, SoundFile

DATABASE_FILE = "library.sqlite"
LOCK_FILE = "write.lock"
# Written into `about`; a library of a newer format is refused in words.
FORMAT = "1"

# Paths are BLOBs (os.fsencode): a path is bytes, and need not be valid text.
# `state` has one row; its version grows with every commit, so a reader knows when to map the row files again.
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
        first_frame INTEGER NOT NULL, num_frames INTEGER NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS files_by_content ON files (content_hash)",
    "CREATE TABLE IF NOT EXISTS dead (first_row INTEGER PRIMARY KEY, num_rows INTEGER NOT NULL)",
    """CREATE TABLE IF NOT EXISTS failures (
        path BLOB PRIMARY KEY, reason TEXT NOT NULL, seen_at TEXT NOT NULL, size_bytes INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL, decoders TEXT NOT NULL)""",
    "CREATE TABLE IF NOT EXISTS roots (path BLOB PRIMARY KEY, device TEXT NOT NULL)",
    "INSERT OR IGNORE INTO state VALUES (1, 0, 1, 0, 0, 0, 1, NULL)",
)

FILE_COLUMNS = (
    "path, size_bytes, mtime_ns, content_hash, format, sample_rate_hz, channels, duration_s, truncated, "
    "frame_s, limit_s"
)
STATE_COLUMNS = "path, size_bytes, mtime_ns, CASE truncated WHEN 1 THEN limit_s ELSE 0 END"
PLACE_COLUMNS = "id, name, first_row, num_rows, first_frame, num_frames"
INSERT_FILE = f"INSERT INTO files ({FILE_COLUMNS}, {PLACE_COLUMNS}) VALUES ({', '.join('?' * 17)})"
FAILURE_COLUMNS = "path, reason, seen_at, size_bytes, mtime_ns, decoders"
INSERT_FAILURE = f"INSERT OR REPLACE INTO failures ({FAILURE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"

# What is known of each row (segment) beside its vector; frames are counted from the start of their file.
SEGMENT_DTYPE = np.dtype(
    [
        ("file_id", "<i8"),
        ("start_s", "<f8"),
        ("end_s", "<f8"),
        ("first_frame", "<i8"),
        ("last_frame", "<i8"),
    ]
)


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
    """The file that the values of `FILE_COLUMNS` mean; `row` may go on behind them."""
    path, size, mtime, content, form, rate, channels, duration, truncated, frame_s, limit_s = row[:11]
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
    )


def state_of(row: Sequence[Any]) -> tuple[str, FileState]:
    """Path and state from the values of `STATE_COLUMNS`."""
    return os.fsdecode(row[0]), FileState(row[1], row[2], row[3])


def failure_of(row: Sequence[Any]) -> Failure:
    """The failure that the values of `FAILURE_COLUMNS` mean."""
    return Failure(os.fsdecode(row[0]), *row[1:])


def at_or_below(path: str) -> tuple[str, list[object]]:
    """The SQL condition "this path or anything below it", and its values."""
    exact, separator = os.fsencode(path), os.fsencode(os.sep)
    inside = exact.rstrip(separator) + separator
    # All paths below sort between "/a/b/" and "/a/b0" ("0" is the byte after "/"), so the index serves it.
    return "(path = ? OR (path >= ? AND path < ?))", [exact, inside, inside[:-1] + bytes([inside[-1] + 1])]
