"""Files embedded by several processes, each file as one `EmbeddedSound` or the reason why not.

A file in a bucket is fetched by the process that embeds it, and its content hashed on the way.

A process that crashes takes one file with it, whose name is known.
"""

from __future__ import annotations

import hashlib
import math
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from itertools import chain, islice
from multiprocessing.connection import Connection, wait
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from soundseek._threads import single_threaded_children
from soundseek._typing import AnyFloatArray
from soundseek.audio.tags import read_tags
from soundseek.errors import DecodeError, LibraryError, MissingFileError, ModelError, SoundseekError
from soundseek.library.paths import is_url
from soundseek.library.remote import fetched, remove_copies_of
from soundseek.library.store.base import Description, EmbeddedSound, Failure, SoundFile

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from soundseek.model.model import AudioEmbedding

HASH_BLOCK_BYTES = 1 << 20
# How often a worker says how far it is in a long file.
TELL_EVERY_S = 0.5


class EmbeddingModel(Protocol):
    """A text-audio dual encoder, as a library uses it."""

    @property
    def dim(self) -> int:
        """Width of its vectors."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes whenever its vectors could."""
        ...

    def embed_text(self, texts: Sequence[str], /) -> AnyFloatArray:
        """`(n, dim)` unit norm."""
        ...

    def embed_file(
        self,
        path: str | os.PathLike[str],
        *,
        max_duration_s: float = math.inf,
        progress: Callable[[float, float | None], None] | None = None,
    ) -> AudioEmbedding:
        """All segments of one file; `progress` is told the seconds embedded, and those that the header states.

        A model without moments of its own takes `windows=True` as well; see `Model.embed_file`.
        """
        ...


LoadModel: TypeAlias = Callable[[], EmbeddingModel]
"""Makes a model in the process that will use it; must survive pickling."""


@dataclass(frozen=True)
class EmbedJob:
    """One file to embed.

    Attributes:
        path: Absolute path, or the URL of a file in a bucket.
        size_bytes: Its size when it was scanned.
        mtime_ns: Its modification time then.
        max_duration_s: Embedding stops here.
        decoders: Stamp of the versions that read it.
        content_hash: blake2b-128 of its bytes, where it has been worked out already.
        known: Its path is in the store.
        windows: Embed its short windows as well.
        recognised: Content hashes of which the library has the vectors; told of files in a bucket, whose own hash is
            not known before they are fetched.
    """

    path: str
    size_bytes: int
    mtime_ns: int
    max_duration_s: float
    decoders: str = ""
    content_hash: bytes | None = None
    known: bool = False
    windows: bool = False
    recognised: frozenset[bytes] = frozenset()


@dataclass(frozen=True)
class Unread:
    """A file that could not be opened, read or held in memory, though nothing is known to be wrong with it.

    The next run tries it again, and until then the library keeps what it has of it.

    Attributes:
        failure: Why; None if the file was no longer there, as after a rename.
    """

    failure: Failure | None


@dataclass(frozen=True)
class Partial:
    """How far a file is embedded.

    Attributes:
        done_s: Seconds embedded.
        stated_s: Length that its header states, None if it states none.
    """

    done_s: float
    stated_s: float | None


@dataclass(frozen=True)
class Recognised:
    """A file in a bucket that was fetched and not embedded, since its content is one of `EmbedJob.recognised`."""

    content_hash: bytes


Outcome: TypeAlias = "EmbeddedSound | Failure | Unread | Recognised"
Tell: TypeAlias = "Callable[[EmbedJob, Partial], None]"


class Embed(Protocol):
    """What embeds files: `embed_all` here, others elsewhere."""

    def __call__(
        self, jobs: Iterator[EmbedJob], load: LoadModel, *, workers: int, tell: Tell
    ) -> Generator[tuple[EmbedJob, Outcome], None, None]:
        """What is embedded of each file, in the order in which they are done."""
        ...


