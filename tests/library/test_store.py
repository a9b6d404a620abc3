"""What a store of any engine keeps and answers; kills, readers beside writers and damage are in test_sqlite.py."""

from __future__ import annotations

import math
import os
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from library.best_matches import best_matches
from library.engines import EXACT_ENGINES, empty_store
from library.stores import (
    DIM,
    IDENTITY,
    sound_file,
    sound_from_frames,
    sound_of_vectors,
    unit_rows,
    with_windows,
)

from soundseek.errors import LibraryError
from soundseek.library.filters import parse_where
from soundseek.library.store.base import Changes, EmbeddedSound, Failure, FileState, Move, NameQuery, Store
from soundseek.library.store.connection import connect
from soundseek.library.store.fused import MOST_ADDED
from soundseek.library.store.side_tables import script_to_make, tables_beside
from soundseek.library.store.sqlite import SqliteStore
from soundseek.library.store.tables import transaction

EAST, NORTH, WEST = np.eye(DIM, dtype=np.float32)[0], np.eye(DIM, dtype=np.float32)[1], -np.eye(DIM)[0]


@pytest.fixture
def store(any_store: Store) -> Store:
    return any_store


@pytest.fixture(params=EXACT_ENGINES)
def exact_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with empty_store(request.param, tmp_path) as opened:
        yield opened


@pytest.fixture
def folder_store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore.open(tmp_path / "library", identity=IDENTITY)
    yield opened
    opened.close()


def commit(store: Store, *sounds: EmbeddedSound, **changes: object) -> None:
    with store.writing():
        store.commit(Changes(sounds=list(sounds), **changes))  # type: ignore[arg-type]


def paths(store: Store, query: np.ndarray, **options: object) -> list[str]:
    found = best_matches(store, query, k=100, **options)  # type: ignore[arg-type]
    return [match.file.path for match in found]


def test_the_nearest_segment_comes_first_with_its_time_and_score(store: Store) -> None:
    east_then_north = sound_of_vectors("/a.wav", np.stack([EAST, NORTH]))
    commit(store, east_then_north, sound_of_vectors("/b.wav", np.stack([WEST])))
    best, second = best_matches(store, NORTH, k=2)
    assert (best.file.path, best.start_s, best.end_s, best.score) == ("/a.wav", 0.5, 1.0, 1.0)
    assert (second.file.path, second.score) == ("/b.wav", 0.0)


def test_a_file_answers_once_and_its_segments_one_by_one(store: Store) -> None:
    commit(store, sound_of_vectors("/a.wav", np.stack([EAST, NORTH, EAST])))
    assert paths(store, EAST) == ["/a.wav"]
    assert [match.score for match in best_matches(store, EAST, k=9, per="segment")] == [1.0, 1.0, 0.0]


def test_no_score_is_above_1_though_a_half_precision_row_may_be_longer(store: Store) -> None:
    rows = unit_rows(np.random.default_rng(0), 50)
    products = (rows.astype(np.float16).astype(np.float32) * rows).sum(axis=1)
    assert products.max() > 1.00001  # without the limit, this one would be seen
    commit(store, *(sound_of_vectors(f"/{number}.wav", rows[[number]]) for number in range(50)))
    longest = int(products.argmax())
    for query, score in ((rows[longest], 1.0), (-rows[longest], -1.0)):
        scores = {match.file.path: match.score for match in best_matches(store, query, k=50)}
        assert scores[f"/{longest}.wav"] == score


def test_an_empty_store_answers_nothing(store: Store) -> None:
    assert best_matches(store, EAST, k=10) == []
    assert store.stats().segments == 0


