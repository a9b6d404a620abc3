"""m4a and its kind come through PyAV with the same care; without PyAV the error names the extra."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from audio.bad_files import RATE_HZ, tone

from soundseek._install import install_command
from soundseek.audio.decode import open_audio, probe, read_audio
from soundseek.audio.downmix import HIDING_SHARE
from soundseek.audio.joined import joined_parts
from soundseek.audio.seams import find_spans
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


KINDS = {
    "x.m4a": "MP4", "x.mov": "MP4", "x.tta": "True Audio", "x.wv": "WavPack", "x.wma": "WMA", "x.flv": "FLV"
}  # fmt: skip


def write(path: Path, wave: npt.NDArray[np.float32], codec: str) -> None:
    """Encode `(frames, channels)` with FFmpeg."""
    layout = {1: "mono", 2: "stereo"}[wave.shape[1]]
    rate_hz = {"libopus": 48_000, "g722": 16_000}.get(codec, RATE_HZ)
    with av.open(str(path), "w", format="adts" if path.suffix == ".aac" else None) as container:
        stream = container.add_stream(codec, rate=rate_hz, layout=layout)
        stream.bit_rate = 128_000
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave.T), format="fltp", layout=layout)
        frame.sample_rate = RATE_HZ
        frame_size = {"libopus": 960, "flac": 4608}.get(codec, 1024)
        resampler = av.AudioResampler(
            format=stream.codec_context.format.name, layout=layout, rate=rate_hz, frame_size=frame_size
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            for packet in stream.encode(piece):
                container.mux(packet)
        for packet in stream.encode(None):
            if packet.size:  # FLAC's last packet only says what the header should have said
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
    # Not half as loud, and not 1 / sqrt(2): the channels are mixed as those of every other format.
    assert np.sqrt(np.mean(waveform**2)) == pytest.approx(
        0.3 / np.sqrt(2) * np.sqrt(HIDING_SHARE / 4), rel=0.05
    )


def write_tracks(path: Path, waves: list[npt.NDArray[np.float32]], rates_hz: list[int], codec: str) -> None:
    """Mono tracks that sound at once."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream(codec, rate=rate_hz, layout="mono") for rate_hz in rates_hz]
        for wave, stream, rate_hz in zip(waves, streams, rates_hz, strict=True):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave.T), format="fltp", layout="mono")
            frame.sample_rate = rate_hz
            resampler = av.AudioResampler(format=stream.codec_context.format.name, frame_size=1024)
            for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
                for packet in stream.encode(piece):
                    container.mux(packet)


@pytest.mark.parametrize("name", ["x.m4a", "x.mov", "x.mkv"])
def test_a_silent_first_track_hides_no_other(name: str, tmp_path: Path) -> None:
    write_tracks(tmp_path / name, [tone(2) * 0, tone(2)], [RATE_HZ] * 2, "aac")
    with open_audio(tmp_path / name, sample_rate_hz=8000) as stream:
        waveform = np.concatenate(list(stream))
    assert stream.info.channels == 2
    assert stream.info.duration_s == pytest.approx(2, abs=0.05)
    assert np.abs(np.fft.rfft(waveform)).argmax() * 8000 / len(waveform) == pytest.approx(440, abs=1)


