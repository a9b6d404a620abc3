"""Lists of segments that are alike: k-means over short vectors, of which a search compares those of the nearest lists.

A question in words lies far from all sounds. The way to them through a graph of sounds that are near each other misses
more the more segments there are; lists are compared whole, so what is in the chosen ones is found. They are made at a
fifteenth of the cost, too; see docs/scale.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from soundseek._typing import AnyFloatArray, FloatArray, IntArray
from soundseek.library.store.estimates import CodedQuery
from soundseek.library.store.rows import spread_evenly

LIST_ROWS = 1_000
_SAMPLE_OF_A_LIST = 40
_ROUNDS = 8
_ROWS_AT_ONCE = 8192
_LEVELS = 127
_ROOM = 1.1  # segments may lie farther out than those of the sample

Codes = npt.NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class SegmentLists:
    """The lists of some segments, in a file of which a part is read when touched.

    Attributes:
        centres: `(lists, short dim)` float32.
        steps: `(short dim,)` float32: what one step of a code means.
        offsets: `(lists + 1,)` where each list begins.
        keys: `(n,)` of segments, list after list.
        codes: `(n, short dim)` their short vectors.
    """

    centres: FloatArray
    steps: FloatArray
    offsets: IntArray
    keys: IntArray
    codes: Codes

    def __len__(self) -> int:
        return len(self.keys)

    def coded(self, short: FloatArray) -> CodedQuery:
        """A short query `(short dim,)`, weighed as the codes ask for."""
        return CodedQuery.of(short * self.steps)

    def about(self, number: int, query: CodedQuery) -> FloatArray:
        """`(n,)` about what the inner products of a list's segments with a query are."""
        return query.products(self.codes[self.offsets[number] : self.offsets[number + 1]])


@dataclass(eq=False)
class ListsInMemory:
    """Lists that are made.

    Attributes:
        centres: `(lists, short dim)` float32.
        steps: `(short dim,)` float32.
        blocks: Of segments that were added, the list of each, its key and its code.
    """

    centres: FloatArray
    steps: FloatArray
    blocks: list[tuple[IntArray, IntArray, Codes]] = field(default_factory=list)

    @classmethod
    def for_sample(cls, sample: FloatArray, num_rows: int) -> ListsInMemory:
        """Empty lists for so many segments, where a sample `(n, short dim)` of them lies."""
        num_lists = max(1, min(round(num_rows / LIST_ROWS), len(sample)))
        highest = np.abs(sample).max(axis=0) if len(sample) else np.ones(sample.shape[1], np.float32)
        steps = np.maximum(highest * _ROOM / _LEVELS, 1e-12).astype(np.float32)
        return cls(_centres(sample, num_lists), steps)

    @classmethod
    def of(cls, lists: SegmentLists) -> ListsInMemory:
        """What is in a file, to be added to."""
        numbers = np.repeat(np.arange(len(lists.centres)), np.diff(lists.offsets))
        return cls(lists.centres, lists.steps, [(numbers, lists.keys, lists.codes)])

    def __len__(self) -> int:
        return sum(len(keys) for _, keys, _ in self.blocks)

    def add(self, keys: IntArray, short: FloatArray) -> None:
        """Put segments `(n,)` with short vectors `(n, short dim)` into the lists of the nearest centres."""
        codes = np.clip(np.rint(short / self.steps), -_LEVELS, _LEVELS).astype(np.int8)
        self.blocks.append((_nearest(self.centres, short), keys, codes))

    def write(self, path: Path) -> None:
        """All of it, list after list, to a file; what is equal in all is written in the order in which it came."""
        short_dim = self.centres.shape[1]
        numbers = np.concatenate([np.empty(0, np.int64), *(block[0] for block in self.blocks)])
        keys = np.concatenate([np.empty(0, np.int64), *(block[1] for block in self.blocks)])
        codes = np.concatenate([np.empty((0, short_dim), np.int8), *(block[2] for block in self.blocks)])
        order = np.argsort(numbers, kind="stable")
        offsets = np.searchsorted(numbers[order], np.arange(len(self.centres) + 1)).astype(np.int64)
        with path.open("wb") as handle:
            np.array([len(self.centres), len(keys)], np.int64).tofile(handle)
            for array in (offsets, keys[order], self.centres, self.steps):
                array.tofile(handle)
            for first in range(0, len(order), _ROWS_AT_ONCE):
                codes[order[first : first + _ROWS_AT_ONCE]].tofile(handle)


def open_lists(path: Path, short_dim: int) -> SegmentLists:
    """The lists in a file that `ListsInMemory.write` wrote.

    Raises:
        ValueError: The file is shorter than it says.
    """
    held = np.memmap(path, np.uint8, mode="r").view(np.ndarray)
    num_lists, num_rows = held[:16].view(np.int64).tolist()
    at = 16
    arrays: list[Any] = []
    for shape, dtype in (
        ((num_lists + 1,), np.int64), ((num_rows,), np.int64), ((num_lists, short_dim), np.float32),
        ((short_dim,), np.float32), ((num_rows, short_dim), np.int8),
    ):  # fmt: skip
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        arrays.append(held[at : at + size].view(dtype).reshape(shape))
        at += size
    offsets, keys, centres, steps, codes = arrays
    return SegmentLists(np.array(centres), np.array(steps), np.array(offsets), keys, codes)


def _centres(sample: FloatArray, num_lists: int) -> FloatArray:
    """`(lists, short dim)` of k-means; one that gets nothing stays where it was."""
    chosen = sample[spread_evenly(len(sample), _SAMPLE_OF_A_LIST * num_lists)]
    centres = chosen[spread_evenly(len(chosen), num_lists)].copy()
    for _ in range(_ROUNDS if num_lists > 1 else 1):
        nearest = _nearest(centres, chosen)
        order = np.argsort(nearest, kind="stable")
        firsts = np.searchsorted(nearest[order], np.arange(num_lists))
        counts = np.diff(np.append(firsts, len(order)))
        is_used = counts > 0
        if is_used.any():
            sums = np.add.reduceat(chosen[order], firsts[is_used])
            centres[is_used] = sums / counts[is_used, None]
    return np.ascontiguousarray(centres if len(centres) else np.zeros((1, sample.shape[1])), np.float32)


def _nearest(centres: FloatArray, short: AnyFloatArray) -> IntArray:
    """`(n,)` the nearest centre of each short vector `(n, short dim)`."""
    halves = (0.5 * np.square(centres).sum(axis=1)).astype(np.float32)
    found = [np.empty(0, np.int64)]
    for first in range(0, len(short), _ROWS_AT_ONCE):
        found.append((short[first : first + _ROWS_AT_ONCE] @ centres.T - halves).argmax(axis=1))
    return np.concatenate(found)
