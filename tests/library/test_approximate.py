"""The derived index of a library in a folder: what it finds, and that nothing that happens to it loses a hit."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from library.stores import IDENTITY, sound_of_vectors, unit_rows

from soundseek._files import take_lock
from soundseek.errors import LibraryError, UsageError
from soundseek.library.copy import copy_library
from soundseek.library.filters import parse_where
from soundseek.library.search import SearchOptions, find_matches
from soundseek.library.store import approximate
from soundseek.library.store.approximate import (
    BUILD_LOCK,
    FROM_SETTING,
    FROM_VARIABLE,
    MANIFEST,
    Manifest,
    checksum_of,
    keys_of_rows,
    principal_directions,
    rows_of_keys,
)
from soundseek.library.store.base import Changes, Match, ModelIdentity
from soundseek.library.store.estimates import Estimates
from soundseek.library.store.rows import Snapshot
from soundseek.library.store.sqlite import SqliteStore

DIM = 32
WIDE = ModelIdentity("wide", IDENTITY.fingerprint, DIM)
FILES = 1000
FROM = 200


def sounds(first: int, last: int, *, segments: int = 2) -> list:
    """Sounds of some segments around points in a few directions, as recorded ones have neighbours; every tenth FLAC."""
    centres = np.random.default_rng(1).standard_normal((12, DIM)).astype(np.float32)
    made = []
    for number in range(first, last):
        generator = np.random.default_rng(number)
        rows = centres[number % 12] + 0.7 * generator.standard_normal((segments, DIM)).astype(np.float32)
        kind = "FLAC" if number % 10 == 0 else "WAV"
        made.append(
            sound_of_vectors(
                f"/{number:05}.wav", rows, format=kind, duration_s=float(number), size_bytes=number
            )
        )
    return made


def queries(count: int = 8) -> np.ndarray:
    return unit_rows(np.random.default_rng(9), count, DIM)


@pytest.fixture(autouse=True)
def for_small_libraries(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """An index from 200 segments on, with few candidates; what would be started in the background is noted."""
    started: list[list[str]] = []

    def start(command: list[str], **options: object) -> SimpleNamespace:
        assert options["start_new_session"]
        started.append(command)
        return SimpleNamespace(wait=lambda: 0)

    monkeypatch.setenv(FROM_VARIABLE, str(FROM))
    monkeypatch.setattr(approximate, "CANDIDATES", 128)
    monkeypatch.setattr(approximate, "EXPANSION", 256)
    # Of this module alone: numpy starts processes, too.
    monkeypatch.setattr(approximate, "subprocess", SimpleNamespace(Popen=start, DEVNULL=subprocess.DEVNULL))
    return started


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a library of 2,000 segments and its index, to be copied."""
    folder = tmp_path_factory.mktemp("approximate") / "library"
    store = SqliteStore.open(folder, identity=WIDE)
    with store.writing():
        store.commit(Changes(sounds=sounds(0, FILES)))
    store.approximate()
    store.close()
    return folder


@pytest.fixture
def store(built: Path, tmp_path: Path) -> Iterator[SqliteStore]:
    """A copy of that library."""
    (tmp_path / "library").mkdir()
    for file in built.iterdir():
        (tmp_path / "library" / file.name).write_bytes(file.read_bytes())
    opened = SqliteStore.open(tmp_path / "library", identity=WIDE)
    yield opened
    opened.close()


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
        return found(store.search(query, k=10, **options))  # type: ignore[arg-type]


def recall(store: SqliteStore, monkeypatch: pytest.MonkeyPatch, **options: object) -> float:
    """The part of what an exact search finds that this one finds, over some queries."""
    shares = []
    for query in queries():
        truth = exactly(store, query, monkeypatch, **options)
        ours = found(store.search(query, k=10, **options))  # type: ignore[arg-type]
        assert len(ours) == len(truth) == 10
        shares.append(len(set(ours) & set(truth)) / 10)
    return float(np.mean(shares))


@pytest.mark.parametrize("per", ["file", "segment"])
def test_it_finds_what_an_exact_search_finds_without_comparing_every_segment(
    store: SqliteStore, per: str, scanned_rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = [found(store.search(query, k=10, per=per)) for query in queries()]  # type: ignore[arg-type]
    assert scanned_rows == []
    truth = [exactly(store, query, monkeypatch, per=per) for query in queries()]
    assert scanned_rows  # the exact one does compare
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(ours, truth, strict=True)]) >= 0.95
    for hits in ours:
        assert [score for *_, score in hits] == sorted((score for *_, score in hits), reverse=True)


