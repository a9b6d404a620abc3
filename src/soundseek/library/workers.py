"""Files heard by several processes. One that crashes takes one file with it, whose name is known."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import suppress
from itertools import chain, islice
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING

from soundseek.errors import LibraryError, ModelError, SoundseekError
from soundseek.library.hearing import Job, LoadHear, failure_of, listen
from soundseek.library.store.base import Failure, Sound
from soundseek.library.threads import single_threaded_children

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

Outcome = tuple[Job, "Sound | Failure"]

# A worker has its next job at hand while the main process commits; more would only be lost when it crashes.
JOBS_AHEAD = 2
PATIENCE_S = 5.0


def hear_all(jobs: Iterator[Job], load: LoadHear, *, workers: int) -> Generator[Outcome, None, None]:
    """What is heard in each file, in the order in which they are done.

    Args:
        jobs: Taken one by one as workers become free.
        load: Makes the hearing function, once in each worker.
        workers: Processes; 0 hears in this process, which a file that crashes its decoder then ends.

    Raises:
        ModelError: The model cannot be loaded or run.
        LibraryError: Worker processes cannot be started.
    """
    first = list(islice(jobs, max(1, workers)))
    if not first:
        return  # a run that finds nothing new need not load the model
    jobs = chain(first, jobs)
    if workers == 0:
        hear = load()
        for job in jobs:
            yield job, listen(hear, job)
        return
    pool = _Pool(jobs, load, len(first))
    try:
        yield from pool.run()
    finally:
        pool.stop()


class _Worker:
    """One process, the pipe to it, and the jobs that it has not answered yet, oldest first."""

    def __init__(self, load: LoadHear) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.jobs: deque[Job] = deque()
        self.is_ready = False
        self.process: SpawnProcess = context.Process(target=_work, args=(theirs, load), daemon=True)
        with single_threaded_children():
            self.process.start()
        theirs.close()  # so that a dead worker is the end of the pipe

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
    def __init__(self, jobs: Iterator[Job], load: LoadHear, workers: int) -> None:
        self.jobs = jobs
        self.again: deque[Job] = deque()
        self.load = load
        self.workers = [_Worker(load) for _ in range(workers)]

    def run(self) -> Iterator[Outcome]:
        for worker in self.workers:
            self._feed(worker)
        while busy := [worker for worker in self.workers if worker.jobs]:
            ready = wait([worker.connection for worker in busy])
            for worker in [worker for worker in busy if worker.connection in ready]:
                try:
                    answer = worker.connection.recv()
                except (EOFError, OSError):
                    yield self._bury(worker)
                    continue
                if isinstance(answer, str):
                    raise ModelError(answer)
                if answer is None:
                    worker.is_ready = True
                    continue
                job = worker.jobs.popleft()
                self._feed(worker)
                yield job, answer

    def _feed(self, worker: _Worker) -> None:
        while len(worker.jobs) < JOBS_AHEAD:
            job = self.again.popleft() if self.again else next(self.jobs, None)
            if job is None:
                return
            worker.jobs.append(job)
            with suppress(OSError):  # it is dead: the read side will say so, and the job is not lost
                worker.connection.send(job)

    def _bury(self, worker: _Worker) -> Outcome:
        """The file that a dead worker was hearing, as a failure; the others are heard by its successor."""
        worker.connection.close()
        why = worker.why_dead()
        if not worker.is_ready:
            raise LibraryError(
                f"an index worker died before it could hear anything ({why}). Hear without one, --workers 0; in "
                "a script of your own, call index() under `if __name__ == '__main__':` or with workers=0"
            )
        culprit = worker.jobs.popleft()
        self.again.extend(worker.jobs)
        self.workers.remove(worker)
        successor = _Worker(self.load)
        self.workers.append(successor)
        self._feed(successor)
        return culprit, failure_of(culprit, f"hearing it crashed the process ({why})")

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
            worker.connection.close()


def _work(connection: Connection, load: LoadHear) -> None:
    """A worker's life: it sends None when ready, then outcomes; a text says that the model is broken."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the main process decides
    with suppress(EOFError, OSError):  # the main process is gone, and nobody is left to tell
        try:
            hear = load()
            connection.send(None)
            while (job := connection.recv()) is not None:
                connection.send(listen(hear, job))
        except SoundseekError as error:
            connection.send(str(error))
