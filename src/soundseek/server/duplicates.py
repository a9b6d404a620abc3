"""The search for recordings that are there more than once: in a process, its result kept beside the library."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundseek.library.collections import Collections
from soundseek.server.child_process import ChildProcess, TellServer, answer_request
from soundseek.server.disk_cache import cache_of
from soundseek.server.items import file_facts
from soundseek.server.observable import Observable
from soundseek.server.problems import ProblemError
from soundseek.server.schemas import (
    DuplicateFile,
    DuplicateFiles,
    DuplicatesAnswer,
    DuplicatesProgress,
    DuplicatesState,
    FileFacts,
)

if TYPE_CHECKING:
    from soundseek.library import Library
    from soundseek.library.store.base import SoundFile

DUPLICATES_FILE = "duplicates.json"
FORMAT = 2
PATIENCE_S = 10.0
_TELL_EACH_S = 0.25


class DuplicateSearch:
    """Finds the duplicates of a library; used from the event loop alone.

    Args:
        library: The library's folder, or an engine's URI.
    """

    def __init__(self, library: Path | str) -> None:
        self._library = library
        self._news = Observable(DuplicatesState(state="none"))
        self._process: ChildProcess | None = None
        self._task: asyncio.Task[None] | None = None
        self._kept: dict[str, Any] | None = None
        self._read_at: tuple[int, int] | None = None

    def state(self, version: int) -> DuplicatesState:
        """How far a search is, and what the last one found.

        Args:
            version: Of the library now.
        """
        now, kept = self._news.value, self._read()
        if kept is None:
            return now
        return now.model_copy(
            update={
                "state": "ready" if now.state == "none" else now.state,
                "min_score": now.min_score if _is_running(now) else kept["min_score"],
                "total": len(kept["groups"]),
                "more_files": sum(len(group["files"]) - 1 for group in kept["groups"]),
                "is_stale": kept["version"] != version,
            }
        )

    def groups(self, k: int, offset: int) -> list[list[dict[str, Any]]]:
        """Some of the groups that the last search found, each a list of files as `Duplicate` has them."""
        kept = self._read()
        return [] if kept is None else [group["files"] for group in kept["groups"][offset : offset + k]]

    async def start(self, min_score: float) -> None:
        """Begin a search; the groups of the last one stay until it has ended.

        Raises:
            ProblemError: "conflict": one is under way.
        """
        if _is_running(self._news.value):
            raise ProblemError(
                "conflict", "a search for duplicates is under way; wait until it has ended, or stop it"
            )
        self._process = None
        await self._news.put(DuplicatesState(state="running", min_score=min_score))
        try:
            request = {"library": str(self._library), "min_score": min_score}
            self._process = await ChildProcess.start("soundseek.server.duplicates", request)
        except BaseException:
            await self._news.put(DuplicatesState(state="none"))
            raise
        if self._news.value.state == "stopping":
            self._process.ask_to_stop()
        self._task = asyncio.create_task(self._watch(self._process))

    async def stop(self) -> None:
        """Ask a search to stop; it keeps nothing. Without one nothing happens."""
        if self._news.value.state == "running":
            await self._news.put(self._news.value.model_copy(update={"state": "stopping"}))
            if self._process is not None:
                self._process.ask_to_stop()

    def events(self) -> AsyncIterator[DuplicatesState | None]:
        """The state now and after each change, at last when no search is under way; None as a sign of life."""
        return self._news.follow(lambda state: not _is_running(state))

    async def close(self) -> None:
        """Stop what runs, and wait for it a little."""
        await self.stop()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=PATIENCE_S)
        if self._process is not None:
            await self._process.kill()

    async def _watch(self, process: ChildProcess) -> None:
        """Follow a search to its end; whatever happens, it does not stay "running"."""
        try:
            ended = await self._follow(process)
        except Exception as error:
            logging.getLogger("soundseek").exception("a search for duplicates could not be followed")
            ended = {
                "state": "failed",
                "error": f"the search could not be followed ({error}); start it again",
            }
        await self._news.put(self._news.value.model_copy(update=ended | {"progress": None}))

    async def _follow(self, process: ChildProcess) -> dict[str, Any]:
        outcome: dict[str, Any] = {}
        async for kind, value in process.messages():
            if kind == "progress":
                progress = DuplicatesProgress(**value)
                await self._news.put(self._news.value.model_copy(update={"progress": progress}))
            else:
                outcome[kind] = value
        code = await process.wait()
        if outcome.get("error"):
            return {"state": "failed", "error": outcome["error"]}
        if outcome.get("report"):
            return {"state": "ready"}
        if self._news.value.state == "stopping":
            return {"state": "stopped"}
        return {
            "state": "failed",
            "error": f"the process that compared ended with exit code {code}; start it again",
        }

    def _read(self) -> dict[str, Any] | None:
        path = cache_of(self._library) / DUPLICATES_FILE
        try:
            status = path.stat()
            key = (status.st_mtime_ns, status.st_ino)
            if self._read_at != key:
                read = json.loads(path.read_text(encoding="ascii"))
                self._kept, self._read_at = (read if read["format"] == FORMAT else None), key
        except (OSError, ValueError, KeyError, TypeError):
            self._kept, self._read_at = None, None
        return self._kept


def duplicates_answer(library: Library, search: DuplicateSearch, *, k: int, offset: int) -> DuplicatesAnswer:
    """How far a search is, and `k` groups of the last one, with what the library knows of their files now."""
    store = library.store
    about, groups = search.state(store.version()), search.groups(k, offset)
    found = {each["path"]: store.file(each["path"]) for files in groups for each in files}
    favourites = Collections(store).favourites_among([file for file in found.values() if file is not None])
    return DuplicatesAnswer(
        **about.model_dump(),
        groups=[
            DuplicateFiles(
                group=number,
                files=[_described(each, found[each["path"]], favourites) for each in files],
            )
            for number, files in enumerate(groups, offset + 1)
        ],
        next_offset=offset + k if groups and offset + len(groups) < about.total else None,
    )


def _described(kept: dict[str, Any], file: SoundFile | None, favourites: set[str]) -> DuplicateFile:
    names = ("path", "kind", "of", "score", "surety", "start_s", "end_s")
    item = FileFacts(**file_facts(file, favourites)) if file is not None else None
    return DuplicateFile(**{name: kept[name] for name in names}, item=item)


def search_and_keep(request: dict[str, Any], tell: TellServer) -> dict[str, int]:
    """Find a library's duplicates and put them beside it; how many groups. Run in a process of its own.

    Raises:
        LibraryError: It cannot be read.
        StorageError: There is no room beside it, or no permission.
    """
    from dataclasses import asdict

    from soundseek._threads import compute_on_one_thread

    compute_on_one_thread()
    from soundseek.errors import StorageError
    from soundseek.library import Library

    if hasattr(os, "nice"):
        os.nice(10)  # searches go first
    began = time.monotonic()
    told = began

    def progress(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told < _TELL_EACH_S and done < total:
            return
        told = now
        elapsed_s = now - began
        eta_s = elapsed_s * (total - done) / done if done else None
        tell("progress", {"files_done": done, "files_total": total, "elapsed_s": elapsed_s, "eta_s": eta_s})

    with Library.open(request["library"], create=False) as library:
        version = library.store.version()
        groups = library.duplicates(min_score=request["min_score"], progress=progress)
    kept = {
        "format": FORMAT,
        "version": version,
        "min_score": request["min_score"],
        "groups": [asdict(group) for group in groups],
    }
    cache = cache_of(request["library"])
    partial = cache / f"{DUPLICATES_FILE}.{os.getpid()}"
    try:
        cache.mkdir(exist_ok=True)
        partial.write_text(json.dumps(kept), encoding="ascii")
        partial.replace(cache / DUPLICATES_FILE)
    except OSError as error:
        raise StorageError(
            f"{cache} cannot be written to ({error.strerror or error}): nothing is kept of the search; free the disk "
            "or allow writing there, and start it again"
        ) from error
    return {"groups": len(groups)}


def _is_running(state: DuplicatesState) -> bool:
    return state.state in ("running", "stopping")


if __name__ == "__main__":
    answer_request(search_and_keep)
