"""An approximate index is made of a library's vectors, or brought up to date.

A large library has several parts, made one after the other: what is new goes into the last one, and one of which much
is gone is made anew, alone. A new one is written beside the old one, synced, and counts once the manifest has been
replaced, so a build that was killed goes on behind the last whole part, and what these cover is of use before. Nothing
here takes the right to write to the library: an index is built while others search and index.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from soundseek._files import release_lock, replacing, take_lock
from soundseek._typing import AnyIntArray, FloatArray, IntArray
from soundseek.errors import LibraryError
from soundseek.library.store.approximate_files import (
    MANIFEST,
    DamagedIndexError,
    IndexPart,
    Manifest,
    OpenIndex,
    OpenPart,
    checksum_of,
    nearest_in_parts,
    open_part,
    remove_parts,
)
from soundseek.library.store.approximate_keys import first_rows, keys_of_rows, rows_of_keys
from soundseek.library.store.approximate_lists import ListsInMemory
from soundseek.library.store.exact import LONG_FILE, LONG_FILE_ROWS
from soundseek.library.store.rows import Snapshot, spread_evenly

BUILD_LOCK = "approximate.lock"
BUILD_ERROR = "approximate.error.txt"
"""Why the last build failed: a build in the background has nobody to tell it to. A good one removes it."""

# 64 numbers keep four fifths of soundseek-small's vectors and 128 nineteen twentieths; 512 take twice the room.
SHORT_DIM = 128
SAMPLE_ROWS = 100_000
PIECE_ROWS = 8192
# A part has so many segments at most: all of it is in memory while it is made, and is written again to be added to.
PART_ROWS = 2_500_000

# Shares of what is in a part: with so many dead segments, or so much growth, it is made from nothing.
DEAD_SHARE = 0.3
GROWTH = 4

_PROBES = 8


def build_approximation(
    directory: Path,
    fingerprint: str,
    snapshot: Snapshot,
    *,
    next_file: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Make the index of all rows that are there now, out of the former one where that is still of use.

    Args:
        directory: The library's folder.
        fingerprint: The model that filled it.
        snapshot: The rows; they may be removed and renumbered meanwhile.
        next_file: Their files have lower numbers.
        progress: Is told of the rows that are done, and how many are to be added.

    Raises:
        LibraryError: Another process is building, or the library is not of the kind that can be indexed.
        StorageError: The disk is full.
    """
    with _building(directory), _keeping_the_error(directory):
        _remove_leftovers(directory)
        former, steps, covered = _plan(directory, fingerprint, snapshot, next_file)
        build = _Build(directory, snapshot, progress, _rows_to_add(steps, snapshot))
        done: list[IndexPart] = []
        for step in steps:
            if isinstance(step, IndexPart):
                done.append(step)
                continue
            behind = [part for part in former if part.next_file > step]
            for parts in build.with_files_before(step, done):
                done = parts
                # One that is made from nothing beside an index that is there covers less than that, at first.
                if done[-1].next_file == step or (not behind and done[-1].next_file > covered):
                    _keep(directory, fingerprint, [*done, *behind], snapshot)
        _keep(directory, fingerprint, done, snapshot)


@dataclass(eq=False)
class _Build:
    """Parts that are made of the rows of a library.

    Attributes:
        directory: The library's folder.
        snapshot: The rows.
        progress: Is told of the rows that are done, and `num_rows`.
        num_rows: To be added by all of it.
        added: Those that are done.
    """

    directory: Path
    snapshot: Snapshot
    progress: Callable[[int, int], None] | None
    num_rows: int
    added: int = 0

    def with_files_before(self, end_file: int, parts: Sequence[IndexPart]) -> Iterator[list[IndexPart]]:
        """Parts, and behind them those of the files that come then, each time that one more is on the disk.

        Args:
            end_file: The files have lower numbers.
            parts: The last one is added to, where it has room.
        """
        numbers = self.snapshot.maps.segments["file_id"]
        done = list(parts)
        at, end = first_rows(numbers, [done[-1].next_file if done else 0, end_file]).tolist()
        while at < end:
            if done and done[-1].num_rows < PART_ROWS:
                part = done.pop()
                lists = ListsInMemory.of(open_part(self.directory, part).lists)
            else:
                part, lists = _new_part(self.snapshot, range(at, end))
            stop = _next_stop(numbers, at, end, len(lists))
            self._add_rows(part.projection, lists, range(at, stop))
            next_file = end_file if stop == end else int(numbers[stop])
            done.append(_written(self.directory, part, lists, next_file))
            yield done
            at = stop

    def _add_rows(self, projection: FloatArray, lists: ListsInMemory, rows: range) -> None:
        maps, live = self.snapshot.maps, self.snapshot.live
        for at in range(rows.start, rows.stop, PIECE_ROWS):
            last = min(at + PIECE_ROWS, rows.stop)
            keys = keys_of_rows(maps.segments["file_id"], at, last)
            short = maps.vectors[at:last].astype(np.float32) @ projection
            if live is not None:
                keys, short = keys[live[at:last]], short[live[at:last]]
            lists.add(keys, short)
            self.added += last - at
            if self.progress is not None:
                self.progress(self.added, self.num_rows)


