"""The examples of docs/api.md, run as they stand against a server of this machine."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
from running_server import running

from soundseek.server.app import create_api
from soundseek.server.config import ServerConfig, served_libraries

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8765"


def examples(language: str, holding: str = "") -> list[str]:
    return [code for code in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if holding in code]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, sounds: Path) -> Path:
    """Where the examples run: with the sound that they send."""
    folder = tmp_path_factory.mktemp("examples").resolve()
    shutil.copy(sounds / "tone2.wav", folder / "creek.wav")
    return folder


@pytest.fixture(scope="module")
def address(filled: Path, folder: Path) -> Iterator[str]:
    library = Path(shutil.copytree(filled, folder / "library"))
    birds = Path(shutil.copytree(filled, folder / "Birds"))
    served = served_libraries([library, birds])
    config = ServerConfig(library=library, roots=(folder,), served=served)
    with running(config) as address:
        yield address


def run(command: list[str], code: str, address: str, folder: Path) -> str:
    assert ADDRESS in code
    script = folder / f"example{'.mjs' if command[0].endswith('node') else ''}"
    script.write_text(code.replace(ADDRESS, address), encoding="utf-8")
    environment = {**os.environ, "no_proxy": "127.0.0.1"}
    done = subprocess.run(
        [*command, str(script)], cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed: its examples were not run")
def test_the_curl_examples_run(address: str, folder: Path) -> None:
    search, upload, audio, words, duplicates, taught, several, export = examples("sh", "curl")
    assert run(["sh"], search, address, folder).count('"path"') == 3
    assert '"name":"tone2.wav"' in run(["sh"], upload, address, folder)
    assert run(["sh"], audio, address, folder).count(",") > 16
    assert (folder / "head.wav").stat().st_size == 1024
    assert (folder / "preview.wav").read_bytes()[:4] == b"RIFF"
    told = run(["sh"], words, address, folder)
    assert told.count('"cat_id":null') == 3 and len(told[told.index("path,start_s") :].splitlines()) == 7
    found = run(["sh"], duplicates, address, folder)
    assert '"state":"ready"' in found and found.count("event: duplicates") and '"groups":[' in found
    marked = run(["sh"], taught, address, folder)
    assert '"right":1,"wrong":1' in marked and marked.count('"moment_s"') == 3
    both = run(["sh"], several, address, folder)
    assert '"address":"/libraries/birds/"' in both and both.count('"moment_s"') == 3
    exported = run(["sh"], export, address, folder)
    assert "rank,score,path" in exported and "R1,thunder 0.60,0:00.500,0:01.500" in exported
    with zipfile.ZipFile(folder / "cut.zip") as archive, archive.open(archive.namelist()[0]) as cut:
        assert soundfile.info(io.BytesIO(cut.read())).duration == pytest.approx(1.4, abs=0.01)


def test_the_python_examples_run(address: str, folder: Path) -> None:
    search, index, more = examples("python")
    assert run([sys.executable], search, address, folder).count("listen at") == 5
    with zipfile.ZipFile(folder / "thunder.zip") as archive:
        assert sum(name.endswith(".wav") for name in archive.namelist()) == 5
    assert run([sys.executable], index, address, folder).startswith("done {")
    found = run([sys.executable], more, address, folder).splitlines()
    # The folder of the examples has a copy of a tone, and cuts that the first example made are packed.
    assert found[0].startswith("ready ") and any("creek.wav" in line for line in found)
    assert found[-2].count("'right': 2, 'wrong': 1") == 1 and found[-1].startswith("[")


@pytest.mark.skipif(
    not shutil.which("node"), reason="node is not installed: the JavaScript examples were not run"
)
def test_the_javascript_examples_run(address: str, folder: Path) -> None:
    (code,) = examples("javascript")
    *hits, count, label = run([str(shutil.which("node"))], code, address, folder).splitlines()
    assert len(hits) == 3 and count == "5" and label in ("rain", "a fire", "applause")


def test_every_route_is_in_the_table_and_no_other() -> None:
    described = create_api(ServerConfig(library=Path("nowhere"))).openapi()
    routes = {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, of in described["paths"].items()
        for method in of
    }
    table = PAGE[PAGE.index("## Routes") : PAGE.index("## For AI assistants")]
    listed = {match.split("?")[0] for match in re.findall(r"`((?:GET|POST|PATCH|DELETE) [^`]+)`", table)}
    assert listed == routes


def test_every_kind_of_problem_has_its_status_on_the_page() -> None:
    from soundseek.server.problems import KINDS

    errors = PAGE[PAGE.index("## Errors") :]
    assert all(str(status) in errors for status, _ in KINDS.values())
