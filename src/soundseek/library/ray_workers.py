"""Files embedded as tasks of a Ray cluster; this process stays the only one that writes to the library.

Every machine of the cluster must see the sounds under the same paths, and have this soundseek and the model by its
name or in the same place. A task whose worker dies is tried once more by Ray; a file that takes the second one, too,
is embedded by a process of this machine, which tells what is wrong with it. What was not committed when this process
is killed is embedded again by the next run.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import platform
import socket
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlsplit

from soundseek._install import install_command
from soundseek.errors import LibraryError, ModelError, SoundseekError, UsageError
from soundseek.library.workers import (
    HASHED_BYTES_PER_S,
    STALL_S,
    EmbeddingModel,
    EmbedJob,
    LoadModel,
    Outcome,
    Partial,
    Tell,
    embed_all,
    embed_job,
)

LOCAL = "local"
"""The address of a cluster that is started on this machine and ends with the run."""
CPUS_VARIABLE = "SOUNDSEEK_RAY_CPUS"
"""How many tasks a local cluster runs at once; its cores if not set."""
TASKS_AHEAD = 2
"""Tasks under way for each core: one that waits for its core while another's result travels."""

CONNECT_S = 10.0

Task: TypeAlias = Any
"""What stands for a file that is being embedded elsewhere."""


class WorkerLostError(Exception):
    """What embedded a file has died over it."""


class TaskCluster(Protocol):
    """Processes elsewhere that embed a file each."""

    @property
    def num_cpus(self) -> int:
        """How many files are embedded at the same time."""

    def start(self, job: EmbedJob) -> Task:
        """Let a file be embedded."""

    def first_done(self, tasks: list[Task]) -> Task:
        """One of some tasks that is done, or the first that will be."""

    def outcome(self, task: Task) -> Outcome | str:
        """What became of a task that is done; a text says that the model is broken.

        Raises:
            WorkerLostError: Its process died.
        """

    def stop(self) -> None:
        """Let go of the cluster; what is under way ends."""


def embed_on_cluster(
    jobs: Iterator[EmbedJob],
    load: LoadModel,
    *,
    cluster: Callable[[], TaskCluster],
    tell: Tell,
) -> Generator[tuple[EmbedJob, Outcome], None, None]:
    """What is embedded of each file, in the order in which they are done.

    Args:
        jobs: Taken one by one as the cluster has room.
        load: Makes the model on this machine, for a file over which workers die.
        cluster: Reaches the cluster; a run without new files does without.
        tell: Is told how far a long file is that this machine embeds.

    Raises:
        ModelError: The model cannot be loaded or run.
        LibraryError: The cluster cannot be reached.
    """
    first = next(jobs, None)
    if first is None:
        return
    reached = cluster()
    try:
        under_way: dict[Task, EmbedJob] = {reached.start(first): first}
        while under_way:
            while len(under_way) < TASKS_AHEAD * max(1, reached.num_cpus):
                job = next(jobs, None)
                if job is None:
                    break
                under_way[reached.start(job)] = job
            task = reached.first_done(list(under_way))
            job = under_way.pop(task)
            try:
                outcome = reached.outcome(task)
            except WorkerLostError:
                yield from embed_all(iter([job]), load, workers=1, tell=tell)
                continue
            if isinstance(outcome, str):
                raise ModelError(outcome)
            yield job, outcome
    finally:
        reached.stop()


def embed_task(load: LoadModel, fingerprint: str, job: EmbedJob) -> Outcome | str:
    """One file, embedded by a worker of the cluster, which keeps its model for the next one.

    A file that hangs in a decoder, even in C, ends the worker: a timer of the interpreter's, which needs no lock of it.

    Args:
        load: Makes the model here.
        fingerprint: Of the model that filled the library.
        job: The file.

    Returns:
        What became of it; a text says that the model cannot be used here.
    """
    try:
        model = _model(load, fingerprint)
        limit_s = STALL_S + job.size_bytes / HASHED_BYTES_PER_S
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123

            def watch(_: Partial | None = None) -> None:
                faulthandler.dump_traceback_later(limit_s, exit=True, file=nowhere)

            watch()
            try:
                return embed_job(model, job, watch)
            finally:
                faulthandler.cancel_dump_traceback_later()
    except SoundseekError as error:
        return str(error)


_models: dict[str, EmbeddingModel] = {}


