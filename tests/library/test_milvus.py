"""What Milvus, without transactions and locks, keeps to; and its own ways to fail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from library.engines import empty_store, milvus_file
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
from soundseek.library.filters import parse_where
from soundseek.library.location import EngineLocation
from soundseek.library.store import milvus, milvus_connection, open_store
from soundseek.library.store.base import Changes, Description, Move, NoLibraryError
from soundseek.library.store.fused import NameQuery
from soundseek.library.store.milvus import MilvusStore
from soundseek.library.store.milvus_collections import MilvusCollections
from soundseek.library.store.milvus_rows import file_of_text, text_of_file
from soundseek.library.store.sqlite import SqliteStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MilvusStore]:
    with empty_store("milvus", tmp_path) as opened:
        assert isinstance(opened, MilvusStore)
        yield opened


def test_a_run_that_is_killed_before_a_files_row_leaves_nothing_of_it(
    store: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.writing():
        store.commit(Changes(sounds=[sound_number(1)]))
    before = store.read(sound_number(1).file.path)
    insert = MilvusCollections.insert

    def killed(self: MilvusCollections, kind: str, new: list[dict[str, object]], a_call: int) -> None:
        if kind == "files" and new:
            raise KeyboardInterrupt
        insert(self, kind, new, a_call)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(MilvusCollections, "insert", killed)
        with pytest.raises(KeyboardInterrupt), store.writing():
            store.commit(
                Changes(sounds=[replace(sound_number(2), file=sound_number(1).file), sound_number(3)])
            )
    assert len(store._rows.all("segments", "", ["id"])) > len(before.vectors)  # type: ignore[union-attr]
    after = store.read(sound_number(1).file.path)
    np.testing.assert_array_equal(after.vectors, before.vectors)  # type: ignore[union-attr]
    found = store.search(np.eye(DIM, dtype=np.float32)[0], k=99, per="segment")
    assert {match.file.path for match in found} == {sound_number(1).file.path}
    with store.writing():
        pass
    assert len(store._rows.all("segments", "", ["id"])) == len(before.vectors)  # type: ignore[union-attr]
    assert len(store._rows.all("frames", "", ["id"])) == 1


def test_new_facts_of_a_file_reach_its_filters_and_leave_its_frames(store: MilvusStore) -> None:
    with store.writing():
        store.commit(Changes(sounds=[sound_number(1)]))
        path = sound_number(1).file.path
        before = store.read(path)
        tagged = Description((("scene", "12"),), 24)
        store.commit(Changes(descriptions={path: tagged}, touches={path: 42}, volumes={path: "disk"}))
    after = store.read(path)
    assert after is not None and before is not None
    np.testing.assert_array_equal(after.frames, before.frames)
    assert (after.file.mtime_ns, after.file.description) == (42, tagged)
    query = np.eye(DIM, dtype=np.float32)[0]
    assert store.search(query, k=1, where=parse_where('tag ~ "scene 12" and bits = 24'))
    assert not store.search(query, k=1, where=parse_where("bits = 16"))
    assert store.states("/")[path].volume == "disk" and store.check() == []


def test_a_file_that_moves_leaves_no_row_behind(store: MilvusStore) -> None:
    with store.writing():
        store.commit(Changes(sounds=[sound_number(1), sound_number(2)]))
        segments, frames = (len(store._rows.all(kind, "", ["id"])) for kind in ("segments", "frames"))
        store.commit(Changes(moves=[Move(sound_number(1).file.path, "/elsewhere/1.wav", mtime_ns=7)]))
        assert store.relocate("/sounds", "/elsewhere") == 1
    assert len(store._rows.all("segments", "", ["id"])) == segments
    assert len(store._rows.all("frames", "", ["id"])) == frames
    assert len(store.spread_vectors(99)) == segments and store.check() == []


def test_a_run_that_goes_on_renews_its_note_at_each_commit(
    store: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr(milvus.time, "time", lambda: now)
    with store.writing():
        for number in range(1, 4):
            now += milvus._STALE_S - 1
            store.commit(Changes(sounds=[sound_number(number)]))
        assert store._other_writer("process 4711 on studio") is not None


def test_a_library_whose_making_was_killed_is_made_by_the_next_run(monkeypatch: pytest.MonkeyPatch) -> None:
    location = f"milvus://{milvus_file()}?library=killed"
    make = milvus_connection.make_collection

    def killed(client: object, place: EngineLocation, kind: str, dim: int) -> None:
        make(client, place, kind, dim)
        if kind == "segments":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(milvus_connection, "make_collection", killed)
        with pytest.raises(KeyboardInterrupt):
            open_store(location, identity=IDENTITY, create=True)
    with pytest.raises(NoLibraryError):
        open_store(location, identity=None, create=False)
    store = open_store(location, identity=IDENTITY, create=True)
    with store.writing():
        store.commit(Changes(sounds=[sound_number(1)]))
    assert store.check() == [] and store.stats().files == 1


def test_frames_of_a_segment_are_read_out_of_several_rows(
    store: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundseek.library.store.milvus_rows.frames_a_row", lambda dim: 100)
    frames = np.random.default_rng(5).standard_normal((450, DIM)).astype(np.float32)
    spans = [(0, 10), (95, 105), (100, 200), (150, 450)]
    with store.writing():
        store.commit(Changes(sounds=[sound_from_frames(sound_file("/long.wav"), frames, spans)]))
    found = store.search(np.eye(DIM, dtype=np.float32)[0], k=9, per="segment")
    by_start = {match.start_s: match.frames for match in found}
    for first, last in spans:
        np.testing.assert_array_equal(by_start[first * 0.5], frames[first:last].astype(np.float16))


def test_names_count_as_they_do_in_a_folder(store: MilvusStore, tmp_path: Path) -> None:
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
        ("door", True),
        ("zoom0746", True),
    ):
        query, asked = unit_rows(generator, 1)[0], NameQuery(typed, (typed,), is_all)
        ours, theirs = (
            [
                (m.file.path, m.start_s, round(m.bonus, 5), m.keywords, round(m.score, 5))
                for m in each.shortlist(query, segments=4, files=3, names=asked)
            ]
            for each in (store, folder)
        )
        assert ours == theirs, typed
    folder.close()


def test_damage_is_found_and_mended(store: MilvusStore) -> None:
    with store.writing():
        store.commit(Changes(sounds=[sound_number(number) for number in range(4, 8)]))
    rows = {number: store._row(f"/sounds/00000{number}.wav") for number in (4, 5, 6)}
    (whole,) = store._rows.query("segments", f"file_id == {rows[4]['file_id']}", ["*"])
    store._rows.insert("segments", [{**whole, "vector": [0.5] * DIM}], 1)
    store._rows.delete("segments", f"file_id == {rows[5]['file_id']} and number == 1")
    (frames,) = store._rows.query("frames", f"file_id == {rows[6]['frames_id']}", ["*"])
    store._rows.insert("frames", [{**frames, "frames": frames["frames"][:-3]}], 1)
    damages = store.check()
    assert [(each.path[-5], each.is_sound) for each in damages] == [("4", True), ("5", True), ("6", True)]
    assert "length of one" in damages[0].what and "missing" in damages[1].what and "read" in damages[2].what
    with store.writing():
        assert store.repair(damages) == 3
    assert store.check() == [] and [file.path for file in store.files()] == ["/sounds/000007.wav"]


def test_another_writer_is_named_until_its_note_is_old(
    store: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store._rows.put_notes({"writer": {"holder": "process 4711 on studio", "at": milvus.time.time()}})
    with pytest.raises(LibraryError, match="being written by process 4711 on studio; wait"):
        store.writing().__enter__()
    monkeypatch.setattr(milvus, "_STALE_S", -1.0)
    with store.writing():
        store.commit(Changes(sounds=[sound_number(1)]))


def test_tags_that_are_too_long_for_a_text_lose_the_longest() -> None:
    file = sound_file("/a.wav", description=Description((("note", "x" * 70_000), ("scene", "12"))))
    kept = file_of_text(text_of_file(file))
    assert kept == replace(file, description=Description((("scene", "12"),)))


@pytest.mark.parametrize(
    ("location", "message"),
    [
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
    milvus_file()
    monkeypatch.setattr(milvus_connection, "TIMEOUT_S", 1.0)
    with pytest.raises((LibraryError, UsageError), match=message) as caught:
        open_store(location, identity=IDENTITY, create=True)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_what_was_released_is_loaded_again(store: MilvusStore) -> None:
    with store.writing():
        store.commit(Changes(sounds=[sound_number(1)]))
    for kind in ("segments", "frames", "files", "notes"):
        store._rows.client.release_collection(store._rows.name(kind))
    again = MilvusStore.open(store.location)
    assert len(again.search(np.eye(DIM, dtype=np.float32)[0], k=9)) == 1


def test_somebody_elses_collections_stay_as_they_are(store: MilvusStore) -> None:
    store._rows.client.create_collection("foreign_segments", dimension=2)
    with pytest.raises(LibraryError, match=r"not soundseek's \(foreign_segments\); .*\?library=NAME"):
        open_store(f"milvus://{milvus_file()}?library=foreign", identity=IDENTITY, create=True)
    store._rows.client.drop_collection("foreign_segments")


def test_another_model_and_no_library_are_told(store: MilvusStore, tmp_path: Path) -> None:
    other = replace(IDENTITY, name="other", fingerprint="f" * 12)
    with pytest.raises(LibraryError, match=r"not by other .* another library of the engine: \?library=NAME"):
        open_store(store.location, identity=other, create=True)
    with pytest.raises(NoLibraryError, match="holds no library yet"):
        open_store(f"milvus://{milvus_file()}?library=nothing", identity=None, create=False)
    with pytest.raises(NoLibraryError, match="holds no library yet"):
        open_store(f"milvus://{tmp_path}/none.db", identity=None, create=False)
    assert not (tmp_path / "none.db").exists()


def test_a_message_holds_no_token() -> None:
    place = EngineLocation.parse("milvus://db:19530/sounds?token=ada:secret&library=foley")
    assert place.shown == "milvus://db:19530/sounds?library=foley" and place.clean("ada:secret") == "***"
