"""Whole towers in the training loop, steps in chunks, several processes."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from quick_processes import exit_code, quick_context, train_and_die
from safetensors.torch import load_file
from toy_learning import toy_online_recipe, toy_recipe

from soundseek.errors import RecipeError
from soundseek.learn.recipe.load import load_recipe
from soundseek.learn.training.run_folder import load_run
from soundseek.learn.training.train import train

torch.set_num_threads(1)
pytestmark = pytest.mark.usefixtures("cache")

EPOCHS = ("training.epochs=3", "training.patience=0")
# Everything in the loop that draws numbers.
DRAWN = (
    *EPOCHS, "audio.spec_augment=true", "audio.crop_s=0.45", "audio.gain_db=6", "audio.mix_share=0.5",
    "audio.dropout=0.3",
    "text.augment={swap: 0.3, delete: 0.2}", "training.schedule=plateau", "training.plateau_patience=0",
)  # fmt: skip


def lines(run: Path) -> list[dict[str, Any]]:
    read = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in each.items() if name != "seconds"} for each in read]


def test_towers_that_are_trained_whole_learn_and_come_back_from_the_run(place: Path, tmp_path: Path) -> None:
    from soundseek.learn.evaluation.evaluate import RunEmbedder, evaluate

    recipe = toy_online_recipe(place, "training.epochs=12", "training.patience=0", "training.batch_size=6")
    run = train(recipe, place / "data", tmp_path / "run")
    assert lines(run)[-1]["loss"] < 0.8 * lines(run)[0]["loss"]
    saved, start = load_file(run / "model.safetensors"), load_file(run / "trunk.safetensors")
    assert not torch.equal(saved["tail.conv_block1.conv1.weight"], start["conv_block1.conv1.weight"])
    assert any(name.startswith("text.bert.embeddings.") for name in saved)
    model, recipe = load_run(run)
    report = evaluate(RunEmbedder(model, recipe), place / "data", "validation")
    record = json.loads((run / "run.json").read_text())
    assert report.text_to_audio.mAP10.value == pytest.approx(record["mAP10"])


def test_norms_learn_in_every_step_from_the_first_on(place: Path, tmp_path: Path) -> None:
    recipe = toy_online_recipe(place, *EPOCHS, "audio.trunk_options.norms=batch", "training.batch_size=6")
    saved = load_file(train(recipe, place / "data", tmp_path / "run") / "model.safetensors")
    best = json.loads((tmp_path / "run" / "run.json").read_text())["best_epoch"]
    before = load_file(tmp_path / "run" / "trunk.safetensors")["bn0.num_batches_tracked"]
    assert saved["tail.bn0.num_batches_tracked"] - before == 5 * (
        best + 1
    )  # 30 pairs: captions_per_epoch is 5


@pytest.mark.parametrize("chunk_size", ["null", "2"])
def test_a_live_run_that_was_killed_ends_with_the_same_bits(
    place: Path, tmp_path: Path, chunk_size: str
) -> None:
    recipe = toy_online_recipe(place, *DRAWN, f"training.chunk_size={chunk_size}")
    whole = train(recipe, place / "data", tmp_path / "whole")
    assert exit_code(train_and_die, recipe, place / "data", tmp_path / "stopped", 1) == -signal.SIGKILL
    stopped = train(recipe, place / "data", tmp_path / "stopped", resume=True)
    assert lines(stopped) == lines(whole) and len(lines(whole)) == 3
    assert (stopped / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_a_step_in_chunks_is_the_step_of_the_batch(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Chunks draw their dropout one after the other, the batch all at once; see test_chunked for the same draws.
    monkeypatch.setattr("torch.nn.functional.dropout", lambda x, *_, **__: x)
    runs = [
        train(
            toy_online_recipe(
                place, "training.epochs=1", "text.trained_layers=0", f"training.chunk_size={size}"
            ),
            place / "data",
            tmp_path / size,
        )
        for size in ("null", "3")
    ]
    one, other = (load_file(run / "model.safetensors") for run in runs)
    start = load_file(runs[0] / "trunk.safetensors")
    assert lines(runs[0])[0]["loss"] == pytest.approx(lines(runs[1])[0]["loss"], abs=1e-5)
    assert all(torch.allclose(one[name], other[name], atol=1e-4) for name in one)
    assert not torch.allclose(
        one["tail.conv_block1.conv1.weight"], start["conv_block1.conv1.weight"], atol=1e-3
    )


def test_chunks_and_batch_norms_that_learn_do_not_go_together(place: Path, tmp_path: Path) -> None:
    recipe = toy_online_recipe(place, "training.chunk_size=2", "audio.trunk_options.norms=batch")
    with pytest.raises(RecipeError, match="norms=frozen"):
        train(recipe, place / "data", tmp_path / "run")


@pytest.fixture
def quick_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other processes of a run start in a moment."""
    quick = SimpleNamespace(get_context=lambda method: quick_context())
    monkeypatch.setattr("soundseek.learn.parallel.multiprocessing", quick)


