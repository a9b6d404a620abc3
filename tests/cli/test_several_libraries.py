"""--library given more than once: searched as one where that makes sense, refused where it does not."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from cli.answers import records

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


def test_hits_of_several_libraries_say_theirs(soundseek: Run, filled: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(filled, other)
    both = ("--library", filled, "--library", other)
    hits = records(soundseek("search", "tone", *both).stdout)
    assert {hit["library"] for hit in hits} == {str(filled)}  # the same files in both are hits once
    assert len({hit["path"] for hit in hits}) == len(hits) == 7
    assert "library" not in records(soundseek("search", "tone", "--library", filled).stdout)[0]
    assert "in the library" in soundseek("search", "tone", "--table", *both).stdout.decode()
    for wrong in (["search", "tone", "--windows"], ["search", "tone", "--rerank", "x"]):
        run = soundseek(*wrong, *both)
        assert (run.returncode, run.stdout) == (2, b"") and b"take one library" in run.stderr
    run = soundseek("search", "tone", "--library", filled, "--library", tmp_path / "none")
    assert run.returncode == 2 and b"no such folder" in run.stderr


def test_where_alone_lists_files_by_path(soundseek: Run, filled: Path) -> None:
    hits = records(soundseek("search", "--where", "duration < 3", "--library", filled).stdout)
    paths = [hit["path"] for hit in hits]
    assert paths == sorted(paths) and all(hit["duration_s"] < 3 for hit in hits) and len(hits) > 1
    table = soundseek("search", "--where", "duration < 3", "--table", "--library", filled).stdout.decode()
    assert "length" in table and "score" not in table
    run = soundseek("search", "--where", "bits = 3", "--library", filled)
    assert (run.stdout, run.returncode) == (b"", 0) and b"none of the library's" in run.stderr
    assert b"nothing to look for" in soundseek("search", "--library", filled).stderr
