"""Answers as JSON whose paths survive: a file name that is no UTF-8 keeps its bytes as `\\udcXX`."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response


def json_bytes(value: Any) -> bytes:
    r"""JSON in ASCII, in which a lone surrogate is an escape and no error.

    >>> json_bytes({"path": "a\udcff"})
    b'{"path":"a\\udcff"}'
    """
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


def answer(model: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A schema as the answer to a request."""
    return Response(_content(model), status, headers=headers, media_type="application/json")


def event(name: str, model: BaseModel | None) -> bytes:
    """A server-sent event; without a model a comment, which only says that the server is still there."""
    if model is None:
        return b": still there\n\n"
    return f"event: {name}\ndata: ".encode() + _content(model) + b"\n\n"


def _content(model: BaseModel) -> bytes:
    try:
        return model.model_dump_json(by_alias=True).encode()
    except ValueError:  # a name that is no UTF-8
        return json_bytes(model.model_dump(by_alias=True))


def no_content() -> Response:
    """204: it is done."""
    return Response(status_code=204)
