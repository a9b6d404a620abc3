"""int8 convolutions for `audio.onnx`: weights and activations, with ranges measured on calibration sounds.

Large convolutional trunks (CNN14) win a factor in speed by it; `quantize` only makes a text tower's file smaller. The
ranges are fixed at export (static quantisation): ranges taken anew from each input would make a frame depend on the
whole chunk it is computed in.
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

from soundseek.audio.decode import AUDIO_EXTENSIONS, read_audio
from soundseek.audio.logmel import FrontEndConfig, LogMel
from soundseek.errors import DecodeError, ModelError, UsageError

Float = npt.NDArray[np.float32]

_SYNTHETIC_S = 4.0
_LONGEST_S = 10.0  # of a calibration sound: the window in which the searching half hears
_FEWEST, _MOST = 4, 64  # calibration sounds: one in four only compares; ranges settle within a few dozen
_CHECK_RATE_HZ = 8_000  # at which a file is tried: decoding shows whether it can be heard, at any rate


def quantize_convolutions(path: Path, log_mels: Sequence[Float]) -> None:
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
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, _quiet():
        quantized = Path(folder) / path.name
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
        quantized.replace(path)


def calibration_log_mels(front_end: FrontEndConfig, sounds: Sequence[Path] = ()) -> list[Float]:
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


def find_sounds(folder: Path, *, report: Callable[[str], None] = lambda line: None) -> list[Path]:
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


def synthetic_sounds(sample_rate_hz: int, *, seed: int = 0) -> list[Float]:
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

    def __init__(self, name: str, log_mels: Sequence[Float]) -> None:
        self._feeds = iter([{name: log_mel[None]} for log_mel in log_mels])

    def get_next(self) -> dict[str, Any] | None:
        return next(self._feeds, None)


def _noise(samples: int, slope: float, generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """Noise whose amplitude falls as frequency to the power of `slope`."""
    spectrum = np.fft.rfft(generator.standard_normal(samples))
    return np.asarray(np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 1) ** slope, samples))


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
