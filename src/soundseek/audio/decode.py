"""A sound file -> mono float32 blocks at the model's rate, streamed, or one plain reason why not.

A file is opened in three steps: what kind it is (`files`), which recordings it holds and whether its header is true
(`parts`), and who decodes it: libsndfile, or FFmpeg for what libsndfile does not read (`ffmpeg`).

A file counts as damaged when less than nine tenths of the length that it states can be decoded, when the decoder meets
an error on the way, or when its samples cannot be sound: half a recording under its full name would be found and then
disappoint. Ogg, bare MPEG frames, ADTS and AC-3 state no length, so a cut-off one is simply a shorter sound.
"""

from __future__ import annotations

import math
import os
import re
import struct
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from soundseek._install import install_command
from soundseek._typing import FloatArray
from soundseek.audio import ffmpeg, files
from soundseek.audio.combined_sources import AudioSource, ContinuedSource, JoinedSource
from soundseek.audio.downmix import Downmix
from soundseek.audio.ffmpeg import MIN_DECODED_SHARE
from soundseek.audio.files import AUDIO_EXTENSIONS, FORMATS_EXTENSIONS
from soundseek.audio.joined import joined_parts
from soundseek.audio.mp3 import behind_id3, without_decoder_chatter
from soundseek.audio.parts import Part, PartFile, find_parts
from soundseek.audio.resampling import Resampler, resampler
from soundseek.audio.seams import ByteSpan, find_spans, spans_behind_junk, window, without_filler
from soundseek.errors import DecodeError, UsageError

__all__ = [
    "AUDIO_EXTENSIONS",
    "FORMATS_EXTENSIONS",
    "AudioInfo",
    "AudioSource",
    "AudioStream",
    "open_audio",
    "open_source",
    "probe",
    "read_audio",
]

BLOCK_S = 10.0
MIN_DURATION_S = 0.01
# +60 dBFS: recorders that write 32-bit floats go far above full scale. Beyond it, only whole numbers written as floats
# are sound.
MAX_PEAK = 1000.0
# Digital silence in FLAC at 8 kHz still takes 29 bytes a second. A file with half of that, for more than an hour, was
# made to keep a machine busy: a megabyte of it can be a month of sound.
MIN_BYTES_PER_S, ALWAYS_ALLOWED_S = 15.0, 3600.0
_INTEGER_SCALE = 2.0**15
_MAX_INTEGER = 2.0**31  # of 32 bits; the level is set afterwards
SILENT_PEAK = 2.0**-15  # one step of a 16-bit file, -90 dBFS: dither and nothing else

