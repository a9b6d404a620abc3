"""Connections of threads are closed with their library, whatever happens beside it."""

from __future__ import annotations

import threading

import pytest

from soundseek.errors import LibraryError
from soundseek.library.store.thread_connections import ThreadConnections


class Connection:
    """Notes that it was closed, which it may refuse."""

    def __init__(self, refuses: bool = False) -> None:
        self.is_closed = False
        self._refuses = refuses

    def close(self) -> None:
        if self._refuses:
            raise OSError("the server is gone")
        self.is_closed = True


def test_one_that_is_opened_while_all_are_closed_is_closed_as_well() -> None:
    opened: list[Connection] = []

    def connect() -> Connection:
        connections.close()  # as another thread does, meanwhile
        opened.append(Connection())
        return opened[-1]

    connections = ThreadConnections("sounds", connect)
    for _ in range(2):
        with pytest.raises(LibraryError, match=r"the library sounds is closed; open it again"):
            connections.get()
    assert [each.is_closed for each in opened] == [True] and connections.known() is None


def test_one_that_refuses_to_close_keeps_no_other_open() -> None:
    made = [Connection(), Connection(refuses=True), Connection()]
    left = iter(made)
    connections = ThreadConnections("sounds", lambda: next(left))
    for _ in made:
        thread = threading.Thread(target=connections.get)
        thread.start()
        thread.join()
    with pytest.raises(OSError, match="the server is gone"):
        connections.close()
    assert [each.is_closed for each in made] == [True, False, True]
    with pytest.raises(LibraryError, match="is closed"):
        connections.get()
    connections.close()  # what is closed already is not closed again
