"""Sounds that a network will be tested on, and whether a piece of sound is one of them under another coding."""

from __future__ import annotations

import csv
import re
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

Float = npt.NDArray[np.float32]

RATE_HZ = 16_000
HOP = 320  # 20 ms
NUM_BANDS = 24
FRAMES = 25  # a template is half a second, the length of the shortest held-out sound
TEMPLATE_EVERY_S = 2.0  # a clip joined from several recordings gets a template in each
SAME = 0.8  # 92% of held-out clips shifted, attenuated and coded as mp3 lie above, 4% of other sounds do

_WINDOW = np.hanning(2 * HOP).astype(np.float32)
_EDGES = (np.geomspace(100, 7000, NUM_BANDS + 1) * (2 * HOP / RATE_HZ)).round().astype(int)  # bins of 25 Hz


class HeldOut:
    """The clips of the validation and evaluation splits of a collection in Clotho's layout.

    A clip is known by its original file name and by half-second templates of its log spectrum, which outlive
    trimming, a change of level and a lossy codec.
    """

    def __init__(self, sounds: Path) -> None:
        self.names: set[str] = set()
        templates: list[Float] = []
        with (sounds / "metadata.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["split"] == "development":
                    continue
                self.names |= original_stems(row["original_name"])
                waveform, rate_hz = soundfile.read(sounds / row["split"] / row["file_name"], dtype="float32")
                templates += _templates(log_bands(at_rate(waveform, rate_hz)))
        self._templates = np.stack(templates)  # (template, NUM_BANDS * FRAMES), unit norm

    def has_name(self, name: str) -> bool:
        """Whether a file of this name, whatever its folder and extension, was a source of a held-out clip."""
        return PurePosixPath(name).stem.lower() in self.names

    def has_sound(self, waveform: Float, rate_hz: int) -> bool:
        """Whether half a second of `waveform` `(samples,)` is that of a held-out clip."""
        return self.likeness(waveform, rate_hz) > SAME

    def likeness(self, waveform: Float, rate_hz: int) -> float:
        """The highest correlation of any half second of `waveform` with a template, -1 to 1."""
        mono = at_rate(waveform, rate_hz)
        best = -1.0
        for phase in (0, HOP // 2):  # templates start anywhere between two frames: 10 ms halves the distance
            bands = log_bands(mono[phase:])
            if len(bands) >= FRAMES:
                best = max(best, float((_unit(_texture(bands)) @ self._templates.T).max()))
        return best


def original_stems(original_name: str) -> set[str]:
    """File names, without folder and extension, in an `original_name` of metadata.csv.

    Example:
        >>> sorted(original_stems("joined: a_ro.ogg + b_ro.ogg")), original_stems("x/rain.ogg (piece 3 of 4)")
        (['a_ro', 'b_ro'], {'rain'})
    """
    plain = re.sub(r"^joined: | \(piece .*\)$| \[[^]]*\]$", "", original_name)
    return {PurePosixPath(part.strip()).stem.lower() for part in plain.split(" + ")}


def at_rate(waveform: Float, rate_hz: int) -> Float:
    """`waveform` `(samples,)` at `RATE_HZ`."""
    if rate_hz == RATE_HZ:
        return waveform
    resampled: Float = soxr.resample(waveform, rate_hz, RATE_HZ, quality="LQ")
    return resampled


def log_bands(mono: Float) -> Float:
    """Log energies `(frame, NUM_BANDS)` of a sound at `RATE_HZ`, every 20 ms, between 100 Hz and 7 kHz."""
    if len(mono) < 2 * HOP:
        return np.empty((0, NUM_BANDS), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(mono, 2 * HOP)[::HOP] * _WINDOW
    power = np.abs(np.fft.rfft(frames)) ** 2
    energies = np.add.reduceat(power[:, : _EDGES[-1]], _EDGES[:-1], axis=1)
    # The floor hides what a codec adds far below the sound, relative to the loudest band.
    bands: Float = np.log(energies + 1e-5 * energies.max() + 1e-12).astype(np.float32)
    return bands


def _templates(bands: Float) -> list[Float]:
    """One template for every two seconds of a clip, where most happens."""
    templates = []
    step = round(TEMPLATE_EVERY_S * RATE_HZ / HOP)
    for start in range(0, max(1, len(bands) - FRAMES + 1), step):
        part = bands[start : start + step + FRAMES]
        if len(part) < FRAMES:
            continue
        flat = _texture(part)
        best = int((flat**2).sum(axis=1).argmax())
        templates.append(_unit(flat[best : best + 1])[0])
    return templates


def _texture(bands: Float) -> Float:
    """Every half second `(start, FRAMES * NUM_BANDS)`, less the mean of each band and of each frame in it.

    What is left is the grain of that one recording: all noises have the same tilt, and all blows decay alike.
    """
    windows = np.lib.stride_tricks.sliding_window_view(bands, FRAMES, axis=0)  # (start, band, frame)
    windows = windows - windows.mean(axis=2, keepdims=True)
    windows -= windows.mean(axis=1, keepdims=True)
    texture: Float = windows.reshape(len(windows), -1)
    return texture


def _unit(flat: Float) -> Float:
    unit: Float = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return unit
