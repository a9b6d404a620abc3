"""A compact trunk's exported network, written again so that ONNX Runtime has less to do, for the same frames.

What PyTorch needs for batches of padded clips, a single clip does not: the mask of its frames is one everywhere, and so
is what the tagger's window divides by. And where maps stay maps, a mean over bands is a pooling among convolutions,
whose layout ONNX Runtime keeps, and the frames of the margins are left out before the tagger and not behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference

_BAND_AXIS, _TIME_AXIS = 3, 2  # of a map (clip, channel, time, band)


def lighten(path: Path) -> bool:
    """Rewrite the ONNX file of an audio network with a compact trunk and its tagger; others stay as they are.

    Args:
        path: The file, with weights in 32 or in 8 bits.

    Returns:
        Whether it was such a network, and is another file now.
    """
    model = onnx.load(str(path))
    graph = _Graph(model)
    tagger = _tagger(graph)
    if tagger is None:
        return False
    for node in [node for node in model.graph.node if node.op_type == "ReduceMean"]:
        if graph.is_over_bands(node, kept=True):
            graph.replace(node, _pool(node.input[0], node.output[0], (1, graph.bands(node.input[0]))))
    _write(graph, tagger)
    graph.prune()
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return True


@dataclass(frozen=True)
class _Tagger:
    """Where a tagger's nodes are.

    Attributes:
        mean: From maps to features `(clip, channel, time)`.
        pooled: Behind the mean over each frame's window, `(clip, time, channel)`.
        window: Frames of it.
        root: The exponential by which the square root of a probability is taken, and the probability.
        joined: Features beside tags.
        inner: What is left of that without the margins; None where there are none.
        margin: Frames of a margin.
    """

    mean: onnx.NodeProto
    pooled: onnx.NodeProto
    window: int
    root: tuple[onnx.NodeProto, str]
    joined: onnx.NodeProto
    inner: onnx.NodeProto | None
    margin: int


def _tagger(graph: _Graph) -> _Tagger | None:
    """The tagger of a network that was exported without a mask; None where there is none."""
    for divided in graph.nodes("Div"):
        # sums / counts: AveragePool(Transpose(Transpose(ReduceMean)) * ones) / Clip(AveragePool(ones))
        sums = graph.back(divided.input[0], "AveragePool")
        mean = graph.back(divided.input[0], "AveragePool", "Mul", "Transpose", "Transpose", "ReduceMean")
        counts = graph.back(divided.input[1], "Clip", "AveragePool")
        pooled = graph.only_user(divided.output[0], "Transpose")
        if sums is None or mean is None or counts is None or pooled is None:
            continue
        features = graph.back(sums.input[0], "Mul", "Transpose")
        root = next((found for node in graph.nodes("Exp") if (found := _root(graph, node))), None)
        joined = features and graph.only_user(features.input[0], "Concat")
        if root is None or joined is None or not graph.is_over_bands(mean, kept=False):
            continue
        inner = graph.only_user(joined.output[0], "Slice")
        margin = 0 if inner is None else graph.margin(inner)
        if margin is not None:
            window = _attribute(sums, "kernel_shape")[0]
            return _Tagger(mean, pooled, window, root, joined, inner, margin)
    return None


def _root(graph: _Graph, exponential: onnx.NodeProto) -> tuple[onnx.NodeProto, str] | None:
    """An exponential of half a logarithm of a sigmoid, and the sigmoid's name."""
    half, log = (
        graph.back(exponential.input[0], "Mul"),
        graph.back(exponential.input[0], "Mul", "Log", "Sigmoid"),
    )
    if half is None or log is None or graph.constant(half.input[1]) != 0.5:
        return None
    return exponential, log.output[0]


def _write(graph: _Graph, tagger: _Tagger) -> None:
    """Put the lighter tagger in the place of the one that was found."""
    features, tags = tagger.joined.input
    maps, reach = tagger.mean.input[0], tagger.window // 2
    before: list[onnx.NodeProto] = []
    if (bands := graph.bands(maps)) > 1:
        before.append(_pool(maps, f"{maps}_mean", (1, bands)))
        maps = f"{maps}_mean"
    # Beyond the margins there is nothing; windows that reach there are means over the frames that there are.
    pooled = f"{maps}_pooled"
    before.append(_pool(maps, pooled, (tagger.window, 1), time_padding=max(0, reach - tagger.margin)))
    pooled, cut = graph.inside(pooled, tagger.margin - reach)
    before += [*cut, *graph.rows(pooled, tagger.pooled.output[0])]
    graph.replace(tagger.pooled, *before)
    exponential, probability = tagger.root
    graph.replace(exponential, helper.make_node("Sqrt", [probability], list(exponential.output)))
    maps, cut = graph.inside(maps, tagger.margin)
    inside = f"{features}_inside"
    out = tagger.joined.output[0] if tagger.inner is None else tagger.inner.output[0]
    joined = helper.make_node("Concat", [inside, tags], [out], axis=2)
    if tagger.inner is not None:
        graph.replace(tagger.inner)
    graph.replace(tagger.joined, *cut, *graph.rows(maps, inside), joined)


