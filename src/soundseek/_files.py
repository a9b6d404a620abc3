"""Files that are whole or not there, and folders that one process at a time writes to."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from soundseek.errors import StorageError, UsageError

LOCK_FILE = ".lock"
# No space, no more of one's share, no more for one file (a limit, or FAT's 4 GB).
_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG})


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A place beside `path` to write to; when the block ends, what was written takes the place of `path`.

    It is on the disk before it does, so that a kill or a power cut leaves the old file or the new one. After an error
    the old file stands and nothing is left beside it.

    Raises:
        StorageError: The disk is full, or the folder cannot be written to.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        with naming_the_disk(path):
            yield partial
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            _open_to_others(partial)
            partial.replace(path)
            sync_folder(path.parent)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def replace_text(path: Path, text: str) -> None:
    """Write a text file, UTF-8, whole or not at all; see `replacing`."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def replace_copy(source: Path, target: Path) -> None:
    """Copy a file, whole or not at all; see `replacing`."""
    with source.open("rb") as read, replacing(target) as partial, partial.open("wb") as write:
        shutil.copyfileobj(read, write, 1 << 20)


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file, on the disk when this returns; a kill can leave a part of it.

    Raises:
        StorageError: As `replacing`.
    """
    with naming_the_disk(path), path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def naming_the_disk(path: Path) -> Iterator[None]:
    """Inside, an error of the disk that `path` is on is a StorageError that names both and says what to do.

    Libraries that write files themselves tell of a full disk in errors of their own; these are recognised by their
    words, or by the disk that is full.
    """
    try:
        yield
    except OSError as error:
        if is_full_disk(error) or (error.errno is None and has_full_disk(path)):
            raise _full(path) from error
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}; choose another folder, or mend this one"
        ) from error
    except Exception as error:
        if "No space left" in str(error) or (_is_foreign(error) and has_full_disk(path)):
            raise _full(path) from error
        raise


def is_full_disk(error: OSError) -> bool:
    """Whether the system says that the disk, or the user's share of it, is full."""
    return error.errno in _FULL


def _full(path: Path) -> StorageError:
    return StorageError(
        f"{path} cannot be written: the disk of {path.parent} is full ({_free_bytes(path) / 1e6:.1f} MB free); free "
        "some space there and give the same command again, or choose a folder on another disk"
    )


def _is_foreign(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] != "soundseek"


def has_full_disk(path: Path) -> bool:
    """Whether there is no space left where a path leads to."""
    return _free_bytes(path) < 1 << 16


def _free_bytes(path: Path) -> int:
    folder = next((each for each in path.absolute().parents if each.is_dir()), Path("/"))
    return shutil.disk_usage(folder).free


def _open_to_others(path: Path) -> None:
    """Give a file the permissions that the umask allows; some libraries write files for their owner alone."""
    if os.name == "posix":
        mask = os.umask(0)
        os.umask(mask)
        path.chmod(0o666 & ~mask)


def sync_folder(folder: Path) -> None:
    """Make new names in a folder survive a power cut (where the system can: not on Windows)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Inside, no other process has the lock of `folder`, which is made if missing; a killed process loses its own.

    Args:
        folder: What is written to.
        what: What it is, for the message: "run", "study".

    Raises:
        UsageError: Another process has it; its id is named.
        StorageError: The folder cannot be made or written to, or its file system has no locks.
    """
    path = folder / LOCK_FILE
    is_new = not folder.exists()
    while True:
        with naming_the_disk(path):
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        try:
            with naming_the_disk(path):
                holder = take_lock(handle)
            if holder:
                raise UsageError(
                    f"the {what} {folder} is being written by {holder}; wait until it is done, or stop it, or choose "
                    "another --out"
                )
        except BaseException:
            handle.close()
            raise
        if _is_still(path, handle):
            break
        handle.close()  # its holder has removed it between the opening and the lock
    try:
        yield
    finally:
        # Removed while it is still locked: whoever opened it meanwhile sees that it is gone, and makes another.
        with suppress(OSError):
            path.unlink()
        release_lock(handle)
        handle.close()
        if is_new:  # nothing was written: no trace
            with suppress(OSError):
                folder.rmdir()


def _is_still(path: Path, handle: IO[bytes]) -> bool:
    """Whether the file at `path` is the one that was opened."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle.fileno()))
    except FileNotFoundError:
        return False


def take_lock(handle: IO[bytes]) -> str | None:
    """Take the lock of an open file, an operating system lock that a killed process cannot leave behind.

    The file then holds the id of this process. The `filelock` package would do the same, but it empties the file when
    it tries, and with it the holder's id.

    Args:
        handle: Open to read and to write.

    Returns:
        None where the lock is ours now, else who has it: "process 4711", "this process (4711)", "another process".

    Raises:
        OSError: The file system has no locks.
    """
    if _try_lock(handle):
        _write_holder(handle, str(os.getpid()))
        return None
    try:
        handle.seek(_HOLDER_AT)
        number = handle.read(32).decode("ascii", "replace").strip()
    except OSError:
        number = ""
    if number == str(os.getpid()):
        return f"this process ({number})"
    return f"process {number}" if number else "another process"


def release_lock(handle: IO[bytes]) -> None:
    """Give back what `take_lock` took; the file stays, without an id."""
    _write_holder(handle, "")
    _unlock(handle)


def _write_holder(handle: IO[bytes], text: str) -> None:
    """Say whose the lock is; on a full disk it is held without that."""
    with suppress(OSError):
        os.ftruncate(handle.fileno(), _HOLDER_AT)
        os.lseek(handle.fileno(), _HOLDER_AT, os.SEEK_SET)
        os.write(handle.fileno(), text.encode("ascii"))


if sys.platform == "win32":
    import msvcrt

    # Windows locks a range of bytes, and nobody may read a locked range: the process id lies behind it.
    _HOLDER_AT = 1

    def _try_lock(handle: IO[bytes]) -> bool:
        handle.seek(0)
        try:
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError:
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
