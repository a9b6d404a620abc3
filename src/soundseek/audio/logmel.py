"""Waveform -> log-mel, with numpy's rfft in blocks; whole or streamed, the same numbers either way."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from soundseek._typing import AnyFloatArray, DoubleArray, FloatArray
from soundseek.audio.level import PeakNormaliser
from soundseek.errors import UsageError

_ONE_THREAD = 1 << 18  # multiplications in a matrix product that OpenBLAS does not share among threads
_TILE_ROWS = 64  # 64 x 1024 float64 = 0.5 MB: a tile, its spectrum and its power stay in the L2 cache
_GROUPED_ROWS = 256  # for which the groups of mel bands are cut; other groups would be sums in another order
# A transform of 32 bits is wrong by some 1e-9 of power in frames at full scale. A floor so far above it is added to all
# power, so that no band can tell; decibels above a floor of 1e-10 magnify it to .04 dB in bands far below a tone.
_HIDES_ROUNDING = 1e-6


class FrontEndConfig(BaseModel):
    """How a model hears. It belongs to the model, so a model can never be fed the wrong features.

    Attributes:
        sample_rate_hz: Rate of the waveform.
        peak_dbfs: The peak that every recording is raised or lowered to first, in dB of full scale, so that a quiet
            one is heard as the loud one; see `PeakNormaliser`. None: as loud as it is.
        n_fft: FFT length in samples; a shorter window is zero-padded to it in the middle.
        win_length: Window length in samples.
        hop_length: Samples from one frame to the next.
        window: Window shape.
        window_periodic: True for DFT-even windows (torch's and SciPy's default), False for symmetric ones.
        pre_emphasis: a of `y[t] = x[t+1] - a x[t]`; 0 leaves the waveform alone.
        num_mels: Mel bands.
        f_min_hz: Lower edge of the first band.
        f_max_hz: Upper edge of the last band.
        mel_scale: "slaney": Slaney's scale with area norm (librosa's default, PANNs);
            "kaldi": triangles linear on 1127 ln(1 + f/700), no norm, last FFT bin unused (EfficientAT, AST).
        log: "db": `10 log10(max(power, floor))`; "ln": `ln(power + floor)`.
        floor: See `log`.
        offset: The features are `(log + offset) / scale`.
        scale: See `offset`.
        window_s: For networks that take clips of one length, such as CLAP's: every clip is this long and has a
            log-mel of its own, mirrored at its own ends. None: the log-mel of a recording is one stream.
        fill: How a recording shorter than `window_s` fills it: "repeat-pad" repeats it as often as it fits whole,
            then silence; "repeat" repeats it to the end; None is silence alone.
        mel_rate_hz: The rate that the mel bands were laid out for, where that is not the waveform's, as in MS-CLAP;
            `f_max_hz` is of this rate.
        precision: "float64" computes as transformers' and librosa's front ends do, so that bands without sound come
            out the same too; None is float32, twice as fast.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    # The bounds lie far beyond any model; beyond them a resampler or an FFT takes the process with it.
    sample_rate_hz: int = Field(default=32_000, gt=0, le=1_536_000)
    peak_dbfs: float | None = Field(default=None, le=0)
    n_fft: int = Field(default=1024, gt=1, le=1 << 16)
    win_length: int = Field(default=800, gt=1)
    hop_length: int = Field(default=320, gt=0)
    window: Literal["hann", "hamming"] = "hann"
    window_periodic: bool = False
    pre_emphasis: float = Field(default=0.97, ge=0, lt=1)
    num_mels: int = Field(default=128, gt=0, le=2048)
    f_min_hz: float = Field(default=0.0, ge=0)
    f_max_hz: float = Field(default=15_000.0, gt=0, allow_inf_nan=False)
    mel_scale: Literal["slaney", "kaldi"] = "kaldi"
    log: Literal["db", "ln"] = "ln"
    floor: float = Field(default=1e-5, gt=0, allow_inf_nan=False)
    offset: float = Field(default=4.5, allow_inf_nan=False)
    scale: float = Field(default=5.0, allow_inf_nan=False)
    # None in every model of before: a fingerprint is made of the values that are not.
    window_s: float | None = Field(default=None, gt=0, le=3600)
    fill: Literal["repeat-pad", "repeat"] | None = None
    mel_rate_hz: int | None = Field(default=None, gt=0, le=1_536_000)
    precision: Literal["float64"] | None = None

    @model_validator(mode="after")
    def _window_and_hop_fit_the_fft(self) -> FrontEndConfig:
        if self.win_length > self.n_fft or self.hop_length > self.n_fft:
            raise ValueError(
                f"win_length {self.win_length} and hop_length {self.hop_length} must not exceed n_fft {self.n_fft}"
            )
        if not self.f_min_hz < self.f_max_hz <= self.mel_layout_hz / 2:
            raise ValueError(
                f"bands from {self.f_min_hz} to {self.f_max_hz} Hz do not fit {self.mel_layout_hz} Hz sound"
            )
        if self.fill is not None and self.window_s is None:
            raise ValueError(f"fill = {self.fill} fills a window, and window_s is not set")
        if self.window_s is not None and (self.peak_dbfs is not None or self.pre_emphasis):
            raise ValueError("window_s goes with peak_dbfs = None and pre_emphasis = 0")
        if self.window_s is not None and self.window_samples < self.n_fft:
            raise ValueError(f"window_s = {self.window_s} is shorter than the FFT of {self.n_fft} samples")
        return self

    @property
    def mel_layout_hz(self) -> int:
        """The sample rate that the mel bands belong to."""
        return self.mel_rate_hz or self.sample_rate_hz

    @property
    def window_samples(self) -> int:
        """Samples of `window_s`; 0 without."""
        return round((self.window_s or 0) * self.sample_rate_hz)

    @property
    def dtype(self) -> type[np.float32] | type[np.float64]:
        """What the features are computed in; they come out in float32."""
        return np.float64 if self.precision == "float64" else np.float32

    @property
    def transforms_in_32_bits(self) -> bool:
        """Whether transforms of 32 bits, which take half the time, give the same log-mel as those of 64."""
        return self.precision is None and self.log == "ln" and self.floor >= _HIDES_ROUNDING

    @property
    def hop_s(self) -> float:
        """Seconds from one log-mel frame to the next."""
        return self.hop_length / self.sample_rate_hz

    @property
    def silence(self) -> float:
        """What every band of a silent log-mel frame is."""
        power = np.zeros(1, np.float32)
        self.compress(power)
        return float(power[0])

    def compress(self, power: AnyFloatArray) -> None:
        """Power of any shape -> log-mel, in place; see `log` and `offset`."""
        number: Any = np.float64 if power.dtype == np.float64 else np.float32
        if self.log == "ln":
            power += number(self.floor)
            np.log(power, out=power)
        else:
            np.maximum(power, number(self.floor), out=power)
            np.log10(power, out=power)
            power *= number(10)
        if self.offset:
            power += number(self.offset)
        if self.scale != 1:
            power /= number(self.scale)

    def continued(self, log_mel: FloatArray, least: int) -> FloatArray:
        """A log-mel `(time, mel)`, continued with silence to `least` frames if it has fewer."""
        missing = max(0, least - len(log_mel))
        return np.pad(log_mel, ((0, missing), (0, 0)), constant_values=self.silence) if missing else log_mel


