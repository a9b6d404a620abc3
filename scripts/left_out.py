"""How models do on whole collections that they never met: captions to sounds, and labels among the first ten.

    python scripts/left_out.py MODEL ... --data DIR --collections asmr-scape,snap > docs/results/left-out.json

The clips are those of the split `development` whose `set` in `metadata.csv` is one of the collections; models that
learned from them are flattered, which the script cannot know.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from soundseek import load_model
from soundseek.learn.datasets.layout import Clip, read_split
from soundseek.learn.evaluation.metrics import retrieval_metrics
from soundseek.learn.experiments.cost import machine
from soundseek.learn.training.run_folder import environment


def main() -> None:
    """Measure each model and print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--collections", required=True, metavar="A,B,C")
    arguments = parser.parse_args()
    collections = arguments.collections.split(",")
    with (arguments.data / "metadata.csv").open(encoding="utf-8", newline="") as file:
        facts = {row["file_name"]: row for row in csv.DictReader(file)}
    clips = [
        clip
        for clip in read_split(arguments.data, "development")
        if facts[clip.path.name]["set"] in collections
    ]
    if not clips:
        sys.exit(f"no clip of {arguments.collections} in {arguments.data}")
    labels = np.array([facts[clip.path.name]["label"] for clip in clips])
    rows = [measure(name, clips, labels) for name in arguments.models]
    report = {"collections": collections, "num_clips": len(clips), "models": rows}
    print(json.dumps({**report, "machine": machine(), **environment()}, indent=1))


def measure(name: str, clips: list[Clip], labels: np.ndarray) -> dict[str, Any]:
    """mAP@10 and R@10 of the captions, and the share of right labels among the first ten hits of each."""
    model = load_model(name)
    captions = [caption for clip in clips for caption in clip.captions]
    own = np.repeat(np.arange(len(clips)), [len(clip.captions) for clip in clips])
    audio, text = model.embed_audio([clip.path for clip in clips]), model.embed_text(captions)
    found = retrieval_metrics((text, audio), own).text_to_audio
    first_ten = np.argsort(-(text @ audio.T), axis=1)[:, :10]
    right = float((labels[first_ten] == labels[own][:, None]).mean())
    return {
        "model": Path(name).name,
        "fingerprint": model.fingerprint,
        "mAP10": found.mAP10.value,
        "R10": found.R10.value,
        "labels_in_first_ten": right,
    }


if __name__ == "__main__":
    main()
