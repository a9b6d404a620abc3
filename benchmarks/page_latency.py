"""From a key to the list: how long the page takes to show what was typed, over 100,000 segments, in Chromium.

    python benchmarks/page_latency.py [--segments 100000] [--library DIR]

Every letter of some queries is typed with a pause behind it; from each key to the frame in which its list is on the
screen is one measurement. Server and browser share the machine, as they do for people.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from machine import commit, machine
from playwright.sync_api import sync_playwright
from synthetic_library import SEGMENTS_PER_FILE, filled_library

QUERIES = [
    "rain on a tin roof",
    "a dog barks",
    "footsteps on gravel",
    "old door creaks",
    "deep rumble",
    "glass breaks",
]
PAUSE_MS = 300
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
]
# The key's own time stamp, and the frame after the one in which its list was drawn.
WATCH = """async () => {
    const { results } = await import('/page/js/state.js');
    const { effect } = await import('/page/vendor/signals.js');
    window.took = [];
    let key = 0;
    let text = '';
    addEventListener('input', (event) => { key = event.timeStamp; text = event.target.value; }, true);
    effect(() => {
        const { state, elapsedMs } = results.value;
        if (state !== 'ready' || !key) return;
        const started = key;
        key = 0;
        requestAnimationFrame(() => setTimeout(() => window.took.push([performance.now() - started, elapsedMs, text])));
    });
}"""


def main() -> None:
    """Print percentiles of what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--segments", type=int, default=100_000)
    parser.add_argument("--library", type=Path, help="a library to ask instead of a synthetic one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        library = arguments.library or synthetic(Path(folder), arguments.segments)
        took = measure(library)
    keys = np.array([one[0] for one in took])
    server = np.array([one[1] for one in took])
    report = {
        "segments": arguments.segments if arguments.library is None else str(arguments.library),
        "keys": len(took),
        "key to list: ms, p50": round(float(np.percentile(keys, 50)), 1),
        "key to list: ms, p95": round(float(np.percentile(keys, 95)), 1),
        "of it in the server: ms, p50": round(float(np.percentile(server, 50)), 1),
        "of it in the server: ms, p95": round(float(np.percentile(server, 95)), 1),
        "machine": machine(),
        "commit": commit(),
    }
    print(json.dumps(report, indent=1))


def synthetic(folder: Path, segments: int) -> Path:
    """A library whose files are all one quiet sound under many names, so that there are waveforms to draw."""
    sounds = folder / "sounds"
    sounds.mkdir()
    first = sounds / "first.wav"
    seconds = 10 + 5 * SEGMENTS_PER_FILE
    noise = np.random.default_rng(0).normal(0, 0.05, 8000 * seconds)
    soundfile.write(first, noise, 8000)
    library = folder / "library"
    filled_library(library, segments, sounds, first)
    return library


def measure(library: Path) -> list[list[Any]]:
    """`[milliseconds from key to list, milliseconds of it in the server, text]` of every key."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no Chromium: install it (Debian, Ubuntu: apt-get install chromium)")
    command = [sys.executable, "-m", "soundseek", "serve", "--library", library, "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert server.stderr is not None
    try:
        address = next(found[0] for line in server.stderr if (found := re.search(r"http://[\d.:]+", line)))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(address)
            page.wait_for_selector(".library-facts", timeout=120_000)
            page.keyboard.type("warm up", delay=PAUSE_MS)
            page.wait_for_selector(".hit", timeout=120_000)
            page.evaluate(WATCH)
            for query in QUERIES:
                page.locator("#search-text").fill("")
                page.wait_for_timeout(PAUSE_MS)
                for letter in query:
                    page.keyboard.type(letter)
                    page.wait_for_timeout(PAUSE_MS)
            took: list[list[Any]] = page.evaluate("window.took")
            browser.close()
        return took
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
