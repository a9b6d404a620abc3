"""Where a library can hardly live: full disks, few open files, clocks that go back, a later soundseek. Each is told.

What had been committed is there afterwards, and goes on where it was.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import pytest
from library.best_matches import best_matches
from library.shelves import Shelf, set_time
from library.stores import IDENTITY, sound_number

from soundseek.errors import LibraryError
from soundseek.library.store.base import Changes
from soundseek.library.store.sqlite import SqliteStore

TESTS = Path(__file__).parents[1]
only_posix = pytest.mark.skipif(os.name != "posix", reason="limits of a process are POSIX's")


def filled(folder: Path, num: int = 20) -> SqliteStore:
    store = SqliteStore.open(folder, identity=IDENTITY)
    with store.writing():
        store.commit(Changes(sounds=[sound_number(number) for number in range(num)]))
    return store


def in_a_process(script: str, *arguments: object) -> str:
    """What a script prints that may limit its own process."""
    path = os.pathsep.join([str(TESTS), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


GROW_UNTIL_FULL = """
import resource, sys
from pathlib import Path
from library.stores import IDENTITY, sound_number
from soundseek.errors import LibraryError
from soundseek.library.store.base import Changes
from soundseek.library.store.sqlite import SqliteStore

store = SqliteStore.open(Path(sys.argv[1]), identity=IDENTITY)
for limit_bytes in (0, 1_000, 60_000, 150_000):
    committed, number = store.stats().files, 1000 + limit_bytes
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, resource.RLIM_INFINITY))
    try:
        with store.writing():
            while True:
                store.commit(Changes(sounds=[sound_number(number + each) for each in range(20)]))
                committed, number = committed + 20, number + 20
    except LibraryError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert store.stats().files == committed and not store.check(), (limit_bytes, store.stats(), committed)
print(committed)
"""


@only_posix
def test_a_file_that_may_not_grow_costs_the_commit_and_nothing_else(tmp_path: Path) -> None:
    filled(tmp_path / "library").close()
    *messages, committed = in_a_process(GROW_UNTIL_FULL, tmp_path / "library").splitlines()
    assert len(messages) == 4 and int(committed) > 60
    for message in messages:
        assert message.startswith(f"the library {tmp_path / 'library'} cannot be used (")
        assert "space" in message or "full disk" in message


FEW_HANDLES = """
import os, resource, sys
from pathlib import Path
from library.stores import IDENTITY
from soundseek.errors import LibraryError
from soundseek.library.store.sqlite import SqliteStore

store = SqliteStore.open(Path(sys.argv[1]), identity=IDENTITY)
store.stats()  # what is imported late is imported now
store.close()
there = len(os.listdir("/dev/fd")) - 1
for more in range(6):
    resource.setrlimit(resource.RLIMIT_NOFILE, (there + more, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        store = SqliteStore.open(Path(sys.argv[1]), identity=IDENTITY)
        print(store.stats().files)
        store.close()
    except LibraryError as error:
        print(error)
"""


@only_posix
def test_too_few_open_files_are_told_as_such(tmp_path: Path) -> None:
    store = filled(tmp_path / "library")  # open, so that its log is there
    messages = in_a_process(FEW_HANDLES, tmp_path / "library").splitlines()
    store.close()
    told = [message for message in messages if message != "20"]
    assert len(told) >= 3
    assert all("Too many open files" in message and "ulimit -n" in message for message in told), told


NO_WORKER = """
import os, resource, sys
from pathlib import Path
from library import fakes
from library.stores import IDENTITY
from soundseek.errors import LibraryError
from soundseek.library.index import update
from soundseek.library.store.sqlite import SqliteStore

store = SqliteStore.open(Path(sys.argv[1]) / "library", identity=IDENTITY)
store.stats()
if __name__ == "__main__":
    most = len(os.listdir("/dev/fd")) + 2
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        update(store, [Path(sys.argv[1]) / "sounds"], fakes.load, extensions={".wav"}, workers=3)
    except LibraryError as error:
        print(error)
"""


@only_posix
def test_workers_that_cannot_be_started_are_told(tmp_path: Path) -> None:
    filled(tmp_path / "library").close()
    (tmp_path / "sounds").mkdir()
    for number in range(4):
        (tmp_path / "sounds" / f"{number}.wav").write_text(f"sound {number}")
    said = in_a_process(NO_WORKER, tmp_path)
    assert "Too many open files" in said and ("--workers 0" in said or "ulimit -n" in said)


def test_a_library_that_a_later_soundseek_wrote_is_searched_and_not_written_to(tmp_path: Path) -> None:
    store = filled(tmp_path / "library")
    other = sqlite3.connect(tmp_path / "library" / "library.sqlite")
    other.execute("PRAGMA user_version = 99")
    other.execute("ALTER TABLE descriptions ADD COLUMN mood TEXT NOT NULL DEFAULT ''")
    other.commit()
    other.close()
    # It was open when the later one came, and is opened again.
    for each in (store, SqliteStore.open(tmp_path / "library", identity=IDENTITY)):
        (best,) = best_matches(each, sound_number(7).vectors[0], k=1)
        assert best.file.path == "/sounds/000007.wav"
        with pytest.raises(
            LibraryError, match=r"later soundseek \(schema 99.*update soundseek.*Searching still"
        ):
            each.writing().__enter__()
        assert each.stats().files == 20
        each.close()


@pytest.mark.parametrize("said", ["locking protocol", "disk I/O error", "database is locked"])
def test_what_sqlite_says_on_a_network_drive_comes_with_the_next_step(said: str, tmp_path: Path) -> None:
    """Where processes share no memory, its WAL fails in words of its own."""
    store = filled(tmp_path / "library")

    def fail(*_: object) -> NoReturn:
        raise sqlite3.OperationalError(said)

    with pytest.MonkeyPatch.context() as shared_memory:
        shared_memory.setattr(store, "_connection", lambda: type("None", (), {"execute": fail})())
        with pytest.raises(LibraryError) as told:
            best_matches(store, sound_number(7).vectors[0], k=1)
    assert str(told.value) == (
        f"the library {tmp_path / 'library'} cannot be used ({said}); if it lies on a network drive or a full disk, "
        "put the library on a local disk with --library DIR (or SOUNDSEEK_LIBRARY)"
    )
    assert best_matches(store, sound_number(7).vectors[0], k=1)[0].file.path == "/sounds/000007.wav"
    store.close()


def test_a_clock_that_goes_back_hides_no_change(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    set_time(shelf.put("a.wav", "bell"), 1_800_000_000)
    set_time(shelf.put("b.wav", "rain"), 1_800_000_000)
    shelf.index()
    last = shelf.store.stats().last_indexed
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 1e9)
    set_time(shelf.put("a.wav", "dog!"), 800_000_000)  # as long as before, and older
    set_time(shelf.put("c.wav", "wind"), -5_000)
    assert shelf.index() == {"added": 1, "changed": 1, "unchanged": 1}
    assert shelf.says("dog!") == "a.wav" and shelf.says("wind") == "c.wav"
    assert shelf.index() == {"unchanged": 3}
    assert last is not None and shelf.store.stats().last_indexed is not None


def test_a_full_disk_costs_the_name_of_the_lock_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path / "library")

    def full(descriptor: int, content: bytes) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "write", full)
    with store.writing():
        store.commit(Changes(removed=["/sounds/000003.wav"]))  # so space can be made
        other = SqliteStore.open(tmp_path / "library", identity=IDENTITY)
        with pytest.raises(LibraryError, match="being written by"):
            other.writing().__enter__()
        other.close()
    assert store.stats().files == 19
    store.close()
