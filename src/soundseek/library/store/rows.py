"""Append-only files of fixed-size rows, read through memory maps."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from soundseek.errors import LibraryError

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
            sync_directory(self.path.parent)
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


def expand_ranges(first: npt.NDArray[np.int64], count: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The numbers in the ranges `[first, first + count)`, one range after the other.

    >>> expand_ranges(np.array([7, 2]), np.array([2, 3])).tolist()
    [7, 8, 2, 3, 4]
    """
    starts = np.cumsum(count) - count
    return np.repeat(first - starts, count) + np.arange(int(count.sum()), dtype=np.int64)


def rows_without(num_rows: int, dead: Sequence[tuple[int, int]]) -> npt.NDArray[np.bool_] | None:
    """`(rows,)` False in the ranges `(first row, number of rows)` that are dead; None when there are none."""
    if not dead:
        return None
    ranges = np.array(dead, dtype=np.int64)
    live = np.ones(num_rows, dtype=np.bool_)
    live[expand_ranges(ranges[:, 0], ranges[:, 1])] = False
    return live


def sync_directory(directory: Path) -> None:
    """Make new names in a folder survive a power cut (where the system can: not on Windows)."""
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
