"""A derived index for libraries of millions of segments: lists of short vectors, and exact scores for what is nearest.

It is derived: whatever happens to it, `vectors.N.f16` is the truth, and without it every segment is compared. A segment
is known in it by its file and its place in the file (`approximate_keys.py`), which a compaction does not change; so an
index stays right while rows are added (they are compared exactly until the next one), removed (they are left out) and
renumbered. `approximate_build.py` makes it, `approximate_files.py` keeps it; here it is asked.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from soundseek._typing import AnyFloatArray, AnyIntArray, BoolArray, FloatArray, IntArray
from soundseek.errors import UsageError
from soundseek.library.store.approximate_build import (
    build_approximation,
    build_approximation_in_background,
    index_finds_itself,
    last_build_error,
    stale_parts,
    tail_rows,
)
from soundseek.library.store.approximate_files import (
    MANIFEST,
    DamagedIndexError,
    Manifest,
    OpenIndex,
    open_index,
    remove_parts,
)
from soundseek.library.store.approximate_keys import first_rows, rows_of_keys
from soundseek.library.store.base import Damage, ModelIdentity
from soundseek.library.store.estimates import half_estimates
from soundseek.library.store.exact import (
    LONG_FILE,
    LONG_FILE_ROWS,
    OF_A_LONG_FILE,
    inner_products,
)
from soundseek.library.store.rows import Rows, Snapshot

if TYPE_CHECKING:
    from sqlite3 import Connection

FROM_SEGMENTS = 2_000_000
"""Below, comparing every segment takes a quarter of a second at most."""
FROM_VARIABLE = "SOUNDSEEK_APPROXIMATE_FROM"
FROM_SETTING = "approximate_from"
NEVER = "never"

# So many of those that are nearest by their short vectors are scored exactly.
CANDIDATES = 512
# A filter that leaves a smaller part of `from_segments` than this is answered exactly; so is one for which more
# candidates would be needed than this.
EXACT_SHARE = 0.05
MOST_CANDIDATES = 16_384
LEAST_FILES = 60
"""A search wants the best segment of so many files, or more: candidates of fewer are no answer."""
# So many new rows, as a part of what is in the library, are worth bringing the index up to date; at most so many, which
# a search compares in 6 ms.
TAIL_SHARE = 0.1
TAIL_ROWS = 50_000

_Found = tuple[IntArray, FloatArray]
"""Rows, the best first, and their scores."""


@dataclass(frozen=True)
class ApproximateState:
    """How far an index is.

    Attributes:
        covered: Segments in it.
        num_bytes: On the disk.
        problem: Why it is not used; None where it is fine, or there is none.
    """

    covered: int = 0
    num_bytes: int = 0
    problem: str | None = None


@dataclass(frozen=True, eq=False)
class _Tail:
    """Rows behind those that an index covers, in one version of a library."""

    first_row: int
    long_ranges: IntArray


class Approximation:
    """The derived index of a library in a folder, if it has one; threads may share it.

    Args:
        directory: The library's folder.
        identity: The model that filled it.
    """

    def __init__(self, directory: Path, identity: ModelIdentity) -> None:
        self.directory = directory
        self.fingerprint = identity.fingerprint
        self._opening = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._index: OpenIndex | None = None
        self._problem: str | None = None
        self._tail: tuple[object, _Tail] | None = None

    # --- Searching ----------------------------------------------------------------------------------------------------

    def shortlisted_rows(
        self,
        connection: Connection,
        snapshot: Snapshot,
        query: AnyFloatArray,
        *,
        segments: int,
        files: int,
        allowed: BoolArray | None,
    ) -> AnyIntArray | None:
        """What `exact.shortlisted_rows` gives, out of the candidates of the index; None where every row is compared.

        Args:
            connection: Inside the read transaction of the search.
            snapshot: The rows of that transaction.
            query: `(dim,)` float32.
            segments: How many of the best rows.
            files: The best row of how many files.
            allowed: `(rows,)` True where a row may answer; None when all may.
        """
        search = self._search(connection, snapshot, query, allowed, files=files)
        while search is not None and (found := search.more(4 * (segments + files))) is not None:
            rows, scores = found
            best, _ = _best_of_files(snapshot.maps.segments, rows, scores)
            if len(rows) >= segments and len(best) >= files:
                of_long = self._rows_of_long_files(search, rows)
                return np.unique(np.concatenate([rows[:segments], best[:files], of_long]))
        return None

    def _search(
        self,
        connection: Connection,
        snapshot: Snapshot,
        query: AnyFloatArray,
        allowed: BoolArray | None,
        *,
        files: int,
    ) -> _Search | None:
        """A search by the index; None where there is none to use, or so few rows may answer that they are compared."""
        num_rows = len(snapshot.maps.vectors)
        least = from_segments(connection)
        if least is None or num_rows < max(least, 1) or files > snapshot.num_files:
            return None
        num_allowed = num_rows if allowed is None else int(np.count_nonzero(allowed))
        if num_allowed == 0 or num_allowed < EXACT_SHARE * least:
            return None
        index = self.index()
        if index is None:
            return None
        tail = self._tail_of(snapshot, index)
        return _Search(index, tail, snapshot, query, allowed, num_allowed / num_rows)

    def _tail_of(self, snapshot: Snapshot, index: OpenIndex) -> _Tail:
        """The rows that the index does not cover, and which of them are of long files."""
        known = self._tail
        key = (snapshot.version, index)
        if known is not None and known[0] == key:
            return known[1]
        numbers = snapshot.maps.segments["file_id"]
        first = int(first_rows(numbers, np.array([index.manifest.next_file]))[0])
        owners = np.asarray(numbers[first:])
        starts = np.flatnonzero(np.diff(owners, prepend=-1))
        ranges = np.stack([starts, np.append(starts, len(owners))[1:]], axis=1) + first
        covered = np.stack(
            [first_rows(numbers, index.manifest.long_files + after) for after in (0, 1)], axis=1
        )
        both = np.concatenate([covered, ranges])
        tail = _Tail(first, both[both[:, 1] - both[:, 0] >= LONG_FILE])
        self._tail = (key, tail)
        return tail

    def _rows_of_long_files(self, search: _Search, found: IntArray) -> IntArray:
        """The best rows of long files, as `exact.shortlisted_rows` looks at them.

        Args:
            search: What is searched for.
            found: `(n,)` rows that were found, the best first.
        """
        numbers, chosen, room = search.snapshot.maps.segments["file_id"], [], LONG_FILE_ROWS
        owners = numbers[found]
        distinct, counts = np.unique(owners, return_counts=True)
        for number in distinct[counts >= OF_A_LONG_FILE].tolist():
            start, end = first_rows(numbers, np.array([number, number + 1])).tolist()
            if end - start >= LONG_FILE:
                chosen.append(found[owners == number][:OF_A_LONG_FILE])
        known = set(distinct[counts >= OF_A_LONG_FILE].tolist())
        for start, end in search.tail.long_ranges.tolist():
            if search.allowed is not None and not search.allowed[start]:
                continue
            if int(numbers[start]) not in known and room >= end - start:
                room -= end - start
                vectors = search.snapshot.maps.vectors[start:end]
                chosen.append(start + _largest(vectors, search.query, OF_A_LONG_FILE))
        return np.concatenate([np.empty(0, np.int64), *chosen])

    # --- What is there ------------------------------------------------------------------------------------------------

    def index(self) -> OpenIndex | None:
        """The index that counts now, open; None where there is none, or it is damaged.

        A search that finds a newer one than it knows goes on with the one that is open, until a thread has opened it.
        """
        stamp = self._stamp_now()
        if stamp != self._stamp and self._opening.acquire(blocking=False):
            if stamp is not None and self._index is not None:
                threading.Thread(target=self._open, args=(stamp,), daemon=True).start()
            else:
                self._open(stamp)
        return self._index

    def _stamp_now(self) -> tuple[int, int, int] | None:
        try:
            status = (self.directory / MANIFEST).stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _open(self, stamp: tuple[int, int, int] | None) -> None:
        """Open what the manifest names, with the lock held, and give the lock back."""
        try:
            known = self._index.parts if self._index is not None else ()
            self._index, self._problem = (
                None if stamp is None else open_index(self.directory, self.fingerprint, known),
                None,
            )
        except FileNotFoundError:
            self._index = None  # another one has just taken its place
        except (DamagedIndexError, OSError) as error:
            self._index, self._problem = None, str(error)
        finally:
            self._stamp = stamp
            self._opening.release()

    def state(self) -> ApproximateState:
        """How far the index is; its bytes are not read."""
        try:
            manifest = Manifest.read(self.directory / MANIFEST)
            sizes = [(self.directory / part.name).stat().st_size for part in manifest.parts]
        except FileNotFoundError:
            is_there = (self.directory / MANIFEST).exists()
            return ApproximateState(problem="a part of it is missing" if is_there else None)
        except DamagedIndexError as error:
            return ApproximateState(problem=str(error))
        num_bytes = sum(sizes)
        for part, size in zip(manifest.parts, sizes, strict=True):
            if size != part.num_bytes:
                return ApproximateState(0, num_bytes, f"{part.name} is not as it was written")
        if manifest.fingerprint != self.fingerprint:
            return ApproximateState(0, num_bytes, "it is of another model")
        is_known = self._stamp == self._stamp_now()
        return ApproximateState(manifest.num_rows, num_bytes, self._problem if is_known else None)

    def described(self, connection: Connection, snapshot: Snapshot) -> str:
        """Whether searches use the index, and what it covers, in words."""
        least, num_rows, state = from_segments(connection), len(snapshot.maps.vectors), self.state()
        if least is None:
            return "never: every segment is compared"
        if num_rows < max(least, 1):
            return f"none: every segment is compared below {least:,} segments"
        if state.problem is not None:
            return f"damaged, every segment is compared ({state.problem}); make another: soundseek library approximate"
        if not state.covered:
            failed = last_build_error(self.directory)
            why = f" (the last try failed: {failed})" if failed else ""
            return f"none yet{why}, every segment is compared; make one: soundseek library approximate"
        newer = tail_rows(Manifest.read(self.directory / MANIFEST), snapshot)
        told = f"of {state.covered:,} segments ({state.num_bytes / 1e6:,.1f} MB); {newer:,} newer ones compared exactly"
        return f"{told}{_of_little_use(snapshot)}"

    def find_damage(self, snapshot: Snapshot) -> Iterator[Damage]:
        """What is wrong with the index; all of it is read, and some segments must find themselves."""
        path = self.directory / MANIFEST
        try:
            index = open_index(self.directory, self.fingerprint)
        except FileNotFoundError:
            return
        except (DamagedIndexError, OSError) as error:
            yield Damage(str(path), f"{error}; every segment is compared", is_sound=False)
            return
        if not index_finds_itself(index, snapshot):
            yield Damage(
                str(path), "it does not fit the vectors of the library; its hits may be poor", is_sound=False
            )

    def close(self) -> None:
        """Let go of the parts; a search opens them again."""
        with self._opening:
            self._index = self._stamp = self._tail = None

    def remove(self) -> None:
        """Let the library be without an index: its files go, the manifest first."""
        with suppress(OSError):
            (self.directory / MANIFEST).unlink(missing_ok=True)
        remove_parts(self.directory)

    # --- Building -----------------------------------------------------------------------------------------------------

    def is_due(self, connection: Connection, snapshot: Snapshot, *, is_asked: bool) -> bool:
        """Whether the library is large enough for an index, and has none, or one that covers too little of it.

        Where nobody asks for it, one of few files, which searches cannot use, is not due.
        """
        least, num_rows = from_segments(connection), len(snapshot.maps.vectors)
        if least is None or num_rows < max(least, 1) or (snapshot.num_files < LEAST_FILES and not is_asked):
            return False
        state = self.state()
        if state.problem is not None or not state.covered:
            return True
        manifest = Manifest.read(self.directory / MANIFEST)
        is_behind = tail_rows(manifest, snapshot) > min(TAIL_SHARE * num_rows, TAIL_ROWS)
        return is_behind or any(stale_parts(manifest.parts, snapshot))

    def build(
        self, snapshot: Snapshot, *, next_file: int, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Make the index of all rows that are there now, out of the former one where that is still of use.

        Args:
            snapshot: The rows; they may be removed and renumbered meanwhile.
            next_file: Their files have lower numbers.
            progress: Is told of the rows that are done, and their number.

        Raises:
            LibraryError: Another process is building, or the library is not of the kind that can be indexed.
            StorageError: The disk is full.
        """
        build_approximation(
            self.directory, self.fingerprint, snapshot, next_file=next_file, progress=progress
        )

    def build_in_background(self) -> None:
        """Let a process of its own build the index, which goes on when this one ends."""
        build_approximation_in_background(self.directory)


