"""A copy of a sound file with keywords in it: the bytes of the audio stay what they are.

A RIFF INFO list in WAV and RF64, Vorbis comments in FLAC, ID3 in MP3 and AIFF, written here: whatever else the file
holds is copied byte by byte.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from soundseek._files import replacing
from soundseek.errors import DecodeError, StorageError

SEPARATOR = "; "
_UNKNOWN_SIZE = 0xFFFFFFFF
_MOST_INFO_BYTES = 1 << 20


@dataclass(frozen=True)
class TagsToWrite:
    """What a copy says.

    Attributes:
        keywords: Added to those that the file has.
        category: Of UCS; None leaves it as it is.
        subcategory: Of UCS.
        cat_id: Of UCS.
    """

    keywords: tuple[str, ...]
    category: str | None = None
    subcategory: str | None = None
    cat_id: str | None = None

    @property
    def named(self) -> dict[str, str]:
        """The fields of UCS by the names that sound libraries give them."""
        fields = {"CATEGORY": self.category, "SUBCATEGORY": self.subcategory, "CATID": self.cat_id}
        return {name: value for name, value in fields.items() if value}


def write_tagged_copy(source: Path, target: Path, tags: TagsToWrite) -> None:
    """Write a copy with tags, whole or not at all.

    Raises:
        StorageError: There is a file at `target` already, or it cannot be written.
        DecodeError: The format of `source` has no place for tags that soundseek can write.
    """
    if target.exists():
        raise StorageError(f"{target} is there already and stays as it is; remove it, or name another folder")
    with replacing(target) as partial:
        shutil.copyfile(source, partial)
        with partial.open("r+b") as file:
            head = file.read(12)
            if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:] == b"WAVE":
                _tag_wave(file, source, tags)
                return
        write = _writer(head)
        if write is None:
            raise DecodeError(
                source, "tags can be written into WAV, FLAC, MP3 and AIFF alone, so it has no copy with tags"
            )
        partial.write_bytes(write(source.read_bytes(), source, tags))


def _writer(head: bytes) -> Callable[[bytes, Path, TagsToWrite], bytes] | None:
    """What rewrites a file that begins like this."""
    if head[:4] == b"fLaC":
        return _tag_flac
    if head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
        return _tag_aiff
    # Layer III: eleven set bits, and no other MPEG layer.
    is_frame = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2
    return _tag_mp3 if head[:3] == b"ID3" or is_frame else None


# --- WAV ----------------------------------------------------------------------------------------------------------


def _tag_wave(file: BinaryIO, source: Path, tags: TagsToWrite) -> None:
    """Put the INFO list at the end, with what an earlier one says; the earlier one becomes filling (`JUNK`)."""
    size = file.seek(0, 2)
    known, earlier, end, ds64_at = _info_of(file, size)
    words = [*_split(known.pop(b"IKEY", b"").decode("utf-8", "replace")), *tags.keywords]
    known[b"IKEY"] = SEPARATOR.join(dict.fromkeys(words)).encode()
    body = b"INFO" + b"".join(_chunk(name, value + b"\0") for name, value in known.items())
    file.seek(end)
    if end > size:  # the last chunk lacks its filling byte
        file.seek(size)
        file.write(b"\0" * (end - size))
    file.write(_chunk(b"LIST", body))
    file.truncate()
    riff_bytes = file.tell() - 8
    for at in earlier:
        file.seek(at)
        file.write(b"JUNK")
    if ds64_at is not None:
        file.seek(ds64_at)
        file.write(struct.pack("<Q", riff_bytes))
    elif riff_bytes >= _UNKNOWN_SIZE:
        raise DecodeError(source, "no room for tags: a WAV file holds at most 4 GiB; make it an RF64 file")
    else:
        file.seek(4)
        file.write(struct.pack("<I", riff_bytes))


def _info_of(file: BinaryIO, size: int) -> tuple[dict[bytes, bytes], list[int], int, int | None]:
    """The INFO entries, where their lists begin, where the last chunk ends, and where an RF64 keeps its length."""
    known: dict[bytes, bytes] = {}
    earlier: list[int] = []
    at, ds64_at, data_bytes = 12, None, 0
    while at + 8 <= size:
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8))
        if name == b"ds64":
            ds64_at = at + 8
            (data_bytes,) = struct.unpack("<8xQ", file.read(16))
        if length == _UNKNOWN_SIZE:  # of a recorder that was switched off, the rest is sound
            length = data_bytes if name == b"data" and data_bytes else size - at - 8
        if name == b"LIST" and length <= _MOST_INFO_BYTES:
            file.seek(at + 8)
            body = file.read(length)
            if body[:4] == b"INFO":
                known |= _entries(body[4:])
                earlier.append(at)
        if at + 8 + length > size:
            return known, earlier, size + size % 2, ds64_at
        at += 8 + length + length % 2
    return known, earlier, at, ds64_at


def _entries(body: bytes) -> dict[bytes, bytes]:
    entries, at = {}, 0
    while at + 8 <= len(body):
        name, length = struct.unpack_from("<4sI", body, at)
        entries[name] = body[at + 8 : at + 8 + length].split(b"\0")[0]
        at += 8 + length + length % 2
    return entries


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack("<4sI", name, len(body)) + body + b"\0" * (len(body) % 2)


# --- FLAC ---------------------------------------------------------------------------------------------------------

_COMMENTS, _LAST = 4, 0x80


def _tag_flac(raw: bytes, source: Path, tags: TagsToWrite) -> bytes:
    """The same file with another block of Vorbis comments; all other blocks and every frame are copied."""
    blocks, at, is_last = [], 4, False
    while not is_last:
        if at + 4 > len(raw):
            raise DecodeError(source, "its FLAC blocks are damaged, so no labels are written")
        is_last, kind = bool(raw[at] & _LAST), raw[at] & ~_LAST
        length = int.from_bytes(raw[at + 1 : at + 4], "big")
        blocks.append((kind, raw[at + 4 : at + 4 + length]))
        at += 4 + length
    vendor = b"soundseek"
    comments: list[str] = []
    for kind, body in blocks:
        if kind == _COMMENTS:
            vendor, comments = _read_comments(body)
    earlier = [text.partition("=")[2] for text in comments if text.upper().startswith("KEYWORDS=")]
    words = dict.fromkeys([*(word for text in earlier for word in _split(text)), *tags.keywords])
    replaced = ("KEYWORDS=", *(f"{name}=" for name in tags.named))
    comments = [text for text in comments if not text.upper().startswith(replaced)]
    comments += [f"KEYWORDS={word}" for word in words]
    comments += [f"{name}={value}" for name, value in tags.named.items()]
    body = _counted(vendor) + struct.pack("<I", len(comments))
    body += b"".join(_counted(text.encode("utf-8", "surrogateescape")) for text in comments)
    if len(body) >= 1 << 24:
        raise DecodeError(source, "its comments fill a FLAC block already, so no labels are written")
    kept = [block for block in blocks if block[0] != _COMMENTS]
    written = [kept[0], (_COMMENTS, body), *kept[1:]]
    out = bytearray(b"fLaC")
    for number, (kind, content) in enumerate(written):
        out.append(kind | (_LAST if number == len(written) - 1 else 0))
        out += len(content).to_bytes(3, "big") + content
    return bytes(out) + raw[at:]


def _read_comments(body: bytes) -> tuple[bytes, list[str]]:
    def text(at: int) -> tuple[bytes, int]:
        (length,) = struct.unpack_from("<I", body, at)
        return body[at + 4 : at + 4 + length], at + 4 + length

    vendor, at = text(0)
    (number,) = struct.unpack_from("<I", body, at)
    comments, at = [], at + 4
    for _ in range(number):
        comment, at = text(at)
        comments.append(comment.decode("utf-8", "surrogateescape"))
    return vendor, comments


def _counted(text: bytes) -> bytes:
    return struct.pack("<I", len(text)) + text


# --- MP3 and AIFF: ID3 --------------------------------------------------------------------------------------------

_USER_TEXT = b"TXXX"


def _tag_mp3(raw: bytes, source: Path, tags: TagsToWrite) -> bytes:
    """The same frames behind another ID3 tag."""
    end = 0
    if raw[:3] == b"ID3":
        end = 10 + _synchsafe(raw[6:10])
    return _id3(raw[:end], source, tags) + raw[end:]


def _tag_aiff(raw: bytes, source: Path, tags: TagsToWrite) -> bytes:
    """The same chunks with an ID3 tag behind them; an earlier one becomes filling."""
    out, at, earlier = bytearray(raw), 12, b""
    while at + 8 <= len(raw):
        name, length = struct.unpack_from(">4sI", raw, at)
        if name == b"ID3 ":
            earlier, out[at : at + 4] = raw[at + 8 : at + 8 + length], b"JUNK"
        at += 8 + length + length % 2
    out = out[:at] + b"\0" * (at - len(out))
    tag = _id3(earlier, source, tags)
    out += struct.pack(">4sI", b"ID3 ", len(tag)) + tag + b"\0" * (len(tag) % 2)
    out[4:8] = struct.pack(">I", len(out) - 8)
    return bytes(out)


def _id3(earlier: bytes, source: Path, tags: TagsToWrite) -> bytes:
    """A tag with the frames of an earlier one, of the same version, and with the labels as user texts."""
    version, frames, words = 3, b"", []
    if earlier:
        version, flags = earlier[3], earlier[5]
        if version not in (3, 4) or flags:
            raise DecodeError(
                source, f"it has an ID3 tag of a kind that is not rewritten (2.{version}), so no labels are"
            )
        at, end = 10, 10 + _synchsafe(earlier[6:10])
        while at + 10 <= end and earlier[at : at + 1].strip(b"\0"):
            size = earlier[at + 4 : at + 8]
            length = _synchsafe(size) if version == 4 else int.from_bytes(size, "big")
            name, value = _user_text(earlier[at : at + 10 + length])
            if name == "KEYWORDS":
                words += _split(value)
            elif name not in tags.named:
                frames += earlier[at : at + 10 + length]
            at += 10 + length
    keywords = SEPARATOR.join(dict.fromkeys([*words, *tags.keywords]))
    for name, value in {"KEYWORDS": keywords, **tags.named}.items():
        body = b"\1" + f"\ufeff{name}\0\ufeff{value}".encode("utf-16-le")
        size = _as_synchsafe(len(body)) if version == 4 else len(body).to_bytes(4, "big")
        frames += _USER_TEXT + size + b"\0\0" + body
    return b"ID3" + bytes([version, 0, 0]) + _as_synchsafe(len(frames)) + frames


def _user_text(frame: bytes) -> tuple[str, str]:
    """Name and value of a user text, in any of ID3's encodings; nothing of other frames."""
    if frame[:4] != _USER_TEXT or len(frame) < 12:
        return "", ""
    encoding = {0: "latin-1", 1: "utf-16", 2: "utf-16-be", 3: "utf-8"}.get(frame[10], "latin-1")
    width = 2 if frame[10] in (1, 2) else 1
    body = frame[11:]
    cut = next((at for at in range(0, len(body), width) if body[at : at + width] == b"\0" * width), len(body))
    name, value = body[:cut], body[cut + width :]
    return name.decode(encoding, "replace"), value.decode(encoding, "replace").rstrip("\0")


def _synchsafe(size: bytes) -> int:
    return size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3]


def _as_synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def _split(text: str) -> list[str]:
    return [word.strip() for word in text.split(";") if word.strip()]
