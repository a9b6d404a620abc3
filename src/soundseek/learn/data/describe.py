"""What captioned sounds are like: words, lengths of captions, durations, and words never seen in training."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from soundseek.audio.decode import probe, read_audio
from soundseek.errors import DecodeError
from soundseek.learn.data.layout import read_table, splits_of

Progress = Callable[[str, int, int], None]

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


def describe_data(data: Path, *, report: Progress | None = None) -> list[SplitDescription]:
    """Every split of a directory in Clotho's layout; the first (development) is the one to train on.

    A sound that is missing or broken has no duration here; `check_data` names it.

    Raises:
        DataError: It has no captions at all.
    """
    described: list[SplitDescription] = []
    for split in splits_of(data):
        rows = read_table(data, split).rows
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


def write_words(descriptions: Sequence[SplitDescription], path: Path) -> None:
    """A CSV of every word with its count in each split, the most frequent first."""
    total: Counter[str] = Counter()
    for each in descriptions:
        total.update(each.words)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["word", *(each.split for each in descriptions)])
        for word, _ in sorted(total.items(), key=lambda item: (-item[1], item[0])):
            writer.writerow([word, *(each.words[word] for each in descriptions)])