_PIECE_S = 1.0  # a second of stereo stays in the L2 cache while it is checked and mixed
_MAX_PIECE_VALUES = 1 << 20  # 4 MB of float32 however many channels a header claims
_LEFT_OVER_BYTES = 1 << 15  # what a decoder has not asked for of a file that it read to its end
_MIN_RATE_HZ, _MAX_RATE_HZ = 1_000, 1_536_000


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
        loudness_dbfs: Root mean square of all channels' samples in decibels, 0 for a square wave at full scale; None
            until the stream is exhausted.
    """

    path: str
    format: str
    sample_rate_hz: int
    channels: int
    duration_s: float = 0.0
    truncated: bool = False
    loudness_dbfs: float | None = None


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
    path: str | os.PathLike[str], *, sample_rate_hz: int, max_duration_s: float = math.inf
) -> AudioStream:
    """A stream of mono blocks of a file.

    Args:
        path: A sound file; anything but a regular file (a pipe, a device) is refused unopened.
        sample_rate_hz: Rate of the blocks.
        max_duration_s: Decoding stops here; `info.truncated` then says so. Infinite: the whole file.

    Raises:
        DecodeError: The file cannot be read or is no sound. Damage further in is raised while iterating.
        UsageError: A rate or a duration that is not above 0.
    """
    if sample_rate_hz <= 0 or not max_duration_s > 0:
        raise UsageError(
            f"sample_rate_hz ({sample_rate_hz}) and max_duration_s ({max_duration_s}) must be above 0"
        )
    name = os.fspath(path)
    source = open_source(name)
    return AudioStream(name, source, sample_rate_hz, max_duration_s, num_bytes=Path(name).stat().st_size)


def read_audio(
    path: str | os.PathLike[str], *, sample_rate_hz: int, max_duration_s: float = math.inf
) -> FloatArray:
    """The whole file as one waveform `(samples,)`, mono, at `sample_rate_hz`; see `open_audio`."""
    with open_audio(path, sample_rate_hz=sample_rate_hz, max_duration_s=max_duration_s) as stream:
        blocks = list(stream)
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


class AudioStream:
    """Iterator of mono float32 blocks `(samples,)`; also a context manager that closes the file.

    Samples are those of the file, so beyond [-1, 1] where the file is: a peak above 1,000 (+60 dBFS) is an error, but
    for whole numbers that were written as floats, which are divided by 32,768.

    Attributes:
        info: Facts of the file; final when the stream is exhausted.
        stated_s: Seconds to expect, by the file's header; None if it does not say.
    """

    def __init__(
        self,
        path: str,
        source: AudioSource,
        sample_rate_hz: int,
        max_duration_s: float,
        *,
        num_bytes: float = math.inf,
    ) -> None:
        self._num_bytes = num_bytes
        self.info = AudioInfo(path, source.format, source.sample_rate_hz, source.channels)
        declared_s = source.declared_s
        self.stated_s = None if declared_s is None else min(declared_s, max_duration_s)
        self._source = source
        self._sample_rate_hz = sample_rate_hz
        self._max_frames = max(1, int(min(max_duration_s * source.sample_rate_hz, 2.0**62)))
        self._num_frames = 0
        self._cut = False
        self._peak = 0.0
        self._power = 0.0  # of all samples, summed
        self._downmix = Downmix(source.sample_rate_hz)
        self._scale: float | None = None  # None until something but silence came
        self._blocks = self._decode()

    def __iter__(self) -> AudioStream:
        return self

    def __next__(self) -> FloatArray:
        return next(self._blocks)

    def __enter__(self) -> AudioStream:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; iterating further gives nothing."""
        self._blocks.close()
        self._source.close()

    def _decode(self) -> Generator[FloatArray, None, None]:
        rate_hz = self.info.sample_rate_hz
        stream = None if rate_hz == self._sample_rate_hz else resampler(rate_hz, self._sample_rate_hz)
        try:
            done = -1
            while done < self._num_frames:
                done = self._num_frames
                mono = self._mono_block(stream)
                self._need_bytes_for_it()
                if len(mono):
                    yield mono
            self._judge()
            if stream is not None and len(tail := stream.flush()):
                yield tail
        finally:
            self._source.close()

    def _mono_block(self, stream: Resampler | None) -> FloatArray:
        """Ten seconds `(samples,)` at the model's rate; less at the end of file or cap, none behind it."""
        parts: list[FloatArray] = []
        end = self._num_frames + BLOCK_S * self.info.sample_rate_hz
        while not self._cut and self._num_frames < end and len(raw := self._next_piece()):
            left = self._max_frames - self._num_frames
            self._cut = len(raw) > left
            if left:
                mono = self._mono(raw[:left])
                # A piece that was just mixed is still in the cache: a sixth less time than for ten seconds at once.
                parts.append(mono if stream is None else stream.push(mono))
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    def _next_piece(self) -> FloatArray:
        """What the decoder gives next, `(frames, channels)`; an error that it meets says how far it came."""
        try:
            return self._source.read()
        except DecodeError as error:
            done_s, declared_s = self._num_frames / self.info.sample_rate_hz, self._source.declared_s
            of = f" of {_seconds(declared_s)}" if declared_s else ""
            raise self._error(f"{error.reason}, beyond {_seconds(done_s)}{of}") from error

    def _need_bytes_for_it(self) -> None:
        """Raise where so much sound has come out of so few bytes that only a file made for it can have no end."""
        decoded_s = self._num_frames / self.info.sample_rate_hz
        if decoded_s > max(ALWAYS_ALLOWED_S, self._num_bytes / MIN_BYTES_PER_S):
            raise self._error(
                f"more sound than {self._num_bytes:,} bytes should hold: {decoded_s / 3600:,.1f} h could be decoded "
                f"and there is no end of it; --max-duration embeds the beginning"
            )

    def _mono(self, raw: FloatArray) -> FloatArray:
        """Check `raw` `(frames, channels)` and mix its channels."""
        peak = max(float(raw.max()), -float(raw.min()))  # NaN and infinity come through both
        if self._scale is None and peak > SILENT_PEAK:
            self._scale = _INTEGER_SCALE if 1 < peak <= _MAX_INTEGER and (raw == np.rint(raw)).all() else 1.0
        if self._scale == _INTEGER_SCALE:
            raw = raw / np.float32(_INTEGER_SCALE)
            peak /= _INTEGER_SCALE
        most = MAX_PEAK if self._scale != _INTEGER_SCALE else _MAX_INTEGER / _INTEGER_SCALE
        if not peak <= most:
            rate_hz = self.info.sample_rate_hz
            start_s, end_s = self._num_frames / rate_hz, (self._num_frames + len(raw)) / rate_hz
            what = f"samples reach {peak:g}, {most:g} at most" if peak > most else "samples are NaN"
            raise self._error(f"damaged: {what}, between {start_s:.1f} s and {end_s:.1f} s")
        self._num_frames += len(raw)
        self._peak = max(self._peak, peak)
        flat = raw.reshape(-1)
        self._power += float(np.dot(flat, flat))
        return self._downmix(raw)

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
        if self._peak <= SILENT_PEAK:
            raise self._error("silent: nothing in it is louder than -90 dBFS")
        mean_power = self._power / (self._num_frames * self.info.channels)
        self.info = replace(
            self.info,
            duration_s=decoded_s,
            truncated=self._cut,
            loudness_dbfs=10 * math.log10(mean_power) if mean_power > 0 else None,
        )

    def _error(self, reason: str) -> DecodeError:
        return DecodeError(files.printable_path(self.info.path), reason)


