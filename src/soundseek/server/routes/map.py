"""The two-dimensional map of the library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Response

from soundseek.library.collections import Collections
from soundseek.server.answers import answer
from soundseek.server.items import file_facts, find_file
from soundseek.server.openapi import problems
from soundseek.server.problems import ProblemError
from soundseek.server.schemas import (
    FileFacts,
    MapAnswer,
    MapFindRequest,
    MapFound,
    MapItems,
    MapItemsRequest,
    MapLabels,
)
from soundseek.server.state import StateOf

if TYPE_CHECKING:
    from soundseek.library import Library
    from soundseek.library.store.base import SoundFile

router = APIRouter(tags=["map"])


@router.get("/map", response_model=MapAnswer)
async def state_of_map(state: StateOf) -> Response:
    """How far the map is; asking begins it where there is none, or where the library has changed since."""
    version, count = await state.with_library(
        lambda library: (library.store.version(), library.store.count()[0])
    )
    return answer(await state.map.state(version, count))


@router.get(
    "/map/points",
    response_class=Response,
    responses={
        200: {
            "description": "For each point x and y (float32) and the number of its folder (uint32), little-endian.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        },
        **problems(410),
    },
)
async def points(
    state: StateOf, version: Annotated[int, Query(ge=0, le=2**53, description="Of GET /map.")]
) -> Response:
    """The points of the map: twelve bytes each."""
    made = await state.in_thread(state.map.current, version)
    headers = {"Cache-Control": "private, max-age=3600"}
    return Response(made.packed(), media_type="application/octet-stream", headers=headers)


@router.get("/map/labels", response_model=MapLabels, responses=problems(410))
async def labels_of_points(
    state: StateOf, version: Annotated[int, Query(ge=0, le=2**53, description="Of GET /map.")]
) -> Response:
    """What each point sounds like, for colours: categories of the Universal Category System."""

    def read(library: Library) -> MapLabels:
        return state.labelling.of_map(library, state.map.current(version))

    return answer(await state.with_library(read))


@router.post("/map/items", response_model=MapItems, responses=problems(410))
async def items_of_points(body: MapItemsRequest, state: StateOf) -> Response:
    """The items of some points of the map."""

    def read(library: Library) -> MapItems:
        made = state.map.current(body.version)
        beyond = [point for point in body.points if point >= len(made.ids)]
        if beyond:
            raise ProblemError("request", f"there is no point {beyond[0]}: the map has {len(made.ids)}")
        found: list[SoundFile | None] = []
        for point in body.points:
            try:
                found.append(find_file(library.store, made.ids[point]))
            except ProblemError:
                found.append(None)
        files = [file for file in found if file is not None]
        favourites = Collections(library.store).favourites_among(files)
        return MapItems(
            items=[FileFacts(**file_facts(file, favourites)) if file is not None else None for file in found]
        )

    return answer(await state.with_library(read))


@router.post("/map/find", response_model=MapFound, responses=problems(410))
async def points_of_items(body: MapFindRequest, state: StateOf) -> Response:
    """The points of some items: where the hits of a search lie on the map."""
    made = await state.in_thread(state.map.current, body.version)
    return answer(MapFound(points=[made.point_of.get(each) for each in body.ids]))
