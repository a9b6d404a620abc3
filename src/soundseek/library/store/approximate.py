"""A derived index for libraries of millions of segments: HNSW over short vectors, and exact scores for what it finds.

    approximate.npz               which graph counts, what it covers, how vectors are shortened
    approximate.XXXXXXXX.graph    usearch's graph: of each segment 128 numbers of 8 bits, by principal components

It is derived: whatever happens to it, `vectors.N.f16` is the truth, and without it every segment is compared. A segment
is known in it by the number of its file and its place in the file, which a compaction does not change; so an index
stays right while rows are added (they are compared exactly until the next one), removed (they are left out) and
renumbered. A new graph is written beside the old one, synced, and counts once the manifest has been replaced.

Nothing here takes the right to write to the library: an index is built while others search and index.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from soundseek._files import release_lock, replacing, take_lock
from soundseek._typing import AnyFloatArray, AnyIntArray, BoolArray, FloatArray, IntArray
from soundseek.errors import LibraryError, UsageError
from soundseek.library.store.base import Damage, ModelIdentity
from soundseek.library.store.estimates import half_estimates
from soundseek.library.store.exact import (
    LONG_FILE,
    LONG_FILE_ROWS,
    OF_A_LONG_FILE,
    SPARE_GROUPS,
    inner_products,
)
from soundseek.library.store.rows import Rows, Snapshot, spread_evenly

if TYPE_CHECKING:
    from sqlite3 import Connection

MANIFEST = "approximate.npz"
BUILD_LOCK = "approximate.lock"
REVISION = 1

FROM_SEGMENTS = 2_000_000
"""Below, comparing every segment takes a quarter of a second at most."""
FROM_VARIABLE = "SOUNDSEEK_APPROXIMATE_FROM"
FROM_SETTING = "approximate_from"
NEVER = "never"

# 64 numbers keep four fifths of soundseek-small's vectors and 128 nineteen twentieths; 512 take twice the room.
SHORT_DIM = 128
CONNECTIVITY = 16
EXPANSION_WHILE_BUILDING = 128
EXPANSION = 2048
# So many of those that a search of the graph passes by are scored exactly.
CANDIDATES = 512
SAMPLE_ROWS = 20_000
PIECE_ROWS = 8192

# A filter that leaves a smaller part of `from_segments` than this is answered exactly; so is one for which more
# candidates would be needed than this.
EXACT_SHARE = 0.05
MOST_CANDIDATES = 16_384
# Parts of what is in the index: so many new rows are worth another one; with so many dead ones, or so much growth, it
# is made from nothing.
TAIL_SHARE = 0.1
DEAD_SHARE = 0.3
GROWTH = 4

_ORDINAL_BITS = 24
"""Segments of one file: 16 million, two and a half years of sound."""
_PROBES = 8
_CHECKED_BYTES = 1 << 20

_Found = tuple[IntArray, FloatArray]
"""Rows, the best first, and their scores."""


class DamagedIndexError(Exception):
    """An index that cannot be used as it is; its text says why."""


@dataclass(frozen=True, eq=False)
class Manifest:
    """What an index is, and what of the library it covers.

    Attributes:
        graph: Name of the graph's file.
        num_bytes: Its size.
        checksum: Of its bytes, see `checksum_of`.
        fingerprint: The model that filled the library.
        num_rows: Segments in the graph.
        next_file: Files with a lower number are covered.
        built_rows: Segments when the graph was made from nothing.
        projection: `(dim, short dim)` float32, orthonormal columns.
        long_files: `(n,)` numbers of the first files with many segments, of which some are always looked at.
    """

    graph: str
    num_bytes: int
    checksum: str
    fingerprint: str
    num_rows: int
    next_file: int
    built_rows: int
    projection: FloatArray
    long_files: IntArray

    def write(self, path: Path) -> None:
        """Let this index count from now on."""
        facts = {name: value for name, value in vars(self).items() if not isinstance(value, np.ndarray)}
        text = json.dumps({"revision": REVISION, **facts}).encode()
        with replacing(path) as partial, partial.open("wb") as handle:
            np.savez(
                handle,
                facts=np.frombuffer(text, np.uint8),
                projection=self.projection,
                long_files=self.long_files,
            )

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """The manifest in a file.

        Raises:
            FileNotFoundError: There is none.
            DamagedIndexError: It cannot be read, or another soundseek wrote it.
        """
        try:
            with np.load(path, allow_pickle=False) as held:
                facts = json.loads(held["facts"].tobytes())
                arrays = {name: held[name] for name in ("projection", "long_files")}
            if facts.pop("revision") != REVISION:
                raise DamagedIndexError("another version of soundseek made it")
            return cls(**facts, **arrays)
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise DamagedIndexError(f"it cannot be read ({error})") from error


@dataclass(frozen=True, eq=False)
class Graph:
    """An index that is open: its graph lies on the disk, and is read when touched.

    Attributes:
        manifest: What it is.
        index: usearch's.
    """

    manifest: Manifest
    index: Any

    def nearest(self, query: AnyFloatArray, count: int) -> IntArray:
        """`(n,)` keys of the nearest segments, the best first, n <= count."""
        if not len(self.index):  # usearch refuses to look for nothing
            return np.empty(0, np.int64)
        short = query.astype(np.float32) @ self.manifest.projection
        keys = self.index.search(short, min(count, len(self.index)), threads=1).keys
        return np.asarray(keys).reshape(-1).astype(np.int64)


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
        self._graph: Graph | None = None
        self._problem: str | None = None
        self._tail: tuple[object, _Tail] | None = None

    # --- Searching ----------------------------------------------------------------------------------------------------

    def best_rows(
        self,
        connection: Connection,
        snapshot: Snapshot,
        query: AnyFloatArray,
        *,
        k: int,
        by_file: bool,
        allowed: BoolArray | None,
    ) -> _Found | None:
        """What `exact.best_rows` gives, out of the candidates of the index; None where every row is to be compared.

        Args:
            connection: Inside the read transaction of the search.
            snapshot: The rows of that transaction.
            query: `(dim,)` float32.
            k: How many.
            by_file: The best row of each file, or every row.
            allowed: `(rows,)` True where a row may answer; None when all may.
        """
        search = self._search(connection, snapshot, query, allowed)
        while search is not None and (found := search.more(4 * (k + SPARE_GROUPS))) is not None:
            rows, scores = found
            if by_file:
                rows, scores = _best_of_files(snapshot.maps.segments, rows, scores)
            if len(rows) >= k:
                return rows[:k], scores[:k]
        return None

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
        """What `exact.shortlisted_rows` gives, out of the candidates of the index; None as for `best_rows`.

        Args:
            connection: Inside the read transaction of the search.
            snapshot: The rows of that transaction.
            query: `(dim,)` float32.
            segments: How many of the best rows.
            files: The best row of how many files.
            allowed: `(rows,)` True where a row may answer; None when all may.
        """
        search = self._search(connection, snapshot, query, allowed)
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
    ) -> _Search | None:
        """A search by the index; None where there is none to use, or so few rows may answer that they are compared."""
        num_rows = len(snapshot.maps.vectors)
        least = from_segments(connection)
        if least is None or num_rows < max(least, 1):
            return None
        num_allowed = num_rows if allowed is None else int(np.count_nonzero(allowed))
        if num_allowed == 0 or num_allowed < EXACT_SHARE * least:
            return None
        graph = self.graph()
        if graph is None:
            return None
        tail = self._tail_of(snapshot, graph)
        return _Search(graph, tail, snapshot, query, allowed, num_allowed / num_rows)

    def _tail_of(self, snapshot: Snapshot, graph: Graph) -> _Tail:
        """The rows that the index does not cover, and which of them are of long files."""
        known = self._tail
        key = (snapshot.version, graph)
        if known is not None and known[0] == key:
            return known[1]
        numbers = snapshot.maps.segments["file_id"]
        first = int(first_rows(numbers, np.array([graph.manifest.next_file]))[0])
        owners = np.asarray(numbers[first:])
        starts = np.flatnonzero(np.diff(owners, prepend=-1))
        ranges = np.stack([starts, np.append(starts, len(owners))[1:]], axis=1) + first
        covered = np.stack(
            [first_rows(numbers, graph.manifest.long_files + after) for after in (0, 1)], axis=1
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

    def graph(self) -> Graph | None:
        """The index that counts now, open; None where there is none, or it is damaged.

        A search that finds a newer one than it knows goes on with the one that is open, until a thread has opened it.
        """
        stamp = self._stamp_now()
        if stamp != self._stamp and self._opening.acquire(blocking=False):
            if stamp is not None and self._graph is not None:
                threading.Thread(target=self._open, args=(stamp,), daemon=True).start()
            else:
                self._open(stamp)
        return self._graph

    def _stamp_now(self) -> tuple[int, int, int] | None:
        try:
            status = (self.directory / MANIFEST).stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _open(self, stamp: tuple[int, int, int] | None) -> None:
        """Open what the manifest names, with the lock held, and give the lock back."""
        try:
            self._graph, self._problem = None if stamp is None else self._opened(), None
        except FileNotFoundError:
            self._graph = None  # another one has just taken its place
        except (DamagedIndexError, OSError) as error:
            self._graph, self._problem = None, str(error)
        finally:
            self._stamp = stamp
            self._opening.release()

    def _opened(self) -> Graph:
        """The index on the disk, once its bytes are known to be those that were written.

        usearch follows what stands in the file, so a damaged one could end the process. Reading it once takes a third
        of the time of one exact comparison.

        Raises:
            FileNotFoundError: There is none.
            DamagedIndexError: It is damaged.
        """
        manifest = Manifest.read(self.directory / MANIFEST)
        path = self.directory / manifest.graph
        if manifest.fingerprint != self.fingerprint:
            raise DamagedIndexError("it is of another model")
        if not path.exists():
            raise DamagedIndexError(f"{manifest.graph} is missing")
        if path.stat().st_size != manifest.num_bytes or checksum_of(path) != manifest.checksum:
            raise DamagedIndexError(f"{manifest.graph} is not as it was written")
        index = _new_index(manifest.projection.shape[1])
        try:
            index.view(path)
        except Exception as error:  # usearch's errors have no class of their own
            raise DamagedIndexError(f"{manifest.graph} cannot be read ({error})") from error
        index.expansion_search = EXPANSION
        return Graph(manifest, index)

    def state(self) -> ApproximateState:
        """How far the index is; its bytes are not read."""
        try:
            manifest = Manifest.read(self.directory / MANIFEST)
            num_bytes = (self.directory / manifest.graph).stat().st_size
        except FileNotFoundError:
            is_there = (self.directory / MANIFEST).exists()
            return ApproximateState(problem="its graph is missing" if is_there else None)
        except DamagedIndexError as error:
            return ApproximateState(problem=str(error))
        if num_bytes != manifest.num_bytes:
            return ApproximateState(0, num_bytes, f"{manifest.graph} is not as it was written")
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
            return "none yet, every segment is compared; make one: soundseek library approximate"
        newer = _tail_rows(Manifest.read(self.directory / MANIFEST), snapshot)
        return f"of {state.covered:,} segments ({state.num_bytes / 1e6:,.1f} MB); {newer:,} newer ones compared exactly"

    def find_damage(self, snapshot: Snapshot) -> Iterator[Damage]:
        """What is wrong with the index; all of it is read, and some segments must find themselves."""
        path = self.directory / MANIFEST
        try:
            graph = self._opened()
        except FileNotFoundError:
            return
        except (DamagedIndexError, OSError) as error:
            yield Damage(str(path), f"{error}; every segment is compared", is_sound=False)
            return
        if not _finds_itself(graph, snapshot):
            yield Damage(
                str(path), "it does not fit the vectors of the library; its hits may be poor", is_sound=False
            )

    def close(self) -> None:
        """Let go of the graph; a search opens it again."""
        with self._opening:
            self._graph = self._stamp = self._tail = None

    def remove(self) -> None:
        """Let the library be without an index: its files go, the manifest first."""
        for path in [self.directory / MANIFEST, *self.directory.glob("approximate.*.graph*")]:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    # --- Building -----------------------------------------------------------------------------------------------------

    def is_due(self, connection: Connection, snapshot: Snapshot) -> bool:
        """Whether the library is large enough for an index, and has none, or one that covers too little of it."""
        least, num_rows = from_segments(connection), len(snapshot.maps.vectors)
        if least is None or num_rows < max(least, 1):
            return False
        state = self.state()
        if state.problem is not None or not state.covered:
            return True
        manifest = Manifest.read(self.directory / MANIFEST)
        return _tail_rows(manifest, snapshot) > TAIL_SHARE * num_rows or _is_stale(manifest, snapshot)

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
        with self._building():
            self._remove_leftovers()
            former = self._former(snapshot)
            graph = former if former is not None else self._new_graph(snapshot)
            first = int(first_rows(snapshot.maps.segments["file_id"], [graph.manifest.next_file])[0])
            _add_rows(graph, snapshot, first, progress)
            name = f"approximate.{secrets.token_hex(4)}.graph"
            with replacing(self.directory / name) as partial:
                graph.index.save(partial)
            Manifest(
                graph=name,
                num_bytes=(self.directory / name).stat().st_size,
                checksum=checksum_of(self.directory / name),
                fingerprint=self.fingerprint,
                num_rows=len(graph.index),
                next_file=next_file,
                built_rows=graph.manifest.built_rows,
                projection=graph.manifest.projection,
                long_files=_long_files(snapshot),
            ).write(self.directory / MANIFEST)
            self._remove_leftovers()

    def build_in_background(self) -> None:
        """Let a process of its own build the index, which goes on when this one ends."""
        command = [sys.executable, "-m", "soundseek", "library", "approximate", "--if-due"]
        with suppress(OSError):  # without one every segment is compared
            process = subprocess.Popen(
                [*command, "--library", str(self.directory)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            threading.Thread(target=process.wait, daemon=True).start()

    @contextmanager
    def _building(self) -> Iterator[None]:
        with (self.directory / BUILD_LOCK).open("a+b") as handle:
            if holder := take_lock(handle):
                raise LibraryError(
                    f"the approximate index of {self.directory} is being built by {holder}; wait until it is done, or "
                    "stop it. Searching still works"
                )
            try:
                yield
            finally:
                release_lock(handle)

    def _remove_leftovers(self) -> None:
        """Remove graphs that do not count: of a build that was killed, or before the last one."""
        kept = ""
        with suppress(FileNotFoundError, DamagedIndexError):
            kept = Manifest.read(self.directory / MANIFEST).graph
        for path in self.directory.glob("approximate.*.graph*"):
            if path.name != kept:
                with suppress(OSError):  # Windows keeps a mapped file; the next build tries again
                    path.unlink()

    def _former(self, snapshot: Snapshot) -> Graph | None:
        """The index that is there, in memory, to be added to; None where it is better made from nothing."""
        try:
            graph = self._opened()
        except (FileNotFoundError, DamagedIndexError):
            return None
        if _is_stale(graph.manifest, snapshot) or not _finds_itself(graph, snapshot):
            return None
        index = _new_index(graph.manifest.projection.shape[1])
        index.load(self.directory / graph.manifest.graph)
        return Graph(graph.manifest, index)

    def _new_graph(self, snapshot: Snapshot) -> Graph:
        projection = principal_directions(snapshot)
        num_live = _num_live(snapshot)
        manifest = Manifest("", 0, "", "", 0, 0, num_live, projection, np.empty(0, np.int64))
        return Graph(manifest, _new_index(projection.shape[1]))


@dataclass(eq=False)
class _Search:
    """One query, asked for ever more candidates.

    Attributes:
        graph: The index.
        tail: What it does not cover.
        snapshot: The rows of the library.
        query: `(dim,)` float32.
        allowed: `(rows,)` True where a row may answer; None when all may.
        share: Of the rows that may answer.
        asked: How many candidates were asked for last.
    """

    graph: Graph
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
        rows = rows_of_keys(maps.segments["file_id"], self.graph.nearest(self.query, count))
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


def principal_directions(snapshot: Snapshot) -> FloatArray:
    """`(dim, short dim)` the directions in which most of the library's vectors lie, out of a sample spread over it."""
    vectors = snapshot.maps.vectors
    live = np.arange(len(vectors)) if snapshot.live is None else np.flatnonzero(snapshot.live)
    sample = vectors[live[spread_evenly(len(live), SAMPLE_ROWS)]].astype(np.float32)
    # Ascending by how much lies in each; about the origin, as inner products are.
    _, directions = np.linalg.eigh(sample.T @ sample)
    return np.ascontiguousarray(directions[:, ::-1][:, :SHORT_DIM].astype(np.float32))


