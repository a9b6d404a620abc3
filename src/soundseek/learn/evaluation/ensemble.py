"""Several models as one: their scores added, with weights that are chosen on the validation split.

A weighted sum of cosines is itself a cosine: that of the members' vectors, each times the root of its weight, put in
a row. So an ensemble is an `Embedder` like any other, and whatever evaluates one model evaluates it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from soundseek._typing import FloatArray, IntArray
from soundseek.errors import UsageError
from soundseek.learn.datasets.layout import read_split
from soundseek.learn.evaluation.evaluate import Embedder, EvaluationReport, evaluate
from soundseek.learn.evaluation.intervals import PairedDifference, paired_bootstrap
from soundseek.learn.evaluation.metrics import ranks_of_scores
from soundseek.learn.evaluation.rankings import questions, rank_queries

Key = TypeVar("Key", Path, str)

VALIDATION = "validation"
_PARTS = 20  # weights are multiples of 1/20: finer ones fit the validation split's chance
_MOVES = (8, 4, 2, 1)  # of those parts, from one member to another
_BOOTSTRAP_SEED = 0


class Ensemble:
    """Members as one `Embedder`.

    Args:
        members: What to add up; each has vectors of its own width.
        weights: One a member, none below 0, their sum 1.

    Raises:
        UsageError: Weights that are no such shares.
    """

    def __init__(self, members: Sequence[Embedder], weights: Sequence[float]) -> None:
        if len(weights) != len(members) or min(weights, default=-1.0) < 0 or abs(sum(weights) - 1) > 1e-6:
            raise UsageError(
                f"{len(members)} members need as many weights, none below 0, that sum to 1: {weights}"
            )
        self.weights = tuple(weights)
        self._used = [each for each in zip(members, weights, strict=True) if each[1] > 0]

    def embed_audio(self, paths: Sequence[Path]) -> FloatArray:
        """`(len(paths), dim)`, unit norm; dim is the sum of the members' that have a weight."""
        return self._joined(lambda member: member.embed_audio(paths))

    def embed_text(self, texts: Sequence[str]) -> FloatArray:
        """`(len(texts), dim)`, unit norm."""
        return self._joined(lambda member: member.embed_text(texts))

    def _joined(self, embed: Callable[[Embedder], FloatArray]) -> FloatArray:
        joined: FloatArray = np.concatenate(
            [np.float32(weight**0.5) * embed(member) for member, weight in self._used], axis=1
        )
        return joined


@dataclass(frozen=True)
class Member:
    """One model of an ensemble.

    Attributes:
        name: As it was asked for.
        weight: Of its scores.
        validation_mAP10: Alone, where the weights were chosen.
        report: Alone, on the split that asks.
    """

    name: str
    weight: float
    validation_mAP10: float
    report: EvaluationReport


@dataclass(frozen=True)
class EnsembleReport:
    """An ensemble beside its members.

    Attributes:
        report: The ensemble's.
        validation_mAP10: The ensemble's, where the weights were chosen.
        weights_from: The split that chose them; on that split itself the ensemble's scores are too good.
        members: In the order asked for.
        best: Name of the member with the highest mAP10 (captions to sounds) on the split that asks.
        difference: mAP10 of the ensemble minus that of the best member, on the same captions; those of one clip
            are drawn together.
    """

    report: EvaluationReport
    validation_mAP10: float
    weights_from: str
    members: tuple[Member, ...]
    best: str
    difference: PairedDifference

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "significant": self.difference.significant}


def evaluate_ensemble(
    members: Mapping[str, Embedder],
    data: Path,
    split: str = "evaluation",
    *,
    weights_from: str = VALIDATION,
) -> EnsembleReport:
    """Choose weights on one split, and score the ensemble and each member alone on another.

    Args:
        members: Name -> model; two or more.
        data: A directory in Clotho's layout.
        split: The split that asks.
        weights_from: The split that chooses the weights.

    Raises:
        UsageError: Fewer than two members.
        DataError: A split is incomplete.
    """
    kept = {name: _Remembering(member) for name, member in members.items()}
    ensemble = build_ensemble(list(kept.values()), data, weights_from=weights_from)
    report = evaluate(ensemble, data, split)
    alone = [
        Member(name, weight, _map10(member, data, weights_from), evaluate(member, data, split))
        for (name, member), weight in zip(kept.items(), ensemble.weights, strict=True)
    ]
    best = max(alone, key=lambda member: member.report.text_to_audio.mAP10.value).name
    ours, theirs = rank_queries(ensemble, data, split), rank_queries(kept[best], data, split)
    difference = paired_bootstrap(
        ours.per_query("mAP10"),
        theirs.per_query("mAP10"),
        np.random.default_rng(_BOOTSTRAP_SEED),
        groups=ours.own,
    )
    validation = _map10(ensemble, data, weights_from)
    return EnsembleReport(report, validation, weights_from, tuple(alone), best, difference)