@pytest.mark.parametrize("per", ["file", "segment"])
def test_search_is_exact(exact_store: Store, per: str) -> None:
    generator = np.random.default_rng(1)
    vectors = unit_rows(generator, 6000)
    files = np.sort(generator.integers(0, 900, len(vectors)))
    commit(exact_store, *(sound_of_vectors(f"/{n}.wav", vectors[files == n]) for n in np.unique(files)))
    stored = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    stored = stored.astype(np.float16).astype(np.float32)
    for query in unit_rows(generator, 20):
        scores = stored @ query
        if per == "file":
            scores = np.array([scores[files == n].max() for n in np.unique(files)])
        found = best_matches(exact_store, query, k=25, per=per)  # type: ignore[arg-type]
        np.testing.assert_allclose([match.score for match in found], np.sort(scores)[::-1][:25], atol=2e-6)


def test_a_filter_that_keeps_two_in_a_thousand_loses_no_neighbour(exact_store: Store) -> None:
    generator = np.random.default_rng(2)
    vectors = unit_rows(generator, 5000)
    stored = vectors.astype(np.float16).astype(np.float32)
    rare = set(generator.choice(5000, 10, replace=False).tolist())
    commit(
        exact_store,
        *(
            sound_of_vectors(f"/{n}.wav", vectors[n : n + 1], format="FLAC" if n in rare else "WAV")
            for n in range(5000)
        ),
    )
    where = parse_where("format = flac")
    for query in unit_rows(generator, 10):
        expected = sorted(rare, key=lambda n: -float(stored[n] @ query))
        assert paths(exact_store, query, where=where) == [f"/{n}.wav" for n in expected]


def test_a_broad_filter_is_as_exact_as_a_narrow_one(exact_store: Store) -> None:
    generator = np.random.default_rng(3)
    vectors = unit_rows(generator, 2000)
    stored = vectors.astype(np.float16).astype(np.float32)
    commit(
        exact_store,
        *(sound_of_vectors(f"/{n}.wav", vectors[n : n + 1], duration_s=float(n % 10)) for n in range(2000)),
    )
    query = EAST
    expected = sorted((n for n in range(2000) if n % 10 < 7), key=lambda n: -float(stored[n] @ query))
    assert paths(exact_store, query, where=parse_where("duration < 7")) == [
        f"/{n}.wav" for n in expected[:100]
    ]


def test_files_that_own_the_first_thousands_of_segments_hide_nobody(exact_store: Store) -> None:
    generator = np.random.default_rng(4)
    near = EAST + 0.01 * generator.standard_normal((3000, DIM)).astype(np.float32)
    others = [sound_of_vectors(f"/other{n}.wav", (EAST + n * NORTH)[None]) for n in range(1, 9)]
    commit(
        exact_store, sound_of_vectors("/long.wav", near), sound_of_vectors("/longer.wav", near * 2), *others
    )
    found = [match.file.path for match in best_matches(exact_store, EAST, k=10)]
    assert set(found[:2]) == {"/long.wav", "/longer.wav"}
    assert found[2:] == [f"/other{n}.wav" for n in range(1, 9)]


def test_more_than_there_is_may_be_asked_for(store: Store) -> None:
    commit(store, *(sound_of_vectors(f"/{n}.wav", np.stack([EAST])) for n in range(3)))
    assert len(best_matches(store, EAST, k=1000)) == 3
    assert best_matches(store, EAST, k=0) == []


def test_names_alone_bring_every_file_that_is_so_called(store: Store) -> None:
    wanted = [f"/dog {number}.wav" for number in range(MOST_ADDED + 15)]
    nearer = [f"/cat {number}.wav" for number in range(100)]
    commit(
        store,
        *(sound_of_vectors(path, EAST[None]) for path in nearer),
        *(sound_of_vectors(path, NORTH[None]) for path in wanted),
    )
    asked = NameQuery("dog", ("dog",), is_all=True)
    assert sorted(paths(store, EAST, names=asked)) == sorted(wanted)


def test_a_replaced_file_answers_with_its_new_vectors_only(store: Store) -> None:
    commit(store, sound_of_vectors("/a.wav", np.stack([EAST, EAST])))
    commit(store, sound_of_vectors("/a.wav", np.stack([NORTH])))
    assert [match.score for match in best_matches(store, EAST, k=9, per="segment")] == [0.0]
    assert store.stats().segments == 1


