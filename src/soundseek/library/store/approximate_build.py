"""An approximate index is made of a library's vectors, or brought up to date.

A new graph is written beside the old one, synced, and counts once the manifest has been replaced. One of many segments
is kept on the way: a build that was killed goes on from there, and what it covers is of use before. Nothing here takes
the right to write to the library: an index is built while others search and index.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from soundseek._files import release_lock, replacing, take_lock
from soundseek._typing import AnyIntArray, FloatArray, IntArray
from soundseek.errors import LibraryError
from soundseek.library.store.approximate_files import (
    MANIFEST,
    DamagedIndexError,
    Graph,
    Manifest,
    checksum_of,
    empty_graph,
    open_graph,
    remove_graphs,
)
from soundseek.library.store.approximate_keys import first_rows, keys_of_rows, rows_of_keys
from soundseek.library.store.exact import LONG_FILE, LONG_FILE_ROWS
from soundseek.library.store.rows import Snapshot, spread_evenly

BUILD_LOCK = "approximate.lock"
BUILD_ERROR = "approximate.error.txt"
"""Why the last build failed: a build in the background has nobody to tell it to. A good one removes it."""

# 64 numbers keep four fifths of soundseek-small's vectors and 128 nineteen twentieths; 512 take twice the room.
SHORT_DIM = 128
SAMPLE_ROWS = 20_000
PIECE_ROWS = 8192
# A graph is kept each time that it has doubled, from so many rows on; all that is written on the way is less than twice
# what is written in the end.
KEPT_ROWS = 1 << 20

# Parts of what is in the index: with so many dead segments, or so much growth, it is made from nothing.
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
        progress: Is told of the rows that are done, and their number.

    Raises:
        LibraryError: Another process is building, or the library is not of the kind that can be indexed.
        StorageError: The disk is full.
    """
    with _building(directory), _keeping_the_error(directory):
        _remove_leftovers(directory)
        covered = _covered_rows(directory, fingerprint)
        former = former_graph(directory, fingerprint, snapshot)
        graph = former if former is not None else _new_graph(snapshot)
        numbers = snapshot.maps.segments["file_id"]
        first, end = int(first_rows(numbers, [graph.manifest.next_file])[0]), len(numbers)
        at = first
        while at < end and (stop := _next_stop(numbers, at, len(graph.index))) < end:
            _add_rows(graph, snapshot, range(at, stop), first, progress)
            at = stop
            # One that is made from nothing beside an index that is there covers less than that, at first.
            if len(graph.index) > covered:
                _keep(directory, fingerprint, graph, snapshot, int(numbers[stop]))
        _add_rows(graph, snapshot, range(at, end), first, progress)
        _keep(directory, fingerprint, graph, snapshot, next_file)


def _next_stop(numbers: AnyIntArray, at: int, in_graph: int) -> int:
    """The row before which a graph is kept, the first one of a file; behind the last row where it is not.

    Args:
        numbers: `(rows,)` the file of each row, ascending.
        at: The next row that is added.
        in_graph: Rows that are in the graph.
    """
    stop = at + max(KEPT_ROWS, in_graph)
    if stop >= len(numbers):
        return len(numbers)
    # The next file's first row: the whole of this one, however long, comes before.
    return int(first_rows(numbers, [int(numbers[stop]) + 1])[0])


def _keep(directory: Path, fingerprint: str, graph: Graph, snapshot: Snapshot, next_file: int) -> None:
    """Let a graph count from now on.

    Args:
        directory: The library's folder.
        fingerprint: The model that filled it.
        graph: The graph, in memory.
        snapshot: The rows that it is made of.
        next_file: Files with lower numbers are in it.
    """
    name = f"approximate.{secrets.token_hex(4)}.graph"
    with replacing(directory / name) as partial:
        graph.index.save(partial)
    Manifest(
        graph=name,
        num_bytes=(directory / name).stat().st_size,
        checksum=checksum_of(directory / name),
        fingerprint=fingerprint,
        num_rows=len(graph.index),
        next_file=next_file,
        built_rows=graph.manifest.built_rows,
        projection=graph.manifest.projection,
        long_files=_long_files(snapshot),
    ).write(directory / MANIFEST)
    _remove_leftovers(directory)


