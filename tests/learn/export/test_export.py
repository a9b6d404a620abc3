"""A trained run as a model directory: the same vectors, a card that tells where they come from."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from toy_learning import make_toy_bert
from toy_words import make_toy_vectors

from soundseek.audio.decode import read_audio
from soundseek.audio.logmel import LogMel
from soundseek.errors import DataError, ModelError, UsageError
from soundseek.learn.export.export import _portable, accepted_parity, export_run, least_cosine
from soundseek.learn.export.model_card import record_scores
from soundseek.learn.export.replace import built_beside
from soundseek.learn.models.audio.compact import BlocksConfig, CompactConfig, CompactTrunk
from soundseek.learn.models.build import split_trunk
from soundseek.learn.recipe.load import load_recipe
from soundseek.learn.training.resume import claim_run
from soundseek.learn.training.run_folder import (
    build_dual_encoder,
    load_run,
    save_model,
    update_record,
)
from soundseek.model.config import TEXT_FILE, ModelConfig, fingerprint
from soundseek.model.match import MatchCalibration
from soundseek.model.memory import SoundMemory
from soundseek.model.model import Model
from soundseek.model.spelling import WORDS_FILE

ROOT = Path(__file__).parents[3]

TINY = CompactConfig(
    stem_width=4, width=24, stages=(BlocksConfig(width=8, expansion=2, kernel=3, stride=2, blocks=2),)
)


TEXT_WIDTH = 256


def small(folder: Path) -> list[str]:
    """What is small in every recipe here, besides its trunk."""
    return ["dim=32", f"text.tower={folder / 'bert'}", "text.max_tokens=16"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a small trunk, newly drawn heads and a small BERT, which has weights worth shrinking."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("run")
    CompactTrunk(TINY).save(folder / "compact.safetensors")
    make_toy_bert(folder / "bert", num_layers=1, width=TEXT_WIDTH)
    settings = [f"audio.weights={folder / 'compact.safetensors'}", *small(folder), "card.license=Apache-2.0"]
    out = folder / "run"
    recipe = claim_run(out, load_recipe("soundseek-small", settings), resume=False)
    save_model(build_dual_encoder(recipe, TINY.width, TEXT_WIDTH, text=None), out)  # type: ignore[arg-type]
    data = folder / "sounds"
    data.mkdir()
    (data / "captions_development.csv").write_text("file_name,caption_1\na.wav,A dog barks\nb.wav,a dog\n")
    update_record(out, data=str(data), best_epoch=3)
    return out


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    out = tmp_path_factory.mktemp("exported") / "model"
    return out, export_run(run, out, precision="int8", name="tiny")


@pytest.fixture
def known_text(exported: tuple[Path, dict[str, float]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The text tower of `exported` in place of an export that takes seconds, where the audio tower is the subject."""

    def copy(model: Any, path: Path, precision: str) -> dict[str, float]:
        shutil.copyfile(exported[0] / TEXT_FILE, path)
        return {"text": 1.0}

    monkeypatch.setattr("soundseek.learn.export.export._export_text", copy)


def test_facts_of_a_model_name_no_folder_of_any_system() -> None:
    facts = {
        "data": "/home/me/sounds",
        "runs": ["C:\\me\\run", "D:/run2", "./x/run3"],
        "says": "a: b/c",
        "clips": 6,
    }
    assert _portable(facts) == {
        "data": "sounds", "runs": ["run", "run2", "run3"], "says": "a: b/c", "clips": 6
    }  # fmt: skip


def test_no_file_of_a_model_says_where_it_was_made(exported: tuple[Path, dict[str, float]]) -> None:
    for file in exported[0].iterdir():
        content = file.read_bytes()
        for place in (ROOT, Path(sys.prefix)):
            assert str(place).encode() not in content, f"{file.name} has {place}"


def test_both_runtimes_agree_and_int8_weights_cost_little(exported: tuple[Path, dict[str, float]]) -> None:
    _, parity = exported
    assert parity["audio"] > 0.9999 and parity["text"] > 0.9999
    assert 0.99 < parity["text_int8"] < 1.0


def test_the_words_that_the_run_learned_go_along(exported: tuple[Path, dict[str, float]]) -> None:
    assert (exported[0] / WORDS_FILE).read_text() == "a\t2\ndog\t2\nbarks\t1\n"


def test_a_trunk_that_was_trained_in_part_is_exported_as_trained(
    run: Path, tmp_path: Path, known_text: None
) -> None:
    settings = [
        f"audio.weights={run / 'trunk.safetensors'}",
        *small(run.parent),
        "audio.trained_blocks=2",
        "data.tag_captions=null",
    ]
    trained = tmp_path / "run"
    claim_run(trained, load_recipe("soundseek-small", settings), resume=False)
    published = CompactTrunk.load(run / "trunk.safetensors")
    _, tail = split_trunk(CompactTrunk.load(run / "trunk.safetensors"), 2)
    recipe = load_recipe("soundseek-small", settings)
    model = build_dual_encoder(recipe, TINY.width, TEXT_WIDTH, text=None, tail=tail)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.tail.parameters():  # type: ignore[union-attr]
            parameter += 0.5
    save_model(model, trained)
    assert export_run(trained, tmp_path / "model")["audio"] > 0.9999
    exported = load_file(tmp_path / "model" / "model.safetensors")
    assert not any(name.startswith("tail.") for name in exported)
    moved = {
        name.split(".")[1]
        for name, tensor in published.state_dict().items()
        if not torch.equal(exported[f"trunk.{name}"].float(), tensor.half().float())
    }
    assert moved == {"2", "3"}  # of stem, striding block, block, last layer


