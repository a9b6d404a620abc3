"""What a header declares, what is decoded, and what a decoder would invent are three lengths."""

from __future__ import annotations

import re
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio.bad_files import (
    RATE_HZ,
    encoded,
    flac_claiming,
    tone,
    wav_bytes,
    with_flipped_bits,
    without_xing_header,
)

from soundseek.audio.decode import probe, read_audio
from soundseek.audio.files import stated_share
from soundseek.errors import DecodeError


def reason_of(path: Path) -> str:
    with pytest.raises(DecodeError) as caught:
        read_audio(path, sample_rate_hz=RATE_HZ)
    return caught.value.reason


def test_a_truncated_mp3_gives_no_invented_sound(tmp_path: Path) -> None:
    # SoundFile.blocks() would fill up to the stated length.
    data = encoded(tmp_path, ".mp3")
    (tmp_path / "whole.mp3").write_bytes(data)
    (tmp_path / "cut.mp3").write_bytes(data[: int(len(data) * 0.95)])
    whole = read_audio(tmp_path / "whole.mp3", sample_rate_hz=RATE_HZ)
    cut = read_audio(tmp_path / "cut.mp3", sample_rate_hz=RATE_HZ)
    invented = sum(len(b) for b in soundfile.blocks(tmp_path / "cut.mp3", blocksize=RATE_HZ))
    assert {len(whole), invented} == {4 * RATE_HZ}
    assert 0.9 * len(whole) < len(cut) < 0.97 * len(whole)
    np.testing.assert_allclose(cut[:-2000], whole[: len(cut) - 2000], atol=1e-5)


@pytest.mark.parametrize("share", [0.3, 0.85])
def test_less_than_nine_tenths_of_the_stated_length_is_a_failure_that_names_both(
    share: float, tmp_path: Path
) -> None:
    data = encoded(tmp_path, ".wav", duration_s=10)
    (tmp_path / "x.wav").write_bytes(data[: int(len(data) * share)])
    expected = f"truncated: its header says 10.0 s, {10 * share:.1f} s could be decoded"
    assert reason_of(tmp_path / "x.wav") == expected


