"""A file in which recordings of several kinds follow each other, or sound follows junk: where each begins and ends.

`cat rain.wav thunder.mp3 > both.wav` makes one. Every decoder plays the first and stops, or takes the second for noise
of the first. Of recordings of one kind that were joined `parts` and `joined` know more.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

from soundseek.audio import mp3
from soundseek.audio.beginnings import FRAMES, MLP_SYNC, kind_at, next_beginning
from soundseek.audio.parts import FileBytes, Part, PartFile, behind_chunks, find_parts

ByteSpan = tuple[int, int]
"""`(start, end)` bytes of a file: one recording, or several of one kind."""

# So far behind a recording the next one is looked for; tags with pictures lie between.
_SEARCH_BYTES = 1 << 20
_LEAST_BYTES = 64
_CACHED_BYTES = 1 << 18
_TS_BYTES = 188
_MAX_FLAC_FRAME_BYTES, _MAX_FLAC_HEADERS = 1 << 18, 8
_ASF_OBJECTS = frozenset({
    bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c"),
    bytes.fromhex("90080033b1e5cf1189f400a0c90349cb"), bytes.fromhex("d329e2d6da35d111903400a0c90349be"),
    bytes.fromhex("f803b1fead12644c840f2a1d2f7ad48c"),
})  # fmt: skip
_AMR_BYTES = {
    b"#!AMR\n": (13, 14, 16, 18, 20, 21, 27, 32, 6, 1, 1, 1, 1, 1, 1, 1),
    b"#!AMR-WB\n": (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 1, 1, 1, 1, 1, 1),
}
_CONTAINERS = frozenset({"mp4", "matroska", "asf", "avi", "flv", "ts"})
_BARE_STREAMS = frozenset({*FRAMES, "mlp", "ts"})


def find_spans(path: str) -> list[ByteSpan]:
    """Where recordings of several kinds begin and end in a file; none where there is one kind.

    Raises:
        OSError: The file cannot be read.
    """
    with Path(path).open("rb") as file:
        return _spans(_Blocks(file), 0)


def spans_behind_junk(path: str) -> list[ByteSpan]:
    """The same of a file that does not begin with sound; none where no sound follows within a megabyte of it."""
    with Path(path).open("rb") as file:
        data = _Blocks(file)
        if kind_at(data.at, 0) is not None:
            return []
        begin = _behind_zeros(data, 0)
        start = next_beginning(data.at, begin, min(data.size, begin + _SEARCH_BYTES))
        return [] if start is None else _spans(data, start) or [(start, data.size)]


def without_filler(file: BinaryIO, kind: str) -> list[ByteSpan]:
    """The sound of an open file between zeros, text and other filler that FFmpeg stumbles over; none without such.

    Args:
        file: Of one kind.
        kind: Its name as in `files.Format`: AC-3 loses the frame before filler, an AVI is taken for as long as its
            bytes, and an MPEG-TS that ends with something else cannot be read.
    """
    if kind not in ("AC-3", "E-AC-3", "AVI", "MPEG-TS"):
        return []
    data = _Blocks(file)
    at: int | None = 0
    spans: list[ByteSpan] = []
    while at is not None and (found := kind_at(data.at, at)) is not None:
        end = min(_behind(data, found, at) or data.size, data.size)
        spans.append((at, end))
        at = next_beginning(data.at, end, min(data.size, _behind_zeros(data, end) + _SEARCH_BYTES))
    return spans if spans and sum(end - start for start, end in spans) < data.size else []


def has_true_header(path: str) -> bool:
    """Whether a file is one recording whose header says what is there, so that libsndfile reads all of it by itself.

    A file that cannot be opened counts as such: whoever opens it next says why.
    """
    try:
        if find_spans(path):
            return False
        with Path(path).open("rb") as file:
            head = file.read(4096)
            parts = find_parts(file, head, Path(path).suffix.lower()) if head else []
    except (OSError, ValueError):
        return True
    if not parts:
        return True
    part = parts[0]
    is_counted = bool(part.stated_frames) and part.extents[0][0] == len(
        part.header
    )  # a FLAC, no tag in front
    return len(parts) == 1 and part.num_tracks == 1 and (part.as_it_stands or is_counted)


def window(file: BinaryIO, span: ByteSpan) -> BinaryIO:
    """Some bytes of an open file as a file of their own."""
    return cast("BinaryIO", PartFile(file, Part("", b"", (span,))))


class _Blocks(FileBytes):
    """Any bytes of a file; those of one neighbourhood are read at once."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.file = file
        self._first, self._block = 0, b""

    def at(self, position: int, length: int) -> bytes:
        """Up to `length` bytes from a position on."""
        if length > _CACHED_BYTES:
            return super().at(position, length)
        offset = position - self._first
        if not 0 <= offset <= len(self._block) - length:
            self._first, self._block, offset = position, super().at(position, _CACHED_BYTES), 0
        return self._block[offset : offset + length]


