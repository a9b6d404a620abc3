"""Searching, uploads of example sounds, and scores over time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as PathParameter

from soundseek.errors import ModelError
from soundseek.library.search import Shown
from soundseek.library.store.base import Per
from soundseek.server.answers import answer, no_content
from soundseek.server.clients import while_connected
from soundseek.server.decoding import embed
from soundseek.server.items import when
from soundseek.server.openapi import problems
from soundseek.server.problems import ProblemError
from soundseek.server.routes.parameters import (
    EndQuery,
    ItemPath,
    KQuery,
    OffsetQuery,
    StartQuery,
    WhereQuery,
)
from soundseek.server.schemas import (
    ITEM_ID,
    MAX_TEXT,
    QUERY_ID,
    UPLOAD_ID,
    ExampleSound,
    Moments,
    SearchAnswer,
    SearchRequest,
    UploadAnswer,
)
from soundseek.server.search_libraries import search_together
from soundseek.server.state import StateOf
from soundseek.server.uploads import receive_file
from soundseek.server.window_scores import scored_by_windows

router = APIRouter(tags=["search"])


@router.post("/search", response_model=SearchAnswer, responses=problems(404, 410, 429))
async def search(request: SearchRequest, state: StateOf, client: Request) -> Response:
    """Find sounds by words, by example sounds, or by both; each hit says at which moments."""
    if request.libraries:
        return answer(await search_together(state.together, request))
    found = await state.with_library(lambda library: state.searching.search(library, request))
    if request.windows:
        # Seconds for each file: whoever types on, or closes the page, does not want them any more.
        found = await while_connected(client, scored_by_windows(state, found)) or found
    return answer(found)


@router.get("/similar", response_model=SearchAnswer, responses=problems(404))
async def similar(
    state: StateOf,
    id: Annotated[str, Query(pattern=ITEM_ID, description="The item to compare with.")],
    start_s: StartQuery = None,
    end_s: EndQuery = None,
    where: WhereQuery = None,
    per: Annotated[Per, Query(description="Rank files, or segments.")] = "file",
    duplicates: Annotated[
        Shown, Query(description="Of files with the same content one hit, or all.")
    ] = "hide",
    missing: Annotated[Shown, Query(description="Leave out what is not there now, or show it.")] = "hide",
    k: KQuery = 20,
    offset: OffsetQuery = 0,
) -> Response:
    """Find the sounds most like an item, or like a region of it."""
    example = ExampleSound.model_construct(id=id, start_s=start_s, end_s=end_s)
    if start_s is not None and end_s is not None and end_s <= start_s:
        raise ProblemError("request", f"end_s ({end_s:g}) must lie behind start_s ({start_s:g})")
    request = SearchRequest.model_construct(
        like=[example], where=where, per=per, duplicates=duplicates, missing=missing, k=k, offset=offset
    )
    return answer(await state.with_library(lambda library: state.searching.search(library, request)))


@router.get("/moments/{id}", response_model=Moments, responses=problems(404, 410))
async def moments(
    state: StateOf,
    id: ItemPath,
    query: Annotated[
        str | None,
        Query(pattern=QUERY_ID, description="`query` of a search's answer: all of what was asked."),
    ] = None,
    text: Annotated[
        str | None, Query(max_length=MAX_TEXT, description="Instead of it, words.", examples=["a dog barks"])
    ] = None,
    n: Annotated[int, Query(ge=1, le=20_000, description="At most so many scores.")] = 2_000,
) -> Response:
    """The score of a whole file over time: at which moments it fits a query."""
    return answer(
        await state.with_library(lambda library: state.searching.moments(library, id, query, text, n))
    )


@router.post(
    "/uploads",
    response_model=UploadAnswer,
    status_code=201,
    responses=problems(413, 415, 429),
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "The sound file itself.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def upload(
    request: Request,
    state: StateOf,
    name: Annotated[str, Query(max_length=255, description="What to call it.")] = "sound",
) -> Response:
    """Send an example sound, for `like` and `not` of a search. It is forgotten an hour after its last use."""

    def model_directory(library: object) -> tuple[str, str]:
        model = library.model  # type: ignore[attr-defined]
        directory: Path | None = getattr(model, "directory", None)
        if directory is None:
            raise ModelError("this model lies in no directory, so no other process can load it")
        return os.fspath(directory), model.fingerprint

    directory, fingerprint = await state.with_library(model_directory)
    state.upload_processes.must_have_room()
    path = await receive_file(request.stream(), state.temporary, state.config.max_upload_bytes)
    try:
        info, embedded = await state.upload_processes.run(
            embed, directory, str(path), state.config.max_upload_s, shown=name
        )
    finally:
        path.unlink(missing_ok=True)
    kept = state.uploads.put(
        name,
        format=info.format,
        sample_rate_hz=info.sample_rate_hz,
        channels=info.channels,
        embedded=embedded,
        fingerprint=fingerprint,
    )
    body = UploadAnswer(
        upload=kept.id,
        name=name,
        duration_s=embedded.duration_s,
        sample_rate_hz=info.sample_rate_hz,
        channels=info.channels,
        format=info.format,
        expires_at=when(kept.expires_at),
    )
    return answer(body, 201)


@router.delete("/uploads/{upload}", status_code=204, response_class=Response, responses=problems(404))
async def forget_upload(
    state: StateOf,
    upload: Annotated[str, PathParameter(pattern=UPLOAD_ID, description="What the upload's answer said.")],
) -> Response:
    """Forget an uploaded sound."""
    state.uploads.remove(upload)
    return no_content()
