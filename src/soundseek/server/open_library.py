"""The library behind a running server, which may be indexed, moved, removed or replaced meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from soundseek.errors import LibraryError
from soundseek.library import Library
from soundseek.library.location import engine_of
from soundseek.library.store.base import NoLibraryError
from soundseek.library.store.tables import DATABASE_FILE

if TYPE_CHECKING:
    from soundseek.library.workers import EmbeddingModel


@dataclass
class _Opened:
    library: Library
    key: tuple[int, int]
    users: int = 0
    is_old: bool = False


class OpenLibrary:
    """A library, opened when it is first asked for, and again when another one stands in its folder.

    Args:
        directory: The folder, or an engine's URI.
        model: Name or directory of the model; None takes the one that filled the library.
    """

    def __init__(self, directory: Path | str, model: str | None = None) -> None:
        self.directory = directory
        self._model_name = model
        self._model: EmbeddingModel | None = None
        self._mutex = threading.Lock()
        self._opening = threading.Lock()
        self._current: _Opened | None = None
        self._was_there = False

    @contextmanager
    def use(self) -> Iterator[Library]:
        """The library that stands there now; it stays open as long as the block runs.

        Raises:
            NoLibraryError: There is none (any more).
            LibraryError: It cannot be read.
            ModelError: Its model cannot be loaded.
        """
        opened = self._enter()
        try:
            yield opened.library
        finally:
            with self._mutex:
                opened.users -= 1
                is_last = opened.is_old and not opened.users
            if is_last:
                opened.library.close()

    def close(self) -> None:
        """Let go of the files, as soon as nobody uses them."""
        with self._mutex:
            self._retire()

    def _enter(self) -> _Opened:
        key = self._key()
        with self._opening:
            with self._mutex:
                if self._current is not None and self._current.key == key:
                    self._current.users += 1
                    return self._current
            opened = _Opened(self._open(), key, users=1)
            with self._mutex:
                self._retire()
                self._current, self._was_there = opened, True
            return opened

    def _key(self) -> tuple[int, int]:
        """What tells this library from another one in its place; an engine's is always the same."""
        if engine_of(self.directory) is not None:
            return 0, 0
        try:
            status = (Path(self.directory) / DATABASE_FILE).stat()
        except OSError:
            with self._mutex:
                self._retire()
            how = (
                "was moved or removed; put it back, or index"
                if self._was_there
                else "is not there yet; index"
            )
            raise NoLibraryError(
                f"the library {self.directory} {how} folders from the page or with: "
                f"soundseek index FOLDER --library {self.directory}"
            ) from None
        return status.st_dev, status.st_ino

    def _open(self) -> Library:
        if self._model is None and self._model_name is not None:
            from soundseek.model.registry import load_model

            self._model = load_model(self._model_name)
        if self._model is not None:
            with suppress(LibraryError):  # another model filled the new one
                return Library.open(self.directory, model=self._model, create=False)
        library = Library.open(self.directory, create=False)
        self._model = library.model
        return library

    def _retire(self) -> None:
        if self._current is None:
            return
        self._current.is_old = True
        if not self._current.users:
            self._current.library.close()
        self._current = None
