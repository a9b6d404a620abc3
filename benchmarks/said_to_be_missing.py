"""How often a search says that nothing here sounds like that: where it is false, and where it is true.

    python benchmarks/said_to_be_missing.py SOUNDS --library words.library --json docs/results/said-to-be-missing.json

Asked are the labels of a split's clips and the English queries of benchmarks/queries/queries.csv, as a search reads
them, among the clips of the split alone: once with what answers, once with all of it taken out. A query that several
labels answer may have near neighbours left. The library is that of `query_kinds.py`, or any that holds the split.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

from machine import commit, machine
from query_kinds import LEFT_OUT, answers, choose_clips, read_queries

from soundseek.library import Library
from soundseek.model.match import DOUBTFUL_BELOW, NOTHING_BELOW


def main() -> None:
    """Build the library where there is none, ask, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sounds", type=Path)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    logging.getLogger("soundseek").setLevel(logging.ERROR)
    chosen = choose_clips(given.sounds, LEFT_OUT)
    with Library.open(given.library, create=True) as library:
        if not library.info().files:
            library.index(*chosen)
        labels = {path: label for path, label in chosen.items() if Path(path).parent.name == given.split}
        result = measure(library, labels)
    result["split"] = given.split
    for row in result["rows"]:
        print(
            f"{row['kind']:<16}{row['there']:>5} there: nothing {row['false_nothing']:.2f}, perhaps "
            f"{row['false_perhaps']:.2f}; {row['missing']:>4} missing: nothing {row['true_nothing']:.2f}, perhaps "
            f"{row['true_perhaps']:.2f}"
        )
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def questions(labels: dict[str, str]) -> Iterator[tuple[str, str, set[str]]]:
    """Kind and text of each query, and the files that answer it."""
    for label in sorted(set(labels.values())):
        yield "labels", label, {path for path, own in labels.items() if own == label}
    queries, concepts = read_queries()
    for query in queries:
        if query.language == "English":
            yield query.kind, query.text, answers(query, labels, concepts)


def measure(library: Library, labels: dict[str, str]) -> dict[str, Any]:
    """Of each kind of query the shares of searches that say it, or that it may be so."""
    best: dict[str, dict[bool, list[float]]] = defaultdict(lambda: {True: [], False: []})
    for kind, text, right in questions(labels):
        reading = library.read(text)
        if not reading.alternatives:
            continue
        for is_there in (True, False):
            if right or not is_there:
                only = set(labels) if is_there else set(labels) - right
                hits = library.search(reading, only=only, missing="show", keywords="off")
                highest = max(hit.match or 0.0 for hit in hits)
                for name in (kind, "all"):
                    best[name][is_there].append(highest)
    rows = [
        {
            "kind": kind,
            "there": len(found[True]),
            "missing": len(found[False]),
            **{
                f"{truth}_{said}": mean(low <= each < high for each in found[truth == "false"])
                for truth in ("false", "true")
                for said, low, high in (
                    ("nothing", 0.0, NOTHING_BELOW),
                    ("perhaps", NOTHING_BELOW, DOUBTFUL_BELOW),
                )
            },
        }
        for kind, found in best.items()
    ]
    return {
        "rows": rows,
        "files": len(labels),
        "nothing_below": NOTHING_BELOW,
        "perhaps_below": DOUBTFUL_BELOW,
        "model": library.info().model,
        "fingerprint": library.info().fingerprint,
        "machine": machine(),
        "commit": commit(),
    }


if __name__ == "__main__":
    main()
