"""Whether a library is whole: SQLite's own check, row files as long as they are counted, and every sound's vectors.

A vector is the mean of its frames at unit norm, so a byte that a disk or a copy has changed is found in either.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from soundseek._typing import AnyFloatArray
from soundseek._vectors import unit_rows
from soundseek.library.store.base import Damage, frames_and_windows
from soundseek.library.store.rows import Generation, RowFile, Rows
from soundseek.library.store.tables import DATABASE_FILE, PLACE_COLUMNS, StoreState

if TYPE_CHECKING:
    from sqlite3 import Connection

LEAST_COSINE = 0.98
"""Of a vector and the mean of its frames; both are rounded to 16 bits, which keeps .9999."""

FARTHEST_NORM = 0.01
"""From one, of a vector in 16 bits."""


def find_damage(connection: Connection, rows: Generation, state: StoreState) -> Iterator[Damage]:
    """Everything that is wrong, the library's own files first, then its sounds by path; nothing is changed.

    Args:
        connection: Inside a read transaction, so that a writer beside it changes nothing here.
        rows: The row files that count.
        state: What counts of them.
    """
    for (line,) in connection.execute("PRAGMA integrity_check").fetchall():
        if line != "ok":
            yield Damage(str(rows.directory / DATABASE_FILE), f"SQLite says: {line}", is_sound=False)
    counted = [
        (rows.vectors, state.num_rows),
        (rows.segments, state.num_rows),
        (rows.frames, state.num_frames),
    ]
    there = {file.path: rows_there(file) for file, _ in counted}
    for file, count in counted:
        if there[file.path] < count:
            yield Damage(str(file.path), f"holds {there[file.path]} of its {count} rows", is_sound=False)
    whole_rows = min(state.num_rows, there[rows.vectors.path], there[rows.segments.path])
    maps = (
        rows.vectors.map(whole_rows) if whole_rows else None,
        rows.segments.map(whole_rows) if whole_rows else None,
        rows.frames.map(num_frames)
        if (num_frames := min(state.num_frames, there[rows.frames.path]))
        else None,
    )
    for row in connection.execute(f"SELECT path, duration_s, {PLACE_COLUMNS} FROM files ORDER BY path"):
        path, duration_s, file_id, _, first_row, num_rows, first_frame, num_frames = row
        what: str | None = None
        if first_row + num_rows > whole_rows or first_frame + num_frames > there[rows.frames.path]:
            what = "its rows are missing"
        elif maps[0] is not None and maps[1] is not None and maps[2] is not None:
            segments = slice(first_row, first_row + num_rows)
            frames = maps[2][first_frame : first_frame + num_frames]
            what = wrong_with(
                maps[0][segments], maps[1][segments], frames, file_id, first_frame, duration_s=duration_s
            )
        if what:
            yield Damage(os.fsdecode(path), what, is_sound=True)


def rows_there(file: RowFile) -> int:
    """Whole rows that a row file holds; 0 where it is missing."""
    try:
        return file.path.stat().st_size // file.row_bytes
    except FileNotFoundError:
        return 0


def wrong_with(
    vectors: AnyFloatArray,
    segments: Rows,
    frames: AnyFloatArray,
    file_id: int,
    first_frame: int,
    *,
    duration_s: float,
) -> str | None:
    """What is wrong with the rows of one sound; None if nothing.

    Args:
        vectors: `(segments, dim)`.
        segments: `(segments,)` records of `SEGMENT_DTYPE`.
        frames: `(frames, dim)`, of the sound alone, and behind them the vectors of its windows, if it keeps any.
        file_id: Whose the records should be.
        first_frame: Where its frames begin in their file.
        duration_s: Of the sound.
    """
    first, last = segments["first_frame"] - first_frame, segments["last_frame"] - first_frame
    if (segments["file_id"] != file_id).any():
        return "its segments are marked as another sound's"
    if (first < 0).any() or (last > len(frames)).any() or (first >= last).any():
        return "a segment lies outside its frames"
    times: Any = np.stack([segments["start_s"], segments["end_s"]])
    if not np.isfinite(times).all() or (times[0] < 0).any() or (times[0] >= times[1]).any():
        return "a segment's times are not possible"
    if not np.isfinite(vectors).all() or not np.isfinite(frames).all():
        return "a vector is not finite"
    wide = vectors.astype(np.float32)
    if (np.abs(np.linalg.norm(wide, axis=1) - 1) > FARTHEST_NORM).any():
        return "a vector has not the length of one"
    _, windows = frames_and_windows(frames, int(last.max()), duration_s)
    if (np.abs(np.linalg.norm(windows.astype(np.float32), axis=1) - 1) > FARTHEST_NORM).any():
        return "a window's vector has not the length of one"
    means = unit_rows(
        np.stack([frames[a:b].mean(axis=0, dtype=np.float32) for a, b in zip(first, last, strict=True)])
    )
    if ((wide * means).sum(axis=1) < LEAST_COSINE).any():
        return "a vector is not the mean of its frames"
    return None


def lengthen(rows: Generation, state: StoreState) -> list[Path]:
    """Give row files that are too short zeros at the end, so that the sounds before them can be read; which were.

    Only for rows that no sound has any more: a compaction drops them.
    """
    mended = []
    for file, count in (
        (rows.vectors, state.num_rows),
        (rows.segments, state.num_rows),
        (rows.frames, state.num_frames),
    ):
        if rows_there(file) < count:
            file.path.touch()
            os.truncate(file.path, count * file.row_bytes)
            mended.append(file.path)
    return mended
