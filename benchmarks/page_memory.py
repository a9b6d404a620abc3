"""What a long session leaves behind: memory of page and server, round after round of the same work in one page.

    python benchmarks/page_memory.py [--library DIR] [--minutes 10] [--json FILE]

A round types queries, plays through their lists, filters, scrolls through everything, opens details, dialogs
and the map in Chromium, and goes back to the start; there, after a garbage collection, is one measurement. Without a
library, samples/ is indexed.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from machine import keep_result
from playwright.sync_api import sync_playwright

SAMPLES = Path(__file__).parents[1] / "samples"
QUERIES = ["a dog barks", "rain on a tin roof", "footsteps"]
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
]
LOOK_MS = 400
READY = '.results[aria-busy="false"] .hit'


def main() -> None:
    """Print the second, the middle and the last round."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--library", type=Path, help="a library to use instead of one of samples/")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--json", type=Path, help="keep the result in this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        library = arguments.library or _of_samples(Path(folder) / "library")
        rounds, complaints, files = work(library, arguments.minutes)
    settled = rounds[1:] or rounds  # the first one fetches modules, waveforms and the map
    result = {
        "files": files,
        "minutes": round(rounds[-1]["at_s"] / 60, 1),
        "rounds": len(rounds),
        "errors in the console": complaints,
        "second round": settled[0],
        "middle round": settled[len(settled) // 2],
        "last round": settled[-1],
    }
    keep_result(arguments.json, "samples" if arguments.library is None else "library", result)


def _of_samples(library: Path) -> Path:
    command = [sys.executable, "-m", "soundseek", "index", SAMPLES, "--library", library, "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return library


def work(library: Path, minutes: float) -> tuple[list[dict[str, float]], int, int]:
    """A measurement for each round, how often the console complained, and how many files the library has."""
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
            page.set_default_timeout(240_000)
            complaints: list[str] = []
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
            page.goto(address)
            page.locator(".library-facts").wait_for()
            files = int(page.evaluate("import('/page/js/state.js').then((s) => s.library.value.files)"))
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable")
            began, rounds = time.monotonic(), []
            while not rounds or time.monotonic() - began < 60 * minutes:
                _one_round(page)
                rounds.append({"at_s": round(time.monotonic() - began, 1), **_memory(session, server.pid)})
            browser.close()
        return rounds, len(complaints), files
    finally:
        server.terminate()
        server.wait()


def _one_round(page: Any) -> None:
    for query in QUERIES:
        page.locator("#search-text").fill("")
        page.keyboard.type(query, delay=60)
        page.locator(READY).first.wait_for()
        page.keyboard.press("ArrowDown")
        for _ in range(5):
            page.keyboard.press("ArrowDown")
            page.wait_for_timeout(LOOK_MS)
        page.keyboard.press("s")  # the spectrogram, which stays for half of them
        page.keyboard.press(" ")
    page.keyboard.press("Enter")
    page.locator(".details .facts").first.wait_for()
    page.wait_for_timeout(LOOK_MS)
    page.keyboard.press("Enter")
    page.keyboard.press("e")
    page.locator("dialog").wait_for()
    page.keyboard.press("Escape")
    page.locator(".pill-button", has_text="Duration").click()
    page.get_by_role("button", name="Short", exact=True).click()
    page.keyboard.press("Escape")
    page.wait_for_timeout(LOOK_MS)
    page.get_by_role("button", name="All sounds").click()
    page.locator(READY).first.wait_for()
    page.mouse.move(800, 500)
    for _ in range(6):
        page.mouse.wheel(0, 4000)
        page.wait_for_timeout(LOOK_MS)
    page.locator(".segment", has_text="Map").click()
    page.locator(".map-points").wait_for()
    page.wait_for_timeout(2 * LOOK_MS)
    page.locator(".segment", has_text="List").click()
    page.locator(".brand").click()
    page.locator(".start").wait_for()
    page.wait_for_timeout(LOOK_MS)


def _memory(session: Any, pid: int) -> dict[str, float]:
    """Megabytes of the page's objects, its nodes and listeners, and megabytes of the server's own process."""
    session.send("HeapProfiler.enable")
    for _ in range(3):
        session.send("HeapProfiler.collectGarbage")
    session.send("HeapProfiler.disable")
    told = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return {
        "page_mb": round(told["JSHeapUsedSize"] / 1e6, 2),
        "nodes": int(told["Nodes"]),
        "listeners": int(told["JSEventListeners"]),
        "server_mb": round(psutil.Process(pid).memory_info().rss / 1e6, 1),
    }


if __name__ == "__main__":
    main()
