"""What only files on a disk can do: survive kills, serve readers beside a writer, compact, be damaged."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from library.best_matches import best_matches
from library.stores import (
    DIM,
    IDENTITY,
    ingest_for_ever,
    sound_number,
    sound_of_vectors,
    unit_rows,
)

from soundseek.errors import LibraryError, UsageError
from soundseek.library.library import holds_library
from soundseek.library.store import open_store
from soundseek.library.store.base import Changes, NoLibraryError, Question
from soundseek.library.store.sqlite import SqliteStore
from soundseek.library.taught import TaughtSounds

EAST = np.eye(DIM, dtype=np.float32)[0]
KILLS = int(os.environ.get("SOUNDSEEK_TEST_KILLS", "25"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "library"


@pytest.fixture
def store(folder: Path) -> Iterator[SqliteStore]:
    with open_closing(folder) as opened:
        yield opened


class open_closing:
    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore.open(folder, identity=IDENTITY)

    def __enter__(self) -> SqliteStore:
        return self.store

    def __exit__(self, *exception: object) -> None:
        self.store.close()


def commit(store: SqliteStore, *numbers: int, **changes: object) -> None:
    with store.writing():
        store.commit(Changes(sounds=[sound_number(n) for n in numbers], **changes))  # type: ignore[arg-type]


def check_every_row(folder: Path) -> int:
    """Every committed file reads back as its number says, and is found by its own vector; how many."""
    store = SqliteStore.open(folder, identity=IDENTITY)
    paths = sorted(store.states("/"))
    for path in paths:
        expected, read = sound_number(int(Path(path).stem)), store.read(path)
        assert read is not None
        np.testing.assert_array_equal(read.vectors, expected.vectors.astype(np.float16))
        np.testing.assert_array_equal(read.frames, expected.frames.astype(np.float16))
        np.testing.assert_array_equal(read.spans, expected.spans)
    for path in paths[-3:]:
        (best,) = best_matches(store, sound_number(int(Path(path).stem)).vectors[0], k=1)
        assert best.file.path == path
    store.close()
    return len(paths)


@pytest.fixture
def folder_in_memory(tmp_path: Path) -> Iterator[Path]:
    """A folder where fsync costs nothing, if there is one: what a kill leaves behind is the same."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path / "library"
        return
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder) / "library"


def test_kills_at_random_moments_lose_nothing_that_was_committed(folder_in_memory: Path) -> None:
    folder = folder_in_memory
    SqliteStore.open(folder, identity=IDENTITY).close()
    # The fork server imports the heavy things once, so that the time goes into writing.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["numpy.random", "soundseek.library.store.sqlite"])
    chance = random.Random(0)
    versions = set()
    for _ in range(KILLS):
        ours, theirs = context.Pipe()
        process = context.Process(target=ingest_for_ever, args=(str(folder), theirs))
        process.start()
        theirs.close()
        assert ours.recv() == "started"
        # After so many commits, not seconds: on a busy machine none may come in them.
        for _ in range(chance.randrange(4)):
            assert ours.recv() == "committed"
        time.sleep(chance.uniform(0, 0.02))
        process.kill()
        process.join()
        files = check_every_row(folder)
        versions.add(files)
        if files > 150:  # keep the check of every row quick
            with open_closing(folder) as store:
                commit(store, removed=list(store.states("/"))[50:])
    assert len(versions) > KILLS / 5, "the ingest hardly ever got to a commit: this tested nothing"
    with open_closing(folder) as store:
        commit(store, 999_999)
        assert store.read("/sounds/999999.wav") is not None


def test_bytes_behind_the_last_committed_row_are_not_seen_and_then_cut_off(folder: Path) -> None:
    with open_closing(folder) as store:
        commit(store, 1)
    for name in ("vectors.1.f16", "frames.1.f16", "segments.1.rows"):
        with (folder / name).open("ab") as handle:
            handle.write(b"\xff" * 333)
    assert check_every_row(folder) == 1
    with open_closing(folder) as store:
        commit(store, 2)
    assert check_every_row(folder) == 2
    assert (folder / "vectors.1.f16").stat().st_size == (2 + 3) * DIM * 2


