"""The files of the library: facts, sound, waveforms."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from starlette.responses import FileResponse

from soundseek._typing import FloatArray
from soundseek.library.collections import Collections
from soundseek.library.store.base import Description
from soundseek.server.answers import answer, no_content
from soundseek.server.items import file_facts, find_file, media_type
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
from soundseek.server.schemas import MAX_PEAKS, FileFacts, Item, ItemList, Peaks, Tag
from soundseek.server.searching import asked_condition
from soundseek.server.state import StateOf, page_of
from soundseek.server.waveforms import MAX_PREVIEW_S

if TYPE_CHECKING:
    from soundseek.library import Library
    from soundseek.library.store.base import SoundFile

router = APIRouter(tags=["items"])

SHOWS_WITHIN_S = 5.0

BYTES = {
    "description": "The sound.",
    "content": {"audio/*": {"schema": {"type": "string", "format": "binary"}}},
}
AUDIO_ANSWERS = {
    200: BYTES,
    206: {**BYTES, "description": "The part that `Range` asked for."},
    304: {"description": "It has not changed since (`If-None-Match`)."},
    **problems(404, 410, 415, 416, 429),
}


@router.get("/items", response_model=ItemList)
async def list_items(
    state: StateOf,
    where: WhereQuery = None,
    sort: Annotated[
        Literal["path", "modified", "duration"],
        Query(description="By path; or the latest, or the longest first."),
    ] = "path",
    k: KQuery = 100,
    offset: OffsetQuery = 0,
) -> Response:
    """List the library's files."""

    def listed(library: Library) -> ItemList:
        condition = asked_condition(where) if where is not None and where.strip() else None
        files = library.store.files(condition, order=sort, k=k, offset=offset)
        favourites = Collections(library.store).favourites_among(files)
        total = library.store.count(condition)[0]
        return ItemList(
            items=[FileFacts(**file_facts(file, favourites)) for file in files],
            total=total,
            next_offset=page_of(offset, k, files, total),
        )

    return answer(await state.with_library(listed))


@router.get("/items/{id}", response_model=Item, responses=problems(404))
async def item(id: ItemPath, state: StateOf) -> Response:
    """What the library knows of a file."""
    return answer(await state.with_library(lambda library: item_of(library, find_file(library.store, id))))


@router.post("/items/{id}/show", status_code=204, response_class=Response, responses=problems(404, 410, 501))
async def show_in_folder(id: ItemPath, state: StateOf) -> Response:
    """Show a file in the file manager of the machine that the server runs on."""
    if not state.config.is_local:
        raise ProblemError("forbidden", "the server does not run on your machine; copy the path instead")
    _, path = await state.file_of(id)
    if sys.platform == "win32":
        command = ["explorer", f"/select,{path}"]
    elif sys.platform == "darwin":
        command = ["open", "-R", str(path)]
    else:
        command = ["xdg-open", str(path.parent)]
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
    except OSError:
        raise ProblemError(
            "not-installed", f"{command[0]} is not on this machine; copy the path instead"
        ) from None
    # One that stays is the file manager itself. The Explorer's exit code is 1 also when all is well.
    with suppress(asyncio.TimeoutError):
        code = await asyncio.wait_for(process.wait(), SHOWS_WITHIN_S)
        if code and sys.platform != "win32":
            raise ProblemError(
                "not-installed",
                f"{command[0]} found no file manager (exit code {code}); copy the path instead",
            )
    return no_content()


@router.get("/audio/{id}", response_class=FileResponse, responses=AUDIO_ANSWERS)  # type: ignore[arg-type]
async def audio(
    request: Request,
    state: StateOf,
    id: ItemPath,
    preview: Annotated[
        Literal["wav"] | None,
        Query(
            description="Instead of the file: WAV, 16 bits, at most 48 kHz and two channels, at most 600 s."
        ),
    ] = None,
    start_s: StartQuery = None,
    end_s: EndQuery = None,
    download: Annotated[bool, Query(description="Let the browser save it under its name.")] = False,
) -> Response:
    """The file itself, or a preview of it or of a region; with HTTP ranges and an ETag."""
    file, path = await state.file_of(id)
    kind, suffix = media_type(file.format), path.suffix
    if preview is not None:
        low, high = region_of(file, start_s, end_s)
        if start_s is None and end_s is None:
            high = min(high, MAX_PREVIEW_S)
        if high - low > MAX_PREVIEW_S:
            raise ProblemError(
                "request", f"a preview is at most {MAX_PREVIEW_S:g} s long; ask for a shorter region"
            )
        path = await state.waveforms.preview(file, path, low, high)
        kind, suffix = "audio/wav", ".wav"
    elif start_s is not None or end_s is not None:
        raise ProblemError(
            "request", "start_s and end_s are for a preview: add preview=wav, or leave them out"
        )
    headers = {"Cache-Control": "private, max-age=600"}
    if download:
        name = os.fsencode(Path(file.path).stem).decode("utf-8", "replace") + suffix
        headers["Content-Disposition"] = disposition(name)
    return _file_response(request, path, kind, headers)


