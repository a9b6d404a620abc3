"""Runs that differ in their seed, averaged into one of the same size."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_learning import WORDS, make_toy_trunk, toy_recipe

from soundseek.errors import ModelError, RecipeError, UsageError
from soundseek.learn.evaluation.ensemble import Ensemble
from soundseek.learn.evaluation.evaluate import RunEmbedder
from soundseek.learn.experiments.average import average, averaged_heads
from soundseek.learn.export.export import export_run
from soundseek.learn.models.dual_encoder import DualEncoder
from soundseek.learn.training.run_folder import load_run, read_record
from soundseek.learn.training.train import train
from soundseek.model.model import Model

torch.set_num_threads(1)

AUDIO_WIDTH, TEXT_WIDTH = 9, 4


def encoders(number: int, dim: int) -> list[DualEncoder]:
    made = []
    for seed in range(number):
        torch.manual_seed(seed)
        made.append(DualEncoder(dim=dim, audio_width=AUDIO_WIDTH, text_width=TEXT_WIDTH))
    return made


def rows(models: list[DualEncoder], name: str, features: torch.Tensor) -> torch.Tensor:
    """What the members' heads give, side by side."""
    return torch.cat([getattr(model, name)(features) for model in models], dim=1)


def averaged(models: list[DualEncoder], name: str, features: torch.Tensor) -> torch.Tensor:
    weights, biases = averaged_heads(models)
    return features @ weights[name].T + biases[name]


@pytest.mark.parametrize("dim", [5, 8])
def test_every_product_and_the_length_of_every_text_are_those_of_the_members_side_by_side(dim: int) -> None:
    models, sounds, texts = encoders(3, dim), torch.randn(7, AUDIO_WIDTH), torch.randn(6, TEXT_WIDTH)
    audio, text = averaged(models, "audio", sounds), averaged(models, "text", texts)
    assert audio.shape == (7, dim) and text.shape == (6, dim)
    long_audio = rows(models, "audio_projector", sounds)
    long_text = rows(models, "text_projector", texts)
    torch.testing.assert_close(text @ audio.T, long_text @ long_audio.T)
    torch.testing.assert_close(text.norm(dim=1), long_text.norm(dim=1))
    assert (audio.norm(dim=1) < long_audio.norm(dim=1) + 1e-5).all()


def test_a_space_that_is_wide_enough_keeps_the_length_of_every_sound_too() -> None:
    models, sounds = encoders(3, TEXT_WIDTH + 1 + AUDIO_WIDTH + 1), torch.randn(7, AUDIO_WIDTH)
    long_audio = rows(models, "audio_projector", sounds)
    torch.testing.assert_close(averaged(models, "audio", sounds).norm(dim=1), long_audio.norm(dim=1))


def test_the_room_that_is_left_goes_to_what_weighs_most_in_a_sounds_length() -> None:
    models, sounds, errors = encoders(3, 16), torch.randn(200, AUDIO_WIDTH), []
    whole = rows(models, "audio_projector", sounds).norm(dim=1)
    for room in (0, 3, 6, 10):
        for model in models:
            model.text_projector.out_features = TEXT_WIDTH + 1 + room
        error = (averaged(models, "audio", sounds).norm(dim=1) - whole).abs().mean()
        errors.append(error.item())
    assert errors[0] > 1.5 * errors[1] > 3 * errors[2] and errors[3] < 1e-5


