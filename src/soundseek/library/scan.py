"""Folders on disk against the store: what is new, changed, failed before, or gone. No file is opened here."""

from __future__ import annotations

import errno
import os
import stat
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from soundseek.audio.files import broken_link
from soundseek.errors import UsageError
from soundseek.library.store.base import Failure, FileState, VectorStore

# Paths stay strings and os.path functions in this file: a Path object per file would halve its speed.
# ruff: noqa: PTH100, PTH110, PTH111, PTH112, PTH116, PTH118, PTH119, PTH120, PTH208


Status: TypeAlias = Literal["new", "changed", "touched", "longer"]


@dataclass(frozen=True)
class Found:
    """A file that has to be looked into.

    Attributes:
        path: Absolute path.
        size_bytes: Its size now.
        mtime_ns: Its modification time now.
        status: "new"; "changed": the path is known, with another size; "touched": only the time is another,
            so the content may be the same; "longer": it was cut, and more of it may be heard now.
    """

    path: str
    size_bytes: int
    mtime_ns: int
    status: Status = "new"


@dataclass
class Difference:
    """How some folders differ from the store.

    Attributes:
        to_hear: New and changed files, ordered by path.
        gone: Paths in the store that are no longer there -> their states.
        unchanged: Files that are as they were.
        still_failing: Files that failed before and are as they were.
        unreadable: Folders and links that cannot be read, whose known files stay in the store, and folders with the
            name of a sound file.
        healed: Paths of failures that no longer exist.
        roots: The scanned folders -> device numbers, without new ones that are empty: those may be mistyped.
        empty: The folders asked for in which there is no sound.
    """

    to_hear: list[Found] = field(default_factory=list)
    gone: dict[str, FileState] = field(default_factory=dict)
    unchanged: int = 0
    still_failing: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    healed: list[str] = field(default_factory=list)
    roots: dict[str, int] = field(default_factory=dict)
    empty: tuple[str, ...] = ()


def compare(
    store: VectorStore,
    folders: Sequence[str | os.PathLike[str]],
    *,
    extensions: Iterable[str],
    max_duration_s: float,
    decoders: str = "",
) -> Difference:
    """Walk the folders and compare path, size and modification time with the store.

    Args:
        store: What is known.
        folders: Folders or single files; none means those of earlier runs.
        extensions: Lower-case extensions, with their dot, of the files that count.
        max_duration_s: A file that was cut at less than this is heard again.
        decoders: Versions of what reads files; a failure under other versions is tried again.

    Raises:
        UsageError: A folder does not exist, or is empty and on another drive than before.
    """
    roots = _check_roots(store, folders)
    walk = _Walk(frozenset(extensions))
    for root in roots:
        walk.enter(root)
    difference = Difference(unreadable=walk.unreadable | walk.misnamed)
    earlier = store.roots()
    met = walk.met()
    difference.empty = tuple(root for root in roots if os.path.isdir(root) and not _any_at(root, met))
    difference.roots = {
        root: device
        for root, device in roots.items()
        if os.path.isdir(root) and (root in earlier or root not in difference.empty)
    }
    known: dict[str, FileState] = {}
    failed: dict[str, Failure] = {}
    for root in roots:
        known |= store.states(root)
        failed |= {failure.path: failure for failure in store.failures(root)}
    for path in sorted(walk.found):
        size, mtime_ns = walk.found[path]
        state, failure = known.pop(path, None), failed.pop(path, None)
        if failure is not None and (failure.size_bytes, failure.mtime_ns, failure.decoders) == (
            size, mtime_ns, decoders,
        ):  # fmt: skip
            difference.still_failing += 1
        elif state is None:
            difference.to_hear.append(Found(path, size, mtime_ns))
        elif 0 < state.limit_s < max_duration_s:
            difference.to_hear.append(Found(path, size, mtime_ns, "longer"))
        elif (state.size_bytes, state.mtime_ns) == (size, mtime_ns):
            difference.unchanged += 1
        else:
            status: Status = "touched" if state.size_bytes == size else "changed"
            difference.to_hear.append(Found(path, size, mtime_ns, status))
    closed = tuple(path + os.sep for path in walk.unreadable)
    difference.gone = {path: state for path, state in known.items() if not path.startswith(closed)}
    difference.healed = [p for p in failed if p not in difference.unreadable and not p.startswith(closed)]
    return difference


