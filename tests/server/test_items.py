"""The files of the library over HTTP: ranges, previews, waveforms; and what is not served."""

from __future__ import annotations

import io
import os
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tones import write_tone

from soundseek.audio.files import DECODING_REVISION
from soundseek.library import Library
from soundseek.model.registry import load_model


@pytest.fixture
def indexed(tmp_path: Path, model_directory: Path) -> Any:
    """A folder to put sounds into, and a function that indexes it into a library."""
    folder = tmp_path.resolve() / "sounds"
    folder.mkdir()

    def index() -> Path:
        with Library.open(tmp_path / "library", model=load_model(model_directory), create=True) as library:
            library.index(folder)
        return tmp_path / "library"

    return folder, index


def test_a_file_comes_as_it_is_whole_or_in_ranges(client: Any, sounds: Path) -> None:
    id, content = client.id_of("tone1.wav"), (sounds / "tone1.wav").read_bytes()
    whole = client.get(f"audio/{id}")
    assert whole.content == content and whole.headers["content-type"] == "audio/wav"
    assert whole.headers["accept-ranges"] == "bytes"
    part = client.get(f"audio/{id}", headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(content)}"
    assert client.get(f"audio/{id}", headers={"Range": "bytes=-10"}).content == content[-10:]
    assert client.get(f"audio/{id}", headers={"Range": f"bytes={len(content) - 5}-"}).content == content[-5:]


@pytest.mark.parametrize(
    "asked", ["bytes=5-1", "bytes=a-b", "lines=1-2", "bytes=", "bytes=0-1,4-5", "bytes=--1"]
)
def test_a_range_that_is_none_is_ignored(client: Any, asked: str) -> None:
    assert client.get(f"audio/{client.id_of('tone1.wav')}", headers={"Range": asked}).status_code == 200


def test_a_range_behind_the_end_is_refused_with_the_length(client: Any, sounds: Path) -> None:
    answer = client.get(f"audio/{client.id_of('tone1.wav')}", headers={"Range": "bytes=99999999-"})
    assert answer.status_code == 416 and answer.json()["type"] == "/problems/range"
    assert answer.headers["content-range"] == f"bytes */{(sounds / 'tone1.wav').stat().st_size}"


