"""A picture of a study: how it got better, and what each value has to do with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 3
_TRIED, _BEST = "#1b6ca8", "#e07a1f"


@dataclass(frozen=True)
class TrialValue:
    """One finished trial.

    Attributes:
        number: From 0.
        values: Dotted key -> what was tried.
        mAP10: On the validation split, a share.
    """

    number: int
    values: dict[str, Any]
    mAP10: float


def plot_study(trials: Sequence[TrialValue], log_keys: Sequence[str], path: Path) -> None:
    """One PNG: mAP10 by trial with the best so far, then by each value.

    Args:
        trials: Finished ones, by number.
        log_keys: Keys whose axis is logarithmic.
        path: Where to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    keys = list(trials[0].values)
    num_rows = -(-(len(keys) + 1) // _COLUMNS)
    figure = Figure(figsize=(4 * _COLUMNS, 3 * num_rows), layout="constrained")
    FigureCanvasAgg(figure)  # without pyplot: no window, no global state
    axes = figure.subplots(num_rows, _COLUMNS, squeeze=False).ravel()
    _progress(axes[0], trials)
    for axis, key in zip(axes[1:], keys, strict=False):
        _against(axis, trials, key, is_log=key in log_keys)
    for axis in axes[len(keys) + 1 :]:
        axis.set_axis_off()
    figure.savefig(path, dpi=120)


def _progress(axis: Axes, trials: Sequence[TrialValue]) -> None:
    numbers = [trial.number + 1 for trial in trials]
    percent = [100 * trial.mAP10 for trial in trials]
    axis.scatter(numbers, percent, s=14, color=_TRIED, label="trial")
    axis.step(numbers, list(accumulate(percent, max)), where="post", color=_BEST, label="best so far")
    axis.set_xlabel("trial")
    axis.set_ylabel("validation mAP@10, %")
    axis.legend(frameon=False, fontsize="small")


def _against(axis: Axes, trials: Sequence[TrialValue], key: str, *, is_log: bool) -> None:
    best = max(trials, key=lambda trial: trial.mAP10)
    tried = [trial.values[key] for trial in trials]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in tried)
    places = tried if numbers else [str(value) for value in tried]
    axis.scatter(places, [100 * trial.mAP10 for trial in trials], s=14, color=_TRIED)
    mark = best.values[key] if numbers else str(best.values[key])
    axis.scatter([mark], [100 * best.mAP10], s=50, facecolors="none", edgecolors=_BEST)
    if is_log and numbers:
        axis.set_xscale("log")
    axis.set_xlabel(key)