def _spans(data: _Blocks, start: int) -> list[ByteSpan]:
    spans: list[ByteSpan] = []
    first = at = start
    kind = kind_at(data.at, at)
    while kind is not None:
        found = _next_recording(data, kind, at)
        if found is None:
            return [*spans, (first, data.size)] if spans else []
        at, found_kind = found
        if found_kind != kind:
            spans.append((first, at))
            first, kind = at, found_kind
    return []


def _next_recording(data: _Blocks, kind: str, at: int) -> tuple[int, str] | None:
    """Where the next recording begins, and of what kind it is."""
    for begin, end in _gaps(data, kind, at):
        position = next_beginning(data.at, begin, end)
        while position is not None:
            found = kind_at(data.at, position)
            # Of MPEG audio all frames were looked at; a container whose size is wrong may go on, with frames in it.
            is_inside = kind in _CONTAINERS and found in _BARE_STREAMS and data.at(position, 3) != b"ID3"
            if found is not None and not (found == kind == "mpeg") and not (is_inside and position > begin):
                return position, found
            position = next_beginning(data.at, position + 1, end)
    return None


def _gaps(data: _Blocks, kind: str, at: int) -> Iterator[ByteSpan]:
    """Where, by the structure of a recording, another one may begin."""
    if kind == "mpeg":
        yield from _gaps_of_mpeg(data, at)
        return
    if kind == "flac":
        if not _ends_with_flac(data, at):
            yield at + _LEAST_BYTES, data.size
        return
    behind = _behind(data, kind, at)
    if behind is None:
        yield at + _LEAST_BYTES, data.size
    else:
        behind = max(behind, at + _LEAST_BYTES)
        yield behind, min(data.size, _behind_zeros(data, behind) + _SEARCH_BYTES)


def _behind(data: _Blocks, kind: str, at: int) -> int | None:
    """The position behind a recording, by its structure; None where the kind says nothing of it."""
    if kind in FRAMES:
        return _behind_frames(data, kind, at)
    walk = {
        "chunks": behind_chunks, "au": _behind_au, "voc": _behind_voc, "ogg": _behind_ogg, "flac in ogg": _behind_ogg,
        "speex in ogg": _behind_ogg, "mp4": _behind_mp4,
        "matroska": _behind_matroska, "asf": _behind_asf, "avi": _behind_avi, "flv": _behind_flv, "tta": _behind_tta,
        "wavpack": _behind_wavpack, "mlp": _behind_mlp, "ts": _behind_ts, "amr": _behind_amr,
    }.get(kind)  # fmt: skip
    return None if walk is None else walk(data, at)


def _behind_zeros(data: FileBytes, position: int) -> int:
    while block := data.at(position, 1 << 16):
        rest = len(block.lstrip(b"\0"))
        position += len(block) - rest
        if rest:
            break
    return position


# --- bare streams -------------------------------------------------------------------------------------------------


def _behind_frames(data: _Blocks, kind: str, at: int) -> int:
    if data.at(at, 3) == b"ID3":
        at += 10 + mp3.synchsafe(data.at(at + 6, 4))
    while frame := FRAMES[kind](data.at(at, 16)):
        at += frame[0]
    return at


def _behind_mlp(data: _Blocks, at: int) -> int:
    """Behind the access units; those between two sync words have nothing but a length."""
    while len(head := data.at(at, 8)) == 8 and (length := 2 * (int.from_bytes(head[:2], "big") & 0xFFF)) > 7:
        if head[4:7] != MLP_SYNC and kind_at(data.at, at) is not None:
            break
        at += length
    return at