@dataclass(eq=False)
class _Search:
    """One query, asked for ever more candidates.

    Attributes:
        index: The index.
        tail: What it does not cover.
        snapshot: The rows of the library.
        query: `(dim,)` float32.
        allowed: `(rows,)` True where a row may answer; None when all may.
        share: Of the rows that may answer.
        asked: How many candidates were asked for last.
    """

    index: OpenIndex
    tail: _Tail
    snapshot: Snapshot
    query: AnyFloatArray
    allowed: BoolArray | None
    share: float
    asked: int = 0

    def more(self, wanted: int) -> _Found | None:
        """Rows that may answer and their exact scores, the best first; None where it takes too many candidates.

        Args:
            wanted: Of how many there is a use; four times as many the next time.
        """
        count = 4 * self.asked if self.asked else max(CANDIDATES, int(wanted / self.share))
        if count > MOST_CANDIDATES:
            return None
        self.asked = count
        maps = self.snapshot.maps
        rows = rows_of_keys(maps.segments["file_id"], self.index.nearest(self.query, count))
        rows = rows[rows < self.tail.first_row]
        if self.tail.first_row < len(maps.vectors):
            behind = maps.vectors[self.tail.first_row :]
            newer = _largest(behind, self.query, count)
            rows = np.concatenate([rows, self.tail.first_row + newer])
        if self.allowed is not None:
            rows = rows[self.allowed[rows]]
        scores = np.clip(inner_products(maps.vectors, self.query, rows), -1.0, 1.0)
        order = np.lexsort((rows, -scores))
        return rows[order], scores[order]


