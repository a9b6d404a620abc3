"""docs/paper.md: what it quotes is in the code, and the code there says which equation it is."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from soundseek.learn.recipe.load import flat_values, load_recipe

TEXT = (Path(__file__).parents[2] / "docs" / "paper.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## Eq\. (\d): .*?\n(.*?)(?=^## )", TEXT, flags=re.DOTALL | re.MULTILINE))
QUOTES = [
    (int(number), name, line.strip())
    for number, section in SECTIONS.items()
    for name, code in re.findall(
        r"^`(soundseek\.[\w.]+)`\n\n```python\n(.*?)```", section, flags=re.DOTALL | re.MULTILINE
    )
    for line in code.splitlines()
]
HOMES = {
    "GraphAttention": "soundseek.learn.models.attention",
    "DualEncoder": "soundseek.learn.models.dual_encoder",
    "CNN14Config": "soundseek.learn.models.audio.cnn14",
    "SpecAugmentConfig": "soundseek.learn.models.audio.spec_augment",
    "match_matrix": "soundseek.learn.losses",
    "supervised_contrastive": "soundseek.learn.losses",
}
CHOICES = {"block5", "none"}  # values of CNN14Config.reduction
CLAIMS = re.findall(r"`([\w.]+) = ([^`]+)`", TEXT.split("## What the paper says")[1])


def the_object(name: str) -> Any:
    """What a dotted name stands for."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            fields = getattr(found, "model_fields", {})  # a pydantic field is no attribute of its class
            found = fields[part] if part in fields else getattr(found, part)
        return found
    raise AssertionError(f"docs/paper.md names {name}, which is not there")


def equations(source: str) -> set[int]:
    """The numbers that "eq. 6", "eqs. 3-4" and "eqs. 2 and 4" in a source speak of."""
    found: set[int] = set()
    for first, joint, last in re.findall(r"\b[Ee]qs?\. (\d)(?:(-| and )(\d))?", source):
        numbers = range(int(first), int(last or first) + 1) if joint != " and " else (int(first), int(last))
        found.update(numbers)
    return found


def test_every_equation_of_the_paper_is_there() -> None:
    assert set(SECTIONS) == {str(number) for number in range(1, 8)}
    assert {number for number, _, _ in QUOTES} == set(range(1, 8))


@pytest.mark.parametrize(("number", "name", "line"), QUOTES, ids=lambda value: str(value)[:60])
def test_the_line_beside_an_equation_is_in_the_code(number: int, name: str, line: str) -> None:
    found = the_object(name)
    source = " ".join(inspect.getsource(found).split())
    assert " ".join(line.split()) in source, f"{name} has no line {line!r} any more; docs/paper.md quotes it"


@pytest.mark.parametrize(("number", "name"), sorted({(number, name) for number, name, _ in QUOTES}))
def test_the_code_of_an_equation_says_its_number(number: int, name: str) -> None:
    found = the_object(name)
    assert number in equations(inspect.getsource(found)), f"{name} does not say that it is eq. {number}"


@pytest.mark.parametrize(("key", "value"), CLAIMS)
def test_the_values_told_are_those_of_the_recipes(key: str, value: str) -> None:
    found = flat_values(load_recipe("base"))[key]
    assert found == yaml.safe_load(value)


def test_every_name_in_the_tables_is_code_or_a_key_of_recipes() -> None:
    tables = TEXT.split("## What the paper says")[1]
    names = set(re.findall(r"`([A-Za-z][\w.]*)`", tables)) - CHOICES
    assert len(names) >= 10
    keys = flat_values(load_recipe("base"))
    for name in names - set(keys):
        home = HOMES.get(name.partition(".")[0], "")
        the_object(f"{home}.{name}" if home else name)


def test_equation_numbers_are_read_in_every_form() -> None:
    assert equations("# eq. 6, eqs. 3-4; (eqs. 1 and 5) Eq. 7") == {1, 3, 4, 5, 6, 7}
