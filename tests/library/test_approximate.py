"""The derived index of a library in a folder: what it finds, and that nothing that happens to it loses a hit."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from library.approximations import DIM, FILES, WIDE, numbered_sounds, queries
from library.best_matches import best_matches
from library.stores import sound_of_vectors, unit_rows

from soundseek.errors import UsageError
from soundseek.library.copy import copy_library
from soundseek.library.filters import parse_where
from soundseek.library.search import SHORTLIST, SearchOptions, find_matches
from soundseek.library.store import approximate
from soundseek.library.store.approximate import FROM_SETTING, FROM_VARIABLE
from soundseek.library.store.approximate_files import MANIFEST, Manifest, OpenIndex, OpenPart
from soundseek.library.store.base import Changes, Match, Question
from soundseek.library.store.estimates import Estimates
from soundseek.library.store.rows import Snapshot
from soundseek.library.store.sqlite import SqliteStore

pytestmark = pytest.mark.usefixtures("for_small_libraries")


@pytest.fixture
def scanned_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each exact comparison went over."""
    counts: list[int] = []
    all_rows, some_rows = Snapshot.estimates, approximate.half_estimates

    def of_all(snapshot: Snapshot, query: np.ndarray) -> Estimates:
        counts.append(len(snapshot.maps.vectors))
        return all_rows(snapshot, query)

    def of_some(vectors: np.ndarray, query: np.ndarray) -> Estimates:
        counts.append(len(vectors))
        return some_rows(vectors, query)

    monkeypatch.setattr(Snapshot, "estimates", of_all)
    monkeypatch.setattr(approximate, "half_estimates", of_some)
    return counts


def found(matches: list[Match]) -> list[tuple[str, float, float]]:
    return [(match.file.path, match.start_s, round(match.score, 6)) for match in matches]


def exactly(
    store: SqliteStore, query: np.ndarray, monkeypatch: pytest.MonkeyPatch, **options: object
) -> list:
    """What a search finds that compares every segment."""
    with monkeypatch.context() as patch:
        patch.setenv(FROM_VARIABLE, "never")
        return found(best_matches(store, query, k=10, **options))  # type: ignore[arg-type]


def recall(store: SqliteStore, monkeypatch: pytest.MonkeyPatch, **options: object) -> float:
    """The part of what an exact search finds that this one finds, over some queries."""
    shares = []
    for query in queries():
        truth = exactly(store, query, monkeypatch, **options)
        ours = found(best_matches(store, query, k=10, **options))  # type: ignore[arg-type]
        assert len(ours) == len(truth) == 10
        shares.append(len(set(ours) & set(truth)) / 10)
    return float(np.mean(shares))


@pytest.mark.parametrize("per", ["file", "segment"])
def test_it_finds_what_an_exact_search_finds_without_comparing_every_segment(
    indexed: SqliteStore, per: str, scanned_rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = [found(best_matches(indexed, query, k=10, per=per)) for query in queries()]  # type: ignore[arg-type]
    assert scanned_rows == []
    truth = [exactly(indexed, query, monkeypatch, per=per) for query in queries()]
    assert scanned_rows  # the exact one does compare
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(ours, truth, strict=True)]) >= 0.95
    for hits in ours:
        assert [score for *_, score in hits] == sorted((score for *_, score in hits), reverse=True)


