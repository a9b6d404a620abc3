"""What is missing is named in the right number, with the pip command that fits how soundseek came here."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import soundseek
from soundseek import _install
from soundseek.cli.extras import install_command, need
from soundseek.errors import UsageError


class Distribution:
    """An installed package, and what pip noted of where it came from."""

    def __init__(self, origin: dict[str, Any] | None) -> None:
        self.origin = origin

    def read_text(self, name: str) -> str | None:
        return json.dumps(self.origin) if name == "direct_url.json" and self.origin else None


@pytest.fixture
def installed_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """soundseek in site-packages instead of in a clone, from a given origin."""

    def install(origin: dict[str, Any] | None) -> None:
        monkeypatch.setattr(
            soundseek, "__file__", str(tmp_path / "lib" / "site" / "soundseek" / "__init__.py")
        )
        monkeypatch.setattr(_install, "distribution", lambda name: Distribution(origin))

    return install


@pytest.mark.parametrize(
    ("modules", "told"),
    [
        (["nonesuch_a"], "it counts, and nonesuch_a is not installed: pip install "),
        (["os", "nonesuch_a", "nonesuch_b"], "nonesuch_a and nonesuch_b are not installed: pip install "),
        (["nonesuch_a", "nonesuch_b", "nonesuch_c"], "nonesuch_a, nonesuch_b and nonesuch_c are not"),
    ],
)
def test_one_is_missing_and_several_are(modules: list[str], told: str) -> None:
    with pytest.raises(UsageError) as raised:
        need(modules, extra="learn", why="it counts")
    assert told in str(raised.value)


def test_nothing_is_said_where_all_is_here() -> None:
    need(["os", "json"], extra="learn", why="it counts")


def test_a_wheel_is_told_its_name_alone(installed_from: Any, tmp_path: Path) -> None:
    wheel = {"url": f"file://{tmp_path}/soundseek-0.1.0-py3-none-any.whl", "archive_info": {}}
    for origin in (None, wheel):
        installed_from(origin)
        assert install_command("learn") == 'pip install "soundseek[learn]"'


def test_who_installed_from_a_clone_is_told_the_clone_and_its_constraints(
    installed_from: Any, tmp_path: Path
) -> None:
    clone = tmp_path / "my clone"
    installed_from({"url": clone.as_uri(), "dir_info": {}})
    assert install_command("learn") == 'pip install "soundseek[learn]"'  # it is no longer there
    clone.mkdir()
    (clone / "constraints.txt").touch()
    assert install_command("learn") == f"pip install -c '{clone}/constraints.txt' '{clone}[learn]'"


def test_who_works_in_a_clone_keeps_working_in_it() -> None:
    clone = Path(__file__).parents[2]
    told = install_command("learn")
    assert told.startswith(f"pip install -c {clone}{os.sep}constraints.txt -e ") and f"{clone}[learn]" in told
