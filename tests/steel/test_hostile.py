"""A part of the hostile files: each is in the library, or named for what was done to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from steel.hostile import INDEXED, HostileFile, kinds_of, verdict, write_hostile_files
from toy_model import make_toy_model

from soundseek import Library
from soundseek.audio import decode
from soundseek.model.model import Model

EVERY = 12
"""Some sixty of the seven hundred that `python benchmarks/hostile.py` indexes."""


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_hostile_files_are_indexed_or_named_with_a_true_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("av", reason="containers that FFmpeg writes")
    monkeypatch.setattr(decode, "ALWAYS_ALLOWED_S", 60.0)  # an hour of a bomb takes a while
    monkeypatch.setattr(decode, "MIN_BYTES_PER_S", 1000.0)
    folder = tmp_path / "hostile"
    folder.mkdir()
    files = write_hostile_files(folder, every=EVERY)
    model = Model(make_toy_model(tmp_path / "toy"))
    with Library.open(tmp_path / "library", model=model, create=True) as library:
        report = library.index(folder, workers=0)
        lengths = {Path(file.path).name: file.duration_s for file in library.store.files()}
        reasons = {Path(each.path).name: each.reason for each in library.store.failures()}
        assert library.store.check() == []
    assert len(files) > 55 and report.added + report.failed == len(files)
    wrong = [
        f"{file.name!r} ({file.made}) {what}"
        for file in files
        if (what := verdict(file, lengths.get(file.name), reasons.get(file.name)))
    ]
    assert not wrong, "\n".join(wrong)


def test_a_verdict_is_none_only_for_what_is_true() -> None:
    file = HostileFile("x.wav", frozenset({INDEXED, "cut"}), (1.0, 2.0), "cut in the middle")
    assert verdict(file, 1.5, None) is None
    assert verdict(file, None, "truncated: its header says 4.0 s, 2.0 s could be decoded") is None
    assert "neither" in str(verdict(file, None, None))
    assert "both" in str(verdict(file, 1.5, "damaged or cut off"))
    assert "with 3.000 s" in str(verdict(file, 3.0, None))
    for untrue in ("silent: nothing in it", "unexpected error: KeyError: 1", "decoding it crashed (SIGSEGV)"):
        assert "none of" in str(verdict(file, None, untrue))


def test_a_crash_a_hang_or_a_bug_is_no_reason() -> None:
    for reason in (
        "decoding it crashed the process (SIGSEGV)",
        "decoding it made no progress for 300 s",
        "unexpected error: ZeroDivisionError: division by zero",
        "there is not enough memory to embed it",
    ):
        assert kinds_of(reason) == set()