def test_two_processes_learn_what_one_learns(place: Path, tmp_path: Path, quick_others: None) -> None:
    settings = ("training.epochs=2", "audio.attention=graph", "loss.temperature_mode=learned")
    alone = train(toy_recipe(place, *settings), place / "data", tmp_path / "alone")
    recipe = toy_recipe(place, *settings, "training.devices=2", "training.chunk_size=1")
    together = train(recipe, place / "data", tmp_path / "together")
    one, two = (load_file(run / "model.safetensors") for run in (alone, together))
    assert all(torch.allclose(one[name], two[name], atol=1e-4) for name in one)
    for key in ("loss", "temperature", "mAP10"):
        assert [each[key] for each in lines(alone)] == pytest.approx(
            [each[key] for each in lines(together)], abs=1e-5
        )
    assert "LOCAL_RANK" not in os.environ


def test_two_processes_train_a_live_trunk(place: Path, tmp_path: Path, quick_others: None) -> None:
    recipe = toy_online_recipe(place, *DRAWN, "training.epochs=1", "training.devices=2", "training.workers=1")
    run = train(recipe, place / "data", tmp_path / "run")
    assert len(lines(run)) == 1
    load_run(run)


def test_mixed_precision_without_a_gpu_is_refused(place: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(RecipeError, match="bf16-mixed needs a GPU"):
        train(toy_recipe(place, "training.precision=bf16-mixed"), place / "data", tmp_path / "run")


def test_the_gradient_is_clipped(place: Path, tmp_path: Path) -> None:
    settings = ("training.epochs=1", "training.optimizer=adam", "training.batch_size=6")
    free = train(toy_recipe(place, *settings), place / "data", tmp_path / "free")
    held = train(
        toy_recipe(place, *settings, "training.gradient_clip=1e-12"), place / "data", tmp_path / "held"
    )
    assert not torch.allclose(
        *(load_file(run / "model.safetensors")["audio_projector.bias"] for run in (free, held))
    )


@pytest.mark.parametrize(
    "settings",
    [
        ["loss.name=triplet", "loss.margin=0.4", "loss.impostors=hardest"],
        ["loss.name=relaxed", "loss.caption_similarity=0.3"],
        ["loss.name=supervised-contrastive", "loss.caption_similarity=0.5"],
        ["audio.pooling=length-aware-max-mean", "audio.head=mlp", "text.head=mlp", "text.head_width=12"],
        ["audio.head=norm-linear", "audio.pooling=max-mean", "text.head=identity", "dim=16"],
        ["training.schedule=step", "training.step_epochs=2"],
    ],
)
def test_every_loss_head_and_schedule_learns_on_cached_features(
    place: Path, tmp_path: Path, settings: list[str]
) -> None:
    recipe = toy_recipe(place, "training.epochs=8", "training.patience=0", "training.batch_size=6", *settings)
    run = train(recipe, place / "data", tmp_path / "run")
    assert lines(run)[-1]["loss"] < lines(run)[0]["loss"]
    load_run(run)


def test_a_trunk_may_start_from_random_weights_and_the_run_keeps_them(place: Path, tmp_path: Path) -> None:
    options = "{widths: [4, 4, 4, 4, 4, 4], reduction: block5, front_end: {sample_rate_hz: 8000, n_fft: 256,"
    options += " win_length: 256, hop_length: 80, num_mels: 32, f_max_hz: 4000}}"
    settings = (
        "audio.weights=null",
        f"audio.trunk_options={options}",
        "training.epochs=1",
        "text.trained_layers=0",
    )
    run = train(toy_online_recipe(place, *settings), place / "data", tmp_path / "run")
    saved, start = load_file(run / "model.safetensors"), load_file(run / "trunk.safetensors")
    assert saved.keys() >= {f"tail.{name}" for name in start}
    load_run(run.rename(tmp_path / "moved"))
    with pytest.raises(RecipeError, match="needs its weights"):
        train(
            toy_recipe(place, "audio.trunk=cnn14", "audio.weights=null"), place / "data", tmp_path / "frozen"
        )


@pytest.mark.parametrize("name", ["cnn14", "graph-attention", "self-attention", "self-attention-supervised"])
def test_the_papers_recipes_learn_at_toy_size(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # Four channels learn by heart what two hundred do not notice to be missing; stripes and drops are tested above.
    monkeypatch.setattr("torch.nn.functional.dropout", lambda x, *_, **__: x)
    toy = toy_online_recipe(place)
    small = [
        "dim=8", f"audio.weights={toy.audio.weights}", "audio.trunk_options=null", f"text.tower={toy.text.tower}",
        "text.max_tokens=16", "training.workers=0", "training.epochs=8", "training.batch_size=6", "training.patience=0",
        "audio.spec_augment=false", "training.learning_rate=0.001", "audio.learning_rate=0.001",
        "text.learning_rate=0.001", "data.captions_per_epoch=2",
    ]  # fmt: skip
    run = train(load_recipe(name, small), place / "data", tmp_path / "run")
    before, *_, after = lines(run / "selection")
    assert after["loss"] < before["loss"] - 0.2
    model, recipe = load_run(run)
    assert recipe.name == name and model.has_moments


def test_what_validation_hears_is_decoded_once(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("decoded while validating")

    monkeypatch.setattr("soundseek.learn.data.decoded_cache.read_audio", refuse)
    assert len(lines(train(toy_online_recipe(place, *EPOCHS), place / "data", tmp_path / "run"))) == 3
