from __future__ import annotations

from pathlib import Path

import pytest

from soundseek.errors import RecipeError
from soundseek.learn.recipe import Recipe, load_recipe, recipe_names, save_recipe

PAPER = ("cnn14", "graph-attention", "self-attention", "self-attention-supervised")


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_can_be_read_and_says_its_own_name(name: str) -> None:
    assert load_recipe(name).name == name


def test_the_papers_numbers_are_those_of_section_three() -> None:
    base = load_recipe("base")
    assert (base.dim, base.training.batch_size, base.training.learning_rate) == (1024, 60, 1e-4)
    assert (base.loss.temperature, base.loss.temperature_mode, base.training.optimizer) == (
        0.07,
        "fixed",
        "adam",
    )
    assert base.text.pooling == "cls"


def test_the_papers_systems_differ_only_in_attention_and_loss() -> None:
    plain = [
        load_recipe(name, ["name=same", "audio.attention=none", "loss.name=nt-xent"]).model_dump()
        for name in PAPER
    ]
    assert all(each == plain[0] for each in plain)
    assert [load_recipe(name).audio.attention for name in PAPER] == ["none", "graph", "self", "self"]
    assert [load_recipe(name).loss.name for name in PAPER] == ["nt-xent"] * 3 + ["supervised-contrastive"]


def test_a_recipe_survives_a_round_trip_through_its_file(tmp_path: Path) -> None:
    recipe = load_recipe(
        "soundseek-small", ["audio.weights=a b.safetensors", "data.listener_captions.path=x.csv"]
    )
    save_recipe(recipe, tmp_path / "recipe.yaml")
    assert load_recipe(tmp_path / "recipe.yaml") == recipe


def test_settings_are_read_as_yaml_and_small_numbers_as_people_write_them() -> None:
    recipe = load_recipe(
        "base",
        ["training.learning_rate=1e-3", "audio.weights=null", "data.train_splits=[development, validation]"],
    )
    assert recipe.training.learning_rate == 0.001
    assert recipe.audio.weights is None
    assert recipe.data.train_splits == ("development", "validation")


def test_a_setting_leaves_its_neighbours_alone() -> None:
    assert load_recipe("base", ["loss.temperature=0.1"]).loss.name == "nt-xent"


def test_a_file_extends_a_recipe_or_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "first.yaml").write_text("extends: graph-attention\nname: first\ndim: 64\n")
    (tmp_path / "second.yml").write_text("extends: first.yaml\nname: second\n")
    recipe = load_recipe(tmp_path / "second.yml")
    assert (recipe.name, recipe.dim, recipe.audio.attention) == ("second", 64, "graph")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("trainning.epochs=3", "did you mean 'training'"),
        ("training.epoch=3", "did you mean 'epochs'"),
        ("data.listener_captions={path: x, shares: 1}", "did you mean 'share'"),
        ("training.epochs=0", "training.epochs = 0"),
        ("loss.name=triplet", "nt-xent"),
        ("training.epochs", "not key=value"),
        ("dim=[", "no YAML"),
    ],
)
def test_a_wrong_setting_says_what_would_be_right(setting: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("base", [setting])


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="no recipe 'self-atention'; did you mean 'self-attention'"):
        load_recipe("self-atention")


def test_a_missing_file_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no recipe file"):
        load_recipe(tmp_path / "mine.yaml")


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2\n", "extends: circle.yaml\n"])
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "circle.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError):
        load_recipe(path)


def test_a_recipe_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Recipe(name="x").dim = 3  # type: ignore[misc]
