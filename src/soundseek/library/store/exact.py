"""The rows that are worth a closer look, exactly, out of estimates whose errors are bounded.

A scan says of every row what its inner product with the query is about, and how far off that may be. Rows that may be
among the best are then multiplied in float32; no other row can be among them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from soundseek._typing import AnyFloatArray, AnyIntArray, BoolArray, FloatArray, IntArray
from soundseek.library.store.estimates import Estimates
from soundseek.library.store.rows import Runs, expand_ranges

# A selection below this share of the rows is copied together and multiplied at once; above, all rows are scanned.
GATHER_SHARE = 0.03
# Rows multiplied at a time: 32 MB of 512 numbers in float32.
ROWS_AT_ONCE = 16_384

# A file of a minute or more; of each so many rows are looked at closely. Those that have so many among the `MANY` best
# of all always are, and of the others as many files as have `LONG_FILE_ROWS` rows together: the frames of more would
# take longer to read than the whole search may.
LONG_FILE = 12
OF_A_LONG_FILE = 4
MANY = 4096
LONG_FILE_ROWS = 50_000
# Of more than so many times the numbers that are wanted, one in `_SAMPLED` says first which may be among them.
_SAMPLED, _SOME = 17, 4


Scan = Callable[[AnyFloatArray], Estimates]
"""A query `(dim,)` float32 -> what each row's product with it is about."""


def inner_products(
    vectors: AnyFloatArray, query: AnyFloatArray, rows: AnyIntArray | None = None
) -> FloatArray:
    """Inner products with a query `(dim,)` of all `vectors`, or of some of their rows, in float32.

    Equal rows have equal products, whichever rows stand around them, as a product of matrices does not promise.
    """
    wide = query.astype(np.float32)
    num = len(vectors) if rows is None else len(rows)
    out = np.empty(num, np.float32)
    for at in range(0, num, ROWS_AT_ONCE):
        some = slice(at, at + ROWS_AT_ONCE)
        np.einsum(
            "rd,d->r", vectors[some if rows is None else rows[some]].astype(np.float32), wide, out=out[some]
        )
    return out


def shortlisted_rows(
    vectors: AnyFloatArray,
    query: AnyFloatArray,
    *,
    segments: int,
    files: int,
    runs: Runs,
    allowed: BoolArray | None = None,
    scan: Scan,
) -> AnyIntArray:
    """Rows worth a closer look: the best of all, the best of each of the best files, and the best of each long file.

    In a recording of an hour the mean of ten seconds may say so little of a short event that hundreds of short files
    come before it. So the best rows of long files are always among them, see `LONG_FILE_ROWS`.

    Args:
        vectors: `(rows, dim)` float16, unit norm; a memory map is not copied.
        query: `(dim,)` float32.
        segments: How many of the best rows.
        files: The best row of how many files.
        runs: The file of each row.
        allowed: `(rows,)` bool, True = may answer, all rows of a file or none; None allows all.
        scan: What all products are about.

    Returns:
        Row numbers, each once, in order.
    """
    if not len(vectors):
        return np.empty(0, np.int64)
    low, high = _bounds(vectors, query, allowed, scan)
    rows, _ = _multiplied(vectors, query, _reaching(high, kth_largest(low, segments)))
    heads, _ = _multiplied(vectors, query, _reaching_of_files(low, high, runs, files))
    chosen = [rows[:segments], heads[_first_of_each(runs.files[heads])[:files]]]
    long_files = _long_files(low, runs)
    if len(long_files):
        chosen.append(_best_of_each(vectors, query, low, high, runs, long_files))
    # Not np.unique, which imports numpy.ma: a tenth of what is imported for a search.
    ordered: AnyIntArray = np.sort(np.concatenate(chosen))
    distinct: AnyIntArray = ordered[np.diff(ordered, prepend=-1) != 0]
    return distinct


def _bounds(
    vectors: AnyFloatArray, query: AnyFloatArray, allowed: BoolArray | None, scan: Scan
) -> tuple[FloatArray, FloatArray]:
    """`(rows,)` between which two numbers each product lies; minus infinity for a row that may not answer."""
    if allowed is not None and np.count_nonzero(allowed) < GATHER_SHARE * len(vectors):
        rows = np.flatnonzero(allowed)
        exact = np.full(len(vectors), -np.inf, np.float32)
        exact[rows] = inner_products(vectors, query, rows)
        return exact, exact
    about = scan(query)
    low, high = about.products - about.margins, about.products + about.margins
    if allowed is not None:
        low[~allowed] = high[~allowed] = -np.inf
    return low, high