def _check_roots(store: VectorStore, folders: Sequence[str | os.PathLike[str]]) -> dict[str, int]:
    """Absolute roots -> device numbers, with earlier roots that lie inside them."""
    earlier = store.roots()
    wanted = [os.path.abspath(os.path.expanduser(os.fspath(folder))) for folder in folders] or list(earlier)
    if not wanted:
        raise UsageError(f"{store.location} has no folders yet; name one: soundseek index FOLDER")
    roots = {}
    for root in wanted:
        try:
            roots[root] = os.stat(root).st_dev
        except OSError as error:
            if store.file(root) is not None and os.path.isdir(os.path.dirname(root)):
                roots[root] = 0  # a single file of an earlier run is gone, but its folder is there
                continue
            why = broken_link(root) or error.strerror
            others = "" if folders or len(wanted) < 2 else "; name the others to go on without it"
            raise UsageError(
                f"{root} cannot be scanned ({why}); is its drive there? Nothing was changed{others}"
            ) from error
        if root in earlier and earlier[root] != roots[root] and os.path.isdir(root) and not os.listdir(root):
            raise UsageError(
                f"{root} is empty and on another drive than before; is its drive there? Nothing was changed"
            )
    # An earlier root inside a hidden folder of a root would not be met on the way: it is walked on its own.
    for root, device in earlier.items():
        if (
            root not in roots
            and any(root.startswith(outer + os.sep) for outer in roots)
            and os.path.isdir(root)
        ):
            roots[root] = device
    return roots


def _any_at(root: str, paths: Sequence[str]) -> bool:
    """True if one of the sorted paths is a root or lies below it; those below stand together."""
    inside = os.path.join(root, "")
    return any(
        place < len(paths) and (paths[place] == root or paths[place].startswith(inside))
        for place in (bisect_left(paths, root), bisect_left(paths, inside))
    )


class _Walk:
    """The sound files below some roots.

    Attributes:
        found: Path -> size in bytes and modification time in ns.
        unreadable: Path of a folder or a sound file that cannot be looked at -> why.
        misnamed: Path of a folder with the name of a sound file -> what it is; it is walked all the same.
    """

    def __init__(self, extensions: frozenset[str]) -> None:
        self.extensions = extensions
        self.found: dict[str, tuple[int, int]] = {}
        self.unreadable: dict[str, str] = {}
        self.misnamed: dict[str, str] = {}

    def enter(self, root: str) -> None:
        """Walk one root: real folders first, so that a file has its real path; each folder once."""
        if not os.path.isdir(root):
            if os.path.exists(root):
                self._look(root, os.stat(root))
            return
        visited: set[tuple[int, int]] = set()
        folders, linked = [root], list[str]()
        while folders or linked:
            if not folders:
                linked.sort(reverse=True)
                folders.append(linked.pop())
            folder = folders.pop()
            try:
                status = os.stat(folder)
                if (status.st_dev, status.st_ino) not in visited:
                    visited.add((status.st_dev, status.st_ino))
                    self._list(folder, folders, linked)
            except OSError as error:
                self.unreadable[folder] = f"the folder cannot be read: {error.strerror}"

    def met(self) -> list[str]:
        """Paths of the sounds and of what could not be looked at, sorted."""
        return sorted([*self.found, *self.unreadable, *self.misnamed])

    def _list(self, folder: str, folders: list[str], linked: list[str]) -> None:
        extensions = self.extensions
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith("."):
                    continue
                try:
                    is_named_as_sound = name[name.rfind(".") :].lower() in extensions
                    if entry.is_dir():
                        (linked if entry.is_symlink() else folders).append(entry.path)
                        if is_named_as_sound:
                            self.misnamed[entry.path] = (
                                "a folder, not a sound file; what lies in it is indexed"
                            )
                    elif is_named_as_sound:
                        self._look(entry.path, entry.stat())
                except OSError as error:  # a broken link, or one that leads to itself
                    if name[name.rfind(".") :].lower() in extensions:
                        self.unreadable[entry.path] = _why_unreadable(entry.path, error)

    def _look(self, path: str, status: os.stat_result) -> None:
        if stat.S_ISREG(status.st_mode):
            self.found[path] = status.st_size, status.st_mtime_ns
        else:
            self.unreadable[path] = "no regular file (a pipe, a socket or a device)"


def _why_unreadable(path: str, error: OSError) -> str:
    link = broken_link(path) if error.errno == errno.ENOENT else None
    return f"it is {link}" if link else f"cannot be read: {error.strerror}"


def gone_twin(gone: Mapping[str, FileState], candidates: Iterable[str], name: str) -> str | None:
    """Which of the candidates is gone, one of the same file name first; None if all are still there."""
    there = [path for path in candidates if path in gone]
    return min(there, key=lambda path: (os.path.basename(path) != os.path.basename(name), path), default=None)
