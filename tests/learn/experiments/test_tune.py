"""Studies: search spaces, toy studies that are stopped and go on, and the command."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from quick_processes import exit_code, tune_and_die
from toy_learning import make_toy_data, toy_recipe

from soundseek._files import locked
from soundseek.errors import (
    DataError,
    DivergedError,
    ModelError,
    RecipeError,
    SoundseekError,
    StorageError,
    UsageError,
)
from soundseek.learn.experiments.plan import Observer
from soundseek.learn.experiments.tune import SearchSpace, TuningResult, find_space, load_space, tune
from soundseek.learn.recipe.load import RECIPES_DIRECTORY, load_recipe, save_recipe

torch.set_num_threads(1)
pytestmark = pytest.mark.usefixtures("cache")
pytest.importorskip("optuna", reason="optuna is missing")

SPACE = {
    "tune": {
        "training.learning_rate": {"low": "1e-4", "high": 0.1, "log": True},
        "training.batch_size": {"low": 3, "high": 6},
        "training.optimizer": {"choices": ["adam", "adamw"]},
    }
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, a recipe of two epochs, and its search space."""
    directory = tmp_path_factory.mktemp("tune")
    make_toy_data(directory / "data")
    save_recipe(toy_recipe(directory, "training.epochs=2"), directory / "toy.yaml")
    (directory / "tune").mkdir()
    (directory / "tune" / "toy.yaml").write_text(json.dumps(SPACE))  # JSON is YAML
    return directory


