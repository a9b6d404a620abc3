"""Mixtures of clips for distillation: random crops, overlaid and in sequence, and what phones and rooms do to them.

Waveforms are mixed; most damage is done to mel power, where a gain is a factor, a band limit a mask, uncorrelated
noise a sum and a room's tail a decaying filter over time: a hundredth of the work on samples. Clipping is not linear
and is done to samples. On a GPU, `tensor_mixtures` does more of it on samples.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from soundseek._typing import FloatArray
from soundseek.audio.logmel import FrontEndConfig, LogMel, mel_matrix
from soundseek.learn.data.decoded_cache import WaveformCache

BAND_LIMITS_HZ = (4_000.0, 8_000.0, 11_000.0)
CROP_LENGTHS_S = (1.5, 3.0, 5.0, 5.0, 5.0, 8.0)
"""One is drawn for each batch; short ones keep the trunk honest on short files."""


def draw_crop(cache: WaveformCache, num_samples: int, generator: np.random.Generator) -> FloatArray:
    """`(num_samples,)` of one random clip at a random speed (half of the time) and level.

    A longer clip is cut at random; a shorter one lies at a random place in silence.
    """
    number = int(generator.integers(len(cache)))
    speed = float(2 ** generator.uniform(-0.35, 0.35)) if generator.random() < 0.5 else 1.0
    needed = min(int(num_samples * speed) + 2, cache.lengths[number])
    start = int(generator.integers(cache.lengths[number] - needed + 1))
    piece = cache.read(number, start, start + needed)
    if speed != 1.0:
        positions = np.arange(0, len(piece) - 1, speed)
        piece = np.interp(positions, np.arange(len(piece)), piece).astype(np.float32)
    piece = piece[:num_samples]
    peak = float(np.abs(piece).max(initial=1e-4))
    level = np.float32(10 ** (generator.uniform(-18, 0) / 20) / max(peak, 0.02))
    crop = np.zeros(num_samples, np.float32)
    offset = int(generator.integers(num_samples - len(piece) + 1))
    crop[offset : offset + len(piece)] = piece * level
    return crop


def draw_mixture(cache: WaveformCache, num_samples: int, generator: np.random.Generator) -> FloatArray:
    """`(num_samples,)`: one crop, two or three overlaid, or two in sequence with a crossfade of up to 0.2 s."""
    kind = generator.random()
    first = draw_crop(cache, num_samples, generator)
    if kind < 0.40:
        return first
    second = draw_crop(cache, num_samples, generator)
    if kind < 0.70:
        mixture = first + second
    elif kind < 0.80:
        mixture = first + second + draw_crop(cache, num_samples, generator)
    else:
        cut = generator.uniform(0.25, 0.75) * num_samples
        fade = generator.uniform(0.005, 0.2) * cache.sample_rate_hz
        gate = np.clip((np.arange(num_samples) - cut) / fade + 0.5, 0, 1).astype(np.float32)
        mixture = first * (1 - gate) + second * gate
    peak = float(np.abs(mixture).max())
    return mixture / np.float32(peak) if peak > 1 else mixture


def clip_samples(waveform: FloatArray, generator: np.random.Generator) -> FloatArray:
    """The waveform overdriven by 3 to 20 dB and clipped at its old peak."""
    peak = max(float(np.abs(waveform).max()), 1e-4)
    clipped: FloatArray = np.clip(waveform * np.float32(10 ** (generator.uniform(3, 20) / 20)), -peak, peak)
    return clipped


class MelDamage:
    """What happens to a recording before anyone hears it, on mel power `(time, mel)`."""

    def __init__(self, config: FrontEndConfig) -> None:
        self._config = config
        weights = mel_matrix(config)
        bins_hz = np.linspace(0, config.sample_rate_hz / 2, len(weights))
        total = weights.sum(axis=0)
        self._centres_hz = (weights.T @ bins_hz / np.maximum(total, 1e-9)).astype(np.float32)
        self._band_gain = total.astype(np.float32)
        # White noise of unit variance through pre-emphasis and window has this expected power in a bin.
        emphasis = (
            1
            + config.pre_emphasis**2
            - 2 * config.pre_emphasis * np.cos(np.pi * np.linspace(0, 1, len(weights)))
        )
        self._white = (weights.T @ emphasis).astype(np.float32)

    def __call__(self, log_mel: FloatArray, generator: np.random.Generator) -> FloatArray:
        """A damaged copy of normalised natural-log features `(time, mel)`; a third of all come back as they are."""
        if generator.random() < 0.33:
            return log_mel
        config = self._config
        power = np.exp(log_mel * np.float32(config.scale) - np.float32(config.offset)) - np.float32(
            config.floor
        )
        np.maximum(power, 0, out=power)
        if generator.random() < 0.25:
            power = self._reverberate(power, generator)
        if generator.random() < 0.3:
            power = power + self._noise(power, generator)
        if generator.random() < 0.4:
            limit_hz = generator.choice(BAND_LIMITS_HZ) * generator.uniform(0.85, 1.1)
            slope = np.clip((self._centres_hz - limit_hz) / (0.05 * limit_hz), 0, 12)
            power = power * np.exp(-slope * np.float32(1.5)).astype(np.float32)
        if generator.random() < 0.6:
            power = power * np.float32(10 ** (generator.uniform(-36, 6) / 10))
        damaged = np.log(power + np.float32(config.floor))
        features: FloatArray = ((damaged + np.float32(config.offset)) / np.float32(config.scale)).astype(
            np.float32
        )
        return features

    def _noise(self, power: FloatArray, generator: np.random.Generator) -> FloatArray:
        """Stationary noise at 3 to 30 dB below the clip, between white and brown."""
        tilt = (np.maximum(self._centres_hz, 50) / 1000) ** -generator.uniform(0, 2)
        shape = self._white * tilt.astype(np.float32)
        level = power.mean() * power.shape[1] / shape.sum() * 10 ** (-generator.uniform(3, 30) / 10)
        # A band averages several bins, each exponentially distributed: wide bands fluctuate less.
        degrees = np.maximum(1.0, self._band_gain / 2)
        noise: FloatArray = (shape * level * generator.gamma(degrees, 1 / degrees, power.shape)).astype(
            np.float32
        )
        return noise

    def _reverberate(self, power: FloatArray, generator: np.random.Generator) -> FloatArray:
        """An exponentially decaying tail, 0.2 to 1.2 s to -60 dB, 0 to 10 dB below the direct sound."""
        decay = np.float32(10 ** (-6 * self._config.hop_s / generator.uniform(0.2, 1.2)))
        tail = np.empty_like(power)
        state = np.zeros(power.shape[1], np.float32)
        for t in range(len(power)):
            state = state * decay + power[t] * (1 - decay)
            tail[t] = state
        wet: FloatArray = power + tail * np.float32(10 ** (-generator.uniform(0, 10) / 10) * 8)
        return wet


class MixtureBatch(NamedTuple):
    """What teacher and student hear: `(batch, time, mel)` each."""

    clean: Tensor
    damaged: Tensor


def draw_batch(
    cache: WaveformCache,
    log_mel: LogMel,
    damage: MelDamage | None,
    batch_s: float,
    generator: np.random.Generator,
) -> MixtureBatch:
    """A batch of mixtures of one random length, clean and damaged; without `damage` both are the same."""
    length_s = float(generator.choice(CROP_LENGTHS_S))
    size = min(40, max(2, round(batch_s / length_s)))
    num_samples = round(length_s * cache.sample_rate_hz)
    clean, damaged = [], []
    for _ in range(size):
        mixture = draw_mixture(cache, num_samples, generator)
        heard = features = log_mel(mixture)
        if damage and generator.random() < 0.12:
            heard = log_mel(clip_samples(mixture, generator))
        clean.append(features)
        damaged.append(damage(heard, generator) if damage else features)
    return MixtureBatch(torch.from_numpy(np.stack(clean)), torch.from_numpy(np.stack(damaged)))


def prefetched(draw: Callable[[int], MixtureBatch], first_step: int) -> Iterator[MixtureBatch]:
    """Endless batches, from that of `first_step` on, that another thread draws while the networks learn."""
    ready: queue.Queue[MixtureBatch | BaseException] = queue.Queue(maxsize=3)

    def feed() -> None:
        try:
            for step in itertools.count(first_step):
                ready.put(draw(step))
        except BaseException as error:  # handed to the trainer, which raises it
            ready.put(error)

    threading.Thread(target=feed, daemon=True).start()
    while True:
        item = ready.get()
        if isinstance(item, BaseException):
            raise item
        yield item
