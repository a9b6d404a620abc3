"""Paths as people give them: absolute, not empty, and found although their letters are composed otherwise."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable

from soundseek.errors import UsageError

# A Path would lose a name that is no UTF-8, and these functions are called for every file of a library.
# ruff: noqa: PTH100, PTH110, PTH111, PTH118, PTH208, PTH112, PTH116, PTH120


_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)


def is_url(path: str) -> bool:
    """Whether a path is a place in a bucket, such as s3://bucket/rain.wav, and none of this machine."""
    return _URL.fullmatch(path) is not None


def is_there(path: str) -> bool:
    """Whether something is at a path; a bucket is not asked: what an index run found in it counts as there."""
    return is_url(path) or os.path.exists(path)


def absolute(path: str | os.PathLike[str], name: str = "the path") -> str:
    """A path from the root, with `~` resolved, links kept and no separator at its end; a URL stays one.

    Args:
        path: As it was given.
        name: What it is, for the message.

    Raises:
        UsageError: It is empty or holds a zero byte, it is relative and the current folder has been deleted, or it is
            a URL without a bucket.
    """
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"{name} is a path, such as 'sounds/dog.wav', not {path!r:.60}")
    given = os.fspath(path)
    if not given:
        raise UsageError(f"{name} is empty (an unset variable?); give a path, or . for the current folder")
    if "\0" in given:
        raise UsageError(f"{name} {given!r} holds a zero byte; give the path of a file or folder")
    if url := _URL.fullmatch(given):
        scheme, place = url[1].lower(), url[2].rstrip("/")
        if scheme == "file" or not place or place.startswith("/"):
            raise UsageError(
                f"{name} {given} names no bucket; write s3://BUCKET/FOLDER, or a path of this machine"
            )
        return f"{scheme}://{place}"
    try:
        return os.path.abspath(os.path.expanduser(given))
    except FileNotFoundError:
        raise UsageError(
            f"{name} {given} is relative, and the current folder has been deleted; go to another one (cd), "
            "or give a path that begins with /"
        ) from None


def on_disk(path: str) -> str:
    """An absolute path as the disk spells it, where only the composition of its letters is another (NFC, NFD)."""
    if path.isascii() or is_url(path) or os.path.lexists(path):
        return path
    folder, name = os.path.split(path)
    if not name:
        return path
    folder = on_disk(folder)
    wanted = unicodedata.normalize("NFC", name)
    try:
        twins = [each for each in os.listdir(folder) if unicodedata.normalize("NFC", each) == wanted]
    except OSError:
        twins = []
    return os.path.join(folder, min(twins, default=name))


def is_at_or_below(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies in it."""
    return path == folder or path.startswith(os.path.join(folder, ""))


def nearest_folder(path: str) -> str:
    """The nearest folder above a path that is there."""
    above = os.path.dirname(path)
    while not os.path.isdir(above) and above != os.path.dirname(above):
        above = os.path.dirname(above)
    return above


def moved_below(path: str, old: str, new: str) -> str:
    """The place of something at or below `old` once `old` is `new`; either may be the root of a disk.

    >>> moved_below("/sfx/rain.wav", "/sfx", "/new"), moved_below("/sfx/rain.wav", "/sfx", "/")
    ('/new/rain.wav', '/rain.wav')
    >>> moved_below("/sfx/rain.wav", "/", "/old"), moved_below("/sfx", "/sfx", "/new")
    ('/old/sfx/rain.wav', '/new')
    """
    inside = path[len(os.path.join(old, "")) :]
    return os.path.join(new, inside) if inside else new


def known_as(path: str, folders: Iterable[str]) -> str | None:
    """The path under which something lies below one of some folders, which may be links to it; None if it does not.

    Args:
        path: An absolute path.
        folders: Absolute paths of folders, or of links to folders.
    """
    if is_url(path):
        return None
    identities = {}
    for folder in folders:
        try:
            status = os.stat(folder)
        except OSError:
            continue
        identities[status.st_dev, status.st_ino] = folder
    above, inside = os.path.realpath(path), list[str]()
    while identities:
        try:
            status = os.stat(above)
            if name := identities.get((status.st_dev, status.st_ino)):
                return os.path.join(name, *reversed(inside))
        except OSError:
            pass
        parent, name = os.path.split(above)
        if parent == above:
            return None
        above = parent
        inside.append(name)
    return None
