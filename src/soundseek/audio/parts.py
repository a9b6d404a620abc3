"""The bytes of a file -> the recordings in it, each under a header that is true.

libsndfile believes headers: a wav above 4 GB whose sizes have wrapped is a short sound to it, one that was never
finalised an empty one, and of two files that were joined it reads the first. Here the chunks of wav, RF64, BW64, W64,
AIFF, 8SVX, AU and CAF, the beginnings of joined Ogg and FLAC streams, and the frames of MPEG audio are compared with
the bytes that are there. What does not fit is read through a `PartFile`: a new header before the bytes of the sound.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from soundseek.audio import files, mp3
from soundseek.audio.beginnings import kind_at, next_beginning
from soundseek.audio.true_headers import WRAP, ChunkForm, bytes_a_second, header_of

Extents = tuple[tuple[int, int], ...]
"""`(start, end)` byte ranges of a file, in order."""

_UNKNOWN_32 = 0x7FFFF000  # programs that stream write the largest size they can for "not known yet"
_UNKNOWN_64 = 1 << 62
_MAX_CHUNKS = 10_000
_MAX_DESCRIPTION_BYTES = 1 << 24  # a table of packets, of a day of sound
_TAIL_BYTES = 1 << 20  # chunks behind a sound are looked for this far from the end
_FEWEST_S = 0.1  # fewer bytes than this lasts, behind a sound, are leftovers and no sound
# A FLAC is read as it stands from here on: quicker, but a count that is too small is noticed late.
_SMALL_BYTES = 1 << 20

# What programs write behind the sound. Each name is trusted even where its size is not.
_CHUNKS_BEHIND = frozenset({
    b"LIST", b"bext", b"iXML", b"axml", b"aXML", b"chna", b"id3 ", b"ID3 ", b"PEAK", b"cue ", b"smpl", b"inst", b"fact",
    b"_PMX", b"cart", b"JUNK", b"junk", b"FLLR", b"PAD ", b"minf", b"elm1", b"regn", b"umid", b"DGDA", b"levl", b"acid",
    b"strc", b"afsp", b"LGWV", b"MARK", b"INST", b"NAME", b"AUTH", b"(c) ", b"ANNO", b"COMT", b"APPL", b"AESD", b"MIDI",
    b"plst", b"labl", b"note", b"wavl", b"slnt", b"DISP", b"ResU", b"SyLp", b"Cr8r", b"muma", b"PrXP",
})  # fmt: skip
_TAGS_BEHIND = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"<?xpacket", b"<?xml", b"\0\0\0\0free")

# Recordings of other kinds begin with what might be the name of a chunk.
_FOREIGN = frozenset({b"OggS", b"fLaC", b"wvpk", b"TTA1", b"MAC ", b".snd", b"dns.", b"#!AM", b"MPCK", b"tBaK", b"DSD ",
                      b"FRM8", b".RMF", b"ajkg", b"Crea"})  # fmt: skip
_OGG_AUDIO = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"fLaC", b"Speex   ")
_STREAMINFOS = (b"\x00\x00\x00\x22", b"\x80\x00\x00\x22")
_W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
_W64_TAIL = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"


@dataclass(frozen=True)
class Part:
    """One recording in a file.

    Attributes:
        format: What `AudioInfo.format` calls its container; "" where libsndfile shall say.
        header: The bytes that a decoder reads first.
        extents: The bytes of the file that follow.
        as_it_stands: The whole file is this recording and its own header is true.
        stated_share: The length that the file's own header states, as a multiple of the length that is there: 2 for a
            file of which half is missing, never less than 1.
        stated_frames: The length that the file's own header states, in samples a channel, where `header` states none.
        num_tracks: Recordings in it that sound at once; libsndfile reads the first of them.
        most_frames: The samples a channel that the bytes hold, where libsndfile makes up more; None where it does not.
    """

    format: str
    header: bytes
    extents: Extents
    as_it_stands: bool = False
    stated_share: float = 1.0
    stated_frames: int | None = None
    most_frames: int | None = None
    num_tracks: int = 1


class PartFile(io.RawIOBase):
    """A part as a file that can be read and sought: its header, then its bytes.

    Attributes:
        error: What went wrong while reading; libsndfile passes on no exception.
    """

    def __init__(self, file: BinaryIO, part: Part) -> None:
        super().__init__()
        self.error: OSError | None = None
        self._file = file
        self._header = part.header
        # (first byte here, first byte in the file, number of bytes)
        self._ranges: list[tuple[int, int, int]] = []
        size = len(part.header)
        for start, end in part.extents:
            self._ranges.append((size, start, end - start))
            size += end - start
        self._size = size
        self._position = 0

    def seekable(self) -> bool:
        """True."""
        return True

    def readable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Byte position, the header included."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move as any file does."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill `buffer`; the number of bytes, 0 at the end."""
        view = memoryview(buffer).cast("B")
        front = self._header[self._position : self._position + len(view)]
        view[: len(front)] = front
        filled = len(front)
        try:
            for first, start, length in self._ranges:
                inside = self._position + filled - first
                if filled < len(view) and 0 <= inside < length:
                    self._file.seek(start + inside)
                    read = self._file.readinto(view[filled : filled + length - inside])  # type: ignore[attr-defined]
                    filled += read
        except OSError as error:
            self.error = error
        self._position += filled
        return filled


