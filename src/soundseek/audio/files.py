"""What a path leads to, before any decoder sees it: a regular file and its first bytes, or why not."""

from __future__ import annotations

import codecs
import errno
import os
import re
import stat
from pathlib import Path

from soundseek.errors import DecodeError, MissingFileError

_HEAD_BYTES = 4096

_OS_REASONS = {
    errno.EACCES: "no permission to read it",
    errno.EPERM: "no permission to read it",
    errno.ELOOP: "a loop of links",
    errno.ENAMETOOLONG: "its name is too long",
}


def read_head(path: str) -> bytes:
    """The first bytes of a regular file; anything else is refused unopened, since a pipe would block.

    Raises:
        MissingFileError: No such file; a folder, a pipe, a device.
        DecodeError: No permission, a loop of links, 0 bytes.
    """
    shown = printable(path)
    try:
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode):
            raise MissingFileError(shown, f"{_kind_of_file(mode)}, not a file")
        with Path(path).open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(shown, broken_link(path) or "no such file") from error
    except OSError as error:
        reason = _OS_REASONS.get(error.errno or 0) or error.strerror or str(error)
        raise DecodeError(shown, reason) from error
    except ValueError as error:  # a zero byte in the name
        raise DecodeError(shown, f"impossible file name: {error}") from error
    if not head:
        raise DecodeError(shown, "empty: 0 bytes")
    return head


def broken_link(path: str) -> str | None:
    """What a path is that is a symbolic link to nowhere; None if it is no such link.

    Example:
        >>> broken_link(os.devnull) is None
        True
    """
    link = Path(path)
    try:
        link.stat()
    except FileNotFoundError:
        if link.is_symlink():
            return f"a link to {printable(os.fspath(link.readlink()))}, which is not there"
    except OSError:
        pass  # a loop of links, a folder that is closed to us: something else is wrong
    return None


def is_text(head: bytes) -> bool:
    """Whether first bytes are UTF-8 text: a web page saved as a sound, a list of sounds."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # the head may end inside a letter
    except UnicodeDecodeError:
        return False
    return not re.search("[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]", text)


def why_unrecognised(head: bytes) -> str:
    """A reason for a file that no decoder recognises by its first bytes."""
    if not head.strip(b"\0"):
        return "no sound: it begins with nothing but zero bytes"
    if is_text(head):
        start = " ".join(head.decode("utf-8", "ignore").split())[:32]
        return f"text, not sound: it begins with {start!r}"
    return "not a sound format that soundseek knows"


def printable(path: str) -> str:
    r"""A path that any terminal can show: bytes that are no UTF-8 become escapes such as \xff."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _kind_of_file(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")
