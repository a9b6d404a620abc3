"""Headers that are true: of the codec that a WAV, AIFF, 8SVX, W64 or CAF file states, for the bytes of sound in it."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

WRAP = 1 << 32
"""A 32-bit size begins at 0 again here."""
_RIFF_MAX = WRAP - 1024
_AIFF_PCM = frozenset(
    {b"NONE", b"twos", b"sowt", b"fl32", b"FL32", b"fl64", b"FL64", b"in24", b"in32", b"raw "}
)


@dataclass
class ChunkForm:
    """One RIFF, FORM or CAF file: the chunks that describe its sound, and where the sound lies."""

    magic: bytes
    kind: bytes  # WAVE, AIFF, AIFC, 8SVX
    described: dict[bytes, bytes]
    extents: list[tuple[int, int]]
    stated_share: float = 1.0
    as_it_stands: bool = True


def bytes_a_second(form: ChunkForm) -> int:
    """How many bytes of sound last a second; 0 if the form does not say."""
    fmt, common = form.described.get(b"fmt ", b""), form.described.get(b"COMM", b"")
    if len(fmt) >= 16:
        return int(struct.unpack_from(">I" if form.magic == b"RIFX" else "<I", fmt, 8)[0])
    if len(common) >= 18:
        channels, _, bits = struct.unpack_from(">hIh", common)
        return int(channels * -(-bits // 8) * _from_extended(common[8:18]))
    desc = form.described.get(b"desc", b"")
    if len(desc) >= 32:
        rate_hz, packet_bytes, packet_frames = (
            *struct.unpack_from(">d", desc),
            *struct.unpack_from(">II", desc, 16),
        )
        return int(rate_hz * packet_bytes / max(1, packet_frames)) if 0 < rate_hz < 1e7 else 0
    return 0


def _from_extended(number: bytes) -> float:
    """A number of 80 bits, as AIFF writes its sample rate."""
    exponent, mantissa = int.from_bytes(number[:2], "big") & 0x7FFF, int.from_bytes(number[2:10], "big")
    return float(mantissa) * 2.0 ** (exponent - 16383 - 63) if exponent < 16383 + 64 else 0.0


def header_of(form: ChunkForm, num_bytes: int) -> bytes | None:
    """A header of the same codec for so many bytes; None if the form does not describe its sound."""
    if form.kind == b"WAVE":
        return _wave_header(form, num_bytes) if b"fmt " in form.described else None
    if form.kind in (b"AIFF", b"AIFC"):
        return _aiff_header(form, num_bytes) if len(form.described.get(b"COMM", b"")) >= 18 else None
    if form.kind == b"caff":
        return _caf_header(form, num_bytes) if len(form.described.get(b"desc", b"")) >= 32 else None
    header = form.described.get(b"VHDR", b"")
    if len(header) < 20 or num_bytes > _RIFF_MAX:
        return None
    # The one-shot part is the whole sound; a part that repeats is not counted twice.
    header = struct.pack(">III", num_bytes, 0, 0) + header[12:]
    chunks = _big_chunk(b"VHDR", header) + b"BODY" + struct.pack(">I", num_bytes)
    return b"FORM" + struct.pack(">I", 4 + len(chunks) + num_bytes) + form.kind + chunks


def _wave_header(form: ChunkForm, num_bytes: int) -> bytes | None:
    fmt = form.described[b"fmt "]
    order = ">" if form.magic == b"RIFX" else "<"
    described = b"fmt " + struct.pack(order + "I", len(fmt)) + fmt + bytes(len(fmt) & 1)
    if num_bytes <= _RIFF_MAX:
        size = 4 + len(described) + 8 + num_bytes
        magic = b"RIFX" if form.magic == b"RIFX" else b"RIFF"
        return (
            magic
            + struct.pack(order + "I", size)
            + b"WAVE"
            + described
            + b"data"
            + struct.pack(order + "I", num_bytes)
        )
    if form.magic == b"RIFX":
        return None
    block = struct.unpack_from("<H", fmt, 12)[0] if len(fmt) >= 14 else 0
    sizes = struct.pack(
        "<QQQI", 4 + 36 + len(described) + 8 + num_bytes, num_bytes, num_bytes // max(1, block), 0
    )
    unknown = struct.pack("<I", WRAP - 1)
    return (
        b"RF64"
        + unknown
        + b"WAVEds64"
        + struct.pack("<I", len(sizes))
        + sizes
        + described
        + b"data"
        + unknown
    )


def _aiff_header(form: ChunkForm, num_bytes: int) -> bytes | None:
    common = form.described[b"COMM"]
    channels, frames, bits = struct.unpack_from(">HIH", common)
    compression = common[18:22] if form.kind == b"AIFC" else b"NONE"
    is_pcm = compression in _AIFF_PCM
    if num_bytes > _RIFF_MAX:
        return _caf_of_aiff(common, compression, num_bytes) if is_pcm else None
    if compression in (b"ulaw", b"ULAW", b"alaw", b"ALAW"):
        frames = num_bytes // max(1, channels)
    elif compression == b"GSM ":
        frames = num_bytes // 33 * 160
    elif is_pcm:
        frames = num_bytes // max(1, channels * -(-bits // 8))
    common = struct.pack(">HI", channels, frames) + common[6:]
    chunks = _big_chunk(b"COMM", common) + b"SSND" + struct.pack(">III", num_bytes + 8, 0, 0)
    if form.kind == b"AIFC":
        chunks = _big_chunk(b"FVER", struct.pack(">I", 0xA2805140)) + chunks
    return b"FORM" + struct.pack(">I", 4 + len(chunks) + num_bytes) + form.kind + chunks


def _caf_of_aiff(common: bytes, compression: bytes, num_bytes: int) -> bytes:
    """CAF has 64-bit sizes, and the same samples inside."""
    channels, _, bits = struct.unpack_from(">HIH", common)
    flags = (compression.lower() in (b"fl32", b"fl64")) | (compression == b"sowt") << 1
    width = -(-bits // 8) * channels
    desc = struct.pack(">d4sIIIII", _from_extended(common[8:18]), b"lpcm", flags, width, 1, channels, bits)
    return _caf(desc, num_bytes)


def _caf_header(form: ChunkForm, num_bytes: int) -> bytes | None:
    has_constant_packets = struct.unpack_from(">I", form.described[b"desc"], 16)[0] > 0
    if not has_constant_packets and b"pakt" not in form.described:
        return None  # where one packet ends and the next begins is in the table alone
    chunks: dict[bytes, bytes] = {
        name: form.described[name] for name in (b"kuki", b"pakt") if name in form.described
    }
    return _caf(form.described[b"desc"][:32], num_bytes, chunks)


def _caf(desc: bytes, num_bytes: int, chunks: Mapping[bytes, bytes] = MappingProxyType({})) -> bytes:
    header = b"caff" + struct.pack(">HH", 1, 0)
    for name, body in {b"desc": desc, **chunks}.items():
        header += name + struct.pack(">q", len(body)) + body
    return header + b"data" + struct.pack(">qI", num_bytes + 4, 0)


def _big_chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack(">I", len(body)) + body + bytes(len(body) & 1)
