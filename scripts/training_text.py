"""What training text does for collections that were left out, for listeners' wording and for words of manner.

    soundseek train soundseek-small --data DATA --out RUN --set data.leave_out=FILES --set data.altered.copies=4000 ...
    python scripts/training_text.py RUN ... --data DATA --leave-out FILES --sentences audiocaps_train.csv

Prints a line of JSON for each run, all in percent. DATA needs `metadata.csv` (file_name, label).

* validation: mAP@10 of the captions of the split `validation`.
* left_out, left_out_R10: the captions of FILES (one name a line, of the split `development`) among these.
* listeners, listeners_R10: the nearest of the sentences, at a cosine of .7 or more, in place of each caption.
* named: share of FILES whose label is the nearest of all labels with four sounds or more.
* manners: the pairs of scripts/how_it_sounds.py, made of 24 clips of `validation` each: the share that the word orders.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import soundfile
from how_it_sounds import PROPERTIES, RATE_HZ, ahead, choose

from soundseek._typing import FloatArray
from soundseek.learn.data.caption_neighbours import nearest_sentences, read_sentences
from soundseek.learn.data.tower_cache import extract_texts, text_store
from soundseek.learn.datasets.layout import Clip, read_split
from soundseek.learn.datasets.tables import read_lines
from soundseek.learn.evaluation.evaluate import RunEmbedder
from soundseek.learn.evaluation.metrics import retrieval_metrics
from soundseek.learn.models.build import build_text
from soundseek.learn.models.text.bert import MINILM
from soundseek.learn.training.run_folder import load_run

LEAST_COSINE = 0.7  # below what training takes (.78), so that many sentences are new to the heads
NUM_PAIRS = 24
FEWEST_OF_A_LABEL = 4


def main() -> None:
    """Measure each run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--leave-out", type=Path, required=True, metavar="FILES")
    parser.add_argument("--sentences", type=Path, required=True, metavar="CSV")
    given = parser.parse_args()
    names = set(read_lines(given.leave_out))
    left_out = [clip for clip in read_split(given.data, "development") if clip.path.name in names]
    validation = read_split(given.data, "validation")
    with (given.data / "metadata.csv").open(encoding="utf-8", newline="") as file:
        labels = {row["file_name"]: row["label"] for row in csv.DictReader(file)}
    listeners = reworded(left_out, read_sentences(given.sentences))
    for run in given.runs:
        embedder = RunEmbedder(*load_run(run))
        row = {
            "run": run.name,
            **finding(embedder, validation, left_out, listeners),
            "named": named(embedder, left_out, labels),
            "manners": manners(embedder, validation, labels),
        }
        print(json.dumps(row), flush=True)


def reworded(clips: list[Clip], sentences: list[str]) -> list[tuple[str, int]]:
    """Listeners' sentences with the number of the clip that they are asked for, each pair once."""
    tower = build_text(MINILM, pooling="mean", max_tokens=64)
    captions = [(caption, number) for number, clip in enumerate(clips) for caption in clip.captions]
    nearest = nearest_sentences(
        extract_texts([caption for caption, _ in captions], text_store(tower), tower),
        extract_texts(sentences, text_store(tower), tower),
        neighbours=1,
        min_cosine=LEAST_COSINE,
    )
    found = [(sentences[best[0]], own) for best, (_, own) in zip(nearest, captions, strict=True) if best]
    return list(dict.fromkeys(found))


def finding(
    embedder: RunEmbedder, validation: list[Clip], left_out: list[Clip], listeners: list[tuple[str, int]]
) -> dict[str, float]:
    """Captions and listeners' sentences to sounds."""
    scores = {}
    for name, clips in (("validation", validation), ("left_out", left_out)):
        audio = embedder.embed_audio([clip.path for clip in clips])
        asked = [(caption, number) for number, clip in enumerate(clips) for caption in clip.captions]
        for kind, pairs in ((name, asked), *([("listeners", listeners)] if clips is left_out else [])):
            text = embedder.embed_text([sentence for sentence, _ in pairs])
            own = np.array([number for _, number in pairs])
            found = retrieval_metrics((text, audio), own).text_to_audio
            scores |= {kind: percent(found.mAP10.value), f"{kind}_R10": percent(found.R10.value)}
    return scores


def named(embedder: RunEmbedder, clips: list[Clip], labels: dict[str, str]) -> float:
    """How often the label of a clip is the nearest of all that several clips have."""
    own = [labels[clip.path.name] for clip in clips]
    frequent = [label for label, count in sorted(Counter(own).items()) if count >= FEWEST_OF_A_LABEL]
    asked = [(clip, label) for clip, label in zip(clips, own, strict=True) if label in frequent]
    scores = embedder.embed_audio([clip.path for clip, _ in asked]) @ embedder.embed_text([*frequent]).T
    right = [frequent[best] == label for best, (_, label) in zip(scores.argmax(axis=1), asked, strict=True)]
    return percent(float(np.mean(right)))


def manners(embedder: RunEmbedder, clips: list[Clip], labels: dict[str, str]) -> dict[str, float]:
    """Property -> the share of pairs that its words put in order."""
    orders = {}
    for each in PROPERTIES:
        chosen = choose(clips, NUM_PAIRS, each)
        pairs = [each.pair(waveform) for _, waveform in chosen]
        fits, other = (heard(embedder, [pair[side] for pair in pairs]) for side in (0, 1))
        own = [labels[clip.path.name] for clip, _ in chosen]
        right = [
            ahead(embedder.embed_text([words.format(label) for label in own]), fits, other)
            for words in each.words
        ]
        orders[each.name] = percent(float(np.mean(right)))
    return orders


def heard(embedder: RunEmbedder, waveforms: list[FloatArray]) -> FloatArray:
    """`(len(waveforms), dim)`, unit norm, of sounds at `RATE_HZ`."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.wav" for number in range(len(waveforms))]
        for file, waveform in zip(files, waveforms, strict=True):
            soundfile.write(file, waveform, RATE_HZ, subtype="FLOAT")
        return embedder.embed_audio(files)


def percent(share: float) -> float:
    """One decimal."""
    return round(100 * share, 1)


if __name__ == "__main__":
    main()