def embed_job(model: EmbeddingModel, job: EmbedJob, tell: Callable[[Partial], None]) -> Outcome:
    """All that is embedded of one file; a file that cannot be embedded is a `Failure` and no exception.

    Raises:
        SoundseekError: The model is at fault, so every other file would fail as well.
    """
    if not is_url(job.path):
        return _embedded(model, job, job.path, tell)
    told = monotonic()

    def tick() -> None:  # so that a slow line is not taken for a file that hangs
        nonlocal told
        if monotonic() - told >= TELL_EVERY_S:
            told = monotonic()
            tell(Partial(0.0, None))

    try:
        with fetched(job.path, tick) as (copy, content_hash):
            if content_hash in job.recognised:
                return Recognised(content_hash)
            return _embedded(model, replace(job, content_hash=content_hash), copy, tell)
    except FileNotFoundError:
        return Unread(None)
    except OSError as error:
        return Unread(Failure(job.path, f"cannot be fetched: {error.strerror or error}", now()))


def _embedded(model: EmbeddingModel, job: EmbedJob, path: str, tell: Callable[[Partial], None]) -> Outcome:
    """What is embedded of a job, whose bytes lie at a path of this machine."""
    told = monotonic()

    def progress(done_s: float, stated_s: float | None) -> None:
        nonlocal told
        if monotonic() - told >= TELL_EVERY_S:
            told = monotonic()
            tell(Partial(done_s, stated_s))

    content_hash = job.content_hash or b""
    try:
        # The hash comes first: if the file changes in between, the next run sees another hash and embeds it again.
        # The other way round, new bytes would for ever stand beside old vectors.
        content_hash = content_hash or hash_file(path)
        also: dict[str, Any] = {"windows": True} if job.windows else {}
        embedded = model.embed_file(path, max_duration_s=job.max_duration_s, progress=progress, **also)
    except (FileNotFoundError, NotADirectoryError, MissingFileError):
        return Unread(None)
    except DecodeError as error:
        if isinstance(error.__cause__, OSError):
            return Unread(Failure(job.path, error.reason, now()))
        return failure_of(job, error.reason, content_hash)
    except OSError as error:
        return Unread(Failure(job.path, f"cannot be read: {error.strerror or error}", now()))
    except SoundseekError:
        raise
    except MemoryError:
        return Unread(Failure(job.path, "there is not enough memory to embed it", now()))
    except Exception as error:  # a decoder's bug on one file must not end the run over all others
        return failure_of(job, f"unexpected error: {type(error).__name__}: {error}", content_hash)
    info = embedded.info
    file = SoundFile(
        path=job.path,
        size_bytes=job.size_bytes,
        mtime_ns=job.mtime_ns,
        content_hash=content_hash,
        format=info.format,
        sample_rate_hz=info.sample_rate_hz,
        channels=info.channels,
        duration_s=info.duration_s,
        truncated=info.truncated,
        frame_s=embedded.frame_s,
        limit_s=job.max_duration_s,
        description=description_of(path, loudness_dbfs=info.loudness_dbfs),
    )
    times_s = np.array([(segment.start_s, segment.end_s) for segment in embedded.segments], np.float64)
    return EmbeddedSound(
        file, times_s.reshape(-1, 2), embedded.vectors, embedded.frames, embedded.spans, embedded.windows
    )


def description_of(path: str, *, loudness_dbfs: float | None = None) -> Description:
    """What a file says of itself.

    Args:
        path: The file; its tags are read, and nothing is decoded.
        loudness_dbfs: What was measured while it was decoded, if it was.
    """
    tags = read_tags(path)
    return Description(tags.fields, tags.bit_depth, loudness_dbfs, tags.clock_s, tags.date)


def failure_of(job: EmbedJob, reason: str, content_hash: bytes = b"") -> Failure:
    """The failure of a job, seen now; it is not tried again until the file or the decoders change."""
    return Failure(job.path, reason, now(), job.size_bytes, job.mtime_ns, job.decoders, content_hash)


def _hash_of(job: EmbedJob) -> bytes:
    """The hash of a file whose process is lost; empty where it cannot be read."""
    try:
        return job.content_hash or hash_file(job.path)
    except OSError:
        return b""