def find_parts(file: BinaryIO, head: bytes, extension: str = "") -> list[Part]:
    """The recordings of an open file, in order; none if it is of a kind that is not looked into.

    Args:
        file: Open for reading; it is left at any position.
        head: Its first bytes.
        extension: Of its name, in lower case: MPEG audio may begin behind bytes of anything.
    """
    data = FileBytes(file)
    start = mp3.behind_id3(file)
    magic = head[start : start + 16] if start + 16 <= len(head) else data.at(start, 16)
    if magic[:4] in _FORMS:
        return list(_parts_of_chunks(data, start))
    if magic[:4] in (b".snd", b"dns."):
        return list(_parts_of_au(data, start))
    if magic[:4] == b"fLaC":
        return _parts_of_flac(data, start)
    if magic[:4] == b"OggS":
        return _parts_of_ogg(data, start)
    if magic[:4] == b"2BIT" or magic[:7] == b"NIST_1A" or magic.startswith(b"Creative Voice"):
        return _part_that_states_a_length(data, start)
    if extension in mp3.EXTENSIONS or mp3.is_frame(magic[:4]) or (start and not files.is_text(magic)):
        found = mp3.find_mp3_parts(file, start)
        return [
            Part("", part.header, part.extents, len(found) == 1 and part.as_it_stands(start, data.size))
            for part in found
        ]
    return []


