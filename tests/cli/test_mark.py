"""`soundseek mark`, and searches by what was taught."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tones import write_tone

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def filled_copy(filled: Path, tmp_path: Path) -> Path:
    return shutil.copytree(filled, tmp_path / "library")


def test_marks_teach_are_listed_taken_away_and_forgotten(soundseek: Run, tmp_path: Path) -> None:
    sounds, library = tmp_path / "sounds", tmp_path / "library"
    sounds.mkdir()
    for number in range(3):
        write_tone(sounds / f"tone{number}.wav", frequency_hz=300.0 * 2**number)
    assert soundseek("index", sounds, "--library", library, "--workers", "0").returncode == 0
    part = f"{sounds / 'tone2.wav'}@0.2-0.5"
    made = soundseek("mark", "mine", "--right", sounds / "tone1.wav", "--wrong", part, "--library", library)
    assert made.returncode == 0, made.stderr
    (taught,) = map(json.loads, made.stdout.splitlines())
    assert (taught["name"], taught["right"], taught["wrong"]) == ("mine", 1, 1)
    assert [(mark["is_right"], mark["start_s"], mark["end_s"]) for mark in taught["marks"]] == [
        (True, None, None), (False, 0.2, 0.5),
    ]  # fmt: skip
    found = soundseek("search", "--taught", "mine", "--library", library, "-k", "1")
    assert json.loads(found.stdout)["path"] == str((sounds / "tone1.wav").resolve())
    listed = soundseek("mark", "--library", library, "--table")
    assert listed.stdout == b"mine: 1 right, 1 wrong\n"
    less = soundseek(
        "mark", "mine", "--unmark", sounds / "tone2.wav", "--rename", "ours", "--library", library
    )
    assert json.loads(less.stdout)["name"] == "ours" and json.loads(less.stdout)["wrong"] == 0
    forgotten = soundseek("mark", "ours", "--forget", "--library", library, "--table")
    assert (forgotten.returncode, forgotten.stdout) == (0, b"ours forgotten: 1 right, 0 wrong\n")
    gone = soundseek("search", "a tone", "--taught", "ours", "--library", library)
    assert gone.returncode == 2 and b"was not taught 'ours', but nothing so far" in gone.stderr


def test_a_part_is_shown_whole_and_lies_within_its_sound(
    soundseek: Run, filled_copy: Path, sounds: Path
) -> None:
    long, here = sounds / "long.wav", ("--library", filled_copy, "--table")
    for part in ("@21-23", "@50-60"):
        beyond = soundseek("mark", "x", "--right", f"{long}{part}", *here)
        assert beyond.returncode == 2 and b"is 22.00 s long, and the part from " in beyond.stderr
    assert b"nothing was taught" in soundseek("mark", *here).stdout
    shown = soundseek("mark", "x", "--right", f"{long}@1.5-22", *here)
    assert (shown.returncode, shown.stderr) == (0, b"") and b"long.wav from 0:01.5 to 0:22\n" in shown.stdout


def test_a_sound_that_is_right_and_wrong_at_once_is_named(
    soundseek: Run, filled_copy: Path, sounds: Path
) -> None:
    long, here = sounds / "long.wav", ("--library", filled_copy)
    both = soundseek("mark", "x", "--right", long, "--wrong", long, *here)
    assert both.returncode == 2 and b"is given as right and as wrong" in both.stderr
    apart = soundseek("mark", "x", "--right", f"{long}@1-2", "--wrong", f"{long}@2-3", *here)
    assert (apart.returncode, apart.stderr) == (0, b"")
    whole = soundseek("mark", "x", "--wrong", long, *here)
    assert whole.returncode == 0 and b"long.wav is marked right and wrong for the same part" in whole.stderr


def test_marks_without_a_name_and_of_unknown_files_are_refused(soundseek: Run, tmp_path: Path) -> None:
    write_tone(tmp_path / "tone.wav", frequency_hz=300.0)
    library = tmp_path / "library"
    soundseek("index", tmp_path / "tone.wav", "--library", library, "--workers", "0")
    assert b"NAME is missing" in soundseek("mark", "--forget", "--library", library).stderr
    unknown = soundseek("mark", "mine", "--right", tmp_path / "none.wav", "--library", library)
    assert unknown.returncode == 2 and b"is not in the library" in unknown.stderr
