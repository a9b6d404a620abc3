"""Every command that takes --library takes an engine's URI, and answers as from a folder."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from library.engines import ENGINES, place_in
from toy_model import make_toy_model

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(params=ENGINES[1:])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with place_in(request.param, tmp_path) as location:
        yield location


def records(run: subprocess.CompletedProcess[bytes]) -> list[dict[str, object]]:
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_a_library_is_filled_asked_checked_and_copied(
    soundseek: Run, place: str, sounds: Path, filled: Path, model_directory: Path, tmp_path: Path
) -> None:
    (report,) = records(soundseek("index", sounds, "--library", place, "--workers", "0", "--json"))
    assert report["added"] == 7
    for asked in (
        ("search", "a low tone", "-k", "9"),
        ("search", "a low tone", "--where", "not name ~ long", "--segments"),
        ("similar", sounds / "tone1.wav"),
        ("search", "--where", "duration > 5"),
    ):
        ours, theirs = (records(soundseek(*asked, "--library", each)) for each in (place, filled))
        assert ours == theirs and ours, asked
    (info,) = records(soundseek("info", "--library", place))
    assert (info["files"], info["further_models"], info["folders"]) == (7, [], [str(sounds)])
    assert soundseek("library", "check", "--library", place).returncode == 0
    (compacted,) = records(soundseek("library", "compact", "--library", place))
    assert compacted["compacted"] and len(str(compacted["by"])) > 40
    (copied,) = records(soundseek("library", "copy", place, tmp_path / "copy"))
    (again,) = records(soundseek("library", "copy", tmp_path / "copy", place))
    assert copied["copied"] == 7 and again["copied"] == 0 and copied["digest"] == again["digest"]
    same = soundseek("library", "copy", place, place)
    assert same.returncode == 2 and b"SOURCE and TARGET are both" in same.stderr
    other = make_toy_model(tmp_path / "other", seed=1, name="other", scope="clip")
    ranked = soundseek("search", "a low tone", "--library", place, "--rerank", other)
    assert [hit["path"] for hit in records(ranked)] and not (tmp_path / "models").exists()
    refused = soundseek("search", "a low tone", "--library", place, "--model", other)
    assert refused.returncode == 1 and b"?library=NAME" in refused.stderr
    assert records(soundseek("forget", sounds, "--library", place, "--json"))
    assert records(soundseek("info", "--library", place))[0]["files"] == 0


def test_a_password_is_in_no_message(soundseek: Run) -> None:
    pytest.importorskip("psycopg")
    place = "postgresql://ada:secret@127.0.0.1:1/sounds"
    for asked in (
        ("search", "rain"),
        ("info",),
        ("library", "check"),
        ("index", "/"),
        ("search", "--where", "bits = 16"),
    ):
        run = soundseek(*asked, "--library", place)
        told = run.stderr.decode() + run.stdout.decode()
        assert run.returncode != 0 and "secret" not in told and "ada@127.0.0.1:1" in told, told
        assert len(told.strip().splitlines()) == 1