@router.get("/peaks/{id}", response_model=Peaks, responses=problems(404, 410, 415, 429))
async def waveform(
    state: StateOf,
    id: ItemPath,
    start_s: StartQuery = None,
    end_s: EndQuery = None,
    n: Annotated[int, Query(ge=1, le=MAX_PEAKS, description="Number of pieces.")] = 1_000,
) -> Response:
    """The waveform of a file or a region: the lowest and highest sample of each of `n` equal pieces."""
    file, path = await state.file_of(id)
    low, high = region_of(file, start_s, end_s)
    pairs = await state.waveforms.peaks(file, path, low, high, n)
    body = Peaks(
        id=id,
        start_s=low,
        end_s=high,
        duration_s=file.duration_s,
        n=n,
        min=_rounded(pairs[:, 0]),
        max=_rounded(pairs[:, 1]),
    )
    return answer(body, headers={"Cache-Control": "private, max-age=600"})


def _rounded(values: FloatArray) -> list[float]:
    """To four digits, as numbers that are written with so many."""
    whole: list[float] = (np.rint(values.astype(np.float64) * 1e4) / 1e4).tolist()
    return whole


def item_of(library: Library, file: SoundFile) -> Item:
    """All that the API tells of a file."""
    collections = Collections(library.store)
    numbers = collections.containing(file)
    favourites = collections.favourites_among([file])
    about = file.description or Description()
    return Item(
        **file_facts(file, favourites),
        is_there=Path(file.path).is_file(),
        is_truncated=file.truncated,
        segments=library.store.count(only=[file.path])[1],
        copies=[
            same.path for same in library.store.same_content(file.content_hash) if same.path != file.path
        ],
        collections=[collection_id(number) for number in numbers],
        tags=[Tag(name=name, text=text) for name, text in about.tags],
        recorded_on=about.date,
        clock_s=about.clock_s,
    )


def collection_id(number: int) -> str:
    """How the API names a collection."""
    from soundseek.library.collections import FAVOURITES, FAVOURITES_NAME

    return FAVOURITES_NAME if number == FAVOURITES else str(number)


def region_of(file: SoundFile, start_s: float | None, end_s: float | None) -> tuple[float, float]:
    """A region within a file.

    Raises:
        ProblemError: "request": it lies behind the file's end, or ends before it begins.
    """
    low, high = start_s or 0.0, min(file.duration_s if end_s is None else end_s, file.duration_s)
    if high <= low:
        raise ProblemError(
            "request",
            f"there is nothing between {low:g} s and {high:g} s: the file is {file.duration_s:.3f} s long, and "
            "end_s must lie behind start_s",
        )
    return low, high


def disposition(name: str) -> str:
    """`Content-Disposition` of a file to save, whatever letters its name has (RFC 6266)."""
    from urllib.parse import quote

    plain = "".join(
        letter if letter.isascii() and letter.isprintable() and letter not in '"\\%' else "_"
        for letter in name
    )
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def download(content: bytes, kind: str, name: str) -> Response:
    """Something to save under a name."""
    return Response(content, headers={"Content-Type": kind, "Content-Disposition": disposition(name)})


def _file_response(request: Request, path: Path, kind: str, headers: dict[str, str]) -> Response:
    try:
        status = path.stat()
    except OSError:
        raise ProblemError("gone", "the file has just been removed; search again") from None
    etag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
    headers |= {"ETag": etag, "Last-Modified": formatdate(status.st_mtime, usegmt=True)}
    asked = request.headers.get("if-none-match", "")
    if etag in [each.strip().removeprefix("W/") for each in asked.split(",")] or asked.strip() == "*":
        return Response(status_code=304, headers=headers)
    _check_range(request, status.st_size)
    return _Sound(path, media_type=kind, headers=headers, stat_result=status)


class _Sound(FileResponse):
    """A file, read in pieces that are four times as large: each is a change of threads, for which searches wait."""

    chunk_size = 1 << 18


def _check_range(request: Request, num_bytes: int) -> None:
    """Forget a `Range` that is none, or that has several parts, as HTTP allows; refuse one behind the file's end."""
    asked = request.headers.get("range")
    if asked is None:
        return
    parts = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", asked.strip())
    first, last = parts.groups() if parts else ("", "")
    if not (first or last) or (first and last and int(last) < int(first)):
        request.scope["headers"] = [pair for pair in request.scope["headers"] if pair[0] != b"range"]
    elif (int(first) if first else num_bytes - int(last)) >= num_bytes:
        raise ProblemError(
            "range",
            f"the file has {num_bytes} bytes, and {asked!r} lies behind them",
            {"Content-Range": f"bytes */{num_bytes}"},
        )
