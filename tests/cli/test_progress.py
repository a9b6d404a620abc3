"""Progress of an index run: rare lines in a log, a bar on a terminal."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from soundseek.cli.progress import LINE_EVERY_S, ProgressReport, progress_line


def progress(files_done: int, **changes: Any) -> Any:
    fields = {
        "files_total": 40,
        "audio_s": 60.0,
        "audio_left_s": 540.0,
        "elapsed_s": 0.5,
        "eta_s": 75.0,
        "x_realtime": 120.0,
    }
    return SimpleNamespace(files_done=files_done, current="/s/dog.wav", **{**fields, **changes})


def test_a_line_says_files_speed_and_the_time_left() -> None:
    assert (
        progress_line(progress(3))
        == "3 of 40 files, 1:00 of about 10:00 of sound, 120 x real time, 1:15 left"
    )
    assert (
        progress_line(progress(3, eta_s=None))
        == "3 of 40 files, 1:00 of about 10:00 of sound, 120 x real time"
    )
    assert progress_line(progress(3, audio_s=0, eta_s=None, x_realtime=None)) == "3 of 40 files"


def test_a_log_gets_a_line_every_few_seconds_only(capsys: pytest.CaptureFixture[str]) -> None:
    now = 100.0
    with ProgressReport(terminal=False, now=lambda: now) as report:
        for second in range(12):
            now = 100.0 + second
            report(progress(second))
    captured = capsys.readouterr()
    assert captured.out == ""
    files = [int(line.split()[0]) for line in captured.err.splitlines()]
    assert files == [int(LINE_EVERY_S), int(2 * LINE_EVERY_S)]


def test_a_terminal_gets_a_bar_with_the_current_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with ProgressReport(terminal=True) as report:
        report(progress(7))
    captured = capsys.readouterr()
    assert captured.out == "" and "7 of 40 files" in captured.err and "dog.wav" in captured.err
