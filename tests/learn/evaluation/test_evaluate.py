from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_learning import TONES_HZ, make_toy_data, toy_recipe
from toy_model import make_toy_model

from soundseek.errors import DataError
from soundseek.learn.evaluation import evaluate as module
from soundseek.learn.evaluation.evaluate import RunEmbedder, embed_clips, evaluate
from soundseek.learn.models.build import build_recipe_text
from soundseek.learn.models.dual_encoder import DualEncoder
from soundseek.learn.training.run_folder import build_dual_encoder
from soundseek.learn.training.train import train

torch.set_num_threads(1)


class Knowing:
    """Embeds a sound and its captions as one axis; the captions of the names in `wrong` as another."""

    def __init__(self, wrong: Sequence[str] = ()) -> None:
        self.wrong = wrong
        self.names = [name.replace(" ", "-") for name in TONES_HZ]

    def embed_audio(self, paths: Sequence[Path]) -> np.ndarray:
        return np.stack([self._axis(path.stem) for path in paths])

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        return np.stack([self._axis(self._name(text)) for text in texts])

    def _name(self, text: str) -> str:
        words = text.removeprefix("A ").removesuffix(" plays.").removesuffix(" is heard")
        name = words.replace(" ", "-")
        return self.names[self.names.index(name) - 1] if name in self.wrong else name

    def _axis(self, name: str) -> np.ndarray:
        return np.eye(len(self.names), dtype=np.float32)[self.names.index(name)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_data(tmp_path_factory.mktemp("toy") / "data", ("development", "validation", "evaluation"))


def test_a_model_that_knows_everything_is_perfect(data: Path) -> None:
    report = evaluate(Knowing(), data)
    assert (report.split, report.num_clips, report.num_captions) == ("evaluation", 6, 12)
    for direction in (report.text_to_audio, report.audio_to_text):
        assert direction.R1.value == direction.mAP10.value == 1.0


def test_one_sound_in_six_misheard_costs_a_sixth(data: Path) -> None:
    report = evaluate(Knowing(wrong=["whistle"]), data)
    assert report.text_to_audio.R1.value == pytest.approx(5 / 6)
    assert report.text_to_audio.R1.low < 5 / 6 < report.text_to_audio.R1.high


def test_a_clip_with_an_equal_caption_is_right_in_the_second_count(tmp_path: Path) -> None:
    # Two dogs and rain. "A dog" ranks the dogs 1 and 2: its own is at 1 or 2, and both are right in the second count.
    (tmp_path / "evaluation").mkdir()
    rows = ["file_name,caption_1", "one.wav,A dog.", "two.wav,a  dog", "rain.wav,rain"]
    for name in ("one", "two", "rain"):
        (tmp_path / "evaluation" / f"{name}.wav").write_bytes(b"")
    (tmp_path / "captions_evaluation.csv").write_text("\n".join(rows))

    class Model:
        def embed_audio(self, paths: Sequence[Path]) -> np.ndarray:
            axes = {"one": [1, 0], "two": [0.8, 0.6], "rain": [0, 1]}
            return np.float32([axes[path.stem] for path in paths])

        def embed_text(self, texts: Sequence[str]) -> np.ndarray:
            return np.float32([[0, 1] if text == "rain" else [1, 0] for text in texts])

    report = evaluate(Model(), tmp_path)
    assert report.num_shared_captions == 2
    assert report.text_to_audio.mAP10.value == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert report.equal_captions_count.mAP10.value == pytest.approx(1.0)


@pytest.mark.parametrize(("setting", "cached"), [("seed=0", True), ("text.augment.swap=0.1", False)])
def test_only_what_a_tower_as_published_says_is_cached(
    setting: str, cached: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage that only rewords has the tower that a stage before it has trained."""
    monkeypatch.setenv("SOUNDSEEK_CACHE", str(tmp_path / "cache"))
    recipe = toy_recipe(tmp_path, setting)
    text = build_recipe_text(recipe)
    model = build_dual_encoder(recipe, 8, text.width, text=text)
    model.text = text
    embedder = RunEmbedder(model.eval().requires_grad_(False), recipe)
    before = embedder.embed_text(["A whistle plays."])
    for weights in text.parameters():
        weights.copy_(weights.flip(0))
    assert np.array_equal(embedder.embed_text(["A whistle plays."]), before) == cached
    assert (tmp_path / "cache" / "text").exists() == cached


def test_a_missing_split_is_an_error(data: Path) -> None:
    with pytest.raises(DataError, match="captions_test"):
        evaluate(Knowing(), data, "test")


Say = Callable[..., tuple[int, str, str]]


def test_the_command_line_trains_and_evaluates_a_run_and_a_model(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Say
) -> None:
    monkeypatch.setenv("SOUNDSEEK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "parts").mkdir()
    run = str(train(toy_recipe(tmp_path / "parts"), data, tmp_path / "run"))
    code, out, error = say("evaluate", run, "--data", str(data), "--split", "validation", "--json")
    assert code == 0 and "learned from" not in error, error
    report = json.loads(out)
    assert report["num_captions"] == 12
    assert report["text_to_audio"]["mAP10"]["value"] == pytest.approx(
        json.loads((tmp_path / "run" / "run.json").read_text())["mAP10"]
    )
    _, _, error = say("evaluate", run, "--data", str(data), "--split", "development", "--json")
    assert "learned from development: these scores say what it remembers" in error
    model = str(make_toy_model(tmp_path / "model"))
    code, out, error = say("evaluate", model, "--data", str(data), "--table")
    assert code == 0, error
    assert "caption to sound" in out and "mAP@10" in out and "12 captions of 6 sounds" in out


def test_the_command_line_trains_with_settings_and_refuses_a_wrong_key(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Say
) -> None:
    from soundseek.learn.recipe.load import save_recipe

    monkeypatch.setenv("SOUNDSEEK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "parts").mkdir()
    path = tmp_path / "mine.yaml"
    save_recipe(toy_recipe(tmp_path / "parts"), path)
    start = ["train", str(path), "--data", str(data), "--out", str(tmp_path / "run")]
    code, _, error = say(*start, "--set", "training.epoch=1")
    assert code == 2 and "did you mean 'epochs'" in error
    code, _, error = say(*start, "--set", "training.epochs=1")
    assert code == 0, error
    assert "validation mAP10" in error and "soundseek evaluate" in error
    code, _, error = say(*start, "--set", "training.epochs=1")
    assert code == 2 and "--resume" in error


def test_a_long_clip_does_not_pad_the_others_of_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FRAMES_AT_ONCE", 60)
    model = DualEncoder(dim=4, audio_width=3, text_width=3, attention="self").eval()
    shapes = []
    embed = model.encode_audio_features

    def seen(frames: torch.Tensor, frame_mask: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(frames.shape[:2]))
        return embed(frames, frame_mask)

    monkeypatch.setattr(model, "encode_audio_features", seen)
    store = {
        str(number): np.random.default_rng(number).random((length, 3), np.float32)
        for number, length in enumerate((5, 4, 100, 3, 5))
    }
    together = embed_clips(model, store, list(store))  # type: ignore[arg-type]
    assert shapes == [(2, 5), (1, 100), (2, 5)]
    for number, key in enumerate(store):
        alone = embed(torch.from_numpy(store[key])[None], torch.ones(1, len(store[key]), dtype=torch.bool))
        assert torch.allclose(together[number], alone[0], atol=1e-6)
