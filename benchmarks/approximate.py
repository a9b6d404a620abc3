"""What the approximate index of a library in a folder finds, and what it costs, at several sizes.

    python benchmarks/approximate.py LIBRARY --segments 100000 1000000 --json docs/results/approximate.json
    python benchmarks/approximate.py LIBRARY --segments 10000000 --keep FOLDER --json docs/results/approximate.json

LIBRARY is one in a folder, of soundseek-small, whose vectors are taken; where more are asked for, they are of mixtures
of two of its segments (see engines.py). Queries are those of benchmarks/queries, in words. A hit counts as found where
its score reaches that of the tenth exact hit; files of four segments have a random length, by which they are filtered.
Everything runs on one thread. A search is what `soundseek search` asks of the store: 60 segments and the best of 60
files. The exact comparison answers everything first, then the index: in turns, the vectors of a large library would
push the index out of the system's cache at each query. Each size takes some 1.7 kB a segment on the disk.

Of one size after the other, a library is filled, asked exactly, its index built and asked. With `--keep FOLDER` the
library, exact answers and index stay there, and a further run takes what it finds; only the index is asked again.
`--until STEP` stops before.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from engines import LONGEST_S, TIE, K, texts, without_frames
from machine import keep_result
from synthetic_library import best_files

from soundseek import load_model
from soundseek.library import Library
from soundseek.library.filters import parse_where
from soundseek.library.search import SHORTLIST
from soundseek.library.store import sqlite
from soundseek.library.store.approximate import FROM_VARIABLE
from soundseek.library.store.base import Changes, Match, ModelIdentity, Question
from soundseek.library.store.sqlite import SqliteStore

SHARES = (1.0, 0.5, 0.1, 0.05, 0.01)
"""Of the files that pass the filter."""

Report = dict[str, Any]
Hit = tuple[str, float, float]
"""Of a segment: the file, where it begins, and its score."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("library", type=Path)
    parser.add_argument("--segments", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="where the libraries are made; removed at the end")
    parser.add_argument("--keep", type=Path, help="where the libraries are made, and stay")
    parser.add_argument("--until", choices=["fill", "exact", "build", "index"], default="index")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    sqlite.THREADED_ROWS = 1 << 60
    queries = load_model().embed_text(texts(args.queries))
    steps: dict[str, Callable[[Path], Report]] = {
        "fill": lambda folder: fill(folder, args.library, int(folder.name)),
        "exact": lambda folder: answers(folder, queries, "never"),
        "build": build,
        "index": lambda folder: answers(folder, queries, "0"),
    }
    for segments in args.segments:
        with nullcontext(args.keep) if args.keep else tempfile.TemporaryDirectory(dir=args.folder) as parent:
            folder = Path(parent) / f"{segments}"
            done: dict[str, Report] = {}
            for step, take in steps.items():
                done[step] = taken(folder, step, take)
                if step == args.until:
                    break
        if "index" in done:
            report = {"segments": segments, "queries": len(queries), **done["fill"], **done["build"]}
            keep_result(args.json, f"{segments}", report | compared(done["exact"], done["index"]))


