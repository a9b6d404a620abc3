"""Headers that say too little, too much or nothing, and files that were joined: all sound that is there is decoded."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from audio.bad_files import RATE_HZ, flac_claiming, tone, wav_bytes

from soundseek.audio.decode import open_audio, probe
from soundseek.errors import DecodeError

SECONDS = 0.5
MONO = tone(SECONDS)
PCM = (MONO[:, 0] * 32_767).astype("<i2").tobytes()
SIZE = len(PCM)
WRAPPED = 2**32
ID3_IN_FRONT = b"ID3\x03\0\0\0\0\1\0" + bytes(128)
ID3_BEHIND = b"TAG" + bytes(125)


def encoded(form: str, wave: Any = MONO, rate_hz: int = RATE_HZ, **options: Any) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate_hz, format=form, **options)
    return buffer.getvalue()


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(body) if size is None else size) + body + bytes(len(body) & 1)


def wav(
    size: int, *, riff: int | None = None, before: bytes = b"", after: bytes = b"", pcm: bytes = PCM
) -> bytes:
    """A wav whose two sizes may be anything."""
    fmt = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, RATE_HZ, RATE_HZ * 2, 2, 16))
    body = b"WAVE" + fmt + before + b"data" + struct.pack("<I", size % WRAPPED) + pcm + after
    return b"RIFF" + struct.pack("<I", (len(body) if riff is None else riff) % WRAPPED) + body


def with_field(data: bytes, at: int, layout: str, value: int) -> bytes:
    return data[:at] + struct.pack(layout, value) + data[at + struct.calcsize(layout) :]


LIST = chunk(b"LIST", b"INFOINAM" + struct.pack("<I", 6) + b"title\0")
DATA = chunk(b"data", PCM)


def seconds_of(folder: Path, data: bytes, name: str = "x") -> float:
    (folder / name).write_bytes(data)
    with open_audio(folder / name, sample_rate_hz=RATE_HZ) as stream:
        decoded = sum(len(block) for block in stream) / RATE_HZ
    assert decoded == pytest.approx(stream.info.duration_s, abs=1e-3)
    return decoded


def reason_of(folder: Path, data: bytes, name: str = "x") -> str:
    with pytest.raises(DecodeError) as caught:
        seconds_of(folder, data, name)
    return caught.value.reason


# --- wav -------------------------------------------------------------------------------------------------

WAVS = {
    "sizes never filled in": (wav(0, riff=0), 1),
    "only the outer size filled in": (wav(0), 1),
    "sizes not known": (wav(-1, riff=-1), 1),
    "half the size": (wav(SIZE // 2, riff=36 + SIZE // 2), 1),
    "half the size, the outer one right": (wav(SIZE // 2), 1),
    "half the size and a list behind": (wav(SIZE // 2, riff=0, after=LIST), 1),
    "never finalised, silent at first": (wav(0, riff=0, pcm=bytes(SIZE) + PCM), 2),
    "twice the size, but the outer one is right": (wav(2 * SIZE), 1),
    "a list behind": (wav(SIZE, after=LIST), 1),
    "a list with a size beyond the end": (wav(SIZE, after=chunk(b"LIST", b"INFO", 9999)), 1),
    "an ID3 tag behind": (wav(SIZE, after=ID3_IN_FRONT), 1),
    "zeros behind": (wav(SIZE, after=bytes(100_000)), 1),
    "text behind": (wav(SIZE, after=b"what the recordist noted\n" * 2000), 1),
    "an odd size without padding": (wav(SIZE - 1, pcm=PCM[:-1], after=LIST), 1),
    "an odd size with padding": (wav(SIZE - 1, pcm=PCM[:-1], after=b"\0" + LIST), 1),
    "an ID3 tag in front": (ID3_IN_FRONT + wav(SIZE), 1),
    "two data chunks": (wav(SIZE, after=DATA), 2),
    "two data chunks and lists": (wav(SIZE, after=LIST + DATA + LIST), 2),
    "an empty data chunk and a full one": (wav(0, pcm=b"", after=DATA), 1),
    "two data chunks, the second never finalised": (wav(SIZE, riff=0, after=chunk(b"data", PCM, 0)), 2),
    "two files": (wav(SIZE) * 2, 2),
    "two files, the second never finalised": (wav(SIZE) + wav(0, riff=0), 2),
    "BW64": (b"BW64" + encoded("RF64")[4:], 1),
}  # fmt: skip


@pytest.mark.parametrize("case", WAVS)
def test_all_sound_of_a_wav_is_decoded_whatever_its_header_says(case: str, tmp_path: Path) -> None:
    data, times = WAVS[case]
    assert seconds_of(tmp_path, data) == pytest.approx(times * SECONDS, abs=1e-3)


@pytest.mark.parametrize("name", [b"PEAK", b"bext", b"LIST", b"cue ", b"smpl", b"cart", b"iXML", b"ID3 "])
@pytest.mark.parametrize("body", [b"", b"\xff", bytes(range(200, 255)) * 3])
def test_a_chunk_that_only_describes_the_sound_cannot_damage_it(
    name: bytes, body: bytes, tmp_path: Path
) -> None:
    assert seconds_of(tmp_path, wav(SIZE, before=chunk(name, body))) == SECONDS
    assert seconds_of(tmp_path, wav(SIZE, after=chunk(name, body))) == SECONDS


def test_a_peak_chunk_of_one_channel_in_a_stereo_wav_is_passed_over(tmp_path: Path) -> None:
    stereo = np.repeat(MONO, 2, axis=1).tobytes()
    peak = chunk(b"PEAK", struct.pack("<IIfI", 1, 1_732_025_850, 0.3, 10))
    fmt = chunk(b"fmt ", struct.pack("<HHIIHH", 3, 2, RATE_HZ, RATE_HZ * 8, 8, 32))
    body = b"WAVE" + fmt + chunk(b"fact", struct.pack("<I", len(MONO))) + peak + chunk(b"data", stereo)
    assert seconds_of(tmp_path, b"RIFF" + struct.pack("<I", len(body)) + body) == SECONDS


def test_a_file_that_is_shorter_than_its_header_says_is_still_a_failure(tmp_path: Path) -> None:
    reason = "truncated: its header says 1.0 s, 500 ms could be decoded"
    assert reason_of(tmp_path, wav(2 * SIZE, riff=2 * SIZE + 36)) == reason
    assert reason_of(tmp_path, wav(0, pcm=b"")) == "no sound: by its header it holds no samples"
    assert reason_of(tmp_path, wav(0, pcm=b"", after=LIST)).endswith("holds no samples")


def test_a_wav_above_4_gb_whose_sizes_have_wrapped_keeps_its_length(tmp_path: Path) -> None:
    frame_bytes, rate_hz = 6 * 4, 96_000
    size = frame_bytes * rate_hz * 1870
    fmt = chunk(b"fmt ", struct.pack("<HHIIHH", 3, 6, rate_hz, rate_hz * frame_bytes, frame_bytes, 32))
    for after in (b"", LIST):
        with (tmp_path / "x.wav").open("wb") as file:
            file.write(b"RIFF" + struct.pack("<I", (size + 36) % WRAPPED) + b"WAVE" + fmt)
            file.write(b"data" + struct.pack("<I", size % WRAPPED))
            file.truncate(44 + size)
            file.seek(44 + size)
            file.write(after)
        assert probe(tmp_path / "x.wav").duration_s == 1870.0
    with (
        open_audio(tmp_path / "x.wav", sample_rate_hz=8000, max_duration_s=10) as stream,
        pytest.raises(DecodeError, match="silent"),
    ):
        list(stream)


def test_an_aiff_above_4_gb_keeps_its_length_too(tmp_path: Path) -> None:
    data = encoded("AIFF", np.repeat(MONO, 2, axis=1), 48_000, subtype="PCM_24")
    at, samples = data.find(b"SSND"), 6 * 48_000 * 16_000
    with (tmp_path / "x.aiff").open("wb") as file:
        file.write(with_field(data, at + 4, ">I", (samples + 8) % WRAPPED)[: at + 16])
        file.truncate(at + 16 + samples)
    info = probe(tmp_path / "x.aiff")
    assert (info.duration_s, info.sample_rate_hz, info.channels) == (16_000.0, 48_000, 2)


# --- other containers with sizes -------------------------------------------------------------------------


def sized(form: str, subtype: str, sizes: str) -> tuple[bytes, float]:
    """A file of a format with wrong sizes, and how many times its seconds should be found."""
    data = encoded(form, subtype=subtype)
    at, layout, unknown, more = {
        "W64": (data.find(b"data") + 16, "<Q", 0, 24), "RF64": (data.find(b"ds64") + 16, "<Q", 2**64 - 1, 0),
        "AIFF": (data.find(b"SSND") + 4, ">I", 2**32 - 1, 8), "AU": (8, ">I", 2**32 - 1, 0),
        "CAF": (data.find(b"data") + 4, ">Q", 2**64 - 1, 4), "SVX": (data.find(b"BODY") + 4, ">I", 2**32 - 1, 0),
    }[form]  # fmt: skip
    size = struct.unpack_from(layout, data, at)[0] - more
    value = {"zero": 0, "unknown": unknown, "half": size // 2 + more}[sizes]
    return with_field(data, at, layout, value), 1.0


@pytest.mark.parametrize("sizes", ["zero", "unknown", "half"])
@pytest.mark.parametrize(
    ("form", "subtype"),
    [
        ("W64", "PCM_16"),
        ("W64", "PCM_24"),
        ("RF64", "FLOAT"),
        ("AIFF", "PCM_16"),
        ("AIFF", "FLOAT"),
        ("AIFF", "ULAW"),
        ("AU", "PCM_16"),
        ("AU", "ALAW"),
        ("CAF", "PCM_24"),
        ("CAF", "ALAC_16"),
        ("SVX", "PCM_16"),
    ],
)
def test_sizes_that_are_wrong_lose_no_sound(form: str, subtype: str, sizes: str, tmp_path: Path) -> None:
    data, times = sized(form, subtype, sizes)
    assert seconds_of(tmp_path, data) == pytest.approx(times * SECONDS, abs=1e-3)


@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
def test_an_rf64_without_its_table_of_sizes_is_decoded_to_its_end(magic: bytes, tmp_path: Path) -> None:
    data = encoded("RF64")
    assert seconds_of(tmp_path, magic + data[4:].replace(b"ds64", b"JUNK", 1)) == pytest.approx(SECONDS)


def test_the_chunk_behind_one_that_was_not_padded_is_found(tmp_path: Path) -> None:
    """Of "data" without its first letter, "ata0", a chunk could be made as well."""
    pcm = PCM[:0x4030]  # in little endian "0@"
    unpadded = wav(len(pcm), before=chunk(b"LIST", b"INFOabc")[:-1], pcm=pcm)
    assert seconds_of(tmp_path, unpadded) == pytest.approx(len(pcm) / 2 / RATE_HZ)


@pytest.mark.parametrize("blocks", [1, 3, 8])
def test_of_gsm_in_wav_no_block_is_made_of_the_byte_that_pads_it(blocks: int, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", tone(blocks * 0.04)[: blocks * 320, 0], 8000, subtype="GSM610")
    data = (tmp_path / "x.wav").read_bytes()
    assert seconds_of(tmp_path, data) == pytest.approx(blocks * 0.04)


@pytest.mark.parametrize("form", ["AIFF", "AU", "CAF", "W64", "RF64", "SVX"])
def test_two_files_of_one_format_become_one_sound(form: str, tmp_path: Path) -> None:
    assert seconds_of(tmp_path, encoded(form) * 2) == pytest.approx(2 * SECONDS, abs=1e-3)


@pytest.mark.parametrize("subtype", ["IMA_ADPCM", "MS_ADPCM", "GSM610", "ULAW", "PCM_24", "PCM_U8", "DOUBLE"])
def test_every_codec_of_wav_is_repaired_and_joined(subtype: str, tmp_path: Path) -> None:
    rate_hz = 8000
    data = encoded("WAV", MONO[: rate_hz // 2], rate_hz, subtype=subtype)
    whole_s = seconds_of(tmp_path, data)
    at = data.find(b"data") + 4
    unfinished = with_field(with_field(data, at, "<I", 0), 4, "<I", 0)
    assert seconds_of(tmp_path, unfinished) == pytest.approx(whole_s, abs=1e-2)
    assert seconds_of(tmp_path, data * 2) == pytest.approx(2 * whole_s, abs=1e-2)


def test_parts_with_other_rates_and_channels_follow_each_other(tmp_path: Path) -> None:
    slow = encoded("WAV", np.repeat(MONO, 2, axis=1), RATE_HZ // 2)
    (tmp_path / "x.wav").write_bytes(wav(SIZE) + slow)
    with open_audio(tmp_path / "x.wav", sample_rate_hz=RATE_HZ) as stream:
        waveform = np.concatenate(list(stream))
    assert (stream.info.sample_rate_hz, stream.info.channels) == (RATE_HZ, 2)
    assert len(waveform) / RATE_HZ == pytest.approx(3 * SECONDS, abs=1e-3)
    for start_s, hz in ((0, 440), (SECONDS, 220)):
        part = waveform[round(start_s * RATE_HZ) :][: round(SECONDS * RATE_HZ)]
        assert np.abs(np.fft.rfft(part)).argmax() / SECONDS == pytest.approx(hz, abs=2)


# --- flac, ogg -------------------------------------------------------------------------------------------

FLAC = encoded("FLAC")
FLACS = {
    "no count": (flac_claiming(FLAC, 0), 1),
    "half the count": (flac_claiming(FLAC, len(MONO) // 2), 1),
    "two": (FLAC * 2, 2),
    "two without counts": (flac_claiming(FLAC, 0) * 2, 2),
    "two with a tag between": (FLAC + ID3_IN_FRONT + FLAC, 2),
    "another rate": (FLAC + encoded("FLAC", np.repeat(MONO, 2, axis=1), RATE_HZ // 2), 3),
    "a tag in front": (ID3_IN_FRONT + FLAC, 1),
    "a tag behind": (FLAC + ID3_BEHIND, 1),
    "no count and a tag behind": (flac_claiming(FLAC, 0) + ID3_BEHIND, 1),
    "anything behind": (FLAC + b"anything" * 99, 1),
    "the head of a tag alone": (
        FLAC + b"APETAGEX" + struct.pack("<4I", 2000, 32, 0, 0xA0000000) + bytes(8),
        1,
    ),
}


@pytest.mark.parametrize("case", FLACS)
def test_all_sound_of_a_flac_is_decoded_whatever_its_header_says(case: str, tmp_path: Path) -> None:
    data, times = FLACS[case]
    assert seconds_of(tmp_path, data) == pytest.approx(times * SECONDS, abs=1e-3)


def test_a_long_flac_goes_on_behind_a_count_that_is_too_small(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 30 * RATE_HZ).astype(np.float32)
    data = encoded("FLAC", noise)
    assert len(data) > 1 << 20  # such a file is read as it stands, until its count turns out to be wrong
    (tmp_path / "x.flac").write_bytes(flac_claiming(data, 10 * RATE_HZ + 7))
    with open_audio(tmp_path / "x.flac", sample_rate_hz=RATE_HZ) as stream:
        np.testing.assert_allclose(np.concatenate(list(stream)), noise, atol=1e-4)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_every_link_of_a_chained_ogg_is_decoded(subtype: str, tmp_path: Path) -> None:
    one = encoded("OGG", rate_hz=48_000, subtype=subtype)
    other = encoded("OGG", np.repeat(MONO, 2, axis=1), 24_000, subtype=subtype)
    length_s = seconds_of(tmp_path, one)
    assert seconds_of(tmp_path, one * 3) == pytest.approx(3 * length_s, abs=1e-2)
    assert seconds_of(tmp_path, one + other) == pytest.approx(3 * length_s, abs=1e-2)


# --- mp3 -------------------------------------------------------------------------------------------------


def counted(data: bytes, frames: int, *, flags: int | None = None) -> bytes:
    """The same mp3 with another number of frames in its Xing or Info header."""
    at = max(data.find(b"Xing"), data.find(b"Info"))
    data = with_field(data, at + 8, ">I", frames)
    return data if flags is None else with_field(data, at + 4, ">I", flags)


def vbri(data: bytes, frames: int) -> bytes:
    """The same mp3 with a VBRI header in place of its Xing header; it lies 36 bytes into the first frame."""
    at = max(data.find(b"Xing"), data.find(b"Info"))
    header = b"VBRI" + struct.pack(">HHHII", 1, 0, 0, len(data), frames)
    return data[:at] + bytes(36 - at) + header + data[36 + len(header) :]


@pytest.fixture(scope="module", params=["CONSTANT", "VARIABLE"])
def mp3(request: pytest.FixtureRequest) -> bytes:
    quiet_first = MONO.copy()
    quiet_first[: len(MONO) // 3] *= 1e-3
    return encoded("MP3", quiet_first, bitrate_mode=request.param, compression_level=0.3)


APE = b"APETAGEX" + struct.pack("<III", 2000, 32 + 50, 0)
APE_TAG = APE + struct.pack("<IQ", 0xA0000000, 0) + bytes(50) + APE + struct.pack("<IQ", 0x80000000, 0)


@pytest.mark.parametrize("frames", [0, 1, 9, 10_000, 2**32 - 1])
def test_a_wrong_count_of_frames_loses_nothing(frames: int, mp3: bytes, tmp_path: Path) -> None:
    assert seconds_of(tmp_path, counted(mp3, frames), "x.mp3") == pytest.approx(SECONDS, abs=1e-3)
    assert seconds_of(tmp_path, vbri(mp3, frames), "x.mp3") == pytest.approx(SECONDS, abs=0.06)


def test_a_xing_header_without_any_field_loses_nothing(mp3: bytes, tmp_path: Path) -> None:
    assert seconds_of(tmp_path, counted(mp3, 0, flags=0), "x.mp3") == pytest.approx(SECONDS, abs=0.06)


@pytest.mark.parametrize(
    "between", [b"", ID3_IN_FRONT, ID3_BEHIND, APE_TAG, ID3_BEHIND + ID3_IN_FRONT, bytes(90_000)]
)
def test_joined_mp3_files_are_decoded_whatever_lies_between(
    between: bytes, mp3: bytes, tmp_path: Path
) -> None:
    joined = between.join([mp3, mp3, mp3])
    assert seconds_of(tmp_path, joined, "x.mp3") == pytest.approx(3 * SECONDS, abs=0.01)


def test_joined_mp3_files_may_have_other_rates_and_channels(mp3: bytes, tmp_path: Path) -> None:
    other = encoded("MP3", np.repeat(MONO, 2, axis=1), 22_050)
    assert seconds_of(tmp_path, mp3 + other + mp3, "x.mp3") == pytest.approx(4 * SECONDS, abs=0.06)


@pytest.mark.parametrize("beside", [b"\0\5\26\7\0\2\0\0Mac OS X", b""])
def test_a_file_that_a_mac_left_beside_an_mp3_is_not_taken_for_it(
    beside: bytes, mp3: bytes, tmp_path: Path
) -> None:
    (tmp_path / "._x.mp3").write_bytes(beside.ljust(4096, b"\0") if beside else b"")
    assert seconds_of(tmp_path, mp3, "x.mp3") == pytest.approx(SECONDS, abs=1e-3)


def test_bytes_of_a_wav_are_read_as_they_stand_where_its_header_is_true(tmp_path: Path) -> None:
    """`wav_bytes` writes true headers; a view in Python would be slower."""
    (tmp_path / "x.wav").write_bytes(wav_bytes(PCM))
    with open_audio(tmp_path / "x.wav", sample_rate_hz=RATE_HZ) as stream:
        np.testing.assert_array_equal(
            np.concatenate(list(stream)), np.frombuffer(PCM, "<i2").astype(np.float32) / 32_768
        )
