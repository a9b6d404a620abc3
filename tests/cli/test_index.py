"""`soundseek index` from end to end on a toy model: what goes in, what does not, and stopping it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli.answers import embedded_in, records
from tones import write_tone

from soundseek.audio.decode import AUDIO_EXTENSIONS
from soundseek.cli.index import COMMON_ENDINGS, MAX_DEFAULT_WORKERS, default_workers
from soundseek.library import Library
from soundseek.library.store.base import Changes, Failure
from soundseek.model.model import Model

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


def test_index_reports_in_json_and_only_hears_what_is_new(
    soundseek: Run, sounds: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(sounds, folder)
    (first,) = records(soundseek("index", folder, "--library", tmp_path / "library").stdout)
    assert (first["added"], first["failed"], first["interrupted"]) == (7, 0, False)
    assert first["audio_s"] == pytest.approx(6 * 2 + 22, abs=0.1)
    (folder / "tone0.wav").unlink()
    write_tone(folder / "new.wav", frequency_hz=99)
    (second,) = records(soundseek("index", folder, "--library", tmp_path / "library").stdout)
    assert (second["added"], second["removed"], second["unchanged"]) == (1, 1, 6)


def test_without_a_folder_those_of_earlier_runs_are_brought_up_to_date(
    soundseek: Run, sounds: Path, tmp_path: Path
) -> None:
    folder, library = tmp_path / "mine", tmp_path / "library"
    none_yet = soundseek("index", "--library", library)
    assert none_yet.returncode == 2 and b"make one with: soundseek index FOLDER" in none_yet.stderr
    assert not library.exists()
    shutil.copytree(sounds, folder)
    soundseek("index", folder, "--library", library)
    write_tone(folder / "new.wav", frequency_hz=99)
    (report,) = records(soundseek("index", "--library", library).stdout)
    assert (report["added"], report["unchanged"]) == (1, 7)


@pytest.mark.parametrize(
    ("option", "value"), [("--max-duration", "0.5"), ("--max-duration", "nan"), ("--workers", "-1")]
)
def test_a_number_that_is_not_allowed_is_named_with_those_that_are(
    option: str, value: str, soundseek: Run, sounds: Path, tmp_path: Path
) -> None:
    run = soundseek("index", sounds, option, value, "--library", tmp_path / "library")
    told = " ".join(run.stderr.decode().replace("│", " ").split())
    assert run.returncode == 2 and f"'{option}': {value} is not allowed: give " in told and " or more" in told


def test_a_folder_without_sounds_is_an_error_that_says_what_is_looked_for(
    soundseek: Run, sounds: Path, tmp_path: Path
) -> None:
    folder, library = tmp_path / "notes", tmp_path / "library"
    folder.mkdir()
    (folder / "diary.txt").write_text("it rained")
    told = f"no sound was found in {folder}: no file there, hidden ones aside, ends in "
    for _ in range(2):  # the first run has not made it a known one
        run = soundseek("index", folder, "--library", library)
        message = run.stderr.decode()
        assert (run.returncode, run.stdout) == (2, b"") and message.count("\n") == 1
        assert message.startswith(f"soundseek: {told}")
        assert ".wav, .flac, .mp3" in message and len(message) < 200 + len(str(folder))
        assert set(COMMON_ENDINGS) <= AUDIO_EXTENSIONS and not library.exists()
    run = soundseek("index", folder, sounds / "tone1.wav", "--library", library)
    assert run.returncode == 0 and run.stderr.decode().startswith(told)
    (report,) = records(run.stdout)
    assert (report["added"], report["empty_folders"]) == (1, [str(folder)])
    assert records(soundseek("info", "--library", library).stdout)[0]["folders"] == []


def test_the_endings_that_are_looked_for_are_all_in_the_docs() -> None:
    told = (Path(__file__).parents[2] / "docs" / "sound.md").read_text(encoding="utf-8")
    assert [ending for ending in sorted(AUDIO_EXTENSIONS) if f"`{ending}`" not in told] == []


def test_a_folder_whose_sounds_are_gone_is_brought_up_to_date(
    soundseek: Run, sounds: Path, tmp_path: Path
) -> None:
    folder, library = tmp_path / "mine", tmp_path / "library"
    folder.mkdir()
    shutil.copy(sounds / "tone1.wav", folder)
    soundseek("index", folder, "--library", library)
    (folder / "tone1.wav").unlink()
    for removed in (1, 0):
        run = soundseek("index", folder, "--library", library)
        assert (run.returncode, records(run.stdout)[0]["removed"]) == (0, removed)
        assert f"no sound was found in {folder}".encode() in run.stderr


def test_a_folder_of_bad_files_alone_is_not_called_empty(soundseek: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "empty.wav").touch()
    run = soundseek("index", tmp_path / "mine", "--library", tmp_path / "library")
    assert (run.returncode, records(run.stdout)[0]["empty_folders"]) == (1, [])
    assert b"no sound was found" not in run.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_crash_of_the_decoder_takes_one_file_and_not_the_run(
    workers: str, soundseek: Run, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundseek.library.library_model._load_for_worker", CrashingModel)
    folder, library = tmp_path / "mine", tmp_path / "library"
    shutil.copytree(sounds, folder)
    shutil.copy(sounds / "tone1.wav", folder / "crash.wav")
    run = soundseek("index", folder, "--workers", workers, "--library", library)
    assert (run.returncode, records(run.stdout)[0]["added"]) == (1, 7)
    (failure,) = records(soundseek("failures", "--library", library).stdout)
    assert failure["path"] == str(folder / "crash.wav") and "SIGSEGV" in failure["reason"]


class CrashingModel(Model):
    """A model but for one file, at which the process has a segmentation fault."""

    def embed_file(self, path: Any, **options: Any) -> Any:
        if Path(path).name == "crash.wav":
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().embed_file(path, **options)


def test_what_to_install_for_files_that_failed_stands_once_and_whole_below_them(
    soundseek: Run, filled: Path, tmp_path: Path
) -> None:
    library = Path(shutil.copytree(filled, tmp_path / "library"))
    command = f'pip install -c "/{"very long folder/" * 8}constraints.txt" "soundseek[formats]"'
    reason = f"MP4 needs one more package: {command}"
    with Library.open(library) as opened, opened.store.writing():
        failures = [Failure(f"/sounds/{name}.m4a", reason, "", 100, 1) for name in ("one", "two")]
        opened.store.commit(Changes(failures=failures))
    table = soundseek("failures", "--table", "--library", library).stdout.decode()
    assert table.count("MP4 needs one more package") == 2
    assert table.endswith(f"\ninstall what is missing with:\n{command}\n") and table.count("pip install") == 1
    assert {each["reason"] for each in records(soundseek("failures", "--library", library).stdout)} == {
        reason
    }


def test_bad_files_are_named_and_the_rest_goes_in(soundseek: Run, tmp_path: Path) -> None:
    folder, library = tmp_path / "mine", tmp_path / "library"
    folder.mkdir()
    write_tone(folder / "good.wav", frequency_hz=440)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.mp3").write_text("this is no sound")
    run = soundseek("index", folder, "--library", library)
    assert run.returncode == 1
    assert records(run.stdout)[0]["added"] == 1
    assert (
        f"2 files could not be embedded; see: soundseek failures --library {library}\n" in run.stderr.decode()
    )
    failed = records(soundseek("failures", "--library", library).stdout)
    assert sorted(Path(each["path"]).name for each in failed) == ["empty.wav", "text.mp3"]
    assert all(each["reason"] for each in failed)
    table = soundseek("failures", "--table", "--library", library).stdout.decode()
    assert "empty.wav" in table and "text.mp3" in table and "install" not in table
    assert records(soundseek("search", "tone", "--library", library).stdout)


def test_an_index_run_takes_one_worker_a_core_and_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(3)), raising=False)
    assert default_workers() == 3
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(64)), raising=False)
    assert default_workers() == MAX_DEFAULT_WORKERS


def test_ctrl_c_keeps_what_was_heard_and_says_how_to_go_on(tmp_path: Path, model_directory: Path) -> None:
    folder, library = tmp_path / "mine", tmp_path / "library"
    folder.mkdir()
    write_tone(folder / "000.wav", frequency_hz=300, duration_s=120)
    for number in range(1, 400):
        os.link(folder / "000.wav", folder / f"{number:03}.wav")
    command = [sys.executable, "-m", "soundseek", "index", folder, "--library", library]
    command += ["--model", model_directory]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not embedded_in(library):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 130, errors.decode()
    assert errors.decode().splitlines()[-1] == "stopped; run the same command again to go on"
    (report,) = records(output)
    assert report["interrupted"] and 0 < report["added"] < 400
    assert embedded_in(library) == report["added"]


def test_a_file_that_was_named_itself_and_fails_again_is_a_failure_with_its_reason(
    soundseek: Run, sounds: Path, tmp_path: Path
) -> None:
    folder, library = tmp_path / "mine", tmp_path / "library"
    shutil.copytree(sounds, folder)
    bad = folder / "bad.wav"
    bad.write_text("no sound")
    assert soundseek("index", folder, "--library", library).returncode == 1
    assert soundseek("index", folder, "--library", library).returncode == 0
    run = soundseek("index", bad, "--library", library)
    assert run.returncode == 1 and f"{bad}: text, not sound" in run.stderr.decode()
