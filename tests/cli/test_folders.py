"""What `soundseek` says of folders (missing, forgotten, relocated, excluded), and of values empty or given twice."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.answers import embedded_in, records
from tones import write_tone

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def mine(sounds: Path, tmp_path: Path) -> Path:
    """A folder of two sounds, which may be changed."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for number in (1, 2):
        shutil.copy(sounds / f"tone{number}.wav", folder)
    return folder


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return tmp_path / "library"


def test_known_failures_are_said_and_exit_with_0(soundseek: Run, mine: Path, library: Path) -> None:
    (mine / "bad.wav").write_text("no sound")
    first = soundseek("index", mine, "--library", library)
    assert first.returncode == 1
    assert (
        f"1 file could not be embedded; see: soundseek failures --library {library}" in first.stderr.decode()
    )
    again = soundseek("index", "--library", library)
    assert again.returncode == 0
    assert "1 file could not be embedded, as in earlier runs; none is new; see" in again.stderr.decode()
    assert soundseek("index", "--strict", "--library", library).returncode == 1
    (mine / "worse.wav").write_text("no sound either")
    third = soundseek("index", "--library", library)
    assert third.returncode == 1 and b"2 files could not be embedded, 1 of them new; see" in third.stderr
    assert records(third.stdout)[0]["newly_failed"] == 1


def test_one_missing_folder_among_many_is_said_and_the_others_go_in(
    soundseek: Run, mine: Path, library: Path, tmp_path: Path
) -> None:
    run = soundseek("index", mine, tmp_path / "nowhere", "--library", library)
    assert (run.returncode, records(run.stdout)[0]["added"]) == (1, 2)
    assert f"not there now: {tmp_path / 'nowhere'};" in run.stderr.decode()
    plain = soundseek("index", "--library", library)
    assert plain.returncode == 0 and b"not there" not in plain.stderr


def test_a_folder_that_is_unplugged_is_said_kept_and_no_error(
    soundseek: Run, mine: Path, library: Path, tmp_path: Path
) -> None:
    soundseek("index", mine, "--library", library)
    mine.rename(tmp_path / "unplugged")
    run = soundseek("index", "--library", library)
    told = run.stderr.decode()
    assert run.returncode == 0 and f"not there now: {mine}; the library keeps 2 sounds of it" in told
    assert f"soundseek forget --missing FOLDER --library {library}" in told
    assert embedded_in(library) == 2
    search = soundseek("search", "tone", "--library", library)
    assert search.stdout == b"" and f"nothing found: {mine} is not there now" in search.stderr.decode()
    assert len(records(soundseek("search", "tone", "--missing", "show", "--library", library).stdout)) == 2


def test_forget_and_relocate_say_how_many(soundseek: Run, mine: Path, library: Path, tmp_path: Path) -> None:
    soundseek("index", mine, "--library", library)
    mine.rename(tmp_path / "new")
    moved = soundseek("relocate", mine, tmp_path / "new", "--library", library)
    assert records(moved.stdout) == [{"relocated": 2}]
    table = soundseek("relocate", tmp_path / "new", tmp_path / "new" / "..", "--table", "--library", library)
    assert table.returncode == 2 and b"none of the 2 sounds" in table.stderr
    (tmp_path / "new" / "tone1.wav").unlink()
    missing = soundseek("forget", "--missing", tmp_path / "new", "--table", "--library", library)
    assert missing.stdout == b"1 sound forgotten\n"
    assert records(soundseek("forget", tmp_path / "new", "--library", library).stdout) == [{"forgotten": 1}]
    assert embedded_in(library) == 0 and (tmp_path / "new" / "tone2.wav").exists()


def test_patterns_are_remembered_until_they_are_lifted(soundseek: Run, mine: Path, library: Path) -> None:
    soundseek("index", mine, "--exclude", "tone1*", "--library", library)
    assert embedded_in(library) == 1
    assert records(soundseek("info", "--library", library).stdout)[0]["exclude"] == ["tone1*"]
    soundseek("index", "--exclude", "none", "--library", library)
    assert embedded_in(library) == 2