def build_ensemble(members: Sequence[Embedder], data: Path, *, weights_from: str = VALIDATION) -> Ensemble:
    """The ensemble with the weights that a split likes best; see `choose_weights`.

    Raises:
        UsageError: Fewer than two members.
        DataError: The split is incomplete.
    """
    if len(members) < 2:
        raise UsageError(f"an ensemble needs two models or more, got {len(members)}")
    clips = read_split(data, weights_from)
    _, captions, own = questions(clips)
    paths, texts = [clip.path for clip in clips], captions.tolist()
    scores = [member.embed_text(texts) @ member.embed_audio(paths).T for member in members]
    return Ensemble(members, choose_weights(scores, own))


def choose_weights(scores: Sequence[FloatArray], own: IntArray) -> tuple[float, ...]:
    """Shares of the members that give the highest mAP10, multiples of 1/20 whose sum is 1.

    From equal shares, and from each member alone, parts are moved from one member to another as long as that helps;
    at equal mAP10 the earlier start stays. The mean of the raw cosines is meant: a model whose cosines spread less
    gets a larger share.

    Args:
        scores: For each member `(captions, clips)`.
        own: `(captions,)` number of each caption's clip.

    >>> sure = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    >>> choose_weights([sure, 1 - sure], np.array([0, 1]))
    (0.9, 0.1)
    """
    num = len(scores)
    known: dict[tuple[int, ...], float] = {}

    def value(parts: tuple[int, ...]) -> float:
        if parts not in known:
            mixed = sum(
                np.float32(part / _PARTS) * each for part, each in zip(parts, scores, strict=True) if part
            )
            known[parts] = float(ranks_of_scores(np.asarray(mixed), own).average_precision_at(10).mean())
        return known[parts]

    equal = tuple(_PARTS // num + (place < _PARTS % num) for place in range(num))
    starts = [equal, *(tuple(_PARTS * (place == only) for place in range(num)) for only in range(num))]
    best = max((_climb(start, value) for start in starts), key=value)
    return tuple(part / _PARTS for part in best)


def _climb(parts: tuple[int, ...], value: Callable[[tuple[int, ...]], float]) -> tuple[int, ...]:
    """The best shares that moving parts between two members leads to."""
    for size in _MOVES:
        while True:
            moved = [
                tuple(part + size * ((place == to) - (place == off)) for place, part in enumerate(parts))
                for off in range(len(parts))
                for to in range(len(parts))
                if off != to and parts[off] >= size
            ]
            better = max(moved, key=value, default=parts)
            if value(better) <= value(parts):
                break
            parts = better
    return parts


def _map10(member: Embedder, data: Path, split: str) -> float:
    return evaluate(member, data, split).text_to_audio.mAP10.value


class _Remembering:
    """An `Embedder` that is asked for each sound and sentence only once."""

    def __init__(self, member: Embedder) -> None:
        self._member = member
        self._audio: dict[Path, FloatArray] = {}
        self._text: dict[str, FloatArray] = {}

    def embed_audio(self, paths: Sequence[Path]) -> FloatArray:
        return _remembered(paths, self._audio, self._member.embed_audio)

    def embed_text(self, texts: Sequence[str]) -> FloatArray:
        return _remembered(texts, self._text, self._member.embed_text)


def _remembered(
    keys: Sequence[Key], known: dict[Key, FloatArray], embed: Callable[[list[Key]], FloatArray]
) -> FloatArray:
    missing = [key for key in dict.fromkeys(keys) if key not in known]
    if missing:
        known.update(zip(missing, embed(missing), strict=True))
    return np.stack([known[key] for key in keys])
