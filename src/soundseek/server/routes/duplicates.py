"""Recordings that the library has more than once."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import APIRouter, Response
from starlette.responses import StreamingResponse

from soundseek.server.answers import answer, event
from soundseek.server.duplicates import duplicates_answer
from soundseek.server.openapi import event_stream
from soundseek.server.routes.parameters import KQuery, OffsetQuery
from soundseek.server.schemas import DuplicatesAnswer, DuplicatesRequest, DuplicatesState
from soundseek.server.state import State, StateOf

router = APIRouter(tags=["duplicates"])


@router.post("/duplicates", response_model=DuplicatesState, status_code=202)
async def start_search(body: DuplicatesRequest, state: StateOf) -> Response:
    """Look for recordings that are there more than once; nothing is changed. One search at a time."""
    version = await _version(state)
    await state.duplicates.start(body.min_score)
    return answer(state.duplicates.state(version), 202)


@router.get("/duplicates", response_model=DuplicatesAnswer)
async def list_duplicates(state: StateOf, k: KQuery = 50, offset: OffsetQuery = 0) -> Response:
    """How far the search is, and the groups that the last one found, the largest first."""
    return answer(
        await state.with_library(
            lambda library: duplicates_answer(library, state.duplicates, k=k, offset=offset)
        )
    )


@router.post("/duplicates/stop", response_model=DuplicatesState)
async def stop_search(state: StateOf) -> Response:
    """Stop the search; it keeps nothing, and the groups of the one before stay."""
    await state.duplicates.stop()
    return answer(state.duplicates.state(await _version(state)))


@router.get(
    "/duplicates/events",
    response_class=StreamingResponse,
    responses=event_stream(
        "Events named `duplicates`, each with a `DuplicatesState`, until no search is under way.",
        "duplicates",
        "DuplicatesState",
    ),
)
async def events_of_search(state: StateOf) -> Response:
    """Server-sent events: how far the search is now and after each change, at last when it has ended."""
    version = await _version(state)

    async def events() -> AsyncIterator[bytes]:
        async for news in state.duplicates.events():
            yield event("duplicates", None if news is None else state.duplicates.state(version))

    return StreamingResponse(events(), media_type="text/event-stream")


async def _version(state: State) -> int:
    return await state.with_library(lambda library: library.store.version())