def _gaps_of_mpeg(data: _Blocks, at: int) -> Iterator[ByteSpan]:
    extents = sorted(extent for part in mp3.find_mp3_parts(data.file, at) for extent in part.extents)
    for (_, begin), (end, _) in zip(extents, [*extents[1:], (data.size, 0)], strict=True):
        if end - begin > _LEAST_BYTES:
            yield begin, min(end, _behind_zeros(data, begin) + _SEARCH_BYTES)


def _behind_ts(data: _Blocks, at: int) -> int:
    while packets := data.at(at, _TS_BYTES << 10):
        bad = np.flatnonzero(np.frombuffer(packets, np.uint8)[::_TS_BYTES] != ord("G"))
        if len(bad):
            return at + int(bad[0]) * _TS_BYTES
        at += len(packets)
    return at


def _behind_amr(data: _Blocks, at: int) -> int:
    magic = next(magic for magic in _AMR_BYTES if data.at(at, len(magic)) == magic)
    at += len(magic)
    while (head := data.at(at, 1)) and not head[0] & 0x83:
        at += _AMR_BYTES[magic][head[0] >> 3 & 15]
    return at


# --- FLAC: nothing says where it ends, but its last frame is known by its sums ------------------------------------


def _table(polynomial: int, bits: int) -> list[int]:
    table = []
    for byte in range(256):
        value = byte << bits - 8
        for _ in range(8):
            value = (value << 1 ^ polynomial if value >> bits - 1 else value << 1) & (1 << bits) - 1
        table.append(value)
    return table


_CRC_8, _CRC_16 = _table(0x07, 8), np.array(_table(0x8005, 16), np.uint16)


def _ends_with_flac(data: _Blocks, start: int) -> bool:
    """Whether the last bytes of a file, tags and zeros apart, are a frame of FLAC."""
    end = mp3.before_tags(data.at, start, data.size)
    begin = max(start, end - _MAX_FLAC_FRAME_BYTES)
    tail = data.at(begin, end - begin)
    if b"OggS\0" in tail:  # its packets are such frames
        return False
    bare = len(tail.rstrip(b"\0"))
    # The sum at the end of a frame may itself end with a zero or two.
    return any(_ends_with_frame(tail[: bare + zeros]) for zeros in range(min(2, len(tail) - bare) + 1))


def _ends_with_frame(tail: bytes) -> bool:
    at = tail.rfind(b"\xff")
    num_headers = 0  # of the last frame, or by chance in it; those further in front are of earlier frames
    while at >= 0 and num_headers < _MAX_FLAC_HEADERS:
        if _is_frame_header(tail[at : at + 16]):
            num_headers += 1
            if not _crc_16(tail[at:]):
                return True
        at = tail.rfind(b"\xff", 0, at)
    return False


def _crc_16(data: bytes) -> int:
    """The sum of FLAC's frames: of each byte first, then of all pairs of neighbours, of all pairs of these, and so on.

    Byte by byte, the frame of a tenth of a second takes as long as decoding a second.
    """
    sums = _CRC_16[np.frombuffer(data, np.uint8)]
    level = 0
    while len(sums) > 1:
        if len(sums) % 2:
            sums = np.concatenate([sums[:1] * 0, sums])  # a zero in front changes no sum
        sums = _before_bytes(level)[sums[0::2]] ^ sums[1::2]
        level += 1
    return int(sums[0])


@cache
def _before_bytes(level: int) -> npt.NDArray[np.uint16]:
    """`(65536,)` what becomes of each sum when two to the power of `level` bytes of zero follow."""
    if level:
        half = _before_bytes(level - 1)
        behind: npt.NDArray[np.uint16] = half[half]
    else:
        sums = np.arange(1 << 16)
        behind = (sums << 8 & 0xFFFF).astype(np.uint16) ^ _CRC_16[sums >> 8]
    return behind


