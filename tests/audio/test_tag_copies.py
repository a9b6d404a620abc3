"""Tagged copies: the audio's bytes stay, earlier tags stay, the original is not touched."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tones import write_tone

from soundseek.audio.tag_copies import TagsToWrite, write_tagged_copy
from soundseek.errors import DecodeError, StorageError

TAGS = TagsToWrite(("DOORS WOOD", "DOORWood"), category="DOORS", subcategory="WOOD", cat_id="DOORWood")


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    path = tmp_path / "tone.wav"
    write_tone(path, frequency_hz=440.0, duration_s=0.5)
    return path


def chunks(path: Path) -> list[tuple[bytes, bytes]]:
    """Names and contents; fails where the sizes do not add up to the file's."""
    raw, found, at = path.read_bytes(), [], 12
    while at < len(raw):
        name, length = struct.unpack_from("<4sI", raw, at)
        if length == 0xFFFFFFFF:
            (length,) = struct.unpack("<8xQ", found[0][1][:16])
        found.append((name, raw[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    assert at == len(raw)
    return found


def test_a_wav_gets_an_info_list_behind_everything_and_its_sound_stays(tone: Path, tmp_path: Path) -> None:
    before, target = tone.read_bytes(), tmp_path / "copy.wav"
    write_tagged_copy(tone, target, TAGS)
    assert tone.read_bytes() == before
    assert chunks(target)[:-1] == chunks(tone)
    assert chunks(target)[-1] == (b"LIST", b"INFOIKEY\x15\0\0\0DOORS WOOD; DOORWood\0\0")
    assert struct.unpack_from("<I", target.read_bytes(), 4)[0] == target.stat().st_size - 8
    assert (soundfile.read(target)[0] == soundfile.read(tone)[0]).all()


def test_what_a_wav_says_already_is_kept(tone: Path, tmp_path: Path) -> None:
    earlier = b"INFO" + b"INAM\x05\0\0\0door\0\0" + b"IKEY\x0a\0\0\0old; wood\0"
    raw = (
        tone.read_bytes() + struct.pack("<4sI", b"LIST", len(earlier)) + earlier + b"bext\x03\0\0\0abc"
    )  # odd, unfilled
    tone.write_bytes(raw[:4] + struct.pack("<I", len(raw) - 8) + raw[8:])
    write_tagged_copy(tone, tmp_path / "copy.wav", TAGS)
    *_, junk, bext, info = chunks(tmp_path / "copy.wav")
    assert junk == (b"JUNK", earlier) and bext == (b"bext", b"abc")
    assert b"INAM\x05\0\0\0door\0" in info[1] and b"old; wood; DOORS WOOD; DOORWood\0" in info[1]
    assert soundfile.info(tmp_path / "copy.wav").frames == 8000


def test_an_rf64_keeps_its_long_sizes(tone: Path, tmp_path: Path) -> None:
    sound = chunks(tone)
    data = sound[-1][1]
    body = b"".join(struct.pack("<4sI", name, len(content)) + content for name, content in sound[:-1])
    ds64 = struct.pack("<QQQI", 0, len(data), 0, 0)
    raw = (
        b"RF64\xff\xff\xff\xffWAVEds64"
        + struct.pack("<I", len(ds64))
        + ds64
        + body
        + b"data\xff\xff\xff\xff"
        + data
    )
    tone.write_bytes(raw)
    write_tagged_copy(tone, tmp_path / "copy.wav", TAGS)
    copy = (tmp_path / "copy.wav").read_bytes()
    assert copy[:8] == b"RF64\xff\xff\xff\xff" and copy[36 + 12 :].startswith(body)
    assert struct.unpack_from("<Q", copy, 20)[0] == len(copy) - 8
    assert chunks(tmp_path / "copy.wav")[-1][1].startswith(b"INFOIKEY")


@pytest.mark.parametrize("ending", ["flac", "mp3", "aiff"])
def test_other_formats_get_keywords_and_ucs_fields_and_decode_to_the_same(
    tone: Path, tmp_path: Path, ending: str
) -> None:
    source, target = tmp_path / f"sound.{ending}", tmp_path / f"copy.{ending}"
    encode(tone, source)
    before = source.read_bytes()
    write_tagged_copy(source, target, TAGS)
    assert source.read_bytes() == before
    assert (soundfile.read(target)[0] == soundfile.read(source)[0]).all()
    said = {name.upper(): value for name, value in told_by_ffprobe(target).items()}
    assert "DOORS WOOD" in said["KEYWORDS"] and "DOORWood" in said["KEYWORDS"]
    assert (said["CATEGORY"], said["SUBCATEGORY"], said["CATID"]) == ("DOORS", "WOOD", "DOORWood")


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "aiff"])
def test_what_a_file_says_already_is_kept_and_keywords_are_added_once(
    tone: Path, tmp_path: Path, ending: str
) -> None:
    first, second, third = (tmp_path / f"{number}.{ending}" for number in range(3))
    write_id3 = ["-write_id3v2", "1"] if ending == "aiff" else []
    encode(tone, first, "-metadata", "title=Cellar", *write_id3)
    write_tagged_copy(first, second, TagsToWrite(("door",), category="OLD"))
    write_tagged_copy(second, third, TagsToWrite(("door", "wood"), category="NEW"))
    said = {name.upper(): value for name, value in told_by_ffprobe(third).items()}
    assert said["TITLE"] == "Cellar"
    assert said["IKEY" if ending == "wav" else "KEYWORDS"].replace(";", " ").split() == ["door", "wood"]
    assert ending == "wav" or said["CATEGORY"] == "NEW"
    assert (soundfile.read(third)[0] == soundfile.read(first)[0]).all()


def test_a_tag_of_another_kind_is_not_rewritten(tone: Path, tmp_path: Path) -> None:
    encode(tone, tmp_path / "sound.mp3")
    raw = bytearray((tmp_path / "sound.mp3").read_bytes())
    for at, value, told in ((3, 2, "2.2"), (5, 0x80, "2.4")):
        changed = bytearray(raw)
        changed[at] = value
        (tmp_path / "odd.mp3").write_bytes(changed)
        with pytest.raises(DecodeError, match=f"not rewritten .{told}."):
            write_tagged_copy(tmp_path / "odd.mp3", tmp_path / "copy.mp3", TAGS)
        assert not (tmp_path / "copy.mp3").exists()


def test_a_file_that_is_there_stays_and_what_has_no_place_for_tags_is_named(
    tone: Path, tmp_path: Path
) -> None:
    (tmp_path / "there.wav").write_bytes(b"mine")
    with pytest.raises(StorageError, match=r"there\.wav is there already"):
        write_tagged_copy(tone, tmp_path / "there.wav", TAGS)
    assert (tmp_path / "there.wav").read_bytes() == b"mine"
    soundfile.write(tmp_path / "sound.caf", np.zeros(100), 8000)
    with pytest.raises(
        DecodeError, match=r"sound\.caf: tags can be written into WAV, FLAC, MP3 and AIFF alone"
    ):
        write_tagged_copy(tmp_path / "sound.caf", tmp_path / "copy.caf", TAGS)
    assert not list(tmp_path.glob("copy*"))


def encode(source: Path, target: Path, *options: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-i", source, *options, target], check=True)


def told_by_ffprobe(path: Path) -> dict[str, str]:
    command = ["ffprobe", "-v", "error", "-show_entries", "format_tags", "-of", "json", path]
    told = subprocess.run(command, capture_output=True, check=True).stdout
    tags: dict[str, str] = json.loads(told)["format"]["tags"]
    return tags
