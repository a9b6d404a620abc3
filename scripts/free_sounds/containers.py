"""The sound files of an unpacked package, those inside game archives, sound fonts and Doom WADs included."""

from __future__ import annotations

import io
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import soundfile

MODULE_EXTENSIONS = frozenset({".mod", ".xm", ".it", ".s3m"})
AUDIO_EXTENSIONS = MODULE_EXTENSIONS | frozenset({
    ".wav", ".ogg", ".oga", ".opus", ".flac", ".mp3", ".au", ".snd", ".aif", ".aiff", ".aifc", ".m4a", ".spx", ".voc",
    ".g722",
})  # fmt: skip
ZIP_EXTENSIONS = frozenset({".zip", ".pk3", ".pk4", ".dpk", ".wz", ".sb2", ".nvx"})
TAR_EXTENSIONS = frozenset({".h2drumkit", ".gig", ".tar", ".tgz", ".gz", ".xz", ".bz2"})
MAX_MEMBER_BYTES = 200_000_000  # more than any sound here; an archive that claims more is damaged
MIN_FONT_SAMPLE_S = 0.5  # shorter samples of a sound font are drum clicks and loops for a synthesiser

Finding = tuple[Path, str]
"""A decodable file, and its name inside the package."""


def find_sounds(root: Path, extracted: Path, complain: Callable[[str], None]) -> Iterator[Finding]:
    """The sounds under `root` in the order of their names; members of archives are written to `extracted`.

    Args:
        root: The unpacked package.
        extracted: An empty folder for what lies inside archives.
        complain: Called with one line for an archive that cannot be read; the others go on.
    """
    num_extracted = 0
    for path in sorted(root.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        name, extension = path.relative_to(root).as_posix(), path.suffix.lower()
        if extension in AUDIO_EXTENSIONS:
            yield path, name
            continue
        unpack = _UNPACKERS.get(extension)
        if unpack is None:
            continue
        try:
            for member, content in unpack(path):
                copy = extracted / f"{num_extracted}{PurePosixPath(member).suffix.lower()}"
                copy.write_bytes(content)
                num_extracted += 1
                yield copy, f"{name}/{member}"
        except (
            OSError,
            ValueError,
            KeyError,
            EOFError,
            struct.error,
            tarfile.TarError,
            zipfile.BadZipFile,
        ) as error:
            complain(f"{name}: {error}")


Member = tuple[str, bytes]


def _is_audio(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in AUDIO_EXTENSIONS


def _zip(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if _is_audio(member.filename) and member.file_size < MAX_MEMBER_BYTES:
                yield member.filename, archive.read(member)


def _tar(path: Path) -> Iterator[Member]:
    if not tarfile.is_tarfile(path):
        return
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and _is_audio(member.name) and member.size < MAX_MEMBER_BYTES:
                file = archive.extractfile(member)
                if file is not None:
                    yield member.name, file.read()


def _quake_pak(path: Path) -> Iterator[Member]:
    """Quake's PAK: "PACK", then offset and size of a table of (56 bytes of name, offset, size)."""
    with path.open("rb") as file:
        if file.read(4) != b"PACK":
            return
        table_at, table_size = struct.unpack("<II", file.read(8))
        file.seek(table_at)
        for raw, offset, size in struct.iter_unpack("<56sII", file.read(table_size)):
            name = raw.split(b"\0")[0].decode("latin-1")
            if _is_audio(name) and size < MAX_MEMBER_BYTES:
                file.seek(offset)
                yield name, file.read(size)


def _doom_wad(path: Path) -> Iterator[Member]:
    """Doom's WAD: lumps "DS..." are sounds (format 3, rate, count, 8-bit samples); music may be a whole Ogg or mp3."""
    data = path.read_bytes()
    if data[:4] not in (b"IWAD", b"PWAD"):
        return
    count, table_at = struct.unpack_from("<II", data, 4)
    for number in range(count):
        offset, size, raw = struct.unpack_from("<II8s", data, table_at + 16 * number)
        name, lump = raw.split(b"\0")[0].decode("latin-1"), data[offset : offset + size]
        if lump[:4] == b"OggS":
            yield f"{name}.ogg", lump
        elif lump[:4] == b"RIFF":
            yield f"{name}.wav", lump
        elif name.startswith("DS") and len(lump) > 8:
            kind, rate_hz, num_samples = struct.unpack_from("<HHI", lump)
            if kind == 3 and rate_hz >= 4000:
                samples = np.frombuffer(lump[8 : 8 + num_samples], np.uint8)
                yield f"{name}.wav", _wav((samples.astype(np.int16) - 128) * 256, rate_hz)


def _riff_in_cat(path: Path) -> Iterator[Member]:
    """OpenTTD's sound set: whole WAV files one behind the other."""
    data = path.read_bytes()
    start, number = data.find(b"RIFF"), 0
    while start >= 0:
        size = 8 + struct.unpack_from("<I", data, start + 4)[0]
        if data[start + 8 : start + 12] == b"WAVE":
            yield f"{number:03d}.wav", data[start : start + size]
            number += 1
        start = data.find(b"RIFF", start + 4)


def _qt_resources(path: Path) -> Iterator[Member]:
    """Qt's rcc: its files one behind the other, each behind its size in four bytes; Ogg is not compressed again."""
    data, begin = path.read_bytes(), b"OggS\0\x02"
    start, number = data.find(begin, 4), 0
    while start >= 0:
        size = struct.unpack_from(">I", data, start - 4)[0]
        is_whole = 0 < size <= len(data) - start
        if is_whole:
            yield f"{number:04d}.ogg", data[start : start + size]
            number += 1
        start = data.find(begin, start + (size if is_whole else 1))


def _sound_font(path: Path) -> Iterator[Member]:
    """SoundFont 2: 16-bit samples in `smpl`, their names, ends and rates in `shdr`; a .sf3 has Ogg Vorbis there."""
    data = path.read_bytes()
    samples_at, _ = _riff_chunk(data, b"smpl")
    headers_at, headers_size = _riff_chunk(data, b"shdr")
    headers = data[headers_at : headers_at + headers_size]
    for number, header in enumerate(struct.iter_unpack("<20sIIIIIBbHH", headers)):
        raw, start, end, rate_hz, kind = header[0], header[1], header[2], header[5], header[9]
        title = raw.split(b"\0")[0].decode("latin-1").strip().replace("/", "_")
        name = f"{number:04d} {title}"
        if kind & 0x10:
            yield f"{name}.ogg", data[samples_at + start : samples_at + end]
        elif not kind & 0x8000 and end - start >= MIN_FONT_SAMPLE_S * rate_hz > 0:
            samples = np.frombuffer(data[samples_at + 2 * start : samples_at + 2 * end], "<i2")
            yield f"{name}.wav", _wav(samples, rate_hz)


def _riff_chunk(data: bytes, name: bytes) -> tuple[int, int]:
    """Where the content of a chunk of a sound font starts, and its size; lists are entered."""
    position = 12
    while position + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, position)
        if kind == name:
            return position + 8, size
        position += 12 if kind == b"LIST" else 8 + size + size % 2
    raise ValueError(f"no chunk {name.decode()!r}: not a SoundFont")


def _wav(samples: npt.NDArray[np.int16], rate_hz: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format="WAV", subtype="PCM_16")
    return file.getvalue()


_UNPACKERS: dict[str, Callable[[Path], Iterator[Member]]] = {
    **dict.fromkeys(ZIP_EXTENSIONS, _zip),
    **dict.fromkeys(TAR_EXTENSIONS, _tar),
    ".pak": _quake_pak,
    ".wad": _doom_wad,
    ".cat": _riff_in_cat,
    ".rcc": _qt_resources,
    ".sf2": _sound_font,
    ".sf3": _sound_font,
}


def fresh_folder(path: Path) -> Path:
    """`path` as an empty folder."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path
