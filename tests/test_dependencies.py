"""What an installation brings: every licence is one that we accept, and docs/dependencies.md names every package."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dependencies", ROOT / "scripts" / "dependencies.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def test_every_package_has_a_licence_that_we_accept(script: ModuleType) -> None:
    dependencies, _ = script.find_dependencies()

    names = {each.name for each in dependencies}
    assert {
        "numpy",
        "onnxruntime",
        "fastapi",
        "mcp",
        "torch",
        "pydantic-core",
    } <= names  # direct and indirect
    assert [(each.name, each.licence) for each in dependencies if not each.is_accepted] == []


def test_the_page_names_every_package(script: ModuleType) -> None:
    dependencies, _ = script.find_dependencies()

    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| ([\w.-]+) \|", page, re.MULTILINE)) - {"package"}
    assert {each.name for each in dependencies} - named == set(), "run python scripts/dependencies.py"


@pytest.mark.parametrize(
    ("licence", "accepted"),
    [
        ("MIT", True),
        ("GNU Lesser General Public License v2 or later (LGPLv2+)", True),
        ("GNU General Public License v3 (GPLv3)", False),
        ("AGPL-3.0-only", False),
        ("MIT AND GPL-2.0-only", False),
        ("", False),
    ],
)
def test_which_licences_are_accepted(script: ModuleType, licence: str, accepted: bool) -> None:
    assert script.Dependency("made-up", "1", licence, ("soundseek",)).is_accepted is accepted
