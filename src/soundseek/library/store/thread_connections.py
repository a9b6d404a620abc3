"""Connections to a database, one for each thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, Generic, Protocol, TypeVar

from soundseek.errors import LibraryError


class Closable(Protocol):
    """What is open until it is closed."""

    def close(self) -> Any:
        """Let go of it."""


AnyConnection = TypeVar("AnyConnection", bound=Closable)


class ThreadConnections(Generic[AnyConnection]):
    """A connection for each thread, which is opened when the thread first asks for it.

    Args:
        location: Of the library, for the message once all are closed.
        connect: Opens one.
    """

    def __init__(self, location: str, connect: Callable[[], AnyConnection]) -> None:
        self._location = location
        self._connect = connect
        self._local = threading.local()
        self._opened: list[AnyConnection] = []
        self._mutex = threading.Lock()
        self._closed = False

    def known(self) -> AnyConnection | None:
        """This thread's, if it has one."""
        connection: AnyConnection | None = getattr(self._local, "connection", None)
        return connection

    def get(self) -> AnyConnection:
        """This thread's.

        Raises:
            LibraryError: All are closed.
        """
        connection = self.known()
        if connection is None:
            if self._closed:
                raise self._closed_error()
            connection = self._connect()
            with self._mutex:
                # All may have been closed while this one was being opened.
                if not self._closed:
                    self._local.connection = connection
                    self._opened.append(connection)
                    return connection
            with suppress(Exception):
                connection.close()
            raise self._closed_error()
        return connection

    def forget(self) -> None:
        """Close this thread's; the next one that it asks for is new."""
        connection = self.known()
        if connection is None:
            return
        self._local.connection = None
        with self._mutex, suppress(ValueError):
            self._opened.remove(connection)
        with suppress(Exception):
            connection.close()

    def close(self) -> None:
        """Close every thread's, for good: all of them, also where one refuses, whose error is then raised."""
        with self._mutex, ExitStack() as closing:
            self._closed = True
            for connection in self._opened:
                closing.callback(connection.close)
            self._opened.clear()
            self._local = threading.local()

    def _closed_error(self) -> LibraryError:
        return LibraryError(f"the library {self._location} is closed; open it again with Library.open")