def test_a_removed_file_answers_no_more(store: Store) -> None:
    commit(store, sound_of_vectors("/a.wav", np.stack([EAST])), sound_of_vectors("/b.wav", np.stack([NORTH])))
    commit(store, removed=["/a.wav", "/never-known.wav"])
    assert paths(store, EAST) == ["/b.wav"]


def test_a_moved_file_keeps_its_vectors_and_replaces_what_was_there(store: Store) -> None:
    commit(store, sound_of_vectors("/a.wav", np.stack([EAST])), sound_of_vectors("/b.wav", np.stack([WEST])))
    commit(store, moves=[Move("/a.wav", "/b.wav", mtime_ns=7)])
    (match,) = best_matches(store, EAST, k=9)
    assert (match.file.path, match.file.mtime_ns, match.score) == ("/b.wav", 7, 1.0)
    assert paths(store, EAST, where=parse_where("name = b.wav")) == ["/b.wav"]


def test_a_relocated_folder_keeps_its_vectors_and_frames_and_replaces_what_was_there(store: Store) -> None:
    inner = sound_of_vectors("/s/s/a.wav", np.stack([EAST]))
    outer = sound_of_vectors("/s/a.wav", np.stack([NORTH, WEST]))
    commit(store, inner, outer, sound_of_vectors("/s/s/s/a.wav", np.stack([EAST, EAST])), roots={"/s": 1})
    commit(store, removed=["/s/s/s/a.wav"], failures=[Failure("/s/b.wav", "bad", "2024")])
    with store.writing():
        assert store.relocate("/s", "/s/s") == 2  # each one's new place is another one's old place
    for was, path in ((inner, "/s/s/s/a.wav"), (outer, "/s/s/a.wav")):
        now = store.read(path)
        assert now is not None and now.file == replace(was.file, path=path)
        np.testing.assert_array_equal(now.frames, was.frames)
        np.testing.assert_array_equal(now.vectors, was.vectors.astype(np.float16))
    assert sorted(store.states("/")) == ["/s/s/a.wav", "/s/s/s/a.wav"]
    assert paths(store, WEST) == ["/s/s/a.wav", "/s/s/s/a.wav"]
    assert [failure.path for failure in store.failures()] == ["/s/s/b.wav"] and store.roots() == {"/s/s": 1}
    assert store.check() == []


def test_a_touched_file_only_changes_its_time(store: Store) -> None:
    commit(store, sound_of_vectors("/a.wav", np.stack([EAST])))
    commit(store, touches={"/a.wav": 42})
    assert store.states("/") == {"/a.wav": FileState(100, 42)}


def test_one_path_may_be_left_out(store: Store) -> None:
    commit(store, sound_of_vectors("/a.wav", np.stack([EAST])), sound_of_vectors("/b.wav", np.stack([EAST])))
    assert paths(store, EAST, leave_out=["/a.wav"]) == ["/b.wav"]
    assert set(paths(store, EAST, leave_out=["/unknown.wav"])) == {"/a.wav", "/b.wav"}
    assert paths(store, EAST, leave_out=["/a.wav"], where=parse_where("name = a.wav")) == []


def test_a_search_may_be_kept_to_some_paths(store: Store) -> None:
    commit(store, *(sound_of_vectors(f"/{name}.wav", np.stack([EAST])) for name in "abcd"))
    assert set(paths(store, EAST, only=["/b.wav", "/d.wav", "/none.wav"])) == {"/b.wav", "/d.wav"}
    assert paths(store, EAST, only=["/b.wav", "/d.wav"], leave_out=["/b.wav"]) == ["/d.wav"]
    assert paths(store, EAST, only=["/b.wav", "/d.wav"], where=parse_where("name = b.wav")) == ["/b.wav"]
    assert paths(store, EAST, only=[]) == []


