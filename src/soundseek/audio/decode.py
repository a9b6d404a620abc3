"""A sound file -> mono float32 blocks at the model's rate, streamed and capped, or one plain reason why not.

A file counts as damaged when less than nine tenths of the length that it states can be decoded, when the
decoder meets an error on the way, or when its samples cannot be sound: half a recording under its full name
would be found and then disappoint. Ogg states no length, so a cut-off one is simply a shorter sound.
"""

from __future__ import annotations

import os
import re
import struct
import sys
from collections.abc import Generator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol

import numpy as np
import soundfile
import soxr

from soundseek._typing import FloatArray
from soundseek.audio import ffmpeg, files, mp3
from soundseek.audio.mp3 import without_decoder_chatter
from soundseek.errors import DecodeError, UsageError

FORMATS_EXTENSIONS = ffmpeg.EXTENSIONS
"""File extensions that need the extra `soundseek[formats]`; a subset of `AUDIO_EXTENSIONS`."""

AUDIO_EXTENSIONS = FORMATS_EXTENSIONS | frozenset({
    ".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2",
    ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf",
})  # fmt: skip
"""File extensions, in lower case, of the sounds that soundseek looks for in a folder."""

BLOCK_S = 10.0
MIN_DURATION_S = 0.05
MIN_DECODED_SHARE = 0.9
MAX_PEAK = 4.0  # float files and lossy codecs overshoot 1; four times as much is no sound
SILENT_PEAK = 2.0**-15  # one step of a 16-bit file, -90 dBFS: dither and nothing else

_PIECE_S = 1.0  # a second of stereo stays in the L2 cache while it is checked and mixed
_MAX_PIECE_VALUES = 1 << 20  # 4 MB of float32 however many channels a header claims
_MIN_RATE_HZ, _MAX_RATE_HZ = 1_000, 1_536_000
_UNKNOWN_BYTES = 0x7FFFF000  # recorders that stream write the largest size they can as "not known yet"


@dataclass(frozen=True)
class AudioInfo:
    """What a file is.

    Attributes:
        path: The file, as it was asked for.
        format: "WAV", "MP3", "OGG/VORBIS", "MP4/AAC", ...
        sample_rate_hz: Rate of the file, before resampling.
        channels: Channels of the file, before mixing.
        duration_s: Decoded seconds, 0 until the stream is exhausted. From `probe`: the length that the header
            states, 0 if it states none.
        truncated: The file goes on after `max_duration_s`, where decoding stopped.
    """

    path: str
    format: str
    sample_rate_hz: int
    channels: int
    duration_s: float = 0.0
    truncated: bool = False


class Source(Protocol):
    """A decoder of pieces `(frames, channels)`, about a second each, at the file's own rate."""

    format: str
    sample_rate_hz: int
    channels: int
    declared_s: float | None

    def read(self) -> FloatArray:
        """The next piece, valid until the next call; an empty one at the end."""

    def close(self) -> None:
        """Let go of the file."""


def probe(path: str | os.PathLike[str]) -> AudioInfo:
    """What the header of a file says; no sound is decoded.

    Raises:
        DecodeError: The file cannot be read or is no sound.
    """
    name = os.fspath(path)
    source = open_source(name)
    source.close()
    return AudioInfo(name, source.format, source.sample_rate_hz, source.channels, source.declared_s or 0.0)


def open_audio(
    path: str | os.PathLike[str], *, sample_rate_hz: int, max_duration_s: float = 3600.0
) -> AudioStream:
    """A stream of mono blocks of a file.

    Args:
        path: A sound file; anything but a regular file (a pipe, a device) is refused unopened.
        sample_rate_hz: Rate of the blocks.
        max_duration_s: Decoding stops here; `info.truncated` then says so.

    Raises:
        DecodeError: The file cannot be read or is no sound. Damage further in is raised while iterating.
        UsageError: A rate or a duration that is not above 0.
    """
    if sample_rate_hz <= 0 or not max_duration_s > 0:
        raise UsageError(
            f"sample_rate_hz ({sample_rate_hz}) and max_duration_s ({max_duration_s}) must be above 0"
        )
    name = os.fspath(path)
    return AudioStream(name, open_source(name), sample_rate_hz, max_duration_s)


