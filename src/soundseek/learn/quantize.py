"""int8 weights for an ONNX file: a quarter of the size, arithmetic still in fp32.

`quantize_weights` keeps them so in memory, as a table of words wants it; `shrink_weights` is for the disk alone.

Each row of an embedding table and each output channel of a matrix gets a scale of its own. Activations stay fp32, so
nothing needs calibration; a table is looked up in int8 and only the rows found are scaled.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

LEAST_SIZE = 100_000
"""Tensors with fewer elements stay fp32: they cost little."""


def quantize_weights(path: Path) -> None:
    """Rewrite an ONNX file with int8 weights in place of the large fp32 matrices of MatMul, Gemm and Gather."""
    model = onnx.load(str(path))
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    done: dict[str, str] = {}
    for node in graph.node:
        for position, name in enumerate(node.input):
            tensor = weights.get(name)
            if (
                tensor is None
                or tensor.data_type != onnx.TensorProto.FLOAT
                or int(np.prod(tensor.dims)) < LEAST_SIZE
            ):
                continue
            if node.op_type == "Gather" and position == 0:
                nodes += _gather(graph, node, numpy_helper.to_array(tensor))
                break
            if name not in done and len(tensor.dims) == 2:
                axis = _output_axis(node)
                done[name] = f"{name}_fp32"
                nodes.append(_dequantize(graph, name, numpy_helper.to_array(tensor), axis))
            if name in done:
                node.input[position] = done[name]
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def shrink_weights(path: Path, *, least_size: int = 4096) -> None:
    """Rewrite an ONNX file with int8 values and scales in place of large fp32 weights of Conv, MatMul and Gemm.

    ONNX Runtime multiplies them out once, when it loads the file: a quarter of the size on disk, and the speed and the
    memory of fp32. What is lost in rounding is measured by the export's parity check.

    Args:
        path: The file.
        least_size: Weights with fewer elements stay fp32.
    """
    model = onnx.load(str(path))
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    axes: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            tensor = weights.get(name)
            if node.op_type not in ("Conv", "MatMul", "Gemm") or tensor is None or len(tensor.dims) < 2:
                continue
            if tensor.data_type == onnx.TensorProto.FLOAT and int(np.prod(tensor.dims)) >= least_size:
                axes[name] = 0 if node.op_type == "Conv" else _output_axis(node)
    nodes: list[onnx.NodeProto] = []
    for name, axis in axes.items():
        matrix = numpy_helper.to_array(weights[name])
        values, scale = quantize(matrix, axis)
        shape = [-1 if index == axis else 1 for index in range(matrix.ndim)]
        graph.initializer.remove(weights[name])
        graph.initializer.append(numpy_helper.from_array(values, f"{name}_int8"))
        graph.initializer.append(numpy_helper.from_array(scale.reshape(shape), f"{name}_scale"))
        nodes.append(helper.make_node("Cast", [f"{name}_int8"], [f"{name}_cast"], to=onnx.TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [f"{name}_cast", f"{name}_scale"], [name]))
    nodes += graph.node
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def quantize(
    matrix: npt.NDArray[np.float32], axis: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Symmetric int8 values and the scale of each index of `axis`; `values * scale` is the matrix again."""
    others = tuple(other for other in range(matrix.ndim) if other != axis)
    scale = np.maximum(np.abs(matrix).max(axis=others), 1e-12).astype(np.float32) / np.float32(127)
    shape = [1] * matrix.ndim
    shape[axis] = -1
    return np.rint(matrix / scale.reshape(shape)).astype(np.int8), scale


def _output_axis(node: onnx.NodeProto) -> int:
    """The axis of a matrix that its products do not sum over."""
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 0 if transposed else 1


def _dequantize(
    graph: onnx.GraphProto, name: str, matrix: npt.NDArray[np.float32], axis: int
) -> onnx.NodeProto:
    values, scale = quantize(matrix, axis)
    graph.initializer.append(numpy_helper.from_array(values, f"{name}_int8"))
    graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
    return helper.make_node(
        "DequantizeLinear", [f"{name}_int8", f"{name}_scale"], [f"{name}_fp32"], axis=axis
    )


def _gather(
    graph: onnx.GraphProto, node: onnx.NodeProto, table: npt.NDArray[np.float32]
) -> list[onnx.NodeProto]:
    """Look up int8 rows and their scales, then multiply: the table is never expanded."""
    name, out = node.input[0], node.output[0]
    values, scale = quantize(table, 0)
    graph.initializer.append(numpy_helper.from_array(values, f"{name}_int8"))
    graph.initializer.append(numpy_helper.from_array(scale[:, None], f"{name}_scale"))
    return [
        helper.make_node("Gather", [f"{name}_int8", node.input[1]], [f"{out}_rows"]),
        helper.make_node("Gather", [f"{name}_scale", node.input[1]], [f"{out}_scales"]),
        helper.make_node("Cast", [f"{out}_rows"], [f"{out}_cast"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", [f"{out}_cast", f"{out}_scales"], [out]),
    ]
