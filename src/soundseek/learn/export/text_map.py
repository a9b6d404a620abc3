"""A linear map behind a model's text network: the same model directory, whose words mean a little different things.

`text.onnx` gains `embedding + embedding @ D`, normalised, where D is `(dim, dim)` in float16, and nothing else of it
changes: with D = 0 it gives the same vectors. `audio.onnx` stays as it is, so what is indexed stays valid. Where the
text head of `model.safetensors` is linear, the map goes into it as well, and training can go on from the result.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from soundseek._typing import FloatArray
from soundseek.errors import ModelError
from soundseek.learn.export.model_card import MAP_FILE, write_readme
from soundseek.learn.export.replace import QUERY_FILES, WEIGHTS_FILE
from soundseek.learn.models.audio.weights_file import reading_weights
from soundseek.model.config import (
    AUDIO_FILE,
    CONFIG_FILE,
    TEXT_FILE,
    TOKENIZER_FILE,
    ModelConfig,
    fingerprint,
)

_DIFFERENCE = "text_map_difference"
_OUTPUT = "text_embedding"
_BEFORE = "text_embedding_before_map"


def write_mapped_model(
    start: Path, out: Path, difference: FloatArray, *, name: str, facts: Mapping[str, Any], summary: str
) -> ModelConfig:
    """Write a model directory that differs from another in what its words mean; returns its card.

    Args:
        start: The model directory to change.
        out: The new directory; it must not exist.
        difference: `(dim, dim)`: a text embedding t becomes `t + t @ difference`, normalised.
        name: The new model's.
        facts: What the card's training section says under "adapted".
        summary: One line.

    Raises:
        ModelError: `start` has no text network that can be changed.
    """
    card = ModelConfig.read(start)
    out.mkdir(parents=True)
    for file in (AUDIO_FILE, TEXT_FILE, TOKENIZER_FILE, *QUERY_FILES):
        if (start / file).is_file():
            shutil.copyfile(start / file, out / file)
    append_text_map(out / TEXT_FILE, difference)
    _map_weights(start / WEIGHTS_FILE, out / WEIGHTS_FILE, difference)
    kept = {key: value for key, value in card.training.items() if key not in ("evaluation", "map")}
    card = card.model_copy(
        update={
            "name": name,
            "summary": summary,
            "fingerprint": fingerprint(out, card.front_end),
            "hears_as": card.hears_like,
            "scores": {},  # those of the start
            "training": {**kept, "adapted": dict(facts)},
        }
    )
    card.write(out)
    write_readme(out, card)
    assert not (out / MAP_FILE).exists() and (out / CONFIG_FILE).is_file()
    return card


def append_text_map(path: Path, difference: FloatArray) -> None:
    """Let a text network's embeddings pass through a linear map; one that has a map already gets the product of both.

    Args:
        path: `text.onnx`.
        difference: See `write_mapped_model`.

    Raises:
        ModelError: The network has no output of that name.
    """
    network = onnx.load(path)
    graph = network.graph
    if [each.name for each in graph.output] != [_OUTPUT]:
        raise ModelError(f"{path} has the outputs {[each.name for each in graph.output]}, not {_OUTPUT}")
    added = np.asarray(difference, np.float32)
    for tensor in graph.initializer:
        if tensor.name == _DIFFERENCE:
            before = numpy_helper.to_array(tensor).astype(np.float32)
            both = before + added + before @ added
            tensor.CopyFrom(numpy_helper.from_array(both.astype(np.float16), _DIFFERENCE))
            break
    else:
        for node in graph.node:
            node.output[:] = [_BEFORE if each == _OUTPUT else each for each in node.output]
            node.input[:] = [_BEFORE if each == _OUTPUT else each for each in node.input]
        graph.initializer.append(numpy_helper.from_array(added.astype(np.float16), _DIFFERENCE))
        made = "text_map"
        graph.node.extend(
            [
                helper.make_node("Cast", [_DIFFERENCE], [f"{made}_wide"], to=TensorProto.FLOAT),
                helper.make_node("MatMul", [_BEFORE, f"{made}_wide"], [f"{made}_change"]),
                helper.make_node("Add", [_BEFORE, f"{made}_change"], [f"{made}_sum"]),
                helper.make_node("LpNormalization", [f"{made}_sum"], [_OUTPUT], axis=-1, p=2),
            ]
        )
    onnx.checker.check_model(network)
    onnx.save(network, path)


def _map_weights(source: Path, target: Path, difference: FloatArray) -> None:
    """Copy `model.safetensors` with the map in its text head; without a linear head there is none to copy."""
    if not source.is_file():
        return
    with reading_weights(source):
        tensors = load_file(source)
        with safe_open(source, "pt") as file:
            metadata = file.metadata()
    names = [name for name in tensors if name.startswith("text_projector.")]
    if sorted(names) != ["text_projector.bias", "text_projector.weight"]:
        return
    map_ = torch.eye(len(difference)) + torch.from_numpy(np.asarray(difference, np.float32))
    for name in names:  # weight (dim, width), bias (dim,): t @ M of t = W x + b is (M^T W) x + M^T b
        tensors[name] = (map_.T @ tensors[name].float()).to(tensors[name].dtype).contiguous()
    save_file(tensors, target, metadata=metadata)
