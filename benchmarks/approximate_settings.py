"""How an approximate index is best made: lists of segments that are alike, or graphs of neighbours (usearch's HNSW).

    python benchmarks/approximate_settings.py KEPT --json docs/results/approximate.json
    python benchmarks/approximate_settings.py KEPT --segments 2500000 --lists 1000 2500 --graphs 16,128

KEPT is a library that `approximate.py --keep FOLDER` filled (FOLDER/SIZE/library); its first segments are taken. Each
of `--lists` is the segments of a list, each of `--graphs` connectivity and expansion while building; graphs need `pip
install usearch`, which soundseek does not. Lists are asked with several shares of all segments compared, graphs with
several expansions; of the 512 candidates the exact scores are taken. "Every short vector" compares all of them as they
lie in the lists: what is missing there is lost by their shortness. Recall is of the ten and of the sixty best segments,
over the queries of benchmarks/queries as they are typed, in words, codes and jargon, and of the plain words among them.
One thread, processor times.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from engines import texts
from machine import keep_result

from soundseek import load_model
from soundseek.library.store import approximate_files, approximate_lists
from soundseek.library.store.approximate_build import PIECE_ROWS, SAMPLE_ROWS, principal_directions
from soundseek.library.store.approximate_files import IndexPart, OpenPart, nearest_in_parts
from soundseek.library.store.approximate_keys import keys_of_rows, rows_of_keys
from soundseek.library.store.approximate_lists import ListsInMemory, open_lists
from soundseek.library.store.base import ModelIdentity
from soundseek.library.store.rows import Snapshot, spread_evenly
from soundseek.library.store.sqlite import SqliteStore

BEST = 10, 60
CANDIDATES = 512
PIECE = 50_000
PLAIN_WORDS = 50
"""So many of the queries come first, and are plain words."""
SHARES = 0.01, 0.02, 0.03, 0.05, 0.08, 1.0
EXPANSIONS = 1024, 2048, 4096, 8192

Report = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("library", type=Path)
    parser.add_argument("--segments", type=int, default=500_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--lists", type=int, nargs="*", default=[2500, 1000])
    parser.add_argument("--graphs", nargs="*", default=["16,128", "32,128", "16,256"])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    queries = load_model().embed_text(texts(args.queries)).astype(np.float32)
    identity = ModelIdentity("recall", "0" * 12, queries.shape[1])
    store = SqliteStore.open(args.library, identity=identity, create=False)
    approximate_files.COMPARED_A_CANDIDATE = approximate_files.LEAST_COMPARED = 1
    report: Report = {"segments": args.segments, "queries": len(queries), "lists": [], "graphs": []}
    with store._reading() as (_, snapshot):
        measured = Measured(snapshot, args.segments, queries)
        for rows in args.lists:
            report["lists"].append(measured.lists(rows))
        for text in args.graphs:
            report["graphs"].append(measured.graph(*map(int, text.split(","))))
    store.close()
    keep_result(args.json, f"settings_{args.segments}", report)


class Measured:
    """The first segments of a library, indexed in one way after the other.

    Args:
        snapshot: The library's rows.
        segments: How many of them.
        queries: `(n, dim)` float32.
    """

    def __init__(self, snapshot: Snapshot, segments: int, queries: np.ndarray) -> None:
        self.numbers = snapshot.maps.segments["file_id"][:segments]
        self.vectors = snapshot.maps.vectors[:segments]
        self.queries = queries
        self.truth = best_rows(self.vectors, queries)
        sample = self.vectors[spread_evenly(segments, SAMPLE_ROWS)].astype(np.float32)
        self.projection = principal_directions(sample)
        self.sample = sample @ self.projection
        self.part = IndexPart("some.lists", 0, "", segments, 0, segments, self.projection)

    def lists(self, rows: int) -> Report:
        """Lists of so many segments each."""
        approximate_lists.LIST_ROWS = rows
        began = time.process_time()
        made = ListsInMemory.for_sample(self.sample, len(self.vectors))
        for keys, short in self.pieces():
            made.add(keys, short)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "lists"
            made.write(path)
            build_cpu_s = time.process_time() - began
            part = OpenPart(self.part, open_lists(path, self.projection.shape[1]))
            asked = []
            for share in SHARES:
                approximate_files.COMPARED_SHARE = share
                how = "every_short_vector" if share == 1 else "share"
                asked.append(
                    {how: share, **self.answered(lambda query: nearest_in_parts([part], query, CANDIDATES))}
                )
            size = path.stat().st_size
        return self.told(
            {"list_rows": rows, "build_cpu_s": round(build_cpu_s, 1), "bytes": size, "asked": asked}
        )

    def graph(self, connectivity: int, expansion_add: int) -> Report:
        """A graph of usearch's."""
        from usearch.index import Index

        index: Any = Index(
            ndim=self.projection.shape[1],
            metric="cos",
            dtype="i8",
            connectivity=connectivity,
            expansion_add=expansion_add,
            enable_key_lookups=False,
        )
        began = time.process_time()
        for keys, short in self.pieces():
            index.add(keys.astype(np.uint64), short, threads=1)
        build_cpu_s = time.process_time() - began
        asked = []
        for expansion in EXPANSIONS:
            index.expansion_search = expansion
            asked.append({
                "expansion": expansion,
                **self.answered(lambda query: index.search(query @ self.projection, CANDIDATES, threads=1).keys),
            })  # fmt: skip
        return self.told({
            "connectivity": connectivity, "expansion_add": expansion_add, "build_cpu_s": round(build_cpu_s, 1),
            "bytes": int(index.serialized_length), "asked": asked,
        })  # fmt: skip

    def pieces(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Keys and short vectors, some at a time."""
        for first in range(0, len(self.vectors), PIECE_ROWS):
            last = min(first + PIECE_ROWS, len(self.vectors))
            short = self.vectors[first:last].astype(np.float32) @ self.projection
            yield keys_of_rows(self.numbers, first, last), short

    def answered(self, ask: Callable[[np.ndarray], np.ndarray]) -> Report:
        """Recall of what is found, and milliseconds of finding it."""
        began = time.process_time()
        found = [np.asarray(ask(query)).astype(np.int64) for query in self.queries]
        cpu_ms = (time.process_time() - began) / len(self.queries) * 1e3
        shares: dict[int, list[float]] = {k: [] for k in BEST}
        for query, best, keys in zip(self.queries, self.truth, found, strict=True):
            rows = rows_of_keys(self.numbers, keys)
            ours = rows[np.argsort(-(self.vectors[rows].astype(np.float32) @ query), kind="stable")]
            for k in BEST:
                shares[k].append(float(np.isin(best[:k], ours[:k]).mean()))
        recalls = {f"recall_at_{k}": round(float(np.mean(each)), 4) for k, each in shares.items()}
        plain = round(float(np.mean(shares[BEST[0]][:PLAIN_WORDS])), 4)
        return {"cpu_ms": round(cpu_ms, 2), **recalls, "of_plain_words": plain}

    def told(self, report: Report) -> Report:
        """The report, printed."""
        print(report, flush=True)
        return report


def best_rows(vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """`(queries, 60)` the rows with the largest inner products, the best first."""
    scores = np.full((len(queries), BEST[-1]), -2.0, np.float32)
    rows = np.zeros((len(queries), BEST[-1]), np.int64)
    for first in range(0, len(vectors), PIECE):
        piece = queries @ vectors[first : first + PIECE].astype(np.float32).T
        at = np.broadcast_to(np.arange(first, first + piece.shape[1]), piece.shape)
        both, numbers = np.concatenate([scores, piece], axis=1), np.concatenate([rows, at], axis=1)
        order = np.argsort(-both, axis=1, kind="stable")[:, : BEST[-1]]
        scores, rows = np.take_along_axis(both, order, 1), np.take_along_axis(numbers, order, 1)
    return rows


if __name__ == "__main__":
    main()
