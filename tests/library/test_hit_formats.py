"""Hits as text: every path comes back as the bytes it was."""

from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from soundseek.library.hit_formats import CSV_COLUMNS, FIRST_KEYS, csv_text, m3u_text, record
from soundseek.library.hits import Hit

PLAIN = Hit("/s/dog, barking.wav", 5.0, 15.0, 0.25, (0.0, 0.25, 0.5), 60.0, 13.5, 44100, "WAV")
ODD = Hit(os.fsdecode(b"/s/caf\xe9\n.wav"), 0.0, 0.5, -0.125, (-0.125,))


def test_a_record_begins_with_the_five_keys_and_keeps_any_path() -> None:
    first, second = (json.loads(json.dumps(record(hit))) for hit in (PLAIN, ODD))
    assert tuple(first)[:5] == FIRST_KEYS
    assert first["moments"] == [0.0, 0.25, 0.5] and first["moment_s"] == 13.5
    assert os.fsencode(second["path"]) == b"/s/caf\xe9\n.wav"


def test_csv_is_read_back_by_any_csv_reader() -> None:
    header, first, second = csv.reader(io.StringIO(csv_text([PLAIN, ODD])))
    assert set(header) == {"rank", "match", "keywords", "clock", "library", *record(PLAIN)}
    moments = "0.000000 0.250000 0.500000"
    times = ["5.000", "15.000", "13.500", "60.000"]
    assert first == [
        "1",
        "0.250000",
        "/s/dog, barking.wav",
        *times,
        "44100",
        "WAV",
        "",
        "false",
        "",
        "",
        "",
        "",
        moments,
    ]
    assert second[:3] == ["2", "-0.125000", ODD.path]


def test_csv_has_a_column_of_reasons_if_there_are_any() -> None:
    header, *rows = csv.reader(io.StringIO(csv_text([PLAIN, ODD], [["dog", "rain"], []])))
    assert tuple(header) == CSV_COLUMNS
    assert [row[header.index("why")] for row in rows] == ["dog rain", ""]
    assert all(len(row) == len(header) for row in rows)


@pytest.mark.parametrize(
    "name", ['a "b", c.wav', "a\nb.wav", "a\rb.wav", "a\r\nb.wav", "犬;ä\t.wav", "=1+1.wav"]
)
def test_csv_gives_back_any_name(name: str) -> None:
    """Read as a file is read: without translating line ends."""
    text = io.StringIO(csv_text([replace(PLAIN, path=f"/s/{name}")]), newline="")
    assert list(csv.reader(text))[1][2] == f"/s/{name}"


def test_a_playlist_starts_no_earlier_than_the_segment() -> None:
    assert "#EXTVLCOPT:start-time=5.000" in m3u_text([replace(PLAIN, moment_s=5.2)]).splitlines()


def test_copies_are_lines_of_one_cell() -> None:
    hit = replace(PLAIN, also_at=("/a, b.wav", "/c.wav"), is_cut=True)
    header, row = csv.reader(io.StringIO(csv_text([hit]), newline=""))
    cells = dict(zip(header, row, strict=True))
    assert (cells["also_at"].splitlines(), cells["is_cut"]) == (["/a, b.wav", "/c.wav"], "true")
    assert (record(hit)["also_at"], record(hit)["is_cut"]) == (("/a, b.wav", "/c.wav"), True)


def test_a_playlist_plays_from_the_moment_to_the_end_of_its_segment() -> None:
    assert m3u_text([PLAIN]).splitlines() == [
        "#EXTM3U",
        "#EXTINF:2,0.250 dog, barking.wav",
        "#EXTVLCOPT:start-time=13.000",  # half a second before the moment
        "#EXTVLCOPT:stop-time=15.000",
        "/s/dog, barking.wav",
    ]


def test_a_path_that_is_no_line_of_text_becomes_an_address_in_a_playlist() -> None:
    lines = m3u_text([ODD]).splitlines()
    assert len(lines) == 5
    assert lines[1] == r"#EXTINF:1,-0.125 caf\xe9\n.wav"
    assert unquote_to_bytes(lines[-1].removeprefix("file://")) == os.fsencode(Path(ODD.path))


def test_a_match_is_said_where_there_is_one() -> None:
    sure = replace(PLAIN, match=0.87654)
    (line,) = csv.DictReader(io.StringIO(csv_text([sure])))
    assert line["match"] == "0.8765" and record(sure)["match"] == 0.8765
    (line,) = csv.DictReader(io.StringIO(csv_text([PLAIN])))
    assert line["match"] == "" and "match" not in record(PLAIN)
