"""What teacher and student hear: mixtures of random clips, and damaged copies of them, without end."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from soundseek.audio.logmel import LogMel
from soundseek.learn.data.waveforms import WaveformCache
from soundseek.learn.distill.config import DistillConfig
from soundseek.learn.mixtures import CROP_LENGTHS_S, MelDamage, clip_samples, draw_mixture


class Batch(NamedTuple):
    """What teacher and student hear: `(batch, time, mel)` each."""

    clean: Tensor
    damaged: Tensor


def draw_batch(
    cache: WaveformCache,
    log_mel: LogMel,
    damage: MelDamage | None,
    batch_s: float,
    generator: np.random.Generator,
) -> Batch:
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
    return Batch(torch.from_numpy(np.stack(clean)), torch.from_numpy(np.stack(damaged)))


def batches(
    cache: WaveformCache, log_mel: LogMel, config: DistillConfig, *, rank: int, first_step: int
) -> Iterator[Batch]:
    """Endless batches made by another thread; each depends on (seed, rank, step) alone."""
    ready: queue.Queue[Batch | BaseException] = queue.Queue(maxsize=3)
    damage = MelDamage(log_mel.config) if config.damage else None

    def feed() -> None:
        step = first_step
        try:
            while True:
                generator = np.random.default_rng([config.seed, rank, step])
                ready.put(draw_batch(cache, log_mel, damage, config.batch_s, generator))
                step += 1
        except BaseException as error:  # handed to the trainer, which raises it
            ready.put(error)

    threading.Thread(target=feed, daemon=True).start()
    while True:
        item = ready.get()
        if isinstance(item, BaseException):
            raise item
        yield item
