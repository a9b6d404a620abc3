"""Files of the DCASE challenge as others write them: a ground truth, and a system's output."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from soundseek.learn.evaluation.dcase import NUM_PREDICTIONS, PREDICTION_HEADER


def write_predictions(path: str | Path, captions: Sequence[str], file_names: Iterable[Sequence[str]]) -> None:
    """Write a system's output: for each caption the names of its ten best clips, best first.

    Args:
        path: The CSV file.
        captions: Queries in the order of the ground truth.
        file_names: As many rows; longer ones are cut after ten, those of a smaller collection leave cells
            empty.
    """
    rows = []
    for caption, names in zip(captions, file_names, strict=True):
        best = list(names[:NUM_PREDICTIONS])
        rows.append([caption, *best, *[""] * (NUM_PREDICTIONS - len(best))])
    _write(path, PREDICTION_HEADER, rows)


def write_truth(path: str | Path, captions: dict[str, Sequence[str]]) -> None:
    """Write a ground truth file from each clip's captions; clips with fewer captions leave cells empty."""
    width = max((len(texts) for texts in captions.values()), default=1)
    rows = [[name, *texts, *[""] * (width - len(texts))] for name, texts in captions.items()]
    _write(path, ("file_name", *(f"caption_{n}" for n in range(1, width + 1))), rows)


def _write(path: str | Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        plain = csv.writer(file, lineterminator="\n")
        quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        plain.writerow(header)
        for row in rows:  # a lone carriage return ends a row for every reader, yet `plain` would not quote it
            (quoted if any("\r" in cell for cell in row) else plain).writerow(row)
