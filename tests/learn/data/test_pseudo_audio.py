from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from toy_learning import make_toy_data, toy_recipe

from soundseek.errors import DataError, ModelError, RecipeError
from soundseek.learn.data.prepare import prepare
from soundseek.learn.data.pseudo_audio import PseudoAudio, make_pseudo_audio
from soundseek.learn.models.audio.compact import CompactConfig, CompactTrunk
from soundseek.learn.models.audio.compact_layers import TagsConfig
from soundseek.learn.models.build import build_recipe_text, build_recipe_trunk
from soundseek.learn.recipe.keys import PseudoAudioConfig
from soundseek.learn.recipe.load import load_recipe
from soundseek.learn.training.run_folder import load_run
from soundseek.learn.training.train import train

torch.set_num_threads(1)

CONFIG = PseudoAudioConfig(path=Path("sentences.csv"), min_cosine=0.55, margin=0.1)


class Tagger:
    """Frames are two features and three tags' probabilities."""

    def with_probabilities(self, frames: Tensor, probabilities: Tensor) -> Tensor:
        return torch.cat([frames[:, :2], probabilities], dim=1)


def built(meanings: list[list[float]], names: list[list[float]] | None = None, **changed: Any) -> PseudoAudio:
    """Sentences whose features are their own numbers, and three tags along the axes."""
    axes = np.eye(3, dtype=np.float32)
    ways = [axes] if names is None else [axes, np.array(names, np.float32)]
    features = np.arange(len(meanings), dtype=np.float32)[:, None]
    config = CONFIG.model_copy(update=changed)
    return make_pseudo_audio(
        config,
        Tagger(),
        torch.tensor([5.0, 6.0, 9.0, 9.0, 9.0]),
        features,
        np.array(meanings, np.float32),
        ways,
    )


def test_a_sentence_is_heard_as_the_mean_frame_with_the_tags_that_it_names() -> None:
    found = built([[3.0, 4.0, 0.0]])  # cosines .6, .8 and 0: only the second is within .1 of the best
    batch = found.draw(2, 0)
    assert batch.frames.shape == (2, 1, 5) and batch.frame_mask.all()
    torch.testing.assert_close(
        batch.frames[0, 0], torch.tensor([5.0, 6.0, 0.0, 0.64, 0.0]), atol=1e-3, rtol=0
    )


def test_tags_close_behind_the_nearest_are_heard_too() -> None:
    assert (built([[1.0, 1.1, 0.0]]).cosines > 0).tolist() == [[True, True, False]]


def test_no_margin_makes_of_the_farthest_tag_a_probable_one() -> None:
    found = built([[1.0, -0.5, 0.3]], min_cosine=0.2, margin=0.99)
    assert (found.cosines > 0).tolist() == [[True, False, True]] and float(found.cosines.min()) == 0


def test_a_tag_is_as_near_as_the_nearest_way_to_ask_for_it() -> None:
    other_way = [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]
    assert (built([[0.0, 0.0, 2.0]], other_way).cosines > 0).tolist() == [[True, False, True]]


def test_sentences_far_from_every_tag_are_left_out() -> None:
    found = built([[1.0, 1.0, 1.0], [0.0, 1.0, 0.0]], min_cosine=0.6)  # the first has .577 three times
    assert found.features.tolist() == [[1.0]]
    with pytest.raises(
        RecipeError, match=r"no sentence of sentences.csv is nearer than min_cosine = 0.6 .* 0.58"
    ):
        built([[1.0, 1.0, 1.0]], min_cosine=0.6)


def test_sentences_that_mean_the_same_are_no_negatives() -> None:
    found = built([[1.0, 0.0, 0.0], [1.0, 0.1, 0.0], [0.0, 0.0, 1.0]])
    batch = found.draw(50, 0)
    number = batch.sentences[:, 0]
    alike = (number[:, None] < 2) & (number < 2) | (number[:, None] == number)
    assert torch.equal(batch.positives, alike) and set(number.tolist()) == {0, 1, 2}


def test_a_draw_depends_on_its_numbers_alone() -> None:
    found = built(np.eye(3).tolist())
    first = found.draw(20, 1, 2, 3)
    assert torch.equal(first.sentences, found.draw(20, 1, 2, 3).sentences)
    assert not torch.equal(first.sentences, found.draw(20, 1, 2, 4).sentences)


