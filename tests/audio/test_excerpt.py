"""Parts of files as files of their own: exact where the format allows, with what stands beside the sound."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio.bad_files import flac_claiming

from soundseek.audio.excerpt import cut, peaks, write_preview
from soundseek.audio.tags import read_tags
from soundseek.errors import DecodeError, UsageError

RATE_HZ = 8_000


@pytest.fixture
def samples() -> np.ndarray:
    """Three seconds of two channels of noise."""
    return (0.2 * np.random.default_rng(0).standard_normal((3 * RATE_HZ, 2))).clip(-1, 1)


@pytest.mark.parametrize(
    ("format", "subtype", "suffix"),
    [
        ("WAV", "PCM_U8", ".wav"),
        ("WAV", "PCM_16", ".wav"),
        ("WAV", "PCM_24", ".wav"),
        ("WAV", "FLOAT", ".wav"),
        ("WAVEX", "PCM_24", ".wav"),
        ("RF64", "PCM_16", ".wav"),
        ("W64", "PCM_32", ".w64"),
        ("FLAC", "PCM_16", ".flac"),
        ("FLAC", "PCM_24", ".flac"),
        ("AIFF", "PCM_24", ".aiff"),
        ("AIFF", "FLOAT", ".aiff"),
        ("CAF", "PCM_16", ".caf"),
        ("AU", "PCM_16", ".au"),
    ],
)
def test_a_cut_keeps_format_and_every_sample(
    tmp_path: Path, samples: np.ndarray, format: str, subtype: str, suffix: str
) -> None:
    path = tmp_path / f"whole{suffix}"
    soundfile.write(path, samples, RATE_HZ, subtype, format=format)
    target = tmp_path / f"cut{suffix}"
    excerpt = cut(path, target, 1.0001, 2.5)
    assert (excerpt.start_s, excerpt.end_s, excerpt.is_exact, excerpt.suffix) == (1.0, 2.5, True, suffix)
    kind = "float32" if subtype == "FLOAT" else "int32"
    whole, _ = soundfile.read(path, dtype=kind)
    part, rate_hz = soundfile.read(target, dtype=kind)
    assert rate_hz == RATE_HZ and np.array_equal(part, whole[RATE_HZ : round(2.5 * RATE_HZ)])
    assert soundfile.info(target).subtype == subtype


@pytest.mark.parametrize("count", [1, RATE_HZ, None])
def test_what_a_flac_does_not_count_is_cut_and_drawn(
    tmp_path: Path, samples: np.ndarray, count: int | None
) -> None:
    """A count that is too small, and a tag in front, behind which libsndfile cannot seek."""
    soundfile.write(tmp_path / "a.flac", samples, RATE_HZ, "PCM_16")
    whole, _ = soundfile.read(tmp_path / "a.flac")
    flac = (tmp_path / "a.flac").read_bytes()
    changed = b"ID3\3\0\0\0\2\0\0" + bytes(1 << 15) + flac if count is None else flac_claiming(flac, count)
    (tmp_path / "a.flac").write_bytes(changed)
    excerpt = cut(tmp_path / "a.flac", tmp_path / "cut.wav", 1.5, 2.5)
    part, _ = soundfile.read(tmp_path / "cut.wav")
    assert (excerpt.start_s, excerpt.end_s) == (1.5, 2.5)
    np.testing.assert_allclose(part, whole[round(1.5 * RATE_HZ) : round(2.5 * RATE_HZ)], atol=1e-4)
    assert len(peaks(tmp_path / "a.flac", hop_s=0.5)) == -(-len(whole) // (RATE_HZ // 2))


def test_a_lossy_file_and_wav24_become_wav_of_24_bits(tmp_path: Path, samples: np.ndarray) -> None:
    soundfile.write(tmp_path / "a.ogg", samples, RATE_HZ, format="OGG", subtype="VORBIS")
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ, "PCM_16")
    for name, how in (("a.ogg", "own"), ("a.wav", "wav24")):
        excerpt = cut(tmp_path / name, tmp_path / "cut.wav", 0.5, 1.0, format=how)  # type: ignore[arg-type]
        assert excerpt.suffix == ".wav"
        info = soundfile.info(tmp_path / "cut.wav")
        assert (info.format, info.subtype, info.frames) == ("WAV", "PCM_24", RATE_HZ // 2)
    whole, _ = soundfile.read(tmp_path / "a.wav")
    part, _ = soundfile.read(tmp_path / "cut.wav")
    assert np.array_equal(part, whole[RATE_HZ // 2 : RATE_HZ])  # 16 bits fit into 24


def broadcast_wave(path: Path, samples: np.ndarray, reference: int) -> None:
    """A Broadcast Wave file with a time reference, iXML, INFO, a cue and odd chunk lengths."""
    soundfile.write(path, samples, RATE_HZ, "PCM_24")
    body = path.read_bytes()
    fmt, data = body.index(b"fmt "), body.index(b"data")
    bext = bytearray(602)
    bext[:4], bext[338:346] = b"door", struct.pack("<Q", reference)
    chunks = [
        (b"bext", bytes(bext)),
        (b"iXML", b"<BWFXML><SCENE>7</SCENE></BWFXML>"),
        (b"cue ", b"\0" * 28),
        (b"LIST", b"INFOINAM" + struct.pack("<I", 5) + b"door\0\0"),
        (b"LIST", b"adtl" + b"\0" * 8),
    ]
    extra = b"".join(
        name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
        for name, content in chunks
    )
    whole = body[8:fmt] + extra + body[fmt:data] + body[data:]
    path.write_bytes(b"RIFF" + struct.pack("<I", len(whole)) + whole)


def test_a_wav_keeps_what_stands_beside_its_sound_and_its_clock_moves_on(
    tmp_path: Path, samples: np.ndarray
) -> None:
    broadcast_wave(tmp_path / "a.wav", samples, reference=10 * RATE_HZ)
    assert read_tags(tmp_path / "a.wav").clock_s == 10.0
    cut(tmp_path / "a.wav", tmp_path / "cut.wav", 1.5, 2.0)
    assert read_tags(tmp_path / "cut.wav").clock_s == 11.5
    content = (tmp_path / "cut.wav").read_bytes()
    assert b"<SCENE>7</SCENE>" in content and b"INAM" in content and content.count(b"bext") == 1
    assert b"cue " not in content and b"adtl" not in content  # they mark places of the whole file
    assert struct.unpack_from("<I", content, 4)[0] == len(content) - 8
    whole, _ = soundfile.read(tmp_path / "a.wav", dtype="int32")
    part, _ = soundfile.read(tmp_path / "cut.wav", dtype="int32")
    assert np.array_equal(part, whole[round(1.5 * RATE_HZ) : 2 * RATE_HZ])


def test_a_file_without_a_clock_has_none(tmp_path: Path, samples: np.ndarray) -> None:
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ)
    broadcast_wave(tmp_path / "unset.wav", samples, reference=0)
    (tmp_path / "text.wav").write_bytes(b"RIFF")
    for name in ("a.wav", "unset.wav", "text.wav", "none.wav"):
        assert read_tags(tmp_path / name).clock_s is None


def test_tags_of_other_formats_are_kept(tmp_path: Path, samples: np.ndarray) -> None:
    with soundfile.SoundFile(tmp_path / "a.flac", "w", RATE_HZ, 2) as file:
        file.title, file.artist = "door", "me"
        file.write(samples)
    cut(tmp_path / "a.flac", tmp_path / "cut.flac", 0.0, 1.0)
    with soundfile.SoundFile(tmp_path / "cut.flac") as file:
        assert (file.title, file.artist) == ("door", "me")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_a_cut_ends_with_the_file_and_nothing_is_behind_it(
    tmp_path: Path, samples: np.ndarray, name: str
) -> None:
    soundfile.write(tmp_path / name, samples, RATE_HZ)
    excerpt = cut(tmp_path / name, tmp_path / "cut", 2.5, 99.0)
    assert (excerpt.start_s, excerpt.end_s) == (2.5, 3.0)
    with pytest.raises(UsageError, match=r"3\.000 s long"):
        cut(tmp_path / name, tmp_path / "cut", 3.5, 99.0)


def test_what_is_no_sound_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF0000WAVEfmt ")
    (tmp_path / "b.wav").write_text("hello")
    for call in (
        lambda p: cut(p, tmp_path / "cut", 0, 1),
        peaks,
        lambda p: write_preview(p, tmp_path / "cut", 0, 1),
    ):
        for name in ("a.wav", "b.wav", "none.wav"):
            with pytest.raises(DecodeError):
                call(tmp_path / name)


def test_a_wav_that_says_it_is_longer_than_it_is_ends_where_it_ends(
    tmp_path: Path, samples: np.ndarray
) -> None:
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ, "PCM_16")
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(content[: len(content) // 2])
    excerpt = cut(tmp_path / "a.wav", tmp_path / "cut.wav", 1.0, 3.0)
    assert excerpt.end_s == pytest.approx(1.5, abs=0.01)
    assert soundfile.info(tmp_path / "cut.wav").duration == pytest.approx(0.5, abs=0.01)


def test_peaks_are_the_extremes_of_each_piece(tmp_path: Path) -> None:
    samples = np.array([0.1, -0.2, 0.3, 0.0, -0.5, 0.25, 0.5, -0.25])
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ, "FLOAT")
    found = peaks(tmp_path / "a.wav", hop_s=3 / RATE_HZ)
    assert found == pytest.approx(np.array([[-0.2, 0.3], [-0.5, 0.25], [-0.25, 0.5]]))
    assert peaks(tmp_path / "a.wav", start_s=4 / RATE_HZ, end_s=6 / RATE_HZ, hop_s=1).tolist() == [
        [-0.5, 0.25]
    ]


def test_peaks_of_what_is_no_number_can_be_drawn(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([np.nan, np.inf, -np.inf, 3.0]), RATE_HZ, "FLOAT")
    found = peaks(tmp_path / "a.wav", hop_s=1 / RATE_HZ)
    assert np.isfinite(found).all() and np.abs(found).max() <= 1


def test_a_preview_of_a_long_surround_file_is_small_and_stereo(tmp_path: Path) -> None:
    time_s = np.arange(96_000) / 96_000
    channels = [np.sin(2 * np.pi * hz * time_s) for hz in (100, 200, 300, 400, 500, 600)]
    soundfile.write(tmp_path / "a.flac", 0.9 * np.stack(channels, axis=1), 96_000, "PCM_24")
    write_preview(tmp_path / "a.flac", tmp_path / "p.wav", 0.0, 1.0)
    left, rate_hz = soundfile.read(tmp_path / "p.wav")
    assert (rate_hz, left.shape) == (48_000, (48_000, 2))
    heard = [set(np.flatnonzero(np.abs(np.fft.rfft(left[:, ear])) > 1000)) for ear in (0, 1)]
    assert heard == [
        {100, 300, 500},
        {200, 300, 600},
    ]  # centre in both; the low-frequency channel (400) in neither


@pytest.mark.parametrize("joined", [True, False])
def test_a_cut_behind_what_the_header_counts_is_found(joined: bool, tmp_path: Path) -> None:
    rate_hz = 8000
    wave = np.linspace(-0.5, 0.5, 4 * rate_hz).astype(np.float32)
    soundfile.write(tmp_path / "one.wav", wave, rate_hz)
    data = (tmp_path / "one.wav").read_bytes()
    # Two files behind each other, or one whose sizes count a tenth of what is there.
    tenth = (len(data) // 10).to_bytes(4, "little")
    both = data * 2 if joined else data[:4] + tenth + data[8:40] + tenth + data[44:]
    (tmp_path / "x.wav").write_bytes(both)
    start_s = 6.0 if joined else 2.0
    excerpt = cut(tmp_path / "x.wav", tmp_path / "cut.wav", start_s, start_s + 1)
    assert (excerpt.start_s, excerpt.end_s) == (start_s, start_s + 1)
    np.testing.assert_allclose(
        soundfile.read(tmp_path / "cut.wav")[0], wave[2 * rate_hz : 3 * rate_hz], atol=1e-4
    )
