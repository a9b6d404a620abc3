"""`soundseek watch`: which folders a run looks at, and which extra it wants."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from toy_model import make_toy_model

from soundseek.cli.watch import watch_command
from soundseek.errors import UsageError
from soundseek.library import Library
from soundseek.library.watching import FolderWatch

BUCKET = "memory://watched/sfx"


@pytest.fixture(autouse=True)
def bucket() -> Iterator[None]:
    files = fsspec.filesystem("memory")
    files.pipe_file("/watched/sfx/a.wav", b"dog")
    yield
    files.rm("/watched", recursive=True)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The folders of each run, of which there are two: a rescan, and one for an event."""
    found: list[tuple[str, ...]] = []

    def run(watching: FolderWatch, events: Any) -> None:
        for is_rescan in (True, False):
            watching.index(watching.still_grows, is_rescan)

    monkeypatch.setattr(FolderWatch, "run", run)
    monkeypatch.setattr(Library, "index", lambda _, *folders, **__: found.append(folders))
    return found


def watch(tmp_path: Path, *folders: str) -> None:
    model = make_toy_model(tmp_path / "model")
    watch_command(
        list(folders), library=str(tmp_path / "library"), model=str(model), settle=3.0, rescan=600.0
    )


def test_a_bucket_is_listed_by_rescans_alone(tmp_path: Path, asked: list[tuple[str, ...]]) -> None:
    watch(tmp_path, str(tmp_path), BUCKET)
    assert asked == [(str(tmp_path), BUCKET), (str(tmp_path),)]


def test_only_folders_of_this_machine_want_the_extra(
    tmp_path: Path, asked: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "watchfiles" else there(name)
    )
    with pytest.raises(UsageError, match="watchfiles"):
        watch(tmp_path, str(tmp_path))
    assert not (tmp_path / "library").exists()
    watch(tmp_path, BUCKET)
    assert asked[0] == (BUCKET,)
