"""What a file says of itself: Broadcast Wave, iXML, RIFF INFO, ID3, APE tags, Vorbis comments, MP4, ASF, AIFF chunks.

A tag is a courtesy of whoever made the file. One that is broken, hostile or of another encoding is passed by, in whole
or in part; it never fails a file. What is read is bounded, in bytes and in characters.
"""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

_MOST_CHUNKS = 2_000
_MOST_CHUNK_BYTES = 1 << 20
_MOST_ID3_BYTES = 32 << 20  # with its pictures
_MOST_FIELDS, _MOST_VALUE, _MOST_LETTERS = 200, 2_000, 10_000
_DAY_S = 86_400

_INFO = {
    b"INAM": "title", b"IART": "artist", b"ICMT": "comment", b"IKEY": "keywords", b"ISBJ": "subject", b"IGNR": "genre",
    b"IPRD": "album", b"ICRD": "date", b"ICOP": "copyright", b"IENG": "engineer", b"ITCH": "technician",
    b"ISRC": "source", b"IARL": "archive", b"TAPE": "tape", b"ICMS": "commissioned", b"IMED": "medium",
}  # fmt: skip
_AIFF = {b"NAME": "title", b"AUTH": "artist", b"(c) ": "copyright", b"ANNO": "comment"}
_TINYTAG = {"albumartist": "album artist", "year": "date"}
_APE = {"record date": "date", "record location": "location"}
_APE_FOOTER = struct.Struct("<8sIII12s")  # mark, version, bytes, items, flags and unused
_MOST_APE_KEY, _ID3V1_BYTES = 256, 128
_IXML = {
    "PROJECT": "project", "SCENE": "scene", "TAKE": "take", "TAPE": "tape", "NOTE": "note", "FAMILY_NAME": "family",
    "BWF_DESCRIPTION": "description", "BWF_ORIGINATOR": "originator", "CATEGORY": "category",
    "SUBCATEGORY": "subcategory", "CATID": "category", "USERCATEGORY": "category", "FXNAME": "title",
    "KEYWORDS": "keywords", "LIBRARY": "album", "LOCATION": "location", "LOCATION_NAME": "location",
    "MICROPHONE": "microphone", "MICTYPE": "microphone", "CREATORID": "artist", "SHOW": "show", "USER": "note",
    "DESCRIPTION": "description", "EPISODE": "episode",
}  # fmt: skip
# Written by programs for programs.
_SILENT_KEYS = re.compile(
    r"software|replaygain|musicbrainz|acoustid|encod|coding|cddb|^itun|^tool|gapless|picture|cover|^waveformat|checksum|umid"
)


@dataclass(frozen=True)
class FileTags:
    """What a file says of itself.

    Attributes:
        fields: Names in lower case, as "title", "scene", "take", and their texts, each pair once.
        bit_depth: Bits of a sample, where samples are stored as such; None of a lossy file.
        clock_s: Seconds after midnight at which the recording began, by a Broadcast Wave file's time reference, or else
            by its time of origination.
        date: The day of origination, ISO 8601.
    """

    fields: tuple[tuple[str, str], ...] = ()
    bit_depth: int | None = None
    clock_s: float | None = None
    date: str | None = None


def read_tags(path: str | os.PathLike[str]) -> FileTags:
    """The tags of a file; what cannot be read of them is left out."""
    from soundseek.audio.decode import (
        pcm_bits,
    )  # and with it libsndfile, which facts of a library do not need

    name = os.fspath(path)
    found = _Found()
    with suppress(OSError), Path(name).open("rb") as file:
        head = file.read(12)
        kind = head[:4], head[8:]
        if kind[0] in (b"RIFF", b"RF64", b"BW64") and kind[1] == b"WAVE":
            _read_wave(file, found)
        elif kind[0] == b"FORM" and kind[1] in (b"AIFF", b"AIFC"):
            _read_aiff(file, found)
        else:
            file.seek(0)
            _read_with_tinytag(file, found)
            _attempt(lambda: _read_ape(file, found))
    return FileTags(found.fields(), pcm_bits(name), found.clock_s, found.date)


