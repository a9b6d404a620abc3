"""Long work in a process of its own that tells how far it is, and that stops when it is asked to.

The server writes one request as a line of JSON to the child's stdin and reads lines of JSON from its stdout, each a
`{kind: value}`. When stdin ends, because the server wants the child to stop or is gone itself, the child stops as after
Ctrl-C.
"""

from __future__ import annotations

import _thread
import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, TypeAlias

from soundseek.errors import SoundseekError

TellServer: TypeAlias = Callable[[str, Any], None]
"""Sends the server a message: its kind, and a value that JSON can carry."""

# A line may hold one group of duplicates with hundreds of paths.
_MOST_LINE_BYTES = 4 << 20


class ChildProcess:
    """A running child, as the server's event loop sees it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, module: str, request: dict[str, Any]) -> ChildProcess:
        """Run a module whose `__main__` calls `answer_request`.

        Args:
            module: Its name, as `soundseek.server.index_process`.
            request: What it is to do.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the server, which then stops the child
            limit=_MOST_LINE_BYTES,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(request).encode() + b"\n")
        with suppress(ConnectionError):  # it died at once: its exit says so
            await process.stdin.drain()
        return cls(process)

    async def messages(self) -> AsyncIterator[tuple[str, Any]]:
        """What the child tells, until it closes its output."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            with suppress(ValueError, AttributeError):
                for kind, value in json.loads(line).items():
                    yield kind, value

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.returncode

    def ask_to_stop(self) -> None:
        """Close its input."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def wait(self) -> int:
        """Its exit code, once it has ended."""
        return await self._process.wait()

    async def kill(self) -> None:
        """End it, whatever it is doing."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


def answer_request(work: Callable[[dict[str, Any], TellServer], Any]) -> None:
    """Read the request on stdin, do it, and send a last message: the `report`, None after a stop, or an `error`.

    Args:
        work: Does what a request asks for; what it returns is the report.
    """
    request = json.loads(sys.stdin.readline())
    out = sys.stdout
    sys.stdout = sys.stderr  # whatever a decoder prints is no message

    def tell(kind: str, value: Any) -> None:
        out.write(json.dumps({kind: value}) + "\n")
        out.flush()

    threading.Thread(target=_stop_at_the_end_of_input, daemon=True).start()
    try:
        tell("report", work(request, tell))
    except SoundseekError as error:
        tell("error", str(error))
    except KeyboardInterrupt:
        tell("report", None)


def _stop_at_the_end_of_input() -> None:
    sys.stdin.read()
    _thread.interrupt_main()
