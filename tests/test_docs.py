"""The documentation builds strictly and without network, with every command and every public name in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import soundseek
from soundseek.cli.main import PANELS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    nowhere = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    environment = {**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert built.returncode == 0 and "WARNING" not in built.stderr, built.stderr
    return out


def test_every_command_is_in_the_reference(site: Path) -> None:
    page = (site / "reference" / "commands.html").read_text()
    for name in (name for names in PANELS.values() for name in names):
        assert f">soundseek {name}<" in page, name
    assert "--where EXPR" in page and "data check" in page


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    page = (site / "reference" / "python.html").read_text()
    for name in set(soundseek.__all__) - {"__version__"}:
        assert f'id="soundseek.{name}"' in page, name


def test_equations_are_drawn_without_a_script(site: Path) -> None:
    page = (site / "paper.html").read_text()
    assert page.count('display="block"') >= 7 and "$" not in re.sub(
        r"<(code|pre|script).*?</\1>", "", page, flags=re.DOTALL
    )


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    loads = re.compile(r"<(?:script|img|link[^>]*stylesheet)[^>]*(?:src|href)=\"?(https?://[^\" >]+)")
    for page in site.rglob("*.html"):
        assert not loads.findall(page.read_text()), page
