"""Clotho from its published files to Clotho's layout, on a release of five clips."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from toy_clotho import CLIPS, ToyClotho, make_toy_clotho
from web_server import Site, serving

from soundseek.errors import DataError, UsageError
from soundseek.learn.datasets.clotho import DOWNLOADS, ClothoBuilder
from soundseek.learn.datasets.download import Patience
from soundseek.learn.datasets.layout import read_split

QUICK = Patience(attempts=2, wait_s=0.0, timeout_s=60.0)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> ToyClotho:
    return make_toy_clotho(tmp_path_factory.mktemp("release"))


@pytest.fixture
def site(toy: ToyClotho) -> Site:
    return Site(dict(toy.files))


def build(data: Path, toy: ToyClotho, site: Site, *splits: str) -> list[str]:
    """Build from `site`; what was said."""
    said: list[str] = []
    with serving(site):
        builder = ClothoBuilder(data, mirror=site.url, release=toy.release, patience=QUICK, say=said.append)
        assert builder.build(splits) == {name: len(CLIPS[name]) for name in splits or CLIPS}
    return said


def build_offline(data: Path, toy: ToyClotho) -> None:
    ClothoBuilder(data, mirror="http://127.0.0.1:9", release=toy.release, patience=QUICK).build()


def put(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def test_the_published_files_become_the_common_layout(tmp_path: Path, toy: ToyClotho, site: Site) -> None:
    assert build(tmp_path, toy, site) == []
    clips = read_split(tmp_path, "development")
    assert [clip.path.name for clip in clips] == [name.strip() for name in CLIPS["development"]]
    assert clips[0].captions == tuple(f"r sound {n}, heard" for n in range(5))
    assert [len(read_split(tmp_path, split)) for split in ("validation", "evaluation")] == [1, 1]
    assert sorted(path.name for path in (tmp_path / DOWNLOADS).iterdir()) == sorted(toy.files)


def test_the_metadata_is_utf8_whatever_it_was(tmp_path: Path, toy: ToyClotho, site: Site) -> None:
    build(tmp_path, toy, site)
    with (tmp_path / "metadata_development.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file_name"] for row in rows] == [name.strip() for name in CLIPS["development"]]
    assert {row["manufacturer"] for row in rows} == {"Müller"}


def test_a_second_call_downloads_nothing(tmp_path: Path, toy: ToyClotho, site: Site) -> None:
    build(tmp_path, toy, site)
    before = len(site.requests)
    assert build(tmp_path, toy, site) == []
    assert len(site.requests) == before


def test_one_split_alone_can_be_had(tmp_path: Path, toy: ToyClotho, site: Site) -> None:
    build(tmp_path, toy, site, "evaluation")
    assert {name for name, _ in site.requests} == {name for name in toy.files if "evaluation" in name}


def test_missing_and_cut_off_clips_are_unpacked_again(tmp_path: Path, toy: ToyClotho, site: Site) -> None:
    build(tmp_path, toy, site)
    folder = tmp_path / "development"
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    untouched = (folder / "typical neighborhood.wav").stat().st_mtime_ns
    (folder / "rain.wav").unlink()
    (folder / 'a "loud", long bell.wav').write_bytes(whole['a "loud", long bell.wav'][:100])
    before = len(site.requests)
    assert build(tmp_path, toy, site) == ["development: 2 of 3 clips are missing or cut off; mending"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
    assert (folder / "typical neighborhood.wav").stat().st_mtime_ns == untouched
    assert len(site.requests) == before  # the archive was still there


def test_without_its_archive_a_missing_clip_is_downloaded_again(
    tmp_path: Path, toy: ToyClotho, site: Site
) -> None:
    build(tmp_path, toy, site)
    (tmp_path / DOWNLOADS / "clotho_audio_validation.7z").unlink()
    build(tmp_path, toy, site)  # every clip is there: nothing to fetch
    (tmp_path / "validation" / "Café.wav").unlink()
    before = len(site.requests)
    build(tmp_path, toy, site)
    assert [name for name, _ in site.requests[before:]] == ["clotho_audio_validation.7z"]
    assert (tmp_path / "validation" / "Café.wav").stat().st_size > 0


def test_a_damaged_archive_is_downloaded_again(tmp_path: Path, toy: ToyClotho, site: Site) -> None:
    name = "clotho_audio_development.7z"
    put(tmp_path / DOWNLOADS, {name: toy.files[name][:-50]})
    build(tmp_path, toy, site)
    assert (tmp_path / DOWNLOADS / name).read_bytes() == toy.files[name]


def test_clips_unpacked_by_hand_are_kept_and_given_their_name(
    tmp_path: Path, toy: ToyClotho, site: Site
) -> None:
    build(tmp_path, toy, site, "development")
    folder = tmp_path / "development"
    (folder / "typical neighborhood.wav").rename(folder / " typical neighborhood.wav")
    said = build(tmp_path, toy, site, "development")
    assert len(said) == 1 and said[0].endswith(" is now typical neighborhood.wav")
    assert sorted(path.name for path in folder.iterdir()) == sorted(n.strip() for n in CLIPS["development"])


@pytest.mark.parametrize("place", ["", DOWNLOADS])
def test_files_put_there_by_hand_need_no_internet(tmp_path: Path, toy: ToyClotho, place: str) -> None:
    put(tmp_path / place, toy.files)
    build_offline(tmp_path, toy)
    assert len(read_split(tmp_path, "development")) == 3


def test_without_internet_one_sentence_says_what_to_put_where(tmp_path: Path, toy: ToyClotho) -> None:
    put(tmp_path, {name: content for name, content in toy.files.items() if "captions" in name})
    with pytest.raises(DataError) as error:
        build_offline(tmp_path, toy)
    message = str(error.value)
    assert "\n" not in message
    for name in toy.files:
        assert (name in message) == ("captions" not in name)
    assert "by hand from https://example.org/clotho" in message
    assert f"put them into {tmp_path / DOWNLOADS}, and run the same command again" in message


def test_no_space_for_unpacking_is_said_before_it_starts(
    tmp_path: Path, toy: ToyClotho, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, toy.files)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(DataError, match=r"unpacking clotho_audio_development\.7z needs"):
        build_offline(tmp_path, toy)
    assert not (tmp_path / "captions_development.csv").exists()


def test_a_table_of_captions_appears_only_when_its_sounds_are_there(
    tmp_path: Path, toy: ToyClotho, site: Site
) -> None:
    del site.files["clotho_audio_validation.7z"]
    with serving(site), pytest.raises(DataError, match="404 Not Found"):
        ClothoBuilder(tmp_path, mirror=site.url, release=toy.release, patience=QUICK).build()
    assert (tmp_path / "captions_development.csv").exists()
    assert not (tmp_path / "captions_validation.csv").exists()


def test_an_unknown_split_is_named(tmp_path: Path, toy: ToyClotho) -> None:
    with pytest.raises(UsageError, match="Clotho has no split 'test'; it has development, validation, eval"):
        ClothoBuilder(tmp_path, release=toy.release).build(["test"])