def test_a_file_that_has_not_changed_is_not_sent_again(client: Any) -> None:
    path = f"audio/{client.id_of('tone1.wav')}"
    etag = client.get(path).headers["etag"]
    again = client.get(path, headers={"If-None-Match": etag})
    assert again.status_code == 304 and not again.content
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    resumed = client.get(path, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert resumed.status_code == 200  # a part of another file would not fit to what is there


def test_a_download_has_the_name_of_the_file_whatever_its_letters(indexed: Any, serve: Any) -> None:
    folder, index = indexed
    write_tone(folder / 'rä"in.wav', frequency_hz=440)
    client = serve(index())
    (item,) = client.items().values()
    header = client.get(f"audio/{item['id']}", params={"download": True}).headers["content-disposition"]
    assert header == "attachment; filename=\"r__in.wav\"; filename*=UTF-8''r%C3%A4%22in.wav"


@pytest.mark.parametrize(
    ("name", "format", "subtype", "rate_hz", "channels"),
    [
        ("fine.flac", "FLAC", "PCM_24", 96_000, 2),
        ("mac.aiff", "AIFF", "PCM_16", 44_100, 1),
        ("surround.wav", "WAV", "PCM_16", 48_000, 6),
        ("core.caf", "CAF", "PCM_16", 22_050, 2),
    ],
)
def test_what_browsers_cannot_play_has_a_preview_that_they_can(
    indexed: Any, serve: Any, name: str, format: str, subtype: str, rate_hz: int, channels: int
) -> None:
    folder, index = indexed
    time_s = np.arange(rate_hz * 2) / rate_hz
    tone = 0.5 * np.sin(2 * np.pi * 440 * time_s)
    soundfile.write(folder / name, np.stack([tone] * channels, axis=1), rate_hz, subtype, format=format)
    client = serve(index())
    item = client.items()[name]
    assert item["needs_preview"] and item["channels"] == channels
    answer = client.get(f"audio/{item['id']}", params={"preview": "wav", "start_s": 0.5, "end_s": 1.5})
    assert answer.status_code == 200 and answer.headers["content-type"] == "audio/wav"
    with wave.open(io.BytesIO(answer.content)) as heard:
        assert (heard.getframerate(), heard.getnchannels()) == (min(rate_hz, 48_000), min(channels, 2))
        assert heard.getsampwidth() == 2 and heard.getnframes() == pytest.approx(heard.getframerate(), abs=2)
        samples = (
            np.frombuffer(heard.readframes(heard.getnframes()), "<i2").reshape(-1, heard.getnchannels())
            / 32768
        )
    spectrum = np.abs(np.fft.rfft(samples[:, 0]))
    assert np.argmax(spectrum) == pytest.approx(440, abs=1)
    assert np.abs(samples).max() == pytest.approx(
        0.5, abs=0.02
    )  # six equal channels add up to no more than one
    ranged = client.get(
        f"audio/{item['id']}",
        params={"preview": "wav", "start_s": 0.5, "end_s": 1.5},
        headers={"Range": "bytes=0-3"},
    )
    assert ranged.content == b"RIFF"


def test_a_preview_of_nothing_or_of_too_much_is_refused(client: Any) -> None:
    path = f"audio/{client.id_of('long.wav')}"
    for region in ({"start_s": 30}, {"start_s": 5, "end_s": 5}, {"start_s": 9, "end_s": 2}):
        answer = client.get(path, params={"preview": "wav", **region})
        assert answer.status_code == 422 and "22.000 s long" in answer.json()["detail"]
    assert "preview=wav" in client.get(path, params={"start_s": 1}).json()["detail"]
    assert client.get(path, params={"preview": "mp3"}).status_code == 422


def test_peaks_are_the_extremes_of_the_samples(client: Any, sounds: Path) -> None:
    samples, rate_hz = soundfile.read(sounds / "tone1.wav")
    whole = client.get(f"peaks/{client.id_of('tone1.wav')}", params={"n": 4}).json()
    for number, piece in enumerate(np.split(samples, 4)):
        assert whole["max"][number] == pytest.approx(piece.max(), abs=0.01)
        assert whole["min"][number] == pytest.approx(piece.min(), abs=0.01)
    region = {"n": 4, "start_s": 0.5, "end_s": 0.501}  # finer than what is cached
    fine = client.get(f"peaks/{client.id_of('tone1.wav')}", params=region).json()
    expected = [piece.max() for piece in np.split(samples[rate_hz // 2 : rate_hz // 2 + 16], 4)]
    assert fine["max"] == pytest.approx(expected, abs=1e-3)
    assert (fine["start_s"], fine["end_s"], fine["n"]) == (0.5, 0.501, 4)
    many = client.get(f"peaks/{client.id_of('tone1.wav')}", params={"n": 5000}).json()
    assert len(many["min"]) == len(many["max"]) == 5000


def test_peaks_are_made_once_and_kept_beside_the_library(serve: Any, copy_of: Path, monkeypatch: Any) -> None:
    first = serve(copy_of)
    path = f"peaks/{first.id_of('tone1.wav')}"
    answer = first.get(path).json()
    (kept,) = (copy_of / "cache" / "peaks").iterdir()
    assert kept.stem.endswith(f"-r{DECODING_REVISION}")  # other decoding may be another waveform
    assert kept.stat().st_size == 2 * 4000  # two bytes for each of 4,000 pieces
    second = serve(copy_of)
    monkeypatch.setattr(
        second.app.app.app.state.soundseek.media_processes, "run", None
    )  # nothing is decoded again
    assert second.get(path).json() == answer


def test_an_item_that_is_not_there_is_told_apart_from_a_file_that_is_gone(serve: Any, indexed: Any) -> None:
    folder, index = indexed
    write_tone(folder / "a.wav", frequency_hz=440)
    client = serve(index())
    id = client.id_of("a.wav")
    unknown = "0" * 32 + "-" + "0" * 8
    assert client.get(f"audio/{unknown}").status_code == client.get(f"items/{unknown}").status_code == 404
    (folder / "a.wav").unlink()
    for path in (f"audio/{id}", f"peaks/{id}"):
        answer = client.get(path)
        assert answer.status_code == 410 and "index its folder again" in answer.json()["detail"]
    assert client.get(f"items/{id}").json()["is_there"] is False


def test_an_id_follows_a_file_that_moves(serve: Any, indexed: Any) -> None:
    folder, index = indexed
    write_tone(folder / "a.wav", frequency_hz=440)
    client = serve(index())
    id = client.id_of("a.wav")
    (folder / "a.wav").rename(folder / "b.wav")
    index()
    assert client.get(f"items/{id}").json()["name"] == "b.wav"
    assert client.get(f"audio/{id}").status_code == 200


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_a_link_out_of_the_folders_is_not_followed_unless_allowed(
    serve: Any, indexed: Any, tmp_path: Path
) -> None:
    folder, index = indexed
    outside = tmp_path.resolve() / "outside"
    outside.mkdir()
    write_tone(outside / "secret.wav", frequency_hz=880)
    (folder / "link.wav").symlink_to(outside / "secret.wav")
    write_tone(folder / "own.wav", frequency_hz=440)
    (folder / "inside.wav").symlink_to(folder / "own.wav")
    library = index()
    client = serve(library)
    answer = client.get(f"audio/{client.id_of('link.wav')}")
    assert answer.status_code == 403 and "--root" in answer.json()["detail"]
    assert client.get(f"peaks/{client.id_of('link.wav')}").status_code == 403
    assert client.get(f"audio/{client.id_of('inside.wav')}").status_code == 200
    assert serve(library, roots=(outside,)).get(f"audio/{client.id_of('link.wav')}").status_code == 200


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_a_file_that_became_a_link_to_something_else_is_not_read(serve: Any, indexed: Any) -> None:
    folder, index = indexed
    write_tone(folder / "a.wav", frequency_hz=440)
    client = serve(index())
    (folder / "a.wav").unlink()
    (folder / "a.wav").symlink_to("/etc/passwd")
    answer = client.get(f"audio/{client.id_of('a.wav')}")
    assert answer.status_code == 403 and b"root:" not in answer.content
    (folder / "a.wav").unlink()
    (folder / "a.wav").mkdir()
    assert client.get(f"audio/{client.id_of('a.wav')}").status_code == 410


@pytest.mark.parametrize(
    "id",
    [
        "..",
        "../../etc/passwd",
        "%2e%2e%2fetc%2fpasswd",
        "/etc/passwd",
        "%00",
        "a%00b",
        "é",
        "x" * 5000,
        "0" * 32 + "-0000000G",
    ],
)
@pytest.mark.parametrize("route", ["audio", "peaks", "items", "moments"])
def test_nothing_but_an_id_names_a_file(client: Any, route: str, id: str) -> None:
    answer = client.get(f"{route}/{id}")
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.skipif(os.name != "posix", reason="names of any bytes")
def test_a_name_that_is_no_utf8_is_listed_and_played(serve: Any, indexed: Any) -> None:
    folder, index = indexed
    name = os.fsdecode(b"r\xe4in.wav")
    write_tone(folder / name, frequency_hz=440)
    client = serve(index())
    answer = client.get("items")
    assert b"r\\udce4in.wav" in answer.content
    (item,) = client.items().values()
    assert client.get(f"audio/{item['id']}").status_code == 200
    assert client.get(f"peaks/{item['id']}").status_code == 200
    assert client.get(f"audio/{item['id']}", params={"preview": "wav", "download": True}).status_code == 200
    for format in ("csv", "json", "m3u", "zip", "audacity"):
        exported = client.post("export", json={"format": format, "items": [{"id": item["id"]}]})
        assert exported.status_code == 200, format


def test_a_file_is_shown_in_the_file_manager_of_this_machine_alone(
    serve: Any, filled: Path, monkeypatch: Any, tmp_path: Path
) -> None:
    tool = tmp_path / "xdg-open"
    tool.write_text(f'#!/bin/sh\nprintf "%s" "$1" > {tmp_path}/shown\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    client = serve(filled)
    item = client.items()["tone1.wav"]
    if sys.platform == "linux":
        assert client.post(f"items/{item['id']}/show").status_code == 204
        assert (tmp_path / "shown").read_text() == item["folder"]
        tool.write_text("#!/bin/sh\nexit 3\n")
        refused = client.post(f"items/{item['id']}/show")
        assert refused.status_code == 501 and "found no file manager" in refused.json()["detail"]
    assert serve(filled, is_local=False).post(f"items/{item['id']}/show").status_code == 403
