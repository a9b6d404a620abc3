"""int8 weights: small, close, and still the same network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from soundseek.learn.export.quantize import quantize, quantize_weights, shrink_weights


def test_a_matrix_is_quantised_by_hand() -> None:
    values, scale = quantize(np.array([[1.27, -0.5], [0.0, 2.54]], np.float32), axis=1)
    np.testing.assert_allclose(scale, [0.01, 0.02], rtol=1e-6)
    np.testing.assert_array_equal(values, [[127, -25], [0, 127]])


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 1), st.integers(0, 99))
def test_no_value_moves_by_more_than_half_a_step(rows: int, columns: int, axis: int, seed: int) -> None:
    matrix = np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)
    values, scale = quantize(matrix, axis)
    step = scale[:, None] if axis == 0 else scale[None, :]
    assert (np.abs(values * step - matrix) <= step * 0.501).all()


def test_a_network_keeps_its_answers_and_loses_three_quarters_of_its_size(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    table = generator.standard_normal((2000, 64)).astype(np.float32)
    matrix = generator.standard_normal((64, 2000)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("MatMul", ["rows", "matrix"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 2000])],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(matrix, "matrix")],
    )
    path = tmp_path / "toy.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
    before = path.stat().st_size
    quantize_weights(path)
    assert path.stat().st_size < 0.3 * before
    ids = np.arange(50, dtype=np.int64)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found, expected = session.run(None, {"ids": ids})[0], table[ids] @ matrix
    cosine = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosine.min() > 0.999
    assert np.abs(found - expected).max() > 0  # it really is quantised


def test_small_files_of_convolutions_and_matrices_answer_alike_and_are_fp32_when_loaded(
    tmp_path: Path,
) -> None:
    generator = np.random.default_rng(0)
    kernel = (
        generator.standard_normal((64, 8, 3)).astype(np.float32) * np.geomspace(0.1, 10, 64)[:, None, None]
    )
    matrix = generator.standard_normal((50, 300)).astype(np.float32)
    tiny = generator.standard_normal((64, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["maps"]),
        helper.make_node("Add", ["maps", "tiny"], ["moved"]),
        helper.make_node("MatMul", ["moved", "matrix"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 52])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 64, 300])],
        [
            numpy_helper.from_array(kernel.astype(np.float32), "kernel"),
            numpy_helper.from_array(matrix, "matrix"),
            numpy_helper.from_array(tiny, "tiny"),
        ],
    )
    path, loaded = tmp_path / "toy.onnx", tmp_path / "loaded.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
    x = generator.standard_normal((1, 8, 52)).astype(np.float32)

    def run() -> np.ndarray:
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(loaded)
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return session.run(None, {"x": x})[0]

    before, expected = path.stat().st_size, run()
    shrink_weights(path, least_size=1000)
    found = run()
    assert path.stat().st_size < 0.3 * before
    cosine = (found * expected).sum(2) / np.linalg.norm(found, axis=2) / np.linalg.norm(expected, axis=2)
    assert cosine.min() > 0.9999 and np.abs(found - expected).max() > 0
    assert not {"Cast", "Mul"} & {node.op_type for node in onnx.load(str(loaded)).graph.node}
