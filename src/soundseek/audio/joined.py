"""Files that were joined, of kinds that FFmpeg reads and of which it plays the first alone: where each begins."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from soundseek.audio.parts import FileBytes, Part

_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_FLV = b"FLV\x01"
_FLV_BEHIND = b"\0\0\0\x09\0\0\0\0"  # the length of the header, and that of the tag before the first one
_MOST_BOXES = 10_000
_WAVPACK_HEADER = 32
_WAVPACK_INITIAL = 1 << 11


def joined_parts(file: BinaryIO, kind: str) -> list[Part]:
    """The recordings of an open file whose kind is named as in `files.Format`, in order; none of a single one."""
    find = {
        "MP4": _mp4_starts,
        "True Audio": _tta_starts,
        "FLV": _flv_starts,
        "WMA": _asf_starts,
        "Monkey's Audio": _ape_starts,
        "WavPack": _wavpack_starts,
        "RealAudio": _real_starts,
    }.get(kind)
    if find is None:
        return []
    data = FileBytes(file)
    starts = list(find(data))
    ends = [*starts[1:], data.size]
    return [Part("", b"", (extent,)) for extent in zip(starts, ends, strict=True)] if len(starts) > 1 else []


def _mp4_starts(data: FileBytes) -> Iterator[int]:
    """Boxes `ftyp`, if there are as many `moov`; fragments (`moof`) are parts of one file."""
    names: list[bytes] = []
    starts: list[int] = []
    position = 0
    while position + 8 <= data.size and len(names) < _MOST_BOXES:
        head = data.at(position, 16)
        size, name = struct.unpack(">I4s", head[:8])
        if size == 1 and len(head) == 16:
            size = struct.unpack(">Q", head[8:])[0]
        if name == b"moof":
            return
        if name == b"ftyp":
            starts.append(position)
        names.append(name)
        if size < 8:  # 0: to the end of the file
            break
        position += size
    if names.count(b"moov") >= len(starts) > 1:
        yield from starts


def _tta_starts(data: FileBytes) -> Iterator[int]:
    for at in data.find_all(b"TTA1", 0):
        header = data.at(at, 22)
        if len(header) == 22 and zlib.crc32(header[:18]) == struct.unpack("<I", header[18:])[0]:
            yield at


def _flv_starts(data: FileBytes) -> Iterator[int]:
    for at in data.find_all(_FLV, 0):
        header = data.at(at, 13)
        if header[5:] == _FLV_BEHIND and header[4] in (1, 4, 5):
            yield at


def _asf_starts(data: FileBytes) -> Iterator[int]:
    yield from data.find_all(_ASF, 0)


def _real_starts(data: FileBytes) -> Iterator[int]:
    yield from data.find_all(b".RMF\0\0\0\x12", 0)


def _ape_starts(data: FileBytes) -> Iterator[int]:
    for at in data.find_all(b"MAC ", 0):
        header = data.at(at, 12)
        if len(header) == 12:
            version, _, descriptor_bytes = struct.unpack("<HHI", header[4:])
            if at == 0 or (3980 <= version < 4200 and descriptor_bytes == 52):
                yield at


def _wavpack_starts(data: FileBytes) -> Iterator[int]:
    """The first block of each recording: it is at the beginning, and the first of those that sound at once."""
    position: int | None = 0
    while position is not None and len(block := data.at(position, _WAVPACK_HEADER)) == _WAVPACK_HEADER:
        if block[:4] != b"wvpk":  # tags
            position = next(iter(data.find_all(b"wvpk", position)), None)
            continue
        size, index, num_samples, flags = struct.unpack("<4xI8x3I4x", block)
        if index == 0 and num_samples and flags & _WAVPACK_INITIAL:
            yield position
        position += size + 8
