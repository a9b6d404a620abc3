"""A real server with samples/ in its library, and a real browser that must not complain."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from page_server import CHROMIUM, SAMPLES, WAIT_MS, Server, need_a_browser, until_effects_ran

# WebGL in software but all else without it (half of the processor's work otherwise), a microphone that hums, no calls
# home, no lists below an address bar that nobody sees.
FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader",
    "--disable-background-networking", "--no-first-run", "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
    # The last such flag counts: those of playwright that matter here, and the address bar's.
    "--disable-features=MediaRouter,PaintHolding,HttpsUpgrades,WebUIOmniboxPopup,WebUIOmniboxAimPopup",
]  # fmt: skip

# The page's messages go by themselves after 4 to 10 s, which on a busy machine is before a test looks: here they stay.
MESSAGES_STAY = """(() => {
    const wait = window.setTimeout;
    window.setTimeout = (what, ms, ...more) => wait(what, ms >= 4000 && ms <= 10_000 ? 1e9 : ms, ...more);
})();"""


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with samples/ in it, and one that is not indexed."""
    folder = tmp_path_factory.mktemp("sounds")
    shutil.copytree(SAMPLES, folder / "samples")
    (folder / "new").mkdir()
    shutil.copy(SAMPLES / "animals" / "owl-hooting-1.ogg", folder / "new" / "an owl, again.ogg")
    return folder


@pytest.fixture(scope="session")
def indexed(tmp_path_factory: pytest.TempPathFactory, sounds: Path) -> Path:
    """A library of samples/ that tests leave as it is."""
    library = tmp_path_factory.mktemp("library")
    subprocess.run(
        [sys.executable, "-m", "soundseek", "index", sounds / "samples", "--library", library],
        check=True, capture_output=True,
    )  # fmt: skip
    return library


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    need_a_browser()
    running = Server(request.getfixturevalue("indexed"), request.getfixturevalue("sounds"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium. Not for the whole session: playwright holds an event loop that tests of other folders must not meet."""
    need_a_browser()
    import playwright.sync_api as playwright

    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any, server: Server) -> Iterator[Callable[..., Any]]:
    """Opens the page at an address; afterwards, nothing may have gone wrong in it and nobody else been asked."""
    contexts = []
    complaints: list[str] = []

    def watch(page: Any) -> None:
        page.on("pageerror", lambda error: complaints.append(f"uncaught: {error}"))
        page.on(
            "console",
            lambda said: complaints.append(f"console: {said.text}") if said.type == "error" else None,
        )
        page.on(
            "response",
            lambda got: complaints.append(f"{got.status} {got.url}") if got.status >= 400 else None,
        )
        page.on(
            "request",
            lambda asked: (
                complaints.append(f"asked {asked.url}")
                if not asked.url.startswith((server.address, "blob:", "data:"))
                else None
            ),
        )

    def opened(
        address: str = "", *, width: int = 1280, height: int = 800, expect: str = "", **options: Any
    ) -> Any:
        """A page; `expect` is what the console may complain of."""
        context = browser.new_context(
            viewport={"width": width, "height": height}, accept_downloads=True,
            permissions=["clipboard-read", "clipboard-write", "microphone"], **options,
        )  # fmt: skip
        context.set_default_timeout(WAIT_MS)
        context.add_init_script(MESSAGES_STAY)
        contexts.append((context, expect))
        page = context.new_page()
        watch(page)
        page.goto(f"{server.address}/{address}")
        page.wait_for_selector(".library-facts, .state", state="attached")
        until_effects_ran(page)
        return page

    yield opened
    for context, _ in contexts:
        context.close()
    allowed = [expect for _, expect in contexts if expect]
    wrong = [one for one in complaints if not any(re.search(expect, one) for expect in allowed)]
    assert not wrong, wrong


@pytest.fixture
def rows() -> Callable[[Any], list[str]]:
    """The names in the list, once it is there and complete."""

    def names(page: Any) -> list[str]:
        page.wait_for_selector('.results[aria-busy="false"] .hit')
        return [str(name) for name in page.locator(".hit-name").all_text_contents()]

    return names