def read_audio(
    path: str | os.PathLike[str], *, sample_rate_hz: int, max_duration_s: float = 3600.0
) -> FloatArray:
    """The whole file as one waveform `(samples,)`, mono, at `sample_rate_hz`; see `open_audio`."""
    with open_audio(path, sample_rate_hz=sample_rate_hz, max_duration_s=max_duration_s) as stream:
        blocks = list(stream)
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


class AudioStream:
    """Iterator of mono float32 blocks `(samples,)`; also a context manager that closes the file.

    Samples are those of the file, so beyond [-1, 1] where the file is; a peak above 4 is an error.

    Attributes:
        info: Facts of the file; final when the stream is exhausted.
    """

    def __init__(self, path: str, source: Source, sample_rate_hz: int, max_duration_s: float) -> None:
        self.info = AudioInfo(path, source.format, source.sample_rate_hz, source.channels)
        self._source = source
        self._sample_rate_hz = sample_rate_hz
        self._max_frames = max(1, int(min(max_duration_s * source.sample_rate_hz, 2.0**62)))
        self._num_frames = 0
        self._cut = False
        self._raw_peak = self._mono_peak = 0.0
        self._blocks = self._decode()

    def __iter__(self) -> AudioStream:
        return self

    def __next__(self) -> FloatArray:
        return next(self._blocks)

    def __enter__(self) -> AudioStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; iterating further gives nothing."""
        self._blocks.close()
        self._source.close()

    def _decode(self) -> Generator[FloatArray, None, None]:
        rate_hz = self.info.sample_rate_hz
        resampler = None
        if rate_hz != self._sample_rate_hz:
            resampler = soxr.ResampleStream(rate_hz, self._sample_rate_hz, 1, dtype="float32", quality="HQ")
        try:
            while len(mono := self._mono_block()):
                if resampler is not None:
                    mono = resampler.resample_chunk(mono)
                if len(mono):
                    yield mono
            self._judge()
            if resampler is not None:
                tail = resampler.resample_chunk(np.empty(0, np.float32), last=True)
                if len(tail):
                    yield tail
        finally:
            self._source.close()

    def _mono_block(self) -> FloatArray:
        """Ten seconds `(samples,)` at the file's rate; less at the end of file or cap, none behind it."""
        parts: list[FloatArray] = []
        end = self._num_frames + BLOCK_S * self.info.sample_rate_hz
        while not self._cut and self._num_frames < end and len(raw := self._source.read()):
            left = self._max_frames - self._num_frames
            self._cut = len(raw) > left
            if left:
                parts.append(self._mono(raw[:left]))
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    def _mono(self, raw: FloatArray) -> FloatArray:
        """Check `raw` `(frames, channels)` and average its channels."""
        peak = max(float(raw.max()), -float(raw.min()))  # NaN and infinity come through both
        if not peak <= MAX_PEAK:
            rate_hz = self.info.sample_rate_hz
            start_s, end_s = self._num_frames / rate_hz, (self._num_frames + len(raw)) / rate_hz
            what = f"samples reach {peak:g}, {MAX_PEAK:g} at most" if peak > MAX_PEAK else "samples are NaN"
            raise self._error(f"damaged: {what}, between {start_s:.1f} s and {end_s:.1f} s")
        mono = _mix(raw)
        self._num_frames += len(raw)
        self._raw_peak = max(self._raw_peak, peak)
        if self._mono_peak <= SILENT_PEAK:
            self._mono_peak = max(self._mono_peak, float(mono.max()), -float(mono.min()))
        return mono

    def _judge(self) -> None:
        """A decode that succeeds proves nothing: is what came out a sound, and all of it?"""
        decoded_s = self._num_frames / self.info.sample_rate_hz
        declared_s = self._source.declared_s
        if declared_s and not self._cut and decoded_s < MIN_DECODED_SHARE * declared_s:
            raise self._error(
                f"truncated: its header says {_seconds(declared_s)}, {_seconds(decoded_s)} could be decoded"
            )
        if not self._num_frames:
            raise self._error("no sound: by its header it holds no samples")
        if decoded_s < MIN_DURATION_S:
            least = _seconds(MIN_DURATION_S)
            raise self._error(f"too short: {_seconds(decoded_s)}, at least {least} are needed")
        if self._raw_peak <= SILENT_PEAK:
            raise self._error("silent: nothing in it is louder than -90 dBFS")
        if self._mono_peak <= SILENT_PEAK:
            raise self._error("silent as mono: its channels cancel each other")
        self.info = replace(self.info, duration_s=decoded_s, truncated=self._cut)

    def _error(self, reason: str) -> DecodeError:
        return DecodeError(files.printable(self.info.path), reason)


