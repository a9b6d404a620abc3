"""m4a, aac, wma, webm and other formats that libsndfile does not know, read by FFmpeg through PyAV."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from soundseek._typing import FloatArray
from soundseek.errors import DecodeError

EXTENSIONS = frozenset({
    ".m4a", ".m4b", ".mp4", ".mov", ".3gp", ".aac", ".wma", ".asf", ".webm", ".mka", ".mkv",
    ".ac3", ".eac3", ".amr", ".wv", ".ape", ".tta", ".mpc",
})  # fmt: skip
"""File extensions that need the extra `soundseek[formats]`."""

INSTALL = 'pip install "soundseek[formats]"'

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (4, b"ftyp", "MP4"),
    (4, b"moov", "MP4"),
    (4, b"mdat", "MP4"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska/WebM"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "WMA"),
    (0, b"\x0b\x77", "AC-3"),
    (0, b"#!AMR", "AMR"),
    (0, b"wvpk", "WavPack"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"TTA1", "True Audio"),
    (0, b"MPCK", "Musepack"),
    (0, b"MP+", "Musepack"),
)
# FFmpeg may try these and no others: playlists, images and scripts could make it open further files.
_DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,aac,ac3,eac3,amr,amrnb,amrwb,wv,ape,tta,mpc,mpc8"
# Their length is written down; that of a bare stream (aac, ac3, amr) is FFmpeg's guess from the bitrate.
_STATES_LENGTH = frozenset({"mov", "matroska", "asf", "wv", "ape", "tta", "mpc", "mpc8"})
_NAMES = {"mov": "MP4", "matroska": "MATROSKA"}


def recognise(head: bytes) -> str | None:
    """The name of the format that needs PyAV, from a file's first bytes, or None.

    Example:
        >>> recognise(bytes([0, 0, 0, 32]) + b"ftypM4A "), recognise(b"RIFF")
        ('MP4', None)
    """
    for offset, magic, name in _SIGNATURES:
        if head.startswith(magic, offset):
            return name
    # ADTS: twelve sync bits and layer 0; an MPEG audio frame has layer 1 to 3.
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "AAC"
    return None


class FormatsSource:
    """Pieces `(frames, channels)` float32 of a file that FFmpeg decodes.

    Args:
        path: The file.
        shown: Its name as messages show it.
        kind: What the file was taken for, for messages.
        piece_s: Length of a piece in seconds.

    Raises:
        DecodeError: PyAV is not installed, or FFmpeg cannot read the file.
    """

    def __init__(self, path: str, shown: str, kind: str, piece_s: float) -> None:
        self._av = _import_av(shown, kind)
        self._shown, self._piece_s = shown, piece_s
        try:
            self._open(path, kind)
        except self._av.FFmpegError as error:
            self.close()
            raise DecodeError(shown, f"damaged {kind}, or cut off: {_words(error)}") from error
        except BaseException:
            self.close()
            raise

    def _open(self, path: str, kind: str) -> None:
        # "file:" because FFmpeg reads names as URLs: a file may be called "concat:x" or "http:x".
        options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"}
        self._container = self._av.open(f"file:{path}", metadata_errors="replace", options=options)
        if not self._container.streams.audio:
            raise DecodeError(self._shown, f"{kind} without a sound track")
        self._stream = self._container.streams.audio[0]
        if self._stream.codec_context is None:
            raise DecodeError(self._shown, f"damaged {kind}, or in a codec that FFmpeg does not know")
        container = self._container.format.name.split(",")[0]
        codec = self._stream.codec_context.name.upper()
        name = _NAMES.get(container, container.upper())
        self.format = name if name == codec else f"{name}/{codec}"
        self.declared_s = self._stated_length(container)
        self._packets = self._container.demux(self._stream)
        self._bad_packets = 0
        # The decoder knows rate and channels better than the container (HE-AAC doubles the rate).
        self._next: FloatArray | None = None
        self.sample_rate_hz = self.channels = 0
        self._next = self._read_frames(1)
        if not len(self._next):
            reason = "no part of it can be decoded" if self._bad_packets else "no sound in it"
            raise DecodeError(self._shown, f"{self.format}: {reason}")

    def read(self) -> FloatArray:
        """The next piece `(frames, channels)`, empty at the end.

        Raises:
            DecodeError: The sample rate or number of channels changes on the way.
        """
        num_frames = max(1, round(self._piece_s * self.sample_rate_hz))
        first, self._next = self._next, None
        if first is None:
            return self._read_frames(num_frames)
        return np.concatenate([first, self._read_frames(num_frames - len(first))])

    def close(self) -> None:
        """Let go of the file."""
        if hasattr(self, "_container"):
            self._container.close()

    def _stated_length(self, container: str) -> float | None:
        if container not in _STATES_LENGTH:
            return None
        if self._stream.duration is not None:
            return float(self._stream.duration * self._stream.time_base)
        return self._container.duration / 1e6 if self._container.duration else None

    def _read_frames(self, num_frames: int) -> FloatArray:
        """At least `num_frames` frames, fewer at the end."""
        parts: list[FloatArray] = []
        total = 0
        while total < num_frames:
            try:
                packet = next(self._packets, None)
            except self._av.FFmpegError as error:
                raise DecodeError(self._shown, f"damaged or cut off: {_words(error)}") from error
            if packet is None:
                break
            try:
                frames = packet.decode()
            except self._av.FFmpegError:  # FFmpeg's player skips it, too; the length check judges the rest
                self._bad_packets += 1
                continue
            for frame in frames:
                parts.append(self._samples(frame))
                total += len(parts[-1])
        return np.concatenate(parts) if parts else np.empty((0, max(1, self.channels)), np.float32)

    def _samples(self, frame: Any) -> FloatArray:
        channels = frame.layout.nb_channels
        if not self.sample_rate_hz:
            self.sample_rate_hz, self.channels = frame.sample_rate, channels
        if (frame.sample_rate, channels) != (self.sample_rate_hz, self.channels):
            raise DecodeError(
                self._shown,
                f"changes from {self.sample_rate_hz} Hz, {self.channels} channels to "
                f"{frame.sample_rate} Hz, {channels} channels on the way",
            )
        # (channels, samples) if planar, else (1, samples * channels)
        values: npt.NDArray[Any] = frame.to_ndarray()
        samples: FloatArray = values.astype(np.float32, copy=False)
        if values.dtype == np.uint8:
            samples = (samples - np.float32(128)) / np.float32(128)
        elif values.dtype.kind == "i":
            samples = samples / np.float32(2.0 ** (8 * values.dtype.itemsize - 1))
        return samples.T if frame.format.is_planar else samples.reshape(-1, channels)


def _import_av(shown: str, kind: str) -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise DecodeError(shown, f"{kind} needs one more package: {INSTALL}") from error
    module: ModuleType = av
    return module


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
