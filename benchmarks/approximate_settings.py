"""What limits the approximate index: how its graphs are made, how long a search looks, or how short the vectors are.

    python benchmarks/approximate_settings.py KEPT --json docs/results/approximate.json
    python benchmarks/approximate_settings.py KEPT --segments 1000000 --graphs 16,128,1 16,256,1 16,128,4

KEPT is a library that `approximate.py --keep FOLDER` filled (FOLDER/SIZE/library); its first segments are taken. Each
of `--graphs` is connectivity, expansion while building, and in how many parts the segments are. Each is asked with
several expansions for 128 and for 512 candidates, of which the exact scores are taken; the queries are those of
benchmarks/queries, in words. "Every short vector" compares all of them as they lie in the graph: what is missing there
is lost by their shortness and not by the graph. Recall is of the ten and of the sixty best segments. One thread,
processor times.
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from engines import texts
from machine import keep_result

from soundseek import load_model
from soundseek.library.store import approximate_files
from soundseek.library.store.approximate_build import PIECE_ROWS, principal_directions
from soundseek.library.store.approximate_files import Graph, IndexPart, Manifest, OpenIndex, empty_graph
from soundseek.library.store.approximate_keys import keys_of_rows, rows_of_keys
from soundseek.library.store.base import ModelIdentity
from soundseek.library.store.rows import Snapshot
from soundseek.library.store.sqlite import SqliteStore

BEST = 10, 60
CANDIDATES = 128, 512
PIECE = 50_000

Report = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("library", type=Path)
    parser.add_argument("--segments", type=int, default=500_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--graphs", nargs="+", default=["16,128,1", "32,128,1", "16,256,1", "16,128,4"])
    parser.add_argument("--expansions", type=int, nargs="+", default=[512, 1024, 2048, 4096, 8192])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    queries = load_model().embed_text(texts(args.queries)).astype(np.float32)
    identity = ModelIdentity("recall", "0" * 12, queries.shape[1])
    store = SqliteStore.open(args.library, identity=identity, create=False)
    with store._reading() as (_, snapshot):
        truth = best_rows(snapshot.maps.vectors[: args.segments], queries)
        graphs = []
        for text in args.graphs:
            made = measured(snapshot, args.segments, queries, truth, text, args.expansions)
            graphs.append(made)
            print(made, flush=True)
            report = {"segments": args.segments, "queries": len(queries), "graphs": graphs}
            keep_result(args.json, "settings", report)
    store.close()


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


def measured(
    snapshot: Snapshot,
    segments: int,
    queries: np.ndarray,
    truth: np.ndarray,
    text: str,
    expansions: list[int],
) -> Report:
    """An index of the first segments, made and asked in one way after the other."""
    connectivity, expansion, num_parts = map(int, text.split(","))
    approximate_files.CONNECTIVITY, approximate_files.EXPANSION_WHILE_BUILDING = connectivity, expansion
    began = time.process_time()
    borders = np.linspace(0, segments, num_parts + 1).astype(int).tolist()
    graphs = tuple(made_graph(snapshot, range(first, last)) for first, last in pairwise(borders))
    build_cpu_s = time.process_time() - began
    manifest = Manifest("0" * 12, tuple(graph.part for graph in graphs), np.empty(0, np.int64))
    index = OpenIndex(manifest, graphs)
    asked = []
    for expansion_search in expansions:
        for graph in graphs:
            graph.index.expansion_search = expansion_search
        for count in CANDIDATES:
            asked.append({"expansion": expansion_search, **answered(snapshot, index, queries, truth, count)})
    return {
        "connectivity": connectivity,
        "expansion_add": expansion,
        "parts": num_parts,
        "build_cpu_s": round(build_cpu_s, 1),
        "bytes": sum(int(graph.index.serialized_length) for graph in graphs),
        "every_short_vector": [
            of_every_short_vector(snapshot, graphs, queries, truth, c) for c in CANDIDATES
        ],
        "asked": asked,
    }


def made_graph(snapshot: Snapshot, rows: range) -> Graph:
    """A graph of some rows, as `approximate_build.py` makes it."""
    projection = principal_directions(snapshot, rows)
    index = empty_graph(projection.shape[1])
    for first in range(rows.start, rows.stop, PIECE_ROWS):
        last = min(first + PIECE_ROWS, rows.stop)
        keys = keys_of_rows(snapshot.maps.segments["file_id"], first, last)
        short = snapshot.maps.vectors[first:last].astype(np.float32) @ projection
        index.add(keys.astype(np.uint64), short, threads=1)
    part = IndexPart(
        "", 0, "", len(rows), int(snapshot.maps.segments["file_id"][rows.stop - 1]) + 1, 0, projection
    )
    return Graph(part, index)


def answered(
    snapshot: Snapshot, index: OpenIndex, queries: np.ndarray, truth: np.ndarray, count: int
) -> Report:
    """Recall of what an index finds, and milliseconds of finding it."""
    began = time.process_time()
    found = [index.nearest(query, count) for query in queries]
    cpu_ms = (time.process_time() - began) / len(queries) * 1e3
    return {"candidates": count, "cpu_ms": round(cpu_ms, 2), **recall(snapshot, queries, truth, found)}


def of_every_short_vector(
    snapshot: Snapshot, graphs: tuple[Graph, ...], queries: np.ndarray, truth: np.ndarray, count: int
) -> Report:
    """Recall of what is nearest where every vector of the graphs is compared."""
    found = []
    for query in queries:
        keys, about = [], []
        for graph in graphs:
            short = query @ graph.part.projection
            matches = graph.index.search(short, count, exact=True, threads=1)
            keys.append(np.asarray(matches.keys).astype(np.int64))
            about.append((1 - np.asarray(matches.distances)) * np.linalg.norm(short))
        order = np.argsort(-np.concatenate(about), kind="stable")[:count]
        found.append(np.concatenate(keys)[order])
    return {"candidates": count, **recall(snapshot, queries, truth, found)}


def recall(
    snapshot: Snapshot, queries: np.ndarray, truth: np.ndarray, found: list[np.ndarray]
) -> dict[str, float]:
    """The part of the best rows that are among the best of those that were found, by exact scores."""
    shares: dict[int, list[float]] = {k: [] for k in BEST}
    for query, best, keys in zip(queries, truth, found, strict=True):
        rows = rows_of_keys(snapshot.maps.segments["file_id"], keys)
        ours = rows[np.argsort(-(snapshot.maps.vectors[rows].astype(np.float32) @ query), kind="stable")]
        for k in BEST:
            shares[k].append(float(np.isin(best[:k], ours[:k]).mean()))
    return {f"recall_at_{k}": round(float(np.mean(each)), 4) for k, each in shares.items()}


if __name__ == "__main__":
    main()