def test_files_are_listed_counted_and_summed_up(store: Store) -> None:
    for name, facts in {
        "/b.wav": {"duration_s": 3.0, "mtime_ns": 1, "sample_rate_hz": 48_000, "format": "WAV"},
        "/a.flac": {"duration_s": 9.0, "mtime_ns": 3, "sample_rate_hz": 44_100, "format": "FLAC"},
        "/c.wav": {"duration_s": 5.0, "mtime_ns": 2, "sample_rate_hz": 48_000, "format": "WAV"},
    }.items():
        commit(store, sound_of_vectors(name, np.stack([EAST, NORTH]), **facts))
    orders = {
        order: [file.path[1] for file in store.files(order=order)]
        for order in ("path", "modified", "duration")
    }  # type: ignore[arg-type]
    assert orders == {"path": ["a", "b", "c"], "modified": ["a", "c", "b"], "duration": ["a", "c", "b"]}
    assert [file.path for file in store.files(k=1, offset=1)] == ["/b.wav"]
    wav = parse_where("format = wav")
    assert [file.path for file in store.files(wav)] == ["/b.wav", "/c.wav"]
    assert store.count() == (3, 6) and store.count(wav) == (2, 4)
    assert store.count(wav, only=["/a.flac", "/b.wav"]) == (1, 2) and store.count(only=[]) == (0, 0)
    facets = store.facets()
    assert (facets.formats, facets.sample_rates_hz, facets.longest_s) == (
        ("WAV", "FLAC"),
        (44_100, 48_000),
        9.0,
    )


def test_the_version_grows_with_every_commit(store: Store) -> None:
    before = store.version()
    commit(store, sound_of_vectors("/a.wav", np.stack([EAST])))
    assert store.version() > before


def test_the_mean_of_a_file_is_that_of_its_segments_at_unit_norm(store: Store) -> None:
    commit(
        store,
        sound_of_vectors("/b.wav", np.stack([EAST, NORTH])),
        sound_of_vectors("/a.wav", np.stack([WEST])),
    )
    files, means = store.file_means()
    assert [file.path for file in files] == ["/a.wav", "/b.wav"]
    assert means == pytest.approx(np.stack([WEST, (EAST + NORTH) / math.sqrt(2)]), abs=1e-3)
    with store.writing():
        store.commit(Changes(removed=["/a.wav", "/b.wav"]))
    assert store.file_means()[0] == [] and store.file_means()[1].shape == (0, DIM)


def test_vectors_are_spread_over_the_whole_library(store: Store) -> None:
    rows = unit_rows(np.random.default_rng(8), 40)
    commit(store, *(sound_of_vectors(f"/{n:02}.wav", rows[4 * n : 4 * n + 4]) for n in range(10)))
    spread = store.spread_vectors(10)
    assert spread.shape == (10, DIM) and store.spread_vectors(99).shape == (40, DIM)
    places = [int(np.argmax(rows @ each)) for each in spread]
    assert sorted(places) == places and np.diff(places).max() <= 5
    np.testing.assert_allclose(spread, rows[places], atol=1e-3)


def test_tables_beside_the_store_are_written_whole_or_not_at_all(store: Store) -> None:
    with store.writing_beside() as connection:
        connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT, bytes BLOB)")
        connection.execute("INSERT INTO notes (text, bytes) VALUES (?, ?)", ("it's %s", b"\0\xff"))
    with pytest.raises(KeyboardInterrupt), store.writing_beside() as connection:
        connection.execute("DELETE FROM notes")
        raise KeyboardInterrupt
    with store.reading_beside() as connection:
        assert connection.execute("SELECT * FROM notes").fetchall() == [(1, "it's %s", b"\0\xff")]


