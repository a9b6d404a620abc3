"""For each plain reading of the lexicon the label of recordings that comes nearest: `scripts/lexicon/labels.csv`.

    python scripts/nearest_labels.py SOUNDS FOLDER [FOLDER ...]

A reading such as "a propeller plane droning" is written by hand; a model has learned labels such as "airplane flying".
Searched for together they find more than the reading alone, so `compile_lexicon.py` adds the label to the reading.
SOUNDS has `metadata.csv` (split, set, label); its labels of the split `development` count that two clips or more have,
without the collections of `left_out_collections.txt`, with which the result is measured. FOLDER holds `jargon.csv` and
`ucs.csv` as for `compile_lexicon.py`. How near two texts are is said by the model.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from compile_lexicon import LABELS_FILE, OWN, rows, takes_a_label, terms_of

from soundseek import load_model
from soundseek._vectors import unit_rows
from soundseek.learn.datasets.tables import read_lines
from soundseek.query.text import fold

LEAST_CLIPS = 2
LEAST_COSINE = 0.5  # a label that is further away is about something else
# Readings whose nearest label is of something else: brown noise is no gas.
NO_LABEL = frozenset({"steady hissing noise|continuous static like noise"})
LEFT_OUT = Path(__file__).parent / "left_out_collections.txt"


def main() -> None:
    """Read the command line, compare and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sounds", type=Path)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--model", default="soundseek-small")
    given = parser.parse_args()
    labels = labels_of(given.sounds, set(read_lines(LEFT_OUT)))
    readings = readings_of([OWN, *given.folders])
    nearest = nearest_labels(given.model, readings, labels)
    path = OWN / LABELS_FILE
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("plain", "label"))
        writer.writerows(sorted(nearest.items()))
    print(
        f"{path}: {len(nearest)} of {len(readings)} readings have a label of another wording, out of {len(labels)}"
    )


def labels_of(sounds: Path, left_out: set[str]) -> list[str]:
    """The labels of the development split that are common enough, sorted."""
    with (sounds / "metadata.csv").open(encoding="utf-8", newline="") as file:
        counts = Counter(
            row["label"]
            for row in csv.DictReader(file)
            if row["split"] == "development" and row["set"] not in left_out
        )
    return sorted(label for label, count in counts.items() if count >= LEAST_CLIPS)


def readings_of(folders: Sequence[Path]) -> list[str]:
    """The readings that take a label, sorted; texts that say the same thing are one reading, with `|` between them."""
    found = {
        row["plain"] for row in terms_of(folders) if takes_a_label(row["note"]) and "||" not in row["plain"]
    }
    return sorted(found | {row["plain"] for row in rows(folders, "ucs.csv")})


def nearest_labels(name: str, readings: Sequence[str], labels: Sequence[str]) -> dict[str, str]:
    """Reading -> label, where one is near and is not one of the reading's own texts."""
    model = load_model(name)
    texts = sorted({text for reading in readings for text in reading.split("|")})
    vectors = dict(zip(texts, model.embed_text(texts), strict=True))
    means = unit_rows(np.array([sum(vectors[text] for text in reading.split("|")) for reading in readings]))
    cosines = means @ model.embed_text(list(labels)).T
    return {
        reading: labels[number]
        for reading, number, cosine in zip(
            readings, cosines.argmax(axis=1).tolist(), cosines.max(axis=1).tolist(), strict=True
        )
        if reading not in NO_LABEL
        and cosine >= LEAST_COSINE
        and fold(labels[number]) not in map(fold, reading.split("|"))
    }


if __name__ == "__main__":
    main()