class SoundfileSource:
    """Pieces of a file, or of a part of one, that libsndfile knows.

    Args:
        path: The file.
        shown: Its name as messages show it.
        part: Which part of it; None for the file as it stands, as for a part that is the file as it stands.

    Raises:
        LibsndfileError: libsndfile does not know it.
    """

    def __init__(self, path: str, shown: str, part: Part | None = None) -> None:
        self._shown = shown
        self._file: BinaryIO = Path(path).open("rb")  # noqa: SIM115 (closed in close)
        try:
            self._open(part)
        except BaseException:
            self.close()
            raise

    def _open(self, part: Part | None) -> None:
        self._part = part
        self._view = PartFile(self._file, part) if part is not None and not part.as_it_stands else None
        self._stated_frames = part.stated_frames if part is not None else None
        with without_decoder_chatter():
            self._sound = _Sound(self._handle(), closefd=False)
        self.sample_rate_hz, self.channels = self._sound.samplerate, self._sound.channels
        self.format = (part.format if part is not None and self._view else "") or _format_name(self._sound)
        self._num_frames = 0
        self._most_frames = part.most_frames if part is not None else None
        self.declared_s = self._stated_length(1.0 if part is None else part.stated_share)
        self._is_mpeg = self._sound.format == "MP3"
        num_frames = max(1, int(min(_PIECE_S * self.sample_rate_hz, _MAX_PIECE_VALUES / self.channels)))
        self._piece = np.empty((num_frames, self.channels), np.float32)

    def read(self) -> FloatArray:
        """The next piece `(frames, channels)`, empty at the end.

        Raises:
            DecodeError: libsndfile meets an error.
        """
        # Up to the last sample that the header counts and no further: an error behind it would take these with it.
        left = max(0, (self._stated_frames or 0) - self._num_frames) or len(self._piece)
        if self._most_frames is not None:
            left = min(left, self._most_frames - self._num_frames)
        try:
            with without_decoder_chatter() if self._is_mpeg else nullcontext():
                piece: FloatArray = self._sound.read(out=self._piece[:left])
        except soundfile.LibsndfileError as error:
            if self._stated_frames and self._num_frames >= self._stated_frames:
                return self._piece[:0]  # what lies behind the last sample is no sound
            raise DecodeError(self._shown, f"damaged or cut off: {_words(error)}") from error
        if self._view is not None and self._view.error is not None:
            reason = self._view.error.strerror or str(self._view.error)
            raise DecodeError(self._shown, f"cannot be read: {reason}") from self._view.error
        if not len(piece) and self._goes_on():
            return self.read()
        self._num_frames += len(piece)
        return piece

    def _goes_on(self) -> bool:
        """Whether a FLAC has frames behind the last one that its header counts; if so, go on without the count."""
        part = self._part
        if self._view is not None or part is None or not part.stated_frames:
            return False
        read_bytes = os.lseek(self._file.fileno(), 0, os.SEEK_CUR)
        if read_bytes + _LEFT_OVER_BYTES > part.extents[-1][1]:
            return False
        self._sound.close()
        self._view = PartFile(self._file, part)
        self._sound = _Sound(self._view, closefd=False)
        left = self._num_frames
        while left and len(known := self._sound.read(out=self._piece[:left])):
            left -= len(known)
        return True

    def close(self) -> None:
        """Let go of the file."""
        if hasattr(self, "_sound"):
            with without_decoder_chatter():
                self._sound.close()
        self._file.close()

    def _handle(self) -> int | BinaryIO | PartFile:
        # Never the name: by name libsndfile takes any text called x.au for µ-law, and an mp3 beside a file ._x.mp3 of a
        # Mac for Sound Designer II.
        if self._view is not None:
            return self._view
        return self._file if sys.platform == "win32" else self._file.fileno()

    def _stated_length(self, stated_share: float) -> float | None:
        if self._stated_frames is not None:
            return self._stated_frames / self.sample_rate_hz or None
        if self._sound.frames >= 1 << 62:  # "not known"
            return None
        num_frames = min(self._sound.frames, self._most_frames or self._sound.frames)
        return float(num_frames / self.sample_rate_hz * stated_share)


