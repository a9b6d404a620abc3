"""What a running server holds, and how its routes reach it."""

from __future__ import annotations

import asyncio
import contextvars
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ParamSpec, TypeVar

from fastapi import Depends, Request

from soundseek.errors import SoundseekError
from soundseek.library.collections import Collections
from soundseek.server.config import ServerConfig
from soundseek.server.duplicates import DuplicateSearch
from soundseek.server.items import find_file, servable_path
from soundseek.server.jobs import Jobs
from soundseek.server.labelling import Labelling
from soundseek.server.metrics import Metrics
from soundseek.server.open_library import OpenLibrary
from soundseek.server.problems import ProblemError
from soundseek.server.processes import Processes
from soundseek.server.schemas import SearchRequest
from soundseek.server.searching import Searching
from soundseek.server.sound_map import SoundMap
from soundseek.server.uploads import Uploads
from soundseek.server.waveforms import Waveforms

if TYPE_CHECKING:
    from soundseek.library import Library
    from soundseek.library.store.base import SoundFile, Store

P = ParamSpec("P")
R = TypeVar("R")


class State:
    """The parts of one server.

    Attributes:
        config: What it was started with.
        library: The library.
        together: Address -> state, of all libraries that the server has.
        uploads: Example sounds that clients have sent.
        searching: What answers searches.
        labelling: What says in words what sounds are.
        upload_processes: Decode uploads.
        media_processes: Decode the library's own files, so that an upload does not delay a waveform.
        window_processes: Embed windows of hits, where a model has no moments of its own.
        waveforms: Peaks and previews.
        map_processes: Compute the map.
        map: The library in two dimensions.
        jobs: Index runs.
        duplicates: The search for recordings that are there more than once.
        metrics: Counters.
        temporary: A folder that goes with the server.
    """

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self.library = OpenLibrary(config.library, config.model)
        self.together: Mapping[str, State] = {"/": self}
        self.uploads = Uploads()
        self.searching = Searching(self.uploads)
        self.labelling = Labelling()
        self.upload_processes = Processes(
            "uploads", num=1, num_waiting=config.num_waiting_uploads, timeout_s=config.upload_timeout_s
        )
        self.media_processes = Processes("media", num=2, num_waiting=200, timeout_s=config.media_timeout_s)
        self.window_processes = Processes(
            "windows", num=1, num_waiting=config.num_waiting_windows, timeout_s=config.media_timeout_s
        )
        self.waveforms = Waveforms(config.library, self.media_processes)
        self.map_processes = Processes("map", num=1, num_waiting=0, timeout_s=config.map_timeout_s)
        self.map = SoundMap(config.library, self.map_processes)
        self.jobs = Jobs(config.library, config.model, config.index_workers, time.time)
        self.duplicates = DuplicateSearch(config.library)
        self.metrics = Metrics()
        self.temporary = Path(tempfile.mkdtemp(prefix="soundseek-"))
        # Threads of its own, which never end: each has its connection to the database.
        self._threads = ThreadPoolExecutor(config.search_threads, thread_name_prefix="soundseek-search")

    def stand_beside(self, states: Mapping[str, State]) -> None:
        """Let one search go over several libraries of one server.

        Args:
            states: Address -> state, of all of them, this one as well.
        """
        self.together = states
        self.uploads = self.searching.uploads = next(iter(states.values())).uploads
        self.searching.elsewhere = [each.library for each in states.values() if each is not self]

    @property
    def processes(self) -> tuple[Processes, ...]:
        """All that decode or compute beside the server's own process."""
        return self.upload_processes, self.media_processes, self.window_processes, self.map_processes

    async def in_thread(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What a function returns that would hold up the event loop."""
        context = contextvars.copy_context()
        call = partial(context.run, partial(function, *args, **kwargs))
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def with_library(self, function: Callable[[Library], R]) -> R:
        """What a function makes of the library, in a thread."""

        def use() -> R:
            with self.library.use() as library:
                return function(library)

        return await self.in_thread(use)

    async def warm_up(self) -> None:
        """Load the model and touch the vectors, so that the first who searches does not wait for that."""
        with suppress(SoundseekError, ProblemError):  # whoever asks first is told what is wrong
            await self.with_library(
                lambda library: self.searching.search(library, SearchRequest(text="sound"))
            )

    async def file_of(self, id: str) -> tuple[SoundFile, Path]:
        """A file of the library, and where it is.

        Raises:
            ProblemError: There is no such item, its file is gone, or a link leads out of the library's folders.
        """

        def find(library: Library) -> tuple[SoundFile, Path]:
            file = find_file(library.store, id)
            return file, servable_path(file, self.serving_roots(library.store))

        return await self.with_library(find)

    def serving_roots(self, store: Store) -> list[str]:
        """Real paths of the folders that files may be served from: those of the library, and the allowed roots."""
        folders = [Path(folder) for folder in store.roots()]
        return [str(folder.resolve()) for folder in folders] + [str(root) for root in self.config.roots]

    async def collections(self, function: Callable[[Collections, Library], R]) -> R:
        """What a function makes of the library's collections, in a thread."""
        return await self.with_library(lambda library: function(Collections(library.store), library))

    async def close(self) -> None:
        """End processes and threads, and let go of the library."""
        await self.jobs.close()
        await self.duplicates.close()
        loop = asyncio.get_running_loop()
        for processes in self.processes:
            await loop.run_in_executor(None, processes.close)
        await self.map.settled()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self.library.close()
        shutil.rmtree(self.temporary, ignore_errors=True)


def _state(request: Request) -> State:
    state: State = request.app.state.soundseek
    return state


StateOf = Annotated[State, Depends(_state)]


def page_of(offset: int, k: int, items: Sequence[object], total: int) -> int | None:
    """The offset of the next page; None where this is the last."""
    return offset + k if offset + len(items) < total and items else None