def _of_little_use(snapshot: Snapshot) -> str:
    """Why an index answers no search of a library, or few: its files are few and long."""
    if snapshot.num_files < LEAST_FILES:
        return (
            f"; a search wants the best segment of {LEAST_FILES} files and here are {snapshot.num_files:,}, so every "
            "segment is compared all the same"
        )
    of_a_file = len(snapshot.maps.vectors) / snapshot.num_files
    if of_a_file > MOST_CANDIDATES / LEAST_FILES:
        return (
            f"; files have {of_a_file:,.0f} segments each: where the {MOST_CANDIDATES:,} nearest are of fewer than "
            f"{LEAST_FILES} files, every segment is compared all the same"
        )
    return ""


def from_segments(connection: Connection) -> int | None:
    """From how many segments on a library has an approximate index; None for never.

    The environment variable SOUNDSEEK_APPROXIMATE_FROM comes before what the library remembers.

    Raises:
        UsageError: The variable is neither a number nor "never".
    """
    text = os.environ.get(FROM_VARIABLE)
    if text is not None:
        return read_from(text, FROM_VARIABLE)
    row = connection.execute("SELECT value FROM about WHERE key = ?", (FROM_SETTING,)).fetchone()
    return FROM_SEGMENTS if row is None else read_from(row[0], FROM_SETTING)


def read_from(text: str, name: str) -> int | None:
    """What a number of segments, or "never", means.

    Args:
        text: What was given.
        name: Where, for the message.

    Raises:
        UsageError: It is neither.

    >>> read_from("2_000_000", "--from"), read_from("never", "--from")
    (2000000, None)
    """
    if text == NEVER:
        return None
    with suppress(ValueError):
        if (number := int(text)) >= 0:
            return number
    raise UsageError(f"{name} is {text!r}; give a number of segments, as {FROM_SEGMENTS}, or {NEVER!r}")


def _largest(vectors: AnyFloatArray, query: AnyFloatArray, count: int) -> IntArray:
    """The `count` rows, or all, with the largest inner products, in no order."""
    count = min(count, len(vectors))
    about = half_estimates(vectors, query).products
    return np.argpartition(about, len(about) - count)[len(about) - count :]


def _best_of_files(segments: Rows, rows: IntArray, scores: FloatArray) -> _Found:
    """Of rows, the best first, the best one of each file."""
    _, first = np.unique(segments["file_id"][rows], return_index=True)
    kept = np.sort(first)
    return rows[kept], scores[kept]
