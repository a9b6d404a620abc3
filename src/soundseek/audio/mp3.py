"""MPEG audio: its frames, the tags around them, how many frames there are, and its decoder's chatter.

An mp3 may count its frames in a Xing, Info or VBRI header. libsndfile stops where the count ends, and without a count
where a guess from the first frame's bitrate ends: joined files, variable bitrates and wrong counts lose most of their
sound. So the frames are counted here, from header to header, and the decoder is given the true number.

The decoder, libmpg123 inside libsndfile, prints warnings about damaged files straight to file descriptor 2, and
libsndfile has no switch for it: see `without_decoder_chatter`.
"""

from __future__ import annotations

import io
import mmap
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, BinaryIO

EXTENSIONS = (".mp3", ".mp2", ".mp1", ".mpga", ".mpa")
"""In files of these names the first frame is looked for; it may lie behind anything."""

_SEARCH_BYTES = 1 << 20  # so far from the last one, or from the beginning, a frame is looked for
_FIRST_SEARCH_BYTES = 1 << 16
_MARKS = (b"Xing", b"Info", b"VBRI")

_VERSION_1 = 3  # the two bits that name a version: 3 is MPEG 1, 2 is MPEG 2, 0 is MPEG 2.5
_LAYER_1, _LAYER_2, _LAYER_3 = 3, 2, 1  # the two bits that name a layer
_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_LOW_RATES = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_BITRATES_KBPS = {
    (True, _LAYER_1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, _LAYER_2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, _LAYER_3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, _LAYER_1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, _LAYER_2): _LOW_RATES,
    (False, _LAYER_3): _LOW_RATES,
}


@dataclass(frozen=True)
class Mp3Part:
    """Frames of one rate and one number of channels.

    Attributes:
        header: An empty frame that counts the frames in `extents`; nothing where the first of them does so itself, or
            where the file is cut off: then its own count says what is missing.
        extents: `(start, end)` byte ranges of the frames, without the tags and the damage between them.
        num_frames: Frames in `extents`, without the one that only counts the others.
        is_counted: A header counts the frames, so that a decoder stops behind the last; in layers I and II none does.
    """

    header: bytes
    extents: tuple[tuple[int, int], ...]
    num_frames: int
    is_counted: bool = True

    def as_it_stands(self, start: int, end: int) -> bool:
        """Whether a decoder that begins at `start` finds these frames and their true number by itself."""
        tags_bytes = 1 << 16 if self.is_counted else 1
        is_first = self.extents[0][0] == start and len(self.extents) == 1
        return not self.header and is_first and end - self.extents[0][1] < tags_bytes


def find_mp3_parts(file: BinaryIO, start: int = 0) -> list[Mp3Part]:
    """The recordings in an open file of MPEG audio, in order; none if it has no two frames that follow each other.

    A new part begins where the sample rate or the number of channels changes, and where a second file with a header
    that counts its frames was joined to the first. A click may be a single frame, if nothing but it is in the file.
    """
    with _all_bytes(file) as data:
        runs = [run for run in _runs(data, start) if run.num_frames > 1 or run.mark]
        if not runs and (alone := _only_frame(data, start)) is not None:
            runs = [alone]
        joined: list[_Run] = []
        for run in runs:
            if joined and run.kind == joined[-1].kind and not run.mark:
                joined[-1].extents += run.extents
                joined[-1].num_frames += run.num_frames
            else:
                joined.append(run)
        return [_part(data, run) for run in joined if run.num_frames - bool(run.mark) > 0]


@contextmanager
def _all_bytes(file: BinaryIO) -> Iterator[mmap.mmap]:
    """What is in an open file, without reading it; of a window on a file, which is none of the system's, a copy."""
    try:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except io.UnsupportedOperation:
        file.seek(0)
        content = file.read()
        mapped = mmap.mmap(-1, len(content))
        mapped.write(content)
    with mapped:
        yield mapped


def is_frame(header: bytes) -> bool:
    """Whether these four bytes are the header of a frame."""
    return _read_header(header) is not None


def frame_bytes(header: bytes) -> int:
    """Length in bytes of the frame that begins with these four bytes; 0 if they are no such header.

    Example:
        >>> frame_bytes(bytes([0xFF, 0xFB, 0x90, 0x64]))  # MPEG 1, layer III: 144 * 128 kbit/s // 44.1 kHz
        417
    """
    found = _read_header(header)
    return found[0] if found else 0


def frame_kind(header: bytes) -> object:
    """What all frames of a stream have in common with the one that these four bytes begin; None if they begin none."""
    found = _read_header(header)
    return found[1] if found else None


def behind_id3(file: BinaryIO) -> int:
    """Byte position behind any ID3v2 tags at the beginning; their size is four bytes of seven bits."""

    def at(position: int, length: int) -> bytes:
        file.seek(position)
        return file.read(length)

    position = 0
    while length := _tag_bytes(at(position, 32)):
        position += length
    return position


