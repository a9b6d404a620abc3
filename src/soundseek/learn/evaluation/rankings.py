"""How one model answered every caption of a split: where its own clip stood, and which clip stood first."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from soundseek._typing import DoubleArray, IntArray, StrArray
from soundseek.errors import DataError
from soundseek.learn.datasets.layout import Clip, read_split
from soundseek.learn.evaluation.evaluate import Embedder
from soundseek.learn.evaluation.metrics import Ranks, ranks

METRICS = {"R1": "R@1", "R5": "R@5", "R10": "R@10", "mAP10": "mAP@10"}
"""What is told of a ranking, and how it is written."""
_QUERIES_AT_ONCE = 1024


@dataclass(frozen=True)
class Answers:
    """One model's answers; only file names, no folder.

    Attributes:
        files: `(clips,)` names of the sounds to choose from.
        captions: `(queries,)` what was asked.
        own: `(queries,)` number of the clip that the caption was written for.
        rank: `(queries,)` its place, 1 is the best; ties count against it.
        top: `(queries,)` number of the clip in the first place.
        margin: `(queries,)` cosine of its own clip minus that of the best other one; above 0 for rank 1.
    """

    files: StrArray
    captions: StrArray
    own: IntArray
    rank: IntArray
    top: IntArray
    margin: DoubleArray

    def per_query(self, metric: str) -> DoubleArray:
        """`(queries,)` values whose mean is a metric of `METRICS`."""
        num = len(self.rank)
        found = Ranks(self.rank, np.arange(num + 1), np.arange(num))
        if metric.startswith("mAP"):
            return found.average_precision_at(int(metric.removeprefix("mAP")))
        return found.recall_at(int(metric.removeprefix("R")))

    def same_questions(self, other: Answers) -> bool:
        """True where both were asked the same captions about the same clips."""
        return (
            np.array_equal(self.files, other.files)
            and np.array_equal(self.captions, other.captions)
            and np.array_equal(self.own, other.own)
        )


def rank_queries(embedder: Embedder, data: Path, split: str) -> Answers:
    """Embed a split and rank every caption's clip.

    Raises:
        DataError: The split is incomplete.
    """
    clips = read_split(data, split)
    files, captions, own = questions(clips)
    audio = embedder.embed_audio([clip.path for clip in clips]).astype(np.float64)
    text = embedder.embed_text(captions.tolist()).astype(np.float64)
    rank = ranks(text, audio, own).first
    top, margin = np.empty(len(text), np.int64), np.empty(len(text))
    for start in range(0, len(text), _QUERIES_AT_ONCE):
        rows = slice(start, start + _QUERIES_AT_ONCE)
        top[rows], margin[rows] = _first_and_margin(text[rows] @ audio.T, own[rows])
    return Answers(files, captions, own, rank, top, margin)


def questions(clips: list[Clip]) -> tuple[StrArray, StrArray, IntArray]:
    """File names, captions, and the number of each caption's clip."""
    own = np.repeat(np.arange(len(clips)), [len(clip.captions) for clip in clips])
    files = np.array([clip.path.name for clip in clips])
    return files, np.array([caption for clip in clips for caption in clip.captions]), own


def save_answers(answers: Answers, path: Path) -> None:
    """Write `ranks.npz`, whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    arrays: dict[str, Any] = {each.name: getattr(answers, each.name) for each in fields(answers)}
    with partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    partial.replace(path)


def load_answers(path: Path) -> Answers:
    """Read `ranks.npz`.

    Raises:
        DataError: It is not what `save_answers` wrote.
    """
    try:
        with np.load(path, allow_pickle=False) as saved:
            return Answers(**{each.name: saved[each.name] for each in fields(Answers)})
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} holds no answers ({error}); delete it and reproduce again") from error


def _first_and_margin(scores: DoubleArray, own: IntArray) -> tuple[IntArray, DoubleArray]:
    """First clip of each row of `(queries, clips)` scores, and by how much the own one beats all others."""
    rows = np.arange(len(scores))
    others = scores.copy()
    others[rows, own] = -np.inf
    return scores.argmax(axis=1), scores[rows, own] - others.max(axis=1, initial=-1.0)
