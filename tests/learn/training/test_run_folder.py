"""A trained model comes back from its run folder, wherever that is now; what is damaged or missing is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from toy_learning import make_toy_trunk, toy_recipe

from soundseek.errors import ModelError
from soundseek.learn.training.run_folder import load_run
from soundseek.learn.training.train import train

torch.set_num_threads(1)
pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def trained(place: Path) -> Path:
    """A run of one epoch, to be copied."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOUNDSEEK_CACHE", str(place / "cache"))
        return train(toy_recipe(place, "training.epochs=1"), place / "data", place / "trained")


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_a_run_folder_may_be_moved_and_needs_no_other_file(place: Path, tmp_path: Path) -> None:
    weights = make_toy_trunk(tmp_path / "away.safetensors", seed=5)
    run = train(toy_recipe(place, f"audio.weights={weights}"), place / "data", tmp_path / "run")
    before = load_run(run)[0].state_dict()
    weights.unlink()
    moved = run.rename(tmp_path / "moved")
    after = load_run(moved)[0].state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_a_run_folder_may_be_named_from_here(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train(toy_recipe(place, "training.epochs=1"), place / "data", Path("runs/first"))
    assert load_run(Path("runs/first"))[1].audio.weights == tmp_path / "runs/first/trunk.safetensors"


def test_weights_of_another_shape_are_named(run: Path) -> None:
    path = run / "recipe.yaml"
    path.write_text(path.read_text().replace("dim: 8", "dim: 9"))
    with pytest.raises(ModelError, match=r"audio_projector\.bias"):
        load_run(run)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.safetensors", r"model\.safetensors is damaged, or no safetensors file"),
        ("trunk.safetensors", r"trunk\.safetensors is damaged, or no safetensors file"),
        ("recipe.yaml", r"has a damaged recipe\.yaml"),
    ],
)
def test_a_damaged_run_is_not_loaded(run: Path, name: str, message: str) -> None:
    path = run / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ModelError, match=message):
        load_run(run)


def test_a_folder_without_a_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="soundseek train"):
        load_run(tmp_path)
