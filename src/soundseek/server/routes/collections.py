"""Favourites and named collections."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Response

from soundseek.library import collections as kept
from soundseek.server.answers import answer, no_content
from soundseek.server.items import entry_facts, find_file
from soundseek.server.openapi import problems
from soundseek.server.problems import ProblemError
from soundseek.server.routes.items import collection_id
from soundseek.server.routes.parameters import KQuery, OffsetQuery
from soundseek.server.schemas import (
    AddedEntries,
    CollectionAnswer,
    CollectionContents,
    CollectionEntry,
    CollectionList,
    CollectionName,
)
from soundseek.server.state import StateOf, page_of

if TYPE_CHECKING:
    from soundseek.library import Library

router = APIRouter(tags=["collections"])

CollectionPath = Annotated[
    str,
    Path(pattern=rf"^({kept.FAVOURITES_NAME}|[1-9][0-9]{{0,15}})$", description="`favourites`, or a number."),
]


@router.get("/collections", response_model=CollectionList)
async def list_collections(state: StateOf) -> Response:
    """All collections; `favourites` first."""
    found = await state.collections(lambda collections, _: collections.all())
    return answer(CollectionList(collections=[_shown(each) for each in found]))


@router.post("/collections", response_model=CollectionAnswer, status_code=201, responses=problems(409))
async def create_collection(body: CollectionName, state: StateOf) -> Response:
    """A new, empty collection."""
    return answer(_shown(await state.collections(lambda collections, _: collections.create(body.name))), 201)


@router.get("/collections/{collection}", response_model=CollectionContents, responses=problems(404))
async def collection_contents(
    collection: CollectionPath, state: StateOf, k: KQuery = 100, offset: OffsetQuery = 0
) -> Response:
    """A collection's sounds, in the order in which they came in."""
    number = _number(collection)

    def read(collections: kept.Collections, library: Library) -> CollectionContents:
        entries = collections.entries(number, k=k, offset=offset)
        about = collections.get(number)
        files = [entry.file for entry in entries if entry.file is not None]
        favourites = collections.favourites_among(files)
        return CollectionContents(
            **_shown(about).model_dump(),
            items=[
                CollectionEntry(entry=each.id, note=each.note, **entry_facts(each, favourites))
                for each in entries
            ],
            next_offset=page_of(offset, k, entries, about.count),
        )

    return answer(await state.collections(read))


@router.patch("/collections/{collection}", response_model=CollectionAnswer, responses=problems(404, 409))
async def rename_collection(collection: CollectionPath, body: CollectionName, state: StateOf) -> Response:
    """Give a collection another name."""
    number = _number(collection)
    return answer(
        _shown(await state.collections(lambda collections, _: collections.rename(number, body.name)))
    )


@router.delete("/collections/{collection}", status_code=204, response_class=Response, responses=problems(404))
async def remove_collection(collection: CollectionPath, state: StateOf) -> Response:
    """Remove a collection; the sounds stay. `favourites` is only emptied."""
    number = _number(collection)
    await state.collections(lambda collections, _: collections.remove(number))
    return no_content()


@router.post("/collections/{collection}/items", response_model=CollectionAnswer, responses=problems(404))
async def add_to_collection(collection: CollectionPath, body: AddedEntries, state: StateOf) -> Response:
    """Put sounds, or regions of sounds, into a collection; what is in it already stays as it is."""
    number = _number(collection)

    def add(collections: kept.Collections, library: Library) -> CollectionAnswer:
        entries = [
            kept.NewEntry(find_file(library.store, entry.id), entry.start_s, entry.end_s, entry.note)
            for entry in body.items
        ]
        return _shown(collections.add(number, entries))

    return answer(await state.collections(add))


@router.delete(
    "/collections/{collection}/items/{entry}",
    status_code=204,
    response_class=Response,
    responses=problems(404),
)
async def take_from_collection(
    collection: CollectionPath,
    entry: Annotated[int, Path(ge=1, le=2**53, description="`entry` of the sound in the collection.")],
    state: StateOf,
) -> Response:
    """Take a sound out of a collection."""
    number = _number(collection)
    await state.collections(lambda collections, _: collections.discard(number, entry))
    return no_content()


def _number(collection: str) -> int:
    if collection == str(kept.FAVOURITES):
        raise ProblemError("not-found", f"the collection of that number goes by {kept.FAVOURITES_NAME!r}")
    return kept.FAVOURITES if collection == kept.FAVOURITES_NAME else int(collection)


def _shown(collection: kept.Collection) -> CollectionAnswer:
    return CollectionAnswer(**{**asdict(collection), "id": collection_id(collection.id)})
