"""Golden vectors: those of a few made sounds and sentences, which tell whether two models are one.

Hashes of the networks cannot tell: another version of the exporter writes other bytes, another processor rounds
differently, and the vectors stay the same.
"""

from __future__ import annotations

import tempfile
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from soundseek._typing import FloatArray
from soundseek.errors import ModelError
from soundseek.model.model import Model

AGREEMENT = 0.9999
"""Least cosine of a probe's vector with the stored one. Processors and versions differ by some 1e-6; heads trained
once more, or a trunk of another training, by far more than 1e-2."""

SENTENCES = (
    "a dog",
    "a dog barks while it rains",
    "birds sing, then a door is closed and footsteps fade away",
    "someone types quickly on a mechanical keyboard in a quiet room",
    "thunder",
)
_DURATION_S = 4.0


def probe_sounds(sample_rate_hz: int) -> Iterator[npt.NDArray[np.int16]]:
    """Waveforms `(samples,)`: white noise, a faint hum of it, a note that beats, a sweep, clicks.

    Sixteen bits, so that a sine that differs in its last digit on another processor is the same sound.
    """
    # RandomState's numbers are promised never to change, which those of a Generator are not.
    random = np.random.RandomState(0)
    samples = round(_DURATION_S * sample_rate_hz)
    time_s = np.arange(samples) / sample_rate_hz
    noise = random.standard_normal(samples)
    clicks = np.zeros(samples)
    clicks[random.randint(0, samples, 30)] = random.uniform(-1, 1, 30)
    note = sum(np.sin(2 * np.pi * 330.0 * harmonic * time_s) / harmonic for harmonic in range(1, 6))
    sweep = np.sin(2 * np.pi * 60.0 * (2.0 ** (2 * time_s) - 1) / (2 * np.log(2)))  # two octaves a second
    loud, faint = 0.5, 0.01
    for level, shape in (
        (loud, noise),
        (faint, np.convolve(noise, np.hanning(64), "same")),
        (loud, note * (1 + np.sin(2 * np.pi * 4 * time_s))),
        (loud, sweep),
        (loud, clicks + 1e-3 * noise),
    ):
        yield np.rint(level * 32767 * shape / np.abs(shape).max()).astype(np.int16)


def golden_vectors_of(model: Model) -> dict[str, FloatArray]:
    """What a model makes of the probes: `audio` and `text`, `(probe, dim)` each, unit norm."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, samples in enumerate(probe_sounds(model.front_end.sample_rate_hz)):
            paths.append(Path(folder) / f"{number}.wav")
            with wave.open(str(paths[-1]), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(model.front_end.sample_rate_hz)
                file.writeframes(samples.astype("<i2").tobytes())
        return {"audio": model.embed_audio(paths), "text": model.embed_text(SENTENCES)}


def save_probes(vectors: dict[str, FloatArray], path: Path) -> None:
    """Write vectors of `golden_vectors_of` in half precision, which moves a cosine by less than 1e-6."""
    np.savez(path, **{name: rows.astype(np.float16) for name, rows in vectors.items()})  # type: ignore[arg-type]


def agreement(directory: Path, path: Path) -> float:
    """The least cosine between a model directory's vectors of the probes and those in a file of `save_probes`.

    Raises:
        ModelError: The directory cannot be used, or the file holds vectors of other probes or of another width.
    """
    worst = 1.0
    with np.load(path, allow_pickle=False) as stored:
        for name, found in golden_vectors_of(Model(directory)).items():
            expected = stored[name].astype(np.float32)
            if expected.shape != found.shape:
                raise ModelError(
                    f"{path}: {name} has the shape {expected.shape}, the model gives {found.shape}"
                )
            cosines = (expected * found).sum(axis=1) / np.linalg.norm(expected, axis=1)
            worst = min(worst, float(np.nan_to_num(cosines, nan=-1.0).min()))
    return worst
