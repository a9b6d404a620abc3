"""What the library holds, whether the server can answer, and its counters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Response

import soundseek
from soundseek.errors import SoundseekError
from soundseek.library.location import shown_location
from soundseek.server.answers import answer
from soundseek.server.metrics import CONTENT_TYPE
from soundseek.server.schemas import Capabilities, Health, LibraryAnswer, LibraryLink
from soundseek.server.state import State, StateOf

if TYPE_CHECKING:
    from soundseek.library import Library

router = APIRouter(tags=["library"])


@router.get("/library", response_model=LibraryAnswer)
async def library(state: StateOf) -> Response:
    """What the library is and holds, what filters may ask for, and what this server can do."""

    def read(library: Library) -> LibraryAnswer:
        info, facets = library.info(), library.store.facets()
        return LibraryAnswer(
            path=info.path,
            folders=list(info.folders),
            files=info.files,
            segments=info.segments,
            audio_hours=info.audio_hours,
            bytes_on_disk=info.bytes_on_disk,
            model=info.model,
            fingerprint=info.fingerprint,
            failures=info.failures,
            cut=info.cut,
            last_indexed=info.last_indexed,
            version=library.store.version(),
            formats=list(facets.formats),
            sample_rates_hz=list(facets.sample_rates_hz),
            longest_s=facets.longest_s,
            has_moments=getattr(library.model, "has_moments", True),
            can=capabilities(state),
        )

    return answer(await state.with_library(read))


@router.get("/capabilities", response_model=Capabilities)
async def what_it_can(state: StateOf) -> Response:
    """What this server can do, whether or not there is a library yet."""
    return answer(capabilities(state))


@router.get("/health", response_model=Health)
async def health(state: StateOf) -> Response:
    """Whether the server can answer searches."""
    try:
        await state.with_library(lambda library: library.store.version())
    except SoundseekError as error:
        return answer(Health(status="no library", version=soundseek.__version__, detail=str(error)))
    return answer(Health(status="ok", version=soundseek.__version__))


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Counters.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(state: StateOf) -> Response:
    """Counters for Prometheus."""
    counters = state.metrics
    try:
        stats = await state.with_library(lambda library: library.store.count())
        counters.files.set(stats[0])
        counters.segments.set(stats[1])
    except SoundseekError:
        counters.files.set(0)
        counters.segments.set(0)
    for processes in state.processes:
        counters.pending.labels(processes.name).set(processes.pending)
    return Response(counters.text(), headers={"Content-Type": CONTENT_TYPE})


def capabilities(state: State) -> Capabilities:
    """What this server can do."""
    return Capabilities(
        index=bool(state.config.roots),
        show_in_folder=state.config.is_local,
        export_folder=bool(state.config.roots),
        map=True,
        libraries=[
            LibraryLink(
                name=each.name,
                path=shown_location(each.path),
                address=each.address,
                is_this=each.path == state.config.library,
            )
            for each in state.config.served
        ],
    )