class SoundfileSource:
    """Pieces of a file that libsndfile knows."""

    def __init__(self, path: str, shown: str) -> None:
        self._shown = shown
        self._file: BinaryIO = Path(path).open("rb")  # noqa: SIM115 (closed in close)
        try:
            self._open(path)
        except BaseException:
            self.close()
            raise

    def _open(self, path: str) -> None:
        with without_decoder_chatter():
            self._sound = _Sound(self._handle(path), closefd=False)
        self.sample_rate_hz, self.channels = self._sound.samplerate, self._sound.channels
        self.format, self.declared_s = _format_name(self._sound), _declared_s(self._sound)
        self._is_mp3 = self._sound.format == "MP3"
        if self._is_mp3:
            self._distrust_mp3_length()
        num_frames = max(1, int(min(_PIECE_S * self.sample_rate_hz, _MAX_PIECE_VALUES / self.channels)))
        self._piece = np.empty((num_frames, self.channels), np.float32)

    def read(self) -> FloatArray:
        """The next piece `(frames, channels)`, empty at the end.

        Raises:
            DecodeError: libsndfile meets an error.
        """
        try:
            with without_decoder_chatter() if self._is_mp3 else nullcontext():
                return self._sound.read(out=self._piece)  # type: ignore[no-any-return]
        except soundfile.LibsndfileError as error:
            raise DecodeError(self._shown, f"damaged or cut off: {_words(error)}") from error

    def close(self) -> None:
        """Let go of the file."""
        if hasattr(self, "_sound"):
            with without_decoder_chatter():
                self._sound.close()
        self._file.close()

    def _handle(self, path: str) -> str | bytes | int | BinaryIO:
        # A descriptor has no name, so libsndfile judges by content alone: by name it takes any text called
        # x.au for µ-law. But only by its name does it look for an mp3 behind junk.
        by_name = path.lower().endswith(".mp3")
        if sys.platform == "win32":  # where Python and libsndfile do not share descriptors
            return path if by_name else self._file
        return os.fsencode(path) if by_name else self._file.fileno()

    def _distrust_mp3_length(self) -> None:
        """Without a stated frame count libsndfile's length is a guess: forget it, and never stop at it."""
        with Path(self._file.name).open("rb") as file:
            length = mp3.read_length(file)
        if length is None or length.stated:
            return
        self.declared_s = None
        if not length.constant:
            with without_decoder_chatter():
                self._sound.close()
                self._sound = _Sound(mp3.EndlessMp3(self._file, length.first_frame))


class _Sound(soundfile.SoundFile):  # type: ignore[misc]
    """A SoundFile read forwards only: soundfile would seek after each read, and fail at a damaged end."""

    def seekable(self) -> bool:
        return False


def open_source(path: str) -> Source:
    """The decoder of a file, at the file's own rate and with its own channels.

    Raises:
        DecodeError: The file cannot be read or is no sound.
    """
    shown = files.printable(path)
    head = files.read_head(path)
    kind = ffmpeg.recognise(head)
    if kind:
        return _checked(ffmpeg.FormatsSource(path, shown, kind, _PIECE_S), shown)
    try:
        return _checked(SoundfileSource(path, shown), shown)
    except soundfile.LibsndfileError as error:
        suffix = Path(path).suffix.lower()
        if error.code == _UNRECOGNISED and suffix in FORMATS_EXTENSIONS and not files.is_text(head):
            return _checked(ffmpeg.FormatsSource(path, shown, suffix[1:], _PIECE_S), shown)
        raise DecodeError(shown, _why_not(error, head)) from error


