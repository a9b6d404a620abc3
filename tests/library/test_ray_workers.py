"""Embedding on a Ray cluster: the driver's part with a cluster that is none, and two real workers (slow)."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from library import fakes
from library.stores import IDENTITY

from soundseek.errors import LibraryError, ModelError, UsageError
from soundseek.library import ray_workers
from soundseek.library.copy import digest_of_sound
from soundseek.library.index import update
from soundseek.library.ray_workers import (
    TASKS_AHEAD,
    RayCluster,
    WorkerLostError,
    embed_on_cluster,
    embed_on_ray,
    embed_task,
)
from soundseek.library.store.sqlite import SqliteStore
from soundseek.library.workers import EmbedJob, Outcome

EXTENSIONS = frozenset({".wav"})


class InlineCluster:
    """Runs each task when it is asked for, the last one first; a text with CRASH or KILL takes its worker."""

    num_cpus = 3

    def __init__(
        self, load: Callable[[], fakes.FakeModel] = fakes.load, fingerprint: str = IDENTITY.fingerprint
    ) -> None:
        self.load, self.fingerprint = load, fingerprint
        self.jobs: list[EmbedJob] = []
        self.most_under_way = 0
        self.is_stopped = False

    def start(self, job: EmbedJob) -> int:
        self.jobs.append(job)
        return len(self.jobs) - 1

    def first_done(self, tasks: list[int]) -> int:
        self.most_under_way = max(self.most_under_way, len(tasks))
        return tasks[-1]

    def outcome(self, task: int) -> Outcome | str:
        if Path(self.jobs[task].path).read_text().startswith(("CRASH", "KILL")):
            raise WorkerLostError("the worker died")
        return embed_task(self.load, self.fingerprint, self.jobs[task])

    def stop(self) -> None:
        self.is_stopped = True


@pytest.fixture(autouse=True)
def no_model_of_another_test() -> Iterator[None]:
    yield
    ray_workers._models.clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty texts that stand for sounds, two of them copies of others, one bad."""
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for number in range(30):
        (sounds / f"{number:02}.wav").write_text(f"sound {number % 28}")
    (sounds / "bad.wav").write_text("BAD header")
    return sounds


def held(store: SqliteStore) -> dict[str, bytes]:
    sounds = {path: store.read(path) for path in store.states("/")}
    return {path: digest_of_sound(sound) for path, sound in sounds.items() if sound is not None}


def indexed(place: Path, folder: Path, embed: Callable[..., object] | None = None) -> dict[str, bytes]:
    """What a library holds of a folder, by whatever embeds."""
    store = SqliteStore.open(place, identity=IDENTITY)
    options = {} if embed is None else {"embed": embed}
    try:
        report = update(store, [folder], fakes.load, extensions=EXTENSIONS, **options)  # type: ignore[arg-type]
        assert report.failed == len(store.failures()) and report.added == len(store.states("/"))
        return held(store)
    finally:
        store.close()


def by(cluster: InlineCluster) -> Callable[..., object]:
    """What embeds by a cluster, as `update` calls it."""

    def embed(jobs: Iterator[EmbedJob], load: object, *, workers: int, tell: object) -> object:
        return embed_on_cluster(jobs, load, cluster=lambda: cluster, tell=tell)  # type: ignore[arg-type]

    return embed


def test_the_library_is_that_of_plain_workers_and_every_content_is_embedded_once(
    folder: Path, tmp_path: Path
) -> None:
    cluster = InlineCluster()
    assert indexed(tmp_path / "ray", folder, by(cluster)) == indexed(tmp_path / "plain", folder)
    assert len(held(SqliteStore.open(tmp_path / "ray"))) == 30
    assert cluster.is_stopped and cluster.most_under_way == TASKS_AHEAD * cluster.num_cpus
    assert len({job.path for job in cluster.jobs}) == len(cluster.jobs) == 31
    again = InlineCluster()
    assert indexed_again(tmp_path / "ray", folder, by(again)) == 30 and again.jobs == []


def indexed_again(place: Path, folder: Path, embed: Callable[..., object]) -> int:
    """Unchanged files of a second run."""
    store = SqliteStore.open(place, identity=IDENTITY)
    try:
        return update(store, [folder], fakes.load, extensions=EXTENSIONS, embed=embed).unchanged  # type: ignore[arg-type]
    finally:
        store.close()


def test_a_file_over_which_workers_die_is_named_and_the_others_go_in(folder: Path, tmp_path: Path) -> None:
    (folder / "crash.wav").write_text("CRASH")
    store = SqliteStore.open(tmp_path / "library", identity=IDENTITY)
    update(store, [folder], fakes.load, extensions=EXTENSIONS, embed=by(InlineCluster()))  # type: ignore[arg-type]
    reasons = {Path(failure.path).name: failure.reason for failure in store.failures()}
    assert reasons == {"bad.wav": "header", "crash.wav": "decoding it crashed the process (exit code 7)"}
    assert len(store.states("/")) == 30
    store.close()


