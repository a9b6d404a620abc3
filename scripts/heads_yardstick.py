"""How the heads of runs do on sounds that they have not met, and on `validation`: what choices between heads go by.

    python scripts/heads_yardstick.py RUN ... --data DIR --leave-out FILES --sentences audiocaps_train.csv > yard.json

Each RUN has learned without FILES (`data.leave_out`), sounds of whole collections of `development`. Their captions
look for them, and listeners' sentences in place of the captions (the nearest of --sentences, cosine .7 or more), and
each is named ("the sound of ...") out of all their labels. Everything twice: by the vectors of the words, and with the
words looked up among the kinds of sound of the rest of `development`, as a search does with `memory.npz`. Several
runs joined by plus signs (A+B+C) are measured as one, by the mean of their scores.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soundseek._typing import AnyArray, FloatArray
from soundseek._vectors import unit_rows
from soundseek.learn.data.caption_neighbours import caption_judge, nearest_sentences, read_sentences
from soundseek.learn.data.tower_cache import extract_texts, text_store
from soundseek.learn.datasets.layout import Clip, kinds_of_clips, read_split
from soundseek.learn.datasets.tables import read_lines
from soundseek.learn.evaluation.evaluate import RunEmbedder
from soundseek.learn.evaluation.memory import MOST_KINDS
from soundseek.learn.evaluation.metrics import retrieval_metrics
from soundseek.learn.experiments.cost import machine
from soundseek.learn.training.run_folder import environment, load_run
from soundseek.model.memory import SoundMemory

Turn = Callable[[FloatArray], FloatArray]


def main() -> None:
    """Measure each run and print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--leave-out", type=Path, required=True, metavar="FILES")
    parser.add_argument("--sentences", type=Path, required=True, metavar="FILE")
    given = parser.parse_args()
    names = set(read_lines(given.leave_out))
    clips = read_split(given.data, "development")
    unmet = [clip for clip in clips if clip.path.name in names]
    met = [clip for clip in clips if clip.path.name not in names]
    with (given.data / "metadata.csv").open(encoding="utf-8", newline="") as file:
        label_of = {row["file_name"]: row["label"] for row in csv.DictReader(file)}
    questions = {
        "validation": Questions.of_captions(read_split(given.data, "validation")),
        "left out": Questions.of_captions(unmet),
        "left out, listeners": Questions.of_captions(unmet).in_words_of(read_sentences(given.sentences)),
    }
    rows = []
    for run in given.runs:
        model = SideBySide([RunEmbedder(*load_run(Path(part))) for part in run.split("+")])
        memory = SoundMemory(kinds(model, given.data, met))
        row: dict[str, object] = {"run": "+".join(Path(part).name for part in run.split("+"))}
        for name, turn in (("words", lambda words: words), ("looked up", memory.turned)):
            row[name] = {split: asked.scores(model, turn) for split, asked in questions.items()}
            row[name] |= {"named": named(model, turn, unmet, [label_of[clip.path.name] for clip in unmet])}
        rows.append(row)
    print(json.dumps({"clips": len(unmet), "rows": rows, "machine": machine(), **environment()}, indent=1))


@dataclass(frozen=True)
class SideBySide:
    """Runs whose scores are averaged: their vectors in a row.

    Attributes:
        runs: One or several.
    """

    runs: Sequence[RunEmbedder]

    def embed_audio(self, clips: Sequence[Clip]) -> FloatArray:
        """`(clips, runs * dim)`, unit norm."""
        paths = [clip.path for clip in clips]
        return unit_rows(np.concatenate([run.embed_audio(paths) for run in self.runs], axis=1))

    def embed_text(self, texts: Sequence[str]) -> FloatArray:
        """`(texts, runs * dim)`, unit norm."""
        return unit_rows(np.concatenate([run.embed_text(texts) for run in self.runs], axis=1))


@dataclass(frozen=True)
class Questions:
    """Sentences, each of which looks for one of some clips.

    Attributes:
        clips: To choose from.
        sentences: What is asked.
        owners: The number of each sentence's clip.
    """

    clips: Sequence[Clip]
    sentences: Sequence[str]
    owners: AnyArray

    @classmethod
    def of_captions(cls, clips: Sequence[Clip]) -> Questions:
        """Every caption looks for its clip."""
        owners = np.repeat(np.arange(len(clips)), [len(clip.captions) for clip in clips])
        return cls(clips, [caption for clip in clips for caption in clip.captions], owners)

    def in_words_of(self, sentences: Sequence[str]) -> Questions:
        """The same with the nearest of other sentences in place of each, where one is near."""
        tower = caption_judge()
        store = text_store(tower)
        own = extract_texts(self.sentences, store, tower)
        others = extract_texts(sentences, store, tower)
        near = nearest_sentences(own, others, neighbours=1, min_cosine=0.7)
        pairs = {
            (sentences[found[0]], int(owner)): None
            for found, owner in zip(near, self.owners, strict=True)
            if len(found)
        }
        return Questions(
            self.clips, [sentence for sentence, _ in pairs], np.array([owner for _, owner in pairs])
        )

    def scores(self, model: SideBySide, turn: Turn) -> dict[str, float]:
        """mAP@10 and R@10."""
        words, sounds = turn(model.embed_text(self.sentences)), model.embed_audio(self.clips)
        found = retrieval_metrics((words, sounds), self.owners).text_to_audio
        return {"questions": len(self.sentences), "mAP10": found.mAP10.value, "R10": found.R10.value}


def kinds(model: SideBySide, data: Path, clips: Sequence[Clip]) -> FloatArray:
    """`(kinds, dim)` the mean vector of each kind of sound, of those that have most clips."""
    names, numbers, counts = np.unique(kinds_of_clips(data, clips), return_inverse=True, return_counts=True)
    sums = np.zeros((len(names), model.embed_audio(clips[:1]).shape[1]), np.float32)
    np.add.at(sums, numbers, model.embed_audio(clips))
    return unit_rows(sums[np.argsort(-counts, kind="stable")[:MOST_KINDS]])


def named(model: SideBySide, turn: Turn, clips: Sequence[Clip], labels: Sequence[str]) -> float:
    """The share of clips whose own label is the nearest of all."""
    every = np.array(sorted(set(labels)))
    words = turn(model.embed_text([f"the sound of {label}" for label in every]))
    nearest = every[np.argmax(model.embed_audio(clips) @ words.T, axis=1)]
    return float((nearest == np.array(labels)).mean())


if __name__ == "__main__":
    main()
