"""How well copies are told from different takes of one thing: candidates of the vectors, correlations of the waveforms.

    python scripts/duplicates_accuracy.py --data DIR --work DIR > docs/results/duplicates.json

Of a hundred validation clips twelve copies each are made with ffmpeg in `--work` (kept for the next time) and indexed
beside all validation clips. Takes are all pairs of validation clips with one label in one set.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import subprocess
import time
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from soundseek.learn.experiments.cost import machine
from soundseek.learn.training.run_folder import environment
from soundseek.library import Library
from soundseek.library.duplicates import MIN_SCORE, KeptWaveforms, compare_waveforms, propose, surety

ENCODED = {
    "mp3_128": (".mp3", "-b:a", "128k"),
    "mp3_48": (".mp3", "-b:a", "48k"),
    "ogg": (".ogg", "-c:a", "libvorbis", "-q:a", "2"),
    "opus_32": (".opus", "-c:a", "libopus", "-b:a", "32k"),
    "rate_16k": (".wav", "-ar", "16000"),
    "rate_8k": (".wav", "-ar", "8000"),
}
ORIGINALS, SEED = 100, 1
THRESHOLDS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)


def main() -> None:
    """Make copies, index, measure, print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    with (arguments.data / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "validation"]
    folder, copies, where = arguments.data / "validation", arguments.work / "copies", arguments.work / "lib"
    if not copies.is_dir():
        copies.mkdir(parents=True)
        make_copies(rows, folder, copies)
    with Library.open(where, create=True) as library:
        library.index(copies, folder, workers=1)
        print(json.dumps({**measure(library, rows), "machine": machine(), **environment()}, indent=1))


def make_copies(rows: list[dict[str, str]], folder: Path, copies: Path) -> None:
    """`NAME__KIND.ENDING` of a hundred clips."""
    choice = random.Random(SEED)
    shuffled = choice.sample(rows, len(rows))
    for row in shuffled[:ORIGINALS]:
        source = folder / row["file_name"]
        name = source.stem
        for kind, (ending, *options) in ENCODED.items():
            encode(source, copies / f"{name}__{kind}{ending}", *options)
        samples, rate_hz = read(source)
        n = len(samples)
        soundfile.write(copies / f"{name}__level.wav", 0.2 * samples, rate_hz)
        encode(source, copies / f"{name}__low_cut.wav", "-af", "highpass=f=1000")
        hum = 0.1 * np.sin(2 * np.pi * 100 * np.arange(n) / rate_hz)
        soundfile.write(copies / f"{name}__hum.wav", (0.5 * samples + hum).clip(-1, 1), rate_hz)
        soundfile.write(copies / f"{name}__trim.wav", samples[int(0.2 * n) : int(0.85 * n)], rate_hz)
        part = copies / f"{name}__part.wav"
        soundfile.write(part, 0.2 * samples[int(0.1 * n) : int(0.8 * n)], rate_hz)
        encode(part, copies / f"{name}__trim_level_mp3.mp3", "-b:a", "96k")
        part.unlink()
        silence, around = np.zeros(rate_hz // 2), []
        for other in choice.sample(shuffled, 3):
            others, other_hz = read(folder / other["file_name"])
            times = np.arange(0, len(others) / other_hz, 1 / rate_hz)
            around.append(np.interp(times, np.arange(len(others)) / other_hz, others))
        pieces = [around[0], silence, around[1], silence, 0.7 * samples, silence, around[2]]
        soundfile.write(copies / f"{name}__inside.wav", np.concatenate(pieces).clip(-1, 1), rate_hz)


def encode(source: Path, target: Path, *options: str) -> None:
    """One more encoding of a file."""
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", source, *options, target], check=True)


def read(path: Path) -> tuple[np.ndarray, int]:
    """`(samples,)` mono, and the rate."""
    samples, rate_hz = soundfile.read(path, always_2d=True)
    return samples.mean(axis=1), rate_hz


def measure(library: Library, rows: list[dict[str, str]]) -> dict[str, Any]:
    """Recall of the candidates, correlations of copies and of takes, and what a threshold makes of them."""
    began = time.process_time()
    candidates = propose(library.store)
    propose_s = time.process_time() - began
    files = candidates.files
    number_of = {Path(file.path).stem: number for number, file in enumerate(files)}
    proposed = {
        frozenset((number, other))
        for lists in (candidates.whole, candidates.longer)
        for number, others in enumerate(lists)
        for other, _ in others
    }
    waveforms, scores, found = KeptWaveforms(), defaultdict(list), defaultdict(list)

    def score(one: int, other: int) -> float:
        first, second = sorted((one, other), key=lambda each: files[each].duration_s)
        return compare_waveforms(files[first], files[second], waveforms=waveforms)[0]

    began = time.process_time()
    for name, number in number_of.items():
        original, _, kind = name.partition("__")
        if kind and original in number_of:
            scores[kind].append(score(number, number_of[original]))
            found[kind].append(frozenset((number, number_of[original])) in proposed)
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row in rows:
        if Path(row["file_name"]).stem in number_of:
            groups[row["label"], row["set"]].append(number_of[Path(row["file_name"]).stem])
    takes = [score(*pair) for numbers in groups.values() for pair in combinations(numbers, 2)]
    compare_s = time.process_time() - began
    pairs = sum(map(len, scores.values())) + len(takes)
    copies = np.concatenate([scores[kind] for kind in scores])
    return {
        "min_score": MIN_SCORE,
        "files": len(files),
        "propose_cpu_s": propose_s,
        "compared_pairs": pairs,
        "compare_cpu_s": compare_s,
        "takes": {
            "pairs": len(takes),
            "highest": max(takes),
            "kept": float(np.mean(np.array(takes) >= MIN_SCORE)),
        },
        "copies": {
            kind: {
                "pairs": len(scores[kind]),
                "proposed": float(np.mean(found[kind])),
                "lowest_tenth": float(np.quantile(scores[kind], 0.1)),
                "recognised": float(np.mean(np.array(scores[kind]) >= MIN_SCORE)),
                "recall": float(np.mean((np.array(scores[kind]) >= MIN_SCORE) & np.array(found[kind]))),
            }
            for kind in sorted(scores)
        },
        "surety": {
            word: {"copies": _counted(copies, word), "takes": _counted(np.array(takes), word)}
            for word in ("sure", "likely", "maybe")
        },
        "thresholds": [
            {
                "min_score": least,
                "recall": float(np.mean(copies >= least)),
                "precision": float(
                    np.sum(copies >= least) / (np.sum(copies >= least) + np.sum(np.array(takes) >= least))
                ),
            }
            for least in THRESHOLDS
        ],
    }


def _counted(scores: np.ndarray, word: str) -> int:
    """How many scores that reach the threshold are told by a word."""
    return sum(surety(score) == word for score in scores if score >= MIN_SCORE)


if __name__ == "__main__":
    main()
