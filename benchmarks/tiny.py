"""What a cheaper model costs and how it finds, beside the model whose words it shares: time, precision, likeness.

    python benchmarks/tiny.py tiny --teacher soundseek-small --data DIR --json docs/results/tiny.json

Time: processor milliseconds of one thread for ten seconds of sound, medians of turns that the models take one after
another: level and log-mel, the network, and from a file to its vector, of the files of `stages.py`. Precision: captions
look for their sounds, on `validation` and on the collections of --leave-out, from which the cheaper model has not
learned; the difference to the teacher has a paired 95 % interval. Likeness: the mean cosine of both models' vectors.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
from machine import keep_result
from stages import RATE, spent, timed, write_sounds

from soundseek.audio.decode import read_audio
from soundseek.audio.logmel import LogMel
from soundseek.learn.datasets.layout import Clip, read_split
from soundseek.learn.distill import find_sounds
from soundseek.learn.evaluation.intervals import paired_bootstrap
from soundseek.learn.evaluation.metrics import ranks, retrieval_metrics
from soundseek.model.model import Model
from soundseek.model.registry import load_model


def main() -> None:
    """Measure, and write JSON where asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--teacher", default="soundseek-small")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--leave-out", type=Path, default=Path("scripts/left_out_collections.txt"))
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    models = {Path(name).name: load_model(name) for name in (options.teacher, *options.models)}
    left_out = set(find_sounds([options.data], options.leave_out).yardsticks["left_out"])
    splits = {
        "validation": read_split(options.data, "validation"),
        "left out": [clip for clip in read_split(options.data, "development") if clip.path in left_out],
    }
    with tempfile.TemporaryDirectory() as folder:
        times = timed(turns(models, Path(folder)), options.repeats)
    rows = {
        name: {
            "cpu_ms": {stage.removeprefix(f"{name} "): value for stage, value in times.items() if
                       stage.startswith(f"{name} ")},
            "audio_bytes": (model.directory / "audio.onnx").stat().st_size,
            "fingerprint": model.fingerprint,
        }
        for name, model in models.items()
    }  # fmt: skip
    for split, clips in splits.items():
        for name, found in precision(list(models.values()), clips).items():
            rows[name][split] = found
    keep_result(options.json, Path(options.models[0]).name, {"repeats": options.repeats, "models": rows})


def turns(models: dict[str, Model], folder: Path) -> dict[str, Any]:
    """What to time of each model, by its name and that of the stage."""
    sounds = write_sounds(folder)
    stages: dict[str, Any] = {}
    for name, model in models.items():
        front_end = model.front_end
        waveform = read_audio(sounds["wav-alike"], sample_rate_hz=front_end.sample_rate_hz)
        log_mel = LogMel(front_end)
        features = log_mel(waveform)
        stages[f"{name} log-mel"] = spent(lambda log_mel=log_mel, waveform=waveform: log_mel(waveform))
        stages[f"{name} network"] = spent(lambda model=model, features=features: model._run_audio(features))
        for kind in ("wav-alike", "mp3"):
            stages[f"{name} {kind}"] = spent(lambda model=model, path=sounds[kind]: model.embed_audio(path))
    assert RATE == 44_100  # the files are resampled, as most are
    return stages


def precision(models: Sequence[Model], clips: Sequence[Clip]) -> dict[str, dict[str, Any]]:
    """mAP@10 and R@10 of each model, and how it differs from the first."""
    captions = [caption for clip in clips for caption in clip.captions]
    own = np.repeat(np.arange(len(clips)), [len(clip.captions) for clip in clips])
    vectors = [model.embed_audio([clip.path for clip in clips]) for model in models]
    rows: dict[str, dict[str, Any]] = {}
    plain = None
    for model, audio in zip(models, vectors, strict=True):
        text = model.embed_text(captions)
        metrics = retrieval_metrics((text, audio), own).text_to_audio
        values = ranks(text, audio, own).average_precision_at(10)
        plain = values if plain is None else plain
        gap = paired_bootstrap(values, plain, np.random.default_rng(0), groups=own).difference
        rows[model.directory.name] = {
            "clips": len(clips),
            "mAP10": metrics.mAP10.value,
            "R10": metrics.R10.value,
            "difference": [gap.value, gap.low, gap.high],
            "cosine": float((audio * vectors[0]).sum(axis=1).mean()),
        }
    return rows


if __name__ == "__main__":
    main()
