"""`soundseek duplicates`."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from tones import write_tone

from soundseek.cli.duplicates import _table
from soundseek.library.duplicates import Duplicate, DuplicateGroup

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


def test_groups_are_shown_and_every_file_stays(soundseek: Run, tmp_path: Path) -> None:
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    write_tone(sounds / "a.wav", frequency_hz=300.0)
    samples, rate_hz = soundfile.read(sounds / "a.wav")
    soundfile.write(sounds / "b.flac", 0.3 * samples, rate_hz)
    write_tone(sounds / "other.wav", frequency_hz=1900.0)
    library = tmp_path / "library"
    assert soundseek("index", sounds, "--library", library, "--workers", "0").returncode == 0
    before = {path.name: path.read_bytes() for path in sounds.iterdir()}
    run = soundseek("duplicates", "--library", library)
    assert run.returncode == 0, run.stderr
    (group,) = map(json.loads, run.stdout.splitlines())
    assert {Path(file["path"]).name: file["surety"] for file in group["files"]} == {
        "a.wav": "sure",
        "b.flac": "sure",
    }
    assert b"1 recording more than once: 1 file beside the first of each group" in run.stderr
    none = soundseek("duplicates", "--library", library, "--min-score", "1")
    assert none.stdout == b"" and none.stderr == b"no recording is there more than once\n"
    table = soundseek("duplicates", "--library", library, "--table").stdout.decode()
    assert (
        "a.wav" in table
        and "b.flac" in table
        and "other.wav" not in table
        and "copy" in table
        and "sure" in table
    )
    assert soundseek("duplicates", "--library", library, "--csv").stdout.count(b"\n") == 3
    assert {path.name: path.read_bytes() for path in sounds.iterdir()} == before


def test_a_table_of_duplicates_keeps_to_the_terminal(soundseek: Run, sounds: Path, tmp_path: Path) -> None:
    folder, library = tmp_path / "a folder with a rather long name for a terminal", tmp_path / "library"
    folder.mkdir()
    for name in ("one", "two"):
        shutil.copy(sounds / "tone1.wav", folder / f"{name}.wav")
    soundseek("index", folder, "--library", library)
    shown = soundseek("duplicates", "--library", library, "--table", COLUMNS="72").stdout.decode()
    assert "identical" in shown and "one.wav" in shown and max(map(len, shown.splitlines())) <= 72


@pytest.mark.parametrize(("kind", "says"), [("contains", "holds all"), ("overlap", "has some")])
def test_a_table_says_which_files_have_more_than_their_copy(kind: str, says: str) -> None:
    facts = {"format": "WAV", "sample_rate_hz": 16_000, "size_bytes": 1, "score": 0.9, "surety": "sure"}
    first, more = (
        Duplicate(path, of_kind, of, start_s=start_s, end_s=start_s + 60, duration_s=60.0, **facts)  # type: ignore[arg-type]
        for path, of_kind, of, start_s in (("a.wav", "copy", "a.wav", 0.0), ("b.wav", kind, "x.wav", -5.0))
    )
    shown = list(_table([DuplicateGroup((first, more))], 100).columns[5].cells)
    assert [str(cell) for cell in shown] == ["", f"{says} of x.wav"]