@pytest.fixture(scope="module")
def done(place: Path) -> TuningResult:
    """Three trials."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOUNDSEEK_CACHE", str(place / "cache"))
        return study(place, place / "study", 3)


def study(place: Path, out: Path, num_trials: int, **options: Any) -> TuningResult:
    space = load_space(place / "tune" / "toy.yaml")
    return tune(str(place / "toy.yaml"), space, place / "data", out, num_trials=num_trials, **options)


def trial_values(out: Path) -> list[tuple[float, int, str]]:
    recipes = [load_recipe(folder / "recipe.yaml") for folder in sorted((out / "trials").iterdir())]
    return [
        (each.training.learning_rate, each.training.batch_size, each.training.optimizer) for each in recipes
    ]


def test_every_trial_is_a_run_with_values_of_the_space(done: TuningResult) -> None:
    values = trial_values(done.folder)
    assert len(values) == done.num_trials == 3 and len(set(values)) == 3
    for rate, size, optimizer in values:
        assert 1e-4 <= rate <= 0.1 and 3 <= size <= 6 and optimizer in ("adam", "adamw")
        assert float(f"{rate:.4g}") == rate


def test_the_best_trial_is_the_one_with_the_highest_validation_score(done: TuningResult) -> None:
    records = [
        json.loads((folder / "run.json").read_text())["mAP10"]
        for folder in sorted((done.folder / "trials").iterdir())
    ]
    assert done.mAP10 == max(records) == records[done.best_trial]


def test_the_best_values_can_be_given_to_train(done: TuningResult, place: Path) -> None:
    said = shlex.split((done.folder / "best.txt").read_text())
    assert said[::2] == ["--set"] * 3 and tuple(said[1::2]) == done.settings
    again = load_recipe(str(place / "toy.yaml"), done.settings)
    best = load_recipe(done.folder / "trials" / f"{done.best_trial:03d}" / "recipe.yaml")
    assert again.training == best.training


def test_the_picture_is_a_png(done: TuningResult) -> None:
    assert (done.folder / "study.png").read_bytes().startswith(b"\x89PNG")


def test_more_trials_go_on_where_the_study_was(done: TuningResult, place: Path, tmp_path: Path) -> None:
    study(place, tmp_path / "study", 1)
    epochs: list[float] = []
    result = study(
        place, tmp_path / "study", 3, observer=Observer(epoch=lambda each: epochs.append(each["epoch"]))
    )
    assert epochs == [0, 1, 0, 1]
    assert trial_values(tmp_path / "study") == trial_values(done.folder)
    assert (result.best_trial, result.mAP10) == (done.best_trial, done.mAP10)


def test_killed_in_a_trial_it_goes_on_to_the_same_end(
    done: TuningResult, place: Path, tmp_path: Path
) -> None:
    arguments = str(place / "toy.yaml"), place / "tune" / "toy.yaml", place / "data", tmp_path / "study"
    assert exit_code(tune_and_die, *arguments) == -signal.SIGKILL
    result = study(place, tmp_path / "study", 3)
    assert result.num_trials == 3
    assert trial_values(tmp_path / "study") == trial_values(done.folder)
    assert (result.best_trial, result.mAP10) == (done.best_trial, done.mAP10)


def test_what_is_done_is_not_done_again(done: TuningResult, place: Path) -> None:
    lines: list[str] = []
    assert study(place, done.folder, 3, observer=Observer(say=lines.append)) == done
    assert not lines


def test_a_study_of_something_else_is_not_continued(done: TuningResult, place: Path) -> None:
    with pytest.raises(UsageError, match="choose another --out"):
        study(place, done.folder, 4, settings=["training.epochs=1"])


def test_a_trial_that_fails_is_told_and_the_next_one_runs(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from soundseek.learn.experiments import tune as module

    real, called = module.train, []

    def sometimes(*arguments: Any, **options: Any) -> Path:
        called.append(1)
        if len(called) == 1:
            raise SoundseekError("the loss is not finite")
        return real(*arguments, **options)

    monkeypatch.setattr(module, "train", sometimes)
    lines: list[str] = []
    result = study(place, tmp_path / "study", 2, observer=Observer(say=lines.append))
    assert result.num_trials == 1 and result.best_trial == 1
    assert any("trial 1 failed: the loss is not finite" in line for line in lines)
    monkeypatch.setattr(module, "train", lambda *_, **__: (_ for _ in ()).throw(SoundseekError("no sound")))
    with pytest.raises(SoundseekError, match="was finished: no sound"):
        study(place, tmp_path / "other", 2)


def test_what_was_mended_is_tried_again_and_what_diverged_is_not(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from soundseek.learn.experiments import tune as module

    real, errors = module.train, [ModelError("no weights"), DivergedError("the loss is nan")]

    def broken(*arguments: Any, **options: Any) -> Path:
        if errors:
            raise errors.pop(0)
        return real(*arguments, **options)

    monkeypatch.setattr(module, "train", broken)
    first: list[str] = []
    assert study(place, tmp_path / "study", 3, observer=Observer(say=first.append)).num_trials == 1
    lines: list[str] = []
    result = study(place, tmp_path / "study", 3, observer=Observer(say=lines.append))
    assert result.num_trials == 2
    (again,) = lines
    assert again.partition(": ")[2] == first[0].partition(": ")[2]  # the values of the trial that failed
    assert study(place, tmp_path / "study", 3, observer=Observer(say=lines.append)) == result
    assert len(lines) == 1


def test_data_that_cannot_be_used_stop_a_study_before_it_begins(place: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(place / "data", tmp_path / "data"))
    table = (data / "captions_validation.csv").rename(data / "away.csv")
    space = load_space(place / "tune" / "toy.yaml")
    with pytest.raises(DataError, match=r"no captions_validation\.csv"):
        tune(str(place / "toy.yaml"), space, data, tmp_path / "study", num_trials=1)
    assert not (tmp_path / "study").exists()
    table.rename(data / "captions_validation.csv")
    assert tune(str(place / "toy.yaml"), space, data, tmp_path / "study", num_trials=1).num_trials == 1


def test_a_full_disk_stops_a_study_which_begins_with_the_same_trial_the_next_time(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from soundseek.learn.experiments import tune as module

    def full(*arguments: Any, **options: Any) -> Path:
        raise StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(module, "train", full)
        with pytest.raises(StorageError, match="full"):
            study(place, tmp_path / "study", 1)
    assert study(place, tmp_path / "study", 1).best_trial == 0


def test_one_process_at_a_time_writes_to_a_study(place: Path, tmp_path: Path) -> None:
    with (
        locked(tmp_path / "study", "study"),
        pytest.raises(
            UsageError, match=rf"the study .* is being written by this process \({os.getpid()}\); wait"
        ),
    ):
        study(place, tmp_path / "study", 1)


def test_a_recipe_that_retrains_on_validation_is_tuned_before_it_does(place: Path, tmp_path: Path) -> None:
    result = study(place, tmp_path / "study", 1, settings=["training.retrain_on_validation=true"])
    folder = tmp_path / "study" / "trials" / "000"
    assert result.mAP10 == json.loads((folder / "run.json").read_text())["mAP10"]
    assert not (folder / "selection").exists()


def test_without_optuna_it_says_what_to_install(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from soundseek.learn.experiments import tune as module

    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install"):
        study(place, tmp_path / "study", 1)


@pytest.mark.parametrize(
    ("tuned", "says"),
    [
        ({"training.learning_rate": {"low": 0.1}}, "either low and high, or choices"),
        ({"training.learning_rate": {"low": 0.1, "high": 0.01}}, "low 0.1 must lie below high 0.01"),
        ({"training.learning_rate": {"low": 0.0, "high": 0.01, "log": True}}, "log needs low above 0"),
        ({"training.optimizer": {"choices": ["adam"]}}, "two or more"),
        ({"training.optimizer": {"choice": ["adam"]}}, "choice"),
        ({}, "tune has no key"),
    ],
)
def test_a_search_space_that_makes_no_sense_is_refused(
    tmp_path: Path, tuned: dict[str, Any], says: str
) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(json.dumps({"tune": tuned}))
    with pytest.raises(RecipeError, match=says):
        load_space(path)


@pytest.mark.parametrize(
    ("tuned", "says"),
    [
        ({"training.learning_rat": {"low": 0.1, "high": 0.2}}, "learning_rate"),
        ({"training.batch_size": {"low": 1, "high": 8}}, r"tune\.training\.batch_size = 1 cannot be tried"),
    ],
)
def test_values_that_the_recipe_cannot_have_stop_before_anything_runs(
    place: Path, tmp_path: Path, tuned: dict[str, Any], says: str
) -> None:
    space = SearchSpace.model_validate({"tune": tuned})
    with pytest.raises(RecipeError, match=says):
        tune(str(place / "toy.yaml"), space, place / "data", tmp_path / "study", num_trials=1)
    assert not (tmp_path / "study").exists()


def test_a_recipes_space_lies_beside_it(place: Path, tmp_path: Path) -> None:
    assert find_space(str(place / "toy.yaml")) == place / "tune" / "toy.yaml"
    assert find_space("smbo+frozen") == RECIPES_DIRECTORY / "tune" / "smbo.yaml"
    with pytest.raises(RecipeError, match="--space FILE"):
        find_space("cnn14")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_space(tmp_path / "nothing.yaml")


@pytest.mark.parametrize(
    "path", sorted((RECIPES_DIRECTORY / "tune").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_space_that_comes_with_soundseek_fits_its_recipe(path: Path) -> None:
    space = load_space(path)
    assert len(space.tune) > 1
    live = ["audio.trained_blocks=all", "text.trained_layers=1"]  # what most augmentations need
    base = path.stem if (RECIPES_DIRECTORY / path.name).is_file() else "base"
    for key, parameter in space.tune.items():
        for value in parameter.ends:
            load_recipe(base, [*(live if base == "base" else ()), f"{key}={json.dumps(value)}"])


def test_the_command_prints_the_best_values(
    place: Path, done: TuningResult, capsys: pytest.CaptureFixture[str]
) -> None:
    from soundseek.cli.main import group

    def say(*more: str) -> tuple[int, str, str]:
        arguments = ["tune", str(place / "toy.yaml"), "--data", str(place / "data")]
        with pytest.raises(SystemExit) as ended:
            group()([*arguments, "--out", str(done.folder), *more], prog_name="soundseek")
        return int(ended.value.code or 0), *capsys.readouterr()

    code, out, error = say("--trials", "3")
    assert code == 0, error
    assert shlex.split(out)[1::2] == list(done.settings) and "best of 3" in error
    code, out, _ = say("--trials", "3", "--json")
    assert json.loads(out) == {
        "trials": 3, "best_trial": done.best_trial, "mAP10": done.mAP10, "set": list(done.settings)
    }  # fmt: skip
    code, _, error = say("--trials", "3", "--set", "training.epochs=1")
    assert code == 2 and "choose another --out" in error
