"""What every engine keeps to beside the folder: damage, names, long files, and what is said of a wrong place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from library.best_matches import best_matches
from library.engines import ENGINES, empty_store, milvus_file, place_in, spoil_rows
from library.stores import (
    DIM,
    IDENTITY,
    sound_file,
    sound_from_frames,
    sound_number,
    sound_of_vectors,
    unit_rows,
)

from soundseek.errors import LibraryError, UsageError
from soundseek.library.store import milvus_connection, open_store
from soundseek.library.store.base import Changes, NameQuery, NoLibraryError, Question, Store
from soundseek.library.store.sqlite import SqliteStore


@pytest.fixture(params=ENGINES[1:])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(engine: str, tmp_path: Path) -> Iterator[Store]:
    with empty_store(engine, tmp_path) as opened:
        yield opened


def test_damage_is_found_and_mended(store: Store) -> None:
    with store.writing():
        store.commit(Changes(sounds=[sound_number(number) for number in range(4, 8)]))
    assert store.check() == []
    spoil_rows(store, *(f"/sounds/00000{number}.wav" for number in (4, 5, 6)))
    damages = store.check()
    assert [(each.path[-5], each.is_sound) for each in damages] == [("4", True), ("5", True), ("6", True)]
    assert "length of one" in damages[0].what and "missing" in damages[1].what and "read" in damages[2].what
    with store.writing():
        assert store.repair(damages) == 3
    assert store.check() == [] and [file.path for file in store.files()] == ["/sounds/000007.wav"]


def test_frames_of_a_segment_are_read_out_of_several_rows(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundseek.library.store.milvus_rows.frames_a_row", lambda dim: 256)
    frames = np.random.default_rng(5).standard_normal((1000, DIM)).astype(np.float32)
    spans = [(0, 10), (250, 262), (256, 512), (990, 1000), (100, 800)]
    with store.writing():
        store.commit(Changes(sounds=[sound_from_frames(sound_file("/long.wav"), frames, spans)]))
    found = best_matches(store, np.eye(DIM, dtype=np.float32)[0], k=9, per="segment")
    by_start = {match.start_s: match.frames for match in found}
    for first, last in spans:
        np.testing.assert_array_equal(by_start[first * 0.5], frames[first:last].astype(np.float16))


def test_names_count_as_they_do_in_a_folder(store: Store, tmp_path: Path) -> None:
    generator = np.random.default_rng(6)
    names = [
        "DOORWood_OldCellarDoor_ZOOM0746",
        "cellar rain",
        "doors 12",
        "rain 12",
        "other",
        "scene 12 door",
    ]
    sounds = [
        sound_of_vectors(f"/s/{name}.wav", vectors)
        for name, vectors in zip(names, unit_rows(generator, 12).reshape(6, 2, DIM), strict=True)
    ]
    folder = SqliteStore.open(tmp_path / "folder", identity=IDENTITY)
    for each in (store, folder):
        with each.writing():
            each.commit(Changes(sounds=sounds))
    for typed, is_all in (
        ("an old cellar door", False),
        ("door 12", False),
        ("cellar rain", False),
        ("door", True),
        ("zoom0746", True),
        ("nothing of it", False),
    ):
        query, asked = unit_rows(generator, 1)[0], NameQuery(typed, (typed,), is_all)
        ours, theirs = (
            [
                (m.file.path, m.start_s, round(m.bonus, 5), m.keywords, round(m.score, 5))
                for m in each.shortlist(Question(query, names=asked), segments=4, files=3)
            ]
            for each in (store, folder)
        )
        assert ours == theirs, typed
    folder.close()


def test_another_model_is_refused(store: Store) -> None:
    other = replace(IDENTITY, name="other", fingerprint="f" * 12)
    with pytest.raises(LibraryError, match=r"not by other .* another library of the engine: \?library=NAME"):
        open_store(store.location, identity=other, create=True)


def test_where_there_is_no_library_none_is_made_by_reading(engine: str, tmp_path: Path) -> None:
    with place_in(engine, tmp_path) as place:
        for _ in range(2):
            with pytest.raises(
                NoLibraryError, match="holds no library yet; make one with: soundseek index FOLDER"
            ):
                open_store(place, identity=None, create=False)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        (
            "postgresql://ada:secret@127.0.0.1:1/sounds",
            "ada@127.0.0.1:1/sounds cannot be reached .* server running",
        ),
        ("postgresql://ada:secret@h:port/sounds", "is no URI"),
        ("postgresql://ada:secret@127.0.0.1:1/sounds?nonsense=1", "nonsense"),
        ("postgresql://ada:secret@127.0.0.1:1/sounds?library=No", "library=No cannot name a library"),
        (
            "milvus://ada:secret@127.0.0.1:1/sounds",
            "ada@127.0.0.1:1/sounds cannot be reached .* server running",
        ),
        (
            "milvus://ada:secret@127.0.0.1:1/sounds?secure=True",
            r"takes library=NAME, secure=true \(or false\)",
        ),
        ("milvus://ada:secret@127.0.0.1:1/sounds?libary=foley", "takes library=NAME"),
        ("milvus:///tmp/sounds", r"a file of Milvus Lite ends in \.db"),
    ],
)
def test_what_is_wrong_with_a_location_is_said_without_its_password(
    location: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if location.startswith("milvus"):
        milvus_file()
    else:
        pytest.importorskip("psycopg")
    monkeypatch.setattr(milvus_connection, "TIMEOUT_S", 1.0)
    with pytest.raises((LibraryError, UsageError), match=message) as caught:
        open_store(location, identity=IDENTITY, create=True)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)
