"""Hits of a library: copies are one, what is not there is none, and vectors that are there are used."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tones import write_tone
from toy_model import make_toy_model

from soundseek.errors import LibraryError, QueryError, UsageError
from soundseek.library import Hit, Library
from soundseek.library.explain import explain_file
from soundseek.model.model import Model


class Counted(Model):
    """A model that notes what it embeds."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.files: list[str] = []

    def embed_file(self, path: str | os.PathLike[str], **options: object) -> object:  # type: ignore[override]
        self.files.append(Path(path).name)
        return super().embed_file(path, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Counted:
    return Counted(make_toy_model(tmp_path_factory.mktemp("models") / "toy"))


@pytest.fixture
def library(tmp_path: Path, model: Counted) -> Iterator[Library]:
    """Two tones, the first three times: in two folders, and 22 s long."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    write_tone(tmp_path / "a" / "low.wav", frequency_hz=200)
    write_tone(tmp_path / "a" / "long.wav", frequency_hz=300, duration_s=22)
    write_tone(tmp_path / "b" / "high.wav", frequency_hz=2000)
    shutil.copy(tmp_path / "a" / "low.wav", tmp_path / "b" / "copy.wav")
    shutil.copy(tmp_path / "a" / "low.wav", tmp_path / "b" / "copy 2.wav")
    with Library.create(tmp_path / "library", model=model) as opened:
        opened.index(tmp_path / "a", tmp_path / "b")
        model.files.clear()
        yield opened


def names(hits: list[Hit]) -> list[str]:
    return sorted(Path(hit.path).name for hit in hits)


def test_copies_are_one_hit_that_names_the_others(library: Library, tmp_path: Path) -> None:
    hits = library.search("tone", k=3)
    assert len(hits) == 3 and {"high.wav", "long.wav"} < set(names(hits))
    (low,) = (hit for hit in hits if hit.also_at)
    found = {Path(path).name for path in (low.path, *low.also_at)}
    assert found == {"low.wav", "copy.wav", "copy 2.wav"} and len(low.also_at) == 2
    assert len(library.search("tone", k=9, duplicates="show")) == 5
    assert all(hit.also_at == () for hit in library.search("tone", k=9, duplicates="show"))


def test_segments_of_copies_come_from_one_of_them(library: Library) -> None:
    hits = library.search("tone", k=99, segments=True)
    assert len({hit.path for hit in hits}) == 3
    assert len({(hit.path, hit.start_s) for hit in hits}) == len(hits)


def test_a_condition_decides_which_copy_answers(library: Library, tmp_path: Path) -> None:
    (hit,) = library.search("tone", where="name = 'copy 2.wav'")
    assert Path(hit.path).name == "copy 2.wav" and len(hit.also_at) == 2


def test_what_is_not_there_is_no_hit(
    library: Library, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "b" / "high.wav").unlink()
    (tmp_path / "b" / "copy.wav").unlink()
    hits = library.search("tone", k=9)
    assert set(names(hits)) <= {"long.wav", "low.wav", "copy 2.wav"} and len(hits) == 2
    assert not any("copy.wav" in path for hit in hits for path in hit.also_at)
    assert len(library.search("tone", k=9, missing="show", duplicates="show")) == 5
    (tmp_path / "a").rename(tmp_path / "unplugged")
    for _ in range(2):
        assert names(library.search("tone", k=1)) == ["copy 2.wav"]
    assert [
        record.getMessage() for record in caplog.records if "is not there now" in record.getMessage()
    ] == [
        f"{tmp_path}/a is not there now, and its sounds are left out (--missing show lists them). If it was renamed or "
        f"moved: soundseek index NEWFOLDER; if it is gone for good: soundseek forget {tmp_path}/a"
    ]
    assert library.info().missing_folders == (f"{tmp_path}/a",)


def test_wrong_choices_are_refused(library: Library) -> None:
    with pytest.raises(QueryError, match="duplicates is 'none'; it takes 'show' or 'hide'"):
        library.search("tone", duplicates="none")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="the path of an example sound is empty"):
        library.search(like=[""])
    with pytest.raises(UsageError, match="a folder to index is empty"):
        library.index("")


def test_a_sound_is_not_like_itself_by_whatever_name(
    library: Library, tmp_path: Path, model: Counted
) -> None:
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "linked.wav").symlink_to(tmp_path / "a" / "low.wav")
    os.link(tmp_path / "a" / "low.wav", tmp_path / "hard.wav")
    for name in ("a/low.wav", "b/../a/low.wav", "link/low.wav", "linked.wav", "hard.wav"):
        assert names(library.similar(tmp_path / name, k=9)) == ["high.wav", "long.wav"], name
        found = names(library.similar(tmp_path / name, k=9, duplicates="show"))
        assert found == ["copy 2.wav", "copy.wav", "high.wav", "long.wav"], name
    assert model.files == []  # all of it lies in the library


def test_a_copy_from_elsewhere_finds_the_sound_without_being_embedded(
    library: Library, tmp_path: Path, model: Counted
) -> None:
    shutil.copy(tmp_path / "a" / "low.wav", tmp_path / "outside.wav")
    best = library.similar(tmp_path / "outside.wav", k=1)[0]
    assert best.score == pytest.approx(1, abs=1e-3) and len(best.also_at) == 2
    assert model.files == []
    write_tone(tmp_path / "outside.wav", frequency_hz=77)
    library.similar(tmp_path / "outside.wav")
    assert model.files == ["outside.wav"]


def test_a_changed_file_is_embedded_anew_as_an_example(
    library: Library, tmp_path: Path, model: Counted
) -> None:
    write_tone(tmp_path / "a" / "low.wav", frequency_hz=999, duration_s=3)
    assert "low.wav" not in names(library.similar(tmp_path / "a" / "low.wav"))
    assert model.files == ["low.wav"]


def test_a_limit_holds_for_examples_in_the_library_and_for_no_others(
    library: Library, tmp_path: Path, model: Counted
) -> None:
    write_tone(tmp_path / "b" / "cut.wav", frequency_hz=440, duration_s=25)
    report = library.index(max_duration_s=12)
    assert report.cut_files == (str(tmp_path / "b" / "cut.wav"),)
    (hit,) = library.search("tone", where="name = cut.wav")
    assert hit.is_cut and hit.duration_s == 12
    model.files.clear()
    assert library.explain_file(tmp_path / "b" / "cut.wav", "tone").hit.end_s <= 12
    assert model.files == []
    shutil.copy(tmp_path / "b" / "cut.wav", tmp_path / "outside.wav")
    write_tone(tmp_path / "outside.wav", frequency_hz=441, duration_s=25)
    assert library.explain_file(tmp_path / "outside.wav", "tone").segments[-1].end_s == pytest.approx(
        25, abs=0.1
    )
    info = library.info()
    assert (info.max_duration_s, info.cut, info.cut_files) == (12, 1, report.cut_files)
    assert [file.path for file in library.cut_files()] == list(report.cut_files)


def test_an_explanation_from_the_library_is_that_of_the_file(
    library: Library, tmp_path: Path, model: Counted
) -> None:
    path = tmp_path / "a" / "long.wav"
    ours = library.explain_file(path, "a high tone", as_typed=True)
    assert model.files == []
    expected = explain_file(model, path, "a high tone")
    assert (ours.hit.path, ours.hit.start_s, ours.hit.end_s) == (
        expected.hit.path,
        expected.hit.start_s,
        expected.hit.end_s,
    )
    assert ours.hit.score == pytest.approx(expected.hit.score, abs=1e-3)
    np.testing.assert_allclose(ours.hit.moments, expected.hit.moments, atol=2e-3)
    assert [word.word for word in ours.words] == ["a", "high", "tone"]
    for word, same in zip(ours.words, expected.words, strict=True):
        assert word.contribution == pytest.approx(same.contribution, abs=2e-3)


def test_the_reasons_of_hits_need_no_second_look(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    hits = library.search("a quiet tone", k=9, segments=True)
    expected = library.explain("a quiet tone", [Hit(hit.path, hit.start_s, hit.end_s, 0, ()) for hit in hits])
    monkeypatch.setattr(library.store, "vectors", None)
    assert library.explain("a quiet tone", hits) == expected and any(expected)
    for hit in hits:
        assert hit.vector is not None and float(np.linalg.norm(hit.vector)) == pytest.approx(1, abs=1e-5)


def test_a_folder_in_a_condition_may_be_a_link(library: Library, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("b")
    assert names(library.search("tone", where=f'folder = "{tmp_path}/link" and name = high.wav')) == [
        "high.wav"
    ]
    assert names(library.search("tone", where=f'folder != "{tmp_path}/link"')) == ["long.wav", "low.wav"]
    assert names(library.search("tone", where=f'not folder = "{tmp_path}/link"')) == ["long.wav", "low.wav"]


def test_a_library_is_made_once(library: Library, tmp_path: Path, model: Counted) -> None:
    with pytest.raises(LibraryError, match=r"holds a library already; open it with Library\.open"):
        Library.create(tmp_path / "library", model=model)
    with pytest.raises(LibraryError, match="holds no library yet"):
        Library.open(tmp_path / "nowhere", model=model)
    with pytest.raises(LibraryError, match=r"make it with Library\.create"):
        Library.open("memory://", model=model)
    with pytest.raises(UsageError, match="the library's folder is empty"):
        Library.open("", model=model)
    assert not (tmp_path / "nowhere").exists()
    Library.open(tmp_path / "nowhere", model=model, create=True).close()


def test_a_library_in_memory_leaves_nothing_behind(
    tmp_path: Path, model: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    write_tone(tmp_path / "tone.wav", frequency_hz=440)
    with Library.create("memory://", model=model) as library:
        assert library.info().path == "memory://" and library.index(tmp_path / "tone.wav").added == 1
        assert len(list(tmp_path.iterdir())) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["tone.wav"]