def test_a_whole_search_with_moments_finds_the_same(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundseek.library.search.SHORTLIST", {"file": 12, "segment": 12})
    for query in queries(4):
        ours = found(find_matches(store, query, SearchOptions(k=5)))
        with monkeypatch.context() as patch:
            patch.setenv(FROM_VARIABLE, "never")
            truth = found(find_matches(store, query, SearchOptions(k=5)))
        assert len(set(ours) & set(truth)) >= 4


def test_rows_behind_the_index_are_compared_exactly(
    store: SqliteStore, scanned_rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.writing():
        store.commit(Changes(sounds=sounds(FILES, FILES + 30)))
    newest = store.vectors(f"/{FILES + 29:05}.wav")
    assert newest is not None
    assert found(store.search(newest[1][0].astype(np.float32), k=1))[0][0] == f"/{FILES + 29:05}.wav"
    assert set(scanned_rows) == {60}
    assert recall(store, monkeypatch) >= 0.95


def test_removed_and_replaced_sounds_do_not_answer_and_a_compaction_keeps_the_index(
    store: SqliteStore, scanned_rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    query = queries(1)[0]
    first = found(store.search(query, k=3))
    replaced = sounds(0, FILES)[int(first[1][0][1:6])]
    with store.writing():
        gone = [f"/{number:05}.wav" for number in range(0, FILES, 7)]
        moved = -replaced.vectors
        store.commit(Changes(removed=[first[0][0], *gone]))
        store.commit(Changes(sounds=[sound_of_vectors(replaced.file.path, moved)]))
    for _ in range(2):
        paths = [path for path, *_ in found(store.search(query, k=10))]
        assert not set(paths) & {first[0][0], first[1][0], *gone}
        assert recall(store, monkeypatch) >= 0.95
        with store.writing():
            compacted = store.compact(dead_share=0.0)
        scanned_rows.clear()
    assert compacted is False and store.approximation.state().covered == 2 * FILES
    store.search(query, k=10)
    assert scanned_rows == [2]  # only the sound that came after the index


def test_a_narrow_filter_goes_exact_and_a_broad_one_asks_for_more_candidates(
    store: SqliteStore, scanned_rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approximate, "EXACT_SHARE", 0.5)  # of 200 segments: 100
    tenth = parse_where("format = flac")
    ours = [found(store.search(query, k=10, where=tenth)) for query in queries()]
    assert scanned_rows == []
    truth = [exactly(store, query, monkeypatch, where=tenth) for query in queries()]
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(ours, truth, strict=True)]) >= 0.95
    monkeypatch.setattr(approximate.Graph, "nearest", None)  # the index is not asked
    narrow = parse_where("duration < 20")
    assert found(store.search(queries(1)[0], k=10, where=narrow)) == exactly(
        store, queries(1)[0], monkeypatch, where=narrow
    )
    assert store.search(queries(1)[0], k=10, where=parse_where("duration > 99999")) == []


def test_where_it_takes_too_many_candidates_every_segment_is_compared(
    store: SqliteStore, scanned_rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approximate, "MOST_CANDIDATES", 500)
    query = queries(1)[0]
    assert len(store.search(query, k=600)) == 600
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
    listed = store.shortlist(query, segments=20, files=20)
    store.close()
    of_long = [match.file.path for match in listed if match.file.path in {"/hour.wav", "/later.wav"}]
    assert sorted(of_long) == ["/hour.wav"] * 4 + ["/later.wav"] * 4


def test_the_index_is_brought_up_to_date_or_made_anew(store: SqliteStore) -> None:
    folder = store.directory
    before = Manifest.read(folder / MANIFEST)
    assert before.num_rows == 2 * FILES and not store.approximation_is_due()
    with store.writing():
        store.commit(Changes(sounds=sounds(FILES, FILES + 200)))
    assert store.approximation_is_due()  # a sixth of it is new
    steps: list[tuple[int, int]] = []
    store.approximate(progress=lambda done, of: steps.append((done, of)))
    after = Manifest.read(folder / MANIFEST)
    assert steps[-1] == (400, 400) and after.num_rows == 2 * FILES + 400
    np.testing.assert_array_equal(after.projection, before.projection)
    assert not (folder / before.graph).exists() and not store.approximation_is_due()
    with store.writing():
        store.commit(Changes(removed=[f"/{number:05}.wav" for number in range(400)]))
    assert store.approximation_is_due()  # a third of it is gone
    store.approximate()
    assert Manifest.read(folder / MANIFEST).num_rows == 1600
    assert [path.name for path in folder.glob("approximate.*.graph*")] == [
        Manifest.read(folder / MANIFEST).graph
    ]


def test_the_end_of_a_run_starts_a_build_in_the_background(
    tmp_path: Path, for_small_libraries: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore.open(tmp_path / "library", identity=WIDE)
    with store.writing():
        store.commit(Changes(sounds=sounds(0, 50)))
        store.finish_run("2026-01-01T00:00:00Z")
        assert for_small_libraries == []
        store.commit(Changes(sounds=sounds(50, 120)))
        monkeypatch.setenv(FROM_VARIABLE, "never")
        store.finish_run("2026-01-01T00:00:00Z")
        assert for_small_libraries == []
        monkeypatch.setenv(FROM_VARIABLE, str(FROM))
        store.finish_run("2026-01-01T00:00:00Z")
        (command,) = for_small_libraries
        assert command[1:] == [
            "-m", "soundseek", "library", "approximate", "--if-due", "--library", str(tmp_path / "library"),
        ]  # fmt: skip
        store.approximate()  # beside the writer
        store.finish_run("2026-01-01T00:00:00Z")
    assert len(for_small_libraries) == 1
    store.close()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system does not tell what is mapped")
def test_a_library_that_is_closed_lets_go_of_the_index(store: SqliteStore) -> None:
    def is_mapped() -> bool:
        return str(store.directory / "approximate.") in Path("/proc/self/maps").read_text()

    store.search(queries(1)[0], k=5)
    assert is_mapped()
    store.close()
    assert not is_mapped()


def test_a_search_goes_on_with_the_old_index_while_a_new_one_is_opened(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    approximation = store.approximation
    store.search(queries(1)[0], k=1)
    old = approximation.graph()
    assert old is not None
    release, opened = threading.Event(), threading.Event()
    real = approximation._opened

    def slow() -> approximate.Graph:
        release.wait(30)
        try:
            return real()
        finally:
            opened.set()

    monkeypatch.setattr(approximation, "_opened", slow)
    (store.directory / MANIFEST).touch()
    assert approximation.graph() is old
    assert len(store.search(queries(1)[0], k=10)) == 10
    release.set()
    opened.wait(30)
    with approximation._opening:
        assert approximation._graph is not old


@pytest.mark.parametrize(
    "what", ["a bit of the graph", "half the graph", "no graph", "the manifest", "another model"]
)
def test_damage_costs_nothing_and_is_said(
    store: SqliteStore, what: str, scanned_rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store.directory
    manifest = Manifest.read(folder / MANIFEST)
    graph = folder / manifest.graph
    held = bytearray(graph.read_bytes())
    if what == "a bit of the graph":
        held[len(held) // 3] ^= 16
        graph.write_bytes(held)
    elif what == "half the graph":
        graph.write_bytes(held[: len(held) // 2])
    elif what == "no graph":
        graph.unlink()
    elif what == "the manifest":
        (folder / MANIFEST).write_bytes((folder / MANIFEST).read_bytes()[:-40])
    else:
        Manifest(**{**vars(manifest), "fingerprint": "f" * 12}).write(folder / MANIFEST)
    for query in queries(3):
        assert found(store.search(query, k=10)) == exactly(store, query, monkeypatch)
    assert scanned_rows[0] == 2 * FILES
    (damage,) = store.check()
    assert Path(damage.path).name == MANIFEST and "every segment is compared" in damage.what
    assert not damage.is_sound
    assert store.stats().approximate.startswith("damaged, every segment is compared")
    with store.writing():
        store.repair([damage])
    assert store.check() == [] and store.stats().files == FILES
    assert store.stats().approximate.startswith("none yet")
    store.approximate()
    assert store.check() == [] and store.stats().approximate.startswith("of 2,000 segments")


def test_an_index_of_other_vectors_is_found_by_check_and_not_added_to(store: SqliteStore) -> None:
    vectors = store.directory / "vectors.1.f16"
    other = unit_rows(np.random.default_rng(77), 2 * FILES, DIM).astype(np.float16)
    vectors.write_bytes(other.tobytes())
    with store._reading() as (_, snapshot):
        (damage,) = store.approximation.find_damage(snapshot)
        assert "does not fit" in damage.what
        assert store.approximation._former(snapshot) is None


def test_an_index_of_nothing_finds_what_came_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FROM_VARIABLE, "0")
    store = SqliteStore.open(tmp_path / "library", identity=WIDE)
    store.approximate()
    assert store.search(queries(1)[0], k=3) == [] and store.check() == []
    with store.writing():
        store.commit(Changes(sounds=sounds(0, 3)))
    assert len(store.search(queries(1)[0], k=3)) == 3 and store.check() == []
    store.close()


def test_leftovers_of_a_killed_build_are_no_index_and_go_with_the_next(store: SqliteStore) -> None:
    leftover = store.directory / "approximate.00000000.graph.partial"
    whole = store.directory / "approximate.11111111.graph"
    leftover.write_bytes(b"x")
    whole.write_bytes(b"y")
    assert store.check() == [] and len(store.search(queries(1)[0], k=3)) == 3
    store.approximate()
    assert not leftover.exists() and not whole.exists()


def test_one_process_builds_at_a_time(store: SqliteStore) -> None:
    with (store.directory / BUILD_LOCK).open("a+b") as handle:
        assert take_lock(handle) is None
        with pytest.raises(LibraryError, match=rf"is being built by this process \({os.getpid()}\)"):
            store.approximate()


def test_from_how_many_segments_on_is_remembered_and_the_environment_comes_first(
    store: SqliteStore, scanned_rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.writing():
        store.commit(Changes(settings={FROM_SETTING: "never"}))
    store.search(queries(1)[0], k=1)
    assert scanned_rows == []
    monkeypatch.delenv(FROM_VARIABLE)
    store.search(queries(1)[0], k=1)
    assert scanned_rows == [2 * FILES]
    assert store.stats().approximate == "never: every segment is compared"
    with store.writing():
        store.commit(Changes(settings={FROM_SETTING: "3000"}))
    assert store.stats().approximate == "none: every segment is compared below 3,000 segments"
    monkeypatch.setenv(FROM_VARIABLE, "many")
    with pytest.raises(UsageError, match="SOUNDSEEK_APPROXIMATE_FROM is 'many'; give a number"):
        store.search(queries(1)[0], k=1)


def test_a_copy_of_a_library_has_no_index_yet_and_is_the_same(store: SqliteStore, tmp_path: Path) -> None:
    target = SqliteStore.open(tmp_path / "copy", identity=WIDE)
    assert copy_library(store, target).files == FILES
    assert target.stats().approximate.startswith("none yet")
    target.close()


def test_keys_lead_back_to_rows_after_files_are_gone() -> None:
    numbers = np.array([2, 2, 2, 5, 7, 7], np.int64)
    keys = keys_of_rows(numbers, 0, 6)
    np.testing.assert_array_equal(
        np.concatenate([keys_of_rows(numbers, 0, 2), keys_of_rows(numbers, 2, 6)]), keys
    )
    np.testing.assert_array_equal(rows_of_keys(numbers, keys), np.arange(6))
    without_5 = np.array([2, 2, 2, 7, 7], np.int64)
    np.testing.assert_array_equal(rows_of_keys(without_5, keys[[5, 3, 0]]), [4, 0])
    with pytest.raises(LibraryError, match="order"):
        keys_of_rows(np.array([5, 2], np.int64), 0, 2)


def test_the_projection_keeps_what_most_vectors_have(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approximate, "SHORT_DIM", 12)
    with store._reading() as (_, snapshot):
        projection = principal_directions(snapshot)
        vectors = snapshot.maps.vectors.astype(np.float32)
    np.testing.assert_allclose(projection.T @ projection, np.eye(12), atol=1e-5)
    kept = np.square(vectors @ projection).sum()
    chosen_blindly = np.square(vectors[:, :12]).sum()
    assert kept > 1.5 * chosen_blindly


def test_the_checksum_sees_every_bit_and_the_order_of_blocks(tmp_path: Path) -> None:
    held = np.random.default_rng(0).integers(0, 256, (2 << 20) + 12345, np.uint8)
    sums = set()
    for change in ("none", "first", "last", "blocks", "shorter"):
        other = held.copy()
        if change in {"first", "last"}:
            other[0 if change == "first" else -1] ^= 1
        if change == "blocks":
            other[: 1 << 20], other[1 << 20 : 2 << 20] = held[1 << 20 : 2 << 20], held[: 1 << 20]
        path = tmp_path / change
        path.write_bytes(other[:-1].tobytes() if change == "shorter" else other.tobytes())
        sums.add(checksum_of(path))
    assert len(sums) == 5
