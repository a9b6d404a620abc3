"""A library that soundseek 0.1.0 wrote opens and goes on: it knew no file systems, and names letter by letter."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from library import fakes
from library.best_matches import best_matches
from library.shelves import Shelf, set_time
from library.stores import IDENTITY

from soundseek.audio.tags import FileTags
from soundseek.errors import LibraryError
from soundseek.library import workers
from soundseek.library.filters import parse_where
from soundseek.library.folders import relocate_folder
from soundseek.library.store.base import Description, NameQuery
from soundseek.library.store.sqlite import SqliteStore

WRITTEN = Path(__file__).parent / "library_of_0.1.0"
FOLDER = "/srv/recordings"
SOUNDS = {
    "bell.wav": "bell",
    unicodedata.normalize("NFD", "Übung/Café.wav"): "rain in a café",
    "long.wav": "LASTS 25 train",  # cut at 12 s
    "bad.wav": "BAD it is text",
}


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Shelf]:
    shutil.copytree(WRITTEN, tmp_path / "library")
    store = SqliteStore.open(tmp_path / "library", create=False)
    yield Shelf(tmp_path / "sounds", store)
    store.close()


def test_it_is_searched_without_being_written_to(old: Shelf) -> None:
    before = (old.store.directory / "library.sqlite").read_bytes()
    assert old.store.identity == IDENTITY
    assert best_matches(old.store, fakes.content("bell"), k=1)[0].file.path == f"{FOLDER}/bell.wav"
    assert (old.store.stats().files, old.store.stats().truncated) == (3, 1)
    assert old.store.settings().get("max_duration_s") is None
    assert (old.store.directory / "library.sqlite").read_bytes() == before


def test_it_goes_on_where_it_was(old: Shelf) -> None:
    for name, text in SOUNDS.items():
        set_time(old.put(name, text), 1_700_000_000)
    assert relocate_folder(old.store, FOLDER, old.folder) == 3
    # What was cut at the limit of before is embedded whole, and nothing else is embedded; a failure is tried again,
    # since other versions read it.
    assert old.index() == {"changed": 1, "unchanged": 2, "failed": 1}
    assert sorted(old.embedded) == ["bad.wav", "long.wav"]
    (match,) = best_matches(old.store, fakes.content("LASTS 25 train"), k=1)
    assert (match.file.duration_s, match.file.truncated) == (25, False)
    assert all(state.volume for state in old.store.states(str(old.folder)).values())


def test_the_next_run_reads_names_and_tags_without_embedding_anything(
    old: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in SOUNDS.items():
        set_time(old.put(name, text), 1_700_000_000)
    with pytest.raises(LibraryError, match=r"bring it up to date.*soundseek index --library"):
        old.store.files(parse_where("bits = 24"))
    query = NameQuery("café", ("café",))
    assert [match.bonus for match in best_matches(old.store, fakes.content("bell"), k=3, names=query)] == [
        0,
        0,
        0,
    ]
    relocate_folder(old.store, FOLDER, old.folder)  # a write: names are known from here on
    (first, *_) = best_matches(old.store, fakes.content("bell"), k=3, names=query)
    assert (Path(first.file.path).name, first.keywords) == (
        unicodedata.normalize("NFD", "Café.wav"),
        ("café",),
    )
    assert old.store.files(parse_where('tag ~ "scene 12"')) == []
    monkeypatch.setattr(
        workers,
        "read_tags",
        lambda path: FileTags((("scene", "12"),), 24, 36000.0) if "bell" in path else FileTags(),
    )
    old.index(exclude=["long.wav", "bad.wav"])
    assert old.embedded == []
    (bell,) = old.store.files(parse_where('tag ~ "scene 12" and bits = 24'))
    assert bell.description == Description((("scene", "12"),), 24, None, 36000.0)
    monkeypatch.setattr(workers, "read_tags", lambda path: pytest.fail("they are read once"))
    old.index(exclude=["long.wav", "bad.wav"])


def test_its_names_are_found_however_they_are_composed(old: Shelf) -> None:
    with old.store.writing():
        pass
    where = parse_where(f'name = "café.wav" and folder = "{FOLDER}/Übung"')
    (match,) = best_matches(old.store, fakes.content("bell"), k=5, where=where)
    assert match.file.path == unicodedata.normalize("NFD", f"{FOLDER}/Übung/Café.wav")


def test_a_drive_that_is_not_there_at_the_first_run_keeps_its_sounds(old: Shelf) -> None:
    old.put("usb/1.wav", "wind")
    relocate_folder(old.store, f"{FOLDER}/bell.wav", old.put("usb/bell.wav", "bell"))
    old.folder.joinpath("usb/bell.wav").unlink()
    old.folder.joinpath("usb/1.wav").unlink()  # an empty folder, which may be a mount point
    assert old.index() == {"missing": 1}
    assert str(old.folder / "usb" / "bell.wav") in old.store.states("/")


def test_its_failures_are_listed_and_get_contents_with_the_next_run(old: Shelf) -> None:
    (failure,) = old.store.failures()
    assert (failure.path, failure.content_hash) == (f"{FOLDER}/bad.wav", b"")
    old.put("bad.wav", SOUNDS["bad.wav"])
    old.index()
    assert [len(each.content_hash) for each in old.store.failures(str(old.folder))] == [16]


def test_its_files_are_counted_as_without_loudness(old: Shelf) -> None:
    stats = old.store.stats()
    assert stats.unmeasured == stats.files == 3
