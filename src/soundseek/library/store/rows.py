"""Append-only files of fixed-size rows, read through memory maps.

The row files of one generation; a compaction writes the next one beside it.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from soundseek._files import sync_folder
from soundseek._typing import AnyFloatArray, AnyIntArray, IntArray
from soundseek.errors import LibraryError
from soundseek.library.store.base import EmbeddedSound
from soundseek.library.store.estimates import Estimates, VectorCodes, half_estimates
from soundseek.library.store.kept_masks import KeptMasks

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

Rows = npt.NDArray[Any]


class RowFile:
    """A file of rows of one dtype and width.

    Which rows count is decided elsewhere (in SQL, after `append` has returned); bytes past them are leftovers
    of a process that was killed, and the next `append` cuts them off.

    Args:
        path: The file; it is made at the first `append`.
        dtype: Of one number, or of a record.
        width: Numbers in a row; None when the row is one record.
    """

    def __init__(self, path: Path, dtype: npt.DTypeLike, width: int | None = None) -> None:
        self.path = path
        self.dtype = np.dtype(dtype)
        self.width = width
        self.row_bytes = self.dtype.itemsize * (1 if width is None else width)

    def append(self, at_row: int, blocks: Iterable[Rows]) -> None:
        """Write blocks of rows from row `at_row` on, and return when they are on the disk.

        Raises:
            LibraryError: The file holds fewer than `at_row` rows: it was damaged from outside.
        """
        with self._open() as handle:
            size = os.fstat(handle.fileno()).st_size
            if size < at_row * self.row_bytes:
                raise self._damaged(at_row, size)
            # One file object for truncate and write: what a killed process left behind goes first.
            handle.truncate(at_row * self.row_bytes)
            handle.seek(at_row * self.row_bytes)
            for block in blocks:
                if block.size:
                    handle.write(np.ascontiguousarray(block, dtype=self.dtype).view(np.uint8).data)
            handle.flush()
            os.fsync(handle.fileno())

    def _open(self) -> Any:
        made = not self.path.exists()
        handle = self.path.open("wb" if made else "r+b")
        if made:
            sync_folder(self.path.parent)
        return handle

    def map(self, num_rows: int) -> Rows:
        """The first `num_rows` rows, `(rows, width)` or `(rows,)`, read-only, read from disk when touched.

        Raises:
            LibraryError: The file holds fewer rows.
            FileNotFoundError: There is no such file (a compaction has replaced it).
        """
        shape = (num_rows,) if self.width is None else (num_rows, self.width)
        if num_rows == 0:
            return np.empty(shape, self.dtype)
        size = self.path.stat().st_size
        if size < num_rows * self.row_bytes:
            raise self._damaged(num_rows, size)
        return np.memmap(self.path, dtype=self.dtype, mode="r", shape=shape).view(np.ndarray)

    def _damaged(self, rows: int, size: int) -> LibraryError:
        return LibraryError(
            f"{self.path} is damaged: it should hold {rows} rows of {self.row_bytes} bytes but "
            f"has {size} bytes. Remove the folder {self.path.parent} and index the sounds again"
        )


def let_go(rows: Rows) -> None:
    """Take mapped rows out of this process's memory; the system still has them, where it has room for them."""
    base = rows.base
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def expand_ranges(first: npt.NDArray[np.int64], count: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The numbers in the ranges `[first, first + count)`, one range after the other.

    >>> expand_ranges(np.array([7, 2]), np.array([2, 3])).tolist()
    [7, 8, 2, 3, 4]
    """
    starts = np.cumsum(count) - count
    return np.repeat(first - starts, count) + np.arange(int(count.sum()), dtype=np.int64)


def spread_evenly(num_rows: int, count: int) -> npt.NDArray[np.int64]:
    """At most `count` numbers below `num_rows`, from the first to the last in equal steps.

    >>> spread_evenly(9, 3).tolist(), spread_evenly(2, 3).tolist()
    ([0, 4, 8], [0, 1])
    """
    return np.unique(np.linspace(0, num_rows - 1, min(count, num_rows)).astype(np.int64))


def rows_without(num_rows: int, dead: Sequence[tuple[int, int]]) -> npt.NDArray[np.bool_] | None:
    """`(rows,)` False in the ranges `(first row, number of rows)` that are dead; None when there are none."""
    if not dead:
        return None
    ranges = np.array(dead, dtype=np.int64)
    live = np.ones(num_rows, dtype=np.bool_)
    live[expand_ranges(ranges[:, 0], ranges[:, 1])] = False
    return live


def make_folder(directory: Path) -> None:
    """Make a folder, and those above it, so that they survive a power cut; one that is there stays as it is."""
    missing = [each for each in (directory, *directory.parents) if not each.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    for made in missing:
        sync_folder(made.parent)


# Rows copied at a time: 32 MB of 512-wide vectors.
ROWS_AT_A_TIME = 32_768


@dataclass(frozen=True, eq=False)
class Maps:
    """Committed rows, read from disk when touched.

    Attributes:
        vectors: `(rows, dim)` float16.
        segments: `(rows,)` records of `SEGMENT_DTYPE`.
        frames: `(frames, dim)` float16.
    """

    vectors: AnyFloatArray
    segments: Rows
    frames: AnyFloatArray


@dataclass(frozen=True, eq=False)
class Runs:
    """Where the rows of each file begin and end, which lie together.

    Attributes:
        files: `(rows,)` the file of each row.
        starts: `(files,)` its first row.
        sizes: `(files,)` how many it has.
    """

    files: AnyIntArray
    starts: IntArray
    sizes: IntArray

    @classmethod
    def of(cls, files: AnyIntArray) -> Runs:
        """The runs of equal numbers in `(rows,)`.

        >>> Runs.of(np.array([7, 7, 3])).starts.tolist()
        [0, 2]
        """
        files = np.ascontiguousarray(files)
        starts = np.flatnonzero(np.diff(files, prepend=files[:1] - 1))
        return cls(files, starts, np.diff(starts, append=len(files)))


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What one version of a library counts.

    Attributes:
        version: Grows with every commit.
        generation: Counts the compactions.
        maps: The committed rows.
        live: `(rows,)` True for rows of files that are still there; None = all.
        codes: Of the generation's vectors, shared by its versions.
        num_files: Files.
        last_file: The highest number of one.
        masks: Which rows the last filters let pass.
    """

    version: int
    generation: int
    maps: Maps
    live: npt.NDArray[np.bool_] | None
    codes: VectorCodes
    num_files: int
    last_file: int
    masks: KeptMasks = field(default_factory=KeptMasks)

    @cached_property
    def runs(self) -> Runs:
        """The rows of each file."""
        return Runs.of(self.maps.segments["file_id"])

    def estimates(self, query: AnyFloatArray) -> Estimates:
        """What the inner products of all vectors with a query `(dim,)` are about."""
        vectors = self.maps.vectors
        if self.codes.are_of(vectors):
            return self.codes.estimates(query, len(vectors))
        return half_estimates(vectors, query)


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

    def append(self, at_row: int, at_frame: int, sounds: list[EmbeddedSound], records: list[Rows]) -> None:
        """Put new sounds behind the committed rows, and return when they are on the disk."""
        self.vectors.append(at_row, (sound.vectors for sound in sounds))
        self.frames.append(at_frame, (sound.rows for sound in sounds))
        self.segments.append(at_row, records)

    def map(self, num_rows: int, num_frames: int) -> Maps:
        """The committed rows."""
        return Maps(self.vectors.map(num_rows), self.segments.map(num_rows), self.frames.map(num_frames))

    def rewrite(self, files: IntArray, old: Maps) -> tuple[IntArray, IntArray]:
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


def _in_pieces(first: IntArray, count: IntArray) -> Iterator[IntArray]:
    numbers = expand_ranges(first, count)
    for at in range(0, len(numbers), ROWS_AT_A_TIME):
        yield numbers[at : at + ROWS_AT_A_TIME]
