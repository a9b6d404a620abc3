"""A library of small sounds behind a server, asked within the test's process."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tones import write_tones
from toy_model import make_toy_model

from soundseek._vectors import unit_rows
from soundseek.library import Library
from soundseek.model.config import ModelConfig
from soundseek.model.manners import MannerDirection, write_manners
from soundseek.model.memory import SoundMemory
from soundseek.model.registry import load_model
from soundseek.server.app import create_app
from soundseek.server.config import ServerConfig
from soundseek.server.guard import Access

HOST = "http://127.0.0.1:8765"


class Client:
    """Asks an ASGI app from a thread of its own, in which the app's event loop runs until the client is closed."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._lifespan = self._run(self._start())
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url=HOST, timeout=240)

    def __call__(self, method: str, path: str, **how: Any) -> httpx.Response:
        """Ask; paths are below `/api/v1` unless they begin with a slash."""
        return self._run(
            self._client.request(method, path if path.startswith("/") else f"/api/v1/{path}", **how)
        )

    def get(self, path: str, **how: Any) -> httpx.Response:
        return self("GET", path, **how)

    def post(self, path: str, **how: Any) -> httpx.Response:
        return self("POST", path, **how)

    def items(self) -> dict[str, dict[str, Any]]:
        """File name -> facts."""
        return {item["name"]: item for item in self.get("items", params={"k": 1000}).json()["items"]}

    def id_of(self, name: str) -> str:
        return str(self.items()[name]["id"])

    def run(self, function: Callable[[httpx.AsyncClient], Any]) -> Any:
        """Run a coroutine function with the client, on the app's event loop."""
        return self._run(function(self._client))

    def close(self) -> None:
        self._run(self._client.aclose())
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(240)

    async def _start(self) -> None:
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task = asyncio.create_task(
            self.app({"type": "lifespan", "asgi": {"version": "3.0"}}, self._messages.get, self._answers.put)
        )
        await self._messages.put({"type": "lifespan.startup"})
        assert (await self._answers.get())["type"] == "lifespan.startup.complete"

    async def _end(self) -> None:
        await self._messages.put({"type": "lifespan.shutdown"})
        assert (await self._answers.get())["type"] == "lifespan.shutdown.complete"
        await self._task


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = make_toy_model(tmp_path_factory.mktemp("models") / "toy")
    dim = ModelConfig.read(directory).dim
    direction = np.random.default_rng(5).standard_normal(dim).astype(np.float32)
    distant = MannerDirection(direction / np.linalg.norm(direction), 0.0, 0.02, worth=100.0, reach=1000.0)
    write_manners(directory, {"distant": distant})
    remembered = np.random.default_rng(6).standard_normal((9, dim)).astype(np.float32)
    SoundMemory(unit_rows(remembered)).write(directory)
    return directory


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = (tmp_path_factory.mktemp("sounds") / "sounds").resolve()
    folder.mkdir()
    return write_tones(folder)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory, sounds: Path, model_directory: Path) -> Path:
    """A library that holds `sounds`; tests copy it before they write."""
    directory = tmp_path_factory.mktemp("libraries") / "filled"
    with Library.create(directory, model=load_model(model_directory)) as library:
        library.index(sounds)
    return directory


Serve = Callable[..., Client]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server; it ends with the test."""
    clients: list[Client] = []

    def start(library: Path, *, token: str | None = None, **settings: Any) -> Client:
        access = settings.pop("access", None) or Access(token=token)
        client = Client(create_app(ServerConfig(library=library, access=access, **settings)))
        clients.append(client)
        return client

    yield start
    for client in clients:
        client.close()


@pytest.fixture(scope="module")
def client(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server on a copy of `filled` that the tests of a file share."""
    library = tmp_path_factory.mktemp("served") / "library"
    shutil.copytree(filled, library)
    opened = Client(create_app(ServerConfig(library=library)))
    yield opened
    opened.close()


@pytest.fixture
def copy_of(filled: Path, tmp_path: Path) -> Path:
    """A library of its own, to write to."""
    return Path(shutil.copytree(filled, tmp_path / "library"))
