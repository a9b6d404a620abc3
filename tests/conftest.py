"""What every test process starts from, and the fixtures that tests of several packages share."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

# A run in the background (nohup, a build server) is started with Ctrl-C ignored, and its children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def say(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Run a command line; exit code, stdout, stderr."""
    from soundseek.cli.main import group

    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            group()(list(arguments), prog_name="soundseek")
        return int(ended.value.code or 0), *capsys.readouterr()

    return run
