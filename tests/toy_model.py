"""A tiny, deterministic model directory: real ONNX networks, 16 dimensions, a frame every 320 ms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from soundseek.audio.logmel import FrontEndConfig
from soundseek.model.config import (
    AUDIO_FILE,
    TEXT_FILE,
    TOKENIZER_FILE,
    AudioTowerConfig,
    ModelConfig,
    TextTowerConfig,
    fingerprint,
)

DIM, HOP = 16, 32


def make_toy_model(
    directory: Path,
    *,
    seed: int = 0,
    scope: str = "local",
    name: str = "toy",
    context: int = 0,
    is_linear: bool = True,
) -> Path:
    """Write a model whose frames are linear in mean log-mels and whose texts are linear in mean letters.

    Without `is_linear` its moments are flat, and window scores tell them apart. With `context` (log-mel frames, a
    multiple of 32) a frame also hears that much on both sides.
    """
    directory.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    _write_audio(directory / AUDIO_FILE, generator, context)
    _write_text(directory / TEXT_FILE, generator)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.save(str(directory / TOKENIZER_FILE))
    front_end = FrontEndConfig()
    card = ModelConfig(
        name=name,
        version="0",
        dim=DIM,
        front_end=front_end,
        audio=AudioTowerConfig(
            frame_hop=HOP, scope=scope, context_frames=context, min_frames=HOP, is_linear=is_linear
        ),
        text=TextTowerConfig(max_tokens=64),
        fingerprint=fingerprint(directory, front_end),
        license="CC0-1.0",
        summary="A toy for tests.",
    )
    card.write(directory)
    return directory


def _write_audio(path: Path, generator: np.random.Generator, context: int) -> None:
    weights = {"w": generator.standard_normal((128, DIM)).astype(np.float32)}
    nodes = [
        helper.make_node("Transpose", ["log_mel"], ["bands"], perm=[0, 2, 1]),
        helper.make_node(
            "AveragePool",
            ["bands"],
            ["pooled"],
            kernel_shape=[HOP + 2 * context],
            strides=[HOP],
            pads=[context, context],
            ceil_mode=1,
        ),
        helper.make_node("Transpose", ["pooled"], ["mean"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["mean", "w"], ["frames"]),
    ]
    inputs = [helper.make_tensor_value_info("log_mel", TensorProto.FLOAT, [1, "time", 128])]
    _save(path, nodes, inputs, ("frames", [1, "frames", DIM]), weights)


def _write_text(path: Path, generator: np.random.Generator) -> None:
    weights = {
        "table": generator.standard_normal((256, DIM)).astype(np.float32),
        "axis": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["tokens"]),
        helper.make_node("Unsqueeze", ["attention_mask", "last"], ["mask"]),
        helper.make_node("Cast", ["mask"], ["weights"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["tokens", "weights"], ["masked"]),
        helper.make_node("ReduceMean", ["masked", "axis"], ["text_embedding"], keepdims=0),
    ]
    weights["last"] = np.array([2], np.int64)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "token"])
        for name in ("input_ids", "attention_mask")
    ]
    _save(path, nodes, inputs, ("text_embedding", ["batch", DIM]), weights)


def _save(
    path: Path, nodes: list, inputs: list, output: tuple[str, list], weights: dict[str, np.ndarray]
) -> None:
    outputs = [helper.make_tensor_value_info(output[0], TensorProto.FLOAT, output[1])]
    initializers = [numpy_helper.from_array(value, key) for key, value in weights.items()]
    graph = helper.make_graph(nodes, path.stem, inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
