"""`--labels`: the hits of one file for an editor."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.mark.parametrize("command", [("search", "a low tone"), ("similar",)])
def test_every_match_of_one_file_is_a_label_in_the_order_of_time(
    soundseek: Run, tmp_path: Path, sounds: Path, command: tuple[str, ...]
) -> None:
    """A file of three tones with silence between them has several events."""
    rate_hz = 16_000
    low, high = (0.5 * np.sin(2 * np.pi * hz * np.arange(3 * rate_hz) / rate_hz) for hz in (300, 3000))
    silence = np.zeros(18 * rate_hz)
    (tmp_path / "scene").mkdir()
    soundfile.write(
        tmp_path / "scene" / "long.wav", np.concatenate([low, silence, low, silence, high]), rate_hz
    )
    filled = tmp_path / "library"
    assert soundseek("index", tmp_path / "scene", "--library", filled).returncode == 0
    words = command if len(command) > 1 else (*command, str(sounds / "tone0.wav"))
    run = soundseek(
        *words, "--library", filled, "--segments", "--where", "name = long.wav", "--labels", "audacity"
    )
    assert run.returncode == 0, run.stderr
    rows = [line.split("\t") for line in run.stdout.decode().splitlines()]
    assert len(rows) > 1 and [float(row[0]) for row in rows] == sorted(float(row[0]) for row in rows)
    name = "a low tone" if command[0] == "search" else "like tone0"
    assert all(re.fullmatch(rf"{name} -?\d\.\d\d", row[2]) for row in rows)


def test_hits_of_several_files_are_refused_with_the_way_to_one(soundseek: Run, filled: Path) -> None:
    run = soundseek("search", "tone", "--library", filled, "--labels", "raven")
    assert run.returncode == 2 and b"--where 'name = " in run.stderr


def test_labels_exclude_other_formats_and_are_of_a_known_editor(soundseek: Run, filled: Path) -> None:
    assert soundseek("search", "tone", "--library", filled, "--labels", "raven", "--csv").returncode == 2
    assert soundseek("search", "tone", "--library", filled, "--labels", "emacs").returncode == 2


def test_nothing_found_is_no_label(soundseek: Run, filled: Path) -> None:
    run = soundseek("search", "tone", "--library", filled, "--where", "duration > 999", "--labels", "reaper")
    assert run.returncode == 0 and run.stdout == b""
