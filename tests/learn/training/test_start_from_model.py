"""Going on from a model directory: the same vectors before the first epoch, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from toy_learning import make_toy_data, toy_recipe
from toy_words import make_toy_vectors

from soundseek.audio.logmel import LogMel
from soundseek.errors import ModelError, RecipeError, UsageError
from soundseek.learn.export.export import export_run
from soundseek.learn.models.audio.compact import SOUNDSEEK_SMALL
from soundseek.learn.recipe.load import load_recipe
from soundseek.learn.training.run_folder import load_run
from soundseek.learn.training.start_from_model import unpack_model, unpacked
from soundseek.learn.training.train import train
from soundseek.model.config import ModelConfig
from soundseek.model.model import Model
from soundseek.model.registry import BUNDLED

torch.set_num_threads(1)
pytestmark = pytest.mark.usefixtures("cache")

SENTENCES = ["a low tone plays", "whistle", "a high hum and a whistle"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("start")


@pytest.fixture(scope="module")
def data(place: Path) -> Path:
    return make_toy_data(place / "data")


@pytest.fixture(scope="module")
def model(place: Path, data: Path) -> Path:
    """A model directory whose last text layer was trained, exported in 8 bits as the bundled one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOUNDSEEK_CACHE", str(place / "cache"))
        run = train(toy_recipe(place, "text.trained_layers=1", "training.epochs=2"), data, place / "run")
        export_run(run, place / "model", precision="int8", audio_precision="int8-weights")
    return place / "model"


def least_cosine(one: Path, other: Path, data: Path) -> float:
    """Over sentences and sounds."""
    sounds = sorted((data / "validation").glob("*.wav"))
    first, second = Model(one), Model(other)
    pairs = [
        (first.embed_text(SENTENCES), second.embed_text(SENTENCES)),
        (first.embed_audio(sounds), second.embed_audio(sounds)),
    ]
    return min(float((a * b).sum(axis=1).min()) for a, b in pairs)


def bare(place: Path, *settings: str) -> object:
    """The toy recipe without weights: `start` brings them."""
    return toy_recipe(place, "text.trained_layers=1", "audio.weights=null", *settings)


def test_before_the_first_epoch_the_vectors_are_those_of_the_start(
    place: Path, data: Path, model: Path, tmp_path: Path
) -> None:
    run = train(bare(place, "training.epochs=0"), data, tmp_path / "run", start=model)  # type: ignore[arg-type]
    export_run(run, tmp_path / "model", precision="int8", audio_precision="int8-weights")
    assert least_cosine(model, tmp_path / "model", data) > 0.9999


def test_training_goes_on_and_its_record_says_from_what(
    place: Path, data: Path, model: Path, tmp_path: Path
) -> None:
    run = train(bare(place), data, tmp_path / "run", start=model)  # type: ignore[arg-type]
    record = json.loads((run / "run.json").read_text())
    card = ModelConfig.read(model)
    assert record["start"].pop("mAP10") > 0
    assert record["start"] == {"model": card.name, "version": card.version, "fingerprint": card.fingerprint}
    before, after = load_run(run / "start")[0].state_dict(), load_run(run)[0].state_dict()
    heads = ("audio_projector.weight", "text_projector.weight")
    assert all(not torch.equal(before[name], after[name]) for name in heads)
    frozen = [name for name in before if name.startswith("trunk.")]
    assert frozen and all(torch.equal(before[name], after[name]) for name in frozen)


def test_a_stopped_run_goes_on_without_its_start_and_ends_the_same(
    place: Path, data: Path, model: Path, tmp_path: Path
) -> None:
    recipe = bare(place)
    whole = train(recipe, data, tmp_path / "whole", start=model)  # type: ignore[arg-type]

    def stop(metrics: dict[str, float]) -> None:
        if metrics["epoch"] == 1:
            raise RuntimeError("stopped")

    away = tmp_path / "away"
    shutil.copytree(model, away)
    with pytest.raises(RuntimeError, match="stopped"):
        train(recipe, data, tmp_path / "run", start=away, on_epoch=stop)  # type: ignore[arg-type]
    shutil.rmtree(away)
    run = train(recipe, data, tmp_path / "run", resume=True)  # type: ignore[arg-type]
    one, other = (load_file(each / "model.safetensors") for each in (whole, run))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_another_network_is_refused_with_what_differs(
    place: Path, data: Path, model: Path, tmp_path: Path
) -> None:
    recipe = bare(place, "dim=16", "text.pooling=cls")
    with pytest.raises(UsageError, match=r"dim = 8 there, 16 here, text.pooling = mean there, cls here"):
        train(recipe, data, tmp_path / "run", start=model)  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_weights_beside_a_start_are_refused(place: Path, data: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"leave audio.weights out"):
        train(toy_recipe(place, "text.trained_layers=1"), data, tmp_path / "run", start=model)


