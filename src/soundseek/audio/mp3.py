"""What an mp3 says of its own length, and how to read one that says nothing.

An mp3 with a Xing, Info or VBRI header states how many frames it holds. Without one, libsndfile guesses from
the first frame's bitrate and stops where the guess ends: a variable-bitrate file that begins quietly loses
most of its sound.

Keep the mp3 decoder's own chatter off stderr, and nothing else.

libmpg123 (inside libsndfile) prints warnings about damaged files straight to file descriptor 2, and
libsndfile has no switch for it. For the milliseconds of one call, descriptor 2 leads into a scratch file;
what other threads write there meanwhile is passed on when the last overlapping call ends, only the decoder's own
lines are dropped.
"""

from __future__ import annotations

import io
import mmap
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, BinaryIO

_SEARCH_BYTES = 1 << 16  # libmpg123, too, gives up looking for the first frame after about this much junk
_HUGE_FRAME_COUNT = (1 << 31) // 1152 - 1  # 13 hours at 44.1 kHz: more than any cap lets through

_BITRATES_KBPS = {
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


@dataclass(frozen=True)
class Mp3Length:
    """Where the sound begins and how far the stated length goes.

    Attributes:
        first_frame: Byte position of the first audio frame, behind tags and junk.
        stated: A Xing, Info or VBRI header counts the frames.
        constant: Every frame has the first one's bitrate, so a guess from it is right; False if stated.
    """

    first_frame: int
    stated: bool
    constant: bool


def read_length(file: BinaryIO) -> Mp3Length | None:
    """The length facts of an open mp3; None if no two layer III frames follow each other near its start."""
    start = _behind_tags(file)
    file.seek(start)
    head = file.read(_SEARCH_BYTES)
    offset = _first_frame(head)
    if offset is None:
        return None
    frame = head[offset : offset + 1024]
    if any(mark in frame for mark in (b"Xing", b"Info", b"VBRI")):
        return Mp3Length(start + offset, stated=True, constant=False)
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return Mp3Length(start + offset, stated=False, constant=_is_constant(data, start + offset))


def frame_bytes(header: bytes) -> int:
    """Length in bytes of the layer III frame that begins with these four bytes; 0 if they are no such header.

    Example:
        >>> frame_bytes(bytes([0xFF, 0xFB, 0x90, 0x64]))  # MPEG 1: 144 * 128 kbit/s // 44.1 kHz
        417
    """
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return 0
    version, bitrate, rate = (header[1] >> 3) & 3, header[2] >> 4, (header[2] >> 2) & 3
    if version == 1 or bitrate in (0, 15) or rate == 3:
        return 0
    bits = _BITRATES_KBPS[1 if version == 3 else 2][bitrate] * 1000
    return (144 if version == 3 else 72) * bits // _RATES_HZ[version][rate] + ((header[2] >> 1) & 1)


class EndlessMp3(io.RawIOBase):
    """The same mp3 behind a Xing header that counts more frames than it has: read it until it ends."""

    def __init__(self, file: BinaryIO, first_frame: int) -> None:
        super().__init__()
        self._file = file
        self._first_frame = first_frame
        file.seek(first_frame)
        self._front = _xing_frame(file.read(4))
        self._size = file.seek(0, io.SEEK_END) - first_frame + len(self._front)
        self._position = 0

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Byte position, the header in front included."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move as any file does."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` from the header, then from the file; the number of bytes, 0 at the end."""
        view = memoryview(buffer).cast("B")
        front = self._front[self._position : self._position + len(view)]
        view[: len(front)] = front
        filled = len(front)
        if filled < len(view):
            self._file.seek(self._first_frame + self._position + filled - len(self._front))
            rest = self._file.read(len(view) - filled)
            view[filled : filled + len(rest)] = rest
            filled += len(rest)
        self._position += filled
        return filled

    def close(self) -> None:
        """Close the file behind it, too."""
        self._file.close()
        super().close()


def _behind_tags(file: BinaryIO) -> int:
    """Byte position behind any ID3v2 tags; their size is four bytes of seven bits."""
    position = 0
    while True:
        file.seek(position)
        tag = file.read(10)
        if len(tag) < 10 or tag[:3] != b"ID3":
            return position
        size = (tag[6] & 127) << 21 | (tag[7] & 127) << 14 | (tag[8] & 127) << 7 | (tag[9] & 127)
        position += 10 + size + (10 if tag[5] & 16 else 0)


def _first_frame(head: bytes) -> int | None:
    offset = head.find(b"\xff")
    while offset >= 0:
        length = frame_bytes(head[offset : offset + 4])
        if length and frame_bytes(head[offset + length : offset + length + 4]):
            return offset
        offset = head.find(b"\xff", offset + 1)
    return None


def _is_constant(data: mmap.mmap, position: int) -> bool:
    """Walk from header to header; about 0.1 ms for ten seconds."""
    bitrate = data[position + 2] & 0xF0
    while True:
        length = frame_bytes(data[position : position + 4])
        if not length:  # the end, a tag behind it, or damage: what was seen decides
            return True
        if data[position + 2] & 0xF0 != bitrate:
            return False
        position += length


def _xing_frame(header: bytes) -> bytes:
    """An empty layer III frame of the same kind as `header`'s, with a Xing header in it."""
    # No CRC, no padding, bitrate index 8 (112 or 64 kbit/s): long enough for the Xing fields at every rate.
    own = bytes([header[0], header[1] | 1, 0x80 | (header[2] & 0x0D), header[3]])
    mpeg1, mono = (header[1] >> 3) & 3 == 3, header[3] >> 6 == 3
    side_info = {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}[mpeg1, mono]
    xing = b"Xing" + (1).to_bytes(4, "big") + _HUGE_FRAME_COUNT.to_bytes(4, "big")
    return (own + bytes(side_info) + xing).ljust(frame_bytes(own), b"\0")


# Line beginnings found in libmpg123 1.32; an unknown line is passed on, never lost.
_DECODER_LINE = re.compile(
    rb"^(?:Note: (?:Illegal Audio-MPEG|Trying to resync|Skipped|Hit end of|Junk at|Cut frame|Xing|broken"
    rb"|missing \d+ bytes|Looks like|Input data end|free format)"
    rb"|Warning: (?:Xing stream|Big change|Encountered more|Real sample count|Cannot read next)"
    rb"|\[(?:src/)?libmpg123/)[^\n]*\n|^\n(?=Warning: )",
    re.MULTILINE,
)


class _Muffler:
    """How many calls are running, where descriptor 2 led before, and what was caught."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._stderr = -1
        self._scratch: IO[bytes] | None = None

    def enter(self) -> bool:
        with self._lock:
            if self._depth == 0:
                try:
                    self._stderr = os.dup(2)
                except OSError:  # a process without stderr has nothing to keep clean
                    return False
                if self._scratch is None:
                    self._scratch = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (lives as long as the process)
                os.dup2(self._scratch.fileno(), 2)
            self._depth += 1
            return True

    def leave(self) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                # Only now: while another call runs, a line may be half written, and what is written between
                # reading the file and emptying it would be lost.
                os.dup2(self._stderr, 2)
                self._pass_on()
                os.close(self._stderr)

    def _pass_on(self) -> None:
        assert self._scratch is not None
        if not self._scratch.tell():  # shared with descriptor 2: where the last writer stopped
            return
        self._scratch.seek(0)
        caught = self._scratch.read()
        self._scratch.seek(0)
        self._scratch.truncate()
        kept = _DECODER_LINE.sub(b"", caught)
        while kept:
            kept = kept[os.write(self._stderr, kept) :]


_muffler = _Muffler()


@contextmanager
def without_decoder_chatter() -> Iterator[None]:
    """Run a decoder call with its warnings dropped from descriptor 2; safe in threads, costs some 10 µs."""
    if not _muffler.enter():
        yield
        return
    try:
        yield
    finally:
        _muffler.leave()
