"""Regions of one recording as labels that editors read: Audacity, REAPER, Raven."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

LabelFormat = Literal["audacity", "reaper", "raven"]
LABEL_SUFFIXES: dict[LabelFormat, str] = {
    "audacity": ".labels.txt",
    "reaper": ".regions.csv",
    "raven": ".selections.txt",
}


@dataclass(frozen=True)
class Label:
    """A region and what stands on it.

    Attributes:
        start_s: Where it begins in the recording.
        end_s: Where it ends.
        text: What stands on it.
        score: Of the search that found it; None where there was none.
    """

    start_s: float
    end_s: float
    text: str
    score: float | None = None


def label_track(
    labels: Sequence[Label], format: LabelFormat, *, sample_rate_hz: int, channel: int = 1
) -> str:
    """The labels of one recording as the text of a file, in the order of time.

    Args:
        labels: The regions.
        format: Whose.
        sample_rate_hz: Of the recording: a selection of Raven has a lowest and a highest frequency.
        channel: For Raven, counted from 1.
    """
    ordered = sorted(labels, key=lambda label: (label.start_s, label.end_s))
    if format == "audacity":
        return audacity(ordered)
    if format == "reaper":
        return reaper(ordered)
    return raven(ordered, sample_rate_hz=sample_rate_hz, channel=channel)


def audacity(labels: Sequence[Label]) -> str:
    r"""A label track (File > Import > Labels): begin and end in seconds and the text, with tabs between them.

    >>> audacity([Label(1.5, 2.0, "dog")])
    '1.500000\t2.000000\tdog\n'
    """
    return "".join(f"{label.start_s:.6f}\t{label.end_s:.6f}\t{_line(label.text)}\n" for label in labels)


def reaper(labels: Sequence[Label]) -> str:
    r"""Regions for REAPER's Region/Marker Manager (Import regions/markers).

    >>> reaper([Label(61.5, 62.0, "dog")])
    '#,Name,Start,End,Length\nR1,dog,1:01.500,1:02.000,0:00.500\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["#", "Name", "Start", "End", "Length"])
    for number, label in enumerate(labels, 1):
        times = (label.start_s, label.end_s, label.end_s - label.start_s)
        writer.writerow([f"R{number}", _line(label.text), *map(_clock, times)])
    return text.getvalue()


def raven(labels: Sequence[Label], *, sample_rate_hz: int, channel: int = 1) -> str:
    """A selection table for Raven Pro and Lite, over all frequencies."""
    heads = ["Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)",
             "Score", "Annotation"]  # fmt: skip
    lines = ["\t".join(heads)]
    for number, label in enumerate(labels, 1):
        score = "" if label.score is None else f"{label.score:.6f}"
        times = [f"{label.start_s:.6f}", f"{label.end_s:.6f}"]
        highest = f"{sample_rate_hz / 2:g}"
        lines.append(
            "\t".join(
                [str(number), "Spectrogram 1", str(channel), *times, "0", highest, score, _line(label.text)]
            )
        )
    return "\n".join(lines) + "\n"


def _line(text: str) -> str:
    """A text without tabs and line ends, which would end a field; bytes that are no UTF-8 are replaced."""
    return " ".join(text.encode("utf-8", "replace").decode().split())


def _clock(seconds: float) -> str:
    thousandths = round(seconds * 1000)
    minutes, thousandths = divmod(thousandths, 60_000)
    return f"{minutes}:{thousandths // 1000:02d}.{thousandths % 1000:03d}"
