"""Hits as text: every path comes back as the bytes it was."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from urllib.parse import unquote_to_bytes

from soundseek.library.export import FIRST_KEYS, csv_text, json_lines, m3u_text
from soundseek.library.search import Hit

PLAIN = Hit("/s/dog, barking.wav", 5.0, 15.0, 0.25, (0.0, 0.25, 0.5), 60.0, 13.5, 44100, "WAV")
ODD = Hit(os.fsdecode(b"/s/caf\xe9\n.wav"), 0.0, 0.5, -0.125, (-0.125,))


def test_json_lines_begin_with_the_five_keys_and_keep_any_path() -> None:
    first, second = (json.loads(line) for line in json_lines([PLAIN, ODD]))
    assert tuple(first)[:5] == FIRST_KEYS
    assert first["moments"] == [0.0, 0.25, 0.5] and first["moment_s"] == 13.5
    assert os.fsencode(second["path"]) == b"/s/caf\xe9\n.wav"


def test_csv_is_read_back_by_any_csv_reader() -> None:
    header, row = csv.reader(io.StringIO(csv_text([PLAIN])))
    assert tuple(header) == FIRST_KEYS
    assert row == ["/s/dog, barking.wav", "5.000", "15.000", "0.250000", "0.000000 0.250000 0.500000"]


def test_a_playlist_plays_the_segment() -> None:
    assert m3u_text([PLAIN]).splitlines() == [
        "#EXTM3U",
        "#EXTINF:10,0.250 dog, barking.wav",
        "#EXTVLCOPT:start-time=5.000",
        "#EXTVLCOPT:stop-time=15.000",
        "/s/dog, barking.wav",
    ]


def test_a_path_that_is_no_line_of_text_becomes_an_address_in_a_playlist() -> None:
    lines = m3u_text([ODD]).splitlines()
    assert len(lines) == 5
    assert lines[1] == r"#EXTINF:1,-0.125 caf\xe9\n.wav"
    assert unquote_to_bytes(lines[-1].removeprefix("file://")) == os.fsencode(Path(ODD.path))
