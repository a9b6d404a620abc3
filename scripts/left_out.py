"""How models do on whole collections that they never met: captions to sounds, and labels among the first ten.

    python scripts/left_out.py MODEL ... --data DIR --collections asmr-scape,snap --leave-out FILES --into FILE

The clips are those of the split `development` whose `set` in `metadata.csv` is one of the collections; models that
learned from them are flattered, which the script cannot know. With --leave-out each model is measured once more with
words looked up among the kinds of sound of `development` (`memory.npz`), without the files that FILES lists; without
it the vectors of the words are as the network gives them. --into puts the rows into the JSON file of earlier
ones, in place of those of the same names, in place of printing them.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np

from soundseek import Model, load_model
from soundseek.learn.datasets.layout import Clip, read_split
from soundseek.learn.datasets.tables import read_lines
from soundseek.learn.evaluation.memory import remember
from soundseek.learn.evaluation.metrics import retrieval_metrics
from soundseek.learn.experiments.cost import machine
from soundseek.learn.training.run_folder import environment
from soundseek.model.memory import SoundMemory


def main() -> None:
    """Measure each model and print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--collections", required=True, metavar="A,B,C")
    parser.add_argument("--leave-out", type=Path, metavar="FILES")
    parser.add_argument("--into", type=Path, metavar="FILE")
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
    rows = []
    for name in arguments.models:
        model = load_model(name)
        row = {"model": Path(name).name, "fingerprint": model.fingerprint}
        row |= {"git": environment()["git"], **measure(model, None, clips, labels)}
        if arguments.leave_out:
            names = set(read_lines(arguments.leave_out))
            memory = remember(model, arguments.data, split="development", leave_out=names)
            row["remembering"] = measure(model, memory, clips, labels)
        rows.append(row)
    if arguments.into:
        report = json.loads(arguments.into.read_text(encoding="utf-8"))
        if report["collections"] != collections:
            sys.exit(f"{arguments.into} is of other collections: {','.join(report['collections'])}")
        new = {row["model"] for row in rows}
        report["models"] = [row for row in report["models"] if row["model"] not in new] + rows
        arguments.into.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        return
    report = {"collections": collections, "num_clips": len(clips), "models": rows}
    print(json.dumps({**report, "machine": machine(), **environment()}, indent=1))


def measure(
    model: Model, memory: SoundMemory | None, clips: list[Clip], labels: np.ndarray
) -> dict[str, float]:
    """mAP@10 and R@10 of the captions, and the share of right labels among the first ten hits of each."""
    captions = [caption for clip in clips for caption in clip.captions]
    own = np.repeat(np.arange(len(clips)), [len(clip.captions) for clip in clips])
    audio, text = model.embed_audio([clip.path for clip in clips]), model.embed_text(captions)
    if memory is not None:
        text = memory.turned(text)
    found = retrieval_metrics((text, audio), own).text_to_audio
    first_ten = np.argsort(-(text @ audio.T), axis=1)[:, :10]
    right = float((labels[first_ten] == labels[own][:, None]).mean())
    return {
        "mAP10": found.mAP10.value,
        "R10": found.R10.value,
        "labels_in_first_ten": right,
    }


if __name__ == "__main__":
    main()
