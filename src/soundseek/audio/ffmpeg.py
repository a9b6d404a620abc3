"""m4a, aac, wma, webm and whatever else libsndfile does not read, decoded by FFmpeg through PyAV."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from soundseek._install import install_command
from soundseek._typing import FloatArray
from soundseek.audio.combined_sources import AudioSource, Converter, TracksSource
from soundseek.audio.mp3 import before_tags
from soundseek.audio.parts import FileBytes, Part, PartFile
from soundseek.errors import DecodeError

# Their length is written down; that of a bare stream (aac, ac3, amr) is FFmpeg's guess from the bitrate.
_STATES_LENGTH = frozenset({
    "mov", "matroska", "asf", "wv", "ape", "tta", "mpc", "mpc8", "tak", "dsf", "avi", "flv", "rm"
})  # fmt: skip
_BELIEVES_BYTES = frozenset({"avi", "dsf"})  # FFmpeg shortens their length to the bytes that are there
_GUESSES = frozenset({"wav"})  # its length is an encoder's guess, good enough where bytes are missing
MIN_DECODED_SHARE = 0.9
"""Less than so much of what a file states is a part of it."""
_LEAST_STATED_S = 1.0  # the durations of shorter WMA and MP4 files count what the encoder put in front
_MAX_BAD_SHARE = 0.1
# Bare streams: of so few bytes FFmpeg does not believe that they are what they are, unless it is told.
_BARE = frozenset({"aac", "loas", "ac3", "eac3", "dts", "truehd", "mlp"})
_FEW_BYTES = 1 << 16
_WHOLE_SHARE = 0.98
_FILLER_BYTES = 512  # zeros that a recorder set aside and did not use, or a download that was not finished
_BEHIND_PACKET_BYTES = 4096  # the ends of pages and packets that packets are cut into
_OGG_PAGE_BYTES = 1 << 16
_TIME = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_ASF_HEADER_BYTES = 1 << 16
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
# FFmpeg drops what these decode first, 93 ms at 44.1 kHz. Of a shorter sound that is everything.
_DROPS_FIRST = frozenset({"wmav1", "wmav2"})
_NAMES = {"mov": "MP4", "matroska": "MATROSKA"}


def needs_extra(kind: str) -> str:
    """Why a file of some kind cannot be read without PyAV, with the command that brings it."""
    return f"{kind} needs one more package: {install_command('formats')}"


@dataclass(frozen=True)
class FFmpegInput:
    """A file as FFmpeg gets it.

    Attributes:
        path: The file.
        shown: Its name as messages show it.
        kind: What the file was taken for, for messages.
        demuxers: Those that FFmpeg may try, by its names; playlists and scripts would make it open further files.
        piece_s: Length of a piece in seconds.
        part: One of several recordings in the file; None for the whole file.
        stated_share: See `files.stated_share`.
    """

    path: str
    shown: str
    kind: str
    demuxers: str
    piece_s: float
    part: Part | None = None
    stated_share: float = 1.0


def open_ffmpeg(source: FFmpegInput) -> AudioSource:
    """A source of all audio tracks of a file that FFmpeg can decode.

    Raises:
        DecodeError: PyAV is not installed, or FFmpeg cannot read the file.
    """
    av = _import_av(source.shown, source.kind)
    first = FFmpegTrack(av, source)
    if first.num_tracks == 1:
        return first
    opened: list[FFmpegTrack] = [first]
    for track in range(first.num_tracks):
        if track != first.track:
            try:
                opened.append(FFmpegTrack(av, source, track))
            except DecodeError:
                # A codec that FFmpeg does not know, a track of nothing: the others are the sound.
                continue
    if len(opened) == 1:
        return first
    begin_s = min(source.start_s for source in opened)
    return TracksSource(opened, [source.start_s - begin_s for source in opened])


class FFmpegTrack:
    """Pieces `(frames, channels)` float32 of one audio track.

    Frames of another rate or number of channels than the first ones are converted to theirs.

    Args:
        av: PyAV.
        source: The file.
        track: Number of the track among the audio tracks; None for the first that can be decoded.

    Raises:
        DecodeError: FFmpeg cannot read the file, or not this track.
    """

    def __init__(self, av: ModuleType, source: FFmpegInput, track: int | None = None) -> None:
        self._av, self._source, self._shown, self._kind = av, source, source.shown, source.kind
        self._file: BinaryIO | None = None
        self._view: PartFile | None = None
        try:
            if source.part is not None:
                self._file = Path(source.path).open("rb")  # noqa: SIM115 (until `close`)
                self._view = PartFile(self._file, source.part)
            self._container = self._open_container(source.demuxers)
            self._open_tracks(track)
        except av.FFmpegError as error:
            self.close()
            raise DecodeError(source.shown, f"damaged {source.kind}, or cut off: {_words(error)}") from error
        except BaseException:
            self.close()
            raise

    def _open_container(self, demuxers: str) -> Any:
        # "file:" because FFmpeg reads names as URLs: a file may be called "concat:x" or "http:x".
        name = self._view or f"file:{self._source.path}"
        options = {"format_whitelist": demuxers, "protocol_whitelist": "file"}
        open_as = partial(self._av.open, name, metadata_errors="replace", options=options)
        try:
            return open_as()
        except self._av.FFmpegError:
            demuxer = demuxers.split(",")[0]
            with self._opened() as file:
                if demuxer not in _BARE or FileBytes(file).size > _FEW_BYTES:
                    raise
            if self._view is not None:
                self._view.seek(0)
            return open_as(format=demuxer)

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        """The bytes that FFmpeg reads, as a file of its own."""
        with Path(self._source.path).open("rb") as file:
            yield file if self._source.part is None else cast("BinaryIO", PartFile(file, self._source.part))

    def _open_tracks(self, track: int | None) -> None:
        tracks = self._container.streams.audio
        self.num_tracks = len(tracks)
        if not tracks:
            raise DecodeError(self._shown, f"{self._kind} without a sound track")
        reasons: list[str] = []
        for number in range(len(tracks)) if track is None else [track]:
            reason = self._open_track(number)
            if reason is None:
                return
            reasons.append(reason)
            if track is None and number + 1 < len(tracks):
                self._container.seek(0)
        raise DecodeError(self._shown, reasons[0])

    def _open_track(self, number: int) -> str | None:
        """Begin to decode a track; a reason why it cannot be decoded, or None."""
        self.track = number
        self._stream = self._container.streams.audio[number]
        if self._stream.codec_context is None:
            return f"damaged {self._kind}, or in a codec that FFmpeg does not know"
        container = self._container.format.name.split(",")[0]
        codec = self._stream.codec_context.name.upper()
        if self._stream.codec_context.name in _DROPS_FIRST and not self._duration_s() >= _LEAST_STATED_S:
            self._stream.codec_context.options = {"flags2": "+skip_manual"}
        name = _NAMES.get(container, container.upper())
        self.format = name if name == codec else f"{name}/{codec}"
        self.sample_rate_hz = self.channels = 0
        self._next: FloatArray | None = None
        self._frames = self._decode()
        self._num_packets = self._num_bad_packets = self._end_byte = 0
        self._decoded_s = 0.0
        # The decoder knows rate and channels better than the container (HE-AAC doubles the rate).
        first = next(self._frames, None)
        if first is None:
            reason = "no part of it can be decoded" if self._num_bad_packets else "no sound in it"
            if self._num_packets and not self._num_bad_packets:
                reason = "its sound is shorter than a block of its codec, and FFmpeg gives nothing of it"
            return f"{self.format}: {reason}"
        self.sample_rate_hz, self.channels = first.sample_rate, first.layout.nb_channels
        # Matroska says of no track when it begins, and of some when they end.
        self.start_s = max(0.0, first.time or 0.0)
        self.declared_s = self._stated_length(container)
        self._converter = Converter(self.sample_rate_hz, self.channels)
        self._next = _samples(first)
        return None

    def read(self) -> FloatArray:
        """The next piece `(frames, channels)`, empty at the end."""
        num_frames = max(1, round(self._source.piece_s * self.sample_rate_hz))
        parts = [] if self._next is None else [self._next]
        self._next = None
        total = sum(map(len, parts))
        while total < num_frames:
            frame = next(self._frames, None)
            if frame is None:
                parts.append(self._converter.flush())
                break
            parts.append(self._converter.push(_samples(frame), frame.sample_rate))
            total += len(parts[-1])
        return np.concatenate(parts)

    def _is_behind_the_sound(self) -> bool:
        """Whether what cannot be read is no sound: all that is stated came, or nothing but filler is left."""
        if (
            self.sample_rate_hz
            and self.declared_s is not None
            and self._decoded_s >= _WHOLE_SHARE * self.declared_s
        ):
            return True
        with self._opened() as file:
            data = FileBytes(file)
            end = _before_filler(data)
            is_page = self._container.format.name == "ogg"  # which begins where its first packet does
            behind = self._end_byte + (_OGG_PAGE_BYTES if is_page else _BEHIND_PACKET_BYTES)
            return self._num_packets > 0 and end < data.size and end <= behind

    def close(self) -> None:
        """Let go of the file."""
        if hasattr(self, "_container"):
            self._container.close()
        if self._file is not None:
            self._file.close()

    def _stated_length(self, container: str) -> float | None:
        is_cut = self._source.stated_share > 1 / MIN_DECODED_SHARE
        if container not in _STATES_LENGTH and not (is_cut and container in _GUESSES):
            return None
        if container == "asf":
            stated_s = _length_of_asf(self._first_bytes())
        elif container == "matroska":  # says when a track ends, or when the last one does
            stated_s = self._duration_s() - self.start_s
        else:
            stated_s = self._duration_s() * (
                self._source.stated_share if container in _BELIEVES_BYTES else 1.0
            )
        return stated_s if stated_s >= _LEAST_STATED_S else None

    def _duration_s(self) -> float:
        """The length of the track that the container states or FFmpeg guesses; 0 if neither."""
        if self._stream.duration is not None:
            return float(self._stream.duration * self._stream.time_base)
        tag = _TIME.fullmatch(self._stream.metadata.get("DURATION", ""))
        if tag is not None:
            return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
        is_alone = (
            len(self._container.streams) == 1
        )  # else it is the length of the longest, which may be a video
        return float((self._container.duration or 0) / 1e6) if is_alone else 0.0

    def _first_bytes(self) -> bytes:
        with self._opened() as file:
            return file.read(_ASF_HEADER_BYTES)

    def _decode(self) -> Iterator[Any]:
        """The track's frames.

        Raises:
            DecodeError: The container is damaged, or more than a tenth of the packets.
        """
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except self._av.FFmpegError as error:
                if self._is_behind_the_sound():
                    break
                raise DecodeError(self._shown, f"damaged or cut off: {_words(error)}") from error
            if packet is None:
                break
            self._num_packets += 1
            self._end_byte = max(self._end_byte, (packet.pos or 0) + packet.size)
            try:
                for frame in packet.decode():
                    self._decoded_s += frame.samples / frame.sample_rate
                    yield frame
            except self._av.FFmpegError:  # FFmpeg's player skips it, too; the length check judges the rest
                self._num_bad_packets += 1
        if self._view is not None and self._view.error is not None:
            reason = self._view.error.strerror or str(self._view.error)
            raise DecodeError(self._shown, f"cannot be read: {reason}") from self._view.error
        if self.sample_rate_hz and self._num_bad_packets > _MAX_BAD_SHARE * self._num_packets:
            bad, all_packets = self._num_bad_packets, self._num_packets
            raise DecodeError(
                self._shown, f"damaged {self.format}: {bad:,} of {all_packets:,} packets cannot be decoded"
            )


def _before_filler(data: FileBytes) -> int:
    """The end of a file without the tags, and the zeros of a disk block or more, that it ends with."""
    end = before_tags(data.at, 0, data.size)
    start = end
    while start > 0:
        block = data.at(max(0, start - (1 << 16)), min(start, 1 << 16))
        rest = len(block.rstrip(b"\0"))
        start += rest - len(block)
        if rest:
            break
    return start if end - start >= _FILLER_BYTES else end


def _length_of_asf(head: bytes) -> float:
    """The seconds that the header of a WMA states; 0 if none. FFmpeg guesses them where the file is cut off."""
    at = head.find(_ASF_FILE_PROPERTIES)
    if at < 0 or len(head) < at + 92:
        return 0.0
    length, preroll_ms, flags = struct.unpack_from("<Q8xQI", head, at + 64)
    return 0.0 if flags & 1 else float(length / 1e7 - preroll_ms / 1e3)


def _samples(frame: Any) -> FloatArray:
    """`(frames, channels)` of one of FFmpeg's frames, whole numbers scaled to [-1, 1]."""
    # (channels, samples) if planar, else (1, samples * channels)
    values: npt.NDArray[Any] = frame.to_ndarray()
    samples: FloatArray = values.astype(np.float32, copy=False)
    if values.dtype == np.uint8:
        samples = (samples - np.float32(128)) / np.float32(128)
    elif values.dtype.kind == "i":
        samples = samples / np.float32(2.0 ** (8 * values.dtype.itemsize - 1))
    return samples.T if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels)


def _import_av(shown: str, kind: str) -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise DecodeError(shown, needs_extra(kind)) from error
    module: ModuleType = av
    return module


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