PANNS_FRONT_END = FrontEndConfig(
    win_length=1024, window_periodic=True, pre_emphasis=0.0, num_mels=64, f_min_hz=50.0, f_max_hz=14_000.0,
    mel_scale="slaney", log="db", floor=1e-10, offset=0.0, scale=1.0,
)  # fmt: skip
"""The front end of the published PANNs weights (Kong et al., 2020)."""

PAPER_FRONT_END = PANNS_FRONT_END.model_copy(
    update={"sample_rate_hz": 44_100, "window": "hamming", "hop_length": 512, "f_max_hz": 14_000.0}
)
"""The paper's own, section III-A: 44.1 kHz, 64 bands, Hamming, 50 % overlap. The window length is open; 1024 is the
choice of the nearest public systems at this rate."""

CLAP_FRONT_END = PANNS_FRONT_END.model_copy(
    update={
        "sample_rate_hz": 48_000,
        "hop_length": 480,
        "window_s": 10.0,
        "fill": "repeat-pad",
        "precision": "float64",
    }
)
"""transformers' `ClapFeatureExtractor` as LAION's unfused checkpoints set it (Wu et al., 2023)."""

MSCLAP_FRONT_END = CLAP_FRONT_END.model_copy(
    update={
        "sample_rate_hz": 44_100, "hop_length": 320, "window_s": 7.0, "fill": "repeat", "mel_rate_hz": 32_000,
        "precision": None,
    }
)  # fmt: skip
"""MS-CLAP 2023's: 44.1 kHz sound under mel bands that its code lays out for 32 kHz (Elizalde et al., 2023)."""


