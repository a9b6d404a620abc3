"""The description of the API: FastAPI's, with every error as `application/problem+json`."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

import soundseek
from soundseek.server.problems import KINDS, PROBLEM_JSON
from soundseek.server.schemas import ExportAnswer, ExportedHit, Problem

DESCRIPTION = """Find recorded sounds by describing them in words.

A name means the same here, on the command line and in Python. Times are seconds from a file's beginning. Every error is
`application/problem+json` and says what to do.
"""

TAGS = [
    {"name": "search", "description": "Words, example sounds and filters to hits; scores over time."},
    {"name": "items", "description": "The files of the library: facts, sound, waveforms."},
    {"name": "labels", "description": "Words for sounds, out of a list."},
    {"name": "duplicates", "description": "Recordings that are there more than once."},
    {
        "name": "collections",
        "description": "Favourites and named collections, kept in the library's own database.",
    },
    {"name": "taught", "description": "Sounds that were taught by marks, right or wrong, kept by name."},
    {"name": "export", "description": "Hits as lists, files, cuts and labels."},
    {"name": "indexing", "description": "Folders into the library, while searches go on."},
    {"name": "map", "description": "The library in two dimensions."},
    {"name": "library", "description": "What the library holds, health, counters."},
]

# Any request can meet these: the guard, the description, the library that is not there or cannot be read.
_ALWAYS = (400, 401, 403, 409, 413, 422, 503)

# Descriptions of answers name these by hand, so FastAPI does not find them.
_NAMED_IN_ANSWERS = (Problem, ExportAnswer, ExportedHit)

Responses = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Responses:
    """The errors that a route may answer with, beside those of every route."""
    return {status: {"description": _title(status)} for status in statuses}


def event_stream(description: str, name: str, schema: str) -> Responses:
    """The answer of a route that sends server-sent events.

    Args:
        description: What they are, and when they end.
        name: Of the events.
        schema: What their data is.
    """
    fields = {
        "event": {"const": name},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": f"#/components/schemas/{schema}"},
        },
    }
    sent = {"type": "object", "required": ["event", "data"], "properties": fields}
    return {200: {"description": description, "content": {"text/event-stream": {"schema": sent}}}}


def describe_api(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description of an app, made once."""
    if app.openapi_schema:
        return app.openapi_schema
    described = get_openapi(
        title="soundseek",
        version=soundseek.__version__,
        description=DESCRIPTION,
        routes=app.routes,
        tags=TAGS,
    )
    schemas = described["components"]["schemas"]
    for model in _NAMED_IN_ANSWERS:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
        schemas |= schema.pop("$defs", {})
        schemas[model.__name__] = schema
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    content = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path in described["paths"].values():
        for operation in path.values():
            answers = operation["responses"]
            for status in _ALWAYS:
                answers.setdefault(str(status), {"description": _title(status)})
            for status, told in answers.items():
                if int(status) >= 400:
                    told["content"] = content
                    told["description"] = _title(int(status))
            operation["responses"] = dict(sorted(answers.items()))
    app.openapi_schema = described
    return described


def _title(status: int) -> str:
    return "; ".join(dict.fromkeys(title for code, title in KINDS.values() if code == status))