def _plan(
    directory: Path, fingerprint: str, snapshot: Snapshot, next_file: int
) -> tuple[tuple[IndexPart, ...], list[IndexPart | int], int]:
    """What an index is to be made of.

    Args:
        directory: The library's folder.
        fingerprint: The model that filled it.
        snapshot: The rows of the library.
        next_file: Their files have lower numbers.

    Returns:
        The parts of the index that is there. Those of the new one in the order of their files: a part that stays, or a
        number below which files are added. And the number below which searches use the one that is there.
    """
    former = _former_parts(directory, fingerprint)
    opened = [_opened(directory, part) for part in former]
    covered = former[-1].next_file if former and None not in opened else 0
    steps: list[IndexPart | int] = []
    stale = stale_parts(former, snapshot)
    for part, each, is_stale, rows in zip(former, opened, stale, _rows_of(former, snapshot), strict=True):
        if each is not None and not is_stale and finds_itself(each, snapshot, rows):
            steps.append(part)
        elif steps and isinstance(steps[-1], int):
            steps[-1] = part.next_file
        else:
            steps.append(part.next_file)
    if steps and isinstance(steps[-1], int):
        steps[-1] = next_file
    else:
        steps.append(next_file)
    return former, steps, covered


def _rows_to_add(steps: Sequence[IndexPart | int], snapshot: Snapshot) -> int:
    ends = [step.next_file if isinstance(step, IndexPart) else step for step in steps]
    borders = first_rows(snapshot.maps.segments["file_id"], [0, *ends])
    return sum(int(rows) for step, rows in zip(steps, np.diff(borders), strict=True) if isinstance(step, int))


def _next_stop(numbers: AnyIntArray, at: int, end: int, in_part: int) -> int:
    """The row before which a part is full, the first one of a file, or the end.

    Args:
        numbers: `(rows,)` the file of each row, ascending.
        at: The next row that is added.
        end: The row behind the last one to be added.
        in_part: Rows that are in the part.
    """
    stop = at + PART_ROWS - in_part
    if stop >= end:
        return end
    # The next file's first row: the whole of this one, however long, comes before.
    return min(end, int(first_rows(numbers, [int(numbers[stop]) + 1])[0]))


def _written(directory: Path, part: IndexPart, lists: ListsInMemory, next_file: int) -> IndexPart:
    """A part, written and synced; it does not count yet.

    Args:
        directory: The library's folder.
        part: What it was before, or of nothing.
        lists: Its segments.
        next_file: Files with lower numbers are in it, or in parts before.
    """
    name = f"approximate.{secrets.token_hex(4)}.lists"
    with replacing(directory / name) as partial:
        lists.write(partial)
    return replace(
        part,
        name=name,
        num_bytes=(directory / name).stat().st_size,
        checksum=checksum_of(directory / name),
        num_rows=len(lists),
        next_file=next_file,
    )


def _keep(directory: Path, fingerprint: str, parts: Sequence[IndexPart], snapshot: Snapshot) -> None:
    """Let parts count from now on."""
    Manifest(fingerprint, tuple(parts), _long_files(snapshot)).write(directory / MANIFEST)
    _remove_leftovers(directory)


def _former_parts(directory: Path, fingerprint: str) -> tuple[IndexPart, ...]:
    """The parts of the index that is there; none where it cannot be read, or is of another model."""
    with suppress(FileNotFoundError, DamagedIndexError):
        manifest = Manifest.read(directory / MANIFEST)
        return manifest.parts if manifest.fingerprint == fingerprint else ()
    return ()


def _opened(directory: Path, part: IndexPart) -> OpenPart | None:
    with suppress(DamagedIndexError):
        return open_part(directory, part)
    return None