def test_the_cap_is_no_truncation_by_damage(tmp_path: Path) -> None:
    data = encoded(tmp_path, ".wav", duration_s=10)
    (tmp_path / "x.wav").write_bytes(data[: len(data) // 2])
    assert len(read_audio(tmp_path / "x.wav", sample_rate_hz=8000, max_duration_s=2)) == 16_000


@pytest.mark.parametrize("claim", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFFFFF - 36])
def test_a_wav_from_a_stream_that_claims_the_largest_size_is_whole(claim: int, tmp_path: Path) -> None:
    samples = (tone(1) * 32_767).astype("<i2").tobytes()
    (tmp_path / "x.wav").write_bytes(wav_bytes(samples, data_bytes=claim))
    assert len(read_audio(tmp_path / "x.wav", sample_rate_hz=RATE_HZ)) == RATE_HZ


def test_a_flac_from_a_stream_states_no_length_and_is_whole(tmp_path: Path) -> None:
    (tmp_path / "x.flac").write_bytes(flac_claiming(encoded(tmp_path, ".flac"), 0))
    assert len(read_audio(tmp_path / "x.flac", sample_rate_hz=8000)) == 32_000
    assert probe(tmp_path / "x.flac").duration_s == 0


def test_a_flac_that_claims_2_to_the_36_samples_neither_allocates_nor_hangs(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    path.write_bytes(flac_claiming(encoded(tmp_path, ".flac"), 2**36 - 1))
    tracemalloc.start()
    assert reason_of(path).startswith("truncated: its header says 1,558,26")
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


@pytest.mark.parametrize("quiet_part_first", [True, False])
def test_a_variable_mp3_without_a_length_header_is_read_to_its_end(
    quiet_part_first: bool, tmp_path: Path
) -> None:
    # libsndfile alone guesses 13.5 s or 1.9 s from the first frame, and stops there.
    noise = np.random.default_rng(0).standard_normal(2 * RATE_HZ).astype(np.float32) * 0.3
    parts = [np.zeros(8 * RATE_HZ, np.float32), noise]
    wave = np.concatenate(parts if quiet_part_first else parts[::-1])
    path = tmp_path / "x.mp3"
    soundfile.write(path, wave, RATE_HZ, bitrate_mode="VARIABLE", compression_level=0.3)
    path.write_bytes(without_xing_header(path.read_bytes()))
    assert abs(soundfile.info(path).duration - 10) > 3
    decoded = read_audio(path, sample_rate_hz=RATE_HZ)
    assert len(decoded) / RATE_HZ == pytest.approx(10, abs=0.1)
    loud = decoded[-RATE_HZ:] if quiet_part_first else decoded[:RATE_HZ]
    assert np.sqrt(np.mean(loud**2)) == pytest.approx(0.3, rel=0.1)


@pytest.mark.parametrize("prefix", [b"", bytes(2000), b"ID3\x03\0\0\0\1\0\0" + bytes(128 * 128)])
def test_a_constant_mp3_without_a_length_header_is_whole_behind_tags_and_junk(
    prefix: bytes, tmp_path: Path
) -> None:
    data = without_xing_header(encoded(tmp_path, ".mp3", bitrate_mode="CONSTANT"))
    (tmp_path / "x.mp3").write_bytes(prefix + data)
    decoded = read_audio(tmp_path / "x.mp3", sample_rate_hz=RATE_HZ)
    assert len(decoded) / RATE_HZ == pytest.approx(4, abs=0.1)


def test_an_mp3_tag_behind_the_sound_does_not_make_it_longer(tmp_path: Path) -> None:
    (tmp_path / "x.mp3").write_bytes(encoded(tmp_path, ".mp3") + b"TAG" + bytes(125))
    assert len(read_audio(tmp_path / "x.mp3", sample_rate_hz=RATE_HZ)) == 4 * RATE_HZ


def test_a_few_flipped_bits_in_an_mp3_are_passed_over(tmp_path: Path) -> None:
    data = encoded(tmp_path, ".mp3")
    (tmp_path / "x.mp3").write_bytes(with_flipped_bits(data, range(5000, 5100, 10)))
    assert len(read_audio(tmp_path / "x.mp3", sample_rate_hz=RATE_HZ)) > 3.8 * RATE_HZ


def test_the_bytes_that_a_header_states_are_compared_with_those_that_are_there() -> None:
    riff = b"RIFF" + struct.pack("<I", 992) + b"AVI "
    assert (stated_share(riff, 1000), stated_share(riff, 500), stated_share(riff, 4000)) == (1, 2, 1)
    assert stated_share(b"RIFF\xff\xff\xff\xffAVI ", 500) == 1  # nobody knew
    assert stated_share(b"DSD " + struct.pack("<QQ", 28, 1000), 250) == 4
    assert stated_share(b"", 0) == 1


@pytest.mark.parametrize(("suffix", "kind"), [(".avr", "AVR"), (".sph", "NIST"), (".voc", "VOC")])
def test_a_cut_off_file_of_a_rare_kind_is_named_and_a_whole_one_read(
    suffix: str, kind: str, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / f"whole{suffix}", tone(4), RATE_HZ, format=kind, subtype="PCM_16")
    data = (tmp_path / f"whole{suffix}").read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(data[: len(data) // 2])
    assert len(read_audio(tmp_path / f"whole{suffix}", sample_rate_hz=RATE_HZ)) == 4 * RATE_HZ
    assert reason_of(tmp_path / f"cut{suffix}") == "truncated: its header says 4.0 s, 2.0 s could be decoded"


def test_a_decoder_that_meets_an_error_says_how_far_it_came(tmp_path: Path) -> None:
    data = encoded(tmp_path, ".flac", duration_s=4)
    (tmp_path / "cut.flac").write_bytes(data[: len(data) // 2])
    reason = reason_of(tmp_path / "cut.flac")
    assert (
        reason == "damaged or cut off: flac decoder lost sync, beyond 1.0 s of 4.0 s"
    )  # it gives a second at once


@pytest.mark.parametrize("name", ["x.ogg", "without Xing.mp3"])
def test_what_states_no_length_is_a_shorter_sound_when_it_is_cut_off(name: str, tmp_path: Path) -> None:
    data = encoded(tmp_path, ".ogg") if name == "x.ogg" else without_xing_header(encoded(tmp_path, ".mp3"))
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    assert 1 < len(read_audio(tmp_path / name, sample_rate_hz=1000)) / 1000 < 3


@pytest.mark.parametrize("ending", [".wav", ".aiff", ".au", ".caf", ".w64", ".mp3"])
def test_what_states_its_length_is_a_failure_when_half_of_it_is_cut_off(ending: str, tmp_path: Path) -> None:
    data = encoded(tmp_path, ending)
    (tmp_path / f"cut{ending}").write_bytes(data[: len(data) // 2])
    assert re.fullmatch(
        r"truncated: its header says 4\.\d s, (1\.9|2\.0) s could be decoded",
        reason_of(tmp_path / f"cut{ending}"),
    )