def now() -> str:
    """This second, ISO 8601 in UTC."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def hash_file(path: str) -> bytes:
    """blake2b-128 of a file's bytes, read a megabyte at a time."""
    digest = hashlib.blake2b(digest_size=16)
    # O_NONBLOCK: a pipe that took the file's place since the scan must not hang the run.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb", buffering=0) as handle:
        while block := handle.read(HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.digest()


# A worker that says nothing for so long, and longer for a large file that has to be hashed first, hangs in a decoder.
STALL_S = 300.0
HASHED_BYTES_PER_S = 10e6
# A worker may always hold so much, and more where the machine has more: seven tenths of it, shared by all workers.
LEAST_MEMORY_BYTES = 2_000_000_000
MEMORY_SHARE = 0.7
LOOK_EVERY_S = 1.0
# A worker has its next job at hand while the main process commits; more would only be lost when it crashes.
JOBS_AHEAD = 2
PATIENCE_S = 5.0


def embed_all(
    jobs: Iterator[EmbedJob], load: LoadModel, *, workers: int, tell: Tell
) -> Generator[tuple[EmbedJob, Outcome], None, None]:
    """What is embedded of each file, in the order in which they are done.

    Args:
        jobs: Taken one by one as workers become free.
        load: Makes the model, once in each worker.
        workers: Processes; 0 embeds in this process, which a file that crashes its decoder then ends.
        tell: Is told now and then how far a long file is.

    Raises:
        ModelError: The model cannot be loaded or run.
        LibraryError: Worker processes cannot be started.
    """
    first = list(islice(jobs, max(1, workers)))
    if not first:
        return  # a run that finds nothing new need not load the model
    jobs = chain(first, jobs)
    if workers == 0:
        model = load()
        for job in jobs:
            yield job, embed_job(model, job, partial(tell, job))
        return
    pool = _Pool(jobs, load, len(first), tell)
    try:
        yield from pool.run()
    finally:
        pool.stop()


class _Worker:
    """One process, the pipe to it, and the jobs that it has not answered yet, oldest first."""

    def __init__(self, load: LoadModel) -> None:
        context = multiprocessing.get_context("spawn")
        self.jobs: deque[EmbedJob] = deque()
        self.is_ready = False
        self.heard_at = monotonic()
        self.cpu_s_then = 0.0
        try:
            self.connection, theirs = context.Pipe()
            self.process: SpawnProcess = context.Process(target=_work, args=(theirs, load), daemon=True)
            with single_threaded_children():
                self.process.start()
        except OSError as error:  # out of processes, memory or open files
            raise LibraryError(
                f"an index worker cannot be started ({error.strerror or error}). Use fewer, --workers 1, or none, "
                "--workers 0; or raise the limit, for open files with: ulimit -n 4096"
            ) from error
        theirs.close()  # so that a dead worker is the end of the pipe

    def heard(self) -> None:
        """It has said something, or has just been given something to do."""
        self.heard_at = monotonic()
        self.cpu_s_then = _cpu_s(self.process.pid)

    def overrun(self, most_bytes: float) -> Outcome | None:
        """What becomes of the file that it is at, if it takes too long or too much memory; None while all is well."""
        job = self.jobs[0]
        if _resident_bytes(self.process.pid) > most_bytes:
            return failure_of(
                job, f"decoding it took more than {most_bytes / 1e9:.1f} GB of memory", _hash_of(job)
            )
        silent_s = monotonic() - self.heard_at
        if not self.is_ready or silent_s < STALL_S + job.size_bytes / HASHED_BYTES_PER_S:
            return None
        if _cpu_s(self.process.pid) - self.cpu_s_then < silent_s / 50:  # it waits, for a disk or a network
            return Unread(Failure(job.path, f"nothing could be read of it for {silent_s:.0f} s", now()))
        return failure_of(job, f"decoding it made no progress for {silent_s:.0f} s", _hash_of(job))

    def why_dead(self) -> str:
        """How the process ended."""
        self.process.join(PATIENCE_S)
        code = self.process.exitcode
        if code is None or code >= 0:
            return f"exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"{name}, out of memory?" if name == "SIGKILL" else name


class _Pool:
    """Workers that take jobs one by one; one that dies is replaced."""

    def __init__(self, jobs: Iterator[EmbedJob], load: LoadModel, workers: int, tell: Tell) -> None:
        self.jobs = jobs
        self.tell = tell
        self.again: deque[EmbedJob] = deque()
        self.load = load
        self.num_workers = workers
        self.workers: list[_Worker] = []
        self.most_bytes = max(LEAST_MEMORY_BYTES, MEMORY_SHARE * _physical_bytes() / workers)

    def run(self) -> Iterator[tuple[EmbedJob, Outcome]]:
        while len(self.workers) < self.num_workers:
            self.workers.append(_Worker(self.load))
        for worker in self.workers:
            self._feed(worker)
        while busy := [worker for worker in self.workers if worker.jobs]:
            ready = wait([worker.connection for worker in busy], LOOK_EVERY_S)
            for worker in [worker for worker in busy if worker.connection not in ready]:
                if (outcome := worker.overrun(self.most_bytes)) is not None:
                    worker.process.kill()
                    yield self._replace(worker, outcome)
            for worker in [worker for worker in busy if worker.connection in ready]:
                try:
                    answer = worker.connection.recv()
                except (EOFError, OSError):
                    yield self._replace(worker)
                    continue
                worker.heard()
                if isinstance(answer, str):
                    raise ModelError(answer)
                if answer is None:
                    worker.is_ready = True
                    continue
                if isinstance(answer, Partial):
                    self.tell(worker.jobs[0], answer)
                    continue
                job = worker.jobs.popleft()
                self._feed(worker)
                yield job, answer

    def _feed(self, worker: _Worker) -> None:
        while len(worker.jobs) < JOBS_AHEAD:
            job = self.again.popleft() if self.again else next(self.jobs, None)
            if job is None:
                return
            if not worker.jobs:
                worker.heard()
            worker.jobs.append(job)
            with suppress(OSError):  # it is dead: the read side will say so, and the job is not lost
                worker.connection.send(job)

    def _replace(self, worker: _Worker, outcome: Outcome | None = None) -> tuple[EmbedJob, Outcome]:
        """The file that a dead worker was at, and what becomes of it; its other files go to a new one."""
        worker.connection.close()
        why = worker.why_dead()
        if not worker.is_ready:
            raise LibraryError(
                f"an index worker died before it could embed anything ({why}). Do without one, --workers 0; in "
                "a script of your own, call index() under `if __name__ == '__main__':` or with workers=0"
            )
        crashed = worker.jobs.popleft()
        self.again.extend(worker.jobs)
        remove_copies_of(worker.process.pid)
        self.workers.remove(worker)
        successor = _Worker(self.load)
        self.workers.append(successor)
        self._feed(successor)
        if outcome is not None:
            return crashed, outcome
        reason = f"decoding it crashed the process ({why})"
        # What is killed ran out of memory more often than not, and may have all it needs at the next run.
        if why.startswith("SIGKILL"):
            return crashed, Unread(Failure(crashed.path, reason, now()))
        return crashed, failure_of(crashed, reason, _hash_of(crashed))

    def stop(self) -> None:
        """End all processes: at once those that are in the middle of a file."""
        for worker in self.workers:
            if worker.jobs or not worker.is_ready:
                worker.process.terminate()
            else:
                with suppress(OSError):
                    worker.connection.send(None)
        for worker in self.workers:
            worker.process.join(PATIENCE_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            remove_copies_of(worker.process.pid)
            worker.connection.close()


def _resident_bytes(pid: int | None) -> int:
    """Memory that a process holds; 0 where the system does not tell (it is not Linux) or it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def _cpu_s(pid: int | None) -> float:
    """Processor time of a process, in seconds; 0 where the system does not tell or it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0


def _physical_bytes() -> int:
    """Memory of this machine; 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 0


def _work(connection: Connection, load: LoadModel) -> None:
    """A worker's life: it sends None when ready, then outcomes; a text says that the model is broken."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the main process decides
    with suppress(EOFError, OSError):  # the main process is gone, and nobody is left to tell
        try:
            model = load()
            connection.send(None)
            while (job := connection.recv()) is not None:
                connection.send(embed_job(model, job, connection.send))
        except SoundseekError as error:
            connection.send(str(error))