class _Found:
    """What has been read of one file so far."""

    def __init__(self) -> None:
        self.clock_s: float | None = None
        self.date: str | None = None
        self._fields: dict[tuple[str, str], None] = {}
        self._letters = 0

    def add(self, key: str, value: object) -> None:
        """Take in a text, without what no person reads."""
        text = " ".join(_letters(str(value)).split())[:_MOST_VALUE]
        name = " ".join(_letters(key).lower().replace("_", " ").split())[:60]
        is_new = bool(text and name) and (name, text) not in self._fields
        has_room = len(self._fields) < _MOST_FIELDS and self._letters + len(text) <= _MOST_LETTERS
        if is_new and has_room and not _SILENT_KEYS.search(name):
            self._fields[name, text] = None
            self._letters += len(text)

    def fields(self) -> tuple[tuple[str, str], ...]:
        return tuple(self._fields)


def _letters(text: str) -> str:
    """A text without control characters and halves of letters."""
    plain = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(letter if letter.isprintable() else " " for letter in plain)


def _decoded(raw: bytes) -> str:
    """Bytes up to their first zero: UTF-8, which programs write although the standards say ASCII, or Latin-1."""
    text = raw.split(b"\0", 1)[0]
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _attempt(step: Callable[[], object]) -> None:
    """Do one step of reading; what it cannot read is not there.

    A library that reads tags meets whatever bytes there are, and its own bugs with them: any exception means no tag.
    """
    with suppress(Exception):
        step()


# --- Chunks: RIFF, RF64, AIFF -------------------------------------------------------------------------------------


def _chunks(file: BinaryIO, order: str) -> Iterator[tuple[bytes, int]]:
    """Name and size of each chunk behind the first twelve bytes; the file stands at the chunk's content.

    Args:
        file: Open for reading.
        order: "<" or ">", the byte order of sizes.
    """
    end = file.seek(0, os.SEEK_END)
    at, long_data = 12, None
    for _ in range(_MOST_CHUNKS):
        if at + 8 > end:
            return
        file.seek(at)
        name, size = struct.unpack(f"{order}4sI", file.read(8))
        if name == b"ds64" and end - at >= 24:
            (long_data,) = struct.unpack("<8xQ", file.read(16))
            file.seek(at + 8)
        if name == b"data" and size == 0xFFFFFFFF and long_data is not None:
            size = long_data
        yield name, min(size, end - at - 8)
        at += 8 + size + size % 2


def _read_wave(file: BinaryIO, found: _Found) -> None:
    rate_hz, bext = 0, b""
    for name, size in _chunks(file, "<"):
        if size > (_MOST_ID3_BYTES if name.lower() == b"id3 " else _MOST_CHUNK_BYTES):
            continue
        if name == b"fmt " and size >= 16:
            (rate_hz,) = struct.unpack("<4xI", file.read(8))
        elif name == b"bext" and size >= 602:
            bext = file.read(size)
        elif name == b"iXML":
            body = file.read(size)
            _attempt(lambda body=body: _read_ixml(body, found))  # type: ignore[misc]
        elif name == b"LIST":
            _read_info(file.read(size), found)
        elif name.lower() == b"id3 ":
            _read_with_tinytag(io.BytesIO(file.read(size)), found)
    if bext:
        _attempt(lambda: _read_bext(bext, rate_hz, found))


