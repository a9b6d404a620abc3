"""The API against its own description: no server error, no answer that the description does not have.

A hundred cases in the suite; two thousand with: SOUNDSEEK_API_CASES=2000 python -m pytest tests/server/test_schema.py
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from html import unescape
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from running_server import running
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from soundseek.server import schemas
from soundseek.server.app import create_api
from soundseek.server.config import ServerConfig
from soundseek.server.schemas import ITEM_ID

NUM_CASES = int(os.environ.get("SOUNDSEEK_API_CASES", "100"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
DESCRIBED = create_api(ServerConfig(library=Path("nowhere"))).openapi()
OPERATIONS = [(method.upper(), path) for path, methods in DESCRIBED["paths"].items() for method in methods]


@pytest.fixture(scope="module")
def address(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of a library with all that it can have, on a free port of this machine."""
    folder = tmp_path_factory.mktemp("asked")
    library = Path(shutil.copytree(filled, folder / "library"))
    (folder / "root").mkdir()
    config = ServerConfig(library=library, roots=((folder / "root").resolve(),), is_local=False)
    with running(config) as address:
        yield address


@pytest.fixture(scope="module")
def item_ids(address: str) -> list[str]:
    """Ids that are there; a collection with entries and an upload make more routes answer."""
    items = httpx.get(f"{address}/api/v1/items").json()["items"]
    ids = [item["id"] for item in items]
    httpx.post(f"{address}/api/v1/collections", json={"name": "some"})
    httpx.post(f"{address}/api/v1/collections/favourites/items", json={"items": [{"id": id} for id in ids]})
    return ids


@pytest.mark.parametrize(
    ("method", "path"), OPERATIONS, ids=[f"{method} {path}" for method, path in OPERATIONS]
)
def test_every_answer_is_a_described_one(address: str, item_ids: list[str], method: str, path: str) -> None:
    schema = schemathesis.openapi.from_dict(DESCRIBED)
    operation = schema[path][method]
    real = cycle(item_ids)

    # What fits the description, and what does not: both get an answer that the description has.
    cases = st.one_of(*(_cases(operation, mode) for mode in schemathesis.GenerationMode))

    @given(case=cases)
    @settings(
        max_examples=max(1, -(-NUM_CASES // len(OPERATIONS))),
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any) -> None:
        _use_real_ids(case, real)
        response = case.call(base_url=address, timeout=240)
        case.validate_response(response, checks=CHECKS)

    ask()


def _cases(operation: Any, mode: schemathesis.GenerationMode) -> st.SearchStrategy[Any]:
    nothing_to_get_wrong = mode == schemathesis.GenerationMode.NEGATIVE and not (
        operation.definition.raw.get("parameters") or operation.definition.raw.get("requestBody")
    )
    return st.nothing() if nothing_to_get_wrong else operation.as_strategy(generation_mode=mode)


def _use_real_ids(case: Any, real: Iterator[str]) -> None:
    """Let well-formed ids be one that is there: made-up ones reach no further than 404."""
    for place in (case.path_parameters, case.query, case.body):
        _replace(place, real)


def _replace(value: Any, real: Iterator[str]) -> None:
    if isinstance(value, dict):
        if isinstance(value.get("id"), str) and re.fullmatch(ITEM_ID, value["id"]):
            value["id"] = next(real)
        for each in value.values():
            _replace(each, real)
    elif isinstance(value, list):
        for each in value:
            _replace(each, real)


def test_the_description_reads_well(address: str) -> None:
    for path, methods in DESCRIBED["paths"].items():
        for method, operation in methods.items():
            assert operation.get("description"), f"{method} {path} says nothing of itself"
            for parameter in operation.get("parameters", []):
                assert parameter.get("description"), f"{method} {path}: {parameter['name']}"
            for status, told in operation["responses"].items():
                if int(status) >= 400:
                    assert list(told["content"]) == ["application/problem+json"]
    for name, schema in DESCRIBED["components"]["schemas"].items():
        assert schema.get("description"), name
    page = httpx.get(f"{address}/api/v1/docs").text
    assert all(f'id="shape-{name}"' in page for name in DESCRIBED["components"]["schemas"])


def test_each_route_has_a_command_to_copy_whose_body_is_taken(address: str) -> None:
    page = httpx.get(f"{address}/api/v1/docs").text
    sections = re.findall(r'<section class="route" id="(?:get|post|patch|delete)-.*?</section>', page, re.S)
    assert len(sections) == sum(len(methods) for methods in DESCRIBED["paths"].values())
    bodies = 0
    for section in sections:
        method, path = re.search(r'class="method">(\w+)</span> <code>([^<]+)', section).groups()  # type: ignore[union-attr]
        (command,) = re.findall(r"<pre>(curl [^<]+)</pre>", section)
        arguments = shlex.split(unescape(command))
        assert urlsplit(arguments[-1]).path.count("/") == path.count("/") and "{" not in arguments[-1]
        if "-d" in arguments:
            bodies += 1
            content = DESCRIBED["paths"][path][method.lower()]["requestBody"]["content"]["application/json"]
            model = getattr(schemas, content["schema"]["$ref"].rsplit("/", 1)[-1])
            model.model_validate_json(arguments[arguments.index("-d") + 1])
    assert bodies >= 10
