"""Hits as lists, files, cuts and labels."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter, Response
from starlette.responses import StreamingResponse

from soundseek.server.answers import answer
from soundseek.server.exporting import Chosen, Exporter, as_list, as_zip, choose, into_folder, label_files
from soundseek.server.openapi import problems
from soundseek.server.problems import ProblemError
from soundseek.server.routes.indexing import allowed_folder
from soundseek.server.routes.items import disposition, download
from soundseek.server.schemas import ExportRequest
from soundseek.server.state import StateOf

if TYPE_CHECKING:
    from soundseek.library import Library

router = APIRouter(tags=["export"])

_TEXT = {"schema": {"type": "string"}}
_BYTES = {"schema": {"type": "string", "format": "binary"}}
ANSWERS = {
    200: {
        "description": "The file to save; for `folder`, what was written.",
        "content": {
            "application/json": {
                "schema": {
                    "anyOf": [{"$ref": "#/components/schemas/ExportAnswer"}, {"type": "array", "items": {}}]
                }
            },
            "text/csv": _TEXT,
            "text/plain": _TEXT,
            "audio/x-mpegurl": _TEXT,
            "application/zip": _BYTES,
        },
    },
    **problems(403, 404, 429, 507),
}


@router.post("/export", responses=ANSWERS, response_class=Response)
async def export(body: ExportRequest, state: StateOf) -> Response:
    """Write hits down, pack or copy their files, cut regions out, or make labels for an editor."""

    def read(library: Library) -> tuple[list[Chosen], list[str]]:
        return choose(library, body.items), state.serving_roots(library.store)

    _check(body)
    folder: Path | None = None
    if body.format == "folder":
        assert body.folder is not None
        folder = await state.in_thread(partial(allowed_folder, state, body.folder, may_be_new=True))
    chosen, roots = await state.with_library(read)
    if body.format in ("csv", "json", "m3u"):
        text, kind = as_list(chosen, body.format)
        return download(text.encode("utf-8", "backslashreplace"), kind, f"soundseek.{body.format}")
    if body.format in ("audacity", "reaper", "raven"):
        files = label_files(chosen, body.format, body.label_text)
        if len(files) == 1:
            ((name, text),) = files.items()
            kind = "text/csv" if body.format == "reaper" else "text/plain"
            return download(text.encode(), f"{kind}; charset=utf-8", name)
        return _zip_response(as_zip(state, Exporter(state, [], None, roots), files))
    texts: dict[str, str] = {}
    for format in body.labels:
        texts |= label_files(chosen, format, body.label_text)
    exporter = Exporter(state, chosen, body.cut, roots)
    if folder is not None:
        return answer(await into_folder(state, exporter, texts, folder))
    return _zip_response(as_zip(state, exporter, texts))


def _check(body: ExportRequest) -> None:
    if (body.format == "folder") != (body.folder is not None):
        raise ProblemError(
            "request", "`folder` names the folder to write to, and is for the format `folder` alone"
        )
    if body.format not in ("zip", "folder") and (body.cut is not None or body.labels):
        raise ProblemError("request", f"`cut` and `labels` are for zip and folder, not for {body.format}")


def _zip_response(chunks: object) -> Response:
    headers = {"Content-Disposition": disposition("soundseek.zip")}
    return StreamingResponse(chunks, media_type="application/zip", headers=headers)  # type: ignore[arg-type]
