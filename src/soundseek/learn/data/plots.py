"""Pictures of a description of captioned sounds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from soundseek.learn.data.describe import SplitDescription

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#1b6ca8", "#e07a1f", "#3a8f4f", "#8e5ea2", "#b3383c")
_NUM_WORDS = 25


def plot_descriptions(descriptions: Sequence[SplitDescription], path: Path) -> None:
    """One PNG: word frequency, its distribution by rank, lengths of captions, durations.

    Counts become shares, so that a small split stands beside a large one.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 9), layout="constrained")
    FigureCanvasAgg(figure)  # without pyplot: no window, no global state
    axes = figure.subplots(2, 2)
    _plot_words(axes[0, 0], descriptions[0])
    _plot_ranks(axes[0, 1], descriptions)
    _plot_caption_words(axes[1, 0], descriptions)
    _plot_durations(axes[1, 1], descriptions)
    for each in axes.flat:
        each.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def _plot_words(axes: Axes, description: SplitDescription) -> None:
    words = description.words.most_common(_NUM_WORDS)
    axes.barh([word for word, _ in words], [count for _, count in words], color=_COLOURS[0])
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=8)
    axes.set(title=f"Most frequent words, {description.split}", xlabel="times in a caption")


def _plot_ranks(axes: Axes, descriptions: Sequence[SplitDescription]) -> None:
    for each, colour in zip(descriptions, _cycle(descriptions), strict=True):
        counts = sorted(each.words.values(), reverse=True)
        label = f"{each.split}: {len(counts):,} words"
        axes.loglog(np.arange(1, len(counts) + 1), counts, color=colour, label=label)
    axes.set(title="Words by rank", xlabel="rank of the word", ylabel="times in a caption")
    axes.legend(frameon=False)


def _plot_caption_words(axes: Axes, descriptions: Sequence[SplitDescription]) -> None:
    longest = max((max(each.caption_words, default=0) for each in descriptions), default=0)
    for each, colour in zip(descriptions, _cycle(descriptions), strict=True):
        counts = np.bincount(each.caption_words, minlength=longest + 1) if each.caption_words else [0]
        share = np.asarray(counts) / max(1, len(each.caption_words))
        axes.plot(100 * share, color=colour, marker="o", markersize=3, label=each.split)
    axes.set(title="Length of captions", xlabel="words", ylabel="% of the captions", xlim=(0, longest + 1))
    axes.legend(frameon=False)


def _plot_durations(axes: Axes, descriptions: Sequence[SplitDescription]) -> None:
    longest_s = max((max(each.durations_s, default=0.0) for each in descriptions), default=0.0)
    edges = np.linspace(0, max(1.0, np.ceil(longest_s)), 31)
    for each, colour in zip(descriptions, _cycle(descriptions), strict=True):
        counts, _ = np.histogram(each.durations_s, edges)
        label = f"{each.split}: {sum(each.durations_s) / 3600:.1f} h"
        share = 100 * counts / max(1, len(each.durations_s))
        axes.stairs(share, edges, color=colour, linewidth=1.5, label=label)
    axes.set(title="Duration of sounds", xlabel="seconds", ylabel="% of the sounds")
    axes.legend(frameon=False)


def _cycle(descriptions: Sequence[SplitDescription]) -> list[str]:
    return [_COLOURS[number % len(_COLOURS)] for number in range(len(descriptions))]
