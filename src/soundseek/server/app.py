"""The whole server as an ASGI app: guard, counters, API, docs and the search page."""

from __future__ import annotations

import asyncio
import importlib.util
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from soundseek.server.config import ServerConfig
from soundseek.server.docs_page import docs_page
from soundseek.server.guard import Guard, content_security_policy
from soundseek.server.metrics import Counting
from soundseek.server.openapi import describe_api
from soundseek.server.problems import install_handlers
from soundseek.server.routes import (
    collections,
    duplicates,
    export,
    indexing,
    items,
    labels,
    library,
    search,
    taught,
)
from soundseek.server.routes import map as map_
from soundseek.server.state import State

API = "/api/v1"
PAGE = Path(__file__).parent / "page"
_INDEX = PAGE / "index.html"


def create_app(config: ServerConfig) -> ASGIApp:
    """The server of a library, or of several; it starts and stops its processes with its lifespan."""
    if len(config.served) < 2:
        api = create_api(config)
        return Guard(Counting(api, api.state.soundseek.metrics), config.access)
    # Each library has a page, an API and processes of its own below its address; the guard stands before all.
    apis = [create_api(replace(config, library=each.path)) for each in config.served]
    states = {each.address: api.state.soundseek for each, api in zip(config.served, apis, strict=True)}
    for state in states.values():
        state.stand_beside(states)
    mounts = [
        Mount(each.address.rstrip("/"), Counting(api, api.state.soundseek.metrics))
        for each, api in zip(config.served, apis, strict=True)
    ]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as running:
            for api in apis:
                await running.enter_async_context(api.router.lifespan_context(api))
            yield

    # The first one, at "/", takes what no other takes.
    return Guard(Starlette(routes=[*mounts[1:], mounts[0]], lifespan=lifespan), config.access)


def create_api(config: ServerConfig) -> FastAPI:
    """The same without guard and counters."""
    state = State(config)

    tools = _mcp(state)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(state.warm_up())
        try:
            async with tools.router.lifespan_context(tools) if tools is not None else nullcontext():
                yield
        finally:
            await asyncio.wait([warming])
            await state.close()

    app = FastAPI(
        title="soundseek",
        lifespan=lifespan,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.soundseek = state
    app.openapi = lambda: describe_api(app)  # type: ignore[method-assign]
    install_handlers(app)
    for routes in (search, items, labels, duplicates, collections, taught, export, indexing, map_, library):
        app.include_router(routes.router, prefix=API)
    _add_pages(app)
    if tools is not None:
        app.router.routes.extend(tools.routes)
    return app


def _mcp(state: State) -> Starlette | None:
    """The tools for assistants, where their package is installed."""
    if importlib.util.find_spec("mcp") is None:
        return None
    from soundseek.server.mcp_tools import build_mcp, mcp_app

    return mcp_app(build_mcp(state))


def _add_pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        if not _INDEX.is_file():
            return RedirectResponse(f"{API}/docs")
        return _with_nonce(_INDEX.read_text(encoding="utf-8"))

    @app.get(f"{API}/docs", include_in_schema=False)
    async def docs() -> Response:
        return _with_nonce(docs_page(app.openapi()))

    @app.get("/problems/{kind}", include_in_schema=False)
    async def problem(kind: str) -> Response:
        return RedirectResponse(f"{API}/docs#problems")

    if PAGE.is_dir():
        app.mount("/page", _Page(directory=PAGE), name="page")


def _with_nonce(html: str) -> Response:
    """A page whose style elements may carry `{{nonce}}`, which is another one each time."""
    nonce = secrets.token_urlsafe(16)
    headers = {"Content-Security-Policy": content_security_policy(nonce), "Cache-Control": "no-cache"}
    return HTMLResponse(html.replace("{{nonce}}", nonce), headers=headers)


class _Page(StaticFiles):
    """The page's files; a browser asks each time whether they have changed, since they have no versions in names."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response