@pytest.fixture(scope="module")
def toy(place: Path) -> Path:
    """Three finished runs, their data and an average of them."""
    for seed in range(3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SOUNDSEEK_CACHE", str(place / "cache"))
            train(toy_recipe(place, "dim=32", f"seed={seed}"), place / "data", place / f"seed-{seed}")
    average([place / f"seed-{seed}" for seed in range(3)], place / "average")
    return place


def test_an_average_scores_as_its_members_do_on_the_mean_and_is_a_run_like_any_other(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOUNDSEEK_CACHE", str(toy / "cache"))
    sounds = sorted((toy / "data" / "validation").glob("*.wav"))
    words = ["a low hum plays", "high whistle", "tone and tone"]
    members = [RunEmbedder(*load_run(toy / f"seed-{seed}")) for seed in range(3)]
    together = Ensemble(members, [1 / 3] * 3)
    expected = together.embed_text(words) @ together.embed_audio(sounds).T
    run = RunEmbedder(*load_run(toy / "average"))
    found = run.embed_text(words) @ run.embed_audio(sounds).T
    # Not the same, as members' lengths differ: a mean weighted by them.
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99
    record = read_record(toy / "average")
    assert [each["seed"] for each in record["averaged"]] == [0, 1, 2]
    assert all(0 <= each["mAP10"] <= 1 for each in record["averaged"])
    assert "mAP10" not in record
    assert record["data"] == read_record(toy / "seed-0")["data"] and record["clips"] == 6
    own = {"recipe.yaml", "run.json", "model.safetensors", "trunk.safetensors"}
    assert {path.name for path in (toy / "average").iterdir()} == own

    export_run(toy / "average", toy / "model")
    model = Model(toy / "model")
    assert "| averaged | seed 0, best_epoch " in (toy / "model" / "README.md").read_text(encoding="utf-8")
    assert (toy / "model" / "words.txt").is_file()
    np.testing.assert_allclose(model.embed_text(words), run.embed_text(words), atol=1e-4)
    assert model.dim == 32


def test_what_cannot_be_averaged_is_refused(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = toy / "seed-0", toy / "seed-1"
    for runs, message in (([first], "two runs or more"), ([first, first], "average to itself")):
        with pytest.raises(UsageError, match=message):
            average(runs, toy / "new")
    with pytest.raises(UsageError, match="exists"):
        average([first, second], toy / "average")
    monkeypatch.setenv("SOUNDSEEK_CACHE", str(toy / "cache"))
    train(toy_recipe(toy, "dim=32", "seed=3", "training.epochs=1"), toy / "data", toy / "short")
    with pytest.raises(UsageError, match=r"another recipe .*training.epochs = 3 there, 1 here"):
        average([first, toy / "short"], toy / "new")
    for seed in (0, 1):
        recipe = toy_recipe(toy, "dim=32", f"seed={seed}", "audio.head=mlp", "training.epochs=1")
        train(recipe, toy / "data", toy / f"mlp-{seed}")
    with pytest.raises(RecipeError, match="only linear heads"):
        average([toy / "mlp-0", toy / "mlp-1"], toy / "new")
    with pytest.raises(RecipeError, match=r"17 dimensions at least.*has 16"):
        for seed in (0, 1):
            recipe = toy_recipe(toy, "dim=16", f"seed={seed}", "training.epochs=1")
            train(recipe, toy / "data", toy / f"narrow-{seed}")
        average([toy / "narrow-0", toy / "narrow-1"], toy / "new")
    assert not (toy / "new").exists()


def test_the_towers_have_to_be_the_same(toy: Path) -> None:
    other = toy / "other-trunk"
    shutil.copytree(toy / "seed-2", other)
    make_toy_trunk(other / "trunk.safetensors", seed=5)
    with pytest.raises(UsageError, match="other-trunk has another trunk"):
        average([toy / "seed-0", other], toy / "new")
    with pytest.raises(ModelError, match="holds no run"):
        average([toy / "seed-0", toy / "data"], toy / "new")


def test_runs_with_word_vectors_are_averaged_where_the_vectors_are_the_same(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOUNDSEEK_CACHE", str(toy / "cache"))
    for name, scale in (("words", 1), ("others", 2)):
        vectors = np.random.default_rng(0).standard_normal((len(WORDS), 6)) * scale
        lines = (
            f"{word} {' '.join(f'{x:.4f}' for x in row)}" for word, row in zip(WORDS, vectors, strict=True)
        )
        (toy / f"{name}.txt").write_text("\n".join(lines) + "\n")
    for seed, words in ((0, "words"), (1, "words"), (2, "others")):
        settings = (
            "text.tower=word2vec",
            f"text.weights={toy / words}.txt",
            "dim=8",
            f"seed={seed}",
            "training.epochs=1",
        )
        train(toy_recipe(toy, *settings), toy / "data", toy / f"words-{seed}")
    out = average([toy / "words-0", toy / "words-1"], toy / "words-average")
    assert RunEmbedder(*load_run(out)).embed_text(["a tone"]).shape == (1, 8)
    with pytest.raises(UsageError, match="words-2 has other word vectors"):
        average([toy / "words-0", toy / "words-2"], toy / "new")


def test_runs_with_one_seed_of_data_make_the_same_sounds(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDSEEK_CACHE", str(toy / "shared"))
    cached = []
    for seed, own in ((0, 0), (1, 0), (1, 1)):
        settings = (
            "dim=32",
            f"seed={seed}",
            "data.overlays=4",
            "data.degraded_versions=1",
            "training.epochs=1",
        )
        train(toy_recipe(toy, *settings, f"data.seed={own}"), toy / "data", toy / f"data-{seed}-{own}")
        cached.append(sum(path.stat().st_size for path in (toy / "shared" / "frames").rglob("*")))
    assert cached[0] == cached[1] < cached[2]
    model, _ = load_run(toy / "data-0-0")
    other, _ = load_run(toy / "data-1-0")
    assert not torch.equal(model.audio_projector.weight, other.audio_projector.weight)
