"""How results look, without a library: clocks, bars, names, formats."""

from __future__ import annotations

import csv
import io
import json
import os

import pytest

from soundseek.cli.hits import csv_text, m3u_text, record, show_hits
from soundseek.cli.output import (
    bar_strip,
    choose_format,
    clock,
    printable,
    short_path,
    write,
    write_json_lines,
)
from soundseek.errors import UsageError
from soundseek.library import Hit

HIT = Hit(path="/sounds/dog.ogg", start_s=5.0, end_s=15.0, score=0.25, moments=(0.0, 0.25, 0.5))


def test_times_read_like_a_player_shows_them() -> None:
    assert [clock(seconds) for seconds in (0, 9.96, 59.96, 60, 3599.99, 36_000)] == [
        "0:00", "0:10", "1:00", "1:00", "1:00:00", "10:00:00",
    ]  # fmt: skip


def test_bars_stay_within_their_range_and_their_columns() -> None:
    assert bar_strip([-9, 9], low=0, high=1) == "▁█"
    assert bar_strip([0.3, 0.3], low=0.3, high=0.3) == "▁▁"
    assert bar_strip([], low=0, high=1) == ""
    assert len(bar_strip([0.0] * 31, low=0, high=1, width=16)) == 16


def test_an_average_stands_for_the_moments_that_share_a_column() -> None:
    assert bar_strip([0.0, 1.0, 1.0, 1.0], low=0, high=1, width=2) == "▅█"


def test_a_file_name_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b]0;owned\x07\n.wav") == "a\\x1b]0;owned\\x07\\n.wav"
    assert printable("żółw 犬.wav") == "żółw 犬.wav"
    assert printable(os.fsdecode(b"caf\xe9.wav")) == "caf\\udce9.wav"


def test_a_long_path_keeps_its_end(monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert short_path(os.path.join(tmp_path, "birds", "owl.wav")) == os.path.join("birds", "owl.wav")  # noqa: PTH118
    assert short_path("/far/away/birds/owl.wav", width=10) == "…s/owl.wav"


def test_two_formats_at_once_are_wrong_usage() -> None:
    with pytest.raises(UsageError, match="--json and --m3u exclude each other"):
        choose_format(json=True, m3u=True)


def test_a_pipe_gets_json_and_a_terminal_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert choose_format(json=False) == "json"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert choose_format(json=False) == "table"
    assert choose_format(json=False, csv=True) == "csv"


def test_json_gives_a_name_that_is_no_utf_8_back_whole(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    name = b"caf\xe9 \xe7\x8a\xac.wav"
    write_json_lines([{"path": os.fsdecode(name)}])
    line = capfdbinary.readouterr().out
    assert line == '{"path": "caf\\udce9 犬.wav"}\n'.encode()
    assert os.fsencode(json.loads(line)["path"]) == name


def test_text_goes_out_as_utf_8_whatever_stdout_thinks(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    write("▁█\n")
    assert capfdbinary.readouterr().out == "▁█\n".encode()


def test_a_hit_in_json_begins_with_the_promised_keys() -> None:
    assert list(record(HIT))[:5] == ["path", "start_s", "end_s", "score", "moments"]
    assert record(HIT)["moments"] == [0.0, 0.25, 0.5]
    assert "why" not in record(HIT) and record(HIT, ["dog"])["why"] == ["dog"]


def test_csv_reads_back() -> None:
    odd = Hit(path='/s/a "b", c\n.wav', start_s=0, end_s=1, score=-0.5, moments=(-0.5,))
    header, first, second = csv.reader(io.StringIO(csv_text([HIT, odd])))
    assert header == ["path", "start_s", "end_s", "score", "moments"]
    assert first == ["/sounds/dog.ogg", "5.000", "15.000", "0.250000", "0.000000 0.250000 0.500000"]
    assert second[0] == odd.path and second[3] == "-0.500000"


def test_a_playlist_starts_at_the_moment() -> None:
    assert m3u_text([HIT]).splitlines() == [
        "#EXTM3U",
        "#EXTINF:10,0.250 dog.ogg",
        "#EXTVLCOPT:start-time=5.000",
        "#EXTVLCOPT:stop-time=15.000",
        "/sounds/dog.ogg",
    ]


def test_a_playlist_writes_a_difficult_name_as_an_address() -> None:
    lines = m3u_text([Hit(path=os.fsdecode(b"/s/a\n\xe9.wav"), start_s=0, end_s=1, score=0, moments=(0,))])
    assert lines.splitlines()[-1] == "file:///s/a%0A%E9.wav"


def test_a_table_shows_score_file_moment_bars_and_why(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    marked = Hit(path="/s/[red]x.wav", start_s=0.0, end_s=2.5, score=0.125, moments=(0.125,))
    show_hits([HIT, marked], [["dog", "rain"], []], "table")
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip(" ─")]
    assert lines[0] == ["score", "file", "moment", "why"]
    assert lines[1] == ["0.250", "/sounds/dog.ogg", "0:05–0:15", "▁▅█", "dog,", "rain"]
    assert lines[2] == ["0.125", "/s/[red]x.wav", "0:00–0:02.5", "▃"]


def test_no_hit_says_what_to_look_at(capsys: pytest.CaptureFixture[str]) -> None:
    show_hits([], None, "table")
    assert "soundseek info" in capsys.readouterr().out