@pytest.mark.parametrize("live", ["audio.trained_blocks=1", "text.trained_layers=1", "text.augment.swap=0.1"])
def test_trained_towers_are_refused(live: str) -> None:
    with pytest.raises(RecipeError, match="imagined for frozen towers"):
        load_recipe("soundseek-small", ["data.tag_captions=null", "data.imagined_sounds.path=a.csv", live])


def test_a_trunk_without_tags_is_refused_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOUNDSEEK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "sentences.csv").write_text("caption\nA bell rings.\n")
    recipe = toy_recipe(tmp_path, f"data.imagined_sounds.path={tmp_path / 'sentences.csv'}")
    data = make_toy_data(tmp_path / "data")
    with pytest.raises(ModelError, match="this compact trunk gives no tags"):
        prepare(recipe, data, build_recipe_text(recipe), build_recipe_trunk(recipe))


def tagging(directory: Path) -> tuple[Path, CompactTrunk]:
    """A toy data set, and a toy trunk that tags beside it, `tagger.safetensors`."""
    data = make_toy_data(directory / "data")
    toy_recipe(directory)  # makes the toy trunk
    torch.manual_seed(0)
    small = CompactTrunk.load(directory / "trunk.safetensors").config
    tagger = CompactTrunk(CompactConfig(**{**small.model_dump(), "tags": TagsConfig(hidden=4)})).eval()
    tagger.save(directory / "tagger.safetensors")
    return data, tagger


def test_a_missing_file_of_sentences_is_named_before_anything_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOUNDSEEK_CACHE", str(tmp_path / "cache"))
    data, _ = tagging(tmp_path)
    settings = (f"audio.weights={tmp_path / 'tagger.safetensors'}", "data.imagined_sounds.path=/nowhere.csv")
    with pytest.raises(DataError, match=r"no file of sentences at /nowhere.csv"):
        train(toy_recipe(tmp_path, *settings), data, tmp_path / "run")
    assert not (tmp_path / "cache").exists()


def test_the_weight_is_that_of_the_imagined_pairs_in_the_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOUNDSEEK_CACHE", str(tmp_path / "cache"))
    data, _ = tagging(tmp_path)
    sentences = tmp_path / "sentences.csv"
    sentences.write_text("caption\nA bell rings.\nA cat meows.\n")
    found = []
    for weight in (0.2, 0.4, 0.8):
        recipe = toy_recipe(
            tmp_path, f"audio.weights={tmp_path / 'tagger.safetensors'}", "text.tower=minilm",
            "training.epochs=1", "training.batch_size=100", f"data.imagined_sounds.path={sentences}",
            f"data.imagined_sounds.weight={weight}",
        )  # fmt: skip
        run = train(recipe, data, tmp_path / f"weight-{weight}")
        found.append(json.loads((run / "metrics.jsonl").read_text())["loss"])  # of the only step
    first, second, third = found
    assert second - first > 0.01 and third - second == pytest.approx(2 * (second - first), rel=1e-3)


def test_a_run_learns_what_only_sentences_and_tags_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No caption names a bell or a cat; with imagined sounds the heads tell their tags apart by the sentences."""
    monkeypatch.setenv("SOUNDSEEK_CACHE", str(tmp_path / "cache"))
    data, tagger = tagging(tmp_path)
    sentences = tmp_path / "sentences.csv"
    sentences.write_text("caption\nA bell rings.\nA cat meows.\nThunder.\nA car passes.\nA dog barks.\n")
    settings = (
        f"audio.weights={tmp_path / 'tagger.safetensors'}",
        "text.tower=minilm",
        "training.epochs=30",
        "data.validation_split=null",  # the last epoch is kept
    )
    imagined = (f"data.imagined_sounds.path={sentences}", "data.imagined_sounds.batch_size=16")
    right, pairs = {}, None
    for name, more in {"with": imagined, "without": ()}.items():
        model, recipe = load_run(train(toy_recipe(tmp_path, *settings, *more), data, tmp_path / name))
        assert model.text is not None
        pairs = pairs or prepare(recipe, data, model.text, tagger).pseudo_audio
        assert pairs is not None
        frames = tagger.with_probabilities(pairs.mean.expand(5, -1), pairs.cosines.float().square())
        audio = model.encode_audio(frames.unsqueeze(1), torch.ones(5, 1, dtype=torch.bool))
        text = model.encode_text_features(pairs.features)
        right[name] = int(((text @ audio.T).argmax(dim=1) == torch.arange(5)).sum())
    assert right["with"] == 5 > right["without"]