def test_tracks_of_other_rates_and_lengths_sound_at_once(tmp_path: Path) -> None:
    write_tracks(tmp_path / "x.mkv", [tone(1), tone(3)[::2]], [RATE_HZ, RATE_HZ // 2], "pcm_s16le")
    with open_audio(tmp_path / "x.mkv", sample_rate_hz=RATE_HZ) as stream:
        waveform = np.concatenate(list(stream))
    assert stream.info.duration_s == pytest.approx(3, abs=0.01)
    level = [np.sqrt(np.mean(second**2)) for second in np.array_split(waveform, 3)]
    assert level[0] == pytest.approx(0.3 / 2**0.5, rel=0.1)
    assert level[2] == pytest.approx(
        0.3 / 2**0.5 * np.sqrt(HIDING_SHARE / 4), rel=0.1
    )  # one channel is silent


def test_tracks_that_cancel_are_heard(tmp_path: Path) -> None:
    write_tracks(tmp_path / "x.mka", [tone(2), -tone(2)], [RATE_HZ] * 2, "pcm_s16le")
    waveform = read_audio(tmp_path / "x.mka", sample_rate_hz=RATE_HZ)
    assert np.sqrt(np.mean(waveform[500:] ** 2)) == pytest.approx(0.3 / 2**0.5, rel=0.05)


@pytest.mark.parametrize(
    ("name", "codec", "format_name", "kind"),
    [
        ("x.oga", "flac", "OGG/FLAC", "FLAC in Ogg"),
        ("x.wav", "g722", "WAV/G722", "G.722 in WAV"),
    ],
)
def test_what_libsndfile_does_not_read_is_offered_to_ffmpeg(
    name: str, codec: str, format_name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no encoder {codec}")
    write(tmp_path / name, tone(2), codec)
    with open_audio(tmp_path / name, sample_rate_hz=8000) as stream:
        waveform = np.concatenate(list(stream))
    assert stream.info.format == format_name
    assert len(waveform) / 8000 == pytest.approx(2, abs=0.1)
    assert np.abs(np.fft.rfft(waveform)).argmax() * 8000 / len(waveform) == pytest.approx(440, abs=1)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(DecodeError) as caught:
        read_audio(tmp_path / name, sample_rate_hz=8000)
    assert caught.value.reason == f"{kind} needs one more package: {install_command('formats')}"


def test_a_damaged_file_of_a_kind_that_is_read_lacks_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "whole.ogg", tone(2), RATE_HZ)
    (tmp_path / "cut.ogg").write_bytes((tmp_path / "whole.ogg").read_bytes()[:3000])
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(DecodeError) as caught:
        read_audio(tmp_path / "cut.ogg", sample_rate_hz=8000)
    assert caught.value.reason.startswith("damaged") and "needs one more package" not in caught.value.reason


@pytest.mark.parametrize(
    ("name", "format_name", "subtype"),
    [("a.wav", "WAV", "PCM_16"), ("a.rf64", "RF64", "PCM_16"), ("a.w64", "W64", "PCM_16"),
     ("a.flac", "FLAC", "PCM_16"), ("a.ogg", "OGG", "VORBIS"), ("a.opus", "OGG", "OPUS"),
     ("a.aiff", "AIFF", "PCM_16"), ("a.mp3", "MP3", "MPEG_LAYER_III"),
     ("a.au", "AU", "PCM_16"), ("a.caf", "CAF", "PCM_16")],
)  # fmt: skip
def test_a_file_that_is_cut_inside_its_header_lacks_no_package(
    name: str, format_name: str, subtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / name, tone(1), 48_000, format=format_name, subtype=subtype)
    whole = (tmp_path / name).read_bytes()
    monkeypatch.setitem(sys.modules, "av", None)
    for num_bytes in (4, 8, 12, 16, 20, 28, 30, 36, 44, 52, 60, 72, 90, 120):
        (tmp_path / name).write_bytes(whole[:num_bytes])
        with pytest.raises(DecodeError) as caught:
            read_audio(tmp_path / name, sample_rate_hz=8000)
        assert "package" not in caught.value.reason and "pip" not in caught.value.reason, num_bytes


@pytest.mark.parametrize("milliseconds", [20, 50, 200])
def test_short_opus_files_are_decoded(milliseconds: int, tmp_path: Path) -> None:
    write(tmp_path / "x.opus", tone(milliseconds / 1000), "libopus")
    assert 0.01 < len(read_audio(tmp_path / "x.opus", sample_rate_hz=48_000)) / 48_000 < 0.25


@pytest.mark.parametrize("milliseconds", [10, 20, 50])
@pytest.mark.parametrize(
    ("name", "codec"),
    [("x.wma", "wmav2"), ("x.wma", "wmav1"), ("x.aac", "aac"), ("x.mp2", "mp2"), ("x.ac3", "ac3")],
)
def test_clicks_shorter_than_a_block_of_their_codec_are_decoded(
    name: str, codec: str, milliseconds: int, tmp_path: Path
) -> None:
    """A click at a third of the file. Decoders drop the first blocks of a WMA, and take a lone block for no stream."""
    wave = np.zeros((round(milliseconds / 1000 * RATE_HZ), 1), np.float32)
    third = len(wave) // 3
    wave[third : third + 200] = np.random.default_rng(0).normal(0, 0.3, (len(wave[third : third + 200]), 1))
    write(tmp_path / name, wave, codec)
    assert np.abs(read_audio(tmp_path / name, sample_rate_hz=RATE_HZ)).max() > 0.2


ID3 = b"ID3\x03\0\0\0\x02\0\0" + bytes(32_768)
APE = b"APETAGEX" + (2000).to_bytes(4, "little") + (32).to_bytes(4, "little") + bytes(16)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("x.aac", "aac"),
        ("x.tta", "tta"),
        ("x.wv", "wavpack"),
        ("x.mka", "flac"),
        ("x.wma", "wmav2"),
        ("x.ac3", "ac3"),
    ],
)
@pytest.mark.parametrize(("front", "behind"), [(ID3, b""), (b"", bytes(100_000)), (b"", APE), (ID3, APE)])
def test_tags_and_unused_blocks_around_the_sound_take_nothing_of_it(
    name: str, codec: str, front: bytes, behind: bytes, tmp_path: Path
) -> None:
    write(tmp_path / name, tone(2), codec)
    alone = read_audio(tmp_path / name, sample_rate_hz=8000)
    (tmp_path / name).write_bytes(front + (tmp_path / name).read_bytes() + behind)
    around = read_audio(tmp_path / name, sample_rate_hz=8000)
    assert len(around) == pytest.approx(len(alone), rel=0.02)