class FileBytes:
    """Any bytes of a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, io.SEEK_END)

    def at(self, position: int, length: int) -> bytes:
        """Up to `length` bytes from a position on."""
        self._file.seek(position)
        return self._file.read(length)

    def find_all(self, pattern: bytes, start: int) -> Iterator[int]:
        """Every position of a pattern."""
        position = start
        while len(block := self.at(position, 1 << 18)) >= len(pattern):
            found = block.find(pattern)
            while found >= 0:
                yield position + found
                found = block.find(pattern, found + 1)
            position += len(block) - len(pattern) + 1

    def are_filler(self, start: int, end: int) -> bool:
        """Whether all bytes from start to end are 0, or all are 255, as those of erased flash memory."""
        filler = self.at(start, 1)
        if filler not in (b"\0", b"\xff"):
            return start >= end
        return not any(
            self.at(position, min(1 << 20, end - position)).strip(filler)
            for position in range(start, end, 1 << 20)
        )


# --- chunks: RIFF, RF64, BW64, RIFX, W64, FORM, CAF -------------------------------------------------------


@dataclass(frozen=True)
class _Layout:
    """How a container writes its chunks: an identifier, a size, and bytes that are padded to a multiple."""

    size: struct.Struct
    padded_to: int = 2
    id_bytes: int = 4
    counts_header: bool = False

    @property
    def header_bytes(self) -> int:
        return self.id_bytes + self.size.size

    def chunk(self, data: FileBytes, position: int) -> _Chunk | None:
        """The chunk that begins at a position, or None if none does."""
        head = data.at(position, self.header_bytes)
        if len(head) < self.header_bytes:
            return None
        name = head[:4]
        if name in _FOREIGN and kind_at(data.at, position) is not None:
            return None
        if not all(32 <= byte < 127 for byte in name) or (
            self.id_bytes == 16 and head[4:16] not in (_W64_TAIL, _W64_RIFF[4:])
        ):
            return None
        size: int = self.size.unpack_from(head, self.id_bytes)[0]
        if self.counts_header:
            size -= self.header_bytes
        return _Chunk(name, position + self.header_bytes, size)

    def behind(self, data: FileBytes, end: int) -> int:
        """Where the next chunk begins behind one that ends at `end`; some programs forget to pad."""
        padded = -(-end // self.padded_to) * self.padded_to
        if padded == end:
            return end
        if kind_at(data.at, end) is not None:
            return end
        unpadded_chunk, padded_chunk = self.chunk(data, end), self.chunk(data, padded)
        if unpadded_chunk is not None and (padded_chunk is None or unpadded_chunk.name in _KNOWN_CHUNKS):
            return end
        return padded

    def fits(self, data: FileBytes, position: int) -> bool:
        """Whether chunks, or nothing, lead from a position to the end of the file."""
        for _ in range(_MAX_CHUNKS):
            if position >= data.size or data.at(position, 12).startswith(_TAGS_BEHIND):
                return position <= data.size + self.padded_to
            chunk = self.chunk(data, position)
            if chunk is None:
                return data.size - position < self.header_bytes or kind_at(data.at, position) is not None
            if chunk.name in _CHUNKS_BEHIND or chunk.name in _FORMS:
                return True
            if chunk.size < 0 or chunk.start + chunk.size > data.size:
                return False
            position = self.behind(data, chunk.start + chunk.size)
        return False


@dataclass(frozen=True)
class _Chunk:
    name: bytes
    start: int  # of its body
    size: int  # as stated


_RIFF, _BIG = _Layout(struct.Struct("<I")), _Layout(struct.Struct(">I"))
_W64 = _Layout(struct.Struct("<q"), padded_to=8, id_bytes=16, counts_header=True)
_CAF = _Layout(struct.Struct(">q"), padded_to=1)
_FORMS = {
    b"RIFF": _RIFF,
    b"RF64": _RIFF,
    b"BW64": _RIFF,
    b"RIFX": _BIG,
    b"riff": _W64,
    b"FORM": _BIG,
    b"caff": _CAF,
}
_NAMES = {
    b"RIFF": "WAV", b"RIFX": "WAV", b"riff": "W64", b"caff": "CAF", b"AIFF": "AIFF", b"AIFC": "AIFF", b"8SVX": "SVX",
    b"16SV": "SVX",
}  # fmt: skip
_DESCRIPTIONS = (b"fmt ", b"ds64", b"COMM", b"VHDR", b"desc", b"kuki", b"pakt")
_SOUND_CHUNKS = (b"data", b"SSND", b"BODY")
_KNOWN_CHUNKS = _CHUNKS_BEHIND.union(_DESCRIPTIONS, _SOUND_CHUNKS)
_GSM_BLOCK_BYTES, _GSM_BLOCK_FRAMES = 65, 320


def behind_chunks(data: FileBytes, start: int) -> int:
    """The position behind the last of the RIFF, FORM, W64 and CAF files that follow each other from `start` on."""
    return _read_forms(data, start)[1]


def _read_forms(data: FileBytes, position: int) -> tuple[list[ChunkForm], int]:
    """Forms that follow each other, and the position behind them."""
    found: list[ChunkForm] = []
    while position < data.size and (magic := data.at(position, 4)) in _FORMS:
        form, behind = _read_form(data, position, magic)
        if form is None:
            break
        found.append(form)
        position = behind
    return found, position


def _parts_of_chunks(data: FileBytes, start: int) -> Iterator[Part]:
    found, _ = _read_forms(data, start)
    for form in found:
        num_bytes = sum(end - start for start, end in form.extents)
        header = header_of(form, num_bytes)
        if header is None:
            continue
        yield Part(
            _NAMES.get(form.kind if form.magic == b"FORM" else form.magic, form.magic.decode()),
            header,
            tuple(form.extents),
            as_it_stands=form.as_it_stands and len(found) == 1 and not start,
            stated_share=form.stated_share,
            most_frames=_frames_of_gsm(form, num_bytes),
        )


def _frames_of_gsm(form: ChunkForm, num_bytes: int) -> int | None:
    """The samples of a WAV in GSM 6.10, where libsndfile takes the byte that pads it for one more block; else None."""
    if form.kind != b"WAVE" or form.described[b"fmt "][:2] != b"\x31\0":
        return None
    return num_bytes // _GSM_BLOCK_BYTES * _GSM_BLOCK_FRAMES or None


def _read_form(data: FileBytes, position: int, magic: bytes) -> tuple[ChunkForm | None, int]:
    """The form at a position, and the position behind it; None if it is no sound."""
    layout = _FORMS[magic]
    form_at = position
    head = data.at(position, 40)
    if magic == b"caff":
        kind, position, form_size = b"caff", position + 8, 0
    elif magic == b"riff":
        kind, position, form_size = head[24:28].upper(), position + 40, int.from_bytes(head[16:24], "little")
    else:
        kind, position = head[8:12], position + 12
        form_size = layout.size.unpack_from(head.ljust(8, b"\0"), 4)[0] + 8
    if kind not in (b"WAVE", b"AIFF", b"AIFC", b"8SVX", b"16SV", b"caff"):
        return None, position
    form = ChunkForm(magic, kind, {}, [])
    for _ in range(_MAX_CHUNKS):
        chunk = layout.chunk(data, position)
        if chunk is None or (chunk.name in _FORMS and form.extents):
            break
        if chunk.name == b"ds64" and chunk.size >= 16 and magic != b"RIFF":
            form_size = (
                int.from_bytes(data.at(chunk.start, 8), "little") + 8
            )  # of a file that ends in it, what is there
        if chunk.name in _SOUND_CHUNKS:
            # A file that is as long as its outermost size says is whole, whatever the size of its sound chunk is.
            is_whole = 0 <= data.size - form_at - form_size <= 1
            position = _take_sound(data, layout, form, chunk, is_whole=is_whole)
            continue
        if chunk.size < 0 or chunk.start + chunk.size > data.size:
            break
        if chunk.name in _DESCRIPTIONS and chunk.size <= _MAX_DESCRIPTION_BYTES:
            form.described.setdefault(chunk.name, data.at(chunk.start, chunk.size))
        position = layout.behind(data, chunk.start + chunk.size)
    return form, position


def _take_sound(data: FileBytes, layout: _Layout, form: ChunkForm, chunk: _Chunk, *, is_whole: bool) -> int:
    """Add the bytes of a sound chunk to a form; the position behind them."""
    stated = chunk.size
    if form.magic in (b"RF64", b"BW64"):
        sizes = form.described.get(b"ds64", b"")
        if chunk.size == WRAP - 1:  # without a ds64 nothing says how long it is
            stated = struct.unpack_from("<Q", sizes, 8)[0] if len(sizes) >= 16 else _UNKNOWN_64
    before = {b"SSND": 8, b"data": 4 if form.magic == b"caff" else 0}.get(chunk.name, 0)
    if chunk.name == b"SSND":
        before += min(int.from_bytes(data.at(chunk.start, 4), "big"), 1 << 16)
    start = min(chunk.start + before, data.size)
    unknown = _UNKNOWN_32 if layout.size.size == 4 and form.magic not in (b"RF64", b"BW64") else _UNKNOWN_64
    known = None if stated < before or (stated >= unknown and start + stated > data.size) else stated - before
    end, share = _true_end(data, layout, start, known, bytes_a_second(form), is_whole=is_whole)
    if known is None or end != start + known or form.extents:
        form.as_it_stands = False
    if layout is _W64 and layout.behind(data, end) < data.size:
        form.as_it_stands = False  # libsndfile reads a W64 to the end of the file
    if end > start:
        form.extents.append((start, end))
        form.stated_share = max(form.stated_share, share)
    return layout.behind(data, end)


def _true_end(
    data: FileBytes,
    layout: _Layout | None,
    start: int,
    stated: int | None,
    bytes_a_second: int,
    *,
    is_whole: bool = False,
) -> tuple[int, float]:
    """Where a sound ends whose header states `stated` bytes (None: not known), and `Part.stated_share`."""
    there = data.size - start
    if there <= 0:
        return start, 1.0
    if stated is None:
        # Chunks follow at once where a file was begun and never got any sound.
        return (
            start if layout is not None and layout.fits(data, start) else _before_tail(data, layout, start)
        ), 1.0
    if stated > there:
        return data.size, 1.0 if is_whole else stated / there
    for end in range(start + stated, data.size + 1, WRAP):
        if layout is not None and layout.fits(data, layout.behind(data, end)):
            return end, 1.0
    end = start + stated
    rest = data.at(end, 4096)
    if stated and (
        data.size - end < _FEWEST_S * bytes_a_second
        or rest.startswith(_TAGS_BEHIND)
        or rest[:4] in (b".snd", b"dns.")
        or next_beginning(data.at, end, min(data.size, end + _TAIL_BYTES)) is not None
        or files.is_text(rest)
        or data.are_filler(end, data.size)
    ):
        return end, 1.0
    return _before_tail(data, layout, start), 1.0


def _before_tail(data: FileBytes, layout: _Layout | None, start: int) -> int:
    """The end of the file, or of what lies before the chunks and tags that only describe the sound."""
    tail_at = max(start, data.size - _TAIL_BYTES)
    tail = data.at(tail_at, _TAIL_BYTES)
    ends = [data.size]
    if tail[-128:-125] == b"TAG":
        ends.append(data.size - 128)
    for name in _CHUNKS_BEHIND if layout is not None and layout.id_bytes == 4 else ():
        found = tail.find(name)
        while found >= 0:
            if layout is not None and _lead_to_end(data, layout, tail_at + found):
                ends.append(tail_at + found)
                break
            found = tail.find(name, found + 1)
    return min(ends)


def _lead_to_end(data: FileBytes, layout: _Layout, position: int) -> bool:
    """Whether whole chunks lead from a position to the very end."""
    for _ in range(_MAX_CHUNKS):
        if position >= data.size:
            return position - data.size < layout.padded_to
        chunk = layout.chunk(data, position)
        if chunk is None or not 0 <= chunk.size <= data.size - chunk.start:
            return False
        position = layout.behind(data, chunk.start + chunk.size)
    return False


# --- AU, FLAC, Ogg ----------------------------------------------------------------------------------------


def _parts_of_au(data: FileBytes, start: int) -> Iterator[Part]:
    position = start
    while data.at(position, 4) in (b".snd", b"dns."):
        head = data.at(position, 24)
        if len(head) < 24:
            return
        order = ">" if head[:4] == b".snd" else "<"
        offset, size, encoding, rate_hz, channels = struct.unpack_from(order + "5I", head, 4)
        first = position + max(24, offset)
        width = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}.get(encoding, 1)
        stated = None if size >= _UNKNOWN_32 and first + size > data.size else size
        end, share = _true_end(data, None, first, stated, min(rate_hz, 1 << 20) * min(channels, 1024) * width)
        true_size = end - first if end - first < _UNKNOWN_32 else WRAP - 1
        header = head[:4] + struct.pack(order + "2I", 24, max(0, true_size)) + head[12:24]
        is_alone = start == position == 0 and end == data.size and size == end - first
        yield Part("AU", header, ((first, end),) if end > first else (), is_alone, share)
        position = max(end, first)


# --- AVR, NIST Sphere, VOC ------------------------------------------------------------------------------------------


def _part_that_states_a_length(data: FileBytes, start: int) -> list[Part]:
    """The file as it stands, with the length that its header states; libsndfile says how many samples are there."""
    head = data.at(start, 1024)
    frames, share, end = None, 1.0, data.size
    if head[:4] == b"2BIT":
        frames = int.from_bytes(head[26:30], "big")
    elif found := re.search(rb"\nsample_count -i (\d+)\n", head):
        frames = int(found[1])
    elif head.startswith(b"Creative Voice"):
        share, end = _voc_blocks(data, start)
    frames = frames if frames and frames < _UNKNOWN_32 else None
    return [Part("", b"", ((start, end),), end == data.size, share, frames)]


def _voc_blocks(data: FileBytes, start: int) -> tuple[float, int]:
    """`Part.stated_share` and the end of a Creative Voice file by its blocks: a kind, 24 bits of length, the body."""
    at = start + int.from_bytes(data.at(start + 20, 2), "little")
    for _ in range(_MAX_CHUNKS):
        block = data.at(at, 4)
        if block[:1] == b"\0":  # a block that ends the file
            return 1.0, at + 1
        if len(block) < 4:
            break
        size = int.from_bytes(block[1:], "little")
        there = data.size - at - 4
        if size > there > 0:
            return size / there, data.size
        at += 4 + size
    return 1.0, data.size


def _parts_of_flac(data: FileBytes, start: int) -> list[Part]:
    """Streams that follow each other; the number of samples is left out, so that no count stops the decoder."""
    # STREAMINFO, of 34 bytes, is the first block of metadata; the highest bit says whether it is the only one.
    found = (at for at in data.find_all(b"fLaC", start + 4) if data.at(at + 4, 4) in _STREAMINFOS)
    starts = [start, *found]
    parts = []
    for first, end in zip(starts, [*starts[1:], data.size], strict=True):
        head = data.at(first, 26)
        if len(head) < 26:
            continue
        fields = int.from_bytes(head[18:26], "big")
        header = head[:18] + (fields >> 36 << 36).to_bytes(8, "big")
        end = mp3.before_tags(data.at, first, end)
        num_frames = fields & (1 << 36) - 1
        is_alone = len(starts) == 1 and not start and end == data.size > _SMALL_BYTES and num_frames > 0
        parts.append(Part("FLAC", header, ((first + 26, end),), is_alone, stated_frames=num_frames))
    return parts


def _parts_of_ogg(data: FileBytes, start: int) -> list[Part]:
    """The links of a chain. Each begins with the first pages of its streams, one behind the other."""
    starts = [start]
    inside_until = _behind_page(data, start)
    for page in data.find_all(b"OggS\x00\x02", start + 1):
        if page > inside_until:
            starts.append(page)
        if page >= inside_until:
            inside_until = _behind_page(data, page)
    end = _behind_last_page(data, start)
    links = zip(starts, [*starts[1:], end], strict=True)
    is_alone = len(starts) == 1 and not start and end == data.size
    return [Part("", b"", (link,), is_alone, num_tracks=_num_ogg_tracks(data, link[0])) for link in links]


def _num_ogg_tracks(data: FileBytes, position: int) -> int:
    """The audio streams among the first pages of a link, each of which is the first of one stream."""
    num_tracks = 0
    while (head := data.at(position, 27 + 255 + 8))[:6] == b"OggS\0\x02":
        num_tracks += len(head) > 26 and head[27 + head[26] :].startswith(_OGG_AUDIO)
        position = _behind_page(data, position)
    return max(1, num_tracks)


def _behind_last_page(data: FileBytes, start: int) -> int:
    """The end of the last whole page, where tags or filler lie behind it, else of the file."""
    position = data.size
    while position > start:
        first = max(start, position - (1 << 16))
        found = data.at(first, position - first + 3).rfind(b"OggS")  # a mark may lie across two blocks
        if found >= 0:
            end = _behind_page(data, first + found)
            return end if end <= data.size else data.size
        position = first
    return data.size


def _behind_page(data: FileBytes, position: int) -> int:
    head = data.at(position, 27 + 255)
    num_segments = head[26] if len(head) > 26 else 0
    return position + 27 + num_segments + sum(head[27 : 27 + num_segments])