def test_a_script_of_tables_beside_a_store_reaches_no_file(tmp_path: Path) -> None:
    for statement in (
        f"ATTACH '{tmp_path}/new' AS other; CREATE TABLE other.x (y)",
        f"VACUUM INTO '{tmp_path}/new'",
    ):
        with pytest.raises(sqlite3.DatabaseError, match="authori"), tables_beside(statement):
            pass
    assert not (tmp_path / "new").exists()
    with tables_beside("CREATE TABLE kept (name)") as beside, tables_beside(script_to_make(beside)) as again:
        assert again.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_the_frames_of_a_match_average_to_its_score(store: Store) -> None:
    generator = np.random.default_rng(5)
    frames = generator.standard_normal((9, DIM)).astype(np.float32)
    commit(store, sound_of_vectors("/before.wav", unit_rows(generator, 3)))
    commit(store, sound_from_frames(sound_file("/a.wav"), frames, [(0, 4), (2, 9)]))
    matches = [m for m in best_matches(store, EAST, k=9, per="segment") if m.file.path == "/a.wav"]
    assert sorted((match.start_s, match.end_s) for match in matches) == [(0.0, 2.0), (1.0, 4.5)]
    for match in matches:
        heard = np.asarray(match.frames, np.float32)
        norm = float(np.linalg.norm(heard.mean(axis=0)))
        assert math.isclose(float((heard @ EAST).mean()) / norm, match.score, abs_tol=1e-3)


def test_a_sound_is_read_back_as_it_went_in(store: Store) -> None:
    generator = np.random.default_rng(6)
    frames = generator.standard_normal((6, DIM)).astype(np.float32)
    commit(store, sound_of_vectors("/before.wav", unit_rows(generator, 2)))
    file = sound_file("/a.wav", truncated=True, limit_s=60.0, channels=2, format="OGG/VORBIS")
    written = sound_from_frames(file, frames, [(0, 3), (3, 6)])
    commit(store, written)
    read = store.read("/a.wav")
    assert read is not None
    assert read.file == file == store.file("/a.wav")
    np.testing.assert_array_equal(read.frames, frames.astype(np.float16))
    np.testing.assert_array_equal(read.vectors, written.vectors.astype(np.float16))
    np.testing.assert_array_equal(read.spans, written.spans)
    np.testing.assert_array_equal(read.times_s, written.times_s)
    assert store.read("/unknown.wav") is None and store.file("/unknown.wav") is None


def test_states_are_those_at_or_below_a_path_and_say_where_hearing_was_cut(store: Store) -> None:
    names = ["/s/a.wav", "/s/b/c.wav", "/s-other/d.wav", "/s0/e.wav", "/s.wav", "/t.wav"]
    commit(store, *(sound_of_vectors(name, np.stack([EAST])) for name in names))
    assert set(store.states("/s")) == {"/s/a.wav", "/s/b/c.wav"}
    assert set(store.states("/")) == set(names)
    assert set(store.states("/t.wav")) == {"/t.wav"}
    commit(store, sound_of_vectors("/t.wav", np.stack([EAST]), truncated=True, limit_s=60.0))
    assert store.states("/t.wav") == {"/t.wav": FileState(100, 1_700_000_000_000_000_000, 60.0)}


def test_a_failure_is_kept_until_its_file_is_heard_or_gone(store: Store) -> None:
    one = Failure("/s/a.wav", "no sound in it", "2024-05-01T00:00:00Z", 5, 6, "decoder 1", b"content")
    two = replace(one, path="/t.wav")
    commit(store, failures=[two, one])
    assert store.failures() == [one, two]
    assert store.failures(under="/s") == [one]
    commit(store, sound_of_vectors("/s/a.wav", np.stack([EAST])), removed=["/t.wav"])
    assert store.failures() == []


def test_a_failed_change_takes_the_old_vectors_away(store: Store) -> None:
    commit(store, sound_of_vectors("/a.wav", np.stack([EAST])))
    commit(store, failures=[Failure("/a.wav", "now it is text", "2024-05-01T00:00:00Z")])
    assert best_matches(store, EAST, k=9) == []
    assert store.stats().failures == 1


