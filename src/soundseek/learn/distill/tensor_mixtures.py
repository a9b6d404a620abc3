"""Mixtures as tensors, made where the networks are: a GPU that waits for the CPU's mixtures has nothing to do.

All clips lie in the device's memory as 16-bit samples (an hour is 230 MB). A batch is made by some hundred operations
on `(batch, samples)`: crops at random speeds, levels, overlays of up to three, sequences, and scenes of events over a
background. What the student hears of them may be reverberant, noisy, clipped, band-limited, tilted or coded. A mixture
depends on (seed, step) alone.

`mixtures` does the same with less work for a CPU: most damage there is done to mel power.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from soundseek._typing import DoubleArray
from soundseek.audio.logmel import FrontEndConfig, mel_matrix, padded_window
from soundseek.learn.data.decoded_cache import WaveformCache
from soundseek.learn.distill.mixtures import MixtureBatch

LENGTHS_FRAMES = {1024: 0.45, 512: 0.35, 256: 0.12, 128: 0.08}
"""Log-mel frames of all crops of a step, and how often; few, for a GPU prepares its kernels anew for every shape."""

KINDS = {"one": 0.34, "two": 0.24, "three": 0.14, "sequence": 0.14, "scene": 0.14}
"""How often a mixture is one crop, two or three overlaid, two in sequence, or an event or two over a background."""

REVERSED = 0.1
"""Share of crops that are heard backwards: sounds that no collection has, of which the teacher has its opinion, too."""

OCTAVES = {"as it is": 0.5, "near": 0.38, "far": 0.12}
"""How often a crop is as fast as it was recorded, up to 0.4 octaves slower or faster, or up to one octave."""

PEAK_DBFS = -6.0
"""To which recordings are brought before soundseek-small hears them (`audio.trunk_options.peak_dbfs`)."""

_ROWS_AT_ONCE_S = 1300.0  # of sound: bounds the memory that spectra take


class TensorLogMel:
    """`soundseek.audio.logmel.LogMel` for batches of waveforms on a device."""

    def __init__(self, config: FrontEndConfig, device: torch.device) -> None:
        self.config = config
        self._window = torch.from_numpy(padded_window(config)).to(device)
        self._mel = torch.from_numpy(mel_matrix(config)).to(device)

    def __call__(self, waveform: Tensor) -> Tensor:
        """Log-mels `(batch, time, mel)` of waveforms `(batch, samples)`, at least an FFT long."""
        return self.compress(self.power(waveform))

    def power(self, waveform: Tensor) -> Tensor:
        """Power spectra `(batch, time, bin)` of waveforms `(batch, samples)`."""
        config = self.config
        emphasised = (
            waveform[:, 1:] - config.pre_emphasis * waveform[:, :-1] if config.pre_emphasis else waveform
        )
        spectrum = torch.stft(
            emphasised, config.n_fft, config.hop_length, config.n_fft, self._window,
            center=True, pad_mode="reflect", onesided=True, return_complex=True,
        )  # fmt: skip
        return (spectrum.real.square() + spectrum.imag.square()).transpose(1, 2)

    def compress(self, power: Tensor) -> Tensor:
        """Log-mels `(batch, time, mel)` of power spectra `(batch, time, bin)`."""
        config = self.config
        mel = power @ self._mel
        log = (mel + config.floor).log() if config.log == "ln" else 10 * mel.clamp(min=config.floor).log10()
        return (log + config.offset) / config.scale


class ClipPool:
    """Clips in a device's memory, one after another.

    A clip is drawn as often as the square root of its length (0.7 to 30 s) says: long recordings hold more to hear, but
    not in proportion.
    """

    def __init__(self, cache: WaveformCache, device: torch.device) -> None:
        self.device, self.sample_rate_hz = device, cache.sample_rate_hz
        self.samples = torch.from_numpy(np.array(cache.samples)).to(device)
        real = np.array(cache.lengths) >= 2  # between two samples is the least that can be read
        self._starts, self._lengths = np.array(cache.starts[:-1])[real], np.array(cache.lengths)[real]
        weights = np.clip(self._lengths / cache.sample_rate_hz, 0.7, 30.0) ** 0.5
        self._cumulative = np.cumsum(weights / weights.sum())

    def choose(self, generator: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """First samples and lengths of random clips, `(size,)` each."""
        chosen = np.searchsorted(self._cumulative, generator.random(size)).clip(max=len(self._starts) - 1)
        return self._starts[chosen], self._lengths[chosen]


class Crops(NamedTuple):
    """Which samples are read into each row of `(rows, samples)`; all `(rows,)`.

    Attributes:
        starts: The clip's first sample in the pool.
        lengths: The clip's samples.
        offsets: First sample of the clip that is heard.
        places: Where in the row it is heard; silence before it.
        speeds: Samples of the clip a sample of the row.
    """

    starts: np.ndarray
    lengths: np.ndarray
    offsets: np.ndarray
    places: np.ndarray
    speeds: np.ndarray


class TensorMixer:
    """Draws batches of mixtures.

    Args:
        pool: Where the clips are.
        config: The front end of teacher and student.
        seed: Of everything random.
        batch_s: Seconds of sound a batch, the margins among them.
        margin_frames: Log-mel frames that the student hears before and after each.
        damage: The student hears damaged copies; else what the teacher hears.
    """

    def __init__(
        self,
        pool: ClipPool,
        config: FrontEndConfig,
        *,
        seed: int,
        batch_s: float,
        margin_frames: int = 0,
        damage: bool = True,
    ) -> None:
        self.pool, self.seed, self.damages = pool, seed, damage
        self.batch_s, self.margin_frames = batch_s, margin_frames
        self.log_mel = TensorLogMel(config, pool.device)
        self._put = _Put(pool.device)
        self._noise = _noise_bank(pool.device, seed, config.hop_length * max(LENGTHS_FRAMES))

    @torch.no_grad()
    def draw(self, step: int) -> MixtureBatch:
        """The batch of a step: what teacher and student hear, `(batch, time, mel)` each."""
        generator = np.random.default_rng([self.seed, step])
        noise = torch.Generator(self.pool.device).manual_seed(self.seed * 1_000_003 + step)
        frames = int(generator.choice(list(LENGTHS_FRAMES), p=list(LENGTHS_FRAMES.values())))
        hop_s = self.log_mel.config.hop_s
        rows = max(2, round(self.batch_s / hop_s / (frames + 2 * self.margin_frames)))
        at_once = max(1, round(_ROWS_AT_ONCE_S / hop_s / frames))
        clean, damaged = [], []
        for first in range(0, rows, at_once):
            size = min(at_once, rows - first)
            mixture = self.mix(size, frames * self.log_mel.config.hop_length, generator)
            clean.append(self.log_mel(mixture * self._gains(generator.uniform(-12, -3, size))))
            if self.damages:
                damaged.append(self.damaged_log_mel(mixture, generator, noise))
        heard = torch.cat(clean)
        return MixtureBatch(heard, torch.cat(damaged) if self.damages else heard)

    def read(self, crops: Crops, num_samples: int) -> Tensor:
        """Waveforms `(rows, num_samples)`, interpolated linearly where the speed is not one."""
        rows = []
        times = torch.arange(num_samples, device=self.pool.device, dtype=torch.float64)
        starts, lengths, offsets, places, speeds = (self._put(each, torch.float64)[:, None] for each in crops)
        at_once = max(1, (1 << 26) // num_samples)
        for first in range(0, len(crops.starts), at_once):
            some = slice(first, first + at_once)
            positions = (times - places[some]) * speeds[some] + offsets[some]
            real = (positions >= 0) & (positions < lengths[some] - 1)
            positions = torch.minimum(positions.clamp(min=0), lengths[some] - 2)
            whole = positions.floor()
            index = (whole + starts[some]).long()
            left, right = self.pool.samples[index].float(), self.pool.samples[index + 1].float()
            rows.append(torch.where(real, torch.lerp(left, right, (positions - whole).float()), 0.0))
        return torch.cat(rows) / 32768

    def mix(self, rows: int, num_samples: int, generator: np.random.Generator) -> Tensor:
        """Mixtures `(rows, num_samples)` with a peak of one."""
        kinds = generator.choice(list(KINDS), rows, p=list(KINDS.values()))
        mixture = self._crops(rows, num_samples, generator) * self._gains(generator.uniform(-18, 0, rows))
        if (more := np.flatnonzero(kinds != "one")).size:
            chosen, kind = self._put(more, torch.int64), kinds[more]
            mixture[chosen] = self._joined(mixture[chosen], kind, generator)
        third = np.flatnonzero((kinds == "three") | ((kinds == "scene") & (generator.random(rows) < 0.5)))
        if third.size:
            crops = self._crops(len(third), num_samples, generator)
            mixture[self._put(third, torch.int64)] += crops * self._gains(
                generator.uniform(-18, 0, len(third))
            )
        return to_peak(mixture)

    def damaged_log_mel(
        self, mixture: Tensor, generator: np.random.Generator, noise: torch.Generator
    ) -> Tensor:
        """Log-mels of what a room, a phone or a bad line makes of mixtures `(rows, samples)`; a third stay clean."""
        rows = len(mixture)
        damaged = generator.random(rows) < 0.67

        def some(share: float) -> np.ndarray:
            return np.flatnonzero(damaged & (generator.random(rows) < share))

        heard = mixture.clone()
        self._change(heard, some(0.33), lambda part: self._reverberate(part, generator, noise))
        self._change(heard, some(0.40), lambda part: self._with_noise(part, generator))
        self._change(heard, some(0.12), lambda part: self._clip(part, generator))
        # As loud as files are heard, or a quiet stretch of a louder file.
        level_db = np.where(generator.random(rows) < 0.6, PEAK_DBFS, generator.uniform(-42, 0, rows))
        power = self.log_mel.power(to_peak(heard) * self._gains(level_db))
        self._change(power, coded := some(0.25), lambda part: self._code(part, generator))
        self._change(
            power, np.union1d(some(0.35), coded), lambda part: self._equalise(part, generator, _low_pass)
        )
        self._change(power, some(0.35), lambda part: self._equalise(part, generator, _tilt))
        self._change(power, some(0.15), lambda part: self._equalise(part, generator, _high_pass))
        return self.log_mel.compress(power)

    def _crops(self, rows: int, num_samples: int, generator: np.random.Generator) -> Tensor:
        """Random crops `(rows, num_samples)`, half at another speed, some backwards; a shorter clip lies in silence."""
        starts, lengths = self.pool.choose(generator, rows)
        octaves = np.array([0.0, 0.4, 1.0])[generator.choice(len(OCTAVES), rows, p=list(OCTAVES.values()))]
        speeds = 2 ** (octaves * generator.uniform(-1, 1, rows))
        needed = (num_samples * speeds).astype(np.int64) + 2
        spare = np.maximum(lengths - needed, 0)
        offsets = (generator.random(rows) * (spare + 1)).astype(np.int64)
        silence = np.maximum(num_samples - (lengths / speeds).astype(np.int64), 0)
        places = (generator.random(rows) * silence).astype(np.int64)
        places[generator.random(rows) < 0.35] = 0  # files begin with their sound
        heard = self.read(Crops(starts, lengths, offsets, places, speeds), num_samples)
        self._change(heard, np.flatnonzero(generator.random(rows) < REVERSED), lambda some: some.flip(1))
        return to_peak(heard)

    def _joined(self, first: Tensor, kinds: np.ndarray, generator: np.random.Generator) -> Tensor:
        """Waveforms with a second crop: overlaid, behind a crossfade, or as an event over the first as a background."""
        rows, num_samples = first.shape
        second = self._crops(rows, num_samples, generator)
        scene = self._put(kinds == "scene", torch.bool)[:, None]
        level_db = np.where(
            kinds == "scene", generator.uniform(-6, 12, rows), generator.uniform(-18, 0, rows)
        )
        background = 4 * first.square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-4)
        second = second * self._gains(level_db) * torch.where(scene, background, 1.0)
        cut = self._put(generator.uniform(0.2, 0.8, rows) * num_samples)[:, None]
        fade = self._put(generator.uniform(0.005, 0.2, rows) * self.pool.sample_rate_hz)[:, None]
        gate = ((torch.arange(num_samples, device=first.device) - cut) / fade + 0.5).clamp(0, 1)
        in_sequence = self._put(kinds == "sequence", torch.bool)[:, None]
        return torch.where(in_sequence, first * (1 - gate) + second * gate, first + second)

    def _change(self, batch: Tensor, rows: np.ndarray, change: Callable[[Tensor], Tensor]) -> None:
        """Put what `change` makes of some rows in their place."""
        if rows.size:
            chosen = self._put(rows, torch.int64)
            batch[chosen] = change(batch[chosen])

    def _reverberate(
        self, waveform: Tensor, generator: np.random.Generator, noise: torch.Generator
    ) -> Tensor:
        """A room: noise that decays by 60 dB in 0.15 to 1.4 s and grows darker, -10 to 6 dB beside the direct sound."""
        rows, num_samples = waveform.shape
        length = self.pool.sample_rate_hz
        times = torch.arange(length, device=waveform.device) / self.pool.sample_rate_hz
        decay_s = self._put(generator.uniform(0.15, 1.4, rows))[:, None]
        tail = torch.randn(rows, length, generator=noise, device=waveform.device) * torch.exp(
            -6.9 * times / decay_s
        )
        dark = self._put(generator.uniform(0, 0.9, rows))[:, None]
        smooth = nn.functional.avg_pool1d(tail.unsqueeze(1), 5, 1, 2).squeeze(1)
        tail = (tail * (1 - dark) + smooth * 2 * dark) * (
            times > self._put(generator.uniform(0.001, 0.02, rows))[:, None]
        )
        tail = tail / tail.square().sum(dim=1, keepdim=True).sqrt().clamp(min=1e-6)
        tail = tail * self._gains(generator.uniform(-10, 6, rows))
        tail[:, 0] += 1
        size = fast_size(num_samples + length)
        wet: Tensor = torch.fft.irfft(torch.fft.rfft(waveform, size) * torch.fft.rfft(tail, size), size)
        return wet[:, :num_samples]

    def _with_noise(self, waveform: Tensor, generator: np.random.Generator) -> Tensor:
        """Steady noise between white and brown, 0 to 30 dB below the sound."""
        rows, num_samples = waveform.shape
        which = generator.integers(len(self._noise), size=rows)
        begins = generator.integers(self._noise.shape[1] - num_samples + 1, size=rows)
        noise = torch.stack(
            [self._noise[row, at : at + num_samples] for row, at in zip(which, begins, strict=True)]
        )
        level = waveform.square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-4)
        return waveform + noise.float() * level * self._gains(-generator.uniform(0, 30, rows))

    def _clip(self, waveform: Tensor, generator: np.random.Generator) -> Tensor:
        """Overdriven by 3 to 20 dB."""
        return (to_peak(waveform) * self._gains(generator.uniform(3, 20, len(waveform)))).clamp(-1, 1)

    def _code(self, power: Tensor, generator: np.random.Generator) -> Tensor:
        """What a codec of few bits leaves of spectra: bins far below their neighbours fall by 17 dB."""
        loud = nn.functional.max_pool2d(power.unsqueeze(1), (5, 25), 1, (2, 12)).squeeze(1)
        depth = self._put(10 ** (-generator.uniform(14, 32, len(power)) / 10))[:, None, None]
        return torch.where(power < loud * depth, power * 0.02, power)

    def _equalise(
        self,
        power: Tensor,
        generator: np.random.Generator,
        draw: Callable[[DoubleArray, np.random.Generator], DoubleArray],
    ) -> Tensor:
        bins_hz = np.linspace(0, self.pool.sample_rate_hz / 2, power.shape[2])
        gains_db = np.stack([draw(bins_hz, generator) for _ in range(len(power))])
        return power * self._put(10 ** (gains_db / 10))[:, None, :]

    def _gains(self, level_db: np.ndarray) -> Tensor:
        """Factors `(rows, 1)` on waveforms."""
        return self._put(10 ** (level_db / 20))[:, None]


def to_peak(waveform: Tensor) -> Tensor:
    """Waveforms `(rows, samples)` with a peak of one; one below -60 dBFS is as good as silent and stays quiet."""
    return waveform / waveform.abs().amax(dim=1, keepdim=True).clamp(min=1e-3)


def fast_size(least: int) -> int:
    """The smallest size of an FFT, at least `least`, that is a power of two times 1, 3, 5, 9 or 15."""
    return min(odd << max(0, math.ceil(math.log2(least / odd))) for odd in (1, 3, 5, 9, 15))


class _Put:
    """Arrays to tensors on the device, without waiting for it."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def __call__(self, array: np.ndarray, dtype: torch.dtype = torch.float32) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self._device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self._device, dtype, non_blocking=True)


