"""The pictures of the search page in docs/images: the real page on samples/, in Chromium (`make picture`).

python scripts/page_pictures.py [--library DIR]  # another library than one of samples/
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
# Software WebGL draws the map.
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
FLAGS += ["--disable-background-networking", "--no-first-run", "--autoplay-policy=no-user-gesture-required"]


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--library", type=Path, help="photograph this library instead of one of samples/")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these of {', '.join(PICTURES)}")
    arguments = parser.parse_args()
    library = arguments.library
    names = arguments.names or list(PICTURES)
    if unknown := set(names) - set(PICTURES):
        parser.error(f"no picture {', '.join(sorted(unknown))}; there are {', '.join(PICTURES)}")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no Chromium: install it (Debian, Ubuntu: apt-get install chromium)")
    with tempfile.TemporaryDirectory() as folder:
        # Under a name that a reader would give it: it is in the picture.
        sounds = Path(folder) / "Sounds"
        shutil.copytree(ROOT / "samples", sounds)
        if library is None:
            library = Path(folder) / "my sounds"
            soundseek("index", sounds, "--library", library).wait()
        server = soundseek("serve", "--library", library, "--root", sounds, "--port", "0")
        try:
            address = address_of(server)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
                warm_up(browser, address)
                for name in names:
                    photograph(browser, address, name, *PICTURES[name])
                browser.close()
        finally:
            server.terminate()
            server.wait()


def soundseek(*arguments: object) -> subprocess.Popen[str]:
    """A command of this environment, in the background."""
    command = [sys.executable, "-m", "soundseek", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def address_of(server: subprocess.Popen[str]) -> str:
    """Where a server that was just started answers."""
    assert server.stderr is not None
    for line in server.stderr:
        if found := re.search(r"http://[\d.:]+", line):
            return found[0]
    sys.exit("the server did not start")


def photograph(
    browser: Any, address: str, name: str, take: Callable[[Any, str], None], options: dict[str, Any]
) -> None:
    """One picture, in a browser that remembers nothing."""
    context = browser.new_context(**options)
    context.set_default_timeout(60_000)
    page = context.new_page()
    take(page, address)
    page.wait_for_timeout(500)
    page.screenshot(path=IMAGES / f"{name}.png")
    context.close()
    print(f"wrote {(IMAGES / f'{name}.png').relative_to(ROOT)}")


def warm_up(browser: Any, address: str) -> None:
    """Search once, so that no picture shows the milliseconds in which the model was loaded."""
    page = browser.new_page()
    page.set_default_timeout(60_000)
    for query in ("q=rain", "q=water+drips"):
        search(page, address, query)
    page.close()


def search(page: Any, address: str, query: str) -> None:
    """The list of a query, with every waveform that is on the screen."""
    page.goto(f"{address}/?{query}")
    page.wait_for_selector(".hit")
    settled(page)


def settled(page: Any) -> None:
    """Until every waveform that can be seen is drawn."""
    visible = """() => [...document.querySelectorAll('.row-wave')].filter((one) => one.checkVisibility()
        && one.getBoundingClientRect().top < innerHeight).every((one) => one.classList.contains('drawn'))"""
    while not page.evaluate(visible):
        page.wait_for_timeout(50)


def hear(page: Any, row: int, seconds: float) -> None:
    """Play a row, and stop some seconds into the file."""
    page.locator(f"[data-row='{row}'] .cell-length").click()
    page.wait_for_selector(".wave > div")
    page.evaluate(
        "(at) => import('/page/js/player.js').then((player) => { player.stop(); player.seek(at); })", seconds
    )
    settled(page)


def the_page(page: Any, address: str) -> None:
    search(page, address, "q=someone+walks+on+gravel&not=horse+hooves*0.5")
    hear(page, 0, 1.1)


def moments(page: Any, address: str) -> None:
    search(page, address, "q=birds+singing")
    hear(page, 0, 1.4)
    box = page.locator(".wave").bounding_box()
    page.mouse.move(box["x"] + 0.42 * box["width"], box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 30, steps=8)
    page.mouse.up()
    page.keyboard.press("s")
    page.locator(".spectrogram-state").wait_for(state="attached")
    page.locator(".spectrogram-state").wait_for(state="detached")
    settled(page)


def the_map(page: Any, address: str) -> None:
    search(page, address, "q=an+animal+calls&view=map")
    page.locator(".map-state", has_text="glow").wait_for(timeout=600_000)
    hear(page, 0, 0.8)


def phone(page: Any, address: str) -> None:
    search(page, address, "q=thunder")
    page.locator("[data-row='0'] .play-button").tap()
    page.wait_for_selector(".wave > div")
    page.evaluate("import('/page/js/player.js').then((player) => { player.stop(); player.seek(2.4); })")
    settled(page)


DESKTOP = {"viewport": {"width": 1360, "height": 800}, "device_scale_factor": 1.5}
PICTURES: dict[str, tuple[Callable[[Any, str], None], dict[str, Any]]] = {
    "page": (the_page, {**DESKTOP, "color_scheme": "dark"}),
    "moments": (moments, {**DESKTOP, "color_scheme": "light"}),
    "map": (the_map, {**DESKTOP, "color_scheme": "dark"}),
    "phone": (
        phone,
        {
            "viewport": {"width": 375, "height": 760},
            "device_scale_factor": 2,
            "has_touch": True,
            "is_mobile": True,
            "color_scheme": "dark",
        },
    ),
}


if __name__ == "__main__":
    main()