def test_what_is_cut_is_named_at_the_run_in_info_in_failures_and_beside_the_hit(
    soundseek: Run, mine: Path, library: Path
) -> None:
    write_tone(mine / "long.wav", frequency_hz=440, duration_s=22)
    run = soundseek("index", mine, "--max-duration", "12", "--library", library)
    assert run.returncode == 0 and f"cut at --max-duration: {mine / 'long.wav'}" in run.stderr.decode()
    (about,) = records(soundseek("info", "--library", library).stdout)
    assert (about["max_duration_s"], about["cut_files"]) == (12, [str(mine / "long.wav")])
    (failure,) = records(soundseek("failures", "--library", library).stdout)
    assert failure["reason"] == "only its first 0:12 is in the library (--max-duration)"
    hits = records(soundseek("search", "tone", "--library", library).stdout)
    assert {Path(hit["path"]).name: hit["is_cut"] for hit in hits} == {
        "tone1.wav": False, "tone2.wav": False, "long.wav": True,
    }  # fmt: skip
    assert (
        b"only its first 0:12 is searched"
        in soundseek("search", "tone", "--table", "--library", library).stdout
    )
    for command in (["similar"], ["search", "--like"], ["label"]):
        told = soundseek(*command, mine / "long.wav", "--library", library).stderr.decode()
        assert "long.wav counts by its beginning" in told
    assert b"counts by" not in soundseek("similar", mine / "tone1.wav", "--library", library).stderr
    write_tone(mine / "long too.wav", frequency_hz=441, duration_s=22)
    assert records(soundseek("index", "--library", library).stdout)[0]["cut"] == 1
    assert (
        records(soundseek("index", "--max-duration", "none", "--library", library).stdout)[0]["changed"] == 2
    )
    assert soundseek("failures", "--library", library).stdout == b""


def test_copies_are_one_line_that_says_where_else(soundseek: Run, mine: Path, library: Path) -> None:
    shutil.copy(mine / "tone1.wav", mine / "copy.wav")
    soundseek("index", mine, "--library", library)
    table = soundseek("search", "tone", "--table", "--library", library).stdout.decode()
    assert table.count("also at") == 1
    assert len(records(soundseek("search", "tone", "--duplicates", "show", "--library", library).stdout)) == 3
    wrong = soundseek("search", "tone", "--duplicates", "maybe", "--library", library)
    assert wrong.returncode == 2 and b"maybe" in wrong.stderr