def test_a_name_that_is_not_utf8_comes_back_unharmed(store: Store) -> None:
    odd = b"/sounds/\xff\xferain.wav".decode("utf-8", "surrogateescape")
    commit(store, sound_of_vectors(odd, np.stack([EAST])), failures=[Failure(odd + "x", "bad", "2024")])
    assert paths(store, EAST, where=parse_where("name ~ rain")) == [odd]
    assert list(store.states("/sounds")) == [odd]
    assert [failure.path for failure in store.failures()] == [odd + "x"]


def test_equal_contents_are_found_under_every_path(store: Store) -> None:
    commit(
        store,
        *(sound_of_vectors(f"/{n}.wav", np.stack([EAST]), content_hash=b"h" * 16) for n in "ba"),
        sound_of_vectors("/c.wav", np.stack([EAST]), size_bytes=7),
    )
    assert [file.path for file in store.same_content(b"h" * 16)] == ["/a.wav", "/b.wav"]
    assert store.same_content(b"?" * 16) == []
    assert store.sizes() == {7, 100}


def test_totals_and_roots_are_kept(store: Store) -> None:
    commit(store, sound_of_vectors("/a.wav", np.stack([EAST, WEST])), roots={"/sounds": 2**63 + 1})
    with store.writing():
        store.finish_run("2024-05-01T00:00:00Z")
    stats = store.stats()
    assert (stats.files, stats.segments, stats.audio_s) == (1, 2, 10.0)
    assert (stats.failures, stats.truncated, stats.last_indexed) == (0, 0, "2024-05-01T00:00:00Z")
    assert stats.unmeasured == 1
    assert store.roots() == {"/sounds": 2**63 + 1}


