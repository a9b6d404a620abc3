"""What the tests of the page share: the server in a process of its own, and waiting for something to become true."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

SAMPLES = Path(__file__).parents[1] / "samples"
WAIT_MS = 60_000  # generous: a busy machine is no failure
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def need_a_browser() -> None:
    """Skip, and say what is missing."""
    pytest.importorskip("playwright", reason="no playwright: pip install playwright to test the page")
    pytest.importorskip("fastapi", reason='no server: pip install ".[serve]" to test the page')
    if importlib.util.find_spec("soundseek.server.app") is None:
        pytest.skip("this soundseek has no server yet")
    if CHROMIUM is None:
        pytest.skip("no Chromium: install it (Debian, Ubuntu: apt-get install chromium) to test the page")


class Server:
    """`soundseek serve` in a process of its own."""

    def __init__(self, library: Path, root: Path, *others: Path) -> None:
        """Serve a library, and others beside it."""
        libraries = [part for each in (library, *others) for part in ("--library", each)]
        self._command = [sys.executable, "-m", "soundseek", "serve", *libraries, "--port"]
        self._root = root
        self._process, self.address = self._start("0")

    def _start(self, port: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [*self._command, port, "--root", self._root], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )  # fmt: skip
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if found := re.search(r"http://[\d.:]+", line):
                return process, found[0]
        raise AssertionError(f"the server did not start:\n{said}")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(WAIT_MS / 1000)

    def start_again(self) -> None:
        """At the same address."""
        self._process, address = self._start(self.address.rsplit(":", 1)[1])
        assert address == self.address


def until(page: Any, condition: str, value: Any = None) -> None:
    """Wait for a JavaScript condition, asked from outside: the page's policy lets nothing evaluate text inside."""
    end = time.monotonic() + WAIT_MS / 1000
    while not page.evaluate(condition, value):
        if time.monotonic() > end:
            raise AssertionError(f"never true: {condition}, at {page.url}")
        page.wait_for_timeout(20)


def until_effects_ran(page: Any) -> None:
    """Wait for what components do after they are drawn: listen to the window, draw on a canvas, open a dialog.

    Preact runs effects in a task of their own behind the next frame.
    """
    page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => setTimeout(() => setTimeout(done))))"
    )


def keep_playing(page: Any) -> None:
    """Begin every sound anew at its end, and note where it is heard from: a slow test must not miss it."""
    page.evaluate(
        """async () => {
            const { audio } = await import('/page/js/player.js');
            audio.loop = true;
            audio.addEventListener('playing', () => (window.heardFrom ??= audio.currentTime));
        }"""
    )


def pause(page: Any) -> None:
    """Stop the player by its key: no clock goes on while a test takes its steps."""
    page.keyboard.press(" ")
    until(
        page, "import('/page/js/player.js').then(({ audio, isPlaying }) => audio.paused && !isPlaying.value)"
    )


def until_it_plays(page: Any) -> float:
    """Wait for the player to play; the seconds of the file where the first sound after `keep_playing` began."""
    until(
        page,
        "window.heardFrom !== undefined && "
        "import('/page/js/player.js').then(({ audio, isPlaying }) => isPlaying.value && !audio.paused)",
    )
    return float(page.evaluate("window.heardFrom"))
