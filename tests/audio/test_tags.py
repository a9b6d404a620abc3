"""What files say of themselves: every kind of tag, and tags that are broken or hostile."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from soundseek.audio.tags import FileTags, read_tags

RATE_HZ = 8000
IXML = """<?xml version="1.0" encoding="UTF-8"?><BWFXML><PROJECT>Café</PROJECT><SCENE>12A</SCENE><TAKE>3</TAKE>
<NOTE>plane &amp; wind</NOTE><TRACK_LIST><TRACK><NAME>Boom</NAME></TRACK></TRACK_LIST></BWFXML>"""


def chunk(name: bytes, body: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}4sI", name, len(body)) + body + b"\0" * (len(body) % 2)


def bext(*, description: bytes = b"", reference: int = 0, date: bytes = b"", time: bytes = b"") -> bytes:
    fields = struct.pack("<256s32s32s10s8sQH", description, b"Mixer", b"", date, time, reference, 0)
    return fields + bytes(602 - len(fields))


def info(**texts: bytes) -> bytes:
    return b"INFO" + b"".join(chunk(name.encode(), text + b"\0") for name, text in texts.items())


def wave(folder: Path, *chunks: bytes, subtype: str = "PCM_24") -> Path:
    """A WAV of 0.1 s with more chunks behind its sound."""
    path = folder / "sound.wav"
    soundfile.write(path, np.full(800, 0.1), RATE_HZ, subtype=subtype)
    body = path.read_bytes() + b"".join(chunks)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body) - 8) + body[8:])
    return path


def test_the_chunks_of_a_wave_file_say_scene_take_date_and_clock(tmp_path: Path) -> None:
    path = wave(
        tmp_path,
        chunk(
            b"bext",
            bext(
                description="knock, Tür".encode(),
                reference=10 * 3600 * RATE_HZ,
                date=b"2023:06:14",
                time=b"09:00:00",
            ),
        ),
        chunk(b"iXML", IXML.encode()),
        chunk(b"LIST", info(INAM=b"Old door", IKEY="grün".encode("latin-1"), ISFT=b"Editor 1.0")),
    )
    tags = read_tags(path)
    said = dict(tags.fields)
    assert said["description"] == "knock, Tür"
    assert (said["scene"], said["take"], said["project"], said["note"]) == (
        "12A",
        "3",
        "Café",
        "plane & wind",
    )
    assert (said["track"], said["title"], said["keywords"]) == ("Boom", "Old door", "grün")
    assert "Editor 1.0" not in said.values()
    assert (tags.bit_depth, tags.clock_s, tags.date) == (24, 36000.0, "2023-06-14")


def test_without_a_time_reference_the_time_of_origination_counts(tmp_path: Path) -> None:
    path = wave(tmp_path, chunk(b"bext", bext(date=b"2023-06-14", time=b"09:30:05")))
    assert read_tags(path).clock_s == 9 * 3600 + 30 * 60 + 5
    unset = wave(tmp_path, chunk(b"bext", bext(date=b"0000-00-00", time=b"00:00:00")))
    assert (read_tags(unset).clock_s, read_tags(unset).date) == (None, None)


@pytest.mark.parametrize(("format", "suffix"), [("FLAC", "flac"), ("OGG", "ogg")])
def test_vorbis_comments(tmp_path: Path, format: str, suffix: str) -> None:
    path = tmp_path / f"sound.{suffix}"
    with soundfile.SoundFile(path, "w", RATE_HZ, 1, format=format) as sound:
        sound.title, sound.comment, sound.software = "creek", "behind the mill", "none of our business"
        sound.write(np.full(800, 0.1))
    tags = read_tags(path)
    assert tags.fields == (("comment", "behind the mill"), ("title", "creek"))
    assert tags.bit_depth == (16 if format == "FLAC" else None)


def test_id3_of_an_mp3_and_inside_wave_and_aiff(tmp_path: Path) -> None:
    frames = [(b"TIT2", b"\3Gate"), (b"COMM", b"\3eng\0rusty"), (b"TXXX", b"\3Scene\x004")]
    body = b"".join(struct.pack(">4sIH", name, len(text), 0) + text for name, text in frames)
    raw = b"ID3\3\0\0" + struct.pack(">I", len(body)) + body
    mp3 = tmp_path / "sound.mp3"
    soundfile.write(mp3, np.full(8000, 0.1), RATE_HZ, format="MP3")
    mp3.write_bytes(raw + mp3.read_bytes())
    aiff = tmp_path / "sound.aiff"
    soundfile.write(aiff, np.full(800, 0.1), RATE_HZ, subtype="PCM_16")
    chunks = chunk(b"ANNO", b"by the river", ">") + chunk(b"ID3 ", raw, ">")
    body = aiff.read_bytes() + chunks
    aiff.write_bytes(b"FORM" + struct.pack(">I", len(body) - 8) + body[8:])
    for path in (mp3, aiff, wave(tmp_path, chunk(b"id3 ", raw))):
        assert {("title", "Gate"), ("comment", "rusty"), ("scene", "4")} <= set(read_tags(path).fields), path
    assert ("comment", "by the river") in read_tags(aiff).fields
    assert (read_tags(aiff).bit_depth, read_tags(mp3).bit_depth) == (16, None)


def ape(*items: tuple[bytes, bytes, int], version: int = 2000) -> bytes:
    """An APE tag with its footer; an item is a key, a value and its flags (2: no text)."""
    body = b"".join(
        struct.pack("<II", len(value), flags) + key + b"\0" + value for key, value, flags in items
    )
    return body + struct.pack("<8sIII12s", b"APETAGEX", version, len(body) + 32, len(items), b"")


def test_ape_tags_that_another_program_wrote(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason='PyAV writes the file: pip install ".[formats]"')
    path = tmp_path / "door.wv"
    with av.open(str(path), "w", format="wv") as container:
        stream = container.add_stream("wavpack", rate=RATE_HZ)
        container.metadata.update({"title": "Old door, grün", "comment": "Scene 12"})
        frame = av.AudioFrame.from_ndarray(np.full((1, 800), 500, np.int16), format="s16p", layout="mono")
        frame.rate = RATE_HZ
        for each in (frame, None):
            container.mux(stream.encode(each))
    said = {name.lower(): text for name, text in read_tags(path).fields}
    assert (said["title"], said["comment"]) == ("Old door, grün", "Scene 12")


@pytest.mark.parametrize("id3v1", [b"", b"TAG" + b"Slam".ljust(125, b"\0")])
def test_ape_tags_behind_the_frames_of_an_mp3(tmp_path: Path, id3v1: bytes) -> None:
    path = tmp_path / "door.mp3"
    soundfile.write(path, np.full(8000, 0.1), RATE_HZ)
    cover = (b"Cover Art (Front)", b"door.jpg\0" + b"\xff" * 3_000_000, 2)
    items = [(b"Keywords", "wood\0grün".encode(), 0), cover, (b"Record Location", b"Berlin", 0)]
    path.write_bytes(path.read_bytes() + ape(*items) + id3v1)
    fields = read_tags(path).fields
    assert {("keywords", "wood"), ("keywords", "grün"), ("location", "Berlin")} <= set(fields)
    assert (("title", "Slam") in fields) == bool(id3v1)
    assert not any("door.jpg" in text for _, text in fields)


def test_an_ape_tag_that_lies_gives_what_is_true_of_it(tmp_path: Path) -> None:
    path = tmp_path / "door.ape"
    good = (b"Title", b"Door", 0)
    tag = ape(good, (b"Comment", b"slam", 0))
    too_long = tag[:17] + tag[17:].replace(struct.pack("<I", 4), struct.pack("<I", 1 << 31), 1)
    for tag, told in (
        (too_long, (("title", "Door"),)),  # an item that reaches beyond the tag
        (ape(good)[:-32] + struct.pack("<8sIII12s", b"APETAGEX", 2000, 1 << 30, 9, b""), ()),
        (ape(good)[:-1], ()),
        (ape((b"Title", "T\xfcr".encode("latin-1"), 0), version=1000), (("title", "Tür"),)),
    ):
        path.write_bytes(b"MAC " + bytes(100) + tag)
        assert read_tags(path).fields == told


def test_one_broken_tag_does_not_cost_the_others(tmp_path: Path) -> None:
    path = wave(
        tmp_path,
        chunk(b"id3 ", b"ID3\x04\0\0\x7f\x7f\x7f\x7fTIT2"),
        chunk(b"iXML", b"<BWFXML><SCENE>9</SCENE><NOTE>cut off"),
        chunk(b"bext", b"too short"),
        chunk(b"LIST", b"INFOINAM\xff\xff\xff\x7fTitle"),
        struct.pack("<4sI", b"junk", 0x7FFFFFF0),
    )
    assert set(read_tags(path).fields) >= {("scene", "9"), ("title", "Title")}


def test_entities_of_a_hostile_ixml_are_not_followed(tmp_path: Path) -> None:
    bomb = (
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><BWFXML><SCENE>&b;</SCENE></BWFXML>'
    )
    path = wave(tmp_path, chunk(b"iXML", bomb.encode()), chunk(b"LIST", info(INAM=b"still read")))
    assert read_tags(path).fields == (("title", "still read"),)


def test_what_is_kept_is_bounded_and_printable(tmp_path: Path) -> None:
    path = wave(tmp_path, chunk(b"LIST", info(ICMT=b"x" * 50_000, INAM=b"a\x1b[31m\nb")))
    said = dict(read_tags(path).fields)
    assert len(said["comment"]) == 2_000
    assert said["title"] == "a [31m b"
    many = b"INFO" + b"".join(chunk(b"ICMT", b"%d " % number * 300) for number in range(1000))
    fields = read_tags(wave(tmp_path, chunk(b"LIST", many))).fields
    assert sum(len(text) for _, text in fields) <= 10_000


def test_a_missing_file_and_a_folder_have_no_tags(tmp_path: Path) -> None:
    assert read_tags(tmp_path / "none.wav") == read_tags(tmp_path) == FileTags()


HEADS = st.sampled_from(
    [b"RIFF\xff\xff\0\0WAVE", b"RF64\xff\xff\xff\xffWAVEds64", b"FORM\0\0\xff\xffAIFF", b"fLaC\0\0\0\x22",
     b"OggS\0\x02", b"ID3\x03\0\0\0\0\x0f\x7fTIT2", b"\0\0\0\x18ftypM4A ", b"APETAGEX", b"wvpk", b""]
)  # fmt: skip


@given(
    HEADS,
    st.lists(
        st.sampled_from([b"bext", b"iXML", b"LIST", b"INFO", b"fmt ", b"data"]) | st.binary(max_size=40)
    ),
)
@settings(max_examples=80, deadline=None)
def test_no_bytes_whatever_raise(
    tmp_path_factory: pytest.TempPathFactory, head: bytes, rest: list[bytes]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.wav"
    path.write_bytes(head + b"".join(rest))
    assert isinstance(read_tags(path), FileTags)