class _Sound(soundfile.SoundFile):  # type: ignore[misc]
    """A SoundFile read forwards only: soundfile would seek after each read, and fail at a damaged end."""

    def seekable(self) -> bool:
        return False


# Bits of a sample that libsndfile finds stored as it is.
_PCM_BITS = {
    "PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "FLOAT": 32, "DOUBLE": 64,
    "ALAC_16": 16, "ALAC_20": 20, "ALAC_24": 24, "ALAC_32": 32,
}  # fmt: skip


def pcm_bits(path: str | os.PathLike[str]) -> int | None:
    """Bits of a sample, by the header of a file that stores samples as such; None of a lossy or an unknown one."""
    try:
        # Not buffered: libsndfile reads on where the descriptor stands.
        with Path(path).open("rb", buffering=0) as file, without_decoder_chatter():
            if file.read(3) in (b"ID3", b"Ogg"):
                return None
            file.seek(0)
            with _Sound(file if sys.platform == "win32" else file.fileno(), closefd=False) as sound:
                return _PCM_BITS.get(sound.subtype)
    except (OSError, soundfile.LibsndfileError):
        return None


# What libsndfile reads whole: where it fails, the file is damaged and no package is missing.
_READ_BY_LIBSNDFILE = frozenset({"Vorbis in Ogg", "Opus in Ogg", "FLAC"})
_OPUS = "OGG/OPUS"


