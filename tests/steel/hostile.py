"""A folder of some hundred hostile sound files, each with what an index run may say of it.

The same seed writes the same bytes (but for those that FFmpeg's muxers draw). `python benchmarks/hostile.py` indexes
all of them; the suite a part.
"""

from __future__ import annotations

import io
import os
import random
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from audio.bad_files import flac_claiming, wav_bytes

RATE_HZ = 44_100
DURATION_S = 1.6
INDEXED = "indexed"

# A reason, and the kind of it. What is behind none of these is no reason that a person can act on.
KINDS = {
    "cut": r"^truncated: its header says|cut off",
    "damaged": r"^damaged|^[\w/]+: no part of it can be decoded",
    "impossible samples": r"^damaged: samples",
    "header": r"header claims",
    "nothing in it": r"^empty: 0 bytes|holds no samples|no sound in it|without a sound track|shorter than a block",
    "silent": r"^silent: ",
    "short": r"^too short: ",
    "text": r"^text, not sound",
    "unknown": r"^not a sound format|nothing but zero bytes",
    "bomb": r"^more sound than",
    "memory": r"of memory$",
    "no file": r"^no regular file|^it is a link|^a pipe|^cannot be read",
}
BROKEN = frozenset({"cut", "damaged", "impossible samples", "header", "nothing in it", "silent", "short"})
"""What may be wrong with a file whose bytes were spoilt behind its signature."""


@dataclass(frozen=True)
class HostileFile:
    """One file, and the outcomes that are true of it.

    Attributes:
        name: File name; bytes that are no UTF-8 as surrogate escapes.
        allowed: `INDEXED`, kinds of `KINDS`, or several.
        seconds: The least and the most of a file that is indexed.
        made: What was done to it, for people.
    """

    name: str
    allowed: frozenset[str]
    seconds: tuple[float, float]
    made: str


def kinds_of(reason: str) -> set[str]:
    """Every kind that a reason is of."""
    return {kind for kind, pattern in KINDS.items() if re.search(pattern, reason)}


def verdict(file: HostileFile, duration_s: float | None, reason: str | None) -> str | None:
    """What is wrong with what an index run made of a file; None if nothing.

    Args:
        file: The file.
        duration_s: Its length if it is in the library.
        reason: Why not, if it is among the failures.
    """
    if (duration_s is None) == (reason is None):
        return "is both in the library and failed" if reason else "is neither in the library nor named"
    if reason is not None:
        if not kinds_of(reason) & file.allowed:
            return f"is called {reason!r}, which is none of {sorted(file.allowed)}"
    elif INDEXED not in file.allowed:
        return f"was indexed ({duration_s:.2f} s), and should be one of {sorted(file.allowed)}"
    elif duration_s is not None and not file.seconds[0] <= duration_s <= file.seconds[1]:
        return f"was indexed with {duration_s:.3f} s, not {file.seconds[0]} to {file.seconds[1]}"
    return None


def write_hostile_files(folder: Path, *, seed: int = 0, every: int = 1) -> list[HostileFile]:
    """Write the files, and return what is true of each; what this machine cannot encode or name is left out.

    Args:
        folder: Where they go.
        seed: Of cuts and flips.
        every: Of each group every so-manyth file alone, from the first on.
    """
    written = []
    for group in (
        _spoilt,
        _headers,
        _bombs,
        _rates_and_channels,
        _samples,
        _lengths,
        _disguises,
        _names,
        _tags,
    ):
        for number, (file, content) in enumerate(group(folder, random.Random(seed))):
            if number % every:
                continue
            try:
                (folder / file.name).write_bytes(content() if callable(content) else content)
            except (OSError, UnicodeEncodeError):
                continue  # no such names on this file system
            written.append(file)
    return written


Made = Iterator[tuple[HostileFile, bytes | Callable[[], bytes]]]


def _file(
    name: str, made: str, *allowed: str | frozenset[str], seconds: tuple[float, float] = (0.01, 1e9)
) -> HostileFile:
    kinds: set[str] = set()
    for each in allowed:
        kinds |= {each} if isinstance(each, str) else each
    return HostileFile(name, frozenset(kinds), seconds, made)


@cache
def wave(
    duration_s: float = DURATION_S, channels: int = 1, rate_hz: int = RATE_HZ
) -> npt.NDArray[np.float32]:
    """A tone with noise, `(frames, channels)`, peak about 0.35; not to be changed in place."""
    generator = np.random.default_rng(0)
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    mono = 0.3 * np.sin(2 * np.pi * min(440, rate_hz / 5) * time_s)
    mono += 0.01 * generator.standard_normal(len(time_s))
    return np.repeat(mono[:, None], channels, axis=1).astype(np.float32)


