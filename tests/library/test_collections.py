"""Collections in the library's database: they outlive index runs, moves, edits and files that are gone."""

from __future__ import annotations

from pathlib import Path

import pytest
from tones import write_tone
from toy_model import make_toy_model

from soundseek.errors import LibraryError
from soundseek.library import Library
from soundseek.library.collections import (
    FAVOURITES,
    Collections,
    NewEntry,
    UnknownCollectionError,
)
from soundseek.library.named_lists import NameTakenError
from soundseek.model.registry import load_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number in range(3):
        write_tone(folder / f"tone{number}.wav", frequency_hz=200.0 * 2**number)
    return folder


@pytest.fixture
def library(tmp_path: Path, folder: Path, place: str) -> Library:
    library = Library.create(place, model=load_model(make_toy_model(tmp_path / "toy")))
    library.index(folder)
    yield library
    library.close()


def entry(library: Library, path: Path, start_s: float | None = None) -> NewEntry:
    file = library.store.file(str(path))
    assert file is not None
    return NewEntry(file, start_s, None if start_s is None else start_s + 1.0)


def test_favourites_are_always_there_and_first(library: Library) -> None:
    collections = Collections(library.store)
    assert [(each.id, each.name, each.count) for each in collections.all()] == [(FAVOURITES, "favourites", 0)]
    assert collections.entries(FAVOURITES) == []
    collections.create("b")
    collections.create("A")
    assert [each.name for each in collections.all()] == ["favourites", "A", "b"]
    with pytest.raises(NameTakenError, match="keep their name"):
        collections.rename(FAVOURITES, "x")
    collections.remove(FAVOURITES)
    assert collections.get(FAVOURITES).count == 0


def test_a_collection_is_made_renamed_filled_and_removed(library: Library, folder: Path) -> None:
    collections = Collections(library.store)
    doors = collections.create(" doors ")
    assert doors.name == "doors"
    with pytest.raises(NameTakenError, match="'doors'"):
        collections.create("doors")
    assert collections.rename(doors.id, "doors").name == "doors"
    entries = [entry(library, folder / "tone0.wav"), entry(library, folder / "tone0.wav", 0.5)]
    assert collections.add(doors.id, entries).count == 2
    assert collections.add(doors.id, entries).count == 2  # they are in it already
    first, second = collections.entries(doors.id)
    assert (first.start_s, second.start_s, second.end_s) == (None, 0.5, 1.5)
    assert collections.entries(doors.id, k=1, offset=1) == [second]
    assert collections.containing(entries[0].file) == [doors.id]
    collections.discard(doors.id, first.id)
    with pytest.raises(UnknownCollectionError, match=f"no entry {first.id}"):
        collections.discard(doors.id, first.id)
    collections.remove(doors.id)
    for gone in (doors.id, 10**30):
        with pytest.raises(UnknownCollectionError):
            collections.get(gone)


def test_entries_follow_a_moved_file_and_an_edited_one_and_both_in_turn(
    library: Library, folder: Path
) -> None:
    collections = Collections(library.store)
    collections.add(FAVOURITES, [entry(library, folder / "tone0.wav")])
    (folder / "tone0.wav").rename(folder / "moved.wav")
    library.index()
    (found,) = collections.entries(FAVOURITES)
    assert found.file is not None and found.path == found.file.path == str(folder / "moved.wav")
    write_tone(folder / "moved.wav", frequency_hz=3000.0, duration_s=1.0)
    library.index()
    (found,) = collections.entries(FAVOURITES)
    assert found.file is not None and found.file.duration_s == 1.0
    assert collections.favourites_among([found.file]) == {str(folder / "moved.wav")}


def test_an_entry_outlives_a_file_that_is_gone_and_comes_back_with_it(library: Library, folder: Path) -> None:
    collections = Collections(library.store)
    collections.add(FAVOURITES, [entry(library, folder / "tone1.wav")])
    (folder / "tone1.wav").rename(folder.parent / "elsewhere.wav")
    library.index()
    (found,) = collections.entries(FAVOURITES)
    assert found.file is None and found.path == str(folder / "tone1.wav")
    (folder.parent / "elsewhere.wav").rename(folder / "back.wav")
    library.index()
    (found,) = collections.entries(FAVOURITES)
    assert found.file is not None and found.path == str(folder / "back.wav")


def test_entries_survive_indexing_everything_again_and_a_compaction(library: Library, folder: Path) -> None:
    collections = Collections(library.store)
    collections.add(FAVOURITES, [entry(library, folder / "tone2.wav", 0.25)])
    for number in range(2):
        (folder / f"tone{number}.wav").unlink()
    library.index()  # more than a third of the rows is gone: the files are written anew
    (found,) = collections.entries(FAVOURITES)
    assert found.file is not None and (found.path, found.start_s) == (str(folder / "tone2.wav"), 0.25)


def test_a_library_that_cannot_be_written_to_tells_where_its_entries_are(
    library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collections = Collections(library.store)
    collections.add(FAVOURITES, [entry(library, folder / "tone0.wav")])
    (folder / "tone0.wav").rename(folder / "moved.wav")
    library.index()

    def refuse() -> None:
        raise LibraryError("the library is readonly")

    monkeypatch.setattr(library.store, "writing_beside", refuse)
    (found,) = collections.entries(FAVOURITES)
    assert found.path == str(folder / "moved.wav")
    with pytest.raises(LibraryError, match="readonly"):
        collections.create("doors")
