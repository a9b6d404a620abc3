"""Several systems, several seeds each, the same questions: means, intervals, and who differs from whom.

The interval of a metric is the bootstrap's over clips, of each query's mean over the seeds: it says how much
the number owes to the choice of test clips. The standard deviation over seeds says how much it owes to the
draw of the weights. The captions of a clip are drawn together, for they are not independent questions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from soundseek._typing import DoubleArray
from soundseek.learn.evaluation.intervals import (
    Interval,
    PairedDifference,
    bootstrap_interval,
    paired_bootstrap,
)
from soundseek.learn.evaluation.rankings import Answers
from soundseek.learn.recipe.keys import Recipe

Epoch = dict[str, float]

NUM_RESAMPLES = 2000
_BOOTSTRAP_SEED = 0  # the report of the same answers is the same report


@dataclass(frozen=True)
class FinishedRun:
    """One recipe trained and evaluated with one seed.

    Attributes:
        recipe: With every value.
        answers: On the evaluation split.
        epochs: A line of `metrics.jsonl` each.
        record: `run.json`: versions, commit, the chosen epoch.
        cost: `cost.json`: what evaluation took and the peaks of memory; see `reproduce`.
    """

    recipe: Recipe
    answers: Answers
    epochs: Sequence[Epoch]
    record: dict[str, Any]
    cost: dict[str, Any]

    @property
    def seed(self) -> int:
        """Of every random choice."""
        return self.recipe.seed


@dataclass(frozen=True)
class FinishedModel:
    """A model directory that answered the same captions, whoever trained it.

    Attributes:
        name: Of the model.
        fingerprint: Which version of it.
        answers: On the evaluation split.
    """

    name: str
    fingerprint: str
    answers: Answers

    def interval(self, metric: str) -> Interval:
        """A metric with the bootstrap's 95 % interval over clips."""
        return bootstrap_interval(
            self.answers.per_query(metric),
            np.random.default_rng(_BOOTSTRAP_SEED),
            groups=self.answers.own,
            num_resamples=NUM_RESAMPLES,
        )

    def above(self, system: System, metric: str) -> Difference:
        """How much better it is than a recipe, by the paired bootstrap."""
        paired = paired_bootstrap(
            self.answers.per_query(metric),
            system.per_query(metric),
            np.random.default_rng(_BOOTSTRAP_SEED),
            groups=self.answers.own,
            num_resamples=NUM_RESAMPLES,
        )
        return Difference(paired, ())


@dataclass(frozen=True)
class Score:
    """One metric of one system, shares in [0, 1].

    Attributes:
        seeds: The metric of each run.
        interval: Their mean, with the bootstrap's 95 % interval over clips.
    """

    seeds: tuple[float, ...]
    interval: Interval

    @property
    def deviation(self) -> float | None:
        """Standard deviation over the seeds (n - 1); one seed has none."""
        return float(np.std(self.seeds, ddof=1)) if len(self.seeds) > 1 else None


@dataclass(frozen=True)
class Difference:
    """One metric of system a minus that of system b.

    Attributes:
        paired: The bootstrap's over clips, of the means over seeds.
        seeds: The difference of the runs with the same seed; empty where they have no seed in common.
    """

    paired: PairedDifference
    seeds: tuple[float, ...]


class System:
    """A recipe with its runs.

    Args:
        name: The recipe's.
        runs: At least one, by seed.
    """

    def __init__(self, name: str, runs: Sequence[FinishedRun]) -> None:
        self.name = name
        self.runs = tuple(sorted(runs, key=lambda run: run.seed))

    @property
    def answers(self) -> Answers:
        """Of the first seed."""
        return self.runs[0].answers

    def per_query(self, metric: str) -> DoubleArray:
        """`(queries,)` means over the seeds."""
        mean: DoubleArray = np.mean([run.answers.per_query(metric) for run in self.runs], axis=0)
        return mean

    def score(self, metric: str) -> Score:
        """A metric with what it owes to seeds and to clips."""
        seeds = tuple(float(run.answers.per_query(metric).mean()) for run in self.runs)
        interval = bootstrap_interval(
            self.per_query(metric),
            np.random.default_rng(_BOOTSTRAP_SEED),
            groups=self.answers.own,
            num_resamples=NUM_RESAMPLES,
        )
        return Score(seeds, interval)

    def recall_curve(self, most: int = 50) -> DoubleArray:
        """`(most,)` R@1 ... R@most, means over the seeds."""
        places = np.arange(1, most + 1)
        ranks = np.concatenate([run.answers.rank for run in self.runs])
        return np.searchsorted(np.sort(ranks), places, side="right") / len(ranks)

    def ranks(self) -> DoubleArray:
        """`(queries,)` medians over the seeds."""
        median: DoubleArray = np.median([run.answers.rank for run in self.runs], axis=0)
        return median

    def margins(self) -> DoubleArray:
        """`(queries,)` means over the seeds; see `Answers.margin`."""
        mean: DoubleArray = np.mean([run.answers.margin for run in self.runs], axis=0)
        return mean


def difference(a: System, b: System, metric: str) -> Difference:
    """How much better a is than b, by the paired bootstrap."""
    paired = paired_bootstrap(
        a.per_query(metric),
        b.per_query(metric),
        np.random.default_rng(_BOOTSTRAP_SEED),
        groups=a.answers.own,
        num_resamples=NUM_RESAMPLES,
    )
    others = {run.seed: run for run in b.runs}
    seeds = tuple(
        float((run.answers.per_query(metric) - others[run.seed].answers.per_query(metric)).mean())
        for run in a.runs
        if run.seed in others
    )
    return Difference(paired, seeds)


def systems_of(runs: Sequence[FinishedRun]) -> list[System]:
    """One system a recipe, in the order of the runs."""
    names = dict.fromkeys(run.recipe.name for run in runs)
    return [System(name, [run for run in runs if run.recipe.name == name]) for name in names]


def best_system(systems: Sequence[System]) -> System:
    """The one with the highest mAP@10."""
    return max(systems, key=lambda system: float(system.per_query("mAP10").mean()))


def hardest_and_easiest(system: System, count: int) -> tuple[list[int], list[int]]:
    """Queries with the worst and the best places, at most one a clip.

    Among equal ranks the margin decides: how far the own clip's cosine is from that of the best other one.
    """
    ranks, margins, own = system.ranks(), system.margins(), system.answers.own
    hardest = np.lexsort((margins, -ranks)).tolist()
    easiest = np.lexsort((-margins, ranks)).tolist()
    return list(_one_a_clip(hardest, own, count)), list(_one_a_clip(easiest, own, count))


def _one_a_clip(queries: Sequence[int], own: npt.NDArray[np.int64], count: int) -> Iterator[int]:
    seen: set[int] = set()
    for query in queries:
        if len(seen) == count:
            return
        clip = int(own[query])
        if clip not in seen:
            seen.add(clip)
            yield query
