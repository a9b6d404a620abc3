"""Indexing folders from the page: which folders, runs and their progress, failures."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi import Path as PathParameter
from starlette.responses import StreamingResponse

from soundseek.errors import LibraryError
from soundseek.server.answers import answer, event
from soundseek.server.openapi import event_stream, problems
from soundseek.server.problems import ProblemError
from soundseek.server.routes.parameters import KQuery, OffsetQuery
from soundseek.server.schemas import FailureAnswer, FailureList, Folder, FolderList, Job, JobList, JobRequest
from soundseek.server.state import State, StateOf, page_of

router = APIRouter(tags=["indexing"])

JobPath = Annotated[str, PathParameter(pattern=r"^[1-9][0-9]{0,9}$", description="A job.")]
MAX_FOLDERS = 2_000


@router.get("/folders", response_model=FolderList, responses=problems(403, 404))
async def folders(
    state: StateOf,
    path: Annotated[
        str | None, Query(max_length=4096, description="A folder; none lists the allowed roots.")
    ] = None,
) -> Response:
    """The folders in a folder that may be indexed."""
    indexed = await _indexed(state)

    def listed() -> FolderList:
        if path is None:
            found = [str(root) for root in state.config.roots]
            return FolderList(path=None, parent=None, folders=[_folder(each, indexed) for each in found])
        folder = allowed_folder(state, path)
        try:
            with os.scandir(folder) as entries:
                found = [
                    entry.path for entry in entries if not entry.name.startswith(".") and _is_folder(entry)
                ]
        except OSError as error:
            raise ProblemError(
                "forbidden", f"{path} cannot be read ({error.strerror}); choose another one"
            ) from None
        parent = str(folder.parent) if _is_allowed(state, folder.parent) else None
        found = sorted(found, key=str.casefold)[:MAX_FOLDERS]
        return FolderList(path=str(folder), parent=parent, folders=[_folder(each, indexed) for each in found])

    return answer(await state.in_thread(listed))


@router.post("/jobs", response_model=Job, status_code=202, responses=problems(403, 404, 409))
async def start_job(body: JobRequest, state: StateOf) -> Response:
    """Index folders; without any, those of earlier runs again. One run at a time."""
    if not state.config.roots:
        raise ProblemError(
            "forbidden", "no folder may be indexed from here; start the server with --root FOLDER"
        )
    folders = [str(await state.in_thread(allowed_folder, state, folder)) for folder in body.folders]
    if not folders:
        earlier = await state.with_library(lambda library: sorted(library.store.roots()))
        if not earlier:
            raise ProblemError("query", "the library has no folders yet; name one in `folders`")
    return answer(await state.jobs.start(folders, body.max_duration_s), 202)


@router.get("/jobs", response_model=JobList)
async def list_jobs(state: StateOf) -> Response:
    """The runs since the server started, the latest first."""
    return answer(JobList(jobs=state.jobs.all()))


@router.get("/jobs/{job}", response_model=Job, responses=problems(404))
async def one_job(job: JobPath, state: StateOf) -> Response:
    """A run, and how far it is."""
    return answer(state.jobs.get(job))


@router.post("/jobs/{job}/stop", response_model=Job, responses=problems(404))
async def stop_job(job: JobPath, state: StateOf) -> Response:
    """Stop a run; what is committed stays."""
    return answer(await state.jobs.stop(job))


@router.post("/jobs/{job}/resume", response_model=Job, responses=problems(404, 409))
async def resume_job(job: JobPath, state: StateOf) -> Response:
    """Go on with a run that has ended; what it committed is not done again."""
    return answer(await state.jobs.resume(job))


@router.get(
    "/jobs/{job}/events",
    response_class=StreamingResponse,
    responses={
        **event_stream("Events named `job`, each with a `Job`, until it has ended.", "job", "Job"),
        **problems(404),
    },
)
async def job_events(job: JobPath, state: StateOf) -> Response:
    """Server-sent events: the run now and after each change, at last when it has ended."""
    state.jobs.get(job)

    async def events() -> AsyncIterator[bytes]:
        async for news in state.jobs.events(job):
            yield event("job", news)

    return StreamingResponse(events(), media_type="text/event-stream")


@router.get("/failures", response_model=FailureList)
async def failures(state: StateOf, k: KQuery = 100, offset: OffsetQuery = 0) -> Response:
    """Files that could not be indexed, and why."""
    found = await state.with_library(lambda library: library.failures())
    page = found[offset : offset + k]
    return answer(
        FailureList(
            failures=[
                FailureAnswer(path=each.path, reason=each.reason, seen_at=each.seen_at) for each in page
            ],
            total=len(found),
            next_offset=page_of(offset, k, page, len(found)),
        )
    )


def allowed_folder(state: State, path: str, *, may_be_new: bool = False) -> Path:
    """A folder below the allowed roots, with all links followed.

    Args:
        state: Knows the roots.
        path: Absolute.
        may_be_new: It need not be there, where the folder is that it is to be made in.

    Raises:
        ProblemError: "not-found" where there is no such folder, "forbidden" where it is not allowed.
    """
    try:
        folder = Path(path)
        if not folder.is_absolute():
            raise ProblemError("request", f"{path!r} is no absolute path; see GET /folders")
        real = folder.resolve()
    except (OSError, RuntimeError, ValueError):
        raise ProblemError("request", f"{path!r} is no path; see GET /folders") from None
    # Whether something is there is told of allowed places alone.
    if not _is_allowed(state, real):
        roots = ", ".join(str(root) for root in state.config.roots) or "none"
        raise ProblemError(
            "forbidden", f"{path} lies outside the allowed roots ({roots}); start with --root for it"
        )
    if real.is_dir():
        return real
    if may_be_new and not real.exists():
        if real.parent.is_dir():
            return real
        raise ProblemError("not-found", f"{path} cannot be made: {real.parent} is no folder; make that first")
    raise ProblemError("not-found", f"{path} is no folder; see GET /folders")


def _is_allowed(state: State, folder: Path) -> bool:
    return any(folder.is_relative_to(root) for root in state.config.roots)


def _folder(path: str, indexed: list[str]) -> Folder:
    is_indexed = any(path == root or path.startswith(root.rstrip(os.sep) + os.sep) for root in indexed)
    return Folder(path=path, name=os.path.basename(path) or path, is_indexed=is_indexed)  # noqa: PTH119 (a str)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


async def _indexed(state: State) -> list[str]:
    try:
        return await state.with_library(lambda library: list(library.store.roots()))
    except LibraryError:
        return []