def test_a_commit_that_fails_in_sql_leaves_the_library_as_it_was(folder: Path, store: SqliteStore) -> None:
    commit(store, 1)
    broken = sound_number(2)
    broken = replace(broken, file=replace(broken.file, size_bytes=2**70))  # too large for SQLite
    with store.writing(), pytest.raises(OverflowError):
        store.commit(Changes(sounds=[sound_number(3), broken], removed=["/sounds/000001.wav"]))
    assert check_every_row(folder) == 1
    commit(store, 4)
    assert check_every_row(folder) == 2


def test_a_library_is_found_again_with_all_it_held(folder: Path) -> None:
    with open_closing(folder) as store:
        commit(store, *range(20))
    reopened = SqliteStore.open(folder, create=False)
    assert reopened.identity == IDENTITY
    assert check_every_row(folder) == 20
    reopened.close()


def test_another_models_vectors_are_refused(folder: Path, store: SqliteStore) -> None:
    other = replace(IDENTITY, name="other", fingerprint="ba9876543210")
    message = r"filled by the model toy \(0123456789ab, 8 dimensions\), not by other .* --library DIR"
    with pytest.raises(LibraryError, match=message):
        SqliteStore.open(folder, identity=other)
    with pytest.raises(LibraryError, match=r"filled by toy as it was before .*index the sounds again"):
        SqliteStore.open(folder, identity=replace(IDENTITY, dim=16))


def test_a_file_that_a_compaction_removes_while_sizes_are_added_up_is_passed_over(
    folder: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(store, 1)
    (folder / "frames.2.f16").write_bytes(b"x" * 1000)
    real = Path.iterdir

    def list_and_compact(path: Path) -> Iterator[Path]:
        listed = list(real(path))
        (folder / "frames.2.f16").unlink()
        yield from listed

    monkeypatch.setattr(Path, "iterdir", list_and_compact)
    assert store.stats().files == 1


def test_a_reader_beside_a_writer_always_sees_a_whole_version(folder: Path) -> None:
    SqliteStore.open(folder, identity=IDENTITY).close()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=ingest_for_ever, args=(str(folder),))
    process.start()
    try:
        reader = SqliteStore.open(folder, create=False)
        seen: set[int] = set()
        until = time.monotonic() + 240
        while len(seen) < 15 and time.monotonic() < until:
            for match in best_matches(reader, EAST, k=50, per="segment"):
                expected = sound_number(int(Path(match.file.path).stem))
                row = round(match.start_s / match.file.frame_s)
                assert match.score == pytest.approx(float(expected.vectors[row] @ EAST), abs=1e-3)
                np.testing.assert_array_equal(match.frames[0], expected.frames[row])
            seen.add(reader.stats().files)
        assert len(seen) >= 15, f"the writer made only {len(seen)} versions"
        with pytest.raises(LibraryError, match=f"being written by process {process.pid}"):
            reader.writing().__enter__()
        reader.close()
    finally:
        process.kill()
        process.join()


def test_threads_share_a_store(store: SqliteStore) -> None:
    commit(store, *range(50))
    wrong: list[object] = []

    def ask(number: int) -> None:
        try:
            for _ in range(20):
                (best,) = best_matches(store, sound_number(number).vectors[0], k=1)
                if best.file.path != f"/sounds/{number:06d}.wav":
                    wrong.append(best)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for number in range(50, 60):
        commit(store, number)
    for thread in threads:
        thread.join()
    assert not wrong


def test_waste_of_just_the_share_stays(store: SqliteStore) -> None:
    commit(store, 0, 8, 16, 24)  # a row each
    commit(store, removed=["/sounds/000008.wav"])
    assert store.count() == (3, 3)
    with store.writing():
        assert not store.compact(dead_share=0.25) and store.compact(dead_share=0.24)


def test_only_much_waste_is_compacted_and_the_old_files_go(folder: Path, store: SqliteStore) -> None:
    for number in range(10):
        commit(store, number)
    commit(store, removed=["/sounds/000000.wav"])
    with store.writing():
        assert not store.compact()
    commit(store, removed=[f"/sounds/{n:06d}.wav" for n in range(1, 8)])
    with store.writing():
        assert store.compact()
    names = {path.name for path in folder.iterdir()}
    assert {"vectors.2.f16", "segments.2.rows", "frames.2.f16"} <= names
    assert not {"vectors.1.f16", "segments.1.rows", "frames.1.f16"} & names
    assert (folder / "vectors.2.f16").stat().st_size == (1 + 2) * DIM * 2  # files 8 and 9
    assert check_every_row(folder) == 2