def open_source(path: str) -> AudioSource:
    """The decoder of a file, at the file's own rate and with its own channels.

    What libsndfile does not read is offered to FFmpeg. Recordings of several kinds that follow each other, in one file
    or behind bytes of anything, are one.

    Raises:
        DecodeError: The file cannot be read or is no sound.
    """
    shown = files.printable_path(path)
    head = files.read_head(path)
    extension = Path(path).suffix.lower()
    try:
        spans = find_spans(path)
        if not spans:
            return _open(path, shown, head, extension)
    except OSError as error:
        raise _unreadable(shown, error) from error
    except DecodeError:
        spans = spans_behind_junk(path)
        if not spans:
            raise
    openers = [partial(_open_span, path, shown, span) for span in spans]
    return openers[0]() if len(openers) == 1 else JoinedSource(openers)


def _open_span(path: str, shown: str, span: ByteSpan) -> AudioSource:
    try:
        with Path(path).open("rb") as file:
            head = window(file, span).read(files.HEAD_BYTES)
    except OSError as error:
        raise _unreadable(shown, error) from error
    return _open(path, shown, head, "", span)


def _open(path: str, shown: str, head: bytes, extension: str, span: ByteSpan | None = None) -> AudioSource:
    """The decoder of a file, or of what lies between two places of it."""
    start, behind = _behind_id3(path, shown, head, span)
    known = files.recognise(behind, extension)
    if known is not None and known.only_ffmpeg:
        return _checked(_open_with_ffmpeg(path, shown, known, behind, start, span), shown)
    try:
        source = _checked(_open_with_libsndfile(path, shown, head, extension, span), shown)
        if known is not None and source.format == _OPUS:  # libsndfile stumbles where a page's time steps back
            return ContinuedSource(
                source, partial(_open_with_ffmpeg, path, shown, known, behind, start, span)
            )
        return source
    except soundfile.LibsndfileError as error:
        reason = _why_not(error, behind)
        if known is None or error.code in _HEADER_CLAIMS:
            raise DecodeError(shown, reason) from error
        try:
            return _checked(_open_with_ffmpeg(path, shown, known, behind, start, span), shown)
        except DecodeError as second:
            is_missing = "needs one more package" in second.reason
            if is_missing and files.ends_in_header(known, behind):
                reason = "damaged or cut off: it ends before its sound begins"
            elif is_missing and files.name_with_codec(known, behind) in _READ_BY_LIBSNDFILE:
                reason = f"{reason}; FFmpeg may read more of it: {install_command('formats')}"
            elif is_missing:
                reason = second.reason
            raise DecodeError(shown, reason) from error


