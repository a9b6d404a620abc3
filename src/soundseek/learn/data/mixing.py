"""Sounds for the heads to learn from: a clip, two at once, one after the other, a scene; clean, degraded or altered."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from soundseek._typing import FloatArray
from soundseek.audio.decode import read_audio
from soundseek.audio.files import DECODING_REVISION
from soundseek.learn.data.how_it_sounds import MANNERS
from soundseek.learn.datasets.download import digest_of

_REVISION = 1  # part of every key: raise it when the same `SoundSpec` would give another waveform
SCENE_S = 10.0  # as long as a segment


@dataclass(frozen=True)
class SoundSpec:
    """What makes one waveform, down to the last random choice.

    Attributes:
        kind: "clip": one part, whole; "overlay": two parts at once; "sequence": the second after the first; "scene":
            ten seconds of the first, over which the others happen.
        parts: Sound files.
        seed: Of the crops, levels, gaps and degradations.
        degraded: Change its level, band, noise, room or clipping.
        part_s: Longest piece of a part in a mixture, in seconds.
        manner: How it is made to sound, one of `MANNERS`; "" leaves it as it is.
    """

    kind: Literal["clip", "overlay", "sequence", "scene"]
    parts: tuple[Path, ...]
    seed: int = 0
    degraded: bool = False
    part_s: float = 10.0
    manner: str = ""

    def key(self) -> str:
        """32 hex digits of everything the waveform depends on: the files' contents, not their names."""
        contents = [content_digest(part) for part in self.parts]
        revisions = [_REVISION, DECODING_REVISION]
        values: list[object] = [*revisions, self.kind, contents, self.seed, self.degraded, self.part_s]
        if self.manner:  # sounds without one keep the keys that they had
            values.append(self.manner)
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:32]