def test_the_searching_half_gives_the_vectors_of_the_learning_half(
    exported: tuple[Path, dict[str, float]], run: Path, tmp_path: Path
) -> None:
    trained, _ = load_run(run)
    model = Model(exported[0])
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, 32_000 * 4)
    soundfile.write(tmp_path / "x.wav", noise * np.linspace(0, 1, len(noise)), 32_000)
    log_mel = LogMel(model.front_end)(read_audio(tmp_path / "x.wav", sample_rate_hz=32_000))
    text = trained.text
    assert text is not None
    with torch.no_grad():
        audio = trained.encode_audio(*trained.trunk(torch.from_numpy(log_mel)[None]))[0].numpy()
        sentence = trained.encode_text(*text.tokenize(["a low tone plays while a whistle is heard"]))[
            0
        ].numpy()
    assert model.embed_audio([tmp_path / "x.wav"])[0] @ audio > 0.9999
    assert model.embed_text(["a low tone plays while a whistle is heard"])[0] @ sentence > 0.995


def test_the_card_says_what_is_needed_and_nothing_of_the_machine(
    exported: tuple[Path, dict[str, float]], run: Path
) -> None:
    out, _ = exported
    card = ModelConfig.read(out)
    assert (card.name, card.dim, card.license, card.audio.scope) == ("tiny", 32, "Apache-2.0", "local")
    assert card.fingerprint == fingerprint(out, card.front_end)
    assert card.training["best_epoch"] == 3 and card.training["data"] == "sounds"
    assert str(run.parent) not in (out / "config.json").read_text()
    with safe_open(out / "model.safetensors", "pt") as file:
        recipe = json.loads(file.metadata()["recipe"])
        names = list(file.keys())
    assert names and not any(name.startswith("text.") for name in names)
    assert recipe["audio"]["weights"] == "trunk.safetensors"


def test_recorded_scores_stand_in_the_card_and_its_readme(exported: tuple[Path, dict[str, float]]) -> None:
    interval = {"value": 0.25, "low": 0.2, "high": 0.3}
    metrics = dict.fromkeys(("R1", "R5", "R10", "mAP10"), interval)
    report = {"split": "evaluation", "num_clips": 4, "num_captions": 20}
    record_scores(exported[0], {**report, "text_to_audio": metrics, "audio_to_text": metrics})
    assert ModelConfig.read(exported[0]).scores["evaluation mAP10"] == 0.25
    readme = (exported[0] / "README.md").read_text()
    assert "# tiny" in readme and "25.0 (20.0 to 30.0)" in readme and "best_epoch | 3" in readme


def test_disagreement_is_an_error() -> None:
    rows = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    assert least_cosine(rows, rows) == 1.0
    assert least_cosine(rows, rows[::-1]) == 0.0
    with pytest.raises(ModelError, match="agrees with PyTorch only"):
        accepted_parity("audio", 0.5, 0.9999)
    with pytest.raises(ModelError, match="gives"):
        least_cosine(rows, rows[:1])


def test_a_folder_that_holds_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no trained run"):
        export_run(tmp_path, tmp_path / "out")


def test_an_export_that_is_stopped_leaves_the_model_that_was_there(
    exported: tuple[Path, dict[str, float]], run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in exported[0].iterdir()}

    def write_and_stop(model: Any, path: Path, **options: Any) -> dict[str, float]:
        path.write_bytes(b"half a network")
        raise KeyboardInterrupt

    monkeypatch.setattr("soundseek.learn.export.export.export_audio", write_and_stop)
    with pytest.raises(KeyboardInterrupt):
        export_run(run, exported[0])
    assert {path.name: path.read_bytes() for path in exported[0].iterdir()} == before
    assert list(exported[0].parent.iterdir()) == [exported[0]]


def test_a_new_export_replaces_the_model_whole_and_keeps_what_is_somebodys_own(
    exported: tuple[Path, dict[str, float]], tmp_path: Path
) -> None:
    out = tmp_path / "model"
    shutil.copytree(exported[0], out)
    (out / "notes.txt").write_text("mine")
    # What the former model remembers are its vectors: the new one would look words up among another's.
    SoundMemory(np.eye(4, dtype=np.float32)).write(out)
    MatchCalibration(np.eye(4), np.zeros(6), np.ones(6), np.zeros(7), 9, is_of_memory=True).write(out)
    with built_beside(out) as made:
        made.mkdir()
        (made / "config.json").write_text("new")
    assert {path.name for path in out.iterdir()} == {"config.json", "notes.txt"}
    assert (out / "config.json").read_text() == "new" and (out / "notes.txt").read_text() == "mine"


