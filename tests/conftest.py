"""What every test process starts from, and the fixtures that tests of several packages share."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable

import pytest

# Before numpy and PyTorch load, which read these once: runs that are compared to the last bit add up in one order,
# and two test processes on two cores do not fight over them.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# A run in the background (nohup, a build server) is started with Ctrl-C ignored, and its children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What is imported and collected stays to the end: to look through a million objects for cycles again and again, while
# they come and after, costs seconds.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


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
