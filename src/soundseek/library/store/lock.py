"""One writer at a time: an operating system lock on a file, which a killed process cannot leave behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from soundseek.errors import LibraryError


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """Hold the lock while the block runs.

    Args:
        path: The lock file; it stays there and holds the writer's process id.

    Raises:
        LibraryError: Somebody else holds it (the message names the process), or the folder is read-only.
    """
    try:
        handle = path.open("a+b")
    except OSError as error:
        raise LibraryError(
            f"the library {path.parent} cannot be written to ({error.strerror}). Searching still works"
        ) from error
    try:
        if not _try_lock(handle):
            raise LibraryError(_taken(path, handle))
        _write_holder(handle, str(os.getpid()))
        try:
            yield
        finally:
            _write_holder(handle, "")
            _unlock(handle)
    finally:
        handle.close()


def _taken(path: Path, handle: IO[bytes]) -> str:
    handle.seek(_HOLDER_AT)
    try:
        holder = handle.read(32).decode("ascii", "replace").strip()
    except OSError:
        holder = ""
    who = f"process {holder}" if holder else "another process"
    if holder == str(os.getpid()):
        who = f"this process ({holder})"
    return (
        f"{path.parent} is being written by {who}; wait until it is done, or stop it. Searching still works"
    )


def _write_holder(handle: IO[bytes], text: str) -> None:
    handle.seek(_HOLDER_AT)
    handle.truncate(_HOLDER_AT)
    handle.write(text.encode("ascii"))
    handle.flush()


if sys.platform == "win32":
    import msvcrt

    # Windows locks a range of bytes, and nobody may read a locked range: the process id lies behind it.
    _HOLDER_AT = 1

    def _try_lock(handle: IO[bytes]) -> bool:
        handle.seek(0)
        try:
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(handle: IO[bytes]) -> None:
        handle.seek(0)
        msvcrt.locking(handle.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    _HOLDER_AT = 0

    def _try_lock(handle: IO[bytes]) -> bool:
        try:
            fcntl.flock(handle.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(handle: IO[bytes]) -> None:
        fcntl.flock(handle.fileno(), fcntl.LOCK_UN)