def test_a_driver_that_is_stopped_keeps_what_was_committed_and_the_next_one_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundseek.library.index.COMMIT_FILES", 1)
    (folder / "10.wav").write_text("CTRL-C")
    first = InlineCluster()
    store = SqliteStore.open(tmp_path / "library", identity=IDENTITY)
    report = update(store, [folder], fakes.load, extensions=EXTENSIONS, embed=by(first))  # type: ignore[arg-type]
    assert report.interrupted and first.is_stopped
    there = held(store)
    store.close()
    assert 0 < len(there) < 30
    (folder / "10.wav").write_text("sound 10")
    second = InlineCluster()
    store = SqliteStore.open(tmp_path / "library", identity=IDENTITY)
    update(store, [folder], fakes.load, extensions=EXTENSIONS, embed=by(second))  # type: ignore[arg-type]
    assert not {job.path for job in second.jobs} & set(there)
    assert held(store) == indexed(tmp_path / "plain", folder)
    store.close()


def test_a_broken_model_ends_the_run_and_a_run_without_work_reaches_no_cluster(
    folder: Path, tmp_path: Path
) -> None:
    for cluster, message in (
        (InlineCluster(load=fakes.load_nothing), "audio.onnx is damaged"),  # type: ignore[arg-type]
        (InlineCluster(fingerprint="f" * 12), "has another model of that name than this library's"),
    ):
        with pytest.raises(ModelError, match=message):
            indexed(tmp_path / "library", folder, by(cluster))
        assert cluster.is_stopped
    jobs = embed_on_cluster(iter([]), fakes.load, cluster=pytest.fail, tell=pytest.fail)  # type: ignore[arg-type]
    assert list(jobs) == []


def test_a_worker_that_hangs_over_a_file_is_ended_by_a_timer(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    timer = SimpleNamespace(
        dump_traceback_later=lambda limit_s, *, exit, file: told.append((limit_s, exit)),
        cancel_dump_traceback_later=lambda: told.append("cancelled"),
    )
    monkeypatch.setattr(ray_workers, "faulthandler", timer)
    job = EmbedJob(
        str(folder / "00.wav"), size_bytes=20_000_000, mtime_ns=0, max_duration_s=float("inf"), decoders=""
    )
    embed_task(fakes.load, IDENTITY.fingerprint, job)
    assert told[0] == (ray_workers.STALL_S + 2, True) and told[-1] == "cancelled"


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"--ray needs Ray; install it with: pip install .*ray"):
        RayCluster("local", fakes.load, IDENTITY.fingerprint)


def test_a_cluster_that_is_not_there_is_an_error_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=pytest.fail))
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1"):
        with pytest.raises(LibraryError, match=r"127\.0\.0\.1:1' cannot be reached .*ray start --head"):
            RayCluster(address, fakes.load, IDENTITY.fingerprint)


def test_a_machine_that_cannot_embed_ends_the_run_and_is_told_from_one_that_dies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class RayError(Exception):
        pass

    class RayTaskError(RayError):
        cause = ModuleNotFoundError("No module named 'soundseek'")

    def get(error: Exception) -> None:
        raise error

    ray = SimpleNamespace(
        init=lambda *_, **__: None,
        put=lambda value: value,
        remote=lambda **_: lambda function: function,
        get=get,
        exceptions=SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError),
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    cluster = RayCluster("local", fakes.load, IDENTITY.fingerprint)
    with pytest.raises(ModelError, match=r"No module named 'soundseek'.*install the same soundseek"):
        cluster.outcome(RayTaskError())
    with pytest.raises(WorkerLostError):
        cluster.outcome(RayError())


# --- Two workers of Ray -----------------------------------------------------------------------------------------------


@pytest.fixture
def on_two_workers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    pytest.importorskip("ray")
    monkeypatch.setenv(ray_workers.CPUS_VARIABLE, "2")
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    )
    return partial(embed_on_ray, address=ray_workers.LOCAL, source="", fingerprint=IDENTITY.fingerprint)


@pytest.mark.slow
def test_two_workers_of_ray_fill_the_same_library_whatever_dies(
    folder: Path, tmp_path: Path, on_two_workers: Callable[..., object]
) -> None:
    (folder / "crash.wav").write_text("CRASH")
    (folder / "kill.wav").write_text("KILL")
    store = SqliteStore.open(tmp_path / "library", identity=IDENTITY)
    update(store, [folder], fakes.load, extensions=EXTENSIONS, embed=on_two_workers)  # type: ignore[arg-type]
    reasons = {Path(failure.path).name: failure.reason for failure in store.failures()}
    assert sorted(reasons) == ["bad.wav", "crash.wav", "kill.wav"]
    assert reasons["crash.wav"] == "decoding it crashed the process (exit code 7)"
    found = held(store)
    store.close()
    for name in ("crash.wav", "kill.wav"):
        (folder / name).unlink()
    assert found == indexed(tmp_path / "plain", folder)


@pytest.mark.slow
def test_a_worker_that_is_killed_from_outside_loses_nothing(
    folder: Path, tmp_path: Path, on_two_workers: Callable[..., object]
) -> None:
    once = tmp_path / "killed"
    store = SqliteStore.open(tmp_path / "library", identity=IDENTITY)
    load = partial(load_dying_once, once)
    update(store, [folder], load, extensions=EXTENSIONS, embed=on_two_workers)  # type: ignore[arg-type]
    assert once.exists() and len(store.states("/")) == 30
    store.close()


def load_dying_once(flag: Path) -> fakes.FakeModel:
    """A model whose worker is killed in the middle of its work, once."""
    if not flag.exists():
        flag.touch()
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGKILL)).start()
        threading.Event().wait(10)
    return fakes.load()