def kth_largest(values: FloatArray, k: int) -> float:
    """The k-th largest of `(n,)`; minus infinity where there are fewer than `k`.

    >>> kth_largest(np.array([3.0, 1.0, 2.0]), 2)
    2.0
    """
    if k > 0 and len(values) > _SOME * _SAMPLED * k:
        # The k-th largest of some is no larger than that of all, so only those that reach it need be in order.
        least = kth_largest(values[::_SAMPLED], k)
        values = values[values >= least] if least > -np.inf else values[values > -np.inf]
    return float(np.partition(values, len(values) - k)[len(values) - k]) if 0 < k <= len(values) else -np.inf


def _reaching(high: FloatArray, least: float) -> AnyIntArray:
    """The rows that may answer and whose product may be so large."""
    rows: AnyIntArray = np.flatnonzero(high >= max(least, np.finfo(np.float32).min))
    return rows


def _reaching_of_files(low: FloatArray, high: FloatArray, runs: Runs, k: int) -> AnyIntArray:
    """The rows that may be the best of one of the `k` best files."""
    best = np.maximum.reduceat(low, runs.starts)
    rows = _reaching(high, kth_largest(best, k))
    its_best = best[np.searchsorted(runs.starts, rows, side="right") - 1]
    return rows[high[rows] >= its_best]


def _multiplied(
    vectors: AnyFloatArray, query: AnyFloatArray, rows: AnyIntArray
) -> tuple[AnyIntArray, FloatArray]:
    """Rows, best first, and their products."""
    products = inner_products(vectors, query, rows)
    order = np.lexsort((rows, -products))
    return rows[order], products[order]


def _first_of_each(files: AnyIntArray) -> IntArray:
    """Where each number stands first in `(n,)`, in order."""
    seen: dict[int, int] = {}
    for at, file in enumerate(files.tolist()):
        seen.setdefault(file, at)
    return np.fromiter(seen.values(), np.int64, len(seen))


def _long_files(low: FloatArray, runs: Runs) -> IntArray:
    """Which runs are long files whose best rows are looked at."""
    (found,) = np.nonzero((runs.sizes >= LONG_FILE) & (low[runs.starts] > -np.inf))
    if not len(found) or runs.sizes[found].sum() <= LONG_FILE_ROWS:
        return found
    is_among = low >= kth_largest(low, MANY)
    num_among = np.add.reduceat(is_among, runs.starts, dtype=np.int64)[found]
    chosen, room = [], LONG_FILE_ROWS
    for run, size, num in zip(found.tolist(), runs.sizes[found].tolist(), num_among.tolist(), strict=True):
        if num >= OF_A_LONG_FILE:
            chosen.append(run)
        elif size <= room:
            room -= size
            chosen.append(run)
    return np.array(chosen, np.int64)


def _best_of_each(
    vectors: AnyFloatArray,
    query: AnyFloatArray,
    low: FloatArray,
    high: FloatArray,
    runs: Runs,
    chosen: IntArray,
) -> AnyIntArray:
    """The `OF_A_LONG_FILE` best rows of each of some runs, which have more."""
    sizes = runs.sizes[chosen]
    rows = expand_ranges(runs.starts[chosen], sizes)
    starts = np.cumsum(sizes) - sizes
    # The least product that is surely among the best of its run: the largest are taken out one after the other.
    left = low[rows]
    for _ in range(OF_A_LONG_FILE - 1):
        left[left >= np.repeat(np.maximum.reduceat(left, starts), sizes)] = -np.inf
    rows = rows[high[rows] >= np.repeat(np.maximum.reduceat(left, starts), sizes)]
    order = np.lexsort((rows, -inner_products(vectors, query, rows), runs.files[rows]))
    rows = rows[order]
    of_each = Runs.of(runs.files[rows])
    best: AnyIntArray = rows[expand_ranges(of_each.starts, np.minimum(of_each.sizes, OF_A_LONG_FILE))]
    return best
