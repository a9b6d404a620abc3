"""The sound of a recording -> log-mel -> frames `(time, dim)` of the audio network, in one streaming pass.

How much of the log-mel the network gets at once is what its frames depend on (`scope` of `AudioTowerConfig`): of a
local trunk a chunk with its context, else a segment alone. `Clips` are windows whose waveforms are embedded alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from soundseek._typing import FloatArray
from soundseek.audio.logmel import FrontEndConfig, LogMel
from soundseek.audio.segments import HOP_S, SEGMENT_S, Segment, plan_segments
from soundseek.model.config import AudioTowerConfig

if TYPE_CHECKING:
    from soundseek.audio.decode import AudioStream

RunAudio: TypeAlias = "Callable[[FloatArray], FloatArray]"
"""The audio network: log-mel `(time, mel)` -> frames `(frames, dim)`."""

_CLICK_S, _SILENCE_S = 0.05, 0.15  # shorter sounds get so much silence before and behind them
_CHUNK_FRAMES = 4096  # log-mel frames in one pass of a "local" trunk: 41 s, some 30 MB of activations


def log_mel_blocks(
    stream: AudioStream,
    log_mel: LogMel,
    progress: Callable[[float, float | None], None] | None = None,
    *,
    clips: Clips | None = None,
) -> Iterator[FloatArray]:
    """The log-mel `(time, mel)` of a stream, block by block.

    Args:
        stream: The sound.
        log_mel: The model's front end.
        progress: Is told now and then the seconds that are done, and those that the header states.
        clips: What else gets the waveform.
    """
    rate_hz = log_mel.config.sample_rate_hz
    features, num_samples = log_mel.stream(), 0
    for block in _with_silence_around(stream if clips is None else clips.fed_by(stream), rate_hz):
        yield features.push(block)
        num_samples += len(block)
        if progress is not None:
            progress(num_samples / rate_hz, stream.stated_s)
    yield features.flush()


def _with_silence_around(stream: Iterator[FloatArray], rate_hz: int) -> Iterator[FloatArray]:
    """A stream as it is; one that lasts no longer than a click, with silence on both sides.

    The log-mel mirrors a waveform at its ends, and a click among its own mirror images is another sound.
    """
    first = next(stream, np.empty(0, np.float32))
    second = next(stream, None)
    if second is None and len(first) < _CLICK_S * rate_hz:
        silence = np.zeros(round(_SILENCE_S * rate_hz), np.float32)
        first = np.concatenate([silence, first, silence])
    yield first
    if second is not None:
        yield second
        yield from stream


def local_frames(
    blocks: Iterator[FloatArray], run: RunAudio, *, audio: AudioTowerConfig, num_mels: int
) -> Iterator[FloatArray]:
    """Frames of a trunk whose frames depend on their neighbourhood: the frames of one long pass.

    It runs a chunk at a time, with its context on both sides.

    Args:
        blocks: Log-mel `(time, mel)` of the recording, in order.
        run: The network.
        audio: What it says of itself.
        num_mels: Bands of the log-mel.
    """
    context, hop = audio.context_frames, audio.frame_hop
    chunk = -(-_CHUNK_FRAMES // hop) * hop
    pending = np.empty((0, num_mels), np.float32)
    left = 0  # log-mel frames at the front of `pending` that are context only
    for block in blocks:
        pending = np.concatenate([pending, block])
        while len(pending) >= left + chunk + context:
            frames = run(pending[: left + chunk + context])
            yield frames[left // hop : (left + chunk) // hop]
            keep_from = left + chunk - min(context, left + chunk)
            pending, left = pending[keep_from:], left + chunk - keep_from
    if len(pending) > left:
        yield run(pending)[left // hop :]


def segment_frames(
    blocks: Iterator[FloatArray], run: RunAudio, *, stream: AudioStream, front_end: FrontEndConfig
) -> tuple[list[Segment], FloatArray, npt.NDArray[np.int64]]:
    """Segments, frames and spans of a trunk whose frames depend on the whole clip: it gets every segment alone.

    Args:
        blocks: Log-mel `(time, mel)` of the recording, in order.
        run: The network.
        stream: Where the blocks come from; it says how long the recording was once they are read.
        front_end: The model's.
    """
    per_second = 1 / front_end.hop_s
    length, hop = round(SEGMENT_S * per_second), round(HOP_S * per_second)
    window = np.empty((0, front_end.num_mels), np.float32)
    first = 0  # position of the window's first log-mel frame in the file
    heard: list[FloatArray] = []
    emitted = 0
    for block in blocks:
        window = np.concatenate([window, block])
        # A window is held back until half a hop lies behind it: before that, `plan_segments` moves it to the end.
        while len(window) - 1 + first > emitted * hop + length + hop // 2:
            start = emitted * hop - first
            heard.append(run(window[start : start + length]))
            emitted += 1
            drop = max(0, min(emitted * hop - first, len(window) - length))
            window, first = window[drop:], first + drop
    segments = plan_segments(stream.info.duration_s, length_s=SEGMENT_S, hop_s=HOP_S)
    for segment in segments[emitted:]:
        start = max(0, min(round(segment.start_s * per_second) - first, len(window) - length))
        heard.append(run(window[start : start + length]))
    heard = heard[: len(segments)]
    ends = np.cumsum([len(frames) for frames in heard])
    return segments, np.concatenate(heard), np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1)


def frame_spans(segments: Sequence[Segment], num_frames: int, frame_s: float) -> npt.NDArray[np.int64]:
    """`(segments, 2)` first and one-past-last frame of each segment.

    Args:
        segments: In order; the last one ends with the recording.
        num_frames: Of the recording.
        frame_s: Seconds from one frame to the next.
    """
    bounds = np.array([[s.start_s, s.end_s] for s in segments]) / frame_s
    spans = np.rint(bounds).astype(np.int64)
    spans[:, 0] = np.minimum(spans[:, 0], num_frames - 1)
    spans[:, 1] = np.clip(spans[:, 1], spans[:, 0] + 1, num_frames)
    # A frame that the end cuts short counts: without it half of a short sound is lost.
    spans[-1, 1] = num_frames
    return spans


def span_means(frames: npt.NDArray[np.float16], spans: npt.NDArray[np.int64]) -> FloatArray:
    """Mean frame of each span, `(segments, dim)` float32."""
    return np.array([frames[first:last].mean(axis=0, dtype=np.float32) for first, last in spans], np.float32)


class Clips:
    """The clips of `plan_segments` out of a stream of blocks, each embedded on its own as soon as it is whole.

    Args:
        embed: A clip `(samples,)` -> its vector `(dim,)`.
        rate_hz: Of the stream.
        length_s: Length of a clip; a shorter stream is one clip.
        hop_s: Seconds from one clip to the next.
    """

    def __init__(
        self, embed: Callable[[FloatArray], FloatArray], rate_hz: int, length_s: float, hop_s: float
    ) -> None:
        self._embed = embed
        self._rate_hz = rate_hz
        self._length_s, self._hop_s = length_s, hop_s
        self._length, self._hop = round(length_s * rate_hz), round(hop_s * rate_hz)
        self._waveform = np.empty(0, np.float32)
        self._first = 0  # position in the stream of the waveform's first sample
        self._num_samples = 0  # of the stream so far
        self._vectors: list[FloatArray] = []

    def fed_by(self, stream: Iterator[FloatArray]) -> Iterator[FloatArray]:
        """The blocks of a stream, each of which is pushed on its way."""
        for block in stream:
            self.push(block)
            yield block

    def push(self, block: FloatArray) -> None:
        """Take in the next samples."""
        self._waveform = np.concatenate([self._waveform, block])
        self._num_samples += len(block)
        length, hop = self._length, self._hop
        # Held back until half a hop lies behind it: before that, `plan_segments` moves a clip to the end.
        while self._num_samples > len(self._vectors) * hop + length + hop // 2 + 1:
            start = len(self._vectors) * hop - self._first
            self._vectors.append(self._embed(self._waveform[start : start + length]))
            drop = max(0, min(len(self._vectors) * hop - self._first, len(self._waveform) - length))
            self._waveform, self._first = self._waveform[drop:], self._first + drop

    def finish(self, duration_s: float) -> tuple[list[Segment], FloatArray]:
        """All clips of the stream, which has ended, and their vectors `(clips, dim)`, not normalised."""
        segments = plan_segments(duration_s, length_s=self._length_s, hop_s=self._hop_s)
        for segment in segments[len(self._vectors) :]:
            start = round(segment.start_s * self._rate_hz) - self._first
            start = max(0, min(start, len(self._waveform) - self._length))
            self._vectors.append(self._embed(self._waveform[start : start + self._length]))
        return segments, np.stack(self._vectors[: len(segments)])