def checksum_of(path: Path) -> str:
    """A checksum at the speed of memory: BLAKE2b of the sums of each megabyte's 64-bit words, and of the size."""
    size = path.stat().st_size
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    whole = size // _CHECKED_BYTES
    if whole:
        words = np.memmap(path, np.uint64, mode="r", shape=(whole, _CHECKED_BYTES // 8))
        for at in range(0, whole, 64):
            digest.update(words[at : at + 64].sum(axis=1, dtype=np.uint64).tobytes())
    with path.open("rb") as handle:
        handle.seek(whole * _CHECKED_BYTES)
        digest.update(handle.read())
    return digest.hexdigest()


def _new_index(short_dim: int) -> Any:
    # Once usearch's compiled module is loaded, loading ONNX Runtime crashes the process (2.26 with 1.32 on Linux); the
    # other order is fine. So ONNX Runtime comes first, even for a question that needs no network.
    import onnxruntime  # noqa: F401
    from usearch.compiled import MetricKind
    from usearch.index import Index

    return Index(
        ndim=short_dim,
        metric=MetricKind.Cos,
        dtype="i8",
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION_WHILE_BUILDING,
        expansion_search=EXPANSION,
        # A table from keys to places would be made at every opening.
        enable_key_lookups=False,
    )


def _add_rows(
    graph: Graph, snapshot: Snapshot, first: int, progress: Callable[[int, int], None] | None
) -> None:
    """Put the rows from `first` on into a graph."""
    maps = snapshot.maps
    threads = max(1, (os.cpu_count() or 1) // 2)
    for at in range(first, len(maps.vectors), PIECE_ROWS):
        last = min(at + PIECE_ROWS, len(maps.vectors))
        keys = keys_of_rows(maps.segments["file_id"], at, last)
        short = maps.vectors[at:last].astype(np.float32) @ graph.manifest.projection
        if snapshot.live is not None:
            keys, short = keys[snapshot.live[at:last]], short[snapshot.live[at:last]]
        if len(keys):
            graph.index.add(keys.astype(np.uint64), short, threads=threads)
        if progress is not None:
            progress(last - first, len(maps.vectors) - first)


def _long_files(snapshot: Snapshot) -> IntArray:
    """`(n,)` numbers of files with many segments, the first ones; twice as many rows as one search looks at."""
    numbers, long, room, piece = snapshot.maps.segments["file_id"], [], 2 * LONG_FILE_ROWS, 1 << 20
    for at in range(0, len(numbers), piece):
        for number, count in zip(*np.unique(numbers[at : at + piece], return_counts=True), strict=True):
            if count >= LONG_FILE and room > 0:
                room -= int(count)
                long.append(int(number))
    return np.unique(np.array(long, np.int64))


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


def _finds_itself(graph: Graph, snapshot: Snapshot) -> bool:
    """Whether some segments are found by their own vectors, as they are unless the library was exchanged beneath."""
    numbers = snapshot.maps.segments["file_id"]
    covered = int(first_rows(numbers, [graph.manifest.next_file])[0])
    live = np.arange(covered) if snapshot.live is None else np.flatnonzero(snapshot.live[:covered])
    if not len(live):
        return True
    found = 0
    probes = live[spread_evenly(len(live), _PROBES)]
    for row in probes.tolist():
        rows = rows_of_keys(numbers, graph.nearest(snapshot.maps.vectors[row], 64))
        # Copies of one sound have equal vectors: any of them will do.
        near = snapshot.maps.vectors[rows].astype(np.float32) @ snapshot.maps.vectors[row].astype(np.float32)
        found += bool(len(near)) and bool(near.max() > 0.995)
    return 2 * found > len(probes)


def _num_live(snapshot: Snapshot) -> int:
    num_rows = len(snapshot.maps.vectors)
    return num_rows if snapshot.live is None else int(np.count_nonzero(snapshot.live))


def _tail_rows(manifest: Manifest, snapshot: Snapshot) -> int:
    """Rows that an index does not cover."""
    first = int(first_rows(snapshot.maps.segments["file_id"], [manifest.next_file])[0])
    return len(snapshot.maps.vectors) - first


def _is_stale(manifest: Manifest, snapshot: Snapshot) -> bool:
    """Whether many of an index's segments are gone, or the library has outgrown its principal directions."""
    first = int(first_rows(snapshot.maps.segments["file_id"], [manifest.next_file])[0])
    live = first if snapshot.live is None else int(np.count_nonzero(snapshot.live[:first]))
    num_live = _num_live(snapshot)
    return live < (1 - DEAD_SHARE) * manifest.num_rows or num_live > GROWTH * manifest.built_rows
