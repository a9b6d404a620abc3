"""Fitting and testing `match`, the probability that a listener would agree with a hit.

Captions of a split are asked of libraries drawn from its clips: of several sizes, half of them with what the caption
describes and half with everything of its kind taken out. The first ten hits are right where they are of the caption's
kind: of its clip's label in `metadata.csv` beside the data, or else of the clip itself. Sentences that name two sounds
are asked as a search asks them, by their parts too; right are scenes (`scenes.py`) that hold both. What names several
sounds is fitted once more, by a line of its own.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from soundseek._typing import AnyFloatArray, BoolArray, DoubleArray, FloatArray, HalfArray
from soundseek._vectors import unit_rows
from soundseek.errors import DataError
from soundseek.learn.datasets.layout import Clip, kinds_of_clips, read_split
from soundseek.learn.evaluation.scenes import NUM_SCENES, embed_scenes, scenes_of_clips
from soundseek.model.match import MatchCalibration, match_features
from soundseek.model.memory import SoundMemory
from soundseek.model.model import AudioEmbedding
from soundseek.model.stretches import scores_of_sentences, segment_scores
from soundseek.query.looked_up import sentence_queries

NUM_REFERENCE = 512
_SIZES = (40, 120, 300, 1000)
_QUERIES = 400  # of each size
_SCENES_AMONG = 8  # a scene in so many sounds of a library
_HITS = 10
_RIDGE = 1e-3
_LEAST_RIGHT = 30  # hits of sentences that a line is fitted on
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
        queries: Each `(1 + parts, dim)`: a sentence, and the sounds that it names where these are several.
        scores: `(queries, hits)` scores as a search gives them, best first.
        right: `(queries, hits)` whether a listener would agree.
        present: `(queries,)` whether what is asked for is in the library.
        num_files: `(queries,)` size of the library.
    """

    queries: Sequence[FloatArray]
    scores: FloatArray
    right: BoolArray
    present: BoolArray
    num_files: Sequence[int]

    def naming(self, number: Literal["one", "several"]) -> MatchQueries:
        """Those that name one sound, or several."""
        kept = [at for at, query in enumerate(self.queries) if (len(query) > 1) == (number == "several")]
        return MatchQueries(
            [self.queries[at] for at in kept],
            self.scores[kept],
            self.right[kept],
            self.present[kept],
            [self.num_files[at] for at in kept],
        )


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

    def figures(self) -> dict[str, float]:
        """All but the bins, by name."""
        return {
            "calibration_error": self.calibration_error,
            "auc_hits": self.auc_hits,
            "auc_present": self.auc_present,
        }