@pytest.mark.parametrize("filler", [bytes(1 << 20), b"\xff" * 4096, b"<html>interrupted</html>\n" * 200])
@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("x.ac3", "ac3"),
        ("x.eac3", "eac3"),
        ("x.avi", "pcm_s16le"),
        ("x.ts", "aac"),
        ("x.mp2", "mp2"),
        ("x.oga", "flac"),
    ],
)
def test_filler_behind_the_sound_neither_shortens_nor_lengthens_it(
    name: str, codec: str, filler: bytes, tmp_path: Path
) -> None:
    write(tmp_path / name, tone(2), codec)
    alone = read_audio(tmp_path / name, sample_rate_hz=RATE_HZ)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + filler)
    assert len(read_audio(tmp_path / name, sample_rate_hz=RATE_HZ)) == len(alone)


@pytest.mark.parametrize("codec", ["ac3", "eac3"])
def test_filler_between_frames_loses_none_of_them(codec: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{codec}"
    write(path, tone(2), codec)
    alone, content = read_audio(path, sample_rate_hz=RATE_HZ), path.read_bytes()
    frame_bytes = content.find(b"\x0b\x77", 2)
    half = len(content) // frame_bytes // 2 * frame_bytes
    path.write_bytes(content[:half] + bytes(700) + content[half:])
    assert len(read_audio(path, sample_rate_hz=RATE_HZ)) == len(alone)


def test_frames_inside_a_container_are_no_second_recording(tmp_path: Path) -> None:
    mp3, mp4 = tmp_path / "x.mp3", tmp_path / "x.mp4"
    soundfile.write(mp3, tone(1), RATE_HZ)
    write(mp4, tone(1), "aac")
    frames = mp3.read_bytes()
    for box in (b"free", b"GPMF", b"mdat"):
        inside = (8 + len(frames)).to_bytes(4, "big") + box + frames
        (tmp_path / "y.mp4").write_bytes(mp4.read_bytes() + inside)
        assert find_spans(str(tmp_path / "y.mp4")) == []
    (tmp_path / "cut.mp4").write_bytes((mp4.read_bytes() + inside)[:-500])
    assert find_spans(str(tmp_path / "cut.mp4")) == []
    # A box that goes on behind the size that it states.
    longer = mp4.read_bytes() + (108).to_bytes(4, "big") + b"mdat" + b"\1" * 100 + b"\7" * 500 + frames
    (tmp_path / "longer.mp4").write_bytes(longer)
    assert find_spans(str(tmp_path / "longer.mp4")) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [("x.m4a", "x.mka"), ("x.mka", "x.ac3"), ("x.aac", "x.tta"), ("x.ac3", "x.wv"), ("x.tta", "x.wma"),
     ("x.wma", "x.flv"), ("x.flv", "x.ts"), ("x.ts", "x.avi"), ("x.avi", "x.oga"), ("x.oga", "x.wv"),
     ("x.wv", "x.m4a")],
)  # fmt: skip
def test_containers_of_two_kinds_follow_each_other(first: str, second: str, tmp_path: Path) -> None:
    codecs = {"x.m4a": "aac", "x.mka": "flac", "x.ac3": "ac3", "x.aac": "aac", "x.tta": "tta", "x.wv": "wavpack",
              "x.wma": "wmav2", "x.flv": "aac", "x.ts": "aac", "x.avi": "pcm_s16le", "x.oga": "flac"}  # fmt: skip
    lengths = []
    for name in (first, second):
        write(tmp_path / name, tone(1), codecs[name])
        lengths.append(len(read_audio(tmp_path / name, sample_rate_hz=8000)))
    path = tmp_path / f"both.{first[2:]}"
    path.write_bytes((tmp_path / first).read_bytes() + (tmp_path / second).read_bytes())
    assert len(read_audio(path, sample_rate_hz=8000)) == pytest.approx(sum(lengths), abs=4)


