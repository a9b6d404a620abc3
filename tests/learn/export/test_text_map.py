"""A linear map behind a text network: other words, the same sounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file
from toy_model import DIM, make_toy_model

from soundseek._vectors import unit_rows
from soundseek.errors import ModelError
from soundseek.learn.export.text_map import append_text_map, write_mapped_model
from soundseek.model.model import Model

TEXTS = ["a dog barks", "rain", "a door is closed"]


@pytest.fixture
def start(tmp_path: Path) -> Path:
    return make_toy_model(tmp_path / "start")


def difference(seed: int = 0) -> np.ndarray:
    return 0.2 * np.random.default_rng(seed).standard_normal((DIM, DIM)).astype(np.float32)


def write(start: Path, out: Path, change: np.ndarray) -> Path:
    write_mapped_model(start, out, change, name="mine", facts={"clips": 3}, summary="Mine.")
    return out


def test_the_map_moves_words_and_leaves_sounds(start: Path, tmp_path: Path) -> None:
    change = difference()
    out = write(start, tmp_path / "out", change)
    before, after = Model(start), Model(out)
    text = before.embed_text(TEXTS)
    np.testing.assert_allclose(after.embed_text(TEXTS), unit_rows(text + text @ change), atol=2e-3)
    assert (start / "audio.onnx").read_bytes() == (out / "audio.onnx").read_bytes()
    card = after.config
    assert card.name == "mine" and card.fingerprint != before.fingerprint
    assert card.hears_as == before.fingerprint and card.training["adapted"] == {"clips": 3}


def test_no_change_changes_no_vector(start: Path, tmp_path: Path) -> None:
    out = write(start, tmp_path / "out", np.zeros((DIM, DIM), np.float32))
    np.testing.assert_allclose(Model(out).embed_text(TEXTS), Model(start).embed_text(TEXTS), atol=1e-6)


def test_a_second_map_takes_the_place_of_the_first(start: Path, tmp_path: Path) -> None:
    first = write(start, tmp_path / "first", difference(1))
    second = write(first, tmp_path / "second", difference(2))
    text = Model(start).embed_text(TEXTS)
    once = unit_rows(text + text @ difference(1))
    expected = unit_rows(once + once @ difference(2))
    np.testing.assert_allclose(Model(second).embed_text(TEXTS), expected, atol=5e-3)
    sizes = [len(onnx.load(each / "text.onnx").graph.node) for each in (first, second)]
    assert sizes[0] == sizes[1]  # so that a directory does not grow
    assert Model(second).config.hears_as == Model(start).fingerprint  # not of the first, which hears the same


def test_the_learning_half_gets_the_map_too(start: Path, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(DIM, 5, generator=generator), torch.randn(DIM, generator=generator)
    heads = {"text_projector.weight": weight, "text_projector.bias": bias, "audio_mean": torch.ones(3)}
    save_file(heads, start / "model.safetensors", metadata={"recipe": "{}"})
    change = difference()
    found = load_file(write(start, tmp_path / "out", change) / "model.safetensors")
    features = torch.randn(7, 5, generator=generator)
    plain = features @ weight.T + bias
    expected = plain + plain @ torch.from_numpy(change)
    mapped = features @ found["text_projector.weight"].T + found["text_projector.bias"]
    torch.testing.assert_close(mapped, expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(found["audio_mean"], heads["audio_mean"])


def test_a_head_that_is_not_linear_is_left_out(start: Path, tmp_path: Path) -> None:
    heads = {"text_projector.0.weight": torch.ones(4, 5), "text_projector.2.weight": torch.ones(DIM, 4)}
    save_file(heads, start / "model.safetensors")
    assert not (write(start, tmp_path / "out", difference()) / "model.safetensors").exists()


def test_another_network_is_refused(start: Path) -> None:
    with pytest.raises(ModelError, match=r"has the outputs \['frames'\], not text_embedding"):
        append_text_map(start / "audio.onnx", difference())
