"""What a second model brings that ranks what a first one proposes (`soundseek search --rerank`), and what it costs.

    python benchmarks/two_stages.py DATA SECOND --split validation --json docs/results/two-stages.json

DATA is a folder in Clotho's layout, SECOND a model's name or directory. Each caption looks for its clip. The difference
to the first model alone has a 95 % interval over clips, whose captions are not independent of each other.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import commit, machine

from soundseek._typing import AnyFloatArray, FloatArray, IntArray
from soundseek.learn.datasets.layout import read_split
from soundseek.model.model import Model
from soundseek.model.registry import load_model

CUTS = (1, 5, 10)


def main() -> None:
    """Embed the split with both models, rank, print, and write JSON where asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("second", help="the model that ranks anew")
    parser.add_argument("--first", default="soundseek-small", help="the model that proposes")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--proposed", type=int, nargs="+", default=[20, 50, 200])
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    clips = read_split(arguments.data, arguments.split)
    owner = np.repeat(np.arange(len(clips)), [len(clip.captions) for clip in clips])
    captions = [caption for clip in clips for caption in clip.captions]
    first, second = load_model(arguments.first), load_model(arguments.second)
    paths = [clip.path for clip in clips]
    scores, cost_s = zip(*(_scores(model, paths, captions) for model in (first, second)), strict=True)
    ranks = {"first alone": rank_of(scores[0], owner), "second alone": rank_of(scores[1], owner)}
    for number in arguments.proposed:
        ranks[f"second among {number}"] = rank_of(reordered(scores[0], scores[1], number), owner)
    ranks["scores added"] = rank_of(scores[0] + scores[1], owner)
    alone = ranks["first alone"]
    result: dict[str, Any] = {
        "split": arguments.split,
        "num_clips": len(clips),
        "num_captions": len(captions),
        "first": first.config.name,
        "second": second.config.name,
        "rows": {name: summary(found, alone, owner) for name, found in ranks.items()},
        "cpu_s_a_clip": {first.config.name: cost_s[0], second.config.name: cost_s[1]},
        "machine": machine(),
        "commit": commit(),
    }
    for name, row in result["rows"].items():
        print(f"{name:18}", "  ".join(f"{metric} {100 * row[metric]:.1f}" for metric in row["metrics"]))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def reordered(first: AnyFloatArray, second: AnyFloatArray, proposed: int) -> AnyFloatArray:
    """Scores `(caption, clip)` that rank the best of `first` as `second` does, and the others behind them.

    >>> reordered(np.array([[3.0, 2.0, 1.0]]), np.array([[0.1, 0.2, 0.9]]), 2).argsort(axis=1)[:, ::-1]
    array([[1, 0, 2]])
    """
    best = np.argsort(-first, axis=1, kind="stable")[:, :proposed]
    scores = first - (first.max() + 10)
    np.put_along_axis(scores, best, np.take_along_axis(second, best, axis=1), axis=1)
    return scores


def rank_of(scores: AnyFloatArray, owner: IntArray) -> IntArray:
    """The place of each caption's clip, 1 for the first; of equal scores the worst."""
    own = scores[np.arange(len(owner)), owner]
    ranks: IntArray = (scores >= own[:, None]).sum(axis=1)
    return ranks


def summary(ranks: IntArray, alone: IntArray, owner: IntArray) -> dict[str, Any]:
    """Recall and mAP@10 as shares, and the difference of the latter to the first model alone."""
    row: dict[str, Any] = {f"R{cut}": float((ranks <= cut).mean()) for cut in CUTS}
    row["mAP10"] = float(_precision(ranks).mean())
    row["metrics"] = [*row]
    each = _precision(ranks) - _precision(alone)
    sums, counts = np.bincount(owner, each), np.bincount(owner)
    left_out = (each.sum() - sums) / (len(each) - counts)  # the mean without each clip: a jackknife
    error = np.sqrt((len(sums) - 1) / len(sums) * ((left_out - left_out.mean()) ** 2).sum())
    mean = float(each.mean())
    row["difference"] = {"value": mean, "low": mean - 1.96 * float(error), "high": mean + 1.96 * float(error)}
    return row


def _precision(ranks: IntArray) -> AnyFloatArray:
    precision: AnyFloatArray = np.where(ranks <= 10, 1 / ranks, 0.0)
    return precision


def _scores(model: Model, paths: list[Path], captions: list[str]) -> tuple[FloatArray, float]:
    """Cosines `(caption, clip)`, and the processor seconds that a clip took."""
    began = time.process_time()
    audio = model.embed_audio(paths)
    spent = (time.process_time() - began) / len(paths)
    scores: FloatArray = model.embed_text(captions) @ audio.T
    return scores, spent


if __name__ == "__main__":
    main()