def fit_match(
    model: FrameEmbedder,
    data: Path,
    *,
    reference_split: str,
    split: str = "validation",
    unmet: Unmet | None = None,
    scenes: int = NUM_SCENES,
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
        scenes: How many are made for sentences that name two sounds.
        seed: Of the draws.

    Raises:
        DataError: Fewer than 40 clips in the split, or of `unmet`.
    """
    clips = read_split(data, reference_split)
    memory: SoundMemory | None = getattr(model, "memory", None)
    reference = _cohort(model, clips, seed)
    asked = [ask(model, data, split, scenes=scenes, seed=seed)]
    references = [reference]
    if unmet is not None:
        others = [clip for clip in clips if clip.path.name not in unmet.files]
        asked.append(ask(unmet.model, data, reference_split, files=unmet.files, scenes=scenes, seed=seed))
        references.append(_cohort(unmet.model, others, seed))
    rows = np.concatenate([_features(of, each) for of, each in zip(references, asked, strict=True)])
    mean, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-9
    right = np.concatenate([each.right.ravel() for each in asked])
    fitted = MatchCalibration(
        reference,
        mean,
        scale,
        _logistic_regression((rows - mean) / scale, right),
        max(size for each in asked for size in each.num_files),
        is_of_memory=memory is not None,
        heard_by=getattr(model, "hears_like", "") if memory is None else memory.heard_by,
    )
    return replace(fitted, sentence=_line_of_sentences(fitted, references, asked))


def _line_of_sentences(
    fitted: MatchCalibration, references: Sequence[AnyFloatArray], asked: Sequence[MatchQueries]
) -> tuple[float, float]:
    """Constant and slope that turn the log-odds of what names several sounds; no change where too little is right."""
    log_odds, right = [], []
    for reference, each in zip(references, asked, strict=True):
        own, several = replace(fitted, reference=reference), each.naming("several")
        rows = zip(several.queries, several.scores, several.num_files, strict=True)
        log_odds += [own.log_odds(query, scores, num_files=size) for query, scores, size in rows]
        right += list(several.right)
    if np.sum(right) < _LEAST_RIGHT:
        return MatchCalibration.sentence
    constant, slope = _logistic_regression(np.concatenate(log_odds)[:, None], np.concatenate(right)).tolist()
    return constant, slope


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
    model: FrameEmbedder,
    data: Path,
    split: str,
    *,
    files: Set[str] | None = None,
    scenes: int = NUM_SCENES,
    seed: int = 0,
) -> MatchQueries:
    """Ask for sounds in libraries drawn from the clips of a split, and from scenes that are made of them.

    Asked are captions of clips, and sentences that name both sounds of a scene.

    Args:
        model: A model directory's `Model`.
        data: A directory in Clotho's layout.
        split: Of the data.
        files: Names of the clips that are taken; None takes all.
        scenes: How many are made.
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
    names, kinds = np.unique(kinds_of_clips(data, clips), return_inverse=True)
    sounds = [model.embed_file(clip.path) for clip in clips]
    durations_s = [sound.info.duration_s for sound in sounds]
    planned = scenes_of_clips(clips, names[kinds].tolist(), durations_s, scenes, np.random.default_rng(seed))
    sounds += embed_scenes(model, clips, planned)
    holds = np.zeros((len(sounds), len(names)), np.bool_)
    holds[np.arange(len(clips)), kinds] = True
    for number, scene in enumerate(planned, len(clips)):
        holds[number, kinds[[scene.background, scene.event]]] = True
    of_clips = [
        _Question(caption, (int(kinds[number]),), number)
        for number, clip in enumerate(clips)
        for caption in clip.captions
    ]
    of_scenes = [
        _Question(scene.sentence, tuple(kinds[[scene.background, scene.event]].tolist()), number)
        for number, scene in enumerate(planned, len(clips))
    ]
    return _answered(model, sounds, holds, len(clips), (of_clips, of_scenes), np.random.default_rng(seed))


@dataclass(frozen=True)
class _Question:
    """Words, what a sound must hold to answer them, and a sound that does."""

    text: str
    kinds: tuple[int, ...]
    owner: int


def _answered(
    model: FrameEmbedder,
    sounds: Sequence[AudioEmbedding],
    holds: BoolArray,
    num_clips: int,
    groups: Sequence[Sequence[_Question]],
    generator: np.random.Generator,
) -> MatchQueries:
    """The best hits of questions in libraries of several sizes, with and without what is asked for."""
    chosen = [
        (size, question)
        for size in sorted({min(size, num_clips) for size in _SIZES})
        for questions in groups
        for question in _drawn(questions, generator)
    ]
    texts = list(dict.fromkeys(question.text for _, question in chosen))
    queries = dict(zip(texts, sentence_queries(model, texts), strict=True))
    fit = dict(zip(texts, search_scores(sounds, list(queries.values())).T, strict=True))
    found, all_scores, right, present, sizes = [], [], [], [], []
    for size, question in chosen:
        answers = np.asarray(holds[:, list(question.kinds)].all(axis=1), np.bool_)
        for is_present in (True, False):
            among = min(size // _SCENES_AMONG, len(sounds) - num_clips)
            library = np.concatenate(
                [
                    generator.permutation(num_clips)[: size - among],
                    num_clips + generator.permutation(len(sounds) - num_clips)[:among],
                ]
            )
            library = np.union1d(library, question.owner) if is_present else library[~answers[library]]
            if len(library) < _HITS:
                continue
            scores = fit[question.text][library]
            best = np.argsort(-scores, kind="stable")[:_HITS]
            found.append(queries[question.text])
            all_scores.append(scores[best])
            right.append(answers[library[best]])
            present.append(is_present)
            sizes.append(len(library))
    return MatchQueries(found, np.stack(all_scores), np.stack(right), np.array(present), sizes)


def _drawn(questions: Sequence[_Question], generator: np.random.Generator) -> list[_Question]:
    """As many as are asked of libraries of one size."""
    return [questions[number] for number in generator.permutation(len(questions))[:_QUERIES].tolist()]


def search_scores(sounds: Sequence[AudioEmbedding], queries: Sequence[AnyFloatArray]) -> FloatArray:
    """`(sounds, queries)` what a search gives each sound: the score of its best segment.

    Args:
        sounds: Embedded.
        queries: Of each `(dim,)`, or `(1 + parts, dim)`, a sentence that names several sounds, and its parts.
    """
    segments = [sound.frames[first:last] for sound in sounds for first, last in sound.spans]
    frame_s = [sound.frame_s for sound in sounds for _ in sound.spans]
    borders = np.cumsum([0, *(len(sound.spans) for sound in sounds[:-1])])
    wanted = [np.atleast_2d(query) for query in queries]
    rows = segment_scores(segments, np.concatenate(wanted), frame_s=frame_s)
    starts = np.cumsum([0, *map(len, wanted)]).tolist()
    scores = np.stack([scores_of_sentences(rows[:, first:last]) for first, last in pairwise(starts)], axis=1)
    best: FloatArray = np.maximum.reduceat(scores, borders)
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