@contextmanager
def _opened(path: str, shown: str, span: ByteSpan | None) -> Iterator[BinaryIO]:
    """A file, or what lies between two places of it, to be read.

    Raises:
        DecodeError: It cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            yield file if span is None else window(file, span)
    except OSError as error:
        raise _unreadable(shown, error) from error


def _in_file(parts: list[Part], span: ByteSpan | None) -> list[Part]:
    """Parts of what lies between two places of a file as parts of the file."""
    if span is None:
        return parts
    return [
        replace(
            part,
            extents=tuple((start + span[0], end + span[0]) for start, end in part.extents),
            as_it_stands=False,
        )
        for part in parts
    ]


def _behind_id3(path: str, shown: str, head: bytes, span: ByteSpan | None) -> tuple[int, bytes]:
    """Where the ID3 tags in front of a file end, and the first bytes behind them."""
    if not head.startswith(b"ID3"):
        return 0, head
    with _opened(path, shown, span) as file:
        start = behind_id3(file)
        file.seek(start)
        return start, file.read(len(head))


def _unreadable(shown: str, error: OSError) -> DecodeError:
    return DecodeError(shown, f"cannot be read: {error.strerror or error}")


def _open_with_libsndfile(
    path: str, shown: str, head: bytes, extension: str, span: ByteSpan | None
) -> AudioSource:
    with _opened(path, shown, span) as file:
        parts = _in_file(find_parts(file, head, extension), span)
    if not parts:
        return SoundfileSource(path, shown, None if span is None else Part("", b"", (span,)))
    if any(part.num_tracks > 1 for part in parts):
        kind = "several tracks in Ogg"
        whole = ffmpeg.FFmpegInput(path, shown, kind, "ogg", _PIECE_S)
        return JoinedSource([partial(ffmpeg.open_ffmpeg, replace(whole, part=part)) for part in parts])
    if len(parts) > 1:
        return JoinedSource([partial(SoundfileSource, path, shown, part) for part in parts])
    try:
        return SoundfileSource(path, shown, parts[0])
    except soundfile.LibsndfileError:
        if not parts[0].as_it_stands or not parts[0].header:
            raise
        # A chunk that only describes the sound is what libsndfile stumbles over; the new header leaves it out.
        return SoundfileSource(path, shown, replace(parts[0], as_it_stands=False))


def _open_with_ffmpeg(
    path: str, shown: str, known: files.Format, head: bytes, start: int, span: ByteSpan | None
) -> AudioSource:
    kind = files.name_with_codec(known, head)
    source = ffmpeg.FFmpegInput(path, shown, kind, known.demuxers, _PIECE_S)
    with _opened(path, shown, span) as file:
        found = joined_parts(file, known.name) if known.only_ffmpeg else _parts_for_ffmpeg(file, known, head)
        if not found and (extents := without_filler(file, known.name)):
            found = [Part("", b"", tuple(extents))]
        parts = _in_file(found, span)
        first, end = span or (0, file.seek(0, os.SEEK_END))
    if len(parts) > 1:
        return JoinedSource([partial(ffmpeg.open_ffmpeg, replace(source, part=part)) for part in parts])
    if parts:
        num_bytes = sum(end - start for start, end in parts[0].extents)
        part: Part | None = parts[0]
    else:
        first += start
        num_bytes = end - first
        part = Part("", b"", ((first, end),)) if start or span is not None else None
    share = files.stated_share(head, num_bytes)
    return ffmpeg.open_ffmpeg(replace(source, part=part, stated_share=share))


def _parts_for_ffmpeg(file: BinaryIO, known: files.Format, head: bytes) -> list[Part]:
    """The recordings of a joined file in a codec that libsndfile does not know; none of one that was not joined."""
    if known.name == "Ogg":  # FFmpeg plays every link
        return []
    parts = find_parts(file, head)
    return parts if len(parts) > 1 else []


def _checked(source: AudioSource, shown: str) -> AudioSource:
    if _MIN_RATE_HZ <= source.sample_rate_hz <= _MAX_RATE_HZ and source.channels > 0:
        return source
    source.close()
    claim = f"{source.channels} channels at {source.sample_rate_hz} Hz"
    raise DecodeError(
        shown, f"no sound: its header claims {claim}; {_MIN_RATE_HZ} to {_MAX_RATE_HZ} Hz can be read"
    )


# libsndfile's error codes. 7 is "does not exist": said of what looks like an mp3 and holds no frame of one.
_UNRECOGNISED, _MALFORMED, _NO_MP3_FRAME = 1, 3, 7
# Impossible rates and channel counts, which libsndfile names without the number.
_HEADER_CLAIMS = (24, 32, 33, 34)


def _why_not(error: soundfile.LibsndfileError, head: bytes) -> str:
    if error.code in _HEADER_CLAIMS and (fmt := head.find(b"fmt ")) > 0 and len(head) >= fmt + 16:
        channels, rate_hz = struct.unpack_from("<HI", head, fmt + 10)
        return f"no sound: its header claims {channels} channels at {rate_hz} Hz"
    if error.code == _MALFORMED or "Unspecified internal error" in error.error_string:
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


def _seconds(duration_s: float) -> str:
    return f"{duration_s:,.1f} s" if duration_s >= 1 else f"{duration_s * 1000:.0f} ms"