class LogMel:
    """Log-mel features `(time, mel)` of a mono waveform `(samples,)`; frames are centred, the ends reflected.

    Example:
        >>> log_mel = LogMel(FrontEndConfig())
        >>> log_mel(np.zeros(32_000, np.float32)).shape
        (100, 128)
    """

    def __init__(self, config: FrontEndConfig) -> None:
        self.config = config
        self._window: Any = _padded_window(config).astype(config.dtype)
        # numpy computes transforms of 32 bits in 64, at half the speed, unless they are divided by their size.
        self._norm: Literal["forward", "backward"] = "forward" if config.transforms_in_32_bits else "backward"
        undivided = config.n_fft**2 if config.transforms_in_32_bits else 1
        self._mel = _grouped((_mel_bands(config) * undivided).astype(config.dtype))

    def __call__(self, waveform: FloatArray) -> FloatArray:
        """The features of a whole waveform.

        Args:
            waveform: `(samples,)` float32 in [-1, 1]. One shorter than the FFT is padded with silence at its end.

        Returns:
            `(time, mel)` float32.
        """
        stream = self.stream()
        return np.concatenate([stream.push(waveform), stream.flush()])

    def of_window(self, waveform: FloatArray) -> FloatArray:
        """The features `(time, mel)` of one clip `(samples,)`, filled up to `window_s` where it is shorter.

        Raises:
            UsageError: It is longer, or empty.
        """
        return self(fill_window(waveform, self.config))

    def stream(self) -> LogMelStream:
        """A stateful front end for a waveform that comes in pieces."""
        return LogMelStream(self)

    def of_padded(self, signal: FloatArray) -> FloatArray:
        """Frames `(time, mel)` of a signal that already has its pre-emphasis and its margins."""
        config = self.config
        num_frames = max(0, 1 + (len(signal) - config.n_fft) // config.hop_length)
        # Whole tiles of rows: a product sums up the rows of the last, partial tile in another order.
        out = np.empty((-(-num_frames // _TILE_ROWS) * _TILE_ROWS, config.num_mels), config.dtype)
        if not num_frames:
            return out.astype(np.float32)
        framed = np.lib.stride_tricks.sliding_window_view(signal, config.n_fft)[:: config.hop_length]
        # Made once: fresh memory for every tile costs as much as the transforms.
        windowed = np.zeros((min(_TILE_ROWS, num_frames), config.n_fft), config.dtype)
        inside = slice(
            (config.n_fft - config.win_length) // 2, (config.n_fft + config.win_length) // 2
        )  # the window
        power = np.zeros((_TILE_ROWS, config.n_fft // 2 + 1), config.dtype)
        for start in range(0, num_frames, _TILE_ROWS):
            block = framed[start : start + _TILE_ROWS]
            rows = len(block)
            np.multiply(block[:, inside], self._window[inside], out=windowed[:rows, inside])
            spectrum = np.fft.rfft(windowed[:rows], axis=1, norm=self._norm)
            squares = spectrum.view(spectrum.real.dtype)  # (rows, 2 * bins): real, imaginary, real ...
            np.square(squares, out=squares)
            np.add(squares[:, 0::2], squares[:, 1::2], out=power[:rows])
            for bands, bins, weights in self._mel:
                np.matmul(power[:, bins], weights, out=out[start : start + _TILE_ROWS, bands])
        out = out[:num_frames]
        config.compress(out)
        return out.astype(np.float32, copy=False)


def _grouped(mel: npt.NDArray[Any]) -> list[tuple[slice, slice, npt.NDArray[Any]]]:
    """The bands and bins of a mel matrix `(bins, mel)` that belong together, `(bands, bins, weights)`.

    A band has weights in few bins, so most of a product with the whole matrix would be additions of zero. And each of
    these products is so small that OpenBLAS computes it on one thread, whatever their number: sums in another order
    would be other vectors.
    """
    groups, num_mels = [], mel.shape[1]
    used = mel != 0
    first = np.where(used.any(axis=0), used.argmax(axis=0), 0)
    behind = np.where(used.any(axis=0), len(mel) - used[::-1].argmax(axis=0), 1)
    at = 0
    while at < num_mels:
        end = min(at + 2, num_mels)  # of one band, a product is a matrix times a vector, which is slower
        while end < num_mels and (
            _GROUPED_ROWS * (end + 1 - at) * (behind[at : end + 1].max() - first[at : end + 1].min())
            <= _ONE_THREAD
        ):
            end += 1
        bins = slice(int(first[at:end].min()), int(behind[at:end].max()))
        groups.append((slice(at, end), bins, np.ascontiguousarray(mel[bins, at:end])))
        at = end
    return groups


class LogMelStream:
    """Push blocks of waveform, get the frames they complete; `flush` gives the last ones."""

    def __init__(self, log_mel: LogMel) -> None:
        self._log_mel = log_mel
        config = log_mel.config
        self._level = (
            None if config.peak_dbfs is None else PeakNormaliser(config.peak_dbfs, config.sample_rate_hz)
        )
        self._half = config.n_fft // 2
        # Emphasised, from the next frame's first sample on; first what lies before the waveform, still to be mirrored.
        self._signal: FloatArray = np.zeros(self._half, np.float32)
        self._is_mirrored = False  # before the first frame a whole one has to be there
        self._last: FloatArray = np.empty(0, np.float32)  # one raw sample that the pre-emphasis still needs
        self._end: FloatArray = np.empty(0, np.float32)  # the last `half` + 1 samples, to be mirrored

    def push(self, block: FloatArray) -> FloatArray:
        """Frames `(time, mel)` completed by `block` `(samples,)`; may be none."""
        if self._level is not None:
            block = self._level.push(block)
        self._emphasise(block)
        return self._frames()

    def flush(self) -> FloatArray:
        """The frames that only the end of the waveform completes."""
        frames = []
        for block in () if self._level is None else self._level.flush():
            self._emphasise(block)
            frames.append(self._frames())
        if not self._is_mirrored:
            missing = self._half + self._log_mel.config.n_fft - len(self._signal)
            self._append(np.zeros(max(0, missing), np.float32))
            frames.append(self._frames())
        # The last `half` samples before the end are mirrored without repeating the end sample itself.
        self._append(self._end[:-1][::-1])
        return np.concatenate([*frames, self._frames()])

    def _emphasise(self, block: FloatArray) -> None:
        """Append what a block becomes by the pre-emphasis."""
        block = np.asarray(block, np.float32)
        coefficient = self._log_mel.config.pre_emphasis
        if not coefficient or not len(block):
            self._append(block)
            return
        before, behind = self._last, block  # samples that follow each other, but for one
        if not len(before):
            before, behind = block[:1], block[1:]
        self._last = block[-1:].copy()
        new = self._room(len(behind))
        if len(new):
            np.multiply(before, np.float32(-coefficient), out=new[:1])
            np.multiply(behind[:-1], np.float32(-coefficient), out=new[1:])
            new += behind
        self._remember_end(new)

    def _append(self, samples: FloatArray) -> None:
        self._room(len(samples))[:] = samples
        self._remember_end(samples)

    def _room(self, num_samples: int) -> FloatArray:
        """Room for so many samples at the end of the signal."""
        signal = np.empty(len(self._signal) + num_samples, np.float32)
        signal[: len(self._signal)] = self._signal
        self._signal = signal
        return signal[len(signal) - num_samples :]

    def _remember_end(self, samples: FloatArray) -> None:
        self._end = np.concatenate([self._end, samples[-self._half - 1 :]])[-self._half - 1 :]

    def _frames(self) -> FloatArray:
        config = self._log_mel.config
        if not self._is_mirrored:
            if len(self._signal) < self._half + config.n_fft:
                return np.empty((0, config.num_mels), np.float32)
            self._signal[: self._half] = self._signal[self._half + 1 : 2 * self._half + 1][::-1]
            self._is_mirrored = True
        frames = self._log_mel.of_padded(self._signal)
        self._signal = self._signal[len(frames) * config.hop_length :]
        return frames


def fill_window(waveform: FloatArray, config: FrontEndConfig) -> FloatArray:
    """A clip `(samples,)` filled up to the front end's window, as `fill` says.

    Raises:
        UsageError: It is longer than the window, or empty.

    Example:
        >>> tiny = FrontEndConfig(sample_rate_hz=8, n_fft=4, win_length=4, hop_length=2, num_mels=1, f_max_hz=4,
        ...     pre_emphasis=0, window_s=1, fill="repeat-pad")
        >>> [int(x) for x in fill_window(np.float32([1, 2, 3]), tiny)]
        [1, 2, 3, 1, 2, 3, 0, 0]
    """
    length, samples = config.window_samples, len(waveform)
    if not 0 < samples <= length:
        raise UsageError(f"a clip of {samples} samples does not fit a window of {length}")
    if config.fill == "repeat":
        waveform = np.tile(waveform, -(-length // samples))[:length]
    elif config.fill == "repeat-pad":
        waveform = np.tile(waveform, length // samples)
    return np.pad(waveform, (0, length - len(waveform)))


def mel_matrix(config: FrontEndConfig) -> FloatArray:
    """Triangular mel filters, `(n_fft // 2 + 1, num_mels)`."""
    return _mel_bands(config).astype(np.float32)


def _mel_bands(config: FrontEndConfig) -> DoubleArray:
    return _slaney(config) if config.mel_scale == "slaney" else _kaldi(config)


def _slaney(config: FrontEndConfig) -> DoubleArray:
    """Slaney's Auditory Toolbox scale: linear to 1 kHz, then logarithmic; each triangle has unit area."""
    linear, knee_hz, log_step = 200 / 3, 1000.0, np.log(6.4) / 27

    def to_mel(hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.where(
            hz < knee_hz, hz / linear, knee_hz / linear + np.log(np.maximum(hz, 1e-9) / knee_hz) / log_step
        )

    def to_hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        knee = knee_hz / linear
        return np.where(mel < knee, mel * linear, knee_hz * np.exp(log_step * (mel - knee)))

    low, high = to_mel(np.array([config.f_min_hz, config.f_max_hz]))
    edges = to_hz(np.linspace(low, high, config.num_mels + 2))
    bins = np.linspace(0, config.mel_layout_hz / 2, config.n_fft // 2 + 1)
    return _triangles(bins, edges) * (2 / (edges[2:] - edges[:-2]))


def _kaldi(config: FrontEndConfig) -> DoubleArray:
    """Kaldi's banks: triangles are linear in mel, not in hertz, and the Nyquist bin has no weight."""

    def to_mel(hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return 1127 * np.log1p(hz / 700)

    low, high = to_mel(np.array([config.f_min_hz, config.f_max_hz]))
    edges = np.linspace(low, high, config.num_mels + 2)
    bins = to_mel(np.linspace(0, config.mel_layout_hz / 2, config.n_fft // 2 + 1))
    # The last falling edge ends at the Nyquist bin at the latest, so that bin has no weight.
    return _triangles(bins, edges)


def _triangles(bins: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Triangles `(bin, band)` that rise from edge b to 1 at edge b+1 and fall to edge b+2."""
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins[:, None] - left) / (centre - left)
    falling = (right - bins[:, None]) / (right - centre)
    return np.maximum(0, np.minimum(rising, falling))


def padded_window(config: FrontEndConfig) -> FloatArray:
    """The window `(n_fft,)`, with zeros on both sides where it is shorter than the FFT."""
    return _padded_window(config).astype(np.float32)


def _padded_window(config: FrontEndConfig) -> DoubleArray:
    length = config.win_length
    positions = np.arange(length) / (length if config.window_periodic else length - 1)
    floor = 0.5 if config.window == "hann" else 0.54
    window = floor - (1 - floor) * np.cos(2 * np.pi * positions)
    left = (config.n_fft - length) // 2
    return np.pad(window, (left, config.n_fft - length - left))