def test_a_whole_search_with_moments_finds_the_same(
    indexed: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundseek.library.search.SHORTLIST", {"file": 12, "segment": 12})
    for query in queries(4):
        ours = found(find_matches(indexed, query, SearchOptions(k=5)))
        with monkeypatch.context() as patch:
            patch.setenv(FROM_VARIABLE, "never")
            truth = found(find_matches(indexed, query, SearchOptions(k=5)))
        assert len(set(ours) & set(truth)) >= 4


def test_rows_behind_the_index_are_compared_exactly(
    indexed: SqliteStore, scanned_rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with indexed.writing():
        indexed.commit(Changes(sounds=numbered_sounds(FILES, FILES + 30)))
    newest = indexed.vectors(f"/{FILES + 29:05}.wav")
    assert newest is not None
    assert found(best_matches(indexed, newest[1][0].astype(np.float32), k=1))[0][0] == f"/{FILES + 29:05}.wav"
    assert set(scanned_rows) == {60}
    assert recall(indexed, monkeypatch) >= 0.95


def test_removed_and_replaced_sounds_do_not_answer_and_a_compaction_keeps_the_index(
    indexed: SqliteStore, scanned_rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    query = queries(1)[0]
    first = found(best_matches(indexed, query, k=3))
    replaced = numbered_sounds(0, FILES)[int(first[1][0][1:6])]
    with indexed.writing():
        gone = [f"/{number:05}.wav" for number in range(0, FILES, 7)]
        moved = -replaced.vectors
        indexed.commit(Changes(removed=[first[0][0], *gone]))
        indexed.commit(Changes(sounds=[sound_of_vectors(replaced.file.path, moved)]))
    for _ in range(2):
        paths = [path for path, *_ in found(best_matches(indexed, query, k=10))]
        assert not set(paths) & {first[0][0], first[1][0], *gone}
        assert recall(indexed, monkeypatch) >= 0.95
        with indexed.writing():
            compacted = indexed.compact(dead_share=0.0)
        scanned_rows.clear()
    assert compacted is False and indexed.approximation.state().covered == 2 * FILES
    best_matches(indexed, query, k=10)
    assert scanned_rows == [2]  # only the sound that came after the index


def test_a_narrow_filter_goes_exact_and_a_broad_one_asks_for_more_candidates(
    indexed: SqliteStore, scanned_rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approximate, "EXACT_SHARE", 0.5)  # of 200 segments: 100
    tenth = parse_where("format = flac")
    ours = [found(best_matches(indexed, query, k=10, where=tenth)) for query in queries()]
    assert scanned_rows == []
    truth = [exactly(indexed, query, monkeypatch, where=tenth) for query in queries()]
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(ours, truth, strict=True)]) >= 0.95
    monkeypatch.setattr(OpenIndex, "nearest", None)  # the index is not asked
    narrow = parse_where("duration < 20")
    assert found(best_matches(indexed, queries(1)[0], k=10, where=narrow)) == exactly(
        indexed, queries(1)[0], monkeypatch, where=narrow
    )
    assert best_matches(indexed, queries(1)[0], k=10, where=parse_where("duration > 99999")) == []


def test_where_it_takes_too_many_candidates_every_segment_is_compared(
    indexed: SqliteStore, scanned_rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approximate, "MOST_CANDIDATES", 500)
    query = queries(1)[0]
    assert len(best_matches(indexed, query, k=600)) == 600
    assert scanned_rows[0] == 2 * FILES


def test_long_files_are_always_looked_at(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "library", identity=WIDE)
    query = queries(1)[0]
    near = np.stack([query + 0.01 * row for row in unit_rows(np.random.default_rng(2), 400, DIM)])
    far = unit_rows(np.random.default_rng(3), 40, DIM)
    far -= 0.2 * query
    with store.writing():
        store.commit(Changes(sounds=[sound_of_vectors("/hour.wav", far[:20])]))
        store.commit(Changes(sounds=[sound_of_vectors(f"/{n}.wav", near[[n]]) for n in range(400)]))
    store.approximate()
    with store.writing():
        store.commit(Changes(sounds=[sound_of_vectors("/later.wav", far[20:])]))
    listed = store.shortlist(Question(query), segments=20, files=20)
    store.close()
    of_long = [match.file.path for match in listed if match.file.path in {"/hour.wav", "/later.wav"}]
    assert sorted(of_long) == ["/hour.wav"] * 4 + ["/later.wav"] * 4


def test_where_files_are_few_and_long_it_is_said_that_every_segment_is_compared(
    tmp_path: Path, scanned_rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SHORTLIST["file"] == approximate.LEAST_FILES
    store = SqliteStore.open(tmp_path / "library", identity=WIDE)
    with store.writing():
        store.commit(Changes(sounds=numbered_sounds(0, 30, segments=50)))
    assert not store.approximation_is_due()
    store.approximate()
    assert store.stats().approximate.endswith(
        "; a search wants the best segment of 60 files and here are 30, so every segment is compared all the same"
    )
    with monkeypatch.context() as patch:
        patch.setattr(OpenIndex, "nearest", None)  # it is not even asked
        store.shortlist(Question(queries(1)[0]), segments=60, files=60)
        assert scanned_rows == [30 * 50]
        best_matches(store, queries(1)[0], k=31)
    best_matches(store, queries(1)[0], k=5)
    assert scanned_rows.count(30 * 50) == 2  # fewer are those of one long file
    with store.writing():
        store.commit(Changes(sounds=numbered_sounds(30, 70, segments=50)))
    assert store.approximation_is_due()
    monkeypatch.setattr(approximate, "MOST_CANDIDATES", 60 * 45)
    assert "; files have 50 segments each: where the 2,700 nearest are" in store.stats().approximate
    monkeypatch.setattr(approximate, "MOST_CANDIDATES", 60 * 55)
    assert store.stats().approximate.endswith("newer ones compared exactly")
    store.close()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system does not tell what is mapped")
def test_a_library_that_is_closed_lets_go_of_the_index(indexed: SqliteStore) -> None:
    def is_mapped() -> bool:
        return str(indexed.directory / "approximate.") in Path("/proc/self/maps").read_text()

    best_matches(indexed, queries(1)[0], k=5)
    assert is_mapped()
    indexed.close()
    assert not is_mapped()


def test_a_search_goes_on_with_the_old_index_while_a_new_one_is_opened(
    indexed: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    approximation = indexed.approximation
    best_matches(indexed, queries(1)[0], k=1)
    old = approximation.index()
    assert old is not None
    release, opened = threading.Event(), threading.Event()
    real = approximate.open_index

    def slow(directory: Path, fingerprint: str, known: Iterable[OpenPart]) -> OpenIndex:
        release.wait(30)
        try:
            return real(directory, fingerprint, known)
        finally:
            opened.set()

    monkeypatch.setattr(approximate, "open_index", slow)
    (indexed.directory / MANIFEST).touch()
    assert approximation.index() is old
    assert len(best_matches(indexed, queries(1)[0], k=10)) == 10
    release.set()
    opened.wait(30)
    with approximation._opening:
        assert approximation._index is not old


@pytest.mark.parametrize(
    "what", ["a bit of the lists", "half the lists", "no lists", "the manifest", "another model"]
)
def test_damage_costs_nothing_and_is_said(
    indexed: SqliteStore, what: str, scanned_rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = indexed.directory
    manifest = Manifest.read(folder / MANIFEST)
    lists = folder / manifest.parts[0].name
    held = bytearray(lists.read_bytes())
    if what == "a bit of the lists":
        held[len(held) // 3] ^= 16
        lists.write_bytes(held)
    elif what == "half the lists":
        lists.write_bytes(held[: len(held) // 2])
    elif what == "no lists":
        lists.unlink()
    elif what == "the manifest":
        (folder / MANIFEST).write_bytes((folder / MANIFEST).read_bytes()[:-40])
    else:
        Manifest(**{**vars(manifest), "fingerprint": "f" * 12}).write(folder / MANIFEST)
    for query in queries(3):
        assert found(best_matches(indexed, query, k=10)) == exactly(indexed, query, monkeypatch)
    assert scanned_rows[0] == 2 * FILES
    (damage,) = indexed.check()
    assert Path(damage.path).name == MANIFEST and "every segment is compared" in damage.what
    assert not damage.is_sound
    assert indexed.stats().approximate.startswith("damaged, every segment is compared")
    with indexed.writing():
        indexed.repair([damage])
    assert indexed.check() == [] and indexed.stats().files == FILES
    assert indexed.stats().approximate.startswith("none yet")
    indexed.approximate()
    assert indexed.check() == [] and indexed.stats().approximate.startswith("of 2,000 segments")


def test_an_index_of_nothing_finds_what_came_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FROM_VARIABLE, "0")
    store = SqliteStore.open(tmp_path / "library", identity=WIDE)
    store.approximate()
    assert best_matches(store, queries(1)[0], k=3) == [] and store.check() == []
    with store.writing():
        store.commit(Changes(sounds=numbered_sounds(0, 3)))
    assert len(best_matches(store, queries(1)[0], k=3)) == 3 and store.check() == []
    store.close()


def test_from_how_many_segments_on_is_remembered_and_the_environment_comes_first(
    indexed: SqliteStore, scanned_rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with indexed.writing():
        indexed.commit(Changes(settings={FROM_SETTING: "never"}))
    best_matches(indexed, queries(1)[0], k=1)
    assert scanned_rows == []
    monkeypatch.delenv(FROM_VARIABLE)
    best_matches(indexed, queries(1)[0], k=1)
    assert scanned_rows == [2 * FILES]
    assert indexed.stats().approximate == "never: every segment is compared"
    with indexed.writing():
        indexed.commit(Changes(settings={FROM_SETTING: "3000"}))
    assert indexed.stats().approximate == "none: every segment is compared below 3,000 segments"
    monkeypatch.setenv(FROM_VARIABLE, "many")
    with pytest.raises(UsageError, match="SOUNDSEEK_APPROXIMATE_FROM is 'many'; give a number"):
        best_matches(indexed, queries(1)[0], k=1)


def test_a_copy_of_a_library_has_no_index_yet_and_is_the_same(indexed: SqliteStore, tmp_path: Path) -> None:
    target = SqliteStore.open(tmp_path / "copy", identity=WIDE)
    assert copy_library(indexed, target).files == FILES
    assert target.stats().approximate.startswith("none yet")
    target.close()