def taken(folder: Path, step: str, take: Callable[[Path], Report]) -> Report:
    """What a step tells; what was kept of an earlier run, but for the last step's."""
    kept = folder / f"{step}.json"
    if step == "index" or not kept.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        found = json.dumps(take(folder))
        kept.write_text(found, encoding="utf-8")
        print(step, found[:200], flush=True)
    return json.loads(kept.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def opened(folder: Path, dim: int) -> closing[SqliteStore]:
    """The library that is measured."""
    return closing(SqliteStore.open(folder / "library", identity=ModelIdentity("recall", "0" * 12, dim)))


def fill(folder: Path, library: Path, segments: int) -> Report:
    """A library of real vectors and their mixtures, and the processor seconds that filling it took."""
    os.environ[FROM_VARIABLE] = "never"
    began = time.process_time()
    with (
        Library.open(library) as source,
        opened(folder, source.store.identity.dim) as store,
        store.writing(),
    ):
        changes = Changes()
        for sound in without_frames(source.store, segments):
            # One frame a file: a library of ten million segments is to fit on a disk.
            spans = np.tile(np.array([[0, 1]]), (len(sound.vectors), 1))
            changes.sounds.append(replace(sound, frames=sound.frames[:1], spans=spans))
            if len(changes.sounds) == 1000:
                store.commit(changes)
                changes = Changes()
        store.commit(changes)
    return {"dim": source.store.identity.dim, "fill_s": round(time.process_time() - began, 1)}


def build(folder: Path) -> Report:
    """Build the index."""
    began, cpu = time.perf_counter(), time.process_time()
    with opened(folder, dim_of(folder)) as store:
        store.approximate()
        build_s, build_cpu_s = time.perf_counter() - began, time.process_time() - cpu
        state = store.approximation.state()
    return {
        "build_s": round(build_s, 1),
        "build_cpu_s": round(build_cpu_s, 1),
        "segments_per_cpu_s": round(state.covered / build_cpu_s),
        "index_bytes": state.num_bytes,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def answers(folder: Path, queries: np.ndarray, approximate_from: str) -> Report:
    """What is found for every query with each filter, and as a search asks, and how long each took."""
    os.environ[FROM_VARIABLE] = approximate_from
    with opened(folder, dim_of(folder)) as store:
        began = time.perf_counter()
        best_files(store, queries[0], K)
        first_s = time.perf_counter() - began
        asked = {}
        for share in SHARES:
            where = None if share == 1 else parse_where(f"duration < {share * LONGEST_S:g}")
            asked[f"{share}"] = asked_of(
                queries, lambda query, where=where: best_files(store, query, K, where)
            )
        num = SHORTLIST["file"]
        asked["shortlist"] = asked_of(
            queries, lambda query: store.shortlist(Question(query), segments=num, files=num)
        )
    return {"opening_s": round(first_s, 3), "asked": asked}


def asked_of(queries: np.ndarray, ask: Callable[[np.ndarray], list[Match]]) -> Report:
    """What each query finds, and how long it took by the clock and by the processor."""
    found: list[list[Hit]] = []
    wall_ms, cpu_ms = [], []
    for query in queries:
        began, cpu = time.perf_counter(), time.process_time()
        matches = ask(query)
        cpu_ms.append((time.process_time() - cpu) * 1e3)
        wall_ms.append((time.perf_counter() - began) * 1e3)
        found.append([(match.file.path, float(match.start_s), float(match.score)) for match in matches])
    p50, p95 = np.quantile(wall_ms, [0.5, 0.95])
    times = {"p50": round(p50, 2), "p95": round(p95, 2), "cpu": round(statistics.median(cpu_ms), 2)}
    return {"found": found, "ms": times}


def compared(exact: Report, ours: Report) -> Report:
    """Recall of the ten best files with each filter, how much of the exact shortlist is in the other one, and times."""
    filters = []
    for share in SHARES:
        truth, found = exact["asked"][f"{share}"], ours["asked"][f"{share}"]
        recalls = [found_share(*both) for both in zip(truth["found"], found["found"], strict=True)]
        filters.append({
            "share": share,
            "recall_at_10": round(statistics.mean(recalls), 4),
            "worst": min(recalls),
            "exact_ms": truth["ms"],
            "index_ms": found["ms"],
        })  # fmt: skip
    truth, found = exact["asked"]["shortlist"], ours["asked"]["shortlist"]
    shares = [
        len(places(listed) & places(answer)) / len(listed)
        for listed, answer in zip(truth["found"], found["found"], strict=True)
    ]
    search = {
        "shortlist_recall": round(statistics.mean(shares), 4),
        "exact_ms": truth["ms"],
        "index_ms": found["ms"],
    }
    return {"opening_s": ours["opening_s"], "filters": filters, "search": search}


def found_share(truth: list[Hit], found: list[Hit]) -> float:
    """The part of the exact hits whose scores are reached."""
    if not truth:
        return 1.0
    reached = sum(score >= truth[-1][2] - TIE for _, _, score in found)
    return min(reached, len(truth)) / len(truth)


def places(hits: list[Hit]) -> set[tuple[str, float]]:
    """Files and where segments begin in them."""
    return {(path, start_s) for path, start_s, _ in hits}


def dim_of(folder: Path) -> int:
    """Numbers a vector of the library that was filled."""
    return int(json.loads((folder / "fill.json").read_text(encoding="utf-8"))["dim"])


if __name__ == "__main__":
    main()
