"""A few of the kills that `python benchmarks/kills.py` does by the hundred, and the judge that looks what is left."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from library.stores import IDENTITY, sound_number
from steel.killing import Judge, Step, as_stored, folder_in_memory, kill, step_of

from soundseek.library.store.base import Changes, Move
from soundseek.library.store.sqlite import SqliteStore

KILLS = {"index": 3, "compact": 2, "copy": 2, "relocate": 1, "migrate": 1, "collect": 1, "approximate": 2}


def test_what_was_committed_survives_the_killing_of_whatever_writes(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder_in_memory() or tmp_path) as folder:
        *_, judge = kill(Path(folder) / "killed", KILLS, seed=0)
        kills = sum(KILLS.values())
        judge.prepare("compact")
        # On a busy machine most are killed before their first commit: then more are.
        while judge.outcomes["commits"] <= 10 and kills < 100:
            judge.kill_one()
            kills += 1
    others = {"commits", "with an index"}
    assert sum(number for what, number in judge.outcomes.items() if what not in others) == kills
    assert judge.outcomes["commits"] > 10, "the writers hardly got to a commit: this tested nothing"


def test_the_judge_finds_what_is_lost_and_what_nobody_told_of(tmp_path: Path) -> None:
    judge = Judge(tmp_path / "killed", 0)
    judge.prepare("compact")
    with pytest.raises(AssertionError, match=r"lost \['/sounds/000777.wav'\]"):
        judge.judge([Step(put={"/sounds/000777.wav": b""}), None])
    judge.prepare("compact")
    store = SqliteStore.open(judge.folder / "library", identity=IDENTITY)
    with store.writing():
        store.commit(Changes(sounds=[sound_number(888)]))
    store.close()
    with pytest.raises(AssertionError, match=r"not told of \['/sounds/000888.wav'\]"):
        judge.judge([])
    judge.judge([step_of(Changes(sounds=[sound_number(888)]))])  # it was under way, and counts
    assert judge.outcomes["within a commit, which counts"] == 1


def test_a_step_is_what_a_commit_does() -> None:
    sound = sound_number(3)
    step = step_of(Changes(sounds=[sound], removed=["/a.wav"], moves=[Move("/b.wav", "/c.wav", 0)]))
    before = {"/a.wav": b"a", "/b.wav": b"b", "/d.wav": b"d"}
    assert step.after(before) == {"/c.wav": b"", "/d.wav": b"d", sound.file.path: as_stored(sound)}