def test_everything_may_be_removed(folder: Path, store: SqliteStore) -> None:
    commit(store, 1, 2)
    commit(store, removed=list(store.states("/")))
    with store.writing():
        assert store.compact()
    assert best_matches(store, EAST, k=5) == []
    commit(store, 3)
    assert check_every_row(folder) == 1


def test_a_reader_survives_a_compaction(folder: Path, store: SqliteStore) -> None:
    commit(store, *range(10))
    reader = SqliteStore.open(folder, create=False)
    assert len(best_matches(reader, EAST, k=20)) == 10
    held = best_matches(reader, EAST, k=20)
    before = [match.frames.tolist() for match in held]
    commit(store, removed=[f"/sounds/{n:06d}.wav" for n in range(5)])
    with store.writing():
        assert store.compact()
    assert len(best_matches(reader, EAST, k=20)) == 5
    assert [match.frames.tolist() for match in held] == before
    reader.close()


def test_a_compaction_that_is_killed_before_its_commit_changes_nothing(
    folder: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(store, *range(10))
    commit(store, removed=[f"/sounds/{n:06d}.wav" for n in range(5)])
    with monkeypatch.context() as patch, store.writing(), pytest.raises(KeyboardInterrupt):
        patch.setattr("soundseek.library.store.sqlite.switch_generation", interrupt)
        store.compact()
    assert (folder / "vectors.2.f16").exists()
    assert check_every_row(folder) == 5
    with store.writing():
        assert not (folder / "vectors.2.f16").exists(), "the next writer removes the leftovers"
        assert store.compact()
    assert check_every_row(folder) == 5


def interrupt(*anything: object) -> None:
    raise KeyboardInterrupt


def test_a_vector_file_that_was_cut_is_an_error_that_names_it(folder: Path, store: SqliteStore) -> None:
    commit(store, *range(10))
    os.truncate(folder / "vectors.1.f16", 8)
    with (
        open_closing(folder) as again,
        pytest.raises(LibraryError, match=r"vectors\.1\.f16 is damaged.*8 bytes"),
    ):
        best_matches(again, EAST, k=1)
    with pytest.raises(LibraryError, match="is damaged"):
        commit(store, 11)


def test_a_database_that_is_none_is_an_error_that_names_it(folder: Path) -> None:
    folder.mkdir()
    (folder / "library.sqlite").write_bytes(b"these are no tables, but text " * 100)
    with pytest.raises(LibraryError, match=r"not a database.*index the sounds again"):
        SqliteStore.open(folder, identity=IDENTITY)


def test_a_newer_format_is_refused(folder: Path) -> None:
    SqliteStore.open(folder, identity=IDENTITY).close()
    connection = sqlite3.connect(folder / "library.sqlite")
    connection.execute("UPDATE about SET value = '2' WHERE key = 'format'")
    connection.commit()
    connection.close()
    with pytest.raises(LibraryError, match="has library format 2, this soundseek reads 1"):
        SqliteStore.open(folder, identity=IDENTITY)


def test_where_there_is_no_library_none_is_made_by_reading(folder: Path) -> None:
    for identity, create in ((None, True), (IDENTITY, False)):
        with pytest.raises(NoLibraryError, match="holds no library yet; make one with: soundseek index"):
            SqliteStore.open(folder, identity=identity, create=create)
    assert not folder.exists()


def test_a_file_in_the_place_of_a_library_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no library")
    for create in (True, False):
        with pytest.raises(LibraryError, match=r"notes\.txt is a file, and a library is a folder"):
            SqliteStore.open(tmp_path / "notes.txt", identity=IDENTITY, create=create)
    assert (tmp_path / "notes.txt").read_text() == "no library"


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX permissions")
@pytest.mark.parametrize("closed", ["", "library.sqlite"], ids=["folder", "database"])
def test_a_library_that_nobody_may_read_is_named_with_what_to_do(closed: str, public_folder: Path) -> None:
    with open_closing(public_folder) as store:
        commit(store, 1)
    for create in (False, True):
        with closed_to_all(public_folder / closed), pytest.raises(LibraryError) as caught:
            SqliteStore.open(public_folder, identity=IDENTITY, create=create)
        assert (
            f"the library {public_folder} cannot be read (Permission denied); ask its owner for the right"
            in str(caught.value)
        )
    if not closed:
        with (
            closed_to_all(public_folder),
            pytest.raises(LibraryError, match=r"cannot be read .*; ask its owner"),
        ):
            holds_library(str(public_folder))


@contextmanager
def not_as_root() -> Iterator[None]:
    """Root, whom no permission stops, is somebody else meanwhile."""
    is_root = os.geteuid() == 0
    try:
        if is_root:
            os.seteuid(65534)
        yield
    finally:
        if is_root:
            os.seteuid(0)


@contextmanager
def closed_to_all(path: Path) -> Iterator[None]:
    """Nobody may read it."""
    before = path.stat().st_mode
    path.chmod(0)
    try:
        with not_as_root():
            yield
    finally:
        path.chmod(before)


@contextmanager
def only_readable(folder: Path) -> Iterator[None]:
    """Nobody may write into `folder`."""
    folder.chmod(0o555)
    for file in folder.iterdir():
        file.chmod(0o444)
    try:
        with not_as_root():
            yield
    finally:
        folder.chmod(0o755)


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that other users can reach: pytest's own are private."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made) / "library"


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX permissions")
def test_a_library_that_nobody_may_write_to_can_be_searched(public_folder: Path) -> None:
    with open_closing(public_folder) as store:
        commit(store, *range(20))
        expected = [
            match.file.path for match in best_matches(store, EAST, k=5)
        ]  # imports what root alone may read
    with only_readable(public_folder), open_closing(public_folder) as store:
        assert [match.file.path for match in best_matches(store, EAST, k=5)] == expected
        assert store.stats().files == 20
        writers = (lambda: commit(store, 21), lambda: TaughtSounds(store).create("knocks"))
        for write in writers:
            with pytest.raises(
                LibraryError,
                match=r"cannot be written to \(Permission denied\); ask its owner .* another with --library DIR\. "
                "Searching still works$",
            ):
                write()


@pytest.fixture
def left_by_a_killed_writer(public_folder: Path) -> Path:
    """A library of which all rows are in the log."""
    killed = multiprocessing.get_context("spawn").Process(target=_commit_and_die, args=(public_folder,))
    killed.start()
    killed.join()
    assert (public_folder / "library.sqlite-wal").stat().st_size
    return public_folder


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX permissions")
def test_a_log_that_a_killed_writer_left_counts_where_nobody_may_write(left_by_a_killed_writer: Path) -> None:
    with open_closing(left_by_a_killed_writer.parent / "warm") as store:
        store.stats()  # imports what root alone may read
    with only_readable(left_by_a_killed_writer):
        reader = SqliteStore.open(left_by_a_killed_writer, create=False)
        assert reader.stats().files == 3
        reader.close()


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX permissions")
def test_a_log_that_nobody_can_read_is_an_error_and_no_old_library(left_by_a_killed_writer: Path) -> None:
    (left_by_a_killed_writer / "library.sqlite-shm").unlink()  # as in a copy of the folder
    with (
        only_readable(left_by_a_killed_writer),
        pytest.raises(LibraryError, match="left a part of it in a log"),
    ):
        SqliteStore.open(left_by_a_killed_writer, create=False)
    reader = SqliteStore.open(left_by_a_killed_writer, create=False)
    assert reader.stats().files == 3
    reader.close()


def _commit_and_die(folder: Path) -> None:
    store = SqliteStore.open(folder, identity=IDENTITY)
    commit(store, 1, 2, 3)
    os._exit(9)


def test_a_library_on_a_full_disk_is_searched_and_says_why_it_cannot_be_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite wants a file beside the database even to read, and has no space for it."""

    class OnFullDisk(sqlite3.Connection):
        def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:
            if sql == "PRAGMA journal_mode = WAL":
                raise sqlite3.OperationalError("disk I/O error")
            return super().execute(sql, *parameters)  # type: ignore[arg-type]

    connect = sqlite3.connect

    def on_full_disk(database: object, *, uri: bool = False, **options: object) -> sqlite3.Connection:
        made: type[sqlite3.Connection] = sqlite3.Connection if uri else OnFullDisk
        return connect(database, uri=uri, factory=made, **options)  # type: ignore[arg-type]

    with open_closing(folder) as store:
        commit(store, 1)
    (folder / "library.sqlite-wal").touch()  # what SQLite leaves when it gives up
    monkeypatch.setattr(sqlite3, "connect", on_full_disk)
    with pytest.raises(LibraryError, match="disk I/O error"):
        SqliteStore.open(folder, identity=IDENTITY)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with open_closing(folder) as store:
        assert [Path(file.path).name for file in store.files()]
        with pytest.raises(LibraryError, match="its disk is full: free some space"):
            commit(store, 2)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "its disk is full"),
        (
            OSError(errno.EPERM, "Operation not permitted"),
            r"cannot be made \(Operation not permitted\); name another",
        ),
        (
            OSError(errno.ENOENT, "No such file or directory"),
            r"cannot be made \(No such file or directory\); name",
        ),
        (sqlite3.OperationalError("database or disk is full"), "its disk is full"),
    ],
)
def test_a_disk_is_full_where_the_system_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    """A file system without bytes, as /proc and /sys are, has no free ones either."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))

    def fail(_: Path) -> None:
        raise error

    monkeypatch.setattr("soundseek.library.store.sqlite.make_folder", fail)
    with pytest.raises(LibraryError, match=told) as raised:
        SqliteStore.open(folder, identity=IDENTITY)
    assert ("disk is full" in str(raised.value)) == ("disk is full" in told)


def test_a_library_whose_making_was_killed_can_be_made_again(folder: Path) -> None:
    folder.mkdir()
    (folder / "library.sqlite").touch()
    with pytest.raises(NoLibraryError):
        SqliteStore.open(folder)
    with open_closing(folder) as store:
        commit(store, 1)
    assert check_every_row(folder) == 1


def test_a_closed_store_says_so(folder: Path) -> None:
    store = SqliteStore.open(folder, identity=IDENTITY)
    store.close()
    with pytest.raises(LibraryError, match="is closed; open it again"):
        store.stats()


def test_a_library_may_be_carried_elsewhere(folder: Path, tmp_path: Path) -> None:
    with open_closing(folder) as store:
        commit(store, *range(5))
    shutil.copytree(folder, tmp_path / "copy")
    assert check_every_row(tmp_path / "copy") == 5


def test_a_location_chooses_its_store(folder: Path) -> None:
    in_memory = open_store("memory://", identity=IDENTITY, create=True)
    on_disk = open_store(str(folder), identity=IDENTITY, create=True)
    assert (in_memory.location, on_disk.location) == ("memory://", str(folder))
    on_disk.close()
    with pytest.raises(NoLibraryError, match=r"make it with Library\.create"):
        open_store("memory://", identity=None, create=True)
    with pytest.raises(UsageError, match="no kind of library 'mysql'"):
        open_store("mysql://host", identity=IDENTITY, create=True)


def test_two_thousand_files_are_found_by_one_filter_each(store: SqliteStore) -> None:
    generator = np.random.default_rng(0)
    vectors = unit_rows(generator, 2000)
    with store.writing():
        store.commit(Changes([sound_of_vectors(f"/{n:04d}.wav", vectors[n : n + 1]) for n in range(2000)]))
    assert len(best_matches(store, EAST, k=2000)) == 2000
    assert len({match.file.path for match in best_matches(store, EAST, k=1500)}) == 1500


@pytest.mark.skipif(
    not Path("/proc/self/smaps").is_file(), reason="the system does not say what a process holds"
)
def test_frames_that_searches_read_are_let_go_and_can_be_read_again(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server over a large library came to hold all of it."""
    vectors = unit_rows(np.random.default_rng(0), 4000)
    with store.writing():
        store.commit(Changes(sounds=[sound_of_vectors("/a.wav", vectors)]))

    def held_kb() -> int:
        text = Path("/proc/self/smaps").read_text()
        _, _, of_frames = text.partition(f"{store.directory}/frames.1.f16")
        return int(of_frames.split("Rss:")[1].split()[0])

    def asked() -> list[float]:
        matches = store.shortlist(Question(EAST), segments=4000, files=1)
        return [float(match.frames.sum()) for match in matches]

    first = asked()
    assert held_kb() >= vectors.astype(np.float16).nbytes // 1024
    monkeypatch.setattr("soundseek.library.store.sqlite.SEGMENTS_HELD", 10)
    store.shortlist(Question(EAST), segments=4000, files=1)
    assert held_kb() == 0
    assert asked() == first
