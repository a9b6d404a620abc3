"""What the documents say is run: README commands and Python, examples in docstrings, links to files."""

from __future__ import annotations

import doctest
import json
import os
import pkgutil
import re
import subprocess
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from tones import write_tone
from toy_model import make_toy_model

import soundseek
from soundseek.cli.main import group

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(soundseek.__path__, "soundseek.")
    if not module.name.endswith("__main__")
)


def snippets(language: str) -> list[str]:
    """The fenced code blocks of a language in the README."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def newcomer(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody with three sounds in ~/Sounds and ./sounds, and no library yet."""
    for folder in (tmp_path / "Sounds", tmp_path / "sounds"):
        folder.mkdir(exist_ok=True)  # one folder on file systems that do not tell the two apart
        for number, name in enumerate(("creek", "thunder", "dog")):
            write_tone(folder / f"{name}.wav", frequency_hz=220.0 * (number + 1))
    scripts = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "PATH": scripts + os.pathsep + os.environ["PATH"],
        "SOUNDSEEK_MODEL": str(make_toy_model(tmp_path / "toy")),
    }


def test_the_commands_of_the_readme_run_as_written(newcomer: dict[str, str]) -> None:
    commands = [
        line for block in snippets("sh") for line in block.splitlines() if line.startswith("soundseek ")
    ]
    assert len(commands) >= 4
    for command in commands:
        if command.startswith("soundseek serve"):
            continue  # it answers until it is stopped: the next test
        run = subprocess.run(
            command, shell=True, cwd=newcomer["HOME"], env=newcomer, capture_output=True, text=True
        )
        assert run.returncode == 0, f"{command}\n{run.stdout}{run.stderr}"
        assert run.stdout.strip() or ">" in command, command
    playlist = Path(newcomer["HOME"], "thunder.m3u").read_text(encoding="utf-8")
    assert playlist.startswith("#EXTM3U") and playlist.count("#EXTINF") == 3


def test_the_search_page_of_the_readme_opens(newcomer: dict[str, str]) -> None:
    (command,) = (
        line.split("#")[0].split()
        for block in snippets("sh")
        for line in block.splitlines()
        if line.startswith("soundseek serve")
    )
    # Any free port, since somebody may use the usual one; and no window.
    started = [*command, "--port", "0"]
    quiet = {**newcomer, "BROWSER": "true"}
    with subprocess.Popen(
        started, env=quiet, cwd=newcomer["HOME"], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        told = process.stderr.readline()
        process.terminate()
    assert "answers on http://127.0.0.1:" in told


def test_the_python_of_the_readme_runs_as_written(newcomer: dict[str, str]) -> None:
    for code in snippets("python"):
        run = subprocess.run(
            [sys.executable, "-c", code], cwd=newcomer["HOME"], env=newcomer, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        assert len(run.stdout.splitlines()) == 3, run.stdout


def test_make_knows_what_the_readme_tells_to_make() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"^make (\w+)", README, flags=re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


def test_make_page_says_what_it_does_in_words_also_where_no_terminal_is() -> None:
    """In a pipe `soundseek index` prints JSON, which is for programs."""
    lines = [line for line in (ROOT / "Makefile").read_text().splitlines() if "soundseek index" in line]
    assert lines and all(line.startswith("\t@$(BIN)/") and "--table" in line.split() for line in lines)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_and_option_in_a_document_exists(document: Path) -> None:
    commands = group().commands
    text = document.read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL))
    lines = re.findall(r"^soundseek (\w+)([^\n#]*)", blocks, flags=re.MULTILINE)
    lines += re.findall(r"`soundseek (\w+)([^`]*)`", text)
    for name, rest in lines:
        assert name in commands, f"{document.name}: no command {name!r}"
        command = commands[name]
        for word in rest.split():  # `data check`: a group's command is the next word
            command = getattr(command, "commands", {}).get(word, command)
        known = {option for each in command.params for option in each.opts}
        unknown = set(re.findall(r"(?<=\s)--?[a-z][\w-]*", rest)) - known
        assert not unknown, f"{document.name}: soundseek {name}{rest} has no {', '.join(unknown)}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_local_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    broken = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert not broken


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name: str) -> None:
    assert doctest.testmod(import_module(name), verbose=False).failed == 0


def test_there_are_examples_in_docstrings() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    names = ("soundseek.cli.output", "soundseek.audio.logmel", "soundseek.library.explain")
    assert all(any(test.examples for test in finder.find(import_module(name))) for name in names)


def script(name: str) -> ModuleType:
    """A script as a module."""
    spec = spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def numbers() -> ModuleType:
    """`scripts/readme_numbers.py` as a module."""
    return script("readme_numbers")


def test_the_numbers_of_the_readme_are_the_measured_ones(numbers: ModuleType) -> None:
    assert numbers.with_numbers(README, numbers.section(ROOT / "docs" / "results")) == README


def test_the_page_about_scale_has_the_measured_rates_and_what_follows_from_them() -> None:
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    report = json.loads((ROOT / "docs" / "results" / "speed.json").read_text(encoding="utf-8"))
    scale = script("scale_numbers")
    assert scale.with_rates(page, report) == page
    report["rows"] |= {
        "index, one worker: x real time per CPU second": 1000.0,
        "index, two workers over one (wall)": 2.0,
        "warm query, 100,000 x 512 segments: CPU ms": 8.0,
    }
    other = scale.with_rates(page, report)
    assert "`2.8 / 2.00 = 1.4` hours; a query takes 0.08 s" in other and "`hours / 1000`" in other
    assert scale.with_rates(other, report) == other
    with pytest.raises(ValueError, match="0 places like this one"):
        scale.with_rates(page.replace("vectors: `", "vectors `"), report)


def test_numbers_are_written_once_and_go_with_their_results(numbers: ModuleType, tmp_path: Path) -> None:
    interval = {"value": 0.5, "low": 0.25, "high": 0.75}
    report = {"split": "evaluation", "num_clips": 4, "num_captions": 20}
    report["text_to_audio"] = dict.fromkeys(("R1", "R5", "R10", "mAP10"), interval)
    (tmp_path / "soundseek-small.json").write_text(json.dumps(report))
    bare = numbers.with_numbers(README, "")
    written = numbers.with_numbers(bare, numbers.section(tmp_path))
    assert written.count("| mAP10 | 50.0 (25.0 to 75.0) |") == 1
    assert numbers.with_numbers(written, numbers.section(tmp_path)) == written
    (tmp_path / "soundseek-small.json").unlink()
    assert numbers.with_numbers(written, numbers.section(tmp_path)) == bare
