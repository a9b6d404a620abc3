"""Words for how a sound sounds, put into a text head without training."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from test_tables import script

from soundseek.errors import ModelError
from soundseek.learn.data.how_it_sounds import MANNERS
from soundseek.learn.datasets.layout import Clip


@pytest.fixture(scope="module")
def words() -> ModuleType:
    return script("manner_words")


def test_texts_are_labelled_with_what_they_say(words: ModuleType) -> None:
    clips = [Clip(Path(f"{n}.wav"), (f"A dog number {n} barks.",)) for n in range(30)]
    texts, wanted = words.labelled_texts(clips, ["Rain falls.", "Wind blows."])
    assert wanted.shape == (len(texts), len(MANNERS)) and set(np.unique(wanted)) == {-1.0, 0.0, 1.0}
    said = dict(zip(texts, wanted, strict=True))
    assert not said["A dog number 3 barks."].any() and not said["Rain falls."].any()
    muffled = list(MANNERS).index("muffled")
    assert all("muffled" not in text.lower() for text, row in said.items() if not row.any())
    assert any(row[muffled] == 1 and "A muffled dog" in text for text, row in said.items())
    distant = list(MANNERS).index("distant")
    assert any(row[distant] == -1 and "nearby" in text for text, row in said.items())


def test_readers_find_what_is_said_and_stay_silent_else(words: ModuleType) -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(400, 6)).astype(np.float32)
    wanted = np.zeros((400, 2), np.float32)
    wanted[:40, 0], wanted[40:80, 1] = 1, -1
    features[:40, 2] += 5
    features[40:80, 4] += 5
    read = np.concatenate([features, np.ones((400, 1), np.float32)], axis=1) @ words.ridge(features, wanted)
    assert read[:40, 0].mean() > 0.6 and read[40:80, 1].mean() < -0.6
    assert abs(read[80:].mean()) < 0.2


def test_a_head_moves_along_the_direction_by_the_strength(words: ModuleType) -> None:
    weight, bias = np.eye(3, dtype=np.float32), np.zeros(3, np.float32)
    directions = {"muffled": np.array([0, 0, 2.0], np.float32)}
    readers = np.array([[1.0], [0], [0], [0]], np.float32)  # the first feature says "muffled"
    features = np.array([[1.0, 0, 0], [0, 1, 0]], np.float32)
    moved = words.changed_text(features, weight, bias, directions, readers, 0.5)
    assert np.allclose(moved, [[1, 0, 0.5], [0, 1, 0]])
    assert np.allclose(words.changed_text(features, weight, bias, directions, readers, 0.0), features)


def network(**tensors: np.ndarray) -> onnx.ModelProto:
    held = [
        numpy_helper.from_array(values, f"model.text_projector.{name}") for name, values in tensors.items()
    ]
    return helper.make_model(helper.make_graph([], "text", [], [], initializer=held))


def test_the_head_of_a_network_is_replaced_in_its_precision(words: ModuleType) -> None:
    weight = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    bias = np.arange(4, dtype=np.float32)
    small = network(
        weight_int8=np.zeros((4, 3), np.int8),
        weight_scale=np.ones(4, np.float32),
        bias=np.zeros(4, np.float32),
    )
    words.replace_head(small, weight, bias)
    found = {each.name.split(".")[-1]: numpy_helper.to_array(each) for each in small.graph.initializer}
    assert np.abs(found["weight_int8"] * found["weight_scale"][:, None] - weight).max() < 0.02
    assert (found["bias"] == bias).all()
    exact = network(weight=np.zeros((4, 3), np.float32), bias=np.zeros(4, np.float32))
    words.replace_head(exact, weight, bias)
    assert (numpy_helper.to_array(exact.graph.initializer[0]) == weight).all()
    with pytest.raises(ModelError, match=r"no text_projector.weight of the shape \(4, 3\)"):
        words.replace_head(network(bias=np.zeros(4, np.float32)), weight, bias)
