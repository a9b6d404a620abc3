"""What the approximate index of a library in a folder finds, and what it costs, at several sizes.

    python benchmarks/approximate.py LIBRARY --segments 100000 1000000 --json docs/results/approximate.json

LIBRARY is one in a folder, of soundseek-small, whose vectors are taken; where more are asked for, they are of mixtures
of two of its segments (see engines.py). Queries are those of benchmarks/queries, in words. A hit counts as found where
its score reaches that of the tenth exact hit; files of four segments have a random length, by which they are filtered.
The index and the exact comparison answer in turns, on one thread each. A search is what `soundseek search` asks of the
store: 60 segments and the best of 60 files. Each size takes some 1.7 kB a segment on the disk.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from engines import LONGEST_S, TIE, K, texts, without_frames
from machine import keep_result

from soundseek import load_model
from soundseek.library import Library
from soundseek.library.filters import parse_where
from soundseek.library.search import SHORTLIST
from soundseek.library.store import sqlite
from soundseek.library.store.approximate import FROM_VARIABLE
from soundseek.library.store.base import Changes, Match, ModelIdentity
from soundseek.library.store.sqlite import SqliteStore

SHARES = (1.0, 0.5, 0.1, 0.05, 0.01)
"""Of the files that pass the filter."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("library", type=Path)
    parser.add_argument("--segments", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="where the libraries are made; removed at the end")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    sqlite.THREADED_ROWS = 1 << 60
    queries = load_model().embed_text(texts(args.queries))
    for segments in args.segments:
        with (
            tempfile.TemporaryDirectory(dir=args.folder) as folder,
            filled(Path(folder) / "library", args.library, segments) as (store, fill_s),
        ):
            report = {
                "segments": segments,
                "queries": len(queries),
                "fill_s": fill_s,
                **measured(store, queries),
            }
        print(report)
        keep_result(args.json, f"{segments}", report)


@contextmanager
def filled(folder: Path, library: Path, segments: int) -> Iterator[tuple[SqliteStore, float]]:
    """A library of real vectors and their mixtures, and the processor seconds that filling it took."""
    os.environ[FROM_VARIABLE] = "never"
    began = time.process_time()
    with Library.open(library) as opened:
        identity = ModelIdentity("recall", "0" * 12, opened.store.identity.dim)
        store = SqliteStore.open(folder, identity=identity)
        with store.writing():
            changes = Changes()
            for sound in without_frames(opened.store, segments):
                # One frame a file: a library of ten million segments is to fit on a disk.
                spans = np.tile(np.array([[0, 1]]), (len(sound.vectors), 1))
                changes.sounds.append(replace(sound, frames=sound.frames[:1], spans=spans))
                if len(changes.sounds) == 1000:
                    store.commit(changes)
                    changes = Changes()
            store.commit(changes)
    os.environ[FROM_VARIABLE] = "0"
    try:
        yield store, round(time.process_time() - began, 1)
    finally:
        store.close()


def measured(store: SqliteStore, queries: np.ndarray) -> dict[str, Any]:
    """Build the index, and compare it with the exact answers."""
    began, cpu = time.perf_counter(), time.process_time()
    store.approximate()
    build_s, build_cpu_s = time.perf_counter() - began, time.process_time() - cpu
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    state = store.approximation.state()
    began = time.perf_counter()
    store.search(queries[0], k=K)
    first_s = time.perf_counter() - began
    return {
        "build_s": round(build_s, 1),
        "build_cpu_s": round(build_cpu_s, 1),
        "segments_per_cpu_s": round(state.covered / build_cpu_s),
        "index_bytes": state.num_bytes,
        "peak_memory_bytes": peak_bytes,
        "opening_s": round(first_s, 3),
        "filters": [with_filter(store, queries, share) for share in SHARES],
        "search": as_a_search(store, queries),
    }


def with_filter(store: SqliteStore, queries: np.ndarray, share: float) -> dict[str, Any]:
    """Recall of the ten best files, and times, where so many files pass the filter."""
    where = None if share == 1 else parse_where(f"duration < {share * LONGEST_S:g}")
    exact, ours = in_turns(queries, lambda query: store.search(query, k=K, where=where))
    recalls = [found_share(truth, found) for truth, found in zip(exact.found, ours.found, strict=True)]
    return {
        "share": share,
        "recall_at_10": round(statistics.mean(recalls), 4),
        "worst": min(recalls),
        "exact_ms": exact.times(),
        "index_ms": ours.times(),
    }


def as_a_search(store: SqliteStore, queries: np.ndarray) -> dict[str, Any]:
    """How much of the exact shortlist is in the other one, and times."""
    num = SHORTLIST["file"]
    exact, ours = in_turns(queries, lambda query: store.shortlist(query, segments=num, files=num))
    shares = []
    for truth, found in zip(exact.found, ours.found, strict=True):
        places = {(match.file.path, match.start_s) for match in found}
        shares.append(sum((match.file.path, match.start_s) in places for match in truth) / len(truth))
    return {
        "shortlist_recall": round(statistics.mean(shares), 4),
        "exact_ms": exact.times(),
        "index_ms": ours.times(),
    }


class Timed:
    """What some queries found, and how long each took."""

    def __init__(self) -> None:
        self.found: list[list[Match]] = []
        self.wall_ms: list[float] = []
        self.cpu_ms: list[float] = []

    def ask(self, ask: Callable[[], list[Match]]) -> None:
        began, cpu = time.perf_counter(), time.process_time()
        self.found.append(ask())
        self.cpu_ms.append((time.process_time() - cpu) * 1e3)
        self.wall_ms.append((time.perf_counter() - began) * 1e3)

    def times(self) -> dict[str, float]:
        """Quantiles of the clock, and the median of the processor, in milliseconds."""
        p50, p95 = np.quantile(self.wall_ms, [0.5, 0.95])
        return {"p50": round(p50, 2), "p95": round(p95, 2), "cpu": round(statistics.median(self.cpu_ms), 2)}


def in_turns(queries: np.ndarray, ask: Callable[[np.ndarray], list[Match]]) -> tuple[Timed, Timed]:
    """Ask every query exactly and by the index, in turns."""
    exact, ours = Timed(), Timed()
    for query in queries:
        os.environ[FROM_VARIABLE] = "never"
        exact.ask(lambda query=query: ask(query))
        os.environ[FROM_VARIABLE] = "0"
        ours.ask(lambda query=query: ask(query))
    return exact, ours


def found_share(truth: list[Match], found: list[Match]) -> float:
    """The part of the exact hits whose scores are reached."""
    if not truth:
        return 1.0
    reached = sum(match.score >= truth[-1].score - TIE for match in found)
    return min(reached, len(truth)) / len(truth)


if __name__ == "__main__":
    main()
