"""Files that can be made again, in a folder that does not grow beyond a number of bytes."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from soundseek.library.location import engine_of, shown_location

CACHE_FOLDER = "cache"
# What a process that was killed has left half written is removed after this long.
_ABANDONED_S = 3600.0
_PARTIAL = ".partial"


def cache_of(library: Path | str) -> Path:
    """Where files that belong to a library are kept: in its folder, or of an engine's in the user's cache."""
    if engine_of(library) is None:
        return Path(library) / CACHE_FOLDER
    import platformdirs

    name = hashlib.blake2b(shown_location(library).encode(), digest_size=8).hexdigest()
    folder = Path(platformdirs.user_cache_dir("soundseek")) / name
    with suppress(OSError):  # a temporary folder takes its place
        folder.mkdir(parents=True, exist_ok=True)
    return folder / CACHE_FOLDER


class DiskCache:
    """Files by name; those that were not used for the longest time go first.

    Args:
        folder: Made when it is first needed; where it cannot be, a temporary one takes its place.
        most_bytes: How much all files may take together.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._wanted = folder
        self._folder: Path | None = None
        self._most_bytes = most_bytes
        self._num_bytes = 0
        self._mutex = threading.Lock()

    def get(self, name: str) -> Path | None:
        """The file of a name, if it is there; this counts as a use."""
        path = self.folder() / name
        try:
            os.utime(path)
        except OSError:
            return None
        return path

    def partial(self) -> Path:
        """A place to write a new file to, for `put`."""
        descriptor, path = tempfile.mkstemp(_PARTIAL, dir=self.folder())
        os.close(descriptor)
        return Path(path)

    def put(self, name: str, written: Path) -> Path:
        """Take in a file that was written to `partial()`; others go, if it gets too much."""
        path = self.folder() / name
        size = written.stat().st_size
        written.replace(path)
        with self._mutex:
            self._num_bytes += size
            if self._num_bytes > self._most_bytes:
                self._num_bytes = self._make_room(keep=path)
        return path

    def make(self, name: str, write: Callable[[Path], None]) -> Path:
        """The file of a name, which is written if it is not there."""
        found = self.get(name)
        if found is not None:
            return found
        partial = self.partial()
        try:
            write(partial)
            return self.put(name, partial)
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)

    def folder(self) -> Path:
        """Where the files are."""
        with self._mutex:
            # The library, and this folder with it, may have been removed under the running server.
            if self._folder is None or not self._folder.is_dir():
                self._folder = self._made()
                self._num_bytes = self._make_room(keep=None)
            return self._folder

    def _made(self) -> Path:
        try:
            if not self._wanted.parent.parent.is_dir():
                raise FileNotFoundError(
                    self._wanted.parent.parent
                )  # do not make a removed library's folder again
            self._wanted.mkdir(parents=True, exist_ok=True)
            descriptor, probe = tempfile.mkstemp(_PARTIAL, dir=self._wanted)
            os.close(descriptor)
            Path(probe).unlink()
            return self._wanted
        except OSError:
            return Path(tempfile.mkdtemp(prefix="soundseek-"))

    def _make_room(self, keep: Path | None) -> int:
        """Remove the oldest files where there is too much, down to nine tenths; the bytes that remain."""
        assert self._folder is not None
        files = []
        for path in self._folder.iterdir():
            with suppress(OSError):
                status = path.stat()
                files.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in files)
        most = 0.9 * self._most_bytes if total > self._most_bytes else total
        newest = max((at for at, _, _ in files), default=0.0)
        for at, size, path in sorted(files, key=lambda file: file[0]):
            is_partial = path.suffix == _PARTIAL
            is_abandoned = is_partial and at < newest - _ABANDONED_S
            if is_abandoned or (total > most and path != keep and not is_partial):
                with suppress(OSError):
                    path.unlink()
                    total -= size
        return total
