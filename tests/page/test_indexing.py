"""A folder is chosen, indexed under the reader's eyes, and found."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page_server import SAMPLES, Server, need_a_browser, until


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose library this file may change: two sounds, and a folder beside them that it does not know yet."""
    need_a_browser()
    root = tmp_path_factory.mktemp("root")
    (root / "known").mkdir()
    (root / "new").mkdir()
    shutil.copy(SAMPLES / "animals" / "dog-barking-1.ogg", root / "known")
    shutil.copy(SAMPLES / "animals" / "owl-hooting-1.ogg", root / "new" / "an owl, again.ogg")
    (root / "new" / "broken.wav").write_bytes(b"RIFF, but no sound")
    library = tmp_path_factory.mktemp("own") / "library"
    command = [sys.executable, "-m", "soundseek", "index", root / "known", "--library", library]
    subprocess.run(command, check=True, capture_output=True)
    running = Server(library, root)
    yield running
    running.stop()


def test_a_folder_is_indexed_from_the_page_and_its_sounds_are_found(open_page: Any, rows: Any) -> None:
    page = open_page("?all=1")
    assert rows(page) == ["dog-barking-1.ogg"]
    page.get_by_role("button", name="Index folders …").click()
    page.locator(".folder-list .nav-item").first.click()
    page.get_by_role("checkbox", name="new").check()
    page.get_by_role("button", name="Index 1 folder").click()
    page.locator(".job strong", has_text="Done").wait_for()
    assert (
        "1 new" in page.locator(".job").inner_text() and "1 not readable" in page.locator(".job").inner_text()
    )
    moved = {"added": 0, "changed": 0, "moved": 1200, "removed": 0, "unchanged": 3, "failed": 0}
    words = "(report) => import('/page/js/indexing.js').then(({ foundInWords }) => foundInWords(report))"
    assert page.evaluate(words, moved) == "1,200 moved, 3 unchanged"
    page.get_by_text("1 file could not be read").click()
    assert "broken.wav" in page.locator(".failures li").inner_text()
    page.get_by_label("Close", exact=True).click()
    page.get_by_role("button", name="1 file not readable").click()
    page.locator(".failures li").wait_for()  # asked for, so it is unfolded
    page.get_by_label("Close", exact=True).click()
    until(
        page,
        "[...document.querySelectorAll('.hit-name')].some((name) => name.textContent === 'an owl, again.ogg')",
    )
    until(page, "document.querySelector('.nav-count').textContent === '2'")


def test_folders_outside_the_allowed_ones_are_not_offered(open_page: Any, server: Server) -> None:
    page = open_page()
    page.get_by_role("button", name="Index folders …").click()
    page.locator(".folder-list .nav-item").first.wait_for()
    assert page.locator(".folder-list .nav-item").count() == 1
    page.locator(".folder-list .nav-item").first.click()
    until(page, "document.querySelectorAll('.folder-list .nav-item').length === 2")
    page.get_by_role("button", name="Up", exact=True).click()
    until(page, "document.querySelectorAll('.folder-list .nav-item').length === 1")
    answer = page.request.get(f"{server.address}/api/v1/folders", params={"path": str(Path("/etc"))})
    assert answer.status in (403, 404, 422)