def _noise_bank(device: torch.device, seed: int, least_samples: int, rows: int = 24) -> Tensor:
    """Noise of unit variance, white in the first row and darker than brown in the last: `(rows, samples)` float16."""
    samples = 1 << math.ceil(math.log2(1.5 * least_samples))
    generator = torch.Generator(device).manual_seed(seed + 77)
    frequencies = torch.fft.rfftfreq(samples, device=device).clamp(min=1 / 800)
    bank = []
    for row in range(rows):
        spectrum = torch.fft.rfft(torch.randn(samples, generator=generator, device=device))
        noise = torch.fft.irfft(spectrum * frequencies ** (-1.2 * row / rows), samples)
        bank.append((noise / noise.std()).half())
    return torch.stack(bank)


def _low_pass(bins_hz: DoubleArray, generator: np.random.Generator) -> DoubleArray:
    """Gains in dB: nothing is left above 2.5 to 12 kHz."""
    limit_hz = np.exp(generator.uniform(np.log(2500), np.log(12_000)))
    gains_db: DoubleArray = -6.5 * np.clip((bins_hz - limit_hz) / (0.05 * limit_hz), 0, 12)
    return gains_db


def _high_pass(bins_hz: DoubleArray, generator: np.random.Generator) -> DoubleArray:
    """Gains in dB: 12 dB an octave below 60 to 500 Hz."""
    edge_hz = np.exp(generator.uniform(np.log(60), np.log(500)))
    gains_db: DoubleArray = -12 * np.clip(np.log2(edge_hz / np.maximum(bins_hz, 20)), 0, 4)
    return gains_db


def _tilt(bins_hz: DoubleArray, generator: np.random.Generator) -> DoubleArray:
    """Gains in dB: a smooth curve within 9 dB, as loudspeakers and microphones have."""
    octaves = np.log2(np.maximum(bins_hz, 50) / 1000)
    return np.interp(octaves, np.linspace(-4.4, 4.0, 6), generator.uniform(-9, 9, 6))