def test_a_wma_that_is_cut_off_names_both_lengths(tmp_path: Path) -> None:
    write(tmp_path / "x.wma", tone(6), "wmav2")
    data = (tmp_path / "x.wma").read_bytes()
    (tmp_path / "x.wma").write_bytes(data[: len(data) // 2])
    with pytest.raises(
        DecodeError, match=r"truncated: its header says 6\.\d s, (2\.9|3\.\d) s could be decoded"
    ):
        read_audio(tmp_path / "x.wma", sample_rate_hz=8000)


def test_all_tracks_of_an_ogg_are_decoded(tmp_path: Path) -> None:
    """The second one is the longer one, and the first one silent."""
    write_tracks(tmp_path / "x.ogg", [tone(1) * 0, tone(2)], [48_000] * 2, "libopus")
    with open_audio(tmp_path / "x.ogg", sample_rate_hz=8000) as stream:
        waveform = np.concatenate(list(stream))
    assert stream.info.channels == 2
    assert stream.info.duration_s == pytest.approx(2 * RATE_HZ / 48_000, abs=0.1)
    assert np.abs(waveform).max() > 0.1


def test_a_track_of_a_matroska_begins_where_its_first_packet_says(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "x.mka"), "w") as container:
        streams = [container.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono") for _ in range(2)]
        for number, stream in enumerate(streams):
            frame = av.AudioFrame.from_ndarray(
                (tone(1).T * 32_767).astype(np.int16), format="s16", layout="mono"
            )
            frame.sample_rate, frame.pts = RATE_HZ, number * 5 * RATE_HZ
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)
    assert len(read_audio(tmp_path / "x.mka", sample_rate_hz=8000)) / 8000 == pytest.approx(6, abs=0.05)


def test_a_video_longer_than_its_sound_is_no_truncated_sound(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "x.mkv"), "w") as container:
        video, sound = (
            container.add_stream("mpeg4", rate=10),
            container.add_stream("aac", rate=RATE_HZ, layout="mono"),
        )
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        for number in range(40):
            picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
            picture.pts = number
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(tone(1).T), format="fltp", layout="mono")
        frame.sample_rate = RATE_HZ
        for piece in [*av.AudioResampler(format="fltp", frame_size=1024).resample(frame), None]:
            container.mux(sound.encode(piece))
    assert len(read_audio(tmp_path / "x.mkv", sample_rate_hz=8000)) / 8000 == pytest.approx(1, abs=0.1)


def test_joined_files_in_a_codec_that_libsndfile_does_not_know_are_decoded_to_the_end(tmp_path: Path) -> None:
    write(tmp_path / "x.wav", tone(1), "g722")
    alone = read_audio(tmp_path / "x.wav", sample_rate_hz=8000)
    (tmp_path / "x.wav").write_bytes((tmp_path / "x.wav").read_bytes() * 2)
    assert len(read_audio(tmp_path / "x.wav", sample_rate_hz=8000)) == pytest.approx(2 * len(alone), rel=0.01)


def test_joined_aac_of_two_rates_is_decoded_to_its_end(tmp_path: Path) -> None:
    write(tmp_path / "x.aac", tone(2), "aac")
    one = (tmp_path / "x.aac").read_bytes()
    with av.open(str(tmp_path / "y.aac"), "w", format="adts") as container:
        stream = container.add_stream("aac", rate=22_050, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.repeat(tone(2).T, 2, axis=0), format="fltp", layout="stereo")
        frame.sample_rate = 22_050
        for piece in [*av.AudioResampler(frame_size=1024).resample(frame), None]:
            for packet in stream.encode(piece):
                container.mux(packet)
    (tmp_path / "z.aac").write_bytes(one + (tmp_path / "y.aac").read_bytes())
    assert len(read_audio(tmp_path / "z.aac", sample_rate_hz=8000)) / 8000 == pytest.approx(6, abs=0.2)


