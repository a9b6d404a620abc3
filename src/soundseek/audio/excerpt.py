"""A part of a file as a file of its own, sample for sample or as every browser plays it; and its waveform."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import soundfile
import soxr

from soundseek._typing import FloatArray
from soundseek.audio.decode import open_source
from soundseek.audio.files import printable_path
from soundseek.audio.seams import has_true_header
from soundseek.errors import DecodeError, UsageError

CutFormat = Literal["own", "wav24"]

PREVIEW_RATE_HZ = 48_000
PEAK_HOP_S = 0.01
_CLIP_RATE_HZ = 32_000  # a rate that MP3 has; up to 16 kHz is what an ear judges a small player by
_BLOCK_FRAMES = 1 << 16
_MOST_WAV_BYTES = 0xF0000000  # of samples; the rest of the four gigabytes is for what stands beside them

# Subtypes of libsndfile that come back from int32 exactly as they went in.
_EXACT = frozenset(
    {"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "ALAC_16", "ALAC_20", "ALAC_24", "ALAC_32"}
)
_FLOATS = {"FLOAT": "float32", "DOUBLE": "float64"}
_SUFFIXES = {"WAV": ".wav", "WAVEX": ".wav", "RF64": ".wav", "W64": ".w64", "FLAC": ".flac", "AIFF": ".aiff",
             "AU": ".au", "CAF": ".caf"}  # fmt: skip


@dataclass(frozen=True)
class Excerpt:
    """What was written.

    Attributes:
        start_s: Where it begins in the file: a whole sample, at or before what was asked for.
        end_s: Where it ends.
        is_exact: Every sample is the file's own.
        suffix: The ending that its name should have.
    """

    start_s: float
    end_s: float
    is_exact: bool
    suffix: str


def cut(
    path: str | os.PathLike[str],
    target: Path,
    start_s: float,
    end_s: float,
    *,
    format: CutFormat = "own",
) -> Excerpt:
    """Write the part of a file between two times as a file of its own.

    "own" keeps format and samples of WAV, RF64, FLAC, AIFF, CAF, AU and W64 in PCM or floats, and whatever else stands
    in a WAV (its time reference is moved on); lossy files become WAV of 24 bits, since coding them again would change
    them. "wav24" is WAV of 24-bit PCM.

    Args:
        path: The file.
        target: Where the excerpt goes; its ending should be the answer's `suffix`.
        start_s: Where to begin; before 0 is 0.
        end_s: Where to end; behind the end is the end.
        format: Which format.

    Raises:
        DecodeError: The file cannot be read.
        UsageError: There is nothing between the two times.
    """
    name = os.fspath(path)
    if format == "own" and has_true_header(name):
        try:
            exact = _cut_wav(name, target, start_s, end_s) or _cut_exactly(name, target, start_s, end_s)
        except OSError as error:
            raise DecodeError(name, f"cannot be read: {error.strerror or error}") from error
        if exact is not None:
            return exact
    return _cut_to_wav24(name, target, start_s, end_s)


def _keeps(format: str, subtype: str) -> bool:
    return format in _SUFFIXES and (subtype in _EXACT or subtype in _FLOATS)


# --- WAV: chunks are copied, so that bits, floats and metadata stay what they are ---------------------------------


@dataclass(frozen=True)
class _Wav:
    chunks: list[tuple[bytes, int, int]]  # name, first byte of its content, number of bytes
    rate_hz: int
    frame_bytes: int
    data_at: int
    num_frames: int


def _wav_chunks(path: str) -> _Wav | None:
    """The parts of a RIFF or RF64 file of uncompressed samples; None for anything else."""
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(12)
        if len(head) < 12 or head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
            return None
        chunks: list[tuple[bytes, int, int]] = []
        long_data, at = None, 12
        rate_hz = frame_bytes = data_at = num_frames = 0
        while at + 8 <= size and len(chunks) < 1000:
            file.seek(at)
            name, length = struct.unpack("<4sI", file.read(8))
            if name == b"ds64":
                (long_data,) = struct.unpack("<8xQ", file.read(16))
            if name == b"data" and length == 0xFFFFFFFF and long_data is not None:
                length = long_data
            length = min(length, size - at - 8)
            if name == b"fmt ":
                body = file.read(length)
                if length < 16:
                    return None
                tag, _, rate_hz, _, frame_bytes, _ = struct.unpack_from("<HHIIHH", body)
                if tag == 0xFFFE and length >= 26:
                    (tag,) = struct.unpack_from("<H", body, 24)
                if tag not in (1, 3) or not frame_bytes or not rate_hz:
                    return None
            if name == b"data":
                data_at, num_frames = at + 8, length // frame_bytes if frame_bytes else 0
            chunks.append((name, at + 8, length))
            at += 8 + length + length % 2
        if not (data_at and num_frames):
            return None
        return _Wav(chunks, rate_hz, frame_bytes, data_at, num_frames)


def _cut_wav(path: str, target: Path, start_s: float, end_s: float) -> Excerpt | None:
    wav = _wav_chunks(path)
    if wav is None:
        return None
    first, last = _frames_between(path, start_s, end_s, wav.rate_hz, wav.num_frames)
    data_bytes = (last - first) * wav.frame_bytes
    if data_bytes > _MOST_WAV_BYTES:
        return None
    # Cue points, regions and peaks of the whole file would be wrong in a part of it.
    dropped = (b"ds64", b"data", b"JUNK", b"junk", b"FLLR", b"PAD ", b"cue ", b"plst", b"smpl", b"PEAK", b"levl",
               b"fact", b"MD5 ", b"umid")  # fmt: skip
    with Path(path).open("rb") as source, target.open("wb") as out:
        out.write(b"RIFF\0\0\0\0WAVE")
        for name, at, length in wav.chunks:
            if name in dropped or length > 64 << 20:
                continue
            source.seek(at)
            body = source.read(length)
            if name == b"LIST" and body[:4] == b"adtl":
                continue
            _write_chunk(out, name, _moved_on(body, first) if name == b"bext" else body)
        out.write(struct.pack("<4sI", b"data", data_bytes))
        source.seek(wav.data_at + first * wav.frame_bytes)
        left = data_bytes
        while left:
            block = source.read(min(left, 1 << 20))
            if not block:
                raise DecodeError(path, "it ends before its header says")
            out.write(block)
            left -= len(block)
        if data_bytes % 2:
            out.write(b"\0")
        size = out.tell()
        out.seek(4)
        out.write(struct.pack("<I", size - 8))
    return Excerpt(first / wav.rate_hz, last / wav.rate_hz, True, ".wav")


def _write_chunk(out: BinaryIO, name: bytes, body: bytes) -> None:
    out.write(struct.pack("<4sI", name, len(body)) + body + b"\0" * (len(body) % 2))


def _moved_on(bext: bytes, first: int) -> bytes:
    """A `bext` chunk whose time reference (samples since midnight, EBU Tech 3285) is that of a later sample."""
    if len(bext) < 346:
        return bext
    (reference,) = struct.unpack_from("<Q", bext, 338)
    if not reference:
        return bext  # it was never set
    return bext[:338] + struct.pack("<Q", reference + first) + bext[346:]


# --- Other formats ------------------------------------------------------------------------------------------------


def _cut_exactly(path: str, target: Path, start_s: float, end_s: float) -> Excerpt | None:
    """FLAC, AIFF and others by libsndfile, in integers or floats as they are; None for lossy ones."""
    try:
        with soundfile.SoundFile(os.fsencode(path)) as sound:
            if not _keeps(sound.format, sound.subtype) or start_s * sound.samplerate >= sound.frames:
                return (
                    None  # behind the last sample that the header counts the slow way finds some, or says so
                )
            first, last = _frames_between(path, start_s, end_s, sound.samplerate, sound.frames)
            kind = _FLOATS.get(sound.subtype, "int32")
            sound.seek(first)
            form = "WAV" if sound.format in ("WAVEX", "RF64") else sound.format
            with soundfile.SoundFile(
                os.fsencode(target), "w", sound.samplerate, sound.channels, sound.subtype, sound.endian, form
            ) as out:
                for tag, text in sound.copy_metadata().items():
                    setattr(out, tag, text)
                left = last - first
                while left:
                    block = sound.read(min(left, _BLOCK_FRAMES), dtype=kind, always_2d=True)
                    if not len(block):
                        raise DecodeError(path, "it ends before its header says")
                    out.write(block)
                    left -= len(block)
            return Excerpt(first / sound.samplerate, last / sound.samplerate, True, _SUFFIXES[sound.format])
    except soundfile.LibsndfileError:
        return None  # the slow way says what is wrong with it


def _cut_to_wav24(path: str, target: Path, start_s: float, end_s: float) -> Excerpt:
    with closing(_Region(path, start_s, end_s)) as region:
        # Many programs read no RF64, so it is left to what is too long for WAV.
        kind = "RF64" if (end_s - start_s) * region.rate_hz * region.channels * 3 > _MOST_WAV_BYTES else "WAV"
        with soundfile.SoundFile(
            os.fsencode(target), "w", region.rate_hz, region.channels, "PCM_24", format=kind
        ) as out:
            for block in region:
                out.write(block)
        return Excerpt(*region.bounds_s(), is_exact=False, suffix=".wav")


def _frames_between(
    path: str, start_s: float, end_s: float, rate_hz: int, num_frames: int
) -> tuple[int, int]:
    first = min(max(0, int(start_s * rate_hz)), num_frames)
    # A time such as 1.3 s is no whole binary fraction: 57330.000000000007 means sample 57330.
    last = min(max(0, round(end_s * rate_hz)), num_frames)
    if last <= first:
        raise UsageError(
            f"{path} has nothing between {start_s:g} s and {end_s:g} s: it is {num_frames / rate_hz:.3f} s long"
        )
    return first, last


class _Region:
    """Blocks `(frames, channels)` float32 of a file between two times, at its own rate."""

    def __init__(self, path: str, start_s: float, end_s: float) -> None:
        self.path = path
        source = (_Seekable.open(path, start_s) if has_true_header(path) else None) or open_source(path)
        self._source = source
        self.rate_hz, self.channels = source.sample_rate_hz, source.channels
        self._first = max(0, int(min(start_s * self.rate_hz, 2.0**62)))
        self._last = max(self._first, round(min(end_s * self.rate_hz, 2.0**62)))
        self._reached = source.skip_to(self._first) if isinstance(source, _Seekable) else 0

    def __iter__(self) -> Iterator[FloatArray]:
        while self._reached < self._last and len(block := self._source.read()):
            begins, self._reached = self._reached, self._reached + len(block)
            low, high = max(0, self._first - begins), min(len(block), self._last - begins)
            if high > low:
                yield block[low:high]
        if min(self._reached, self._last) <= self._first:
            raise UsageError(
                f"{printable_path(self.path)} has nothing behind {self._first / self.rate_hz:g} s: it is "
                f"{self._reached / self.rate_hz:.3f} s long"
            )

    def bounds_s(self) -> tuple[float, float]:
        """Where the blocks began and ended."""
        return self._first / self.rate_hz, min(self._reached, self._last) / self.rate_hz

    def close(self) -> None:
        """Let go of the file."""
        self._source.close()


class _Seekable:
    """A file in which libsndfile finds any sample at once and exactly: none that is mp3."""

    def __init__(self, path: str, sound: soundfile.SoundFile) -> None:
        self._path, self._sound = path, sound
        self.sample_rate_hz: int = sound.samplerate
        self.channels: int = sound.channels

    @classmethod
    def open(cls, path: str, start_s: float) -> _Seekable | None:
        """None where libsndfile does not read it, or not so, or where the header counts fewer samples than that."""
        try:
            sound = soundfile.SoundFile(os.fsencode(path))
        except (soundfile.LibsndfileError, OSError):
            return None
        is_behind = start_s * sound.samplerate >= sound.frames
        # The samples that a FLAC counts may be too few, and from the beginning on there is no need to seek.
        is_read_on = sound.format == "FLAC" and start_s <= 0
        if (
            sound.format == "MP3"
            or not sound.seekable()
            or sound.frames >= 1 << 62
            or is_behind
            or is_read_on
        ):
            sound.close()
            return None
        return cls(path, sound)

    def skip_to(self, frame: int) -> int:
        """Read on from a frame, or from the end; from which."""
        return int(self._sound.seek(min(frame, self._sound.frames)))

    def read(self) -> FloatArray:
        """The next frames, none at the end."""
        try:
            block: FloatArray = self._sound.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise DecodeError(
                printable_path(self._path), f"damaged or cut off: {error.error_string}"
            ) from error
        return block

    def close(self) -> None:
        """Let go of the file."""
        self._sound.close()


# --- What a browser plays, and what it draws ----------------------------------------------------------------------


def write_preview(path: str | os.PathLike[str], target: Path, start_s: float, end_s: float) -> Excerpt:
    """Write a part of a file as every browser plays it: WAV, 16 bits, at most 48 kHz and two channels.

    Raises:
        DecodeError: The file cannot be read.
        UsageError: There is nothing between the two times.
    """
    with closing(_Region(os.fspath(path), start_s, end_s)) as region:
        rate_hz, num_channels = min(region.rate_hz, PREVIEW_RATE_HZ), min(region.channels, 2)
        resample = _resampler(region.rate_hz, rate_hz, num_channels)
        with soundfile.SoundFile(
            os.fsencode(target), "w", rate_hz, num_channels, "PCM_16", format="WAV"
        ) as out:
            for block in region:
                out.write(np.clip(resample(_for_two_ears(block), False), -1.0, 1.0))
            out.write(np.clip(resample(np.empty((0, num_channels), np.float32), True), -1.0, 1.0))
        return Excerpt(*region.bounds_s(), is_exact=False, suffix=".wav")


def encoded_clip(path: str | os.PathLike[str], start_s: float, end_s: float) -> tuple[bytes, str]:
    """A part of a file as few bytes that browsers play, and their media type: mono MP3, or WAV where there is no MP3.

    Raises:
        DecodeError: The file cannot be read.
        UsageError: There is nothing between the two times.
    """
    kind, media_type = (
        ("MP3", "audio/mpeg") if "MP3" in soundfile.available_formats() else ("WAV", "audio/wav")
    )
    with closing(_Region(os.fspath(path), start_s, end_s)) as region:
        resample = _resampler(region.rate_hz, _CLIP_RATE_HZ, 1)
        parts = [resample(block.mean(axis=1, dtype=np.float32)[:, None], False) for block in region]
        parts.append(resample(np.empty((0, 1), np.float32), True))
    encoded = io.BytesIO()
    soundfile.write(encoded, np.clip(np.concatenate(parts), -1.0, 1.0), _CLIP_RATE_HZ, format=kind)
    return encoded.getvalue(), media_type


def _resampler(from_hz: int, to_hz: int, channels: int) -> Callable[[FloatArray, bool], FloatArray]:
    if from_hz == to_hz:
        return lambda block, last: block
    stream = soxr.ResampleStream(from_hz, to_hz, channels, dtype="float32", quality="HQ")
    return lambda block, last: stream.resample_chunk(np.ascontiguousarray(block), last=last)


def _for_two_ears(block: FloatArray) -> FloatArray:
    """`(frames, channels)` as at most two channels; 5.1 by ITU-R BS.775, others by their mean."""
    channels = block.shape[1]
    if channels <= 2:
        return block
    if channels == 6:  # left, right, centre, low, rear left, rear right: the order of WAV and FLAC
        half = np.float32(0.7071)
        left = block[:, 0] + half * (block[:, 2] + block[:, 4])
        right = block[:, 1] + half * (block[:, 2] + block[:, 5])
        # Scaled so that no sum of full-scale channels is above full scale.
        pair: FloatArray = np.stack([left, right], axis=1) / np.float32(1 + 2 * 0.7071)
        return pair
    mean = block.mean(axis=1, dtype=np.float32)
    return np.stack([mean, mean], axis=1)


def peaks(
    path: str | os.PathLike[str],
    *,
    start_s: float = 0.0,
    end_s: float = float("inf"),
    hop_s: float = PEAK_HOP_S,
) -> FloatArray:
    """The lowest and the highest sample of each piece of a waveform, the channels' mean: `(pieces, 2)`.

    Args:
        path: The file.
        start_s: Where to begin.
        end_s: Where to end.
        hop_s: Length of a piece.

    Raises:
        DecodeError: The file cannot be read.
        UsageError: There is nothing between the two times.
    """
    with closing(_Region(os.fspath(path), start_s, end_s)) as region:
        hop = max(1, round(hop_s * region.rate_hz))
        found: list[FloatArray] = []
        rest = np.empty(0, np.float32)
        for block in region:
            mono = np.concatenate([rest, block.mean(axis=1, dtype=np.float32)])
            whole = len(mono) // hop * hop
            pieces = mono[:whole].reshape(-1, hop)
            found.append(np.stack([pieces.min(axis=1), pieces.max(axis=1)], axis=1))
            rest = mono[whole:].copy()
        if len(rest):
            found.append(np.array([[rest.min(), rest.max()]], np.float32))
    pairs = np.concatenate(found) if found else np.empty((0, 2), np.float32)
    # A damaged float file may hold anything; a drawing needs numbers.
    clipped: FloatArray = np.clip(np.nan_to_num(pairs, nan=0.0, posinf=1.0, neginf=-1.0), -1.0, 1.0)
    return clipped
