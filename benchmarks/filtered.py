"""What a filter costs beside the search itself, asked the first time and again.

    python benchmarks/filtered.py [--segments 1000000] [--json docs/results/approximate.json]

Vectors are random, four segments a file; files have random lengths, formats and names. A search is what
`soundseek search` asks of the store: 60 segments, the best of 60 files, and names. Every condition is asked for the
first time in a connection that has read the table before, as in a server; then again with other queries. Processor
times of one thread. A million segments take 1.5 GB on the disk, removed at the end.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from machine import keep_result
from synthetic_library import IDENTITY_OF_RANDOM, SEGMENTS_PER_FILE, lean_sound

from soundseek.library.filters import parse_where
from soundseek.library.store import sqlite
from soundseek.library.store.base import Changes, Description, EmbeddedSound, NameQuery, Question
from soundseek.library.store.sqlite import SqliteStore

LONGEST_S = 100.0
CONDITIONS = [f"duration < {share * LONGEST_S:g}" for share in (0.5, 0.1, 0.01)] + [
    "format = FLAC",
    "name ~ kick and duration < 50",
]
WORDS = ["kick", "snare", "rain", "door", "street", "wind", "dog", "bird", "steps", "engine"]
FORMATS = ["WAV", "FLAC", "MP3", "OGG/VORBIS"]
BATCH_FILES, QUERIES, K = 1000, 11, 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segments", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the library is made; removed at the end")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sqlite.THREADED_ROWS = 1 << 60
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        fill(Path(folder) / "library", options.segments)
        store = SqliteStore.open(Path(folder) / "library", create=False)
        report = {"segments": options.segments, **measured(store)}
        store.close()
    print(report)
    keep_result(options.json, "filtered", report)


def fill(folder: Path, segments: int) -> None:
    """A library of random sounds."""
    generator = np.random.default_rng(0)
    store = SqliteStore.open(folder, identity=IDENTITY_OF_RANDOM)
    with store.writing():
        for first in range(0, segments // SEGMENTS_PER_FILE, BATCH_FILES):
            last = min(first + BATCH_FILES, segments // SEGMENTS_PER_FILE)
            store.commit(Changes(sounds=[sound(number, generator) for number in range(first, last)]))
    store.close()


def sound(number: int, generator: np.random.Generator) -> EmbeddedSound:
    """A sound of four segments and a frame, with a length, a format and a name as they come."""
    made = lean_sound(number, IDENTITY_OF_RANDOM.dim, generator)
    words = " ".join(generator.choice(WORDS, 2, replace=False))
    file = replace(
        made.file,
        path=f"/sounds/{number // 1000:04}/{words} {number:07}.wav",
        duration_s=float(generator.uniform(0, LONGEST_S)),
        format=str(generator.choice(FORMATS)),
        description=Description(),
    )
    spans = np.tile(np.array([[0, 1]]), (len(made.vectors), 1))
    return replace(made, file=file, frames=made.frames[:1], spans=spans)


def measured(store: SqliteStore) -> dict[str, Any]:
    """Every condition for the first time and again, with the search that has none between them."""
    queries = np.random.default_rng(1).standard_normal((QUERIES, IDENTITY_OF_RANDOM.dim)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    named = NameQuery("dog barks", ("dog barks",))

    def ask(query: np.ndarray, condition: str | None) -> Callable[[], object]:
        where = None if condition is None else parse_where(condition)
        return lambda: store.shortlist(Question(query, where, names=named), segments=K, files=K)

    store.count(parse_where("duration < 1"))
    for query in queries:  # asked often enough, it has the vectors in 8 bits
        ask(query, None)()
    rows = []
    for condition in CONDITIONS:
        first_ms = cpu_ms(ask(queries[0], condition))
        again = [(cpu_ms(ask(query, None)), cpu_ms(ask(query, condition))) for query in queries]
        plain_ms, again_ms = (statistics.median(column) for column in zip(*again, strict=True))
        rows.append(
            {
                "where": condition,
                "share": round(store.count(parse_where(condition))[0] / store.count()[0], 4),
                "first_ms": first_ms,
                "again_ms": round(again_ms, 1),
                "without_ms": round(plain_ms, 1),
            }
        )
    return {"queries": QUERIES, "filters": rows}


def cpu_ms(ask: Callable[[], object]) -> float:
    """Processor milliseconds of a call."""
    began = time.process_time()
    ask()
    return round((time.process_time() - began) * 1e3, 1)


if __name__ == "__main__":
    main()