class _Graph:
    """The nodes of a network, and how they follow each other."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = model.graph
        inferred = shape_inference.infer_shapes(model).graph
        self._shapes = {
            each.name: [dim.dim_value for dim in each.type.tensor_type.shape.dim]
            for each in inferred.value_info
        }
        self._made_by = {name: node for node in self._graph.node for name in node.output}
        self._constants = {tensor.name: tensor for tensor in self._graph.initializer}

    def nodes(self, operator: str) -> list[onnx.NodeProto]:
        return [node for node in self._graph.node if node.op_type == operator]

    def back(self, name: str, *operators: str) -> onnx.NodeProto | None:
        """The last of some nodes that follow each other by their first inputs, from the one that makes `name` on."""
        node = None
        for operator in operators:
            node = self._made_by.get(name)
            if node is None or node.op_type != operator:
                return None
            name = node.input[0]
        return node

    def only_user(self, name: str, operator: str) -> onnx.NodeProto | None:
        """The one node of an operator that reads a value."""
        users = [node for node in self.nodes(operator) if name in node.input]
        return users[0] if len(users) == 1 else None

    def constant(self, name: str) -> Any:
        """A constant as a number or a list of numbers; None where it is none."""
        tensor = self._constants.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor).tolist()

    def bands(self, maps: str) -> int:
        """Bands of maps; 0 where they are not known."""
        shape = self._shapes.get(maps, [])
        return shape[_BAND_AXIS] if len(shape) == _BAND_AXIS + 1 else 0

    def is_over_bands(self, mean: onnx.NodeProto, *, kept: bool) -> bool:
        """Whether a mean is one over the bands of maps, whose axis it keeps or does not."""
        is_kept = bool(_attribute(mean, "keepdims", 1))
        axes = self.constant(mean.input[1]) if len(mean.input) > 1 else None
        return axes == [_BAND_AXIS] and is_kept == kept and self.bands(mean.input[0]) > 0

    def margin(self, inner: onnx.NodeProto) -> int | None:
        """How many frames a node cuts off at either end; None where it does something else."""
        starts, ends, axes, *steps = (self.constant(name) for name in inner.input[1:])
        is_plain = axes == [1] and steps in ([], [[1]]) and starts == [-ends[0]] and starts[0] > 0
        return int(starts[0]) if is_plain else None

    def inside(self, maps: str, margin: int) -> tuple[str, list[onnx.NodeProto]]:
        """Maps without a margin at either end in time, and the node that cuts it off."""
        if margin <= 0:
            return maps, []
        bounds = [
            self._new_constant(f"{maps}_{name}", value)
            for name, value in (("first", margin), ("end", -margin), ("axis", _TIME_AXIS))
        ]
        return f"{maps}_inside", [helper.make_node("Slice", [maps, *bounds], [f"{maps}_inside"])]

    def rows(self, maps: str, out: str) -> list[onnx.NodeProto]:
        """From maps of one band to `(clip, time, channel)`."""
        axis = self._new_constant(f"{out}_band", _BAND_AXIS)
        squeezed = f"{out}_channels"
        return [
            helper.make_node("Squeeze", [maps, axis], [squeezed]),
            helper.make_node("Transpose", [squeezed], [out], perm=[0, 2, 1]),
        ]

    def _new_constant(self, name: str, value: int) -> str:
        self._graph.initializer.append(numpy_helper.from_array(np.array([value], np.int64), name))
        return name

    def replace(self, node: onnx.NodeProto, *others: onnx.NodeProto) -> None:
        """Other nodes in the place of one."""
        at = next(number for number, each in enumerate(self._graph.node) if each.output == node.output)
        nodes = [*self._graph.node[:at], *others, *self._graph.node[at + 1 :]]
        del self._graph.node[:]
        self._graph.node.extend(nodes)

    def prune(self) -> None:
        """Leave out what no output depends on any more."""
        needed = {each.name for each in self._graph.output}
        kept = []
        for node in reversed(self._graph.node):
            if needed & set(node.output):
                kept.append(node)
                needed |= set(node.input)
        initializers = [tensor for tensor in self._graph.initializer if tensor.name in needed]
        for field, values in (("node", kept[::-1]), ("initializer", initializers), ("value_info", [])):
            del getattr(self._graph, field)[:]
            getattr(self._graph, field).extend(values)


def _pool(maps: str, out: str, kernel: Sequence[int], time_padding: int = 0) -> onnx.NodeProto:
    """A mean of neighbours in time and of bands, over those that there are."""
    padding = [time_padding, 0, time_padding, 0]
    return helper.make_node("AveragePool", [maps], [out], kernel_shape=list(kernel), pads=padding)


def _attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    found = [helper.get_attribute_value(each) for each in node.attribute if each.name == name]
    return found[0] if found else default