def test_writing_needs_the_lock_and_only_one_holds_it(store: Store) -> None:
    with pytest.raises(LibraryError, match="needs the lock"):
        store.commit(Changes())
    with store.writing(), pytest.raises(LibraryError, match=r"being written by this process \(\d+\)"):
        store.writing().__enter__()
    with store.writing():
        store.commit(Changes())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({"vectors": np.zeros((0, DIM))}, "no segment"),
        ({"vectors": np.zeros((2, DIM + 1))}, "for 8 dimensions"),
        ({"vectors": np.full((2, DIM), np.nan)}, "not finite"),
        ({"frames": np.full((2, DIM), np.inf)}, "not finite"),
        ({"spans": np.array([[0, 1], [1, 3]])}, "outside its 2 frames"),
        ({"spans": np.array([[0, 1], [1, 1]])}, "empty span"),
        ({"times_s": np.zeros((1, 2))}, "for 2 segments"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_and_change_nothing(
    store: Store, spoil: dict[str, np.ndarray], message: str
) -> None:
    good = sound_of_vectors("/a.wav", np.stack([EAST, WEST]))
    with pytest.raises(LibraryError, match=message):
        commit(store, sound_of_vectors("/b.wav", np.stack([EAST])), replace(good, **spoil))
    assert store.stats().files == 0


def test_compaction_changes_no_answer(store: Store) -> None:
    generator = np.random.default_rng(7)
    for n in range(12):
        frames = generator.standard_normal((7, DIM)).astype(np.float32)
        commit(store, sound_from_frames(sound_file(f"/{n}.wav"), frames, [(0, 4), (3, 7)]))
    commit(store, removed=[f"/{n}.wav" for n in range(0, 12, 2)])
    before = [
        (m.file, m.start_s, m.score, m.frames.tolist())
        for m in best_matches(store, EAST, k=99, per="segment")
    ]
    with store.writing():
        store.compact()
    after = [
        (m.file, m.start_s, m.score, m.frames.tolist())
        for m in best_matches(store, EAST, k=99, per="segment")
    ]
    assert len(after) == 12 and after == before
    commit(store, sound_of_vectors("/new.wav", np.stack([EAST])))
    assert paths(store, EAST)[0] == "/new.wav"


def test_a_search_that_leaves_something_out_does_not_spoil_the_next_one(store: Store) -> None:
    commit(store, *(sound_of_vectors(f"/{n}.wav", np.stack([EAST])) for n in range(3)))
    commit(store, removed=["/0.wav"])  # from now on there is a mask of rows that count
    assert paths(store, EAST, leave_out=["/1.wav"]) == ["/2.wav"]
    assert sorted(paths(store, EAST)) == ["/1.wav", "/2.wav"]


def test_only_the_thread_that_holds_the_lock_writes(store: Store) -> None:
    met: list[str] = []

    def write() -> None:
        try:
            store.commit(Changes(removed=["/a.wav"]))
        except LibraryError as error:
            met.append(str(error))

    with store.writing():
        other = threading.Thread(target=write)
        other.start()
        other.join()
    assert len(met) == 1 and "needs the lock" in met[0]


def test_a_transaction_keeps_other_writers_out_from_its_beginning(folder_store: SqliteStore) -> None:
    other = sqlite3.connect(folder_store.directory / "library.sqlite", timeout=0, isolation_level=None)
    connection = connect(folder_store.directory)
    with transaction(connection), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.close()
    connection.close()


def test_everything_is_on_the_disk_before_it_counts(
    folder_store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect(folder_store.directory)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    connection.close()
    synced: list[str] = []
    real = os.fsync

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("names of descriptors are asked of Linux")
    monkeypatch.setattr(os, "fsync", note)
    commit(folder_store, sound_of_vectors("/a.wav", np.stack([EAST])))
    assert {"vectors.1.f16", "frames.1.f16", "segments.1.rows", folder_store.directory.name} <= set(synced)


def test_windows_are_kept_beside_the_frames_and_are_none_of_them(store: Store) -> None:
    plain = sound_of_vectors("/plain.wav", np.stack([EAST, NORTH]))
    kept = with_windows(sound_of_vectors("/kept.wav", np.stack([NORTH, WEST])))
    commit(store, plain, kept)
    found = store.read("/kept.wav")
    assert found is not None and found.windows is not None and kept.windows is not None
    np.testing.assert_array_equal(found.windows, kept.windows)  # nine: of 2 s in 10 s, one a second
    np.testing.assert_array_equal(found.frames, kept.frames)
    assert found.embedding().windows is not None and len(found.windows) == 9
    assert [len(rows) for rows in store.windows_of(["/kept.wav", "/plain.wav", "/none.wav"])] == [9, 0, 0]
    assert [len(rows) for rows in store.frames_of(["/kept.wav", "/plain.wav", "/none.wav"])] == [2, 2, 0]
    assert store.without_windows() == {"/plain.wav"}
    assert paths(store, WEST) == ["/kept.wav", "/plain.wav"]
    assert store.check() == []


def test_windows_go_with_their_file(store: Store) -> None:
    kept = with_windows(sound_of_vectors("/kept.wav", np.stack([NORTH, WEST])))
    commit(store, sound_of_vectors("/first.wav", np.stack([EAST])), kept)
    commit(store, moves=[Move("/kept.wav", "/new/moved.wav", 5)], removed=["/first.wav"])
    with store.writing():
        store.compact(dead_share=0.0)
        store.relocate("/new", "/newer")
    found = store.read("/newer/moved.wav")
    assert found is not None and found.windows is not None
    np.testing.assert_array_equal(found.windows, kept.windows)
    commit(store, replace(kept, windows=None, file=found.file))
    assert store.without_windows() == {"/newer/moved.wav"}


def test_rows_behind_the_segments_that_are_not_as_many_as_windows_are_frames(store: Store) -> None:
    frames = np.stack([EAST, NORTH, WEST])
    commit(store, sound_from_frames(sound_file("/a.wav"), frames, [(0, 2)]))
    found = store.read("/a.wav")
    assert found is not None and found.windows is None and len(found.frames) == 3


def test_a_sound_of_too_few_windows_is_refused(store: Store) -> None:
    kept = with_windows(sound_of_vectors("/kept.wav", np.stack([NORTH])))
    assert kept.windows is not None
    with pytest.raises(LibraryError, match=r"windows \(8, 8\) for 10 s and 8 dimensions"):
        commit(store, replace(kept, windows=kept.windows[1:]))
