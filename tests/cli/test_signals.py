"""SIGTERM and a closed terminal end a command as Ctrl-C does: nothing half done stays behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from library.shelves import Shelf
from library.stores import IDENTITY

from soundseek.cli.main import plain_errors
from soundseek.library.store.sqlite import SqliteStore

NUMBERS = [signal.SIGTERM, signal.SIGHUP] if hasattr(signal, "SIGHUP") else [signal.SIGTERM]


@pytest.fixture(autouse=True)
def heeded() -> Iterator[None]:
    """The signals as a terminal hands them down, also where the tests themselves run under nohup."""
    former = [signal.signal(number, signal.SIG_DFL) for number in NUMBERS]
    yield
    for number, handler in zip(NUMBERS, former, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_what_a_command_had_begun_is_cleared_away(
    number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @plain_errors
    def command() -> None:
        (tmp_path / "half").mkdir()
        try:
            os.kill(os.getpid(), number)
            signal.pause()
        finally:
            (tmp_path / "half").rmdir()

    with pytest.raises(typer.Exit) as ended:
        command()
    assert ended.value.exit_code == 128 + number
    assert capsys.readouterr().err == "soundseek: stopped\n"
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(number) == signal.SIG_DFL


def test_what_is_ignored_stays_ignored() -> None:
    """As under nohup."""
    former = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        plain_errors(lambda: os.kill(os.getpid(), signal.SIGTERM))()
    finally:
        signal.signal(signal.SIGTERM, former)


def test_a_run_that_is_ended_commits_what_was_done(tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    store = SqliteStore.open(tmp_path / "library", identity=IDENTITY)
    shelf = Shelf(tmp_path / "sounds", store)
    for name, text in (("a.wav", "rain"), ("b.wav", "wind"), ("c.wav", "SIGTERM"), ("d.wav", "hail")):
        shelf.put(name, text)
    with pytest.raises(typer.Exit) as ended:
        plain_errors(shelf.report)()
    assert ended.value.exit_code == 143
    assert shelf.names() == {"a.wav", "b.wav"}
    store.close()