def _checked(source: Source, shown: str) -> Source:
    if _MIN_RATE_HZ <= source.sample_rate_hz <= _MAX_RATE_HZ and source.channels > 0:
        return source
    source.close()
    claim = f"{source.channels} channels at {source.sample_rate_hz} Hz"
    raise DecodeError(
        shown, f"no sound: its header claims {claim}; {_MIN_RATE_HZ} to {_MAX_RATE_HZ} Hz can be read"
    )


# libsndfile's error codes. 7 is "does not exist": said of what looks like an mp3 and holds no frame of one.
_UNRECOGNISED, _MALFORMED, _NO_MP3_FRAME = 1, 3, 7
_HEADER_CLAIMS = (
    24,
    32,
    33,
    34,
)  # impossible rates and channel counts, which libsndfile names without the number


def _why_not(error: soundfile.LibsndfileError, head: bytes) -> str:
    if error.code in _HEADER_CLAIMS and (fmt := head.find(b"fmt ")) > 0 and len(head) >= fmt + 16:
        channels, rate_hz = struct.unpack_from("<HI", head, fmt + 10)
        return f"no sound: its header claims {channels} channels at {rate_hz} Hz"
    if error.code == _MALFORMED:
        return "damaged or cut off: its parts do not fit together"
    if error.code not in (_UNRECOGNISED, _NO_MP3_FRAME):
        return f"damaged, or of a kind that cannot be read: {_words(error)}"
    return files.why_unrecognised(head)


def _words(error: soundfile.LibsndfileError) -> str:
    """libsndfile's own words: "Error : flac decoder lost sync." -> "flac decoder lost sync"."""
    return re.sub(r"^(Internal error|Error) : ", "", error.error_string).strip().rstrip(".")


def _format_name(sound: soundfile.SoundFile) -> str:
    name, subtype = sound.format, sound.subtype
    if name == "OGG" or (name == "MP3" and subtype != "MPEG_LAYER_III"):
        return f"{name}/{subtype}"
    return "WAV" if name == "WAVEX" else str(name)


def _declared_s(sound: soundfile.SoundFile) -> float | None:
    """The stated length. libsndfile silently shortens it to what is there; its log keeps what was claimed."""
    frames = sound.frames
    if frames >= 1 << 62:  # "not known", as in FLAC from a stream
        return None
    if sound.format in ("WAV", "WAVEX", "AIFF", "AU", "W64"):
        sizes = re.search(r"^ *(?:data|SSND|Data Size) *: (\d+) \(should be (\d+)\)", sound.extra_info, re.M)
        claimed, there = map(int, sizes.groups()) if sizes else (0, 0)
        if there and claimed < _UNKNOWN_BYTES:
            return float(frames / sound.samplerate * claimed / there)
    elif sound.format == "RF64":
        claim = re.search(r"does not match value from 'ds64' chunk of (\d+)", sound.extra_info)
        if claim:
            return int(claim[1]) / float(sound.samplerate)
    return float(frames / sound.samplerate)


def _mix(raw: FloatArray) -> FloatArray:
    """The mean of the channels of `(frames, channels)`; decoders' own downmixes disagree by up to √2."""
    mono: FloatArray
    if raw.shape[1] == 1:
        mono = raw[:, 0].copy()
    elif raw.shape[1] == 2:  # ten times as fast as mean(axis=1)
        mono = raw[:, 0] + raw[:, 1]
        mono *= np.float32(0.5)
    else:
        mono = raw.mean(axis=1, dtype=np.float32)
    return mono


def _seconds(duration_s: float) -> str:
    return f"{duration_s:,.1f} s" if duration_s >= 1 else f"{duration_s * 1000:.0f} ms"
