"""Fitting and testing `match`, the probability that a listener would agree with a hit.

Captions of a split are asked of libraries drawn from its clips: of several sizes, half of them with what the caption
describes and half with everything of its kind taken out. The first ten hits are right where they are of the caption's
kind: of its clip's label in `metadata.csv` beside the data, or else of the clip itself.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from soundseek._typing import AnyFloatArray, BoolArray, DoubleArray, FloatArray, HalfArray
from soundseek._vectors import unit_rows
from soundseek.errors import DataError
from soundseek.learn.datasets.layout import Clip, kinds_of_clips, read_split
from soundseek.model.match import MatchCalibration, match_features
from soundseek.model.memory import SoundMemory
from soundseek.model.model import AudioEmbedding
from soundseek.model.stretches import segment_scores
from soundseek.query.looked_up import embed_query

NUM_REFERENCE = 512
_SIZES = (40, 120, 300, 1000)
_QUERIES = 400  # of each size
_HITS = 10
_RIDGE = 1e-3
_BINS = 15


class FrameEmbedder(Protocol):
    """Sounds to their segments and frames, and sentences to vectors of the same space: a model directory's `Model`.

    What it remembers, its `memory`, turns queries.
    """

    def embed_file(self, path: Path) -> AudioEmbedding:
        """All that the model makes of a sound."""
        ...

    def embed_text(self, texts: Sequence[str]) -> FloatArray:
        """`(len(texts), dim)`, unit norm."""
        ...


@dataclass(frozen=True)
class MatchQueries:
    """Hits of many queries in many libraries.

    Attributes:
        queries: `(queries, dim)`.
        scores: `(queries, hits)` scores as a search gives them, best first.
        right: `(queries, hits)` whether a listener would agree.
        present: `(queries,)` whether what is asked for is in the library.
        num_files: `(queries,)` size of the library.
    """

    queries: FloatArray
    scores: FloatArray
    right: BoolArray
    present: BoolArray
    num_files: Sequence[int]


@dataclass(frozen=True)
class Unmet:
    """Sounds that a model has not met.

    Attributes:
        model: Trained as the model that is calibrated, but without these files (`data.leave_out`).
        files: Names of captioned files of the reference split.
    """

    model: FrameEmbedder
    files: Set[str]


@dataclass(frozen=True)
class MatchReport:
    """How far `match` can be trusted.

    Attributes:
        calibration_error: Expected calibration error: mean |probability - share right| over bins of equally many hits.
        auc_hits: How often a right hit has a higher `match` than a wrong one.
        auc_present: How often the best hit of a query whose sound is there has a higher one than where it is not.
        bins: Mean probability and share right of each bin, for a reliability diagram.
    """

    calibration_error: float
    auc_hits: float
    auc_present: float
    bins: tuple[tuple[float, float], ...]


def fit_match(
    model: FrameEmbedder,
    data: Path,
    *,
    reference_split: str,
    split: str = "validation",
    unmet: Unmet | None = None,
    seed: int = 0,
) -> MatchCalibration:
    """A calibration of a model.

    Args:
        model: A model directory's `Model`.
        data: A directory in Clotho's layout.
        reference_split: The split whose sounds are the reference, where the model remembers none.
        split: The split whose captions are asked.
        unmet: Sounds of collections that a model trained alike has not met, to be fitted on, too: a split that
            resembles what the model has learned from makes it too sure of others.
        seed: Of the draws.

    Raises:
        DataError: Fewer than 40 clips in the split, or of `unmet`.
    """
    clips = read_split(data, reference_split)
    memory: SoundMemory | None = getattr(model, "memory", None)
    reference = _cohort(model, clips, seed)
    asked = ask(model, data, split, seed=seed)
    features, right = [_features(reference, asked)], [asked.right.ravel()]
    num_files = list(asked.num_files)
    if unmet is not None:
        others = [clip for clip in clips if clip.path.name not in unmet.files]
        asked = ask(unmet.model, data, reference_split, files=unmet.files, seed=seed)
        features.append(_features(_cohort(unmet.model, others, seed), asked))
        right.append(asked.right.ravel())
        num_files += asked.num_files
    rows = np.concatenate(features)
    mean, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-9
    weights = _logistic_regression((rows - mean) / scale, np.concatenate(right))
    return MatchCalibration(
        reference,
        mean,
        scale,
        weights,
        max(num_files),
        is_of_memory=memory is not None,
        heard_by=getattr(model, "hears_like", "") if memory is None else memory.heard_by,
    )


def check_match(calibration: MatchCalibration, asked: MatchQueries) -> MatchReport:
    """How far a calibration can be trusted on queries that it was not fitted on."""
    found = np.stack(
        [
            calibration.probabilities(query, scores, num_files=size)
            for query, scores, size in zip(asked.queries, asked.scores, asked.num_files, strict=True)
        ]
    ).astype(np.float64)
    flat, right = found.ravel(), asked.right.ravel()
    parts = np.array_split(np.argsort(flat, kind="stable"), _BINS)
    bins = tuple((float(flat[part].mean()), float(right[part].mean())) for part in parts if len(part))
    error = sum(
        len(part) / len(flat) * abs(flat[part].mean() - right[part].mean()) for part in parts if len(part)
    )
    best = found.max(axis=1)
    return MatchReport(
        float(error), _auc(flat[right], flat[~right]), _auc(best[asked.present], best[~asked.present]), bins
    )


def ask(
    model: FrameEmbedder, data: Path, split: str, *, files: Set[str] | None = None, seed: int = 0
) -> MatchQueries:
    """Ask captions of a split of libraries drawn from its clips.

    Args:
        model: A model directory's `Model`.
        data: A directory in Clotho's layout.
        split: Of the data.
        files: Names of the clips that are taken; None takes all.
        seed: Of the draws.

    Raises:
        DataError: Fewer than 40 clips.
    """
    clips = [clip for clip in read_split(data, split) if files is None or clip.path.name in files]
    if len(clips) < _SIZES[0]:
        named = "" if files is None else f" of the {len(files)} files to take"
        raise DataError(
            f"{data}: the split {split} has {len(clips)} clips{named}; {_SIZES[0]} are needed to fit match"
        )
    kinds = kinds_of_clips(data, clips)
    captions = [caption for clip in clips for caption in clip.captions]
    owners = np.repeat(np.arange(len(clips)), [len(clip.captions) for clip in clips])
    text = embed_query(model, captions)
    fit = search_scores([model.embed_file(clip.path) for clip in clips], text)  # (clips, captions)
    generator = np.random.default_rng(seed)
    queries, all_scores, right, present, sizes = [], [], [], [], []
    for size in sorted({min(size, len(clips)) for size in _SIZES}):
        for number in generator.choice(len(captions), min(_QUERIES, len(captions)), replace=False):
            alike = kinds == kinds[owners[number]]
            for is_present in (True, False):
                library = generator.permutation(len(clips))[:size]
                library = np.union1d(library, owners[number]) if is_present else library[~alike[library]]
                if len(library) < _HITS:
                    continue
                scores = fit[library, number]
                best = np.argsort(-scores, kind="stable")[:_HITS]
                queries.append(text[number])
                all_scores.append(scores[best])
                right.append(alike[library[best]])
                present.append(is_present)
                sizes.append(len(library))
    return MatchQueries(np.stack(queries), np.stack(all_scores), np.stack(right), np.array(present), sizes)


def search_scores(sounds: Sequence[AudioEmbedding], queries: FloatArray) -> FloatArray:
    """`(sounds, queries)` what a search gives each sound: the score of its best segment."""
    segments = [sound.frames[first:last] for sound in sounds for first, last in sound.spans]
    frame_s = [sound.frame_s for sound in sounds for _ in sound.spans]
    borders = np.cumsum([0, *(len(sound.spans) for sound in sounds[:-1])])
    best: FloatArray = np.maximum.reduceat(segment_scores(segments, queries, frame_s=frame_s), borders)
    return best


def varied_sounds(model: FrameEmbedder, clips: Sequence[Clip], *, seed: int = 0) -> HalfArray:
    """`(sounds, dim)` unit vectors of some of the clips, `NUM_REFERENCE` where there are so many."""
    chosen = np.random.default_rng(seed).choice(len(clips), min(NUM_REFERENCE, len(clips)), replace=False)
    sounds = [model.embed_file(clips[number].path) for number in sorted(chosen)]
    means = np.stack([sound.frames.mean(axis=0, dtype=np.float32) for sound in sounds])
    return unit_rows(means).astype(np.float16)


def _cohort(model: FrameEmbedder, clips: Sequence[Clip], seed: int) -> AnyFloatArray:
    """`(sounds, dim)` that scores are compared with: what the model remembers, or else some of the clips."""
    memory: SoundMemory | None = getattr(model, "memory", None)
    return varied_sounds(model, clips, seed=seed) if memory is None else memory.sounds


def _features(reference: AnyFloatArray, asked: MatchQueries) -> DoubleArray:
    rows = zip(asked.queries, asked.scores, asked.num_files, strict=True)
    return np.concatenate([match_features(reference, query, scores, size) for query, scores, size in rows])


def _logistic_regression(features: DoubleArray, right: BoolArray) -> DoubleArray:
    """`(1 + features,)` weights, the constant first, by Newton's method with a small ridge."""
    rows = np.concatenate([np.ones((len(features), 1)), features], axis=1)
    ridge = _RIDGE * np.diag([0.0, *np.ones(features.shape[1])])
    weights = np.zeros(rows.shape[1])
    for _ in range(50):
        probability = 1 / (1 + np.exp(-rows @ weights))
        gradient = rows.T @ (probability - right) / len(rows) + ridge @ weights
        curvature = (rows * (probability * (1 - probability))[:, None]).T @ rows / len(rows) + ridge
        step = np.linalg.solve(curvature + 1e-9 * np.eye(len(weights)), gradient)
        weights -= step
        if np.abs(step).max() < 1e-8:
            break
    return weights


def _auc(higher: DoubleArray, lower: DoubleArray) -> float:
    """The share of pairs in which the first is higher; ties count half."""
    if not len(higher) or not len(lower):
        return float("nan")
    below = np.searchsorted(np.sort(lower), higher, side="left")
    upto = np.searchsorted(np.sort(lower), higher, side="right")
    return float((below + upto).sum() / 2 / len(higher) / len(lower))
