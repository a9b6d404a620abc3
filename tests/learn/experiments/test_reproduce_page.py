"""docs/reproduce.md: its sums are right, its commands exist, its numbers are those of the recipes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from soundseek.cli.main import group
from soundseek.learn.datasets.sources import CLOTHO
from soundseek.learn.experiments.plan import plan
from soundseek.learn.recipe.load import Recipe, load_recipe
from soundseek.learn.report.paper_numbers import NUM_CAPTIONS, TABLE_ONE

TEXT = (Path(__file__).parents[3] / "docs" / "reproduce.md").read_text(encoding="utf-8")
SUMS = re.findall(r"`([\d.e]+(?: [×/] [\d.e]+)+) = ([\d.]+)`", TEXT)
THE_PAPERS_OWN = list(TABLE_ONE)[
    -4:
]  # the systems that the paper trained itself; the others are quoted there
COMMANDS = [line for line in TEXT.splitlines() if line.startswith("soundseek ")]


def computed(sum_: str) -> float:
    """`6 × 8 / 60`, from left to right."""
    first, *rest = sum_.split()
    value = float(first)
    for sign, number in zip(rest[::2], rest[1::2], strict=True):
        value = value * float(number) if sign == "×" else value / float(number)
    return value


@pytest.mark.parametrize(("sum_", "told"), SUMS)
def test_every_sum_is_right_to_the_digits_told(sum_: str, told: str) -> None:
    digits = len(told.partition(".")[2])
    assert round(computed(sum_), digits) == pytest.approx(float(told))


def test_no_sum_escapes_the_check() -> None:
    assert len(SUMS) == len(re.findall(r"`[^`]* = [\d.]+`", TEXT)) >= 12


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_its_options_exist(command: str) -> None:
    _, name, *rest = shlex.split(command)
    found = group().commands[name]
    if rest and not rest[0].startswith("-") and hasattr(found, "commands"):
        found = found.commands[rest[0]]
    known = {option for each in found.params for option in getattr(each, "opts", [])}
    assert {each for each in rest if each.startswith("--")} <= known


def test_the_settings_of_the_commands_fit_every_recipe() -> None:
    on_clotho, on_two_cores = (planned(each) for each in COMMANDS if each.startswith("soundseek reproduce"))
    assert [recipe.name for recipe in on_clotho] == THE_PAPERS_OWN
    assert all(recipe.audio.is_online and recipe.text.is_online for recipe in on_clotho)
    assert {recipe.training.precision for recipe in on_clotho} == {"bf16-mixed"}
    assert {recipe.name for recipe in on_two_cores} == {*TABLE_ONE, "soundseek-large"}
    assert all(recipe.training.precision == "32" and not recipe.stages for recipe in on_two_cores)
    weights = {recipe.name: str(recipe.audio.weights) for recipe in on_two_cores}
    own = weights.pop("dcase2022-baseline")  # a trunk that is drawn at random
    assert (own, set(weights.values())) == ("None", {"mn04_as_mAP_432.pt"})


def planned(command: str) -> list[Recipe]:
    """The recipes of a `soundseek reproduce` command, as it would train them."""
    words = shlex.split(command)
    settings = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
    names = [words[place + 1] for place, word in enumerate(words) if word == "--recipes"]
    recipes = ",".join(names).split(",") if names else THE_PAPERS_OWN
    return [recipe for recipe, _ in plan(recipes, Path("report"), num_seeds=1, settings=settings)]


def test_the_counts_in_the_sums_are_clothos_and_the_recipes() -> None:
    clips = {name: split.num_clips for name, split in CLOTHO.splits.items()}
    assert clips["evaluation"] * 5 == NUM_CAPTIONS
    both = clips["development"] + clips["validation"]
    assert f"{clips['development']} × 5 / 60" in TEXT and f"{both} × 5 / 60" in TEXT
    training = load_recipe("self-attention").training
    assert (training.batch_size, training.epochs) == (60, 50)
