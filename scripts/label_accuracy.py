"""How often the right label is the first or among the first five, what `match` is worth, and which prompt is best.

    python scripts/label_accuracy.py MODEL --data DIR > docs/results/labels.json

The labels are those that occur in a split, column `label` of `metadata.csv`; one of them is right for each clip, so
"dogs barking" counts as wrong where "dog barking" was asked for. The prompts are compared on the split `validation`,
and `evaluation` is measured with the one that `soundseek label` uses alone.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from soundseek import Model, load_model
from soundseek._typing import AnyFloatArray
from soundseek.learn.datasets.layout import read_split
from soundseek.learn.experiments.cost import machine
from soundseek.learn.training.run_folder import environment
from soundseek.library.labelling import PROMPT, Labeller

PROMPTS = (
    "{}", "the sound of {}", "a recording of {}", "there is {}", "{} can be heard", "this is a sound of {}",
)  # fmt: skip
BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    with (arguments.data / "metadata.csv").open(encoding="utf-8", newline="") as file:
        label_of = {row["file_name"]: row["label"] for row in csv.DictReader(file)}
    splits = {}
    for split in ("validation", "evaluation"):
        clips = [clip.path for clip in read_split(arguments.data, split)]
        right = [label_of[path.name] for path in clips]
        splits[split] = (model.embed_audio(clips), right, sorted(set(right)))
    vectors, right, labels = splits["validation"]
    prompts = [{"prompt": prompt, **accuracy(model, vectors, right, labels, prompt)} for prompt in PROMPTS]
    measured = {
        split: {"clips": len(right), "labels": len(labels), **accuracy(model, vectors, right, labels, PROMPT)}
        | certainty(model, vectors, right, labels)
        for split, (vectors, right, labels) in splits.items()
    }
    report = {"model": Path(arguments.model).name, "prompts": prompts, "splits": measured}
    print(json.dumps({**report, "machine": machine(), **environment()}, indent=1))


def accuracy(
    model: Model, vectors: AnyFloatArray, right: list[str], labels: list[str], prompt: str
) -> dict[str, float]:
    """Shares of clips whose label is the first, and among the first five."""
    found = Labeller(model, labels, as_typed=True, prompt=prompt).of_vectors(vectors, k=5)
    ranks = [[each.label for each in row] for row in found]
    return {
        "at_1": float(np.mean([row[0] == label for row, label in zip(ranks, right, strict=True)])),
        "at_5": float(np.mean([label in row for row, label in zip(ranks, right, strict=True)])),
    }


def certainty(model: Model, vectors: AnyFloatArray, right: list[str], labels: list[str]) -> dict[str, Any]:
    """The mean `match` of first labels beside the share that is right, altogether and in five ranges of `match`."""
    first = [row[0] for row in Labeller(model, labels, as_typed=True).of_vectors(vectors, k=1)]
    match = np.array([each.match for each in first], np.float64)
    is_right = np.array([each.label == label for each, label in zip(first, right, strict=True)])
    number = np.clip(np.digitize(match, BINS) - 1, 0, len(BINS) - 2)
    bins = [
        {
            "clips": int(inside.sum()),
            "match": float(match[inside].mean()),
            "right": float(is_right[inside].mean()),
        }
        for inside in (number == each for each in range(len(BINS) - 1))
        if inside.any()
    ]
    error = sum(each["clips"] * abs(each["match"] - each["right"]) for each in bins) / len(match)
    return {"mean_match": float(match.mean()), "calibration_error": error, "bins": bins}


if __name__ == "__main__":
    main()
