"""Work on sound files in processes that can be killed: a damaged file, a bomb or a slow decoder takes one of them.

The server's own process never decodes: its threads wait for an answer, and searches go on meanwhile.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from soundseek._files import is_full_disk
from soundseek.errors import SoundseekError
from soundseek.server.problems import ProblemError, full_disk, problem_of

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

P = ParamSpec("P")
R = TypeVar("R")

MEMORY_BYTES = 2 << 30
PATIENCE_S = 5.0
RETRY_AFTER_S = 2


class Processes:
    """Some processes of one purpose, each started when it is first needed.

    Args:
        name: What they are for, in messages.
        num: Calls at the same time.
        num_waiting: Calls that may wait; further ones are refused with 429.
        timeout_s: A call that takes longer is killed.
    """

    def __init__(self, name: str, *, num: int, num_waiting: int, timeout_s: float) -> None:
        self.name = name
        self.timeout_s = timeout_s
        self._most = num + num_waiting
        self._pending = 0
        self._threads = ThreadPoolExecutor(num, thread_name_prefix=f"soundseek-{name}")
        self._mutex = threading.Lock()
        self._idle: list[_Process] = []
        self._all: list[_Process] = []
        self._is_closed = False

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What a function returns that is run in one of the processes.

        Args:
            function: One of a module, since the process imports it.
            args: Whatever can be pickled.
            kwargs: The same.

        Raises:
            ProblemError: "busy" when too many calls wait; "no-sound" when it took too long or crashed the process, or
                what the function itself raised.
        """
        self.must_have_room()
        with self._mutex:
            self._pending += 1
        # Counted until the thread is free again, also where whoever waited has gone: one that waits for a thread is
        # taken out at once, one that runs ends by itself.
        call = self._threads.submit(partial(self._call, function, args, kwargs))
        call.add_done_callback(self._ended)
        return await asyncio.wrap_future(call)

    def must_have_room(self) -> None:
        """Refuse work before its data is taken in.

        Raises:
            ProblemError: "busy" when too many calls wait.
        """
        if self._pending >= self._most:
            raise ProblemError(
                "busy",
                f"{self._pending} requests of this kind ({self.name}) are under way; try again in {RETRY_AFTER_S} s",
                {"Retry-After": str(RETRY_AFTER_S)},
            )

    @property
    def pending(self) -> int:
        """Calls that run or wait."""
        return self._pending

    def close(self) -> None:
        """End all processes, whatever they are doing."""
        with self._mutex:
            self._is_closed = True
            processes, self._all, self._idle = self._all, [], []
        for process in processes:
            process.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _ended(self, _call: object) -> None:
        with self._mutex:
            self._pending -= 1

    def _call(self, function: Callable[..., R], args: Any, kwargs: Any) -> R:
        process = self._take()
        try:
            outcome = process.call((function, args, kwargs), self.timeout_s)
        except _Lost as lost:
            self._drop(process)
            raise ProblemError(
                "no-sound", f"{lost}; the file may be damaged, or too large to be worked on"
            ) from None
        with self._mutex:
            if not self._is_closed:
                self._idle.append(process)
        if isinstance(outcome, _Problem):
            raise ProblemError(outcome.kind, outcome.detail)
        if isinstance(outcome, _Bug):
            raise RuntimeError(outcome.told)
        return outcome  # type: ignore[no-any-return]

    def _take(self) -> _Process:
        with self._mutex:
            if self._is_closed:
                raise ProblemError("busy", "the server is stopping")
            if self._idle:
                return self._idle.pop()
        process = _Process()
        with self._mutex:
            self._all.append(process)
        return process

    def _drop(self, process: _Process) -> None:
        process.kill()
        with self._mutex:
            if process in self._all:
                self._all.remove(process)


class _Lost(Exception):
    """A process took too long, or died."""


@dataclass(frozen=True)
class _Problem:
    """What a call ends with that cannot do what was asked; exceptions themselves do not all survive pickling."""

    kind: str
    detail: str


@dataclass(frozen=True)
class _Bug:
    told: str


class _Process:
    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_work, args=(theirs,), daemon=True)
        from soundseek._threads import single_threaded_children

        with single_threaded_children():
            self.process.start()
        theirs.close()  # so that a dead process is the end of the pipe

    def call(self, job: Any, timeout_s: float) -> Any:
        try:
            self.connection.send(job)
            if not self.connection.poll(timeout_s):
                raise _Lost(f"it was not done after {timeout_s:g} s")
            return self.connection.recv()
        except (EOFError, OSError) as error:
            self.process.join(PATIENCE_S)
            raise _Lost(f"the process that worked on it died (exit code {self.process.exitcode})") from error

    def kill(self) -> None:
        self.process.kill()
        self.process.join(PATIENCE_S)
        with suppress(OSError):
            self.connection.close()


def _work(connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the server decides
    _limit_memory()
    # Whatever a decoder prints must not get between the messages of a server that talks over stdout.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    with suppress(EOFError, OSError):  # the server is gone, and nobody is left to tell
        while True:
            function, args, kwargs = connection.recv()
            connection.send(_outcome(function, args, kwargs))


def _outcome(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    try:
        return function(*args, **kwargs)
    except MemoryError:
        return _Problem("too-large", "it needs more memory than this server gives to one file")
    except ProblemError as error:
        return _Problem(error.kind, error.detail)
    except OSError as error:
        return _Problem("full", full_disk(error)) if is_full_disk(error) else _bug(error)
    except SoundseekError as error:
        if isinstance(error.__cause__, OSError) and is_full_disk(error.__cause__):
            return _Problem("full", full_disk(error.__cause__))
        problem = problem_of(error)
        return _Problem(problem.kind, problem.detail)
    except Exception as error:
        return _bug(error)


def _bug(error: Exception) -> _Bug:
    """A decoder's bug on one file; the server itself is fine."""
    return _Bug(f"{type(error).__name__}: {error}")


def _limit_memory() -> None:
    if os.name != "posix":
        return
    import resource

    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
