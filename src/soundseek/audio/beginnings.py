"""Whether a recording begins at some place in a file, and of what kind: by signs that no sound has by chance.

A magic word of four letters may stand anywhere in a gigabyte. So fields behind it are checked as well, and of bare
streams, which have no header, several frames have to follow each other.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable

from soundseek.audio.mp3 import frame_bytes, frame_kind, synchsafe

At = Callable[[int, int], bytes]
"""`(position, length)` -> the bytes there, fewer at the end of the file."""

_MOST_TAGS = 100  # ID3 tags behind each other; a file of nothing else is no sound
_NUM_FRAMES = 4  # that follow each other where a stream begins
_MAX_RATE_HZ = 1_536_000
_AC3_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_TS_BYTES = 188
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_W64 = bytes.fromhex("726966662e91cf11a5d628db04c10000")
MLP_SYNC = b"\xf8\x72\x6f"

# What a beginning may begin with; `kind_at` says whether it is one.
SIGN = re.compile(
    rb"ID3[\x02-\x04]|RIFF|RF64|BW64|RIFX|FORM|riff\x2e|caff\x00\x01|\.snd|dns\.|fLaC|OggS\x00\x02|"
    rb"Creative Voice File\x1a|DSD \x1c|FRM8|"
    rb"\x00\x00[\x00-\x10][\x08-\xff]ftyp|\x1a\x45\xdf\xa3|\x30\x26\xb2\x75|FLV\x01|wvpk|TTA1|MAC |#!AMR|MPCK|tBaK|"
    rb"\.RMF\x00|ajkg|\xff[\xe2-\xff][\x10-\xef]|\x0b\x77|\x7f\xfe\x80\x01|\xfe\x7f\x01\x80|\xf8\x72\x6f[\xba\xbb]|"
    rb"\x56[\xe0-\xff]|G(?=.{187}G)",
    re.DOTALL,
)


def kind_at(at: At, position: int) -> str | None:
    """The kind of the recording that begins at a position, "wave", "flac", "mpeg" ...; None if none begins there."""
    for _ in range(_MOST_TAGS):  # in front of sound of any kind
        head = at(position, 64)
        if head[:3] != b"ID3" or len(head) <= 10:
            break
        if head[3] not in (2, 3, 4) or head[4] == 0xFF:
            return None
        position += 10 + synchsafe(head[6:10]) + (10 if head[5] & 16 else 0)
    else:
        return None
    if head[:1] == b"\xff":  # erased memory is full of it
        return next((kind for kind in ("mpeg", "adts") if _begins_stream(at, position, FRAMES[kind])), None)
    for sign, kind, is_true in _KINDS:
        if head.startswith(sign) and is_true(head):
            return kind
    if head[4:8] == b"ftyp" and head[8:12].isascii() and int.from_bytes(head[:4], "big") in range(8, 4096):
        return "mp4"
    if head[4:7] == MLP_SYNC and _begins_stream(at, position, _mlp_frame):
        return "mlp"
    for kind, length in FRAMES.items():
        if _begins_stream(at, position, length):
            return kind
    return "ts" if all(at(position + n * _TS_BYTES, 1) == b"G" for n in range(2 * _NUM_FRAMES)) else None


def next_beginning(at: At, start: int, end: int) -> int | None:
    """The first position between two others at which a recording begins."""
    block_bytes, overlap = 1 << 20, 256
    for first in range(start, end, block_bytes):
        block = at(first, min(block_bytes, end - first) + overlap)
        for sign in SIGN.finditer(block):
            position = first + sign.start() - 4 * (sign[0][:3] == MLP_SYNC)  # the length stands before it
            if position < min(end, first + block_bytes) and kind_at(at, position) is not None:
                return position
    return None


def _begins_stream(at: At, position: int, length: Callable[[bytes], tuple[int, object] | None]) -> bool:
    """Whether frames of one kind follow each other from a position on."""
    first: object = None
    for number in range(_NUM_FRAMES):
        frame = length(at(position, 16))
        if frame is None or (number and frame[1] != first):
            return False
        first = frame[1]
        position += frame[0]
    return True


# --- bare streams: the length of the frame that begins with 16 bytes, and what all frames have in common --------------


def _mpeg_frame(head: bytes) -> tuple[int, object] | None:
    length = frame_bytes(head[:4])
    return (length, frame_kind(head[:4])) if length else None


def _adts_frame(head: bytes) -> tuple[int, object] | None:
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 > 12:
        return None
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return (length, (head[1], head[2] & 0xFD, head[3] & 0xC0)) if length > 7 else None


def _ac3_frame(head: bytes) -> tuple[int, object] | None:
    if head[:2] != b"\x0b\x77" or len(head) < 6:
        return None
    if head[5] >> 3 > 10:  # E-AC-3
        return (2 * ((head[2] & 7) << 8 | head[3]) + 2, "E-AC-3") if head[5] >> 3 <= 16 else None
    rate, size = head[4] >> 6, head[4] & 63
    if rate == 3 or size >= 2 * len(_AC3_KBPS):
        return None
    kbps = _AC3_KBPS[size // 2]
    words = (2 * kbps, 320 * kbps // 147 + size % 2, 3 * kbps)[rate]  # at 48, 44.1 and 32 kHz
    return 2 * words, (rate, head[5])


def _dts_frame(head: bytes) -> tuple[int, object] | None:
    if head[:4] != b"\x7f\xfe\x80\x01" or len(head) < 8:
        return None
    length = ((head[5] & 3) << 12 | head[6] << 4 | head[7] >> 4) + 1
    return (length, None) if length > 95 else None


def _mlp_frame(head: bytes) -> tuple[int, object] | None:
    """An access unit of TrueHD or MLP; the first of a stream has a sync word."""
    if len(head) < 8:
        return None
    length = 2 * ((head[0] & 15) << 8 | head[1])
    return (length, None) if length > 7 else None


def _loas_frame(head: bytes) -> tuple[int, object] | None:
    if len(head) < 3 or head[0] != 0x56 or head[1] & 0xE0 != 0xE0:
        return None
    return ((head[1] & 31) << 8 | head[2]) + 3, None


def _is_au(head: bytes) -> bool:
    if len(head) < 24:
        return False
    order = ">" if head[0] == ord(".") else "<"
    offset, _, encoding, rate_hz, channels = struct.unpack_from(order + "5I", head, 4)
    return bool(
        24 <= offset <= 1 << 16 and 1 <= encoding <= 27 and rate_hz <= _MAX_RATE_HZ and 0 < channels <= 64
    )


def _is_tta(head: bytes) -> bool:
    return len(head) >= 22 and zlib.crc32(head[:18]) == struct.unpack_from("<I", head, 18)[0]


def _is_wavpack(head: bytes) -> bool:
    size, version = struct.unpack_from("<IH", head.ljust(10, b"\0"), 4)
    return bool(0x402 <= version <= 0x410 and 24 <= size < 1 << 20)


def _is_form(head: bytes) -> bool:
    return head[8:12] in (b"AIFF", b"AIFC", b"8SVX", b"16SV")


# Magic bytes, the kind, and what is checked behind them.
_KINDS: tuple[tuple[bytes | tuple[bytes, ...], str, Callable[[bytes], bool]], ...] = (
    ((b"RIFF", b"RF64", b"BW64", b"RIFX"), "chunks", lambda head: head[8:12] == b"WAVE"),
    (b"FORM", "chunks", _is_form),
    (_W64, "chunks", lambda head: head[24:28].upper() == b"WAVE"),
    (b"caff\0\1\0", "chunks", lambda head: head[8:12] == b"desc"),
    (b"RIFF", "avi", lambda head: head[8:12] == b"AVI "),
    ((b".snd", b"dns."), "au", _is_au),
    (b"fLaC", "flac", lambda head: head[4:8] in (b"\x00\x00\x00\x22", b"\x80\x00\x00\x22")),
    (b"OggS\0\2", "flac in ogg", lambda head: b"\x7fFLAC" in head or b"fLaC" in head),
    (b"OggS\0\2", "speex in ogg", lambda head: b"Speex   " in head),
    (b"OggS\0\2", "ogg", lambda head: len(head) > 27),
    (b"Creative Voice File\x1a", "voc", lambda head: head[20:22] == b"\x1a\0"),
    (b"\x1a\x45\xdf\xa3", "matroska", lambda head: b"matroska" in head or b"webm" in head),
    (_ASF, "asf", lambda head: len(head) > 30),
    (b"FLV\x01", "flv", lambda head: head[4] in (1, 4, 5) and head[5:13] == b"\0\0\0\x09\0\0\0\0"),
    (b"wvpk", "wavpack", _is_wavpack),
    (b"TTA1", "tta", _is_tta),
    (b"MAC ", "ape", lambda head: 3800 <= int.from_bytes(head[4:6], "little") < 4200),
    ((b"#!AMR\n", b"#!AMR-WB\n"), "amr", lambda head: True),
    (b"MPCKSH", "other", lambda head: True),
    (b"tBaK", "other", lambda head: len(head) > 8 and head[4] & 127 == 1),
    (b"DSD \x1c\0\0\0\0\0\0\0", "other", lambda head: True),
    (b"FRM8", "other", lambda head: head[12:16] == b"DSD "),
    (b".RMF\0\0\0\x12", "other", lambda head: True),
    (b"ajkg", "other", lambda head: head[4:5] in (b"\1", b"\2", b"\3")),
)  # fmt: skip

FRAMES: dict[str, Callable[[bytes], tuple[int, object] | None]] = {
    "mpeg": _mpeg_frame, "adts": _adts_frame, "ac3": _ac3_frame, "dts": _dts_frame, "loas": _loas_frame,
}  # fmt: skip
"""Kinds whose frames follow each other without anything between -> the reader of a frame's first bytes."""
