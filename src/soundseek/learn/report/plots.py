"""The pictures of a report: Table I as dots, recall curves, training curves, differences."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from soundseek.learn.evaluation.rankings import METRICS
from soundseek.learn.report.paper_numbers import TABLE_ONE
from soundseek.learn.report.summary import Epoch, System, difference

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours without yellow and black: told apart by the colour-blind as well. With more systems
# than colours the stroke changes too.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_STROKES = ("-", "--", ":", "-.")
_GREY = "#777777"
_DPI = 120


def plot_table(systems: Sequence[System]) -> bytes:
    """A panel a metric: ours with the interval over clips and a dot a seed, the paper's as a diamond."""
    figure = _figure(13, 1.6 + 0.5 * len(systems))
    panels = figure.subplots(1, len(METRICS), sharey=True)
    for metric, axes in zip(METRICS, panels, strict=True):
        _plot_metric(axes, metric, systems)
    panels[0].set_yticks(range(len(systems)), [system.name for system in systems])
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    figure.legend(once.values(), once.keys(), loc="outside lower center", ncols=3, frameon=False)
    return _png(figure)


def plot_recall(systems: Sequence[System], *, most: int = 50) -> bytes:
    """R@k for k = 1 ... `most`, means over the seeds."""
    figure = _figure(8, 5)
    axes = figure.subplots()
    most = min(most, len(systems[0].answers.files))
    for number, system in enumerate(systems):
        curve = 100 * system.recall_curve(most)
        axes.plot(np.arange(1, most + 1), curve, label=system.name, **_stroke(number))
    axes.set(xlabel="k: hits looked at", ylabel="R@k, %", title="The caption's own sound among the first k")
    axes.set(xlim=(0.5, most), ylim=(0, 100))
    axes.grid(color="#e6e6e6")
    _finish(axes)
    return _png(figure)


def plot_training(systems: Sequence[System]) -> bytes:
    """Loss and validation mAP@10 by epoch: the mean over seeds, shaded from the least to the most."""
    figure = _figure(12, 4.5)
    panels = figure.subplots(1, 2)
    shown = (("loss", 1.0, "training loss"), ("mAP10", 100.0, "validation mAP@10, %"))
    for (key, factor, label), axes in zip(shown, panels, strict=True):
        for number, system in enumerate(systems):
            epochs, low, mean, high = _band([run.epochs for run in system.runs], key)
            stroke = _stroke(number)
            axes.plot(epochs, factor * mean, label=system.name, **stroke)
            axes.fill_between(
                epochs, factor * low, factor * high, color=stroke["color"], alpha=0.15, linewidth=0
            )
        axes.set(xlabel="epoch", ylabel=label)
        axes.grid(color="#e6e6e6")
        _finish(axes, legend=axes is panels[1])
    return _png(figure)


def plot_differences(systems: Sequence[System]) -> bytes:
    """Every system's metrics minus those of the first, with the paired bootstrap's interval and a dot a seed."""
    from matplotlib.lines import Line2D

    baseline, others = systems[0], systems[1:]
    figure = _figure(13, 1.6 + 0.5 * len(others))
    panels = figure.subplots(1, len(METRICS), sharey=True)
    for metric, axes in zip(METRICS, panels, strict=True):
        axes.axvline(0, color=_GREY, linewidth=1)
        for row, system in enumerate(others):
            found = difference(system, baseline, metric)
            interval, colour = found.paired.difference, _COLOURS[0] if found.paired.significant else _GREY
            axes.plot([100 * interval.low, 100 * interval.high], [row, row], color=colour, linewidth=2.5)
            axes.plot(100 * interval.value, row, "o", color=colour, markersize=8)
            axes.plot(100 * np.array(found.seeds), [row + 0.22] * len(found.seeds), "|", color=colour)
        axes.set(title=METRICS[metric], xlabel=f"points above {baseline.name}")
        axes.set_ylim(len(others) - 0.5, -0.5)
        _finish(axes, legend=False)
    panels[0].set_yticks(range(len(others)), [system.name for system in others])
    marks = [
        Line2D([], [], color=_COLOURS[0], marker="o", label="p < .05, 95 % interval over clips"),
        Line2D([], [], color=_GREY, marker="o", label="may be chance"),
        Line2D([], [], color=_GREY, marker="|", linestyle="", label="each seed"),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=3, frameon=False)
    return _png(figure)


def _plot_metric(axes: Axes, metric: str, systems: Sequence[System]) -> None:
    for row, system in enumerate(systems):
        score, paper = system.score(metric), TABLE_ONE.get(system.name)
        ends = [100 * score.interval.low, 100 * score.interval.high]
        axes.plot(ends, [row, row], color=_COLOURS[0], linewidth=2.5)
        axes.plot(
            100 * score.interval.value, row, "o", color=_COLOURS[0], markersize=8,
            label="ours: mean over seeds, 95 % interval over clips",
        )  # fmt: skip
        axes.plot(
            100 * np.array(score.seeds), [row + 0.22] * len(score.seeds), "|", color=_COLOURS[0],
            label="ours: each seed",
        )  # fmt: skip
        if paper:
            axes.plot(
                getattr(paper, metric), row, "D", color=_COLOURS[1], fillstyle="none", markersize=7,
                label="the paper, on Clotho",
            )  # fmt: skip
    axes.set(title=METRICS[metric], xlabel="%")
    axes.set_ylim(-0.5, len(systems) - 0.5)
    axes.grid(axis="x", color="#e6e6e6")
    _finish(axes, legend=False)


def _band(runs: Sequence[Sequence[Epoch]], key: str) -> tuple[Any, Any, Any, Any]:
    """Epochs, and least, mean and most over the runs that have reached each."""
    by_epoch: dict[int, list[float]] = {}
    for run in runs:
        for line in run:
            if key in line:
                by_epoch.setdefault(int(line["epoch"]) + 1, []).append(line[key])
    epochs = sorted(by_epoch)
    return (
        np.array(epochs),
        *(np.array([take(by_epoch[epoch]) for epoch in epochs]) for take in (min, np.mean, max)),
    )  # type: ignore[return-value]


def _stroke(number: int) -> dict[str, Any]:
    style = _STROKES[number // len(_COLOURS) % len(_STROKES)]
    return {"color": _COLOURS[number % len(_COLOURS)], "linestyle": style, "linewidth": 1.8}


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # without pyplot: no window, no global state
    return figure


def _finish(axes: Axes, *, legend: bool = True) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    if legend:
        axes.legend(frameon=False)


def _png(figure: Figure) -> bytes:
    out = BytesIO()
    figure.savefig(out, dpi=_DPI, metadata={"Software": None})
    return out.getvalue()
