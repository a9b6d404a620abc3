"""A server on a free port of this machine, in a thread of the test's process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from soundseek.server.app import create_app
from soundseek.server.config import ServerConfig


@contextmanager
def running(config: ServerConfig) -> Iterator[str]:
    """Inside, the address of a server."""
    server = uvicorn.Server(uvicorn.Config(create_app(config), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()
