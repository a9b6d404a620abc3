"""What captioned sounds are like, in numbers and pictures: words, lengths of captions, durations, unseen words."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from soundseek._typing import Report
from soundseek.audio.decode import probe, read_audio
from soundseek.errors import DecodeError
from soundseek.learn.datasets.layout import read_table, shared_captions, splits_of
from soundseek.learn.datasets.tables import raise_first

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_ANY_RATE_HZ = 8_000  # for the rare file whose header states no length: decoded only to be measured


def words_of(caption: str) -> list[str]:
    """The words of a caption in lower case, without punctuation.

    Example:
        >>> words_of("A dog's bark, far-off.")
        ['a', "dog's", 'bark', 'far', 'off']
    """
    return re.findall(r"[^\W_]+(?:['’][^\W_]+)*", caption.casefold())


@dataclass(frozen=True)
class Spread:
    """The middle and the ends of some numbers; all 0 if there are none."""

    least: float = 0.0
    mean: float = 0.0
    median: float = 0.0
    most: float = 0.0

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Spread:
        """The spread of `numbers`."""
        if not numbers:
            return cls()
        return cls(min(numbers), sum(numbers) / len(numbers), median(numbers), max(numbers))


@dataclass(frozen=True)
class SplitDescription:
    """What one split is like.

    Attributes:
        split: Its name.
        clips: Lines of its table.
        captions: Captions of all of them.
        distinct_captions: Different ones.
        shared_captions: Those that another clip has in the same words.
        words: Times that each word stands in a caption.
        caption_words: Words in each caption.
        durations_s: Seconds of each sound that can be read.
        unseen_words: Share of its different words that stand in no caption of the training split; None for
            the training split itself.
        unseen_tokens: The same, each word counted as often as it stands there.
        unseen_captions: Share of its captions with at least one such word.
    """

    split: str
    clips: int
    captions: int
    distinct_captions: int
    shared_captions: int
    words: Counter[str] = field(repr=False)
    caption_words: tuple[int, ...] = field(repr=False)
    durations_s: tuple[float, ...] = field(repr=False)
    unseen_words: float | None = None
    unseen_tokens: float | None = None
    unseen_captions: float | None = None

    def to_dict(self, *, num_words: int = 20) -> dict[str, Any]:
        """Plain numbers, with the most frequent words."""
        return {
            "split": self.split,
            "clips": self.clips,
            "captions": self.captions,
            "distinct_captions": self.distinct_captions,
            "shared_captions": self.shared_captions,
            "vocabulary": len(self.words),
            "tokens": self.words.total(),
            "once_only": sum(1 for count in self.words.values() if count == 1),
            "caption_words": asdict(Spread.of(self.caption_words)),
            "duration_s": asdict(Spread.of(self.durations_s)),
            "audio_s": sum(self.durations_s),
            "unseen_words": self.unseen_words,
            "unseen_tokens": self.unseen_tokens,
            "unseen_captions": self.unseen_captions,
            "frequent_words": dict(self.words.most_common(num_words)),
        }


def describe_data(data: Path, *, report: Report | None = None) -> list[SplitDescription]:
    """Every split of a directory in Clotho's layout; the first (development) is the one to train on.

    A sound that is missing or broken has no duration here; `check_data` names it.

    Raises:
        DataError: It has no captions at all, or a table of them that could be misread.
    """
    described: list[SplitDescription] = []
    for split in splits_of(data):
        table = read_table(data, split)
        raise_first(table.path, table.faults)
        rows = table.rows
        captions = [caption for row in rows for caption in row.captions]
        spoken = [words_of(caption) for caption in captions]
        durations_s = []
        for done, row in enumerate(rows, start=1):
            if duration_s := _duration_s(data / split / row.name):
                durations_s.append(duration_s)
            if report:
                report(f"durations of {split}", done, len(rows))
        words = Counter(word for caption in spoken for word in caption)
        known = described[0].words if described else None
        described.append(
            SplitDescription(
                split,
                len(rows),
                len(captions),
                len(set(captions)),
                len(shared_captions([row.captions for row in rows])),
                words,
                tuple(map(len, spoken)),
                tuple(durations_s),
                **_unseen(words, spoken, known),
            )
        )
    return described


def _duration_s(path: Path) -> float:
    """Seconds by the header, decoded where it states none; 0 if it cannot be read."""
    try:
        return probe(path).duration_s or len(read_audio(path, sample_rate_hz=_ANY_RATE_HZ)) / _ANY_RATE_HZ
    except DecodeError:
        return 0.0


def _unseen(
    words: Counter[str], spoken: Sequence[Sequence[str]], known: Counter[str] | None
) -> dict[str, float | None]:
    if known is None:
        return {}
    new = {word for word in words if word not in known}
    return {
        "unseen_words": len(new) / max(1, len(words)),
        "unseen_tokens": sum(words[word] for word in new) / max(1, words.total()),
        "unseen_captions": sum(1 for caption in spoken if new.intersection(caption)) / max(1, len(spoken)),
    }


def write_word_counts(descriptions: Sequence[SplitDescription], path: Path) -> None:
    """A CSV of every word with its count in each split, the most frequent first."""
    total: Counter[str] = Counter()
    for each in descriptions:
        total.update(each.words)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["word", *(each.split for each in descriptions)])
        for word, _ in sorted(total.items(), key=lambda item: (-item[1], item[0])):
            writer.writerow([word, *(each.words[word] for each in descriptions)])


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