def test_a_full_disk_leaves_the_model_and_names_the_folder(
    exported: tuple[Path, dict[str, float]], run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_the_disk(*_: Any, **__: Any) -> dict[str, float]:
        raise RuntimeError(f"SafetensorError: {os.strerror(errno.ENOSPC)}")

    before = (exported[0] / "config.json").read_bytes()
    monkeypatch.setattr("soundseek.learn.export.export.export_audio", fill_the_disk)
    with pytest.raises(DataError, match=f"no space left in {exported[0].parent}"):
        export_run(run, exported[0])
    assert (exported[0] / "config.json").read_bytes() == before


def test_nothing_but_a_model_directory_is_written_over(run: Path, tmp_path: Path) -> None:
    weights = (run / "model.safetensors").read_bytes()
    with pytest.raises(UsageError, match=r"no model directory \(it holds"):
        export_run(run, run)
    assert (run / "model.safetensors").read_bytes() == weights
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(UsageError, match=r"README\.md"):
        export_run(run, tmp_path)
    with pytest.raises(UsageError, match="is a file"):
        export_run(run, tmp_path / "README.md")


def test_a_run_that_diverged_is_not_exported(run: Path, tmp_path: Path) -> None:
    broken = tmp_path / "run"
    shutil.copytree(run, broken)
    state = load_file(broken / "model.safetensors")
    save_file({name: value * math.nan for name, value in state.items()}, broken / "model.safetensors")
    with pytest.raises(ModelError, match="diverged"):
        export_run(broken, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_vectors_that_are_no_numbers_never_agree() -> None:
    rows = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    assert least_cosine(rows, rows * np.float32("nan")) == -1.0
    with pytest.raises(ModelError, match="diverged"):
        least_cosine(rows * np.float32("nan"), rows)


@pytest.mark.parametrize(
    "settings",
    [
        ["audio.pooling=length-aware-max-mean"],
        ["audio.head=mlp", "text.head=mlp"],
        ["audio.head=norm-linear"],
    ],
)
def test_other_poolings_and_heads_export_the_segments_embedding_at_every_frame(
    run: Path, tmp_path: Path, settings: list[str], request: pytest.FixtureRequest
) -> None:
    if not any(setting.startswith("text.") for setting in settings):
        request.getfixturevalue("known_text")
    words = [  # the text tower that is traced in no time
        "text.tower=word2vec", f"text.weights={make_toy_vectors(tmp_path / 'words.txt', width=TEXT_WIDTH)}",
    ]  # fmt: skip
    trunk = f"audio.weights={run / 'trunk.safetensors'}"
    recipe = load_recipe("soundseek-small", [trunk, *small(run.parent), *words, *settings])
    claimed = claim_run(tmp_path / "run", recipe, resume=False)
    torch.manual_seed(0)
    save_model(build_dual_encoder(claimed, TINY.width, TEXT_WIDTH, text=None), tmp_path / "run")  # type: ignore[arg-type]
    parity = export_run(tmp_path / "run", tmp_path / "model")
    assert parity["audio"] > 0.9999
    card = ModelConfig.read(tmp_path / "model")
    assert (card.audio.scope, card.audio.context_frames) == ("clip", 0)
    assert any("Moments are flat" in limit for limit in card.limits)
    assert "Moments are flat" in (tmp_path / "model" / "README.md").read_text()
    sound = np.random.default_rng(0).standard_normal(32_000).astype(np.float32) * 0.1
    trained, _ = load_run(tmp_path / "run")
    log_mel = LogMel(card.front_end)(sound)
    with torch.no_grad():
        expected = trained.encode_audio(*trained.trunk(torch.from_numpy(log_mel)[None]))[0].numpy()
    soundfile.write(tmp_path / "noise.wav", sound, 32_000, subtype="FLOAT")
    found = Model(tmp_path / "model").embed_audio([tmp_path / "noise.wav"])[0]
    assert float(found @ expected) > 0.999


def test_a_linear_head_behind_the_mean_keeps_its_moments(exported: tuple[Path, dict[str, float]]) -> None:
    assert not any("Moments are flat" in limit for limit in ModelConfig.read(exported[0]).limits)


def test_the_card_to_train_with_is_that_of_the_model_that_comes_with_soundseek() -> None:
    written = load_recipe(f"soundseek-small+{ROOT / 'scripts' / 'soundseek-small.card.yaml'}").card
    card = ModelConfig.read(ROOT / "src/soundseek/model/bundled/soundseek-small")
    assert (written.license, written.summary) == (card.license, card.summary)
    assert (written.credits, written.limits) == (card.credits, card.limits)
    assert (
        load_recipe("soundseek-small").card.credits == ()
    )  # whose sounds another run learns from, nobody knows