def test_a_format_that_is_not_there_is_answered_with_those_that_are(soundseek: Run, filled: Path) -> None:
    run = soundseek("search", "tone", "--where", "format = m4a", "--library", filled)
    assert run.stderr.decode().endswith("fulfils --where 'format = m4a'; the formats in it: WAV\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["index", ""], "FOLDER is empty"),
        (["index", "a.wav", ""], "FOLDER is empty"),
        (["index", "a.wav", "--library", ""], "--library is empty"),
        (["index", "a.wav", "--exclude", ""], "--exclude is empty"),
        (["index", "a.wav", "--library", "a", "--library", "b"], "--library is given 2 times; give it once"),
        (["search", "rain", "-k", "1", "--count", "2"], "--count is given 2 times"),
        (["search", "rain", "--where", ""], "--where is empty"),
        (["search", "--like", ""], "--like is empty"),
        (["similar", ""], "FILE is empty"),
        (["explain", "", "rain"], "FILE is empty"),
        (["forget", ""], "FOLDER is empty"),
        (["relocate", "a", ""], "NEW is empty"),
        (["models", "get", ""], " is empty"),
        (["data", "check", ""], " is empty"),
    ],
)
def test_an_empty_value_or_two_for_one_is_wrong_usage_and_writes_nothing(
    arguments: list[str], told: str, soundseek: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    run = soundseek(*arguments)
    assert (run.returncode, run.stdout) == (2, b"")
    assert told in run.stderr.decode() and run.stderr.count(b"\n") == 1
    assert list((tmp_path / "here").iterdir()) == [] and not (tmp_path / "data").exists()


def test_an_option_that_is_repeatable_may_be_repeated_and_an_empty_variable_is_not_set(
    soundseek: Run, filled: Path, sounds: Path
) -> None:
    twice = ["--like", sounds / "tone1.wav", "--like", sounds / "tone2.wav", "--not", "rain", "--not", "wind"]
    assert soundseek("search", "tone", *twice, "--library", filled).returncode == 0
    run = soundseek("info", "--library", filled, SOUNDSEEK_LIBRARY="")
    assert run.returncode == 0


def test_a_current_folder_that_was_deleted_is_named_or_does_not_matter(
    soundseek: Run, filled: Path, tmp_path: Path
) -> None:
    gone, before = tmp_path / "gone", Path.cwd()
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    try:
        assert soundseek("search", "tone", "--table", "--library", filled).returncode == 0
        for arguments in (["index", "sounds"], ["similar", "a.wav"], ["search", "tone", "--library", "lib"]):
            run = soundseek(*arguments, *([] if "--library" in arguments else ["--library", filled]))
            assert run.returncode == 2, run.stderr
            assert (
                b"is relative, and the current folder has been deleted; go to another one (cd)" in run.stderr
            )
    finally:
        os.chdir(before)


def test_a_file_system_without_locks_is_named_with_the_next_step(
    soundseek: Run, mine: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*arguments: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    run = soundseek("index", mine, "--library", library, "-q")
    told = run.stderr.decode()
    assert run.returncode == 1 and told.count("\n") == 1
    assert (
        str(library) in told
        and "has no locks" in told
        and "put the library on a local disk with --library DIR" in told
    )


def test_forgetting_a_folder_of_an_indexed_one_says_that_it_comes_back_and_how_to_leave_it_out(
    soundseek: Run, sounds: Path, tmp_path: Path
) -> None:
    folder, library = tmp_path / "mine", tmp_path / "library"
    shutil.copytree(sounds, folder / "inner")
    shutil.copy(sounds / "tone1.wav", folder)
    soundseek("index", folder, "--library", library)
    told = soundseek("forget", folder / "inner", "--library", library).stderr.decode()
    assert f"comes back at the next soundseek index, for it lies in {folder}" in told
    assert f"a line /inner/ in {folder / '.soundseekignore'} leaves it out for good" in told
    (folder / ".soundseekignore").write_text("/inner/\n")
    (report,) = records(soundseek("index", "--library", library).stdout)
    assert report["added"] == 0
    odd = folder / "tone [1] take?.wav"
    shutil.copy(sounds / "tone1.wav", odd)
    soundseek("index", "--library", library)
    told = soundseek("forget", odd, "--library", library).stderr.decode()
    line = told.partition("; a line ")[2].partition(" in /")[0]
    (folder / ".soundseekignore").write_text(f"/inner/\n{line}\n")
    (report,) = records(soundseek("index", "--library", library).stdout)
    assert report["added"] == 0
    assert soundseek("forget", folder, "--library", library).stderr == b""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_a_folder_that_may_no_longer_be_read_is_not_told_as_a_missing_drive(
    soundseek: Run, mine: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert soundseek("index", mine, "--workers", "0", "--library", library).returncode == 0
    (known,) = {
        Path(each["path"]).parent
        for each in records(soundseek("search", "tone", "--library", library).stdout)
    }
    listing = os.scandir

    def refused(path: object) -> object:
        if os.fspath(path) == str(known):  # type: ignore[arg-type]
            raise PermissionError(13, "Permission denied", str(path))
        return listing(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", refused)
    run = soundseek("index", mine, "--workers", "0", "--library", library)
    told = run.stderr.decode()
    assert run.returncode == 1 and "drive" not in told
    assert f"not readable now: {known}; the library keeps what it has of it. Allow reading it" in told