# --- Every container and codec, whole, cut and flipped --------------------------------------------------------------

SOUNDFILE_KINDS = (
    ("wav", "WAV", "PCM_U8"), ("wav", "WAV", "PCM_16"), ("wav", "WAV", "PCM_24"), ("wav", "WAV", "PCM_32"),
    ("wav", "WAV", "FLOAT"), ("wav", "WAV", "DOUBLE"), ("wav", "WAV", "ULAW"), ("wav", "WAV", "ALAW"),
    ("wav", "WAV", "IMA_ADPCM"), ("wav", "WAV", "MS_ADPCM"), ("wav", "WAV", "GSM610"), ("wav", "WAV", "MPEG_LAYER_III"),
    ("wav", "WAVEX", "PCM_24"), ("rf64", "RF64", "PCM_16"), ("w64", "W64", "PCM_24"), ("aiff", "AIFF", "PCM_16"),
    ("aiff", "AIFF", "FLOAT"), ("aifc", "AIFF", "IMA_ADPCM"), ("au", "AU", "PCM_16"), ("au", "AU", "ULAW"),
    ("caf", "CAF", "PCM_24"), ("caf", "CAF", "ALAC_16"), ("caf", "CAF", "ALAC_24"), ("voc", "VOC", "PCM_16"),
    ("svx", "SVX", "PCM_16"), ("avr", "AVR", "PCM_16"), ("sph", "NIST", "PCM_16"), ("flac", "FLAC", "PCM_16"),
    ("flac", "FLAC", "PCM_24"), ("ogg", "OGG", "VORBIS"), ("opus", "OGG", "OPUS"), ("mp3", "MP3", "MPEG_LAYER_III"),
)  # fmt: skip
FFMPEG_KINDS = (
    ("m4a", "mp4", "aac"), ("m4a", "mp4", "alac"), ("mp4", "mp4", "mp3"), ("mp4", "mp4", "flac"),
    ("mp4", "mp4", "opus"),
    ("mp4", "mp4", "ac3"), ("mov", "mov", "pcm_s24le"), ("mov", "mov", "adpcm_ima_qt"), ("3gp", "3gp", "aac"),
    ("aac", "adts", "aac"), ("ac3", "ac3", "ac3"), ("eac3", "eac3", "eac3"), ("mp2", "mp2", "mp2"),
    ("mka", "matroska", "flac"), ("mka", "matroska", "vorbis"), ("mka", "matroska", "wavpack"),
    ("mka", "matroska", "tta"),
    ("webm", "webm", "libopus"), ("mkv", "matroska", "eac3"), ("wma", "asf", "wmav1"), ("wma", "asf", "wmav2"),
    ("wv", "wv", "wavpack"), ("tta", "tta", "tta"), ("flv", "flv", "libmp3lame"), ("flv", "flv", "adpcm_swf"),
    ("avi", "avi", "pcm_s16le"), ("avi", "avi", "mp2"), ("m2ts", "mpegts", "aac"), ("m2ts", "mpegts", "mp2"),
    ("mpg", "mpeg", "mp2"), ("amr", "amr", "libopencore_amrnb"), ("oga", "ogg", "flac"), ("wav", "wav", "adpcm_yamaha"),
    ("wav", "wav", "g726"), ("wav", "wav", "wmav2"), ("wav", "wav", "aac"), ("wav", "wav", "ac3"),
    ("caf", "caf", "aac"), ("caf", "caf", "opus"), ("rm", "rm", "ac3"), ("mxf", "mxf", "pcm_s16le"),
)  # fmt: skip
RATES_HZ = {"libopencore_amrnb": 8000, "opus": 48_000, "libopus": 48_000, "g726": 8000, "adpcm_swf": 44_100}
# They state no length, so a cut one is a shorter sound; nor does libsndfile's mp3 in a WAV count its samples.
STATES_NO_LENGTH = frozenset({
    "ogg", "opus", "oga", "aac", "ac3", "eac3", "mp2", "amr", "m2ts", "mpg", "flv", "rm", "webm", "mxf",
})  # fmt: skip
# A shorter one may go by: of these the index at the end is what counts, or the first blocks hold everything.
CUTS = (0.1, 0.5, 0.8)
FLIPS = (1, 40)


def with_soundfile(kind: str, subtype: str, samples: npt.NDArray[np.float32], rate_hz: int) -> bytes | None:
    """A file as libsndfile writes it; None where this version cannot."""
    into = io.BytesIO()
    try:
        soundfile.write(into, samples, rate_hz, format=kind, subtype=subtype)
    except (soundfile.LibsndfileError, ValueError):
        return None
    return into.getvalue()


