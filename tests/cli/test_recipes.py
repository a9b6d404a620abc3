from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soundseek.cli.extras import install_command

Say = Callable[..., tuple[int, str, str]]


def records(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_every_recipe_is_listed_with_its_purpose(say: Say) -> None:
    code, out, error = say("recipes")
    assert (code, error) == (0, "")
    told = {each["name"]: each for each in records(out)}
    folder = Path(__file__).parents[2] / "src" / "soundseek" / "learn" / "recipes"
    assert set(told) == {path.stem for path in folder.glob("*.yaml") if ".overlay" not in path.name}
    assert all(each["what"] for each in told.values()), (
        "a recipe's first line is a comment that says what it is"
    )
    assert told["self-attention"]["paper"]["mAP10"] == 24.3 and told["soundseek-small"]["paper"] is None


def test_the_table_has_the_papers_number_or_a_dash(say: Say) -> None:
    _, out, _ = say("recipes", "--table")
    rows = [line.split() for line in out.splitlines() if line.strip(" ─")]
    cells = {row[0]: row[1] for row in rows}
    assert cells["graph-attention"] == "23.9" and cells["frozen-mn04"] == "–"


def test_what_show_prints_can_be_trained_from(say: Say, tmp_path: Path) -> None:
    code, out, _ = say("recipes", "show", "self-attention", "--set", "training.epochs=7")
    assert code == 0
    (tmp_path / "mine.yaml").write_text(out)
    from soundseek.learn.recipe.load import load_recipe

    assert load_recipe(str(tmp_path / "mine.yaml")) == load_recipe("self-attention", ["training.epochs=7"])


def test_show_json_is_one_object_with_every_section(say: Say) -> None:
    _, out, _ = say("recipes", "show", "cnn14", "--json")
    (told,) = records(out)
    assert told["training"]["batch_size"] == 60 and told["loss"]["temperature"] == 0.07


def test_diff_names_each_value_that_differs_and_no_other(say: Say) -> None:
    _, out, _ = say("recipes", "diff", "cnn14", "self-attention-supervised")
    assert records(out) == [
        {"key": "name", "a": "cnn14", "b": "self-attention-supervised"},
        {"key": "audio.attention", "a": "none", "b": "self"},
        {"key": "loss.name", "a": "nt-xent", "b": "supervised-contrastive"},
    ]
    _, out, _ = say("recipes", "diff", "cnn14", "self-attention-supervised", "--table")
    assert [line.split() for line in out.splitlines() if line.strip(" ─")] == [
        ["key", "cnn14", "self-attention-supervised"],
        ["audio.attention", "none", "self"],
        ["loss.name", "nt-xent", "supervised-contrastive"],
    ]


def test_a_recipe_against_a_file_of_ones_own(say: Say, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "extends: cnn14\nname: mine\naudio: {attention_options: {slope: 0.1}}\n"
    )
    _, out, _ = say("recipes", "diff", "cnn14", str(tmp_path / "mine.yaml"))
    assert {"key": "audio.attention_options.slope", "a": None, "b": 0.1} in records(out)


def test_a_misspelt_recipe_names_the_nearest(say: Say) -> None:
    code, out, error = say("recipes", "show", "self-atention")
    assert (code, out) == (2, "") and "did you mean 'self-attention'?" in error


def test_without_the_learning_half_it_says_what_to_install(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "yaml" else find(name))
    code, _, error = say("recipes")
    assert code == 2 and f"yaml is not installed: {install_command('learn')}" in error


def test_reproduce_says_its_choices_in_help(say: Say) -> None:
    _, out, _ = say("reproduce", "--help")
    assert all(option in out for option in ("--data", "--recipes", "--seeds", "--out", "--set"))
