"""The name of a segment in an approximate index: the number of its file and its place in the file, in one integer.

A compaction renumbers rows and changes neither, so an index stays right.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from soundseek._typing import AnyIntArray, IntArray
from soundseek.errors import LibraryError

_ORDINAL_BITS = 24
"""Segments of one file: 16 million, two and a half years of sound."""


def first_rows(numbers: AnyIntArray, wanted: Any) -> IntArray:
    """The first row of each file, or of the next one where a file has none.

    Not numpy's searchsorted, which would copy the column of all rows.

    Args:
        numbers: `(rows,)` the file of each row, ascending.
        wanted: `(n,)` numbers of files.

    >>> first_rows(np.array([2, 2, 5]), [1, 2, 3, 5, 9]).tolist()
    [0, 0, 2, 2, 3]
    """
    wanted = np.asarray(wanted, np.int64)
    low, high = np.zeros(len(wanted), np.int64), np.full(len(wanted), len(numbers), np.int64)
    while (open_ := low < high).any():
        middle = (low + high) // 2
        is_below = open_ & (numbers[np.minimum(middle, len(numbers) - 1)] < wanted)
        low = np.where(is_below, middle + 1, low)
        high = np.where(open_ & ~is_below, middle, high)
    return low


def keys_of_rows(numbers: AnyIntArray, first: int, last: int) -> IntArray:
    """The keys of the rows `[first, last)`: the file's number, and the segment's place in the file.

    Args:
        numbers: `(rows,)` the file of each row, ascending.
        first: The first row.
        last: The row behind the last one.

    >>> [divmod(key, 1 << 24) for key in keys_of_rows(np.array([3, 3, 3, 4]), 1, 4).tolist()]
    [(3, 1), (3, 2), (4, 0)]
    """
    owners = np.asarray(numbers[first:last], np.int64)
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    begins = first_rows(numbers, owners[starts])
    lengths = np.diff(np.append(starts, len(owners)))
    places = np.arange(first, last) - np.repeat(begins, lengths)
    if (np.diff(owners) < 0).any() or (places >= 1 << _ORDINAL_BITS).any():
        raise LibraryError(
            "the rows of this library are in an order that an approximate index cannot be made of; every segment is "
            "compared"
        )
    return (owners << _ORDINAL_BITS) | places


def rows_of_keys(numbers: AnyIntArray, keys: IntArray) -> IntArray:
    """The rows of segments that are still there, in the order of their keys.

    Args:
        numbers: `(rows,)` the file of each row, ascending.
        keys: `(n,)`, see `keys_of_rows`.
    """
    files = keys >> _ORDINAL_BITS
    rows = first_rows(numbers, files) + (keys & ((1 << _ORDINAL_BITS) - 1))
    is_there = rows < len(numbers)
    is_there &= numbers[np.minimum(rows, len(numbers) - 1)] == files
    return rows[is_there]
