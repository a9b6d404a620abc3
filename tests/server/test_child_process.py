"""What jobs and the search for duplicates do while their process only starts, or does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from soundseek.server.child_process import ChildProcess
from soundseek.server.duplicates import DuplicateSearch
from soundseek.server.jobs import Jobs


class Started:
    """A process that ends at once, and knows whether it was asked to."""

    was_asked = False

    def ask_to_stop(self) -> None:
        self.was_asked = True

    async def messages(self) -> AsyncIterator[tuple[str, Any]]:
        for message in ():
            yield message

    async def wait(self) -> int:
        return 0

    async def kill(self) -> None: ...


@pytest.mark.parametrize("what", ["job", "duplicates"])
def test_a_stop_while_the_process_starts_reaches_it(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> tuple[bool, str]:
        is_asked_for, may_start, process = asyncio.Event(), asyncio.Event(), Started()

        async def start(module: str, request: dict[str, Any]) -> Started:
            is_asked_for.set()
            await may_start.wait()
            return process

        monkeypatch.setattr(ChildProcess, "start", start)
        jobs, search = Jobs(tmp_path, None, 0, lambda: 0.0), DuplicateSearch(tmp_path)
        begun = asyncio.create_task(jobs.start([], None) if what == "job" else search.start(0.5))
        await is_asked_for.wait()
        await (jobs.stop("1") if what == "job" else search.stop())
        may_start.set()
        await begun
        news = [each async for each in (jobs.events("1") if what == "job" else search.events())]
        return process.was_asked, str(getattr(news[-1], "state", None))

    assert asyncio.run(run()) == (True, "stopped")


def test_a_run_whose_process_cannot_be_started_does_not_refuse_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async def start(module: str, request: dict[str, Any]) -> Started:
            raise BlockingIOError(11, "Resource temporarily unavailable")

        monkeypatch.setattr(ChildProcess, "start", start)
        jobs = Jobs(tmp_path, None, 0, lambda: 0.0)
        for number in ("1", "2"):
            with pytest.raises(BlockingIOError):
                await jobs.start([], None)
            job = jobs.get(number)
            assert job.state == "failed" and "temporarily unavailable" in str(job.error)

    asyncio.run(run())
