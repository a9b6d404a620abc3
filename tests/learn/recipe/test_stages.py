"""Recipes that take several runs: stages, and epochs that are found on validation and then retrained on both."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from toy_learning import make_toy_data, toy_online_recipe, toy_recipe

from soundseek.errors import DataError, ModelError, RecipeError
from soundseek.learn.models.dual_encoder import DualEncoder
from soundseek.learn.recipe.load import Recipe, load_recipe
from soundseek.learn.recipe.stages import plan_phases
from soundseek.learn.training import run_folder as runs
from soundseek.learn.training.resume import claim_run
from soundseek.learn.training.run_folder import load_run
from soundseek.learn.training.train import train

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toy data, and beside it, inside its directory, another data set with two of its sounds in other words."""
    directory = tmp_path_factory.mktemp("toy")
    make_toy_data(directory / "data")
    other = directory / "data" / "titles"
    (other / "development").mkdir(parents=True)
    with (other / "captions_development.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file_name", "caption_1"])
        for name in ("whistle", "low-hum"):
            shutil.copyfile(directory / f"data/development/{name}.wav", other / f"development/{name}.wav")
            rows.writerow([f"{name}.wav", f"{name.replace('-', ' ')} sounds"])
    return directory


@pytest.fixture(autouse=True)
def cache(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDSEEK_CACHE", str(place / "cache"))


def record(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "run.json").read_text())
    return found


def num_epochs(run: Path) -> int:
    return len((run / "metrics.jsonl").read_text().splitlines())


def staged(recipe: Recipe, **stages: Any) -> Recipe:
    return Recipe.model_validate({**recipe.model_dump(), "stages": stages})


def test_phases_come_in_order_and_the_last_is_the_run_itself(tmp_path: Path) -> None:
    recipe = load_recipe(
        "base", ["stages={broad: {epochs: 2, training: {retrain_on_validation: false}}, narrow: {}}"]
    )
    phases = plan_phases(recipe, tmp_path)
    assert [(phase.name, phase.folder) for phase in phases] == [
        ("broad", tmp_path / "stages/broad"),
        ("narrow selection", tmp_path / "selection"),
        ("narrow", tmp_path),
    ]
    assert [phase.start for phase in phases] == [None, tmp_path / "stages/broad", tmp_path / "stages/broad"]
    assert [phase.epochs_of for phase in phases] == [None, None, tmp_path / "selection"]
    assert phases[0].recipe.training.epochs == 2
    final = phases[2].recipe
    assert final.data.train_splits == ("development", "validation") and final.data.validation_split is None
    assert final.training.patience == 0


