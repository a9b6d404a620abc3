"""Labels for editors; their rows are those of the editors' own exports."""

from __future__ import annotations

import csv
import io

from soundseek.library.label_tracks import LABEL_SUFFIXES, Label, audacity, label_track, raven, reaper

LABELS = [Label(61.25, 62.5, "0.500 dog", 0.5), Label(0.5, 3600.0, "tab\there\nand é \udcff", None)]


def test_every_format_is_in_the_order_of_time() -> None:
    assert label_track(LABELS, "audacity", sample_rate_hz=48_000) == (
        "0.500000\t3600.000000\ttab here and é ?\n61.250000\t62.500000\t0.500 dog\n"
    )
    for format in LABEL_SUFFIXES:
        text = label_track(LABELS, format, sample_rate_hz=48_000)
        assert text.index("tab here") < text.index("0.500 dog")


def test_a_label_is_one_line_whatever_stands_on_it() -> None:
    assert audacity(LABELS[1:]).count("\t") == 2 and audacity(LABELS[1:]).count("\n") == 1


def test_reaper_reads_minutes_and_seconds() -> None:
    rows = list(csv.reader(io.StringIO(reaper([*LABELS, Label(0, 1, 'a, "b"')]))))
    assert rows[0] == ["#", "Name", "Start", "End", "Length"]
    assert rows[1] == ["R1", "0.500 dog", "1:01.250", "1:02.500", "0:01.250"]
    assert rows[2][2:] == ["0:00.500", "60:00.000", "59:59.500"]
    assert rows[3][1] == 'a, "b"'


def test_raven_has_a_column_for_each_of_its_heads() -> None:
    head, first, second = (line.split("\t") for line in raven(LABELS, sample_rate_hz=44_100).splitlines())
    assert len(head) == len(first) == len(second)
    row = dict(zip(head, first, strict=True))
    assert row["Begin Time (s)"] == "61.250000" and row["High Freq (Hz)"] == "22050"
    assert row["Score"] == "0.500000" and dict(zip(head, second, strict=True))["Score"] == ""