def _model(load: LoadModel, fingerprint: str) -> EmbeddingModel:
    """The model of this worker.

    Raises:
        ModelError: It is another one than the library's.
    """
    if fingerprint not in _models:
        from soundseek.library.library_model import identity_of

        model = load()
        if identity_of(model).fingerprint != fingerprint:
            raise ModelError(
                f"a machine of the Ray cluster ({platform.node()}) has another model of that name than this "
                f"library's ({identity_of(model).fingerprint} for {fingerprint}); install the same soundseek and model"
            )
        _models[fingerprint] = model
    return _models[fingerprint]


class RayCluster:
    """A cluster that Ray runs.

    Args:
        address: Of its head, "auto", or "local" for one on this machine that ends with the run.
        load: Makes the model in a worker.
        fingerprint: Of the model that filled the library.

    Raises:
        UsageError: Ray is not installed.
        LibraryError: The cluster cannot be reached.
    """

    def __init__(self, address: str, load: LoadModel, fingerprint: str) -> None:
        try:
            import ray
        except ImportError as error:
            raise UsageError(f"--ray needs Ray; install it with: {install_command('ray')}") from error
        self._ray: Any = ray
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            _need_listener(address)
            if address == LOCAL:
                cpus = int(os.environ.get(CPUS_VARIABLE, "0")) or None
                ray.init(
                    "local",
                    num_cpus=cpus,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            else:
                ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # Ray's errors of this kind have no class in common
            raise LibraryError(
                f"the Ray cluster at {address!r} cannot be reached ({error}); start one with: ray start --head, or use "
                f"one of this machine alone: --ray {LOCAL}"
            ) from error
        self._task = ray.remote(num_cpus=1, max_retries=1)(embed_task)
        self._load = ray.put(load)
        self._fingerprint = fingerprint

    @property
    def num_cpus(self) -> int:
        """Cores of the cluster now: machines may come and go."""
        return int(self._ray.cluster_resources().get("CPU", 1))

    def start(self, job: EmbedJob) -> Task:
        """Let a file be embedded."""
        return self._task.options(name=f"embed {job.path}").remote(self._load, self._fingerprint, job)

    def first_done(self, tasks: list[Task]) -> Task:
        """One of some tasks that is done, or the first that will be."""
        done, _ = self._ray.wait(tasks, num_returns=1)
        return done[0]

    def outcome(self, task: Task) -> Outcome | str:
        """What became of a task that is done.

        Raises:
            WorkerLostError: Its process, or its machine, died.
            ModelError: It could not begin there, as where soundseek is missing; no other file could.
        """
        try:
            outcome: Outcome | str = self._ray.get(task)
        except self._ray.exceptions.RayTaskError as error:
            raise ModelError(
                f"a machine of the Ray cluster cannot embed ({error.cause!r}); install the same soundseek and model on "
                "each, or index without --ray"
            ) from error
        except self._ray.exceptions.RayError as error:
            raise WorkerLostError(str(error)) from error
        return outcome

    def stop(self) -> None:
        """Let go of the cluster; a local one ends."""
        self._ray.shutdown()


def _need_listener(address: str) -> None:
    """Raise OSError where nobody listens at an address with a port: Ray would try for minutes."""
    place = urlsplit(f"//{address.removeprefix('ray://')}")
    if place.hostname and place.port:
        socket.create_connection((place.hostname, place.port), CONNECT_S).close()


def load_by_source(source: str) -> EmbeddingModel:
    """A model by its name, or in its directory, on whichever machine this runs."""
    from soundseek.model.registry import load_model

    return load_model(source)


def embed_on_ray(
    jobs: Iterator[EmbedJob],
    load: LoadModel,
    *,
    workers: int,
    tell: Tell,
    address: str,
    source: str,
    fingerprint: str,
) -> Generator[tuple[EmbedJob, Outcome], None, None]:
    """What is embedded of each file by a Ray cluster, as `workers.embed_all` does on this machine.

    Args:
        jobs: Taken one by one as the cluster has room.
        load: Makes the model on this machine.
        workers: Is not used: the cluster has as many as it has cores.
        tell: Is told how far a long file is that this machine embeds.
        address: See `RayCluster`.
        source: Name or directory of the model, the same on every machine; empty where `load` makes it everywhere.
        fingerprint: Of the model that filled the library.
    """
    there = partial(load_by_source, source) if source else load
    cluster = partial(RayCluster, address, there, fingerprint)
    return embed_on_cluster(jobs, load, cluster=cluster, tell=tell)