def test_epochs_are_found_on_validation_and_retrained_on_both(place: Path, tmp_path: Path) -> None:
    settings = (
        "training.epochs=6",
        "training.patience=2",
        "training.schedule=cosine",
        "training.learning_rate=0.1",
    )
    recipe = toy_recipe(place, *settings, "training.retrain_on_validation=true")
    run = train(recipe, place / "data", tmp_path / "run")
    found = record(run / "selection")
    assert num_epochs(run) == found["best_epoch"] + 1 == record(run)["best_epoch"] + 1
    assert num_epochs(run / "selection") > num_epochs(run) or found["best_epoch"] == 5
    assert (found["clips"], record(run)["clips"]) == (6, 12)
    assert record(run)["legs"]["selection"]["mAP10"] == found["mAP10"]
    assert "mAP10" not in (run / "metrics.jsonl").read_text()
    # The same rates for the same share of the way, though an epoch has more steps now.
    first, second = (
        [json.loads(line)["learning_rate"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (run / "selection", run)
    )
    assert second == pytest.approx(first[: len(second)])
    assert load_run(run)[1].training.retrain_on_validation


def test_the_last_epoch_is_kept_where_nothing_chooses(place: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(place, "data.validation_split=null", "data.train_splits=[development, validation]")
    run = train(recipe, place / "data", tmp_path / "run")
    assert record(run)["best_epoch"] == 2 and "mAP10" not in record(run)
    with pytest.raises(RecipeError, match=r"needs data\.validation_split"):
        toy_recipe(place, "data.validation_split=null", "training.retrain_on_validation=true")


def test_weights_carry_over_from_stage_to_stage(place: Path, tmp_path: Path) -> None:
    recipe = staged(
        toy_recipe(place),
        broad={"data_sets": ["titles", "."], "epochs": 2},
        narrow={"epochs": 1, "training": {"learning_rate": 1e-9}},
    )
    run = train(recipe, place / "data", tmp_path / "run")
    broad, narrow = (load_file(folder / "model.safetensors") for folder in (run / "stages/broad", run))
    assert all(torch.allclose(broad[name], narrow[name], atol=1e-6) for name in broad)
    assert [record(folder)["clips"] for folder in (run / "stages/broad", run)] == [8, 6]
    assert list(record(run)["legs"]) == ["broad", "narrow"]
    assert record(run)["stage"] == "narrow" and record(run / "stages/broad")["stage"] == "broad"
    assert num_epochs(run / "stages/broad") == 2 and num_epochs(run) == 1
    assert (run / "checkpoints").is_dir() and not (run / "stages/broad/checkpoints").exists()


def test_what_follows_a_finished_phase_is_made_up_for(place: Path, tmp_path: Path) -> None:
    recipe = staged(toy_recipe(place), broad={"epochs": 1}, narrow={"epochs": 1})
    run = train(recipe, place / "data", tmp_path / "run")
    before = record(run)
    (run / "run.json").write_text(json.dumps({name: before[name] for name in before if name != "legs"}))
    (run / "stages/broad/checkpoints").mkdir()
    train(recipe, place / "data", run, resume=True)
    assert record(run) == before and not (run / "stages/broad/checkpoints").exists()
    assert num_epochs(run) == 1 and (run / "checkpoints").is_dir()


@pytest.mark.parametrize(
    ("name", "tensor", "says"),
    [
        ("audio_projector.bias", torch.zeros(3), r"audio_projector\.bias \(3,\), here \(8,\)"),
        ("text_projector.weight", None, r"text_projector\.weight None, here \(8, 4\)"),
        ("surplus", torch.zeros(2), r"surplus \(2,\), here None"),
    ],
)
def test_heads_of_another_shape_are_not_carried_over(
    tmp_path: Path, name: str, tensor: torch.Tensor | None, says: str
) -> None:
    model = DualEncoder(dim=8, audio_width=5, text_width=4)
    saved = model.state_dict()
    saved.pop(name, None)
    save_file(saved if tensor is None else {**saved, name: tensor}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=says):
        runs.carry_over(model, tmp_path)


def test_what_a_stage_trains_anew_is_left_as_it_is(tmp_path: Path) -> None:
    before = DualEncoder(dim=8, audio_width=5, text_width=4, tail=torch.nn.Linear(2, 5))
    save_file(before.state_dict(), tmp_path / "model.safetensors")
    text = torch.nn.Linear(3, 4)
    after = DualEncoder(dim=8, audio_width=5, text_width=4, text=text)  # type: ignore[arg-type]
    own = text.weight.clone()
    runs.carry_over(after, tmp_path)
    assert torch.equal(after.audio_projector.weight, before.audio_projector.weight)
    assert torch.equal(text.weight, own)


def test_a_trunk_that_one_stage_trains_is_heard_by_the_next(place: Path, tmp_path: Path) -> None:
    live = toy_online_recipe(place, "text.trained_layers=0", "training.epochs=1")
    recipe = staged(live, tuned={}, frozen={"audio": {"trained_blocks": 0}})
    run = train(recipe, place / "data", tmp_path / "run")
    tuned = load_file(run / "stages/tuned/model.safetensors")
    assert torch.equal(
        tuned["tail.conv_block1.conv1.weight"],
        load_file(run / "start.safetensors")["conv_block1.conv1.weight"],
    )
    assert not any(name.startswith("tail.") for name in load_file(run / "model.safetensors"))
    (run / "trunk.safetensors").unlink()
    model, last = load_run(run.rename(tmp_path / "moved"))
    assert last.audio.trained_blocks == 0 and model.trunk is not None
    state = model.state_dict()
    assert torch.equal(state["trunk.conv_block1.conv1.weight"], tuned["tail.conv_block1.conv1.weight"])


def test_a_trunk_that_a_kill_cut_short_is_not_taken_over(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = toy_online_recipe(place, "text.trained_layers=0", "training.epochs=1")
    recipe = staged(live, tuned={}, frozen={"audio": {"trained_blocks": 0}})

    def killed(trunk: Any, path: Path) -> None:
        path.write_bytes(b"half a trunk")
        raise KeyboardInterrupt

    claimed = claim_run(tmp_path / "run", recipe, resume=False)
    first, second = plan_phases(claimed, tmp_path / "run")
    monkeypatch.setattr(runs, "_save_trunk", killed)
    monkeypatch.setattr(runs, "load_run", lambda run: (SimpleNamespace(trunk=1), first.recipe))
    with pytest.raises(KeyboardInterrupt):
        runs.begin_phase(second, tmp_path / "run")
    assert not (tmp_path / "run" / runs.START_FILE).exists()
    monkeypatch.setattr(runs, "_save_trunk", lambda trunk, path: path.write_bytes(b"whole"))
    runs.begin_phase(second, tmp_path / "run")
    assert (tmp_path / "run" / runs.START_FILE).read_bytes() == b"whole"


def test_a_text_tower_that_was_trained_cannot_be_frozen_again(place: Path, tmp_path: Path) -> None:
    recipe = staged(
        toy_recipe(place), tuned={"text": {"trained_layers": 1}}, frozen={"text": {"trained_layers": 0}}
    )
    with pytest.raises(RecipeError, match=r"stages\.frozen\.text\.trained_layers"):
        train(recipe, place / "data", tmp_path / "run")


def test_a_run_of_several_phases_goes_on_where_it_stopped(place: Path, tmp_path: Path) -> None:
    recipe = staged(
        toy_recipe(place, "training.retrain_on_validation=true", "training.epochs=2"),
        broad={"data_sets": ["titles"], "training": {"retrain_on_validation": False}},
        narrow={},
    )
    whole = train(recipe, place / "data", tmp_path / "whole")
    epochs = 0

    class Stop(Exception):
        pass

    def stop(_: dict[str, float]) -> None:
        nonlocal epochs
        epochs += 1
        if epochs in (1, 3):
            raise Stop

    for _ in range(2):
        with pytest.raises(Stop):
            train(
                recipe,
                place / "data",
                tmp_path / "stopped",
                resume=(tmp_path / "stopped").exists(),
                on_epoch=stop,
            )
    stopped = train(recipe, place / "data", tmp_path / "stopped", resume=True)
    assert (stopped / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert record(stopped)["legs"] == record(whole)["legs"]


def test_a_data_set_without_the_splits_to_learn_from_is_named(place: Path, tmp_path: Path) -> None:
    recipe = staged(
        toy_recipe(place), broad={"data_sets": ["titles"], "data": {"train_splits": ["train"]}}, narrow={}
    )
    with pytest.raises(DataError, match="titles has none of the splits to learn from: train"):
        train(recipe, place / "data", tmp_path / "run")
