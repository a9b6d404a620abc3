"""Several recordings in one file as one source: parts that follow each other, tracks that sound at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import soxr

from soundseek._typing import FloatArray
from soundseek.audio.downmix import Downmix
from soundseek.errors import DecodeError


class AudioSource(Protocol):
    """A decoder of pieces `(frames, channels)`, about a second each, at the file's own rate."""

    format: str
    sample_rate_hz: int
    channels: int
    declared_s: float | None

    def read(self) -> FloatArray:
        """The next piece, valid until the next call; an empty one at the end."""

    def close(self) -> None:
        """Let go of the file."""


class Converter:
    """Pieces of any rate and number of channels -> pieces `(frames, channels)` of one.

    Args:
        sample_rate_hz: Of what comes out.
        channels: Of what comes out. One channel becomes each of several; several become their downmix first.
    """

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        self._sample_rate_hz, self._channels = sample_rate_hz, channels
        self._downmix = Downmix(sample_rate_hz)
        self._resampler: soxr.ResampleStream | None = None
        self._rate_hz = sample_rate_hz

    def push(self, piece: FloatArray, rate_hz: int) -> FloatArray:
        """What is ready of the pieces so far; `rate_hz` is that of this one."""
        done = [self._rest()] if rate_hz != self._rate_hz else []
        if rate_hz != self._rate_hz:
            self._rate_hz = rate_hz
            if rate_hz != self._sample_rate_hz:
                self._resampler = soxr.ResampleStream(
                    rate_hz, self._sample_rate_hz, self._channels, dtype="float32", quality="HQ"
                )
        if piece.shape[1] != self._channels:
            piece = np.repeat(self._downmix(piece)[:, None], self._channels, axis=1)
        if self._resampler is not None:
            piece = self._resampler.resample_chunk(np.ascontiguousarray(piece)).reshape(-1, self._channels)
        return np.concatenate([*done, piece]) if done else piece

    def flush(self) -> FloatArray:
        """What is left at the end."""
        rest = self._rest()
        self._rate_hz = self._sample_rate_hz
        return rest

    def _rest(self) -> FloatArray:
        empty = np.empty((0, self._channels), np.float32)
        if self._resampler is None:
            return empty
        rest: FloatArray = self._resampler.resample_chunk(empty, last=True).reshape(-1, self._channels)
        self._resampler = None
        return rest


class JoinedSource:
    """Recordings that follow each other in one file, at the highest of their rates and with the most channels.

    Args:
        openers: Each opens one recording; all are opened once to see what they are, then one after the other.

    Raises:
        DecodeError: One of them cannot be opened.
    """

    def __init__(self, openers: Sequence[Callable[[], AudioSource]]) -> None:
        self._openers = openers
        self._current: AudioSource | None = None
        self._next = 0
        declared: list[float | None] = []
        formats: list[str] = []
        self.sample_rate_hz = self.channels = 0
        for opener in openers:
            source = opener()
            source.close()
            self.sample_rate_hz = max(self.sample_rate_hz, source.sample_rate_hz)
            self.channels = max(self.channels, source.channels)
            declared.append(source.declared_s)
            formats.append(source.format)
        self.format = formats[0]
        self.declared_s = None if None in declared else sum(length for length in declared if length)
        self._converter = Converter(self.sample_rate_hz, self.channels)

    def read(self) -> FloatArray:
        """The next piece `(frames, channels)`, empty at the end."""
        while True:
            if self._current is None:
                if self._next == len(self._openers):
                    return self._converter.flush()
                self._current = self._openers[self._next]()
                self._next += 1
            piece = self._current.read()
            if not len(piece):
                self._current.close()
                self._current = None
                continue
            converted = self._converter.push(piece, self._current.sample_rate_hz)
            if len(converted):
                return converted

    def close(self) -> None:
        """Let go of the file."""
        if self._current is not None:
            self._current.close()