def test_no_epochs_without_a_start_are_refused(place: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"training.epochs = 0 trains nothing.*--start"):
        train(toy_recipe(place, "training.epochs=0"), data, tmp_path / "run")


def test_a_run_is_not_resumed_from_another_start(
    place: Path, data: Path, model: Path, tmp_path: Path
) -> None:
    run = train(bare(place), data, tmp_path / "run", start=model)  # type: ignore[arg-type]
    other = tmp_path / "other"
    shutil.copytree(model, other)
    ModelConfig.read(other).model_copy(update={"fingerprint": "0123456789ab"}).write(other)
    with pytest.raises(UsageError, match=r"has started from toy .* --start is toy \(0123456789ab\)"):
        train(bare(place), data, run, start=other, resume=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("no file", "has no model.safetensors"),
        ("no heads", r"does not fit its own recipe.*audio_projector.weight"),
        ("no trunk", "holds another trunk than its recipe says"),
        ("no recipe", "does not say how it was trained"),
        ("no text", r"lacks the text tower, which was trained \(text.trained_layers = 1\)"),
        ("other text", "the text tower that is here gives other vectors"),
    ],
)
def test_a_model_that_lacks_something_is_refused(
    place: Path, model: Path, tmp_path: Path, damage: str, message: str
) -> None:
    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    path = copy / "model.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    path.unlink()
    gone = {"no heads": "audio_projector.", "no trunk": "trunk.", "no text": "text."}.get(damage, "none")
    tensors = {name: each for name, each in tensors.items() if not name.startswith(gone)}
    if damage == "no recipe":
        del metadata["recipe"]
    if damage == "other text":
        tensors["text_projector.weight"] = -tensors["text_projector.weight"]
    if damage != "no file":
        save_file(tensors, path, metadata=metadata)
    with pytest.raises(ModelError, match=message):
        unpack_model(copy, tmp_path / "out", tower=str(place / "bert"))


def test_word_vectors_come_back_from_the_network(place: Path, data: Path, tmp_path: Path) -> None:
    words = make_toy_vectors(tmp_path / "words.txt")
    recipe = toy_recipe(place, "text.tower=word2vec", f"text.weights={words}", "training.epochs=1")
    run = train(recipe, data, tmp_path / "run")
    export_run(run, tmp_path / "model", precision="int8")
    with unpacked(tmp_path / "model") as start:
        there, here = (load_file(each / "words.safetensors")["table"] for each in (run, start))
        assert torch.equal(there, here)
        heads, _ = load_run(start)
        assert heads.text is not None
        here = heads.encode_text(*heads.text.tokenize(SENTENCES)).numpy()
    assert (here * Model(tmp_path / "model").embed_text(SENTENCES)).sum(axis=1).min() > 0.9999


def test_the_bundled_model_can_be_gone_on_from(tmp_path: Path) -> None:
    directory = BUNDLED / "soundseek-small"
    unpack_model(directory, tmp_path / "start")
    heads, recipe = load_run(tmp_path / "start")
    assert recipe.name == "soundseek-small" and recipe.audio.trunk == "compact"
    model = Model(directory)
    waveform = np.random.default_rng(0).normal(0, 0.1, 64_000).astype(np.float32)
    log_mel = LogMel(model.front_end)(waveform)
    with torch.no_grad():
        audio = heads.encode_audio(*heads.trunk(torch.from_numpy(log_mel)[None])).numpy()[0]
    assert audio @ model.embed_audio((waveform, 32_000)) > 0.999
    assert sum(path.stat().st_size for path in directory.iterdir()) <= 40_000_000
    assert load_recipe("soundseek-small").dim == recipe.dim and SOUNDSEEK_SMALL.width == 512
