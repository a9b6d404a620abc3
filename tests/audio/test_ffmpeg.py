"""m4a and its kind come through PyAV with the same care; without PyAV the error names the extra."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from audio.bad_files import RATE_HZ, tone

from soundseek._install import install_command
from soundseek.audio.decode import open_audio, probe, read_audio
from soundseek.errors import DecodeError

av = pytest.importorskip("av", reason='pip install "soundseek[formats]"')

CODECS = {
    "tone.m4a": ("aac", "MP4/AAC"),
    "tone.mp4": ("alac", "MP4/ALAC"),
    "tone.aac": ("aac", "AAC"),
    "tone.wma": ("wmav2", "ASF/WMAV2"),
    "tone.webm": ("libopus", "MATROSKA/OPUS"),
    "tone.mka": ("pcm_s16le", "MATROSKA/PCM_S16LE"),
    "tone.ac3": ("ac3", "AC3"),
    "tone.wv": ("wavpack", "WV/WAVPACK"),
    "tone.tta": ("tta", "TTA"),
}


def write(path: Path, wave: npt.NDArray[np.float32], codec: str) -> None:
    """Encode `(frames, channels)` with FFmpeg."""
    layout = {1: "mono", 2: "stereo"}[wave.shape[1]]
    rate_hz = 48_000 if codec == "libopus" else RATE_HZ
    with av.open(str(path), "w", format="adts" if path.suffix == ".aac" else None) as container:
        stream = container.add_stream(codec, rate=rate_hz, layout=layout)
        stream.bit_rate = 128_000
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave.T), format="fltp", layout=layout)
        frame.sample_rate = RATE_HZ
        resampler = av.AudioResampler(
            format=stream.codec_context.format.name, layout=layout, rate=rate_hz, frame_size=1024
        )
        if codec == "libopus":
            resampler = av.AudioResampler(
                format=stream.codec_context.format.name, layout=layout, rate=rate_hz, frame_size=960
            )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            for packet in stream.encode(piece):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)


@pytest.mark.parametrize("name", CODECS)
def test_every_format_of_the_extra_gives_the_same_tone(name: str, tmp_path: Path) -> None:
    codec, format_name = CODECS[name]
    write(tmp_path / name, tone(2, channels=2) * np.float32([1, 0]), codec)
    with open_audio(tmp_path / name, sample_rate_hz=32_000) as stream:
        waveform = np.concatenate(list(stream))
    assert (stream.info.format, stream.info.channels) == (format_name, 2)
    assert stream.info.duration_s == pytest.approx(2, abs=0.07)
    assert np.abs(np.fft.rfft(waveform)).argmax() * 32_000 / len(waveform) == pytest.approx(440, abs=1)
    # Half as loud, not 1 / sqrt(2): the channels are averaged here, too.
    assert np.sqrt(np.mean(waveform**2)) == pytest.approx(0.3 / np.sqrt(2) / 2, rel=0.05)


def test_the_content_decides_and_not_the_extension(tmp_path: Path) -> None:
    write(tmp_path / "tone.m4a", tone(1), "aac")
    (tmp_path / "tone.m4a").rename(tmp_path / "tone.wav")
    assert probe(tmp_path / "tone.wav").format == "MP4/AAC"


def test_blocks_of_a_long_file_are_ten_seconds_and_the_cap_holds(tmp_path: Path) -> None:
    write(tmp_path / "x.m4a", tone(23), "aac")
    with open_audio(tmp_path / "x.m4a", sample_rate_hz=8000) as stream:
        assert [round(len(block) / 8000) for block in stream][:2] == [10, 10]
    with open_audio(tmp_path / "x.m4a", sample_rate_hz=8000, max_duration_s=12) as stream:
        assert sum(len(block) for block in stream) == pytest.approx(96_000, abs=2)
    assert stream.info.truncated


def test_a_truncated_file_names_both_lengths(tmp_path: Path) -> None:
    write(tmp_path / "x.mka", tone(4), "pcm_s16le")
    data = (tmp_path / "x.mka").read_bytes()
    (tmp_path / "x.mka").write_bytes(data[: len(data) // 2])
    with pytest.raises(
        DecodeError, match=r"truncated: its header says 4\.0 s, (1\.9|2\.0) s could be decoded"
    ):
        read_audio(tmp_path / "x.mka", sample_rate_hz=8000)


def test_an_m4a_without_its_index_is_damaged(tmp_path: Path) -> None:
    write(tmp_path / "x.m4a", tone(4), "aac")
    data = (tmp_path / "x.m4a").read_bytes()
    (tmp_path / "x.m4a").write_bytes(data[: len(data) // 2])
    with pytest.raises(DecodeError, match="damaged MP4, or cut off: Invalid data"):
        read_audio(tmp_path / "x.m4a", sample_rate_hz=8000)


def test_a_video_without_sound_says_so(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "x.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for packet in stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))):
            container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    with pytest.raises(DecodeError, match="MP4 without a sound track"):
        read_audio(tmp_path / "x.mp4", sample_rate_hz=8000)


def test_damaged_files_decode_sanely_or_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "x.m4a", tone(1), "aac")
    data = (tmp_path / "x.m4a").read_bytes()
    for seed in range(40):
        generator = np.random.default_rng(seed)
        flipped = bytearray(data)
        for position in generator.integers(8, len(data), size=12):
            flipped[position] ^= 1 << generator.integers(8)
        (tmp_path / "x.m4a").write_bytes(flipped)
        try:
            waveform = read_audio(tmp_path / "x.m4a", sample_rate_hz=8000, max_duration_s=60)
        except DecodeError as error:
            assert error.reason
        else:
            assert np.isfinite(waveform).all()
    assert capfd.readouterr().err == ""


def test_a_playlist_in_disguise_opens_nothing(tmp_path: Path) -> None:
    write(tmp_path / "secret.m4a", tone(1), "aac")
    binary = b"\xef\xbb\xbf#EXTM3U\n#EXTINF:1,\nsecret.m4a\n\0"
    (tmp_path / "list.m4a").write_bytes(binary)
    with pytest.raises(DecodeError):
        read_audio(tmp_path / "list.m4a", sample_rate_hz=8000)


def test_without_pyav_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "x.m4a", tone(1), "aac")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(DecodeError) as caught:
        read_audio(tmp_path / "x.m4a", sample_rate_hz=8000)
    assert caught.value.reason == f"MP4 needs one more package: {install_command('formats')}"