class ContinuedSource:
    """A recording that a second decoder goes on with where the first one stumbles.

    Args:
        first: The decoder that is asked as long as it answers.
        opener: Opens the second one, which passes over what the first has given; it must have the same rate and as many
            channels.
    """

    def __init__(self, first: AudioSource, opener: Callable[[], AudioSource]) -> None:
        self._source = first
        self._opener: Callable[[], AudioSource] | None = opener
        self._num_frames = 0
        self.format, self.sample_rate_hz, self.channels = first.format, first.sample_rate_hz, first.channels
        self.declared_s = first.declared_s

    def read(self) -> FloatArray:
        """The next piece `(frames, channels)`, empty at the end.

        Raises:
            DecodeError: The first decoder's, where the second one cannot go on either.
        """
        try:
            piece = self._source.read()
        except DecodeError as error:
            if self._opener is None:
                raise
            try:
                piece = self._go_on(self._opener)
            except DecodeError:
                raise error from None
            if not len(piece):
                raise
        self._num_frames += len(piece)
        return piece

    def _go_on(self, opener: Callable[[], AudioSource]) -> FloatArray:
        """The second decoder's first piece behind what the first has given; empty where it does not come so far."""
        self._opener = None
        second = opener()
        self._source.close()
        self._source = second
        if (second.sample_rate_hz, second.channels) != (self.sample_rate_hz, self.channels):
            return np.empty((0, self.channels), np.float32)
        left = self._num_frames
        while len(piece := second.read()):
            if len(piece) > left:
                return piece[left:]
            left -= len(piece)
        return piece

    def close(self) -> None:
        """Let go of the file."""
        self._source.close()


class TracksSource:
    """Tracks that sound at once; each becomes one channel, at the highest of their rates, silent behind its end.

    Args:
        sources: One a track; the longest decides how long the file is.
        starts_s: When each track begins, in seconds.
    """

    def __init__(self, sources: Sequence[AudioSource], starts_s: Sequence[float]) -> None:
        self._sources = sources
        self.format = sources[0].format
        self.sample_rate_hz = max(source.sample_rate_hz for source in sources)
        self.channels = len(sources)
        lengths = [
            source.declared_s + start_s
            for source, start_s in zip(sources, starts_s, strict=True)
            if source.declared_s is not None
        ]
        self.declared_s = max(lengths, default=None)
        self._converters = [Converter(self.sample_rate_hz, 1) for _ in sources]
        self._waiting = [
            np.zeros((round(start_s * self.sample_rate_hz), 1), np.float32) for start_s in starts_s
        ]
        self._downmixes = [Downmix(source.sample_rate_hz) for source in sources]
        self._ended = [False] * len(sources)

    def read(self) -> FloatArray:
        """The next piece `(frames, tracks)`, empty at the end."""
        num_frames = self.sample_rate_hz
        for track in range(len(self._sources)):
            self._fill(track, num_frames)
        num_frames = min(num_frames, max(len(waiting) for waiting in self._waiting))
        piece = np.zeros((num_frames, self.channels), np.float32)
        for track, waiting in enumerate(self._waiting):
            part = waiting[:num_frames]
            piece[: len(part), track] = part[:, 0]
            self._waiting[track] = waiting[num_frames:]
        return piece

    def _fill(self, track: int, num_frames: int) -> None:
        """Decode until a track has so many frames waiting, or has ended."""
        source, converter = self._sources[track], self._converters[track]
        parts = [self._waiting[track]]
        total = len(parts[0])
        while total < num_frames and not self._ended[track]:
            piece = source.read()
            self._ended[track] = not len(piece)
            if len(piece):
                mono = self._downmixes[track](piece)[:, None]
                parts.append(converter.push(mono, source.sample_rate_hz))
            else:
                parts.append(converter.flush())
            total += len(parts[-1])
        self._waiting[track] = np.concatenate(parts)

    def close(self) -> None:
        """Let go of the file."""
        for source in self._sources:
            source.close()
