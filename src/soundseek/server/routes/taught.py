"""Sounds that the library was taught by marks, right or wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, TypeVar

from fastapi import APIRouter, Path, Response

from soundseek.library.collections import Collections
from soundseek.library.taught import NewMark, TaughtSound, TaughtSounds
from soundseek.server.answers import answer, no_content
from soundseek.server.items import entry_facts, find_file
from soundseek.server.openapi import problems
from soundseek.server.schemas import (
    AddedMarks,
    MarkAnswer,
    TaughtAnswer,
    TaughtContents,
    TaughtList,
    TaughtName,
)
from soundseek.server.state import State, StateOf

if TYPE_CHECKING:
    from soundseek.library import Library

R = TypeVar("R")

router = APIRouter(tags=["taught"])

TaughtPath = Annotated[
    str, Path(pattern=r"^[1-9][0-9]{0,15}$", description="What was taught, by its number.")
]


@router.get("/taught", response_model=TaughtList)
async def list_taught(state: StateOf) -> Response:
    """Everything that the library was taught, by name."""
    found = await _with_taught(state, lambda taught, _: taught.all())
    return answer(TaughtList(taught=[_shown(each) for each in found]))


@router.post("/taught", response_model=TaughtAnswer, status_code=201, responses=problems(409))
async def create_taught(body: TaughtName, state: StateOf) -> Response:
    """A new name, without marks."""
    return answer(_shown(await _with_taught(state, lambda taught, _: taught.create(body.name))), 201)


@router.get("/taught/{taught}", response_model=TaughtContents, responses=problems(404))
async def taught_contents(taught: TaughtPath, state: StateOf) -> Response:
    """What was taught under a name, with its marks."""

    def read(sounds: TaughtSounds, library: Library) -> TaughtContents:
        marks = sounds.marks(int(taught))
        files = [mark.file for mark in marks if mark.file is not None]
        favourites = Collections(library.store).favourites_among(files)
        return TaughtContents(
            **_shown(sounds.get(int(taught))).model_dump(),
            marks=[
                MarkAnswer(mark=each.id, is_right=each.is_right, **entry_facts(each, favourites))
                for each in marks
            ],
        )

    return answer(await _with_taught(state, read))


@router.patch("/taught/{taught}", response_model=TaughtAnswer, responses=problems(404, 409))
async def rename_taught(taught: TaughtPath, body: TaughtName, state: StateOf) -> Response:
    """Give it another name."""
    changed = await _with_taught(state, lambda sounds, _: sounds.rename(int(taught), body.name))
    return answer(_shown(changed))


@router.delete("/taught/{taught}", status_code=204, response_class=Response, responses=problems(404))
async def remove_taught(taught: TaughtPath, state: StateOf) -> Response:
    """Forget a name and its marks; the sounds stay."""
    await _with_taught(state, lambda sounds, _: sounds.remove(int(taught)))
    return no_content()


@router.post("/taught/{taught}/marks", response_model=TaughtAnswer, responses=problems(404))
async def add_marks(taught: TaughtPath, body: AddedMarks, state: StateOf) -> Response:
    """Mark sounds, or regions of sounds, right or wrong; one that is marked already changes its mind."""

    def add(sounds: TaughtSounds, library: Library) -> TaughtAnswer:
        marks = [
            NewMark(find_file(library.store, mark.id), mark.is_right, mark.start_s, mark.end_s)
            for mark in body.marks
        ]
        return _shown(sounds.mark(int(taught), marks))

    return answer(await _with_taught(state, add))


@router.delete(
    "/taught/{taught}/marks/{mark}", status_code=204, response_class=Response, responses=problems(404)
)
async def remove_mark(
    taught: TaughtPath,
    mark: Annotated[int, Path(ge=1, le=2**53, description="`mark` of the sound.")],
    state: StateOf,
) -> Response:
    """Take a mark away."""
    await _with_taught(state, lambda sounds, _: sounds.discard(int(taught), mark))
    return no_content()


async def _with_taught(state: State, function: Callable[[TaughtSounds, Library], R]) -> R:
    return await state.with_library(lambda library: function(TaughtSounds(library.store), library))


def _shown(taught: TaughtSound) -> TaughtAnswer:
    return TaughtAnswer(**{**asdict(taught), "id": str(taught.id)})
