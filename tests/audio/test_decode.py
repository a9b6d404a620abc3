"""Sound of every format comes out as the same mono waveform; everything else is one plain reason."""

from __future__ import annotations

import os
import re
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from audio.bad_files import (
    RATE_HZ,
    encoded,
    tone,
    write_bad_files,
)

from soundseek.audio.decode import (
    AUDIO_EXTENSIONS,
    FORMATS_EXTENSIONS,
    open_audio,
    probe,
    read_audio,
)
from soundseek.audio.downmix import HIDING_SHARE
from soundseek.audio.resampling import resampler
from soundseek.errors import DecodeError, UsageError

Float = npt.NDArray[np.float32]


def reason_of(path: Path, **options: float) -> str:
    with pytest.raises(DecodeError) as caught:
        read_audio(path, sample_rate_hz=RATE_HZ, **options)
    str(caught.value).encode("utf-8")  # printable on any terminal
    return caught.value.reason


def loudest_hz(waveform: Float, sample_rate_hz: int) -> float:
    return float(np.abs(np.fft.rfft(waveform)).argmax() * sample_rate_hz / len(waveform))


FORMATS = {
    "u8.wav": ({"subtype": "PCM_U8"}, "WAV"),
    "16.wav": ({"subtype": "PCM_16"}, "WAV"),
    "24.wav": ({"subtype": "PCM_24"}, "WAV"),
    "32.wav": ({"subtype": "PCM_32"}, "WAV"),
    "float.wav": ({"subtype": "FLOAT"}, "WAV"),
    "double.wav": ({"subtype": "DOUBLE"}, "WAV"),
    "extensible.wav": ({"format": "WAVEX"}, "WAV"),
    "rf64.wav": ({"format": "RF64"}, "RF64"),
    "tone.w64": ({}, "W64"),
    "16.flac": ({}, "FLAC"),
    "24.flac": ({"subtype": "PCM_24"}, "FLAC"),
    "tone.ogg": ({}, "OGG/VORBIS"),
    "constant.mp3": ({"bitrate_mode": "CONSTANT"}, "MP3"),
    "variable.mp3": ({"bitrate_mode": "VARIABLE"}, "MP3"),
    "tone.aiff": ({}, "AIFF"),
    "tone.au": ({}, "AU"),
    "tone.caf": ({}, "CAF"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_of_libsndfile_gives_the_same_tone(name: str, tmp_path: Path) -> None:
    options, format_name = FORMATS[name]
    path = tmp_path / name
    soundfile.write(path, tone(2, channels=2), RATE_HZ, **options)
    with open_audio(path, sample_rate_hz=32_000) as stream:
        waveform = np.concatenate(list(stream))
    assert (stream.info.format, stream.info.sample_rate_hz, stream.info.channels) == (format_name, RATE_HZ, 2)
    assert stream.info.duration_s == pytest.approx(2, abs=1e-3)
    assert not stream.info.truncated
    assert waveform.dtype == np.float32
    assert len(waveform) == pytest.approx(64_000, abs=2)
    assert loudest_hz(waveform, 32_000) == pytest.approx(440, abs=1)
    assert np.sqrt(np.mean(waveform**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.02)


def test_opus_gives_the_same_tone(tmp_path: Path) -> None:
    path = tmp_path / "tone.opus"
    soundfile.write(path, tone(2), 48_000, format="OGG", subtype="OPUS")
    waveform = read_audio(path, sample_rate_hz=16_000)
    assert probe(path).format == "OGG/OPUS"
    assert loudest_hz(waveform, 16_000) == pytest.approx(440 * 48_000 / RATE_HZ, abs=1)


def test_samples_at_the_files_own_rate_are_those_of_the_file(tmp_path: Path) -> None:
    wave = tone(1)
    soundfile.write(tmp_path / "x.wav", wave, RATE_HZ, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(tmp_path / "x.wav", sample_rate_hz=RATE_HZ), wave[:, 0])


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("gain_db", [6, 18, 30, 60])
def test_floats_far_above_full_scale_are_kept(gain_db: int, subtype: str, tmp_path: Path) -> None:
    wave = tone(1) * np.float32(10 ** (gain_db / 20))
    soundfile.write(tmp_path / "x.wav", wave, RATE_HZ, subtype=subtype)
    np.testing.assert_array_equal(read_audio(tmp_path / "x.wav", sample_rate_hz=RATE_HZ), wave[:, 0])


def test_whole_numbers_written_as_floats_are_scaled(tmp_path: Path) -> None:
    quiet_first = np.concatenate([np.zeros((RATE_HZ, 1), np.float32), tone(3)])
    soundfile.write(tmp_path / "x.wav", np.rint(quiet_first * 32_768), RATE_HZ, subtype="FLOAT")
    mono = read_audio(tmp_path / "x.wav", sample_rate_hz=RATE_HZ)
    np.testing.assert_allclose(mono, quiet_first[:, 0], atol=1 / 32_768)


def test_whole_numbers_of_32_bits_written_as_floats_are_sound(tmp_path: Path) -> None:
    soundfile.write(
        tmp_path / "x.wav", np.rint(tone(1) / np.abs(tone(1)).max() * 2.0**31), RATE_HZ, subtype="FLOAT"
    )
    mono = read_audio(tmp_path / "x.wav", sample_rate_hz=RATE_HZ)
    assert np.corrcoef(mono, tone(1)[:, 0])[0, 1] > 0.9999


@pytest.mark.parametrize("value", [1e30, 1e5, float("nan"), float("inf")])
def test_absurd_samples_are_said(value: float, tmp_path: Path) -> None:
    wave = tone(3)
    wave[2 * RATE_HZ + 5] = value
    soundfile.write(tmp_path / "x.wav", wave, RATE_HZ, subtype="DOUBLE")
    what = "are NaN" if np.isnan(value) else f"reach {value:g}, 1000 at most"
    assert reason_of(tmp_path / "x.wav") == f"damaged: samples {what}, between 2.0 s and 3.0 s"


@pytest.mark.parametrize("milliseconds", [10, 20, 30, 50])
@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.mp3", "x.ogg"])
def test_clicks_are_decoded(name: str, milliseconds: int, tmp_path: Path) -> None:
    soundfile.write(tmp_path / name, tone(milliseconds / 1000), RATE_HZ)
    with open_audio(tmp_path / name, sample_rate_hz=32_000) as stream:
        waveform = np.concatenate(list(stream))
    assert stream.info.duration_s == pytest.approx(milliseconds / 1000, abs=1e-4)
    assert np.isfinite(waveform).all() and np.abs(waveform).max() > 0.1


def test_resampling_block_by_block_equals_resampling_the_whole(tmp_path: Path) -> None:
    wave = tone(25)
    soundfile.write(tmp_path / "x.wav", wave, RATE_HZ, subtype="FLOAT")
    with open_audio(tmp_path / "x.wav", sample_rate_hz=32_000) as stream:
        blocks = list(stream)
    assert [round(len(block) / 32_000) for block in blocks][:2] == [10, 10]
    at_once = resampler(RATE_HZ, 32_000)
    whole = np.concatenate([at_once.push(wave[:, 0]), at_once.flush()])
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


# --- mixing to mono --------------------------------------------------------------------------------------


def write_pcm(path: Path, wave: Float) -> None:
    soundfile.write(path, wave, RATE_HZ, **({"subtype": "FLOAT"} if path.suffix == ".wav" else {}))


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.ogg", "x.mp3"])
def test_a_sound_on_one_of_two_channels_is_as_loud_in_every_format(name: str, tmp_path: Path) -> None:
    # Two channels with nothing in common are added 90 degrees apart; decoders' own downmixes give 1 / 2 or 1 / sqrt(2).
    write_pcm(tmp_path / name, tone(1, channels=2) * np.float32([1, 0]))
    mono = read_audio(tmp_path / name, sample_rate_hz=RATE_HZ)
    assert np.sqrt(np.mean(mono**2)) == pytest.approx(0.3 / np.sqrt(2) * np.sqrt(HIDING_SHARE / 4), rel=0.02)


@pytest.mark.parametrize("channels", [3, 6, 40])
def test_many_channels_are_averaged(channels: int, tmp_path: Path) -> None:
    gains = np.arange(channels, dtype=np.float32) / channels
    wave = tone(1, channels) * gains
    write_pcm(tmp_path / "x.wav", wave)
    mono = read_audio(tmp_path / "x.wav", sample_rate_hz=RATE_HZ)
    np.testing.assert_allclose(mono, wave.mean(axis=1), atol=1e-6)


def test_a_thousand_channels_take_no_more_memory_at_once_than_two(tmp_path: Path) -> None:
    wave = np.repeat(tone(0.5)[:, :1], 1000, axis=1)
    soundfile.write(tmp_path / "x.wav", wave, RATE_HZ)
    tracemalloc.start()
    mono = read_audio(tmp_path / "x.wav", sample_rate_hz=RATE_HZ)
    assert tracemalloc.get_traced_memory()[1] < 10e6  # the whole file is 88 MB of float32
    tracemalloc.stop()
    np.testing.assert_allclose(mono, wave[:, 0], atol=1e-4)


# --- the cap ---------------------------------------------------------------------------------------------


def test_decoding_stops_at_the_cap_and_says_so(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", tone(3), RATE_HZ)
    with open_audio(tmp_path / "x.wav", sample_rate_hz=RATE_HZ, max_duration_s=1.5) as stream:
        assert sum(len(block) for block in stream) == 66_150
    assert stream.info.truncated
    assert stream.info.duration_s == 1.5


def test_without_a_cap_a_file_is_decoded_to_its_end(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.full(3700 * 1000, 0.1), 1000)
    with open_audio(tmp_path / "x.wav", sample_rate_hz=1000) as stream:
        assert sum(len(block) for block in stream) == 3_700_000
    assert (stream.info.duration_s, stream.info.truncated) == (3700.0, False)


def test_a_file_as_long_as_the_cap_is_not_cut(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", tone(3), RATE_HZ)
    with open_audio(tmp_path / "x.wav", sample_rate_hz=RATE_HZ, max_duration_s=3) as stream:
        list(stream)
    assert not stream.info.truncated


def test_a_cap_on_a_block_border_is_noticed(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", tone(10.5), RATE_HZ)
    with open_audio(tmp_path / "x.wav", sample_rate_hz=RATE_HZ, max_duration_s=10) as stream:
        list(stream)
    assert stream.info.truncated
    assert stream.info.duration_s == 10


@pytest.mark.parametrize(("rate_hz", "cap_s"), [(0, 1.0), (-1, 1.0), (100, 0.0), (100, float("nan"))])
def test_rates_and_caps_that_are_not_above_zero_are_refused(
    rate_hz: int, cap_s: float, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="must be above 0"):
        open_audio(tmp_path / "x.wav", sample_rate_hz=rate_hz, max_duration_s=cap_s)


# --- bad input -------------------------------------------------------------------------------------------


def test_every_bad_file_is_refused_with_its_reason(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bad_files = write_bad_files(tmp_path)
    assert len(bad_files) > 35
    for bad in bad_files:
        reason = reason_of(tmp_path / bad.name)
        assert re.search(bad.reason, reason), f"{bad.name!r}: {reason}"
    assert capfd.readouterr().err == ""


def test_no_bad_file_takes_more_memory_than_a_block(tmp_path: Path) -> None:
    for bad in write_bad_files(tmp_path):
        tracemalloc.start()
        reason_of(tmp_path / bad.name)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak_bytes < 20e6, bad.name


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero on this system")
def test_a_device_is_never_opened() -> None:
    assert reason_of(Path("/dev/zero")) == "a device, not a file"


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    assert reason_of(tmp_path / "gone.wav") == "no such file"
    assert reason_of(tmp_path / "gone" / "x.wav") == "no such file"
    assert reason_of(tmp_path / ("x" * 300)) == "its name is too long"
    assert reason_of(tmp_path / "x\0.wav").startswith("impossible file name")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is unreadable to root")
def test_a_file_without_permission_says_so(tmp_path: Path) -> None:
    write_pcm(tmp_path / "x.wav", tone(1))
    (tmp_path / "x.wav").chmod(0)
    assert reason_of(tmp_path / "x.wav") == "no permission to read it"


def test_a_permission_error_becomes_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pcm(tmp_path / "x.wav", tone(1))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert reason_of(tmp_path / "x.wav") == "no permission to read it"


def test_a_sound_with_a_name_that_is_no_utf8_is_read(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    try:
        path.write_bytes(encoded(tmp_path, ".wav"))
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    assert len(read_audio(path, sample_rate_hz=8000)) == 32_000
    assert probe(path).path == str(path)


def test_the_message_of_an_error_shows_the_bytes_of_such_a_name(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    with pytest.raises(DecodeError, match=r"caf\\xe9\.wav: no such file"):
        read_audio(path, sample_rate_hz=8000)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".aiff", ".au", ".caf", ".mp3"])
def test_a_damaged_file_decodes_sanely_or_is_refused(
    suffix: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = encoded(tmp_path, suffix, duration_s=1)
    path = tmp_path / f"x{suffix}"
    refused = 0
    for seed in range(60):
        path.write_bytes(damaged(data, np.random.default_rng(seed), seed % 4))
        try:
            waveform = read_audio(path, sample_rate_hz=32_000, max_duration_s=60)
        except DecodeError as error:
            refused += 1
            assert error.reason
        else:
            assert 0.05 * 32_000 <= len(waveform) <= 61 * 32_000
            assert np.isfinite(waveform).all()
    assert refused > 0
    assert capfd.readouterr().err == ""


def damaged(data: bytes, generator: np.random.Generator, way: int) -> bytes:
    """Eight turned bits; three wrong bytes in the header; 300 wrong bytes; cut off anywhere."""
    if way == 3:
        return data[: generator.integers(len(data))]
    out = bytearray(data)
    if way == 0:
        for position in generator.integers(len(data), size=8):
            out[position] ^= 1 << generator.integers(8)
    elif way == 1:
        for position in generator.integers(120, size=3):
            out[position] = generator.integers(256)
    else:
        start = generator.integers(len(data) - 300)
        out[start : start + 300] = generator.integers(0, 256, 300, np.uint8).tobytes()
    return bytes(out)


# --- probe, closing, extensions --------------------------------------------------------------------------


def test_probe_says_what_the_header_says(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.flac", tone(1.5, channels=2), RATE_HZ)
    info = probe(tmp_path / "x.flac")
    assert (info.format, info.sample_rate_hz, info.channels, info.duration_s) == ("FLAC", RATE_HZ, 2, 1.5)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files cannot be counted on this system")
def test_no_file_stays_open(tmp_path: Path) -> None:
    bad_files = write_bad_files(tmp_path)
    write_pcm(tmp_path / "good.wav", tone(30))
    read_audio(tmp_path / "good.wav", sample_rate_hz=8000)  # opens what stays open for the process
    before = len(list(Path("/proc/self/fd").iterdir()))
    for bad in bad_files:
        reason_of(tmp_path / bad.name)
    read_audio(tmp_path / "good.wav", sample_rate_hz=8000)
    with open_audio(tmp_path / "good.wav", sample_rate_hz=8000) as stream:
        next(stream)
    assert list(stream) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_extensions_are_lower_case_with_a_dot_and_those_of_the_extra_are_among_them() -> None:
    assert all(extension.startswith(".") and extension.islower() for extension in AUDIO_EXTENSIONS)
    assert {".wav", ".flac", ".ogg", ".mp3", ".aiff", ".au", ".caf", ".opus"} <= AUDIO_EXTENSIONS
    assert {".m4a", ".aac", ".wma", ".webm"} <= FORMATS_EXTENSIONS < AUDIO_EXTENSIONS
    assert not {".wav", ".mp3"} & FORMATS_EXTENSIONS


# --- the decoder's chatter -------------------------------------------------------------------------------


def test_without_the_muffler_the_mp3_decoder_prints(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = encoded(tmp_path, ".mp3")
    (tmp_path / "cut.mp3").write_bytes(data[: len(data) // 2])
    soundfile.read(tmp_path / "cut.mp3")
    assert "Warning: Xing stream size off" in capfd.readouterr().err
    reason_of(tmp_path / "cut.mp3")
    assert capfd.readouterr().err == ""


def test_a_module_that_is_missing_is_not_needed_for_libsndfiles_formats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    write_pcm(tmp_path / "x.wav", tone(1))
    assert len(read_audio(tmp_path / "x.wav", sample_rate_hz=8000)) == 8000