def with_ffmpeg(path: Path, container: str, codec: str, samples: npt.NDArray[np.float32]) -> bytes | None:
    """A file as FFmpeg writes it; None where PyAV is not installed, or has no such encoder."""
    try:
        import av
    except ImportError:
        return None
    rate_hz = RATES_HZ.get(codec, RATE_HZ if container != "mxf" else 48_000)
    try:
        with av.open(str(path), "w", format=container) as out:
            stream = out.add_stream(codec, rate=rate_hz, layout="mono")
            if "pcm" not in codec and codec not in {"flac", "alac", "wavpack", "tta"}:
                stream.bit_rate = (
                    12_200 if codec == "libopencore_amrnb" else 16_000 if codec == "g726" else 96_000
                )
            if codec in {"opus", "vorbis"}:
                stream.codec_context.options = {"strict": "-2"}
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout="mono")
            frame.sample_rate = RATE_HZ
            stream.codec_context.open()
            resampler = av.AudioResampler(
                format=stream.codec_context.format.name, layout=stream.codec_context.layout, rate=rate_hz,
                frame_size=stream.codec_context.frame_size or 1024,
            )  # fmt: skip
            for piece in [*resampler.resample(frame), *resampler.resample(None)]:
                for packet in stream.encode(piece):
                    out.mux(packet)
            for packet in stream.encode(None):
                if packet.size:
                    out.mux(packet)
        return path.read_bytes()
    except (av.FFmpegError, ValueError):
        return None
    finally:
        path.unlink(missing_ok=True)


def originals(folder: Path) -> Iterator[tuple[str, str, bytes]]:
    """Name, extension and content of a whole file of each container and codec."""
    for extension, kind, subtype in SOUNDFILE_KINDS:
        rate_hz = 48_000 if subtype == "OPUS" else RATE_HZ
        made = with_soundfile(kind, subtype, wave(rate_hz=rate_hz), rate_hz)
        if made is not None:
            yield f"{kind}-{subtype}".lower(), extension, made
    for extension, container, codec in FFMPEG_KINDS:
        made = with_ffmpeg(folder / f".encoded.{extension}", container, codec, wave())
        if made is not None:
            yield f"{container}-{codec}", extension, made
    yield "dsf-dsd", "dsf", dsf_file(wave())


def dsf_file(samples: npt.NDArray[np.float32]) -> bytes:
    """A DSF file, one bit a sample at 64 times 44.1 kHz, by a first-order modulator."""
    sums = np.cumsum(np.repeat((samples[:, 0].astype(np.float64) + 1) / 2, 64))
    bits = np.diff(np.floor(sums), prepend=0).astype(np.uint8)
    packed = np.packbits(bits, bitorder="little").tobytes()
    data = packed + bytes(-len(packed) % 4096)
    fmt = b"fmt " + struct.pack("<QIIIIIIQII", 52, 1, 0, 1, 1, 2_822_400, 1, len(bits), 4096, 0)
    body = fmt + b"data" + struct.pack("<Q", 12 + len(data)) + data
    return b"DSD " + struct.pack("<QQQ", 28, 28 + len(body), 0) + body


def _spoilt(folder: Path, chance: random.Random) -> Made:
    for name, extension, content in originals(folder):
        whole = (0.3, 2.2)
        yield _file(f"{name}.{extension}", "whole", INDEXED, seconds=whole), content
        shorter = INDEXED if extension in STATES_NO_LENGTH else "cut"
        for share in CUTS:
            cut = content[: int(len(content) * share)]
            allowed = BROKEN | {shorter} | ({"unknown", "text"} if len(cut) < 600 else frozenset())
            if _is_whole_without_end(name, share):
                allowed |= {INDEXED}
            file = _file(
                f"{name}-cut-{share:g}.{extension}", f"cut at {share:.0%}", allowed, seconds=(0.01, 2.2)
            )
            yield file, cut
        for flips in FLIPS:
            flipped = bytearray(content)
            for _ in range(flips):
                flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
            allowed = BROKEN | {INDEXED, "unknown", "bomb"}
            file = _file(
                f"{name}-flip-{flips}.{extension}", f"{flips} bits flipped", allowed, seconds=(0.01, 1e9)
            )
            yield file, bytes(flipped)


def _is_whole_without_end(name: str, share: float) -> bool:
    """Containers whose last tenths are an index, padding, or frames of silence that their encoder drew out."""
    return share >= 0.8 and name.startswith(("matroska", "mov", "asf", "wav-wmav2", "wav-mpeg", "dsf"))


# --- Headers that lie ------------------------------------------------------------------------------------------------


