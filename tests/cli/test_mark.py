"""`soundseek mark`, and searches by what was taught."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from tones import write_tone

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


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
    assert soundseek("mark", "ours", "--forget", "--library", library).returncode == 0
    gone = soundseek("search", "a tone", "--taught", "ours", "--library", library)
    assert gone.returncode == 2 and b"was not taught 'ours', but nothing so far" in gone.stderr


def test_marks_without_a_name_and_of_unknown_files_are_refused(soundseek: Run, tmp_path: Path) -> None:
    write_tone(tmp_path / "tone.wav", frequency_hz=300.0)
    library = tmp_path / "library"
    soundseek("index", tmp_path / "tone.wav", "--library", library, "--workers", "0")
    assert b"NAME is missing" in soundseek("mark", "--forget", "--library", library).stderr
    unknown = soundseek("mark", "mine", "--right", tmp_path / "none.wav", "--library", library)
    assert unknown.returncode == 2 and b"is not in the library" in unknown.stderr
