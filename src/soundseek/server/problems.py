"""Errors as `application/problem+json` (RFC 9457): a word that does not change, and a sentence that says what to do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from soundseek._files import is_full_disk
from soundseek.errors import (
    DecodeError,
    LibraryError,
    MissingFileError,
    ModelError,
    QueryError,
    SoundseekError,
    UsageError,
)
from soundseek.library.collections import UnknownCollectionError
from soundseek.library.named_lists import NameTakenError
from soundseek.library.store.base import NoLibraryError
from soundseek.library.taught import UnknownTaughtError
from soundseek.server.answers import json_bytes
from soundseek.server.schemas import FieldError, Problem

PROBLEM_JSON = "application/problem+json"

KINDS: Mapping[str, tuple[int, str]] = {
    "host": (400, "This address is not served"),
    "token": (401, "A token is needed"),
    "origin": (403, "Requests from other sites are refused"),
    "forbidden": (403, "This is not allowed"),
    "not-found": (404, "There is no such thing"),
    "method": (405, "This address does not take that method"),
    "conflict": (409, "Something else is under way"),
    "no-library": (409, "There is no library yet"),
    "gone": (410, "It is no longer there"),
    "too-large": (413, "It is too large"),
    "no-sound": (415, "It cannot be turned into sound"),
    "range": (416, "The file has no such range"),
    "query": (422, "The query cannot be understood"),
    "request": (422, "The request does not fit its description"),
    "busy": (429, "Too much at once"),
    "bug": (500, "soundseek made a mistake"),
    "not-installed": (501, "This needs one more package"),
    "library": (503, "The library cannot be used"),
    "model": (503, "The model cannot be used"),
    "full": (507, "The disk is full"),
}
"""Kind of problem -> HTTP status and title."""


class ProblemError(HTTPException):
    """A request that cannot be answered as asked.

    An `HTTPException`, for FastAPI hides every other exception that is raised while it reads a body.

    Args:
        kind: One of `KINDS`.
        detail: What was wrong, with the value, and what to do.
        headers: Further headers of the answer.
    """

    def __init__(self, kind: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(KINDS[kind][0], detail, dict(headers or {}))
        self.kind = kind


def problem_response(error: ProblemError, errors: list[FieldError] | None = None) -> Response:
    """The answer that tells of an error."""
    status, title = KINDS[error.kind]
    body = Problem(
        type=f"/problems/{error.kind}", title=title, status=status, detail=error.detail, errors=errors
    )
    content = json_bytes(body.model_dump(exclude_none=True))
    return Response(content, status, headers=error.headers, media_type=PROBLEM_JSON)


def problem_of(error: SoundseekError) -> ProblemError:
    """The problem that one of soundseek's own errors is."""
    kinds: tuple[tuple[type[SoundseekError], str], ...] = (
        (UnknownCollectionError, "not-found"),
        (UnknownTaughtError, "not-found"),
        (NameTakenError, "conflict"),
        (NoLibraryError, "no-library"),
        (QueryError, "query"),
        (MissingFileError, "gone"),
        (DecodeError, "no-sound"),
        (ModelError, "model"),
        (LibraryError, "library"),
        (UsageError, "query"),
    )
    kind = next((kind for type_, kind in kinds if isinstance(error, type_)), "bug")
    return ProblemError(kind, str(error))


def full_disk(error: OSError) -> str:
    """What is said of a full disk, with the file if the system named one."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}the disk of the server is full; free some space there and ask again"


def install_handlers(app: FastAPI) -> None:
    """Let every error of an app be told as a problem."""

    async def on_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, ProblemError)
        return problem_response(error)

    async def on_soundseek_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, SoundseekError)
        return problem_response(problem_of(error))

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        errors = [_field_error(each) for each in error.errors()]
        first = errors[0]
        detail = f"{first.where}: {first.message}. See {request.scope.get('root_path', '')}/api/v1/docs"
        return problem_response(ProblemError("request", detail), errors)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        if error.status_code == 405:
            allowed = headers.get("Allow", "")
            return problem_response(
                ProblemError("method", f"{request.method} is not allowed: {allowed}", headers)
            )
        if error.status_code == 404:
            detail = "nothing is at this address; the routes stand in /api/v1/docs"
            return problem_response(ProblemError("not-found", detail, headers))
        kind = next((kind for kind, (status, _) in KINDS.items() if status == error.status_code), "request")
        return problem_response(ProblemError(kind, str(error.detail), headers))

    async def on_system_error(request: Request, error: Exception) -> Response:
        if isinstance(error, OSError) and is_full_disk(error):
            return problem_response(ProblemError("full", full_disk(error)))
        return await on_bug(request, error)

    async def on_bug(request: Request, error: Exception) -> Response:
        logging.getLogger("soundseek").error("%s %s failed", request.method, request.url.path, exc_info=error)
        detail = f"{type(error).__name__}; the server's log says where. Please report it"
        return problem_response(ProblemError("bug", detail))

    app.add_exception_handler(ProblemError, on_problem)
    app.add_exception_handler(SoundseekError, on_soundseek_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(OSError, on_system_error)
    app.add_exception_handler(Exception, on_bug)


def _field_error(error: Mapping[str, Any]) -> FieldError:
    message = str(error["msg"]).removeprefix("Value error, ")
    return FieldError(where=".".join(str(part) for part in error["loc"]), message=message)