def before_tags(at: Callable[[int, int], bytes], start: int, end: int) -> int:
    """The end of what lies between two positions before the ID3 and APE tags behind it; `at` reads bytes."""
    if end - start > 128 and at(end - 128, 3) == b"TAG":
        end -= 128
    if end - start > 32 and (footer := at(end - 32, 32)).startswith(b"APETAGEX"):
        begin = end - int.from_bytes(footer[12:16], "little") - (32 if footer[23] & 0x80 else 0)
        is_header = footer[23] & 0x20
        end = end - 32 if is_header or begin < start else begin
    if end - start > 10 and (footer := at(end - 10, 10)).startswith(b"3DI"):
        end -= synchsafe(footer[6:10]) + 20
    return max(start, end)


# --- from header to header --------------------------------------------------------------------------------

_Kind = tuple[int, int, int, bool, int]  # version, layer, index of the rate, mono, bitrate in layers I and II


@dataclass
class _Run:
    """Frames of one kind that follow each other."""

    kind: _Kind
    mark: bytes  # Xing, Info or VBRI in its first frame, or nothing
    extents: list[tuple[int, int]] = field(default_factory=list)
    num_frames: int = 0


def _read_header(header: bytes) -> tuple[int, _Kind] | None:
    """Length in bytes and kind of the frame that begins with these four bytes; None if none does."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    bitrate, rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 0 or bitrate in (0, 15) or rate == 3 or header[3] & 3 == 2:
        return None
    rate_hz = _RATES_HZ[version][rate]
    bits = _BITRATES_KBPS[version == _VERSION_1, layer][bitrate] * 1000
    if layer == _LAYER_1:
        length = (12 * bits // rate_hz + padding) * 4
    else:
        length = (72 if layer == _LAYER_3 and version != _VERSION_1 else 144) * bits // rate_hz + padding
    # Layers I and II count no frames: libsndfile works out the length from the bitrate, so each needs its own part.
    return length, (version, layer, rate, header[3] >> 6 == 3, 0 if layer == _LAYER_3 else bitrate)


def _runs(data: mmap.mmap, start: int) -> Iterator[_Run]:
    """Walk through a file; about 5 ms for ten minutes."""
    known: dict[bytes, tuple[int, _Kind] | None] = {}
    position = _next_frame(data, start, _FIRST_SEARCH_BYTES)
    end = len(data)
    while position is not None:
        first = position
        frame = _read_header(data[position : position + 4])
        assert frame is not None
        run = _Run(frame[1], _mark(data, position))
        stated = _stated_frames(data, position, run.mark)
        kind, num_frames = run.kind, 0
        while True:
            header = data[position : position + 4]
            try:
                frame = known[header]
            except KeyError:
                frame = known[header] = _read_header(header)
            if frame is None or frame[1] != kind:
                break
            if num_frames and stated is not None and num_frames == stated + 1 and _mark(data, position):
                break
            if position + frame[0] > end:
                position = end
                break
            position += frame[0]
            num_frames += 1
        run.extents, run.num_frames = [(first, position)], num_frames
        if num_frames:
            yield run
        if frame is not None and position < end and position > first:
            continue
        while position < end and (length := _tag_bytes(data[position : position + 32])):
            position += length
        position = _next_frame(data, max(position, first + 1), _SEARCH_BYTES)


def _only_frame(data: mmap.mmap, start: int) -> _Run | None:
    """The frame from a position to the end of the file, tags left out; None if there is something else."""
    frame = _read_header(data[start : start + 4])
    if frame is None or start + frame[0] != before_tags(
        lambda at, length: data[at : at + length], start, len(data)
    ):
        return None
    return _Run(frame[1], b"", [(start, start + frame[0])], 1)


def _next_frame(data: mmap.mmap, start: int, search_bytes: int) -> int | None:
    """Position of the first frame that another one of its kind follows."""
    stop = min(len(data), start + search_bytes)
    offset = data.find(b"\xff", start, stop)
    while offset >= 0:
        frame = _read_header(data[offset : offset + 4])
        if frame is not None:
            behind = _read_header(data[offset + frame[0] : offset + frame[0] + 4])
            if behind is not None and behind[1] == frame[1]:
                return offset
        offset = data.find(b"\xff", offset + 1, stop)
    return None


def _tag_bytes(head: bytes) -> int:
    """Length of the tag that begins with these 32 bytes; 0 if none does."""
    if head[:3] == b"ID3" and len(head) >= 10:
        return 10 + synchsafe(head[6:10]) + (10 if head[5] & 16 else 0)
    if head[:3] == b"TAG":
        return 128
    if head[:8] == b"APETAGEX" and len(head) == 32:
        is_header = head[23] & 0x20
        return 32 + (int.from_bytes(head[12:16], "little") if is_header else 0)
    return 0


def synchsafe(four: bytes) -> int:
    """Four bytes of seven bits each."""
    return (four[0] & 127) << 21 | (four[1] & 127) << 14 | (four[2] & 127) << 7 | (four[3] & 127)


# --- the header that counts -------------------------------------------------------------------------------


def _mark(data: mmap.mmap, position: int) -> bytes:
    """Xing, Info or VBRI where the frame at a position begins with it, behind its side information."""
    frame = data[position : position + 48]
    if len(frame) < 48 or frame[1] >> 1 & 3 != _LAYER_3:
        return b""
    at = 4 + _side_info_bytes(frame)
    # A checksum of two bytes may follow the header.
    for offset in (at, at + 2, 36):
        if frame[offset : offset + 4] in _MARKS:
            return frame[offset : offset + 4]
    return b""


def _side_info_bytes(header: bytes) -> int:
    is_mpeg1, is_mono = header[1] >> 3 & 3 == _VERSION_1, header[3] >> 6 == 3
    return {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}[is_mpeg1, is_mono]


def _count_at(data: mmap.mmap, position: int, mark: bytes) -> int | None:
    """Position of the four bytes that count the frames, or None if there are none."""
    if not mark:
        return None
    at: int = data.find(mark, position, position + 48)
    if mark == b"VBRI":
        return at + 14
    return at + 8 if data[at + 7] & 1 else None


def _stated_frames(data: mmap.mmap, position: int, mark: bytes) -> int | None:
    """The frames that the header counts besides itself, or None if it counts none."""
    at = _count_at(data, position, mark)
    return (int.from_bytes(data[at : at + 4], "big") or None) if at is not None else None


def _stated_bytes(data: mmap.mmap, position: int, mark: bytes) -> int | None:
    at = data.find(mark, position, position + 48)
    if mark == b"VBRI":
        return int.from_bytes(data[at + 10 : at + 14], "big") or None
    flags = data[at + 7]
    at += 12 if flags & 1 else 8
    return (int.from_bytes(data[at : at + 4], "big") or None) if flags & 2 else None


def _part(data: mmap.mmap, run: _Run) -> Mp3Part:
    """A run with a count that is true."""
    first, first_end = run.extents[0]
    frame = _read_header(data[first : first + 4])
    assert frame is not None
    if run.kind[1] != _LAYER_3:
        # libsndfile looks for two frames; one without any bits for its bands is silence.
        silence = (
            _without_checksum(data[first : first + 4]).ljust(frame[0], b"\0") if run.num_frames == 1 else b""
        )
        return Mp3Part(silence, tuple(run.extents), run.num_frames, is_counted=False)
    if not run.mark:
        return Mp3Part(
            _xing_frame(data[first : first + 4], run.num_frames), tuple(run.extents), run.num_frames
        )
    num_frames = run.num_frames - 1
    stated = _stated_frames(data, first, run.mark)
    there = sum(end - start for start, end in run.extents)
    # Where the header counts the bytes, too, and they are all there, its count of frames is wrong.
    lacks_bytes = (_stated_bytes(data, first, run.mark) or 1 << 32) > there * 1.01
    is_cut = stated is not None and stated > num_frames and lacks_bytes
    if run.mark != b"VBRI" and (stated == num_frames or is_cut):
        return Mp3Part(b"", tuple(run.extents), num_frames)
    counted = stated if is_cut and stated is not None else num_frames
    at = None if run.mark == b"VBRI" else _count_at(data, first, run.mark)
    if at is None:  # libmpg123 does not count by VBRI
        header = _xing_frame(data[first : first + 4], counted)
    else:
        own = data[first : first + frame[0]]
        header = own[: at - first] + counted.to_bytes(4, "big") + own[at - first + 4 :]
    return Mp3Part(header, ((first + frame[0], first_end), *run.extents[1:]), num_frames)


def _xing_frame(header: bytes, num_frames: int) -> bytes:
    """An empty layer III frame of the same kind as `header`'s, with a Xing header in it."""
    # No padding, bitrate index 8 (112 or 64 kbit/s): long enough for the Xing fields at every rate.
    own = _without_checksum(bytes([header[0], header[1], 0x80 | (header[2] & 0x0D), header[3]]))
    xing = b"Xing" + (1).to_bytes(4, "big") + num_frames.to_bytes(4, "big")
    return (own + bytes(_side_info_bytes(header)) + xing).ljust(frame_bytes(own), b"\0")


def _without_checksum(header: bytes) -> bytes:
    return bytes([header[0], header[1] | 1, *header[2:4]])


# --- the decoder's chatter --------------------------------------------------------------------------------

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
    """Run a decoder call with its warnings dropped from descriptor 2; safe in threads, costs some 10 µs.

    For the milliseconds of the call, descriptor 2 leads into a scratch file. What other threads write there meanwhile
    is passed on when the last overlapping call ends; only the decoder's own lines are dropped.
    """
    if not _muffler.enter():
        yield
        return
    try:
        yield
    finally:
        _muffler.leave()