def build_approximation_in_background(directory: Path) -> None:
    """Let a process of its own build the index, which goes on when this one ends."""
    command = [sys.executable, "-m", "soundseek", "library", "approximate", "--if-due"]
    with suppress(OSError):  # without one every segment is compared
        process = subprocess.Popen(
            [*command, "--library", str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        threading.Thread(target=process.wait, daemon=True).start()


def tail_rows(manifest: Manifest, snapshot: Snapshot) -> int:
    """Rows that an index does not cover."""
    covered = int(first_rows(snapshot.maps.segments["file_id"], [manifest.next_file])[0])
    return len(snapshot.maps.vectors) - covered


def stale_parts(parts: Sequence[IndexPart], snapshot: Snapshot) -> list[bool]:
    """Of each part whether much of it is gone, or, of the last one, whether it outgrows its principal directions."""
    stale = []
    for part, rows in zip(parts, _rows_of(parts, snapshot), strict=True):
        num_live = _num_live(snapshot, rows)
        is_grown = False
        if part is parts[-1] and part.num_rows < PART_ROWS:
            num_rows = num_live + len(snapshot.maps.vectors) - rows.stop
            is_grown = min(num_rows, PART_ROWS) > GROWTH * part.built_rows
        stale.append(is_grown or num_live < (1 - DEAD_SHARE) * part.num_rows)
    return stale


def _rows_of(parts: Sequence[IndexPart], snapshot: Snapshot) -> list[range]:
    """The rows of each part's files."""
    numbers = snapshot.maps.segments["file_id"]
    borders = first_rows(numbers, [0, *(part.next_file for part in parts)]).tolist()
    return [range(first, last) for first, last in pairwise(borders)]


def index_finds_itself(index: OpenIndex, snapshot: Snapshot) -> bool:
    """Whether all parts find some of their segments; see `finds_itself`."""
    rows = _rows_of(index.manifest.parts, snapshot)
    return all(finds_itself(part, snapshot, each) for part, each in zip(index.parts, rows, strict=True))


def finds_itself(part: OpenPart, snapshot: Snapshot, rows: range) -> bool:
    """Whether some segments are found by their own vectors, as they are unless the library was exchanged beneath.

    Args:
        part: The part.
        snapshot: The rows of the library.
        rows: Those of the files in the part.
    """
    numbers = snapshot.maps.segments["file_id"]
    live = _live_rows(snapshot, rows)
    if not len(live):
        return True
    found = 0
    probes = live[spread_evenly(len(live), _PROBES)]
    for row in probes.tolist():
        wanted = snapshot.maps.vectors[row].astype(np.float32)
        near = rows_of_keys(numbers, nearest_in_parts([part], wanted, 64))
        # Copies of one sound have equal vectors: any of them will do.
        scores = snapshot.maps.vectors[near].astype(np.float32) @ wanted
        found += bool(len(scores)) and bool(scores.max() > 0.995)
    return 2 * found > len(probes)


def _new_part(snapshot: Snapshot, rows: range) -> tuple[IndexPart, ListsInMemory]:
    """A part without a segment, for the first ones of some rows, as many as it has room for."""
    # Rows that are gone take no room: a part of few others would have few lists for all that come behind these.
    live = _live_rows(snapshot, rows)[:PART_ROWS]
    sample = snapshot.maps.vectors[live[spread_evenly(len(live), SAMPLE_ROWS)]].astype(np.float32)
    projection = principal_directions(sample)
    lists = ListsInMemory.for_sample(sample @ projection, len(live))
    return IndexPart("", 0, "", 0, 0, len(live), projection), lists


def principal_directions(sample: FloatArray) -> FloatArray:
    """`(dim, short dim)` the directions in which most of a sample `(n, dim)` of vectors lies."""
    # Ascending by how much lies in each; about the origin, as inner products are.
    _, directions = np.linalg.eigh(sample.T @ sample)
    return np.ascontiguousarray(directions[:, ::-1][:, :SHORT_DIM].astype(np.float32))


def _long_files(snapshot: Snapshot) -> IntArray:
    """`(n,)` numbers of files with many segments, the first ones; twice as many rows as one search looks at."""
    numbers, long, room, piece = snapshot.maps.segments["file_id"], [], 2 * LONG_FILE_ROWS, 1 << 20
    for at in range(0, len(numbers), piece):
        for number, count in zip(*np.unique(numbers[at : at + piece], return_counts=True), strict=True):
            if count >= LONG_FILE and room > 0:
                room -= int(count)
                long.append(int(number))
    return np.unique(np.array(long, np.int64))


def _live_rows(snapshot: Snapshot, rows: range) -> IntArray:
    if snapshot.live is None:
        return np.arange(rows.start, rows.stop)
    return rows.start + np.flatnonzero(snapshot.live[rows.start : rows.stop])


def _num_live(snapshot: Snapshot, rows: range) -> int:
    if snapshot.live is None:
        return len(rows)
    return int(np.count_nonzero(snapshot.live[rows.start : rows.stop]))


@contextmanager
def _building(directory: Path) -> Iterator[None]:
    with (directory / BUILD_LOCK).open("a+b") as handle:
        if holder := take_lock(handle):
            raise LibraryError(
                f"the approximate index of {directory} is being built by {holder}; wait until it is done, or "
                "stop it. Searching still works"
            )
        try:
            yield
        finally:
            release_lock(handle)


@contextmanager
def _keeping_the_error(directory: Path) -> Iterator[None]:
    path = directory / BUILD_ERROR
    try:
        yield
    except Exception as error:
        with suppress(
            OSError
        ):  # what was written of a part is removed by now, so that there is room for a line
            path.write_text(f"{error or type(error).__name__}\n", encoding="utf-8")
        raise
    with suppress(OSError):
        path.unlink(missing_ok=True)


def last_build_error(directory: Path) -> str | None:
    """Why the last build of a library's index failed, in one line; None where it did not."""
    try:
        return " ".join((directory / BUILD_ERROR).read_text(encoding="utf-8").split()) or None
    except (OSError, ValueError):
        return None


def _remove_leftovers(directory: Path) -> None:
    """Remove parts of a build that was killed, or before the last one."""
    kept: list[str] = []
    with suppress(FileNotFoundError, DamagedIndexError):
        kept = [part.name for part in Manifest.read(directory / MANIFEST).parts]
    remove_parts(directory, kept=kept)
