"""docs/reproduce.md: its sums are right, its commands exist, its numbers are those of the recipes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from soundseek.cli.main import group
from soundseek.learn.data.sources import CLOTHO
from soundseek.learn.evaluation.table_one import NUM_CAPTIONS, THE_PAPERS_OWN
from soundseek.learn.recipe import load_recipe

TEXT = (Path(__file__).parents[2] / "docs" / "reproduce.md").read_text(encoding="utf-8")
SUMS = re.findall(r"`([\d.e]+(?: [×/] [\d.e]+)+) = ([\d.]+)`", TEXT)
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


def test_the_settings_of_the_command_fit_every_recipe() -> None:
    on_clotho, on_two_cores = (each for each in COMMANDS if each.startswith("soundseek reproduce"))
    for name in THE_PAPERS_OWN:
        assert load_recipe(name, settings_of(on_clotho)).training.extraction_workers == 16
        assert load_recipe(name, settings_of(on_two_cores)).training.learning_rate == 5e-4


def settings_of(command: str) -> list[str]:
    words = shlex.split(command)
    return [words[place + 1] for place, word in enumerate(words) if word == "--set"]


def test_the_counts_in_the_sums_are_clothos_and_the_recipes() -> None:
    clips = {name: split.num_clips for name, split in CLOTHO.splits.items()}
    assert sum(clips.values()) == 5929 and clips["evaluation"] * 5 == NUM_CAPTIONS
    assert 5929 * 5 == 29645 and f"{clips['development']} × 5 / 60" in TEXT
    training = load_recipe("self-attention").training
    assert (training.batch_size, training.epochs) == (60, 50)