def test_packets_that_cannot_be_decoded_are_a_failure_and_no_shorter_sound(tmp_path: Path) -> None:
    write(tmp_path / "x.aac", tone(4), "aac")
    data = bytearray((tmp_path / "x.aac").read_bytes())
    starts = [at for at in range(len(data) - 1) if data[at] == 0xFF and data[at + 1] & 0xF6 == 0xF0]
    for start, end in list(zip(starts, [*starts[1:], len(data)], strict=True))[40::2]:
        data[start + 7 : end] = np.random.default_rng(start).bytes(end - start - 7)
    (tmp_path / "x.aac").write_bytes(data)
    with pytest.raises(DecodeError, match=r"damaged AAC: \d+ of \d+ packets cannot be decoded"):
        read_audio(tmp_path / "x.aac", sample_rate_hz=8000)


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


@pytest.mark.parametrize("name", CODECS)
def test_a_truncated_file_names_both_lengths_where_it_states_one(name: str, tmp_path: Path) -> None:
    codec, _ = CODECS[name]
    write(tmp_path / name, tone(4), codec)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    if name in ("tone.aac", "tone.ac3"):
        assert len(read_audio(tmp_path / name, sample_rate_hz=8000)) / 8000 == pytest.approx(2, abs=0.15)
        return
    with pytest.raises(DecodeError) as caught:
        read_audio(tmp_path / name, sample_rate_hz=8000)
    if name in ("tone.m4a", "tone.mp4"):  # the index, without which nothing can be read, is at the end
        assert caught.value.reason.startswith("damaged MP4, or cut off: ")
    else:
        assert re.search(
            r"4\.\d s, (1\.[89]|2\.[01]) s could be decoded|beyond [12]\.\d s of 4\.\d s$",
            caught.value.reason,
        )


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("x.m4a", "aac"),
        ("x.mov", "aac"),
        ("x.tta", "tta"),
        ("x.wv", "wavpack"),
        ("x.wma", "wmav2"),
        ("x.flv", "aac"),
    ],
)
def test_of_joined_files_all_are_decoded_though_ffmpeg_plays_the_first_alone(
    name: str, codec: str, tmp_path: Path
) -> None:
    """A tone, and one of twice the pitch."""
    write(tmp_path / name, tone(1), codec)
    first = (tmp_path / name).read_bytes()
    assert not joined_parts(io.BytesIO((tmp_path / name).read_bytes()), KINDS[name])
    alone = read_audio(tmp_path / name, sample_rate_hz=8000)
    write(tmp_path / name, tone(2)[::2], codec)
    between = b"TAG of another program" if codec in ("tta", "wmav2") else b""
    (tmp_path / name).write_bytes(first + between + (tmp_path / name).read_bytes())
    both = read_audio(tmp_path / name, sample_rate_hz=8000)
    assert len(both) == pytest.approx(2 * len(alone), rel=0.02)
    pitches = [np.abs(np.fft.rfft(half)).argmax() * 8000 / len(half) for half in np.array_split(both, 2)]
    assert pitches[1] == pytest.approx(2 * pitches[0], rel=0.05)


def test_fragments_are_one_mp4_and_letters_are_no_header(tmp_path: Path) -> None:
    def box(name: bytes, content: bytes = b"") -> bytes:
        return (8 + len(content)).to_bytes(4, "big") + name + content

    path = tmp_path / "x"
    path.write_bytes(box(b"ftyp") + box(b"moov") + box(b"moof") + box(b"ftyp") + box(b"moov"))
    assert joined_parts(io.BytesIO(path.read_bytes()), "MP4") == []
    path.write_bytes(b"TTA1" + bytes(18) + b"TTA1" + b"x" * 40)
    assert joined_parts(io.BytesIO(path.read_bytes()), "True Audio") == []


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


def test_opus_whose_time_steps_back_is_read_to_its_end(tmp_path: Path) -> None:
    """Encoders that follow a clock write such pages; libsndfile 1.2 stops there, FFmpeg and players do not."""
    wave = tone(12)[:, 0]  # taken to be at 48 kHz
    with av.open(str(tmp_path / "x.opus"), "w") as container:
        stream = container.add_stream("libopus", rate=48_000, layout="mono")
        resampler = av.AudioResampler(format=stream.codec_context.format.name)
        for start in range(0, len(wave), 960):
            frame = av.AudioFrame.from_ndarray(wave[None, start : start + 960], format="fltp", layout="mono")
            frame.sample_rate = 48_000
            for piece in resampler.resample(frame):
                piece.pts = start - 480 * (start >= 400 * 960)
                container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.read(tmp_path / "x.opus")
    found = read_audio(tmp_path / "x.opus", sample_rate_hz=48_000)
    assert len(found) == pytest.approx(len(wave), abs=960)
    np.testing.assert_allclose(found[48_000:-48_000], wave[48_000 : len(found) - 48_000], atol=0.05)