def _headers(folder: Path, chance: random.Random) -> Made:
    data = (wave()[:, 0] * 32767).astype("<i2").tobytes()
    for channels in (0, 3, 1025, 65_535):
        allowed = {"header", "damaged", "short"} | ({INDEXED} if channels == 3 else frozenset())
        file = _file(
            f"wav-says-{channels}-channels.wav", f"header of {channels} channels", frozenset(allowed)
        )
        yield file, wav_bytes(data, channels=channels)
    for rate_hz in (0, 1, 8, 999, 1000, 384_000, 768_000, 3_000_000, 2**31, 2**32 - 1):
        allowed = {INDEXED} if 1000 <= rate_hz <= 1_536_000 else {"header", "damaged"}
        file = _file(f"wav-says-{rate_hz}-hz.wav", f"header of {rate_hz} Hz", frozenset(allowed))
        yield file, wav_bytes(data, rate_hz=rate_hz)
    for claimed in (0, 1, 2**31 - 1, 2**31, 2**32 - 2):
        allowed = {"nothing in it", "cut", "short", INDEXED}
        file = _file(f"wav-data-of-{claimed}.wav", f"data chunk of {claimed} bytes", frozenset(allowed))
        yield file, wav_bytes(data, data_bytes=claimed)
    for bits in (0, 1, 7, 33, 255, 65_535):
        content = bytearray(wav_bytes(data))
        content[34:36] = struct.pack("<H", bits)
        file = _file(f"wav-of-{bits}-bits.wav", f"{bits} bits a sample", BROKEN | {INDEXED, "unknown"})
        yield file, bytes(content)
    for codec in (0, 0xFFFE, 0x1234, 0x55, 0x160):
        content = bytearray(wav_bytes(data))
        content[20:22] = struct.pack("<H", codec)
        yield (
            _file(f"wav-of-codec-{codec:04x}.wav", f"codec {codec:04x}", BROKEN | {"unknown"}),
            bytes(content),
        )
    chunks = wav_bytes(data)
    for size in (0, 2**31, 2**32 - 1):
        spoilt = chunks[:12] + b"junk" + struct.pack("<I", size) + chunks[12:]
        file = _file(f"wav-junk-of-{size}.wav", f"a chunk that says {size} bytes", BROKEN | {INDEXED})
        yield file, spoilt
    many = b"".join(b"junk" + struct.pack("<I", 0) for _ in range(100_000))
    file = _file("wav-100000-chunks.wav", "100,000 empty chunks", BROKEN | {INDEXED})
    yield file, chunks[:12] + many + chunks[12:]
    flac = with_soundfile("FLAC", "PCM_16", wave(), RATE_HZ) or b""
    for claimed in (0, 1, len(wave()) // 2, 10 * len(wave()), 2**36 - 1):
        # A count that is too small hides frames, which are decoded; 0 means "not known".
        allowed = {INDEXED, "cut", "damaged"} if claimed <= len(wave()) else {"cut", "damaged"}
        file = _file(f"flac-says-{claimed}.flac", f"STREAMINFO of {claimed} samples", frozenset(allowed))
        yield file, flac_claiming(flac, claimed)
    for block in (0, 1, 15, 65_535):
        content = flac[:8] + struct.pack(">HH", block, block) + flac[12:]
        yield _file(f"flac-blocks-of-{block}.flac", f"blocks of {block}", BROKEN | {INDEXED}), content
    for length in (0, 2**24 - 1):
        content = flac[:4] + bytes([4]) + length.to_bytes(3, "big") + flac[4:]
        yield (
            _file(f"flac-comment-of-{length}.flac", "the first block is no STREAMINFO", BROKEN | {"unknown"}),
            content,
        )
    yield from _lying_mp4(folder)
    yield from _lying_ogg_and_aiff()


def _lying_mp4(folder: Path) -> Made:
    mp4 = with_ffmpeg(folder / ".encoded.m4a", "mp4", "aac", wave())
    if mp4 is None:
        return
    for atom in (b"stsz", b"stco", b"stsc", b"stts", b"mdhd", b"esds"):
        at = mp4.find(atom)
        for number in (0, 0x7FFFFFFF, 0xFFFFFFFF):
            content = bytearray(mp4)
            content[at + 8 : at + 12] = struct.pack(">I", number)
            file = _file(
                f"mp4-{atom.decode()}-{number:x}.m4a", f"{atom.decode()} says {number}", BROKEN | {INDEXED}
            )
            yield file, bytes(content)
        content = bytearray(mp4)
        content[at - 4 : at] = struct.pack(">I", 0xFFFFFFF0)
        file = _file(f"mp4-{atom.decode()}-huge.m4a", f"an atom {atom.decode()} of 4 GB", BROKEN | {INDEXED})
        yield file, bytes(content)
    deep = b""
    for _ in range(3000):
        deep = struct.pack(">I", 8 + len(deep)) + b"moov" + deep
    yield _file("mp4-3000-deep.m4a", "atoms in each other, 3,000 deep", BROKEN), mp4[:32] + deep


def _lying_ogg_and_aiff() -> Made:
    ogg = with_soundfile("OGG", "VORBIS", wave(), RATE_HZ) or b""
    last = ogg.rfind(b"OggS")
    for position in (0, 1, 2**62, 2**64 - 1):
        page = bytearray(ogg)
        page[last + 6 : last + 14] = struct.pack("<Q", position)
        page[last + 22 : last + 26] = bytes(4)
        page[last + 22 : last + 26] = struct.pack("<I", _ogg_crc(bytes(page[last:])))
        file = _file(
            f"ogg-ends-at-{position:x}.ogg", f"the last page ends at sample {position}", BROKEN | {INDEXED}
        )
        yield file, bytes(page)
    aiff = with_soundfile("AIFF", "PCM_16", wave(), RATE_HZ) or b""
    at = aiff.find(b"COMM")
    for frames in (0, 2**31, 2**32 - 1):
        content = bytearray(aiff)
        content[at + 10 : at + 14] = struct.pack(">I", frames)
        yield (
            _file(f"aiff-says-{frames}.aiff", f"COMM of {frames} frames", BROKEN | {INDEXED}),
            bytes(content),
        )
    for name, rate in (
        ("nan", b"\x7f\xff" + b"\xff" * 8),
        ("huge", b"\x7f\xfe" + b"\xff" * 8),
        ("zero", bytes(10)),
    ):
        content = bytearray(aiff)
        content[at + 16 : at + 26] = rate
        yield _file(f"aiff-rate-{name}.aiff", f"a rate of {name}", BROKEN | {"unknown"}), bytes(content)


def _ogg_crc(page: bytes) -> int:
    """The checksum of an Ogg page, whose own field is zero."""
    crc = 0
    for byte in page:
        crc = crc << 8 & 0xFFFFFF00 ^ _CRC32[crc >> 24 ^ byte]
    return crc


# --- Much sound in few bytes -----------------------------------------------------------------------------------------


def flac_bomb(num_frames: int, rate_hz: int, *, loud: bool) -> bytes:
    """A FLAC of constant blocks, 65,535 samples in some fifteen bytes; `loud` lets them alternate in sign."""
    block = 65_535
    total = num_frames * block if num_frames * block < 1 << 36 else 0
    info = struct.pack(">HH", block, block) + bytes(6)
    info += ((rate_hz << 44) | (0 << 41) | (15 << 36) | total).to_bytes(8, "big") + bytes(16)
    out = [b"fLaC\x80\0\0\x22", info]
    for number in range(num_frames):
        # Blocking by frames; the size is 16 bits at the header's end (7); rate by STREAMINFO (0); mono; 16 bits.
        head = b"\xff\xf8\x70\x08" + _utf8_number(number) + struct.pack(">H", block - 1)
        value = (8000 if number % 2 else -8000) if loud else 0
        body = head + bytes([_crc8(head)]) + b"\0" + struct.pack(">h", value)
        out += [body, struct.pack(">H", _crc16(body))]
    return b"".join(out)


def _utf8_number(number: int) -> bytes:
    """FLAC's frame numbers, written as UTF-8 would letters."""
    return bytes([number]) if number < 128 else chr(number).encode("utf-8", "surrogatepass")


def _crc_table(polynomial: int, bits: int) -> list[int]:
    table = []
    for byte in range(256):
        crc = byte << bits - 8
        for _ in range(8):
            crc = (crc << 1 ^ polynomial if crc >> bits - 1 else crc << 1) & (1 << bits) - 1
        table.append(crc)
    return table


_CRC8, _CRC16, _CRC32 = _crc_table(0x07, 8), _crc_table(0x8005, 16), _crc_table(0x04C11DB7, 32)


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = _CRC8[crc ^ byte]
    return crc


def _crc16(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = crc << 8 & 0xFF00 ^ _CRC16[crc >> 8 ^ byte]
    return crc


def _bombs(folder: Path, chance: random.Random) -> Made:
    bombs = [
        ("day", 1400, 1000),
        ("week", 10_000, 1000),
        ("hour", 50, 1000),
        ("hour-of-48-khz", 2600, 48_000),
    ]
    for name, frames, rate_hz in bombs:
        length_s = frames * 65_535 / rate_hz
        small = length_s < 3600
        for loud in (True, False):
            allowed = ({INDEXED} if loud else {"silent"}) if small else {"bomb"}
            file = _file(
                f"flac-of-a-{name}-{'loud' if loud else 'silent'}.flac",
                f"{length_s:,.0f} s of constant blocks",
                frozenset(allowed),
            )
            yield file, partial(flac_bomb, frames, rate_hz, loud=loud)
    body = zlib.compress(bytes(50_000_000), 9)
    yield _file("deflated.wav", "50 MB of zeros as a zlib stream", "unknown"), body
    yield _file("gzipped.flac", "a gzip of zeros", "unknown"), b"\x1f\x8b\x08\0" + bytes(6) + body[2:]


# --- Rates, channels, samples, lengths -------------------------------------------------------------------------------


def _rates_and_channels(folder: Path, chance: random.Random) -> Made:
    for rate_hz in (1, 10, 100, 500, 1000, 4000, 7350, 11_025, 96_000, 192_000, 352_800, 768_000):
        samples = wave(max(1.0, 100 / rate_hz), rate_hz=rate_hz)
        for kind, extension in (("WAV", "wav"), ("AU", "au"), ("W64", "w64")):
            content = with_soundfile(kind, "PCM_16", samples, rate_hz)
            allowed = {INDEXED} if rate_hz >= 1000 else {"header", "damaged"}
            if content is not None:
                yield (
                    _file(f"{kind.lower()}-{rate_hz}-hz.{extension}", f"{rate_hz} Hz", frozenset(allowed)),
                    content,
                )
    for rate_hz in (1, 8000, 655_350):
        content = with_soundfile("FLAC", "PCM_16", wave(max(1.0, 100 / rate_hz), rate_hz=rate_hz), rate_hz)
        allowed = {INDEXED} if rate_hz >= 1000 else {"header", "damaged"}
        if content is not None:
            yield _file(f"flac-{rate_hz}-hz.flac", f"{rate_hz} Hz", frozenset(allowed)), content
    for channels in (2, 3, 6, 8, 16, 64, 255, 1024):
        for kind, extension in (("WAV", "wav"), ("CAF", "caf")):
            content = with_soundfile(kind, "PCM_16", wave(0.3, channels), RATE_HZ)
            if content is not None:
                file = _file(
                    f"{kind.lower()}-{channels}-channels.{extension}", f"{channels} channels", INDEXED
                )
                yield file, content


def _samples(folder: Path, chance: random.Random) -> Made:
    def float_wav(samples: npt.NDArray[np.float32], subtype: str = "FLOAT") -> bytes:
        return with_soundfile("WAV", subtype, samples, RATE_HZ) or b""

    spoilt = {
        "nan": np.nan, "infinite": np.inf, "minus-infinite": -np.inf, "largest": np.finfo(np.float32).max,
    }  # fmt: skip
    for name, value in spoilt.items():
        one, all_of_them = wave().copy(), np.full_like(wave(), value)
        one[20_000] = value
        for which, samples in (("one", one), ("every", all_of_them)):
            file = _file(f"{which}-sample-{name}.wav", f"{which} sample {name}", "impossible samples")
            yield file, float_wav(samples)
    nan_double = np.full((RATE_HZ, 1), np.nan)
    file = _file("every-sample-nan-double.wav", "64-bit NaN", "impossible samples")
    yield file, float_wav(nan_double, "DOUBLE")
    levels = {
        "dc": (np.full((RATE_HZ, 1), 0.5), {INDEXED}),
        "dc-full": (np.full((RATE_HZ, 1), 1.0), {INDEXED}),
        "denormals": (wave() * np.float32(1e-42), {"silent"}),
        "smallest-normal": (wave() * np.float32(1e-37), {"silent"}),
        "zeros": (np.zeros((RATE_HZ, 1)), {"silent"}),
        "minus-zeros": (-np.zeros((RATE_HZ, 1)), {"silent"}),
        "one-click-in-silence": (np.eye(1, RATE_HZ, 20_000).T * 0.5, {INDEXED}),
        "ten-thousand-full-scale": (wave() * 900, {INDEXED}),
        "square": (np.sign(wave()), {INDEXED}),
        "whole-numbers": (np.rint(wave() * 32767), {INDEXED}),
    }
    for name, (samples, allowed) in levels.items():
        yield _file(f"{name}.wav", name, frozenset(allowed)), float_wav(samples.astype(np.float32))
    stereo = np.concatenate([wave(), -wave()], axis=1)
    yield _file("opposite-channels.wav", "channels that cancel", INDEXED), float_wav(stereo)
    half = np.concatenate([wave(), np.full_like(wave(), np.nan)], axis=1)
    yield _file("one-channel-nan.wav", "one channel NaN", "impossible samples"), float_wav(half)


def _lengths(folder: Path, chance: random.Random) -> Made:
    for num_bytes in (0, 1, 3, 4, 11, 12, 43, 44):
        content = wav_bytes((wave()[:, 0] * 32767).astype("<i2").tobytes())[:num_bytes]
        allowed = {"nothing in it", "unknown", "damaged", "cut", "text"}
        yield _file(f"first-{num_bytes}-bytes.wav", f"{num_bytes} bytes", frozenset(allowed)), content
    for extension in ("flac", "mp3", "ogg", "m4a", "wma", "aiff", "wv", "opus"):
        yield _file(f"empty.{extension}", "0 bytes", "nothing in it"), b""
    for samples in (0, 1, 2, 100, 440, 442):
        for kind, subtype in (("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")):
            content = with_soundfile(kind, subtype, wave(1)[:samples], RATE_HZ)
            allowed = {INDEXED} if samples > 441 else {"short", "nothing in it", "damaged"}
            if content:
                yield (
                    _file(f"{samples}-samples.{kind.lower()}", f"{samples} samples", frozenset(allowed)),
                    content,
                )


# --- What is none, names, tags ---------------------------------------------------------------------------------------


def _disguises(folder: Path, chance: random.Random) -> Made:
    noise = chance.randbytes(20_000)
    for extension in ("wav", "flac", "mp3", "ogg", "aiff", "opus", "au", "caf", "wma", "mka", "w64"):
        allowed = BROKEN | {"unknown"}
        yield _file(f"noise.{extension}", "random bytes", allowed), noise
    magics = {
        "wav": b"RIFF\xff\xff\xff\x7fWAVE", "flac": b"fLaC", "ogg": b"OggS", "m4a": b"\0\0\0\x20ftypM4A ",
        "aiff": b"FORM\0\0\xff\xffAIFF", "au": b".snd", "caf": b"caff\0\x01\0\0",
        "wma": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
        "mka": b"\x1a\x45\xdf\xa3", "wv": b"wvpk", "tta": b"TTA1", "ape": b"MAC ", "dsf": b"DSD ", "mpc": b"MPCK",
        "tak": b"tBaK", "flv": b"FLV\x01", "mxf": b"\x06\x0e\x2b\x34\x02\x05\x01\x01", "rm": b".RMF", "shn": b"ajkg",
        "amr": b"#!AMR\n", "voc": b"Creative Voice File", "dts": b"\x7f\xfe\x80\x01", "ac3": b"\x0b\x77",
        "thd": b"\0\0\0\0\xf8\x72\x6f\xba", "mpg": b"\0\0\x01\xba", "mp3": b"\xff\xfb\x90\x64",
    }  # fmt: skip
    for extension, magic in magics.items():
        may_be_sound = extension in {"amr", "voc", "mp3", "dts", "ac3"}  # frames of these are found in noise
        allowed = BROKEN | {"unknown"} | ({INDEXED} if may_be_sound else frozenset())
        yield _file(f"magic-and-noise.{extension}", "a signature, then noise", allowed), magic + noise
    texts = {
        "playlist.m4a": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\nfile:///etc/passwd\n",
        "concat.mka": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        "page.mp3": b"<!DOCTYPE html><title>404 Not Found</title>" * 5,
        "script.wav": b"#!/bin/sh\necho hello\n" * 20,
        "cue.flac": b'FILE "a.wav" WAVE\n  TRACK 01 AUDIO\n',
        "sdp.aac": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 96\n",
    }
    for name, content in texts.items():
        yield _file(name, "a text", "text"), content
    programs = {
        "elf.wav": b"\x7fELF", "zip.mp3": b"PK\x03\x04", "png.ogg": b"\x89PNG\r\n\x1a\n", "pdf.m4a": b"%PDF-1.7\n\xff",
    }  # fmt: skip
    for name, magic in programs.items():
        yield _file(name, "another kind of file", BROKEN | {"unknown"}), magic + noise
    wav = wav_bytes((wave()[:, 0] * 32767).astype("<i2").tobytes())
    for extension in ("mp3", "flac", "ogg", "m4a", "ac3"):
        yield _file(f"really-a-wav.{extension}", "a wav under another name", INDEXED, seconds=(1.5, 1.7)), wav


def _names(folder: Path, chance: random.Random) -> Made:
    content = with_soundfile("WAV", "PCM_16", wave(0.3), RATE_HZ) or b""
    names = [
        "two\nlines.wav", "carriage\rreturn.wav", "tab\there.wav", "bell\a.wav", "escape\x1b[31mred\x1b[0m.wav",
        "\U0001f415\U0001f327\ufe0f.wav", "\u05e9\u05dc\u05d5\u05dd.wav", "\u0645\u0631\u062d\u0628\u0627.wav",
        "gpj\u202e.wav", "zero\u200bwidth.wav", "e\u0301.wav", "\u00e9.wav", "\ufb01ne.wav", "\u0130stanbul.wav",
        "a" * 251 + ".wav", "\u00e9" * 125 + ".wav", " leading.wav", "trailing .wav", "-dash.wav", "--json.wav",
        "quote'.wav", 'double".wav', "percent%s.wav", "semi;colon.wav", "star*.wav", "question?.wav", "back\\slash.wav",
        "dollar$(id).wav", "back`id`tick.wav", "pipe|.wav", "con.wav", "nul.wav", "two..dots.wav", "dots....wav",
        "concat:x.wav", "http:x.wav", "%00.wav", "UPPER.WAV", "{json}.wav", "<b>.wav", "&amp;.wav",
        os.fsdecode(b"caf\xe9.wav"), os.fsdecode(b"\xff\xfe.wav"), os.fsdecode(b"\xed\xa0\x80.wav"),
    ]  # fmt: skip
    for name in names:
        yield _file(name, "a name", INDEXED, seconds=(0.29, 0.31)), content


def _tags(folder: Path, chance: random.Random) -> Made:
    wav = wav_bytes((wave()[:, 0] * 32767).astype("<i2").tobytes())
    mp3 = with_soundfile("MP3", "MPEG_LAYER_III", wave(), RATE_HZ) or b""
    flac = with_soundfile("FLAC", "PCM_16", wave(), RATE_HZ) or b""

    def chunk(name: bytes, body: bytes) -> bytes:
        return wav + name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)

    def id3(size: int, body: bytes) -> bytes:
        return b"ID3\x04\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + body

    laughs = '<!DOCTYPE b [<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {chr(98 + n)} "{("&" + chr(97 + n) + ";") * 10}">' for n in range(9)
    )
    laughs += "]><BWFXML><NOTE>&j;</NOTE></BWFXML>"
    outside = '<!DOCTYPE b [<!ENTITY a SYSTEM "file:///etc/passwd">]><BWFXML><NOTE>&a;</NOTE></BWFXML>'
    deep = "<a>" * 100_000
    made = {
        "ixml-laughs.wav": chunk(b"iXML", laughs.encode()),
        "ixml-laughs-utf16.wav": chunk(b"iXML", laughs.encode("utf-16")),
        "ixml-outside-utf16.wav": chunk(b"iXML", outside.encode("utf-16")),
        "ixml-deep.wav": chunk(b"iXML", deep.encode()),
        "ixml-noise.wav": chunk(b"iXML", chance.randbytes(5000)),
        "bext-noise.wav": chunk(b"bext", chance.randbytes(900)),
        "bext-9s.wav": chunk(b"bext", b"9" * 900),
        "list-noise.wav": chunk(b"LIST", b"INFO" + chance.randbytes(5000)),
        "id3-in-wav-noise.wav": chunk(b"id3 ", id3(5000, chance.randbytes(5000))),
        "id3-of-256-mb.mp3": id3(2**28 - 1, b"") + mp3,
        "id3-noise.mp3": id3(2000, chance.randbytes(2000)) + mp3,
        "id3-huge-frame.mp3": id3(30, b"TIT2\x7f\x7f\x7f\x7f\0\0" + bytes(20)) + mp3,
        "apic-huge.mp3": id3(30, b"APIC\x7f\x7f\x7f\x7f\0\0" + bytes(20)) + mp3,
        "id3-300-times.mp3": id3(0, b"") * 300 + mp3,
    }
    for name, content in made.items():
        spoils_the_way = "256-mb" in name
        allowed = BROKEN | {"unknown", INDEXED} if spoils_the_way else frozenset({INDEXED})
        yield _file(name, "tags", allowed, seconds=(0.3, 2.2)), content
    comment = struct.pack("<I", 2**32 - 1) + b"x"
    count = struct.pack("<I", 0) + struct.pack("<I", 2**32 - 1)
    for name, body in (("vendor", comment), ("count", count)):
        block = bytes([4]) + len(body).to_bytes(3, "big") + body
        content = (
            flac[:42] + block + flac[42:] if flac[4] & 0x80 else flac[:4] + flac[4:42] + block + flac[42:]
        )
        yield _file(f"flac-comment-{name}.flac", f"a comment's {name} of 4 GB", BROKEN | {INDEXED}), content
