"""8 bits for ONNX networks: computing in int8 (convolutions), or storing in int8 (weights).

`quantize_convolutions` makes large convolutional trunks such as CNN14 several times faster. Weights and activations
are int8; the ranges of activations are measured on calibration sounds and fixed at export (static quantisation),
because ranges taken from each input would make a frame depend on the whole chunk that it is computed in.

`quantize_weights` keeps a text network's matrices in int8, also in memory; `shrink_weights` makes only the file
smaller. Each row of an embedding table and each output channel of a matrix has its own scale. Activations stay fp32,
so nothing needs calibration.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from soundseek._typing import FloatArray
from soundseek.audio.decode import AUDIO_EXTENSIONS, read_audio
from soundseek.audio.logmel import FrontEndConfig, LogMel
from soundseek.errors import DecodeError, ModelError, UsageError

_SYNTHETIC_S = 4.0
_LONGEST_S = 10.0  # of a calibration sound: the window in which the searching half hears
_FEWEST, _MOST = 4, 64  # calibration sounds: one in four only compares; ranges settle within a few dozen
_CHECK_RATE_HZ = 8_000  # at which a file is tried: decoding shows whether it can be heard, at any rate


def quantize_convolutions(path: Path, log_mels: Sequence[FloatArray]) -> None:
    """Rewrite an ONNX file with int8 convolutions.

    The first convolution stays fp32: it has one channel to read, so it is cheap, and its input's range is the widest.

    Args:
        path: The file; its input is one log-mel `(1, time, mel)`.
        log_mels: `(time, mel)` each; what the activations reach on them is the range they get.

    Raises:
        ModelError: Nothing to calibrate with, or no convolution to quantise.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    if not log_mels:
        raise ModelError(
            "no sounds to calibrate int8 convolutions with: give several, every fourth is kept to compare"
        )
    graph = onnx.load(str(path)).graph
    convolutions = [node.name for node in graph.node if node.op_type == "Conv"]
    if len(convolutions) < 2:
        raise ModelError(f"{path} has {len(convolutions)} convolutions; int8 is for networks of several")
    with _replaced(path) as quantized, _quiet():
        quantize_static(
            str(path),
            str(quantized),
            _Reader(graph.input[0].name, log_mels),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=convolutions[:1],
            per_channel=True,  # every output channel's weights get a scale of their own
            activation_type=QuantType.QUInt8,  # behind a ReLU nothing is negative
            weight_type=QuantType.QInt8,
        )


def calibration_log_mels(front_end: FrontEndConfig, sounds: Sequence[Path] = ()) -> list[FloatArray]:
    """Log-mels `(time, mel)` of sounds, or of synthetic ones where none are given.

    Args:
        front_end: The model's.
        sounds: Files; the first ten seconds of each are heard. A few dozen, as different as those to be searched.

    Raises:
        DecodeError: A file that cannot be heard.
    """
    log_mel, rate = LogMel(front_end), front_end.sample_rate_hz
    if sounds:
        longest = round(_LONGEST_S * rate)
        return [log_mel(read_audio(path, sample_rate_hz=rate)[:longest]) for path in sounds]
    return [log_mel(waveform) for waveform in synthetic_sounds(rate)]


def find_calibration_sounds(folder: Path, *, report: Callable[[str], None] = lambda line: None) -> list[Path]:
    """Up to 64 sounds of a folder and those below it, spread evenly over their sorted paths.

    Args:
        folder: Such as a sample of what will be searched.
        report: Told of each file that cannot be heard and is left out.

    Raises:
        UsageError: No such folder, or fewer than four sounds in it that can be heard.
    """
    if not folder.is_dir():
        raise UsageError(f"no folder {folder} to calibrate with; --calibrate takes a folder of sounds")
    found = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_EXTENSIONS and path.is_file()
    )
    sounds = []
    for path in found[:: -(-len(found) // _MOST) or 1]:
        try:
            read_audio(path, sample_rate_hz=_CHECK_RATE_HZ)
        except DecodeError as error:  # one bad file never stops the others
            report(f"left out: {error}")
        else:
            sounds.append(path)
    if len(sounds) < _FEWEST:
        raise UsageError(
            f"{folder} holds {len(sounds)} sounds that can be heard, but int8 needs at least {_FEWEST} to calibrate "
            "with, better a few dozen; without --calibrate, synthetic sounds are used"
        )
    return sounds


def synthetic_sounds(sample_rate_hz: int, *, seed: int = 0) -> list[FloatArray]:
    """Waveforms `(samples,)` over the range of what is recorded: noises, notes, a sweep and clicks, loud and quiet."""
    generator = np.random.default_rng(seed)
    samples = round(_SYNTHETIC_S * sample_rate_hz)
    time_s = np.arange(samples) / sample_rate_hz
    shapes = [_noise(samples, slope, generator) for slope in (0.0, 0.5, 1.0)]  # white, pink, brown
    for pitch_hz in (90.0, 440.0, 2500.0):
        note = sum(np.sin(2 * np.pi * pitch_hz * k * time_s) / k for k in range(1, 6))
        shapes.append(note * (1 + np.sin(2 * np.pi * 4 * time_s)))  # four beats a second
    shapes.append(
        np.sin(2 * np.pi * 50 * (2.0 ** (2 * time_s) - 1) / (2 * np.log(2)))
    )  # two octaves a second
    clicks = np.zeros(samples)
    clicks[generator.integers(0, samples, 40)] = generator.uniform(-1, 1, 40)
    shapes.append(clicks + 1e-3 * _noise(samples, 0.0, generator))
    levels_db = (-6.0, -40.0)
    return [
        (10 ** (level_db / 20) * shape / np.abs(shape).max()).astype(np.float32)
        for shape in shapes
        for level_db in levels_db
    ]


class _Reader:
    """What ONNX Runtime's calibration asks its inputs from: a feed a call, None at the end."""

    def __init__(self, name: str, log_mels: Sequence[FloatArray]) -> None:
        self._feeds = iter([{name: log_mel[None]} for log_mel in log_mels])

    def get_next(self) -> dict[str, Any] | None:
        return next(self._feeds, None)


def _noise(samples: int, slope: float, generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """Noise whose amplitude falls as frequency to the power of `slope`."""
    spectrum = np.fft.rfft(generator.standard_normal(samples))
    return np.asarray(np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 1) ** slope, samples))


@contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    """Where to write the file that takes the place of another, once all went well."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        yield Path(folder) / path.name
        (Path(folder) / path.name).replace(path)


@contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime advises on the root logger to run a pre-processing that the exporter has done already."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


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


def quantize_products(path: Path) -> None:
    """Rewrite an ONNX file with its matrix products in int8; ranges of activations are measured on each input.

    For networks that get clips of one length alone, such as CLAP's: there an input is a whole window, so that nothing
    outside it can change its vector. Attention's products of two activations stay fp32.

    Raises:
        ModelError: There is no product of an activation and a matrix.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(str(path)).graph
    weights = {tensor.name for tensor in graph.initializer}
    if not any(node.op_type in ("MatMul", "Gemm") and weights & set(node.input) for node in graph.node):
        raise ModelError(f"{path} has no matrix products to compute in int8")
    with _replaced(path) as quantized, _quiet():
        quantize_dynamic(
            str(path),
            str(quantized),
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,  # every output channel's weights get a scale of their own
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
