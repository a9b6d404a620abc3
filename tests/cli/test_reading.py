"""Mistyped words on the command line: what was searched for is said on stderr and in JSON, and can be declined."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toy_model import make_toy_model

from soundseek.model.spelling import write_words

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def lettered(tmp_path: Path) -> Path:
    """The toy model with a list of words; its vectors are those of the toy that filled the library."""
    directory = make_toy_model(tmp_path / "toy")
    write_words(directory, ["a high tone", "rain and thunder"])
    return directory


def records(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.decode().splitlines()]


def test_a_mistyped_query_is_searched_as_it_was_meant_and_says_so(
    soundseek: Run, filled: Path, lettered: Path
) -> None:
    meant = soundseek("search", "a high tone", "--library", filled, "--model", lettered)
    typed = soundseek("search", "a hihg tone", "--library", filled, "--model", lettered)
    assert meant.stderr == b""
    assert typed.stderr.decode() == (
        'searched for "a high tone" (typed "a hihg tone"); --as-typed searches for the words as they are\n'
    )
    found = records(typed.stdout)
    assert [{**hit, "query": "a high tone", "typed": "a hihg tone"} for hit in records(meant.stdout)] == found


def test_as_typed_searches_for_the_words_as_they_are(soundseek: Run, filled: Path, lettered: Path) -> None:
    wanted = ("search", "a hihg tone", "--not", "thnder", "--why", "--library", filled)
    plain, declined = soundseek(*wanted), soundseek(*wanted, "--model", lettered, "--as-typed")
    assert (declined.stdout, declined.stderr) == (plain.stdout, b"")
    assert soundseek(*wanted, "--model", lettered).stdout != plain.stdout


def test_what_it_should_not_sound_like_is_corrected_as_well(
    soundseek: Run, filled: Path, lettered: Path
) -> None:
    run = soundseek(
        "search", "tone", "--not", "thnder", "--not", "rain", "--library", filled, "--model", lettered
    )
    assert run.stderr.decode().startswith('searched for "thunder" (typed "thnder");')
    meant = soundseek(
        "search", "tone", "--not", "thunder", "--not", "rain", "--library", filled, "--model", lettered
    )
    assert meant.stderr == b""
    about = {"not": ["thunder", "rain"], "not_typed": ["thnder", "rain"]}
    assert [hit | about for hit in records(meant.stdout)] == records(run.stdout)


def test_a_damaged_list_is_one_warning_and_no_failure(
    soundseek: Run, filled: Path, lettered: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (lettered / "words.txt").write_text("m²\t3\n", encoding="utf-8")
    wanted = ("--library", filled, "--model", lettered)
    declined = soundseek("search", "hihg tone", *wanted, "--as-typed")
    assert not caplog.records
    run = soundseek("search", "hihg tone", *wanted)
    assert (run.returncode, run.stdout, run.stderr) == (0, declined.stdout, b"")
    (told,) = [record.getMessage() for record in caplog.records]
    assert "words.txt, line 1: " in told and "export or fetch the model again" in told


def test_a_table_names_the_words_that_were_meant(soundseek: Run, filled: Path, lettered: Path) -> None:
    run = soundseek("search", "hihg tnoe", "--table", "--library", filled, "--model", lettered)
    shown = run.stdout.decode()
    assert "hihg" not in shown and "tnoe" not in shown
    assert "high" in shown or "tone" in shown


def test_a_query_cannot_steer_the_terminal(soundseek: Run, filled: Path, lettered: Path) -> None:
    run = soundseek("search", "hihg \x1b[31m tone", "--library", filled, "--model", lettered)
    assert b"\x1b" not in run.stderr and b'(typed "hihg \\x1b[31m tone")' in run.stderr


def test_explain_explains_the_words_that_were_meant(soundseek: Run, sounds: Path, lettered: Path) -> None:
    wanted = ("explain", sounds / "tone1.wav", "hihg tone", "--model", lettered)
    run = soundseek(*wanted)
    (told,) = records(run.stdout)
    assert (told["query"], told["typed"]) == ("high tone", "hihg tone")
    assert [word["word"] for word in told["words"]] == ["high", "tone"]
    assert run.stderr.decode() == (
        'read as "high tone" (typed "hihg tone"); --as-typed explains the words as they are\n'
    )
    declined = soundseek(*wanted, "--as-typed")
    (told,) = records(declined.stdout)
    assert declined.stderr == b"" and told["query"] == "hihg tone" and "typed" not in told


def test_explain_speaks_of_the_words_only_where_there_is_a_sound(
    soundseek: Run, sounds: Path, lettered: Path
) -> None:
    run = soundseek("explain", sounds / "none.wav", "hihg tone", "--model", lettered)
    assert run.returncode == 2 and b"none.wav" in run.stderr and b"read as" not in run.stderr


def test_a_model_without_words_searches_for_what_was_typed(soundseek: Run, filled: Path) -> None:
    run = soundseek("search", "hihg tnoe", "--library", filled)
    assert run.stderr == b"" and "query" not in records(run.stdout)[0]
