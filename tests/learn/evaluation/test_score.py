"""`soundseek score`, as its own process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from dcase_files import write_predictions, write_truth

RUN = """
import sys, typer
from soundseek.cli.main import plain_errors
from soundseek.cli.score import score_command
assert "torch" not in sys.modules
app = typer.Typer()
app.command()(plain_errors(score_command))
try:
    app()
finally:
    assert not {"torch", "scipy"} & set(sys.modules)
"""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN, *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    truth, output = tmp_path / "captions.csv", tmp_path / "output.csv"
    write_truth(truth, {"a.wav": ["rain", "wind"], "b.wav": ["dog", "cat"]})
    a_first, b_first = ["a.wav", "b.wav"], ["b.wav", "a.wav"]
    write_predictions(output, ["rain", "wind", "dog", "cat"], [a_first, b_first, b_first, b_first])
    return truth, output


def test_a_pipe_gets_four_numbers_with_their_intervals(pair: tuple[Path, Path]) -> None:
    done = run("--truth", pair[0], "--predictions", pair[1])
    assert (done.returncode, done.stderr) == (0, "")
    scores = json.loads(done.stdout)
    assert list(scores) == ["R1", "R5", "R10", "mAP10"]
    # Places 1 2 1 1: R1 3/4 with SE sqrt(3/16 / 3) = 1/4, R5 = 1, mAP10 = 3.5/4.
    assert scores["R1"] == pytest.approx(
        {"value": 0.75, "low": 0.75 - 0.489991, "high": 0.75 + 0.489991}, abs=1e-6
    )
    assert scores["R5"] == scores["R10"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert scores["mAP10"]["value"] == pytest.approx(0.875)
    assert run("--truth", pair[0], "--predictions", pair[1], "--json").stdout == done.stdout


def test_a_terminal_gets_a_table_in_percent(pair: tuple[Path, Path]) -> None:
    done = run("--truth", pair[0], "--predictions", pair[1], "--table")
    assert done.returncode == 0, done.stderr
    row = next(line.split() for line in done.stdout.splitlines() if line.split()[:1] == ["R1"])
    assert row == ["R1", "75.0", "26.0", "to", "124.0"]


def test_a_wrong_file_ends_with_one_line_that_names_the_line(pair: tuple[Path, Path]) -> None:
    pair[1].write_text(pair[1].read_text().replace("dog,b.wav", "dog,c.wav"))
    done = run("--truth", pair[0], "--predictions", pair[1])
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert f"{pair[1]}, line 4: file 'c.wav' is not in {pair[0]}" in done.stderr


def test_a_missing_option_is_wrong_usage(pair: tuple[Path, Path]) -> None:
    done = run("--truth", pair[0])
    assert done.returncode == 2
    assert "--predictions" in done.stderr