def content_digest(path: Path) -> str:
    """The sha256 of what a file holds now, in hexadecimal; a file that has not changed is read once a process."""
    state = path.stat()
    # The time of the last change of the file's own record: nobody sets it back, as a copy sets back the others.
    return _digest_of(path, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


@cache
def _digest_of(path: Path, *state: int) -> str:
    return digest_of(path, "sha256")


def render(
    sound: SoundSpec, sample_rate_hz: int, *, read: Callable[[Path], FloatArray] | None = None
) -> FloatArray:
    """The waveform `(samples,)` of a sound, the same at every call.

    Args:
        sound: What to render.
        sample_rate_hz: Of the waveform.
        read: From a part to its waveform at this rate; None decodes the file.

    Raises:
        DecodeError: A part cannot be decoded.
    """
    generator = np.random.default_rng([sound.seed, _REVISION])
    if read is None:
        parts = [read_audio(part, sample_rate_hz=sample_rate_hz) for part in sound.parts]
    else:
        parts = [read(part) for part in sound.parts]
    if sound.kind == "clip":
        waveform = parts[0]
    elif sound.kind == "scene":
        waveform = scene(parts[0], parts[1:], sample_rate_hz, generator)
    else:
        longest = round(sound.part_s * sample_rate_hz)
        first, second = (_crop(part, longest, generator) for part in parts)
        if sound.kind == "overlay":
            waveform = overlay(first, second, generator)
        else:
            waveform = in_sequence(first, second, sample_rate_hz, generator)
    if sound.manner:
        waveform = MANNERS[sound.manner].change(waveform, sample_rate_hz, generator)
    return degrade(waveform, sample_rate_hz, generator) if sound.degraded else waveform


def overlay(first: FloatArray, second: FloatArray, generator: np.random.Generator) -> FloatArray:
    """Both at once: the shorter starts anywhere inside the longer, their levels differ by at most 6 dB."""
    second = _match_level(second, first, generator.uniform(-6, 6))
    longer, shorter = (first, second) if len(first) >= len(second) else (second, first)
    mixed = longer.copy()
    start = int(generator.integers(len(longer) - len(shorter) + 1))
    mixed[start : start + len(shorter)] += shorter
    return _below_full_scale(mixed)


def in_sequence(
    first: FloatArray, second: FloatArray, sample_rate_hz: int, generator: np.random.Generator
) -> FloatArray:
    """One after the other, with a pause of up to 0.8 s or a crossfade of up to 0.4 s; levels within 9 dB."""
    second = _match_level(second, first, generator.uniform(-9, 9))
    if generator.random() < 0.5:
        pause = np.zeros(int(generator.uniform(0, 0.8) * sample_rate_hz), np.float32)
        return _below_full_scale(np.concatenate([first, pause, second]))
    fade = min(int(generator.uniform(0.05, 0.4) * sample_rate_hz), len(first), len(second))
    rising = np.linspace(0, 1, fade, dtype=np.float32)
    crossed = first[len(first) - fade :] * (1 - rising) + second[:fade] * rising
    return _below_full_scale(np.concatenate([first[: len(first) - fade], crossed, second[fade:]]))


def scene(
    background: FloatArray, events: Sequence[FloatArray], sample_rate_hz: int, generator: np.random.Generator
) -> FloatArray:
    """`SCENE_S` seconds of a background with each event somewhere in it, 3 dB below to 15 dB above it.

    A background that is shorter is repeated; an event is at most 6 s long.
    """
    length = round(SCENE_S * sample_rate_hz)
    bed = _crop(np.tile(background, -(-length // max(1, len(background)))), length, generator)
    for event in events:
        piece = _crop(event, round(6.0 * sample_rate_hz), generator)
        piece = _match_level(piece, bed, generator.uniform(-3, 15))
        start = int(generator.integers(length - len(piece) + 1))
        bed = bed.copy()
        bed[start : start + len(piece)] += piece
    return _below_full_scale(bed)


def degrade(waveform: FloatArray, sample_rate_hz: int, generator: np.random.Generator) -> FloatArray:
    """The sound as a phone, an old file or a far microphone gives it; always another level, often more."""
    # In the order of a recording chain: room, surroundings, transmission, overload, level.
    if generator.random() < 0.2:
        waveform = reverberate(waveform, sample_rate_hz, generator.uniform(0.2, 1.2), generator)
    if generator.random() < 0.35:
        waveform = add_noise(waveform, generator.uniform(5, 30), generator)
    if generator.random() < 0.55:
        waveform = band_limit(waveform, sample_rate_hz, float(generator.choice([4e3, 8e3, 11e3])))
    if generator.random() < 0.2:
        waveform = clip_peaks(waveform, generator.uniform(3, 15))
    level: FloatArray = np.clip(waveform * _amplitude(generator.uniform(-30, 6)), -1, 1)
    return level


def band_limit(waveform: FloatArray, sample_rate_hz: int, cutoff_hz: float) -> FloatArray:
    """Nothing above `cutoff_hz`; a raised cosine falls over the last tenth below it, as resamplers do."""
    size = _fast_size(len(waveform))
    spectrum = np.fft.rfft(waveform, size)
    position = np.clip((np.fft.rfftfreq(size, 1 / sample_rate_hz) / cutoff_hz - 0.9) / 0.1, 0, 1)
    spectrum *= (0.5 + 0.5 * np.cos(np.pi * position)).astype(np.float32)
    return np.fft.irfft(spectrum, size)[: len(waveform)].astype(np.float32)


def add_noise(waveform: FloatArray, snr_db: float, generator: np.random.Generator) -> FloatArray:
    """Steady noise, `snr_db` below the sound's mean power: white, pink or brown."""
    slope = float(generator.choice([0.0, 0.5, 1.0]))  # amplitude ~ 1 / f^slope
    size = _fast_size(len(waveform))
    spectrum = np.fft.rfft(generator.standard_normal(size, np.float32))
    spectrum /= (np.maximum(np.arange(len(spectrum)), 1) ** slope).astype(np.float32)
    noise = np.fft.irfft(spectrum, size)[: len(waveform)].astype(np.float32)
    return waveform + _match_level(noise, waveform, -snr_db)


def clip_peaks(waveform: FloatArray, over_db: float) -> FloatArray:
    """Overloaded: everything beyond a level `over_db` below the peak is cut off."""
    threshold = np.abs(waveform).max(initial=0) * _amplitude(-over_db)
    return np.clip(waveform, -threshold, threshold)


def reverberate(
    waveform: FloatArray, sample_rate_hz: int, decay_s: float, generator: np.random.Generator
) -> FloatArray:
    """In a room whose reverberation falls by 60 dB in `decay_s` seconds; as long and as loud as before."""
    length = int(decay_s * sample_rate_hz)
    response = generator.standard_normal(length, np.float32)
    response *= np.logspace(0, -3, length, dtype=np.float32)
    # The reverberant energy is 0.1 to 1 of the direct sound's: near to far.
    response *= np.float32(math.sqrt(generator.uniform(0.1, 1.0) / float(np.sum(response**2))))
    response[0] = 1.0
    size = _fast_size(len(waveform) + length)
    wet = np.fft.irfft(np.fft.rfft(waveform, size) * np.fft.rfft(response, size), size)[: len(waveform)]
    return _match_level(wet.astype(np.float32), waveform, 0.0)


def _fast_size(length: int) -> int:
    """The next length whose only prime factors are 2, 3 and 5: a prime one makes an FFT many times slower."""
    return min(factor << max(0, math.ceil(math.log2(length / factor))) for factor in (1, 3, 5, 9, 15))


def _crop(waveform: FloatArray, longest: int, generator: np.random.Generator) -> FloatArray:
    start = int(generator.integers(max(0, len(waveform) - longest) + 1))
    return waveform[start : start + longest]


def _match_level(waveform: FloatArray, reference: FloatArray, difference_db: float) -> FloatArray:
    """`waveform` with a level `difference_db` above that of `reference` (root mean square)."""
    level, wanted = (float(np.sqrt(np.mean(np.square(x)))) for x in (waveform, reference))
    matched: FloatArray = waveform * np.float32(wanted / max(level, 1e-6)) * _amplitude(difference_db)
    return matched


def _below_full_scale(waveform: FloatArray) -> FloatArray:
    quieter: FloatArray = waveform * np.float32(0.98 / max(0.98, float(np.abs(waveform).max(initial=0))))
    return quieter


def _amplitude(level_db: float) -> float:
    return math.pow(10, level_db / 20)
