"""Exports: lists, files, cuts and labels, as a download and into a folder."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import soundfile

from soundseek.library import Library
from soundseek.library.hit_formats import csv_text
from soundseek.library.store.base import SoundFile
from soundseek.server import exporting
from soundseek.server.exporting import Names, safe_name
from soundseek.server.items import servable_path
from soundseek.server.problems import ProblemError


@pytest.fixture
def regions(client: Any) -> list[dict[str, Any]]:
    """Two regions of one file and the whole of another."""
    long, tone = client.id_of("long.wav"), client.id_of("tone1.wav")
    return [
        {"id": long, "start_s": 1.0, "end_s": 2.5, "score": 0.5},
        {"id": tone, "score": 0.25},
        {"id": long, "start_s": 20.0, "end_s": 22.0, "score": 0.125},
    ]


def unzipped(answer: Any) -> dict[str, bytes]:
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_lists_are_those_of_the_command_line(client: Any, filled: Path, sounds: Path) -> None:
    hits = client.post("search", json={"text": "tone", "k": 3}).json()["hits"]
    names = ("id", "start_s", "end_s", "score", "moment_s", "match", "keywords")
    items = [{key: hit[key] for key in names} for hit in hits]
    answer = client.post("export", json={"format": "csv", "items": items})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    with Library.open(filled, create=False) as library:
        theirs = list(csv.DictReader(io.StringIO(csv_text(library.search("tone", k=3)))))
    mine = list(csv.DictReader(io.StringIO(answer.text)))
    for row in (*mine, *theirs):
        del row["moments"]  # an item does not carry them
    assert mine == theirs and mine[0]["keywords"] == "tone"
    formula = {**items[0], "keywords": ["=1+1"]}
    assert client.post("export", json={"format": "csv", "items": [formula]}).status_code == 422
    told = client.post("export", json={"format": "json", "items": items}).json()
    assert [each["path"] for each in told] == [hit["path"] for hit in hits]
    playlist = client.post("export", json={"format": "m3u", "items": items})
    assert playlist.text.startswith("#EXTM3U\n") and hits[0]["path"] in playlist.text
    assert 'filename="soundseek.m3u"' in playlist.headers["content-disposition"]


def test_a_zip_holds_each_file_once_bit_for_bit(client: Any, regions: Any, sounds: Path) -> None:
    files = unzipped(client.post("export", json={"format": "zip", "items": regions}))
    assert files == {name: (sounds / name).read_bytes() for name in ("long.wav", "tone1.wav")}


def test_a_zip_keeps_the_dates_of_the_files(client: Any, sounds: Path) -> None:
    answer = client.post("export", json={"format": "zip", "items": [{"id": client.id_of("tone1.wav")}]})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        (about,) = archive.infolist()
    assert about.date_time[:5] == time.localtime((sounds / "tone1.wav").stat().st_mtime)[:5]


def test_cuts_are_named_by_score_name_and_times_and_are_exact(
    client: Any, regions: Any, sounds: Path
) -> None:
    cut = {"before_s": 0.5, "after_s": 0.25}
    files = unzipped(client.post("export", json={"format": "zip", "items": regions, "cut": cut}))
    assert list(files) == [
        "0.500_long_0.500_2.750.wav",
        "0.250_tone1_0.000_2.000.wav",
        "0.125_long_19.500_22.000.wav",  # no handle behind the end
    ]
    whole, rate_hz = soundfile.read(sounds / "long.wav", dtype="int16")
    part, _ = soundfile.read(io.BytesIO(files["0.500_long_0.500_2.750.wav"]), dtype="int16")
    assert part.tolist() == whole[round(0.5 * rate_hz) : round(2.75 * rate_hz)].tolist()
    deeper = {"format": "zip", "items": regions[1:2], "cut": {"format": "wav24"}}
    (content,) = unzipped(client.post("export", json=deeper)).values()
    assert soundfile.info(io.BytesIO(content)).subtype == "PCM_24"


def test_labels_lie_beside_the_files_or_come_alone(client: Any, regions: Any) -> None:
    with_labels = {"format": "zip", "items": regions, "labels": ["audacity", "raven"]}
    files = unzipped(client.post("export", json=with_labels))
    assert files["long.labels.txt"].decode() == (
        "1.000000\t2.500000\tlong 0.50\n20.000000\t22.000000\tlong 0.12\n"
    )
    assert "tone1.labels.txt" in files and "long.selections.txt" in files
    one = client.post("export", json={"format": "reaper", "items": regions[:1], "label_text": " low tones\n"})
    assert one.headers["content-type"].startswith("text/csv")
    assert one.text.splitlines()[1] == "R1,low tones 0.50,0:01.000,0:02.500,0:01.500"
    assert set(unzipped(client.post("export", json={"format": "audacity", "items": regions}))) == {
        "long.labels.txt",
        "tone1.labels.txt",
    }


def test_a_folder_is_written_to_and_nothing_in_it_is_overwritten(
    serve: Any, filled: Path, sounds: Path, tmp_path: Path
) -> None:
    root = tmp_path.resolve()
    (root / "out").mkdir()
    (root / "out" / "tone1.wav").write_text("mine")
    client = serve(filled, roots=(root,))
    request = {"format": "folder", "folder": str(root / "out"), "items": [{"id": client.id_of("tone1.wav")}]}
    answer = client.post("export", json={**request, "labels": ["audacity"]}).json()
    (written,) = answer["files"]
    assert written["path"] == str(root / "out" / "tone1 (2).wav") and answer["skipped"] == []
    assert Path(written["path"]).read_bytes() == (sounds / "tone1.wav").read_bytes()
    assert (root / "out" / "tone1.wav").read_text() == "mine"
    assert (root / "out" / "tone1.labels.txt").read_text() == "0.000000\t2.000000\ttone1\n"
    new = {**request, "folder": f"{root}/new"}
    (made,) = client.post("export", json=new).json()["files"]
    assert Path(made["path"]) == root / "new" / "tone1.wav" and Path(made["path"]).is_file()
    for folder, status in [
        (str(root.parent), 403), (f"{root.parent}/none", 403), (f"{root}/none/deep", 404),
        (f"{root}/out/tone1.wav", 404), ("out", 422),
    ]:  # fmt: skip
        assert client.post("export", json={**request, "folder": folder}).status_code == status
    deep = client.post("export", json={**request, "folder": f"{root}/none/deep"}).json()["detail"]
    assert f"{root}/none is no folder; make that first" in deep and not (root / "none").exists()


def test_a_file_that_is_gone_is_told_of_and_the_others_come(
    serve: Any, tmp_path: Path, model_directory: Path
) -> None:
    from tones import write_tone

    from soundseek.model.registry import load_model

    folder = tmp_path.resolve() / "sounds"
    folder.mkdir()
    for name in ("a", "b"):
        write_tone(folder / f"{name}.wav", frequency_hz=440 if name == "a" else 880)
    with Library.open(tmp_path / "library", model=load_model(model_directory), create=True) as library:
        library.index(folder)
    client = serve(tmp_path / "library")
    items = [{"id": client.id_of(name)} for name in ("a.wav", "b.wav")]
    (folder / "a.wav").unlink()
    for cut in (None, {}):
        files = unzipped(client.post("export", json={"format": "zip", "items": items, "cut": cut}))
        told = files.pop("skipped.txt").decode()
        assert items[0]["id"] in told and "not there any more" in told and len(files) == 1


def test_a_file_that_cannot_be_read_is_told_of_and_the_others_are_copied(
    serve: Any, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def goes(file: Any, roots: Any) -> Path:
        path = servable_path(file, roots)
        return path.with_name("just removed") if path.name == "tone1.wav" else path

    monkeypatch.setattr(exporting, "servable_path", goes)
    client = serve(filled, roots=(tmp_path.resolve(),))
    items = [{"id": client.id_of(name)} for name in ("tone1.wav", "tone2.wav")]
    request = {"format": "folder", "folder": str(tmp_path.resolve()), "items": items}
    answer = client.post("export", json=request).json()
    assert [each["id"] for each in answer["files"]] == [items[1]["id"]]
    assert [each["id"] for each in answer["skipped"]] == [items[0]["id"]]
    assert "cannot be read" in answer["skipped"][0]["reason"]
    nothing = {**request, "folder": str(tmp_path.resolve() / "new"), "items": items[:1]}
    answer = client.post("export", json=nothing).json()
    assert answer["files"] == [] and len(answer["skipped"]) == 1 and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("number", "status", "kind"), [(errno.ENOSPC, 507, "full"), (errno.EACCES, 403, "forbidden")]
)
def test_a_full_disk_is_told_from_a_folder_that_may_not_be_written_to(
    serve: Any,
    filled: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    status: int,
    kind: str,
) -> None:
    def fails(source: Any, folder: Path, name: str) -> None:
        source.close()
        raise OSError(number, os.strerror(number), str(folder / name))

    monkeypatch.setattr(exporting, "_copy", fails)
    client = serve(filled, roots=(tmp_path.resolve(),))
    request = {
        "format": "folder",
        "folder": str(tmp_path.resolve()),
        "items": [{"id": client.id_of("tone1.wav")}],
    }
    answer = client.post("export", json=request)
    assert answer.status_code == status and answer.json()["type"] == f"/problems/{kind}"
    assert os.strerror(number) in answer.json()["detail"]


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("I/O error")

    with pytest.raises(OSError, match="I/O error"):
        exporting._copy(Broken(), tmp_path, "copy.wav")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"format": "folder"}, 422),
        ({"folder": "/tmp"}, 422),
        ({"format": "csv", "cut": {}}, 422),
        ({"items": []}, 422),
        ({"items": [{"id": "0" * 32 + "-" + "0" * 8}]}, 404),
    ],
)
def test_what_makes_no_sense_is_refused(client: Any, change: dict[str, Any], status: int) -> None:
    request = {"format": "zip", "items": [{"id": client.id_of("tone1.wav")}], **change}
    assert client.post("export", json=request).status_code == status


def test_a_region_behind_the_end_is_refused(client: Any) -> None:
    items = [{"id": client.id_of("tone1.wav"), "start_s": 5.0}]
    answer = client.post("export", json={"format": "csv", "items": items})
    assert answer.status_code == 422 and "2.000 s long" in answer.json()["detail"]


def test_names_are_safe_on_every_system_and_never_meet() -> None:
    names = Names()
    assert [names.take("Dog", ".wav"), names.take("dog", ".wav"), names.take("DOG", ".wav")] == [
        "Dog.wav",
        "dog (2).wav",
        "DOG (3).wav",
    ]
    assert safe_name("a\0b\n/\\c") == "a_b___c"
    assert safe_name("é" * 300).encode() == ("é" * 90).encode()
    assert (safe_name(" . "), safe_name("LPT1"), safe_name("r\udce4in")) == ("_", "_LPT1", "r_in")


def test_json_lists_parse_and_keep_odd_names(client: Any, regions: Any) -> None:
    answer = client.post("export", json={"format": "json", "items": regions})
    assert [each["score"] for each in json.loads(answer.content)] == [0.5, 0.25, 0.125]


def test_a_sound_in_a_bucket_is_said_to_lie_there() -> None:
    about = SoundFile(
        path="s3://sounds/dog.wav", size_bytes=1, mtime_ns=1, content_hash=b"", format="WAV",
        sample_rate_hz=44100, channels=1, duration_s=1.0, truncated=False, frame_s=1.0, limit_s=1.0,
    )  # fmt: skip
    with pytest.raises(ProblemError, match=r"s3://sounds/dog\.wav lies in a bucket"):
        servable_path(about, ())