def _covered_rows(directory: Path, fingerprint: str) -> int:
    """Segments in the index that counts now; 0 where there is none that a search can use."""
    with suppress(FileNotFoundError, DamagedIndexError):
        return open_graph(directory, fingerprint).manifest.num_rows
    return 0


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
    first = int(first_rows(snapshot.maps.segments["file_id"], [manifest.next_file])[0])
    return len(snapshot.maps.vectors) - first


def is_stale(manifest: Manifest, snapshot: Snapshot) -> bool:
    """Whether many of an index's segments are gone, or the library has outgrown its principal directions."""
    first = int(first_rows(snapshot.maps.segments["file_id"], [manifest.next_file])[0])
    live = first if snapshot.live is None else int(np.count_nonzero(snapshot.live[:first]))
    num_live = _num_live(snapshot)
    return live < (1 - DEAD_SHARE) * manifest.num_rows or num_live > GROWTH * manifest.built_rows


def finds_itself(graph: Graph, snapshot: Snapshot) -> bool:
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


def former_graph(directory: Path, fingerprint: str, snapshot: Snapshot) -> Graph | None:
    """The index that is there, in memory, to be added to; None where it is better made from nothing."""
    try:
        graph = open_graph(directory, fingerprint)
    except (FileNotFoundError, DamagedIndexError):
        return None
    if is_stale(graph.manifest, snapshot) or not finds_itself(graph, snapshot):
        return None
    index = empty_graph(graph.manifest.projection.shape[1])
    index.load(directory / graph.manifest.graph)
    return Graph(graph.manifest, index)


def _new_graph(snapshot: Snapshot) -> Graph:
    projection = principal_directions(snapshot)
    num_live = _num_live(snapshot)
    manifest = Manifest("", 0, "", "", 0, 0, num_live, projection, np.empty(0, np.int64))
    return Graph(manifest, empty_graph(projection.shape[1]))


def principal_directions(snapshot: Snapshot) -> FloatArray:
    """`(dim, short dim)` the directions in which most of the library's vectors lie, out of a sample spread over it."""
    vectors = snapshot.maps.vectors
    live = np.arange(len(vectors)) if snapshot.live is None else np.flatnonzero(snapshot.live)
    sample = vectors[live[spread_evenly(len(live), SAMPLE_ROWS)]].astype(np.float32)
    # Ascending by how much lies in each; about the origin, as inner products are.
    _, directions = np.linalg.eigh(sample.T @ sample)
    return np.ascontiguousarray(directions[:, ::-1][:, :SHORT_DIM].astype(np.float32))


def _add_rows(
    graph: Graph, snapshot: Snapshot, rows: range, first: int, progress: Callable[[int, int], None] | None
) -> None:
    """Put rows into a graph; `progress` counts from the row `first` of the library on."""
    maps = snapshot.maps
    threads = max(1, (os.cpu_count() or 1) // 2)
    for at in range(rows.start, rows.stop, PIECE_ROWS):
        last = min(at + PIECE_ROWS, rows.stop)
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


def _num_live(snapshot: Snapshot) -> int:
    num_rows = len(snapshot.maps.vectors)
    return num_rows if snapshot.live is None else int(np.count_nonzero(snapshot.live))


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
        ):  # what was written of the graph is removed by now, so that there is room for a line
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
    """Remove graphs of a build that was killed, or before the last one."""
    kept = ""
    with suppress(FileNotFoundError, DamagedIndexError):
        kept = Manifest.read(directory / MANIFEST).graph
    remove_graphs(directory, kept=kept)
