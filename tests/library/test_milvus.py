"""What Milvus, without transactions and locks, keeps to; and its own ways to fail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from library.best_matches import best_matches
from library.engines import empty_store, milvus_file
from library.stores import (
    DIM,
    IDENTITY,
    sound_file,
    sound_number,
)

from soundseek.errors import LibraryError
from soundseek.library.filters import parse_where
from soundseek.library.location import EngineLocation
from soundseek.library.store import milvus, milvus_connection, open_store
from soundseek.library.store.base import Changes, Description, Move, NoLibraryError
from soundseek.library.store.milvus import MilvusStore
from soundseek.library.store.milvus_collections import MilvusCollections
from soundseek.library.store.milvus_rows import file_of_text, text_of_file


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
    found = best_matches(store, np.eye(DIM, dtype=np.float32)[0], k=99, per="segment")
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
    assert best_matches(store, query, k=1, where=parse_where('tag ~ "scene 12" and bits = 24'))
    assert not best_matches(store, query, k=1, where=parse_where("bits = 16"))
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


def test_what_was_released_is_loaded_again(store: MilvusStore) -> None:
    with store.writing():
        store.commit(Changes(sounds=[sound_number(1)]))
    for kind in ("segments", "frames", "files", "notes"):
        store._rows.client.release_collection(store._rows.name(kind))
    again = MilvusStore.open(store.location)
    assert len(best_matches(again, np.eye(DIM, dtype=np.float32)[0], k=9)) == 1


def test_somebody_elses_collections_stay_as_they_are(store: MilvusStore) -> None:
    store._rows.client.create_collection("foreign_segments", dimension=2)
    with pytest.raises(LibraryError, match=r"not soundseek's \(foreign_segments\); .*\?library=NAME"):
        open_store(f"milvus://{milvus_file()}?library=foreign", identity=IDENTITY, create=True)
    store._rows.client.drop_collection("foreign_segments")


def test_reading_makes_no_file(tmp_path: Path) -> None:
    milvus_file()
    with pytest.raises(NoLibraryError, match="holds no library yet"):
        open_store(f"milvus://{tmp_path}/none.db", identity=None, create=False)
    assert not (tmp_path / "none.db").exists()


def test_a_message_holds_no_token() -> None:
    place = EngineLocation.parse("milvus://db:19530/sounds?token=ada:secret&library=foley")
    assert place.shown == "milvus://db:19530/sounds?library=foley" and place.clean("ada:secret") == "***"
