"""What marks bring: precision of the first ten hits before and after 3, 5 and 10 marks.

python benchmarks/marks.py --library DIR --metadata metadata.csv [--json FILE]

The library holds labelled clips; metadata.csv says each one's `label`, `category` and `recording_id`. A seed cuts the
recordings, not the clips, into two halves. In the first half hits are marked right or wrong by their labels, as by a
user who goes down the list and on to the first right one; in the second half, of which nothing is marked, the search
is measured with and without the marks. Two searches: by the label itself, and by its category alone ("animal"), where
only the marks say which sounds of it are meant. Names do not count (`keywords` off): a file is called after its label
here.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from soundseek.library import Library
from soundseek.library.taught import TaughtSounds

NUM_MARKS = (3, 5, 10)
LEAST_IN_HALF = 10
LOOKED_AT = 100
NAME = "a benchmark's"


def main() -> None:
    """Print a table, or write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--library", type=Path, required=True, help="made by soundseek index; its marks go again"
    )
    parser.add_argument("--metadata", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    about = metadata_of(arguments.metadata)
    with Library.open(arguments.library) as library:
        rows = [row for seed in arguments.seeds for row in measure(library, about, seed)]
        report = {
            "model": library.info().model,
            "files": library.info().files,
            "seeds": arguments.seeds,
            "labels": len({row["label"] for row in rows}),
            "commit": subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True).strip(),
            "rows": rows,
        }
    if arguments.json is None:
        print(json.dumps(report, indent=1))
    else:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def measure(library: Library, about: dict[str, dict[str, str]], seed: int) -> list[dict[str, Any]]:
    """Precision of the first ten of every label that has enough clips in both halves."""
    random = np.random.default_rng(seed)
    recordings = sorted({row["recording_id"] for row in about.values()})
    is_first = dict(zip(recordings, random.random(len(recordings)) < 0.5, strict=True))
    halves: dict[bool, dict[str, str]] = {True: {}, False: {}}
    for file in library.files():
        row = about[Path(file.path).name]
        halves[bool(is_first[row["recording_id"]])][file.path] = row["label"]
    counts = {half: Counter(labels.values()) for half, labels in halves.items()}
    chosen = sorted(
        label for label in counts[True] if min(each[label] for each in counts.values()) >= LEAST_IN_HALF
    )
    category_of = {row["label"]: row["category"].replace("/", " or ") for row in about.values()}
    return [
        {"seed": seed, "label": label, "asked": asked, **_precisions(library, text, label, halves)}
        for label in chosen
        for asked, text in (("label", label), ("category", category_of[label]))
    ]


def _precisions(
    library: Library, text: str, label: str, halves: dict[bool, dict[str, str]]
) -> dict[str, float]:
    def found(half: bool, k: int, **how: Any) -> list[str]:
        hits = library.search(text, k=k, keywords="off", only=list(halves[half]), duplicates="show", **how)
        return [hit.path for hit in hits]

    def precision(paths: list[str]) -> float:
        return sum(halves[False][path] == label for path in paths) / 10

    listed = found(True, LOOKED_AT)
    is_right = [halves[True][path] == label for path in listed]
    precisions = {"0": precision(found(False, 10))}
    sounds = TaughtSounds(library.store)
    for num in NUM_MARKS:
        marked = list(range(num))
        if True in is_right and not any(is_right[:num]):
            marked[-1] = is_right.index(True)
        taught = sounds.create(NAME)
        try:
            library.mark(
                NAME,
                right=[listed[rank] for rank in marked if is_right[rank]],
                wrong=[listed[rank] for rank in marked if not is_right[rank]],
            )
            precisions[str(num)] = precision(found(False, 10, taught=NAME))
        finally:
            sounds.remove(taught.id)
    return precisions


def metadata_of(path: Path) -> dict[str, dict[str, str]]:
    """File name -> its row."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["file_name"]: row for row in csv.DictReader(file)}


if __name__ == "__main__":
    main()