def _read_info(body: bytes, found: _Found) -> None:
    at = 4
    while body[:4] == b"INFO" and at + 8 <= len(body):
        name, size = struct.unpack_from("<4sI", body, at)
        if name in _INFO:
            found.add(_INFO[name], _decoded(body[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2


def _read_bext(body: bytes, rate_hz: int, found: _Found) -> None:
    """EBU Tech 3285."""
    from wavinfo.wave_bext_reader import WavBextReader

    # Latin-1 reads any byte, so that one letter that is no ASCII does not cost the whole chunk.
    bext = WavBextReader(body, "latin_1")
    for key, text in (
        ("description", bext.description),
        ("originator", bext.originator),
        ("reference", bext.originator_ref),
        ("date", bext.originator_date),
    ):
        found.add(key, _decoded(text.encode("latin_1")))
    date = re.sub(r"[^0-9]", "-", bext.originator_date)
    with suppress(ValueError):
        if datetime.strptime(date, "%Y-%m-%d").year > 1900:
            found.date = date
    # "description" of many recorders: sSCENE=12 and the like, a line each.
    for key, value in re.findall(r"^s?([A-Z][A-Z_]{2,20})=(.+)$", bext.description, re.MULTILINE):
        if key in _IXML:
            found.add(_IXML[key], value)
    time = re.fullmatch(r"([01]\d|2[0-3])[^0-9]([0-5]\d)[^0-9]([0-5]\d)", bext.originator_time)
    if bext.time_reference and rate_hz:
        clock_s = bext.time_reference / rate_hz
        # Edits carry a place on a time line, which may lie behind midnight; a week is no time of day.
        found.clock_s = clock_s if clock_s < 7 * _DAY_S else None
    elif time is not None and found.date is not None:
        hours, minutes, seconds = map(int, time.groups())
        found.clock_s = float(hours * 3600 + minutes * 60 + seconds)


def _read_ixml(body: bytes, found: _Found) -> None:
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        return  # iXML has none; entities can grow without end, or name files
    from wavinfo.wave_ixml_reader import WavIXMLFormat

    root = WavIXMLFormat(body.rstrip(b"\0")).raw_xml.getroot()
    for element in root.iter():
        if not isinstance(element.tag, str) or len(element) or not (element.text or "").strip():
            continue
        tag = element.tag.rsplit("}", 1)[-1].upper()
        parent = element.getparent()
        if tag == "NAME" and parent is not None and parent.tag == "TRACK":
            found.add("track", element.text)
        elif tag in _IXML:
            found.add(_IXML[tag], element.text)


def _read_aiff(file: BinaryIO, found: _Found) -> None:
    for name, size in _chunks(file, ">"):
        if name in _AIFF and size <= _MOST_CHUNK_BYTES:
            found.add(_AIFF[name], _decoded(file.read(size)))
        elif name == b"ID3 " and size <= _MOST_ID3_BYTES:
            _read_with_tinytag(io.BytesIO(file.read(size)), found)


# --- ID3, and all others ------------------------------------------------------------------------------------------


def _read_with_tinytag(file: BinaryIO, found: _Found) -> None:
    """ID3, Vorbis comments, MP4 and ASF: of a file, or of a chunk that holds nothing but ID3."""
    head = file.read(10)
    if head[:3] == b"ID3" and len(head) == 10:
        num_bytes = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        if num_bytes > _MOST_ID3_BYTES:
            return

    def read() -> None:
        from tinytag import TinyTag

        file.seek(0)
        tags = TinyTag.get(file_obj=file, duration=False).as_dict()
        for key in sorted(tags):
            values = tags[key]
            for value in values if isinstance(values, list) else []:  # what is no list is a fact of the sound
                found.add(_TINYTAG.get(key, key), value)

    _attempt(read)


# --- APE ----------------------------------------------------------------------------------------------------------


def _read_ape(file: BinaryIO, found: _Found) -> None:
    """APEv1 and v2, of Monkey's Audio, WavPack, Musepack, OptimFROG, TAK and some MP3: at the end, or before an ID3v1.

    Read here: `mutagen`, the library that knows them, is under the GPL.
    """
    end = file.seek(0, os.SEEK_END)
    for behind in (0, _ID3V1_BYTES):
        footer_at = end - behind - _APE_FOOTER.size
        if footer_at < 0:
            return
        file.seek(footer_at)
        mark, version, num_bytes, num_items, _ = _APE_FOOTER.unpack(file.read(_APE_FOOTER.size))
        if mark == b"APETAGEX":
            break
    else:
        return
    at = footer_at + _APE_FOOTER.size - num_bytes  # the size counts items and footer
    if at < 0 or num_bytes > _MOST_ID3_BYTES:
        return
    for _ in range(min(num_items, _MOST_FIELDS)):
        file.seek(at)
        head = file.read(8 + _MOST_APE_KEY)
        size, flags = struct.unpack_from("<II", head)
        key, zero, _ = head[8:].partition(b"\0")
        at += 8 + len(key) + 1
        if not zero or at + size > footer_at:
            return
        is_text = (
            version < 2000 or flags & 6 == 0
        )  # or bytes, as a cover, or the address of something elsewhere
        if is_text and size <= _MOST_CHUNK_BYTES:
            file.seek(at)
            name = key.decode("ascii", "replace").lower()
            for value in file.read(size).split(b"\0"):
                found.add(_TINYTAG.get(name, _APE.get(name, name)), _decoded(value))
        at += size
