"""How sure a model is of sounds of collections that it has not met: `match`, fitted without them and with half of them.

    python scripts/match_left_out.py MODEL --data DATA --leave-out FILES > left-out-match.json

MODEL has learned from `development` of DATA without FILES (`data.leave_out`), and remembers what is left of it, as
`soundseek calibrate` would have it. Its `match` is fitted on `validation`,
alone and with the sounds of every second collection (`set` in metadata.csv) of FILES, and tested on the other
collections; then the halves change places. The figures are the means of both tests.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from soundseek._typing import FloatArray
from soundseek.learn.datasets.tables import read_lines
from soundseek.learn.evaluation.match import MatchReport, Unmet, ask, check_match, fit_match
from soundseek.learn.evaluation.memory import Remembering, remember
from soundseek.learn.experiments.cost import machine
from soundseek.learn.training.run_folder import environment
from soundseek.model.model import Model


class OnceForEachFile:
    """A model that embeds each file once."""

    def __init__(self, model: Model) -> None:
        self.embed_file = cache(model.embed_file)
        self._model = model

    def embed_text(self, texts: Sequence[str]) -> FloatArray:
        """See `Model`."""
        return self._model.embed_text(texts)


def main() -> None:
    """Fit and test both ways, and print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--leave-out", type=Path, required=True, metavar="FILES")
    given = parser.parse_args()
    loaded = Model(given.model)
    once = OnceForEachFile(loaded)
    names = set(read_lines(given.leave_out))
    model = Remembering(once, remember(once, given.data, split="development", leave_out=names))
    with (given.data / "metadata.csv").open(encoding="utf-8", newline="") as file:
        sets = {row["file_name"]: row["set"] for row in csv.DictReader(file) if row["file_name"] in names}
    collections = sorted(set(sets.values()))
    halves = [frozenset(name for name in names if sets[name] in collections[start::2]) for start in (0, 1)]
    rows: dict[str, list[MatchReport]] = {"validation alone": [], "validation and half of them": []}
    for learned, tested in (halves, halves[::-1]):
        asked = ask(model, given.data, "development", files=tested)
        for name, unmet in zip(rows, (None, Unmet(model, learned)), strict=True):
            calibration = fit_match(model, given.data, reference_split="development", unmet=unmet)
            rows[name].append(check_match(calibration, asked))
    report = {
        "model": given.model.name,
        "fingerprint": loaded.fingerprint,
        "collections": collections,
        "rows": {
            name: {
                key: float(np.mean([getattr(each, key) for each in reports]))
                for key in ("calibration_error", "auc_hits", "auc_present")
            }
            for name, reports in rows.items()
        },
    }
    print(json.dumps({**report, "machine": machine(), **environment()}, indent=1))


if __name__ == "__main__":
    main()
