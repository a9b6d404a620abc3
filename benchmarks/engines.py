"""What an engine finds of what an exact comparison finds (recall@10), with filters that let pass ever fewer files.

    python benchmarks/engines.py LIBRARY --store postgresql://host/database --json docs/results/engines.json
    python benchmarks/engines.py LIBRARY --store milvus:///tmp/r.db --segments 8000 --json docs/results/engines.json

LIBRARY is one in a folder, whose vectors are taken; where more are asked for, they are of mixtures of two of its
sounds. Files of four segments get a random length, by which they are filtered. Queries are those of benchmarks/queries,
in words. A hit counts as found where its score reaches that of the tenth exact hit. Times are of one search after the
other, in turns with the folder's. Of PostgreSQL the index is measured alone as well, where users would get an exact
answer.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from machine import keep_result
from synthetic_library import best_files

from soundseek import load_model
from soundseek._vectors import unit_rows
from soundseek.library import Library
from soundseek.library.filters import parse_where
from soundseek.library.store import open_store, postgres
from soundseek.library.store.base import Changes, EmbeddedSound, ModelIdentity, Store

SHARES = (1.0, 0.1, 0.01, 0.001)
"""Of the files that pass the filter."""
LONGEST_S = 1000.0
K = 10
SEGMENTS_A_FILE = 4
TIE = 1e-4
QUERIES = Path(__file__).parent / "queries" / "queries.csv"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("library", type=Path)
    parser.add_argument("--store", required=True, help="where the engine's library is made")
    parser.add_argument("--segments", type=int, default=100_000, help="as many are there in the end")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with Library.open(args.library) as library:
        identity = ModelIdentity("recall", "0" * 12, library.store.identity.dim)
        sounds = list(without_frames(library.store, args.segments))
    num_segments = sum(len(sound.vectors) for sound in sounds)
    queries = load_model().embed_text(texts(args.queries))
    with tempfile.TemporaryDirectory() as folder:
        exact = open_store(folder, identity=identity, create=True)
        engine = open_store(args.store, identity=identity, create=True)
        filled = {name: fill(store, sounds) for name, store in (("folder", exact), ("engine", engine))}
        rows = compare(exact, engine, queries)
        if isinstance(engine, postgres.PostgresStore):
            postgres.EXACT_SEGMENTS = 0
            rows += [{**row, "index_alone": True} for row in compare(exact, engine, queries)]
        report = {
            "segments": num_segments,
            "files": len(sounds),
            "queries": len(queries),
            "fill_s": filled,
            "bytes": {"folder": exact.stats().bytes_on_disk, "engine": engine.stats().bytes_on_disk},
            "rows": rows,
        }
        exact.close()
        engine.close()
    keep_result(args.json, args.store.partition(":")[0], report)


def texts(count: int) -> list[str]:
    """The first queries in words."""
    with QUERIES.open(encoding="utf-8", newline="") as handle:
        return [row["query"] for row in csv.DictReader(handle)][:count]


def without_frames(store: Store, num: int) -> Iterator[EmbeddedSound]:
    """Files of four vectors of a store each, until there are `num` segments; a segment's only frame is its vector.

    First those of the store; then mixtures of two of its files, whose vectors are means of theirs, between 1:1 and 1:0.
    """
    generator = np.random.default_rng(0)
    real = store.spread_vectors(num)
    file = store.files(k=1)[0]
    for number, first in enumerate(range(0, num, SEGMENTS_A_FILE)):
        vectors = real[first : first + SEGMENTS_A_FILE]
        if len(vectors) < SEGMENTS_A_FILE:
            one, other = real[generator.integers(0, len(real), (2, SEGMENTS_A_FILE))]
            share = generator.uniform(0.5, 1, (SEGMENTS_A_FILE, 1)).astype(np.float32)
            vectors = unit_rows(share * one + (1 - share) * other)
        at = np.arange(len(vectors))
        facts = {"path": f"/{number:08}.wav", "duration_s": float(generator.uniform(0, LONGEST_S))}
        known = replace(file, **facts, content_hash=number.to_bytes(16, "big"))  # type: ignore[arg-type]
        spans = np.stack([at, at + 1], axis=1)
        yield EmbeddedSound(known, spans * file.frame_s, vectors, vectors, spans)


def fill(store: Store, sounds: Sequence[EmbeddedSound]) -> float:
    """Commit all sounds, 500 at a time, and let the store make its index; seconds that it took."""
    began = time.perf_counter()
    with store.writing():
        for at in range(0, len(sounds), 500):
            store.commit(Changes(sounds=list(sounds[at : at + 500])))
        store.finish_run("2026-01-01T00:00:00+00:00")
    return round(time.perf_counter() - began, 1)


def compare(exact: Store, engine: Store, queries: np.ndarray) -> list[dict[str, object]]:
    """Recall and medians of time, for each share of files."""
    rows: list[dict[str, object]] = []
    for share in SHARES:
        where = None if share == 1 else parse_where(f"duration < {share * LONGEST_S:g}")
        recalls, times_s = [], ([], [])
        for query in queries:
            found = []
            for store, own in zip((exact, engine), times_s, strict=True):
                began = time.perf_counter()
                found.append([match.score for match in best_files(store, query, K, where)])
                own.append(time.perf_counter() - began)
            truth, ours = found
            if truth:
                reached = sum(score >= truth[-1] - TIE for score in ours)
                recalls.append(min(reached, len(truth)) / len(truth))
        files, segments = exact.count(where)
        rows.append(
            {
                "share": share,
                "files": files,
                "segments": segments,
                "recall_at_10": round(statistics.mean(recalls), 4),
                "worst": min(recalls),
                "folder_ms": round(statistics.median(times_s[0]) * 1e3, 1),
                "engine_ms": round(statistics.median(times_s[1]) * 1e3, 1),
            }
        )
    return rows


if __name__ == "__main__":
    main()
