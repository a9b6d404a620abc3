"""The best rows, or the best row of each group, out of an exact scan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from soundseek._typing import AnyFloatArray, AnyIntArray

# A SIMD scan sees the query in float16 (an error of some 3e-5); this many more groups than asked for are
# scored again in float32, so that the order of near ties is numpy's.
SPARE_GROUPS = 16
# A selection below this share of the rows is copied together and scanned alone; above, all rows are scanned.
GATHER_SHARE = 0.125

# A file of a minute or more; of each so many rows are looked at closely, as long as they have so many rows together:
# for more, the scan would take twice as long.
LONG_FILE = 12
OF_A_LONG_FILE = 4
MANY = 4096  # best rows that one scan brings at hardly more cost than ten
LONG_FILE_ROWS = 50_000

Scan = Callable[[AnyFloatArray, AnyFloatArray, int], AnyIntArray]


def best_rows(
    vectors: AnyFloatArray,
    query: AnyFloatArray,
    *,
    k: int,
    groups: npt.NDArray[Any] | None = None,
    allowed: npt.NDArray[np.bool_] | None = None,
    scan: Scan,
) -> tuple[AnyIntArray, AnyFloatArray]:
    """The `k` best rows by inner product, exactly, or the best row of each of the `k` best groups.

    Rows come from the scan best first, so the first row seen of a group is the group's best; when the rows
    fetched hold too few groups (one file may own the first thousand rows), more are fetched, at last all.

    Args:
        vectors: `(rows, dim)` float16, unit norm; may be a memory map, which is not copied.
        query: `(dim,)` float32.
        k: How many rows or groups.
        groups: `(rows,)` the group of each row; None ranks every row.
        allowed: `(rows,)` bool, True = may answer; None allows all.
        scan: `(vectors, query, count)` -> the row numbers of the `count` largest products, best first.

    Returns:
        Row numbers `(n,)` and float32 scores `(n,)` in [-1, 1], n <= k, best first.
    """
    rows: AnyIntArray | None = None
    if allowed is not None:
        num_allowed = int(np.count_nonzero(allowed))
        if num_allowed < GATHER_SHARE * len(vectors):
            rows = np.flatnonzero(allowed)
            vectors, groups, allowed = vectors[rows], None if groups is None else groups[rows], None
    if k < 1 or not len(vectors):
        return np.empty(0, np.int64), np.empty(0, np.float32)
    found = _candidates(vectors, query, k + SPARE_GROUPS, groups, allowed, scan)
    # (candidates, dim) float32 times (dim,): few rows, so numpy's own product is quick.
    scores = vectors[found].astype(np.float32) @ query.astype(np.float32)
    order = np.lexsort((found, -scores))[:k]
    # A float16 row is up to some 5e-4 longer or shorter than 1; no cosine is above 1.
    found, scores = found[order], np.clip(scores[order], -1.0, 1.0)
    return (found if rows is None else rows[found]), scores


def shortlisted_rows(
    vectors: AnyFloatArray,
    query: AnyFloatArray,
    *,
    segments: int,
    files: int,
    groups: npt.NDArray[Any],
    allowed: npt.NDArray[np.bool_] | None = None,
    scan: Scan,
) -> AnyIntArray:
    """Rows worth a closer look: the best of all, the best of each of the best files, and the best of each long file.

    In a recording of an hour the mean of ten seconds may say so little of a short event that hundreds of short files
    come before it. So the best rows of long files are always among them: of as many such files as have `LONG_FILE_ROWS`
    rows together.

    Args:
        vectors: `(rows, dim)` float16, unit norm; a memory map is not copied.
        query: `(dim,)` float32.
        segments: How many of the best rows.
        files: The best row of how many files.
        groups: `(rows,)` the file of each row; rows of a file lie together.
        allowed: `(rows,)` bool, True = may answer, all rows of a file or none; None allows all.
        scan: As for `best_rows`.

    Returns:
        Row numbers, each once, in no order.
    """
    if allowed is not None and np.count_nonzero(allowed) < GATHER_SHARE * len(vectors):
        rows: AnyIntArray = np.flatnonzero(allowed)
        few = shortlisted_rows(
            vectors[rows], query, segments=segments, files=files, groups=groups[rows], scan=scan
        )
        return rows[few]
    if not len(vectors):
        return np.empty(0, np.int64)
    count = min(len(vectors), max(4 * (segments + files), MANY))
    while True:
        found = scan(vectors, query, count)
        if allowed is not None:
            found = found[allowed[found]]
        _, first, num = np.unique(groups[found], return_index=True, return_counts=True)
        if len(first) >= files or count == len(vectors):
            break
        count = min(len(vectors), count * 32)
    chosen = [found[:segments], found[np.sort(first)[:files]]]
    starts = np.concatenate([[0], np.flatnonzero(np.diff(groups)) + 1])
    ends = np.concatenate([starts[1:], [len(groups)]])
    is_long = ends - starts >= LONG_FILE
    if allowed is not None:
        is_long &= allowed[starts]
    known = set(groups[found[first[num >= OF_A_LONG_FILE]]].tolist())
    room = LONG_FILE_ROWS
    for start, end in zip(starts[is_long].tolist(), ends[is_long].tolist(), strict=True):
        if groups[start] in known:
            chosen.append(found[groups[found] == groups[start]][:OF_A_LONG_FILE])
        elif room >= end - start:
            room -= end - start
            chosen.append(start + scan(vectors[start:end], query, OF_A_LONG_FILE))
    # Not np.unique, which imports numpy.ma: a tenth of what is imported for a search.
    ordered: AnyIntArray = np.sort(np.concatenate(chosen))
    distinct: AnyIntArray = ordered[np.diff(ordered, prepend=-1) != 0]
    return distinct


def _candidates(
    vectors: AnyFloatArray,
    query: AnyFloatArray,
    wanted: int,
    groups: npt.NDArray[Any] | None,
    allowed: npt.NDArray[np.bool_] | None,
    scan: Scan,
) -> AnyIntArray:
    """The best allowed rows, one a group, at least `wanted` of them where there are as many."""
    count = min(len(vectors), max(4 * wanted, 64))
    while True:
        found = scan(vectors, query, count)
        if allowed is not None:
            found = found[allowed[found]]
        if groups is not None:
            _, first = np.unique(groups[found], return_index=True)
            found = found[np.sort(first)]
        if len(found) >= wanted or count == len(vectors):
            return found[:wanted]
        count = min(len(vectors), count * 32)