def _is_frame_header(head: bytes) -> bool:
    if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[2] >> 4 == 0 or head[2] & 15 == 15 or head[3] & 1:
        return False
    number_bytes = max(1, 8 - (head[4] ^ 0xFF).bit_length())
    length = 4 + number_bytes + {6: 1, 7: 2}.get(head[2] >> 4, 0) + {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    total = 0
    for byte in head[: length + 1]:
        total = _CRC_8[total ^ byte]
    return total == 0 and len(head) > length


# --- containers ---------------------------------------------------------------------------------------------------


def _behind_au(data: FileBytes, at: int) -> int:
    order = ">" if data.at(at, 1) == b"." else "<"
    offset, size = struct.unpack(order + "2I", data.at(at + 4, 8))
    return data.size if size >= 0x7FFFF000 else at + offset + size


def _behind_voc(data: FileBytes, at: int) -> int:
    at += int.from_bytes(data.at(at + 20, 2), "little")
    while len(block := data.at(at, 4)) == 4 and 0 < block[0] < 10:
        at += 4 + int.from_bytes(block[1:], "little")
    return at + 1


def _behind_ogg(data: FileBytes, at: int) -> int:
    """Behind one link of a chain: its first pages are marked, and only they."""
    is_inside = False
    while len(head := data.at(at, 27 + 255)) > 27 and head[:4] == b"OggS" and not (is_inside and head[5] & 2):
        is_inside = not head[5] & 2
        at += 27 + head[26] + sum(head[27 : 27 + head[26]])
    return at


def _behind_mp4(data: FileBytes, at: int) -> int:
    while len(head := data.at(at, 16)) >= 8 and re.fullmatch(rb"[ -~\xa9]{4}", head[4:8]):
        size = int.from_bytes(head[:4], "big")
        size = int.from_bytes(head[8:], "big") if size == 1 else size
        is_cut = at + size > data.size and head[4:8] in (b"mdat", b"moov", b"moof", b"free")
        if size == 0 or is_cut:  # 0: to the end of the file
            return data.size
        if size < 8 or at + size > data.size:
            return at
        at += size
    return at


def _behind_matroska(data: FileBytes, at: int) -> int:
    """Behind the EBML header and the segment."""
    at += 4 + sum(_ebml_size(data.at(at + 4, 8)))
    while data.at(at, 1) == b"\xec":  # Void
        at += 1 + sum(_ebml_size(data.at(at + 1, 8)))
    if data.at(at, 4) != b"\x18\x53\x80\x67":
        return at
    length, size = _ebml_size(data.at(at + 4, 8))
    return data.size if size >= (1 << 7 * length) - 1 else at + 4 + length + size


def _ebml_size(field: bytes) -> tuple[int, int]:
    """The length of a size, in bytes, and the size."""
    length = 9 - field[0].bit_length() if field and field[0] else 8
    return length, int.from_bytes(field[:length], "big") & (1 << 7 * length) - 1


def _behind_asf(data: FileBytes, at: int) -> int:
    while (head := data.at(at, 24))[:16] in _ASF_OBJECTS and (
        size := int.from_bytes(head[16:], "little")
    ) > 24:
        at += size
    return at


def _behind_avi(data: FileBytes, at: int) -> int:
    while (head := data.at(at, 12))[:4] == b"RIFF" and head[8:] in (b"AVI ", b"AVIX"):
        size = int.from_bytes(head[4:8], "little")
        if not size:
            return data.size
        at += 8 + size + size % 2
    return at


def _behind_flv(data: FileBytes, at: int) -> int:
    at += 13
    while len(head := data.at(at, 11)) == 11 and head[0] in (8, 9, 18):
        at += 15 + int.from_bytes(head[1:4], "big")
    return at


def _behind_tta(data: FileBytes, at: int) -> int:
    """Behind the frames, whose lengths a table lists; a frame lasts 256/245 s."""
    rate_hz, num_samples = (int(number) for number in struct.unpack("<2I", data.at(at + 10, 8)))
    num_frames = -(-num_samples // max(1, 256 * rate_hz // 245))
    table = data.at(at + 22, 4 * num_frames)
    lengths = np.frombuffer(table[: len(table) // 4 * 4], "<u4")
    return at + 22 + 4 * num_frames + 4 + int(lengths.sum())


def _behind_wavpack(data: FileBytes, at: int) -> int:
    while len(head := data.at(at, 8)) == 8 and head[:4] == b"wvpk":
        at += 8 + int.from_bytes(head[4:], "little")
    return at
