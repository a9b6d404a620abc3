"""Recordings of several kinds in one file, and sound behind junk: every second of them is decoded, and no other."""

from __future__ import annotations

import io
import itertools
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from audio.bad_files import RATE_HZ, tone

from soundseek.audio.beginnings import kind_at
from soundseek.audio.decode import open_audio, read_audio
from soundseek.audio.excerpt import cut, peaks
from soundseek.audio.seams import find_spans, has_true_header, spans_behind_junk
from soundseek.errors import DecodeError

SHORT_S, LONG_S = 0.5, 0.75
NOISE = np.random.default_rng(0).standard_normal((RATE_HZ, 1)).astype(np.float32) * 0.1
FORMS: dict[str, dict[str, Any]] = {
    "wav": {"format": "WAV"},
    "rf64": {"format": "RF64"},
    "w64": {"format": "W64"},
    "aiff": {"format": "AIFF"},
    "caf": {"format": "CAF"},
    "au": {"format": "AU"},
    "voc": {"format": "VOC", "subtype": "PCM_16"},
    "flac": {"format": "FLAC"},
    "mp3": {"format": "MP3"},
    "ogg": {"format": "OGG", "subtype": "VORBIS"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
}
PICTURE = b"\xff\xd8\xff\xe0" + np.random.default_rng(1).bytes(3000)
ID3 = b"ID3\x03\0\0\0\0\1\0" + bytes(128)
APE = b"APETAGEX" + struct.pack("<4I8x", 2000, 32, 0, 1 << 31 | 1 << 29) + bytes(32)


def encoded(form: str, seconds: float) -> bytes:
    buffer = io.BytesIO()
    rate_hz = 48_000 if form == "opus" else RATE_HZ
    soundfile.write(buffer, tone(1)[: int(seconds * RATE_HZ)], rate_hz, **FORMS[form])
    return buffer.getvalue()


@pytest.fixture(scope="module")
def short() -> dict[str, bytes]:
    return {form: encoded(form, SHORT_S) for form in FORMS}


@pytest.fixture(scope="module")
def long() -> dict[str, bytes]:
    return {form: encoded(form, LONG_S) for form in FORMS}


def seconds_of(path: Path) -> float:
    with open_audio(path, sample_rate_hz=RATE_HZ) as stream:
        for _ in stream:
            pass
    return stream.info.duration_s


def length(form: str, seconds: float) -> float:
    return seconds * (RATE_HZ / 48_000 if form == "opus" else 1)


@pytest.mark.parametrize(("first", "second"), [*itertools.permutations(FORMS, 2)])
def test_a_file_of_two_kinds_is_decoded_to_its_end(
    first: str, second: str, short: dict[str, bytes], long: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / f"both.{first}"
    path.write_bytes(short[first] + long[second])
    expected = length(first, SHORT_S) + length(second, LONG_S)
    assert seconds_of(path) == pytest.approx(expected, abs=0.06)  # an mp3 has no half blocks
    assert not has_true_header(str(path))


@pytest.mark.parametrize(
    "forms", [("wav", "mp3", "flac"), ("mp3", "wav", "mp3"), ("flac", "mp3", "flac", "wav")]
)
def test_three_and_more_follow_each_other(
    forms: tuple[str, ...], short: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(b"".join(short[form] for form in forms))
    assert len(find_spans(str(tmp_path / "x"))) == len(forms)
    assert seconds_of(tmp_path / "x") == pytest.approx(SHORT_S * len(forms), abs=0.03 * len(forms))


@pytest.mark.parametrize("between", [bytes(4096), ID3, b"TAG" + bytes(125), APE, PICTURE])
def test_tags_and_filler_between_two_kinds_are_passed_over(
    between: bytes, short: dict[str, bytes], tmp_path: Path
) -> None:
    for first, second in (("wav", "mp3"), ("mp3", "flac"), ("flac", "ogg"), ("ogg", "wav")):
        (tmp_path / "x").write_bytes(short[first] + between + short[second])
        assert seconds_of(tmp_path / "x") == pytest.approx(2 * SHORT_S, abs=0.06)


def test_the_sound_of_both_is_heard_and_no_noise_between(tmp_path: Path, short: dict[str, bytes]) -> None:
    soundfile.write(tmp_path / "noise.flac", NOISE, RATE_HZ)
    (tmp_path / "x.wav").write_bytes(short["wav"] + (tmp_path / "noise.flac").read_bytes())
    waveform = read_audio(tmp_path / "x.wav", sample_rate_hz=RATE_HZ)
    first = round(SHORT_S * RATE_HZ)
    np.testing.assert_allclose(waveform[:first], tone(1)[:first, 0], atol=1e-3)
    np.testing.assert_allclose(waveform[first:], NOISE[:, 0], atol=1e-3)


def test_what_is_cut_and_drawn_is_what_is_heard(tmp_path: Path, short: dict[str, bytes]) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(short["wav"] + short["flac"])
    assert len(peaks(path, hop_s=0.1)) == round(2 * SHORT_S / 0.1)
    excerpt = cut(path, tmp_path / "cut.wav", 0.4, 0.8)
    assert excerpt.end_s - excerpt.start_s == pytest.approx(0.4, abs=1e-3)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("behind", [b"", bytes(8192), b"TAG" + bytes(125), APE, PICTURE, ID3])
def test_a_file_of_one_kind_has_no_seam(
    form: str, behind: bytes, short: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(short[form] + behind)
    assert find_spans(str(tmp_path / "x")) == []
    (tmp_path / "x").write_bytes(short[form] * 2 + behind)
    assert find_spans(str(tmp_path / "x")) == []


def test_an_id3_chunk_of_a_wav_is_no_second_recording(tmp_path: Path, short: dict[str, bytes]) -> None:
    chunk = b"id3 " + struct.pack("<I", len(ID3)) + ID3
    (tmp_path / "x.wav").write_bytes(short["wav"] + chunk)
    assert find_spans(str(tmp_path / "x.wav")) == []
    assert seconds_of(tmp_path / "x.wav") == pytest.approx(SHORT_S, abs=1e-3)


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("voc",)])
@pytest.mark.parametrize(
    "junk", [bytes(3000), b"HTTP/1.1 200 OK\r\nContent-Type: audio/x-wav\r\n\r\n", PICTURE]
)
def test_sound_behind_junk_is_found(junk: bytes, form: str, short: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / f"x.{form}"
    path.write_bytes(junk + short[form])
    assert seconds_of(path) == pytest.approx(length(form, SHORT_S), abs=0.06)


@pytest.mark.parametrize("form", ["flac", "wav", "aiff", "ogg", "au"])
def test_an_id3_tag_may_stand_in_front_of_any_format(
    form: str, short: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / f"x.{form}").write_bytes(ID3 + short[form])
    assert seconds_of(tmp_path / f"x.{form}") == pytest.approx(SHORT_S, abs=1e-3)


@pytest.mark.parametrize("form", FORMS)
def test_tags_zeros_and_both_behind_the_sound_are_no_sound(
    form: str, short: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "alone").write_bytes(short[form])
    alone = seconds_of(tmp_path / "alone")
    for behind in (
        bytes(4096),
        b"TAG" + bytes(125),
        b"TAG" + bytes(125 + 4096),
        bytes(4096) + b"TAG" + bytes(125),
    ):
        (tmp_path / f"x.{form}").write_bytes(short[form] + behind)
        assert seconds_of(tmp_path / f"x.{form}") == pytest.approx(alone, abs=1e-3)


def test_text_that_names_formats_is_still_text(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_text("RIFF WAVE fLaC OggS ID3 wvpk TTA1 MAC ftyp " * 400)
    with pytest.raises(DecodeError, match="text, not sound"):
        seconds_of(tmp_path / "x.wav")
    assert spans_behind_junk(str(tmp_path / "x.wav")) == []


def test_thousands_of_tags_are_passed_over_behind_sound_and_no_sound_alone(
    tmp_path: Path, short: dict[str, bytes]
) -> None:
    tags = b"ID3\x04\0\0\0\0\0\0" * 3000
    path = tmp_path / "a.wav"
    path.write_bytes(short["wav"] + tags)
    assert seconds_of(path) == pytest.approx(SHORT_S, abs=0.01)
    path.write_bytes(tags)
    with pytest.raises(DecodeError), open_audio(path, sample_rate_hz=RATE_HZ) as stream:
        list(stream)


def test_a_second_recording_that_cannot_be_decoded_is_said(tmp_path: Path, short: dict[str, bytes]) -> None:
    (tmp_path / "x.wav").write_bytes(short["wav"] + short["flac"][:60])
    with pytest.raises(DecodeError):
        seconds_of(tmp_path / "x.wav")


def test_nothing_begins_in_a_megabyte_of_noise() -> None:
    noise = np.random.default_rng(2).bytes(1 << 20)

    def at(position: int, length: int) -> bytes:
        return noise[position : position + length]

    assert not [place for place in range(0, len(noise), 97) if kind_at(at, place)]
