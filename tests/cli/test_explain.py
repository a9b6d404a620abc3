"""`soundseek explain` from end to end on a toy model, and the chart's lines."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundseek.cli.output import BARS, chart, spread

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


def test_a_pipe_gets_one_object_whose_numbers_add_up(soundseek: Run, sounds: Path) -> None:
    run = soundseek("explain", sounds / "long.wav", "a", "high", "tone")
    assert (run.returncode, run.stderr) == (0, b"")
    (line,) = run.stdout.decode().splitlines()
    told = json.loads(line)
    assert list(told)[:5] == ["path", "start_s", "end_s", "score", "moments"]
    assert [word["word"] for word in told["words"]] == ["a", "high", "tone"]
    for word in told["words"]:
        assert word["without"] + word["contribution"] == pytest.approx(told["score"], abs=3e-6)
    assert max(segment["score"] for segment in told["segments"]) == told["score"]
    assert (told["query"], told["model"], len(told["segments"])) == ("a high tone", "toy", 3)


def test_a_table_shows_the_chart_the_moment_and_the_words(soundseek: Run, sounds: Path) -> None:
    run = soundseek("explain", sounds / "long.wav", "a high tone", "--table")
    shown = run.stdout.decode()
    assert run.returncode == 0 and "┤" in shown and "the strongest at 0:" in shown
    score = float(shown.split()[0])
    rows = [line.split() for line in shown.splitlines() if line.split()[:1] in (["a"], ["high"], ["tone"])]
    assert len(rows) == 3
    for row in rows:
        assert float(row[1]) + float(row[2]) == pytest.approx(score, abs=1e-9)  # as shown, not only in truth


def test_words_that_name_no_sound_come_last_and_have_no_bar(soundseek: Run, sounds: Path) -> None:
    told = soundseek("explain", sounds / "tone1.wav", "the tone in a room", "--table").stdout.decode()
    rows = [line.split() for line in told.splitlines() if line.split()[:1] and line.split()[0].isalpha()]
    words = {row[0]: row for row in rows if row[0] in {"the", "tone", "in", "a", "room"}}
    assert list(words) == ["tone", "room", "the", "in", "a"]
    assert all(len(words[empty]) == 3 for empty in ("the", "in", "a"))  # its numbers, and no bar
    assert any(len(words[telling]) == 4 for telling in ("tone", "room"))
    assert "words that name no sound" in told
    alone = soundseek("explain", sounds / "tone1.wav", "tone", "--table").stdout.decode()
    assert "words that name no sound" not in alone
    assert (
        "words that name no sound"
        not in soundseek("explain", sounds / "tone1.wav", "in the", "--table").stdout.decode()
    )


def test_a_query_of_more_empty_words_than_are_explained_has_a_table(
    soundseek: Run, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundseek.library.explain.MAX_EXPLAINED_WORDS", 2)
    run = soundseek("explain", sounds / "tone1.wav", "in the tone", "--table")
    assert run.returncode == 0 and "words that name no sound" not in run.stdout.decode()


def test_the_words_that_were_not_read_are_told_once(
    soundseek: Run, sounds: Path, filled: Path, caplog: pytest.LogCaptureFixture
) -> None:
    query = " ".join(
        ["bells"] * 20 + ["thunder", "rain"]
    )  # a token a letter: 64 of them end in the 11th word
    for command in (
        ["explain", sounds / "tone1.wav", query],
        ["search", query, "--table", "--library", filled],
    ):
        caplog.clear()
        assert soundseek(*command).returncode == 0
        (warning,) = caplog.records  # Python's logging puts it on stderr
        assert "the model toy reads no more than 64 tokens" in warning.getMessage()
        assert warning.getMessage().endswith(f": {' '.join(['bells'] * 10 + ['thunder', 'rain'])}")
    caplog.clear()
    soundseek("explain", sounds / "tone1.wav", "bells ring")
    assert not caplog.records


def test_it_needs_no_library_and_leaves_none_behind(soundseek: Run, sounds: Path, tmp_path: Path) -> None:
    assert soundseek("explain", sounds / "tone1.wav", "tone").returncode == 0
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["nothing.wav", "tone"], 2, "nothing.wav: no such file"),
        (["nothing.wav", " "], 2, "nothing to explain"),
        (["nothing.wav", "tone", "--model", "nonesuch"], 2, "no model 'nonesuch'"),
        (["nothing.wav", "tone", "--json", "--table"], 2, "exclude each other"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(
    arguments: list[str], code: int, told: str, soundseek: Run
) -> None:
    run = soundseek("explain", *arguments)
    message = run.stderr.decode()
    assert told in message and message.count("\n") == 1 and message.startswith("soundseek: ")
    assert (run.returncode, run.stdout) == (code, b"")


def test_an_odd_file_name_cannot_steer_the_terminal(soundseek: Run, sounds: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a\x1b[31m\n.wav"
    odd.write_bytes((sounds / "tone1.wav").read_bytes())
    assert b"\x1b" not in soundseek("explain", odd, "tone\x1b[1m", "--table").stdout


def test_negative_values_start_at_the_bottom() -> None:
    top, bottom, times = chart([-1.0, 0.0, 1.0], 0, 3, width=11, height=2)
    assert top == " 1.000 ┤  █" and bottom == "-1.000 ┤ ██" and times.split() == ["0:00", "0:03"]


def test_equal_values_and_a_single_one_are_drawn() -> None:
    assert chart([0.5], 0, 1, width=10, height=1)[0].endswith("██")
    assert chart([0.0, 0.0], 0, 1, width=10, height=1)[0].endswith("┤")


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=300), st.integers(10, 120), st.integers(1, 8))
def test_a_chart_keeps_to_its_width_and_height(values: list[float], width: int, height: int) -> None:
    lines = chart(values, 0, 10, width=width, height=height)
    assert len(lines) == height + 1
    assert all(len(line) <= width for line in lines[:-1])
    assert set("".join(line[8:] for line in lines[:-1])) <= {*BARS, " "}


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=300), st.integers(1, 120))
def test_spreading_keeps_the_mean_of_whole_columns(values: list[float], columns: int) -> None:
    assert 1 <= len(spread(values, columns)) <= columns
    if len(values) % columns == 0 or columns >= len(values):
        wide = spread(values, columns)
        assert sum(wide) / len(wide) == pytest.approx(sum(values) / len(values), abs=1e-9)
