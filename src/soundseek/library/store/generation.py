"""The row files of one generation; a compaction writes the next one beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from soundseek.library.store.base import FloatArray, Sound
from soundseek.library.store.rows import RowFile, Rows, expand_ranges
from soundseek.library.store.schema import SEGMENT_DTYPE

# Rows copied at a time: 32 MB of 512-wide vectors.
ROWS_AT_A_TIME = 32_768

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Maps:
    """Committed rows, read from disk when touched.

    Attributes:
        vectors: `(rows, dim)` float16.
        segments: `(rows,)` records of `SEGMENT_DTYPE`.
        frames: `(frames, dim)` float16.
    """

    vectors: FloatArray
    segments: Rows
    frames: FloatArray


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What one version of a library counts.

    Attributes:
        version: Grows with every commit.
        maps: The committed rows.
        live: `(rows,)` True for rows of files that are still there; None = all.
    """

    version: int
    maps: Maps
    live: npt.NDArray[np.bool_] | None


class Generation:
    """Three row files with one number.

    Args:
        directory: The library's folder.
        dim: Width of vectors and frames.
        number: Counts the compactions from 1.
    """

    def __init__(self, directory: Path, dim: int, number: int) -> None:
        self.directory = directory
        self.vectors = RowFile(directory / f"vectors.{number}.f16", np.float16, dim)
        self.segments = RowFile(directory / f"segments.{number}.rows", SEGMENT_DTYPE)
        self.frames = RowFile(directory / f"frames.{number}.f16", np.float16, dim)

    def append(self, at_row: int, at_frame: int, sounds: list[Sound], records: list[Rows]) -> None:
        """Put new sounds behind the committed rows, and return when they are on the disk."""
        self.vectors.append(at_row, (sound.vectors for sound in sounds))
        self.frames.append(at_frame, (sound.frames for sound in sounds))
        self.segments.append(at_row, records)

    def map(self, num_rows: int, num_frames: int) -> Maps:
        """The committed rows."""
        return Maps(self.vectors.map(num_rows), self.segments.map(num_rows), self.frames.map(num_frames))

    def rewrite(self, files: Numbers, old: Maps) -> tuple[Numbers, Numbers]:
        """Fill these row files with the rows of present files, durably, in the order given.

        Args:
            files: `(files, 4)`: first row, number of rows, first frame, number of frames.
            old: The rows as they lie now.

        Returns:
            `(files,)` the first row of each file here, and `(files,)` its first frame.
        """
        first_row, num_rows, first_frame, num_frames = files.T
        rows_at = np.cumsum(num_rows) - num_rows
        frames_at = np.cumsum(num_frames) - num_frames
        self.vectors.append(0, (old.vectors[some] for some in _in_pieces(first_row, num_rows)))
        self.frames.append(0, (old.frames[some] for some in _in_pieces(first_frame, num_frames)))
        records = old.segments[expand_ranges(first_row, num_rows)]
        shift = np.repeat(frames_at - first_frame, num_rows)
        records["first_frame"] += shift
        records["last_frame"] += shift
        self.segments.append(0, [records])
        return rows_at, frames_at

    def remove_others(self) -> None:
        """Remove the row files of every other generation."""
        kept = {file.path for file in (self.vectors, self.segments, self.frames)}
        for pattern in ("vectors.*.f16", "segments.*.rows", "frames.*.f16"):
            for path in self.directory.glob(pattern):
                if path not in kept:
                    with suppress(OSError):  # Windows keeps a mapped file; the next run tries again
                        path.unlink()


def _in_pieces(first: Numbers, count: Numbers) -> Iterator[Numbers]:
    numbers = expand_ranges(first, count)
    for at in range(0, len(numbers), ROWS_AT_A_TIME):
        yield numbers[at : at + ROWS_AT_A_TIME]
