"""Precision of the first ten hits by kind of query, as typed and as read: jargon, UCS, languages, negation and others.

    python benchmarks/query_kinds.py SOUNDS --library words.library --json docs/results/query-kinds.json

SOUNDS has `metadata.csv` (file_name, split, set, label) and a folder for each split. The library is built of 1,500
files: the validation split, the collections of --left-out, and every n-th clip of the rest; an existing one is used as
it is. benchmarks/queries/queries.csv has the queries; what answers them stands in concepts.csv as a pattern over the
labels that the clips came with, written by hand and not by the lexicon. A query with fewer than ten answers is measured
over those. The kinds that are called "further" ask for neighbours of what the tables listed when they were written:
plurals, compounds, moods with words around them. A model remembers clips of `development` (`memory.npz`), so what is
read is asked of the validation split alone as well.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from machine import commit, machine

from soundseek.library import Library

QUERIES = Path(__file__).parent / "queries"
NUM_FILES = 1500
LEFT_OUT = (
    "asmr-scape", "dsurround", "fillets", "immersive-railroading", "lincity", "noisekun", "openclonk", "scratch",
    "snap", "soundfx", "supertuxkart", "voxelibre",
)  # fmt: skip
K = 10


@dataclass(frozen=True)
class Query:
    """A query and the concepts whose sounds answer it; those of `excluded` do not."""

    kind: str
    language: str
    text: str
    concepts: tuple[str, ...]
    excluded: tuple[str, ...]


def main() -> None:
    """Build the library where there is none, ask, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sounds", type=Path)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--left-out", nargs="*", default=LEFT_OUT, metavar="SET")
    parser.add_argument("--model")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    chosen = choose_clips(given.sounds, given.left_out)
    logging.getLogger("soundseek").setLevel(logging.ERROR)
    model = None
    if given.model is not None:
        from soundseek import load_model

        model = load_model(given.model)
    with Library.open(given.library, model=model, create=True) as library:
        if not library.info().files:
            library.index(*chosen)
        result = measure(library, chosen)
    print(table(result["rows"]))
    if given.json:
        if given.json.is_file():  # what was written by hand of other runs stays
            result["note"] = json.loads(given.json.read_text(encoding="utf-8")).get("note", "")
        given.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def choose_clips(sounds: Path, left_out: Sequence[str]) -> dict[str, str]:
    """The files of the library and the label of each."""
    with (sounds / "metadata.csv").open(encoding="utf-8", newline="") as file:
        clips = [row for row in csv.DictReader(file) if row["split"] in ("validation", "development")]
    first = [clip for clip in clips if clip["split"] == "validation" or clip["set"] in left_out]
    rest = [clip for clip in clips if clip["split"] != "validation" and clip["set"] not in left_out]
    rest.sort(key=lambda clip: clip["file_name"])
    wanted = max(0, min(NUM_FILES - len(first), len(rest)))
    chosen = first + [rest[number * len(rest) // wanted] for number in range(wanted)]
    return {str((sounds / clip["split"] / clip["file_name"]).resolve()): clip["label"] for clip in chosen}


def read_queries() -> tuple[list[Query], dict[str, re.Pattern[str]]]:
    """The queries, and the pattern of each concept."""
    with (QUERIES / "queries.csv").open(encoding="utf-8", newline="") as file:
        queries = [
            Query(
                row["kind"],
                row["language"],
                row["query"],
                tuple(row["concepts"].split("|")),
                tuple(filter(None, row["excluded"].split("|"))),
            )
            for row in csv.DictReader(file)
        ]
    with (QUERIES / "concepts.csv").open(encoding="utf-8", newline="") as file:
        concepts = {row["concept"]: re.compile(row["labels"]) for row in csv.DictReader(file)}
    return queries, concepts


def answers(query: Query, labels: Mapping[str, str], concepts: Mapping[str, re.Pattern[str]]) -> set[str]:
    """The files that answer a query, by their labels."""
    return {
        path
        for path, label in labels.items()
        if any(concepts[name].search(label) for name in query.concepts)
        and not any(concepts[name].search(label) for name in query.excluded)
    }


def measure(library: Library, labels: Mapping[str, str]) -> dict[str, Any]:
    """Mean precision of each kind of query, as typed and as read, and how long reading takes."""
    queries, concepts = read_queries()
    began = time.process_time()
    library.read(queries[-1].text)
    load_ms = 1000 * (time.process_time() - began)
    precisions: dict[str, list[tuple[float, float]]] = defaultdict(list)
    unheld: dict[str, list[float]] = defaultdict(list)
    validation = {path for path in labels if Path(path).parent.name == "validation"}
    alone = " or ".join(
        f'folder = "{folder}"' for folder in sorted({str(Path(p).parent) for p in validation})
    )
    reading_ms, unread = [], 0
    for query in queries:
        relevant = answers(query, labels, concepts)
        began = time.process_time()
        reading = library.read(query.text)
        reading_ms.append(1000 * (time.process_time() - began))
        unread += bool(reading.unread)
        found = [
            sum(hit.path in relevant for hit in library.search(text, k=K, as_typed=as_typed))
            / min(K, len(relevant))
            for text, as_typed in ((query.text, True), (reading, False))
        ]
        kind = query.kind if query.language == "English" else query.language
        precisions[kind].append((found[0], found[1]))
        if there := relevant & validation:
            hits = library.search(reading, k=K, where=alone)
            unheld[kind].append(sum(hit.path in there for hit in hits) / min(K, len(there)))
    rows = [
        {
            "kind": kind,
            "queries": len(pairs),
            "typed": mean(a for a, _ in pairs),
            "read": mean(b for _, b in pairs),
            "validation": mean(unheld[kind]) if unheld[kind] else None,
            "validation_queries": len(unheld[kind]),
        }
        for kind, pairs in precisions.items()
    ]
    return {
        "rows": rows,
        "files": len(labels),
        "validation_files": len(validation),
        "model": library.info().model,
        "fingerprint": library.info().fingerprint,
        "with_unread_words": unread,
        "reading_ms": mean(reading_ms),
        "slowest_ms": max(reading_ms),
        "first_ms": load_ms,
        "machine": machine(),
        "commit": commit(),
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as text."""
    lines = [f"{'kind':<20}{'queries':>8}{'as typed':>10}{'read':>8}"]
    lines += [f"{row['kind']:<20}{row['queries']:>8}{row['typed']:>10.2f}{row['read']:>8.2f}" for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
