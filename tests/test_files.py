from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from soundseek._files import LOCK_FILE, append_line, locked, replace_copy, replace_text, replacing
from soundseek.errors import StorageError, UsageError


def test_a_file_is_replaced_only_by_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    replace_text(path, "old\n")
    with pytest.raises(ZeroDivisionError), replacing(path) as partial:
        partial.write_text("half")
        assert path.read_text() == "old\n"
        raise ZeroDivisionError
    assert path.read_text() == "old\n"
    replace_text(path, "new\n")
    assert (path.read_text(), [each.name for each in tmp_path.iterdir()]) == ("new\n", ["run.json"])


def test_it_is_on_the_disk_before_it_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: seen.append("sync"))
    replace, rename = Path.replace, seen.append

    def noted(self: Path, target: Path) -> Path:
        rename("replace")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", noted)
    replace_text(tmp_path / "a", "text")
    assert seen[:2] == ["sync", "replace"] and "sync" in seen[2:]
    append_line(tmp_path / "b", "line")
    assert seen[-1] == "sync" and (tmp_path / "b").read_text() == "line\n"


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_others_may_read_what_the_umask_lets_them_read(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.touch(0o600)
    old = os.umask(0o022)
    try:
        replace_copy(private, tmp_path / "copy")
        with replacing(tmp_path / "moved") as partial:
            private.rename(partial)
    finally:
        os.umask(old)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("copy", "moved")] == [0o644, 0o644]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/tmp/tmpabc"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_named_by_the_file_that_was_meant(tmp_path: Path, error: Exception) -> None:
    (tmp_path / "model").write_text("old")
    with (
        pytest.raises(
            StorageError, match=rf"^{tmp_path}/model cannot be written: the disk of {tmp_path} is full"
        ),
        replacing(tmp_path / "model"),
    ):
        raise error
    assert (tmp_path / "model").read_text() == "old"


def test_a_full_disk_is_recognised_behind_a_librarys_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 0})
    monkeypatch.setattr("soundseek._files.shutil.disk_usage", lambda folder: usage)
    with pytest.raises(StorageError, match="is full"), replacing(tmp_path / "checkpoint"):
        raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 128 vs 22")


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file/a cannot be written: Not a directory"):
        replace_text(tmp_path / "file" / "a", "text")
    with pytest.raises(StorageError, match="cannot be written"), locked(tmp_path / "file" / "run", "run"):
        pass


HOLDS = """
import sys
from pathlib import Path
from soundseek._files import locked
with locked(Path(sys.argv[1]), "run"):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_lock_names_its_holder_and_goes_with_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin and holder.stdout and holder.stdout.readline() == "locked\n"
    with (
        pytest.raises(UsageError, match=rf"the run {run} is being written by process {holder.pid}; wait"),
        locked(run, "run"),
    ):
        pass
    holder.kill()  # a killed process loses its lock, whatever it leaves behind
    holder.wait()
    with locked(run, "run"):
        assert (run / LOCK_FILE).read_text() == str(os.getpid())
    assert list(run.iterdir()) == []


def test_a_lock_that_this_process_has_itself_says_so(tmp_path: Path) -> None:
    taken = rf"the run .* is being written by this process \({os.getpid()}\); wait"
    with locked(tmp_path, "run"), pytest.raises(UsageError, match=taken), locked(tmp_path, "run"):
        pass


def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(StorageError, match=r"run/\.lock cannot be written: No locks available"),
        locked(tmp_path / "run", "run"),
    ):
        pass


def test_a_folder_that_nothing_was_written_to_is_not_left_behind(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "run", "run"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
