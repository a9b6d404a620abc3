"""Index runs that the page starts: one at a time, each in a process of its own, watched, stopped and gone on with."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from soundseek.server.child_process import ChildProcess
from soundseek.server.items import when
from soundseek.server.observable import Observable
from soundseek.server.problems import ProblemError
from soundseek.server.schemas import Job, JobProgress, JobReport

MAX_REMEMBERED = 100
PATIENCE_S = 10.0


class _Run:
    """A job, its process, and whoever waits for news of it."""

    def __init__(self, job: Job, max_duration_s: float | None) -> None:
        self.news = Observable(job)
        self.max_duration_s = max_duration_s
        self.process: ChildProcess | None = None
        self.task: asyncio.Task[None] | None = None

    @property
    def job(self) -> Job:
        return self.news.value

    async def update(self, **fields: Any) -> None:
        await self.news.put(self.job.model_copy(update=fields))

    @property
    def is_running(self) -> bool:
        return _is_running(self.job)


def _is_running(job: Job) -> bool:
    return job.state in ("running", "stopping")


class Jobs:
    """The index runs since the server started; used from the event loop alone.

    Args:
        library: The library's folder, or an engine's URI; made by the first run.
        model: Name or directory of the model; None takes the one that filled the library.
        workers: Processes that decode and embed.
        clock: Seconds since 1970.
    """

    def __init__(self, library: Path | str, model: str | None, workers: int, clock: Any) -> None:
        self._library = library
        self._model = model
        self._workers = workers
        self._clock = clock
        self._runs: dict[str, _Run] = {}
        self._next = 1

    def all(self) -> list[Job]:
        """The latest first."""
        return [run.job for run in reversed(self._runs.values())]

    def get(self, id: str) -> Job:
        """A job.

        Raises:
            ProblemError: "not-found".
        """
        return self._run(id).job

    async def start(self, folders: Sequence[str], max_duration_s: float | None) -> Job:
        """Begin a run.

        Raises:
            ProblemError: "conflict": there is one already.
        """
        job = Job(id=str(self._next), state="running", folders=list(folders), started_at=when(self._clock()))
        self._must_be_free()
        self._next += 1
        run = _Run(job, max_duration_s)
        self._runs[job.id] = run
        while len(self._runs) > MAX_REMEMBERED:
            del self._runs[next(iter(self._runs))]
        await self._begin(run)
        return run.job

    async def stop(self, id: str) -> Job:
        """Ask a run to stop; what is committed stays. One that has ended is left as it is."""
        run = self._run(id)
        if run.job.state == "running":
            await run.update(state="stopping")
            if run.process is not None:
                run.process.ask_to_stop()
        return run.job

    async def resume(self, id: str) -> Job:
        """Go on with a run that has ended: what it committed is not done again.

        Raises:
            ProblemError: "conflict": a run is under way.
        """
        run = self._run(id)
        self._must_be_free()
        await run.update(
            state="running",
            started_at=when(self._clock()),
            ended_at=None,
            progress=None,
            report=None,
            error=None,
        )
        await self._begin(run)
        return run.job

    def events(self, id: str) -> AsyncIterator[Job | None]:
        """The job now and after each change, at last when it has ended; None where nothing was new for a while."""
        return self._run(id).news.follow(lambda job: not _is_running(job))

    async def close(self) -> None:
        """Stop what runs, and wait for it a little."""
        running = [run for run in self._runs.values() if run.is_running]
        for run in running:
            await self.stop(run.job.id)
        tasks = [run.task for run in running if run.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=PATIENCE_S)
        for run in running:
            if run.process is not None:
                await run.process.kill()

    def _run(self, id: str) -> _Run:
        if id not in self._runs:
            raise ProblemError("not-found", f"there is no job {id[:40]}; list them to see which there are")
        return self._runs[id]

    def _must_be_free(self) -> None:
        running = next((run for run in self._runs.values() if run.is_running), None)
        if running is not None:
            raise ProblemError(
                "conflict", f"job {running.job.id} is under way; wait until it has ended, or stop it"
            )

    async def _begin(self, run: _Run) -> None:
        request = {
            "library": str(self._library),
            "model": self._model,
            "folders": list(run.job.folders),
            "workers": self._workers,
            "max_duration_s": run.max_duration_s,
        }
        run.process = None
        try:
            run.process = await ChildProcess.start("soundseek.server.index_process", request)
        except BaseException as error:  # else it would refuse all later ones
            said = f"the process that indexes could not be started ({error}); start the run again"
            await run.update(state="failed", error=said, ended_at=when(self._clock()))
            raise
        if run.job.state == "stopping":
            run.process.ask_to_stop()
        run.task = asyncio.create_task(self._watch(run))

    async def _watch(self, run: _Run) -> None:
        """Follow a run to its end; whatever happens, it does not stay "running", which would refuse all later ones."""
        try:
            await self._follow(run)
        except Exception as error:
            logging.getLogger("soundseek").exception("an index job could not be followed")
            said = f"the run could not be followed ({error}); start it again"
            await run.update(state="failed", error=said, ended_at=when(self._clock()))

    async def _follow(self, run: _Run) -> None:
        process = run.process
        assert process is not None
        outcome: dict[str, Any] = {}
        async for kind, value in process.messages():
            if kind == "progress":
                await run.update(progress=JobProgress(**value))
            else:
                outcome[kind] = value
        code = await process.wait()
        ended = {"ended_at": when(self._clock())}
        if outcome.get("error"):
            await run.update(state="failed", error=outcome["error"], **ended)
        elif outcome.get("report"):
            report = outcome["report"]
            fields = {name: report[name] for name in JobReport.model_fields}
            state = "stopped" if report["interrupted"] else "done"
            await run.update(state=state, report=JobReport(**fields), **ended)
        elif run.job.state == "stopping":
            await run.update(state="stopped", **ended)
        else:
            error = f"the process that indexed ended with exit code {code}; start it again"
            await run.update(state="failed", error=error, **ended)
