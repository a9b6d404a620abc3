"""Folders against the store: what is new, changed, failed before, gone, or out of reach. No sound is opened.

A file that is not found has been removed, or lies on a drive that is not there now. It counts as gone only if the
file system that it was on is the one that its folder is on today; otherwise it is kept.
"""

from __future__ import annotations

import errno
import os
import stat
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from soundseek.audio.files import SYSTEM_FOLDERS, broken_link
from soundseek.errors import UsageError
from soundseek.library.ignore import IGNORE_FILE, Ignored, excluded
from soundseek.library.paths import absolute, is_at_or_below, is_url, known_as, nearest_folder, on_disk
from soundseek.library.remote import bucket_of, look_at, read_remote, remote_files
from soundseek.library.store.base import Failure, FileState, Store
from soundseek.library.volumes import Volumes

# Paths stay strings and os.path functions in this file: a Path object per file would halve its speed.
# ruff: noqa: PTH110, PTH112, PTH116, PTH118, PTH120, PTH123, PTH208

Status: TypeAlias = Literal["new", "changed", "touched", "longer", "windowless"]
_LARGEST = 2**63 - 1  # of an SQLite integer: a damaged file system may say that it is the year 2446


@dataclass(frozen=True)
class Found:
    """A file that has to be looked into.

    Attributes:
        path: Absolute path.
        size_bytes: Its size now.
        mtime_ns: Its modification time now, as far as 64 bits reach (1677 to 2262).
        status: "new"; "changed": the path is known, with another size; "touched": only the time is another,
            so the content may be the same; "longer": it was cut, and more of it may be embedded now; "windowless": it
            is as it was, and its window vectors are missing.
        volume: The file system that its folder is on.
    """

    path: str
    size_bytes: int
    mtime_ns: int
    status: Status = "new"
    volume: str = ""


@dataclass
class FolderDifference:
    """How some folders differ from the store.

    Attributes:
        to_embed: New and changed files, ordered by path.
        gone: Paths in the store that are no longer there -> their states.
        lost: The same for files of scanned folders that are no longer there: they stay, unless they are found again
            in another place.
        kept: Folder -> number of files in the store that are out of reach: the folder, or the drive that it was on, is
            not there.
        unchanged: Files that are as they were.
        to_describe: Paths of those of them whose tags were never read, or not as they are read today.
        still_failing: Files that failed before and are as they were.
        failed_before: Path -> failure, of all that is scanned.
        unreadable: Folders and links that cannot be read, whose known files stay in the store.
        no_files: What is named as a sound and is no file.
        resolved: Paths of failures that are over, or whose files no longer exist.
        roots: The scanned folders -> device numbers, without new ones that are empty: those may be mistyped.
        replaced_roots: Folders of earlier runs that are scanned under another name now.
        missing_roots: Folders asked for that are not there, or buckets that do not answer -> why.
        same_folders: Folders asked for -> the name under which they are scanned.
        empty: The folders asked for in which there is no sound.
        volumes: Path -> file system, of unchanged files that were on another one, or one not known.
    """

    to_embed: list[Found] = field(default_factory=list)
    gone: dict[str, FileState] = field(default_factory=dict)
    lost: dict[str, FileState] = field(default_factory=dict)
    kept: Counter[str] = field(default_factory=Counter)
    unchanged: int = 0
    to_describe: list[str] = field(default_factory=list)
    still_failing: int = 0
    failed_before: dict[str, Failure] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    no_files: dict[str, str] = field(default_factory=dict)
    resolved: list[str] = field(default_factory=list)
    roots: dict[str, int] = field(default_factory=dict)
    replaced_roots: list[str] = field(default_factory=list)
    missing_roots: dict[str, str] = field(default_factory=dict)
    same_folders: dict[str, str] = field(default_factory=dict)
    empty: tuple[str, ...] = ()
    volumes: dict[str, str] = field(default_factory=dict)


def compare(
    store: Store,
    folders: Sequence[str | os.PathLike[str]],
    *,
    extensions: Iterable[str],
    max_duration_s: float,
    decoders: str = "",
    exclude: Sequence[str] = (),
    still_grows: Callable[[str, int], bool] | None = None,
    windows: bool = False,
) -> FolderDifference:
    """Walk the folders and compare path, size and modification time with the store.

    Args:
        store: What is known.
        folders: Folders or single files; none means those of earlier runs.
        extensions: Lower-case extensions, with their dot, of the files that count.
        max_duration_s: A file that was cut at less than this is embedded again.
        decoders: Versions of what reads files; a failure under other versions is tried again.
        exclude: Patterns of files and folders that do not count.
        still_grows: Whether a file, by path and modification time (ns), is left as the store has it for now.
        windows: Files without window vectors are embedded again.

    Raises:
        UsageError: None of the folders asked for is there, or there is none to scan.
    """
    difference = FolderDifference()
    earlier = store.roots()
    roots = _find_roots(store, folders, earlier, difference)
    walk = _Walk(frozenset(extensions), exclude)
    for root in roots:
        walk.enter(root)
    difference.no_files = walk.no_files
    difference.replaced_roots = walk.met_elsewhere(set(earlier).difference(difference.missing_roots))
    roots = {root: device for root, device in roots.items() if root not in difference.replaced_roots}
    known: dict[str, FileState] = {}
    failed: dict[str, Failure] = {}
    for root in (*roots, *difference.replaced_roots):
        known |= store.states(root)
        failed |= {failure.path: failure for failure in store.failures(root)}
    difference.failed_before = dict(failed)
    out_of_reach = _OutOfReach(walk, known)
    windowless = store.without_windows() if windows else set()
    for path in sorted(walk.found):
        size, mtime_ns, volume = walk.found[path]
        state, failure = known.pop(path, None), failed.pop(path, None)
        if still_grows is not None and still_grows(path, mtime_ns):
            continue
        _place(
            difference,
            Found(path, size, mtime_ns, "windowless" if path in windowless else "new", volume),
            state,
            failure,
            max_duration_s,
            decoders,
        )
    # A known file behind a link that leads nowhere is out of reach, and no failure.
    difference.unreadable = {path: why for path, why in walk.unreadable.items() if path not in known}
    for path, state in known.items():
        if place := out_of_reach.why_kept(path, state):
            difference.kept[place] += 1
        else:
            difference.gone[path] = state
    named = {*walk.unreadable, *walk.no_files}
    difference.resolved += [path for path in failed if path not in named and not walk.is_closed(path)]
    _find_lost(store, difference, earlier, walk)
    met = sorted([*walk.found, *walk.unreadable, *walk.no_files, *difference.kept])
    difference.empty = tuple(root for root in roots if walk.is_folder(root) and not _any_at(root, met))
    difference.roots = {
        root: device
        for root, device in roots.items()
        if walk.is_folder(root) and (root in earlier or root not in difference.empty)
    }
    return difference


def sounds_below(path: str, extensions: Iterable[str], exclude: Sequence[str] = ()) -> list[str]:
    """The sound files of a folder and the folders below it, in order; of a file, itself.

    What an index run passes by is passed by here as well.

    Args:
        path: Absolute.
        extensions: Lower-case extensions, with their dot, of the files that count.
        exclude: Patterns of files and folders that do not.
    """
    if not os.path.isdir(path):
        return [path]
    walk = _Walk(frozenset(extensions), exclude)
    walk.enter(path)
    return sorted(walk.found)


def hold_no_sound(
    folders: Sequence[str | os.PathLike[str]], extensions: Iterable[str], exclude: Sequence[str] = ()
) -> bool:
    """Whether some folders, all of them there, have nothing that an index run would look at, or name as unreadable.

    Args:
        folders: As an index run takes them.
        extensions: Lower-case extensions, with their dot, of the files that count.
        exclude: Patterns of files and folders that do not.
    """
    walk = _Walk(frozenset(extensions), exclude)
    for folder in folders:
        path = on_disk(absolute(folder))
        if not os.path.isdir(path) and not is_url(path):
            return False
        walk.enter(path)
        if walk.found or walk.unreadable or walk.no_files:
            return False
    return True


def check_folders(folders: Sequence[str | os.PathLike[str]]) -> None:
    """Check folders or files before a library is made for them.

    Raises:
        UsageError: One is empty text, or none of them is there.
    """
    missing = {}
    for folder in folders:
        path = on_disk(absolute(folder, "a folder to index"))
        try:
            look_at(path) if is_url(path) else os.stat(path)
        except OSError as error:
            missing[path] = _why_missing(path, error)
    if folders and len(missing) == len({on_disk(absolute(folder)) for folder in folders}):
        raise UsageError(_missing_message(missing))


def _place(
    difference: FolderDifference,
    found: Found,
    state: FileState | None,
    failure: Failure | None,
    max_duration_s: float,
    decoders: str,
) -> None:
    """Put a file that is there under what has to be done with it."""
    known_failure = None if failure is None else (failure.size_bytes, failure.mtime_ns, failure.decoders)
    if state is None:
        if known_failure == (found.size_bytes, found.mtime_ns, decoders):
            difference.still_failing += 1
        else:
            difference.to_embed.append(found)
        return
    if 0 < state.limit_s < max_duration_s:
        status: Status = "longer"
    elif (state.size_bytes, state.mtime_ns) == (found.size_bytes, found.mtime_ns):
        if found.status == "windowless":
            difference.to_embed.append(found)
            return
        difference.unchanged += 1
        if not state.is_described and not is_url(
            found.path
        ):  # a bucket's files are not fetched for tags alone
            difference.to_describe.append(found.path)
        if state.volume != found.volume:
            difference.volumes[found.path] = found.volume
        if failure is not None:
            difference.resolved.append(found.path)
        return
    else:
        status = "touched" if state.size_bytes == found.size_bytes else "changed"
    difference.to_embed.append(Found(found.path, found.size_bytes, found.mtime_ns, status, found.volume))


# --- Which folders ------------------------------------------------------------------------------------------------


def _find_roots(
    store: Store,
    folders: Sequence[str | os.PathLike[str]],
    earlier: Mapping[str, int],
    difference: FolderDifference,
) -> dict[str, int]:
    """Absolute roots -> device numbers, with earlier roots that lie inside them; notes those that are missing.

    Raises:
        UsageError: None is there, or there is none to scan.
    """
    wanted = [on_disk(absolute(folder, "a folder to index")) for folder in folders] or list(earlier)
    if not wanted:
        raise UsageError(f"{store.location} has no folders yet; name one: soundseek index FOLDER")
    roots: dict[str, int] = {}
    # Of two names of one folder, that of an earlier run counts, then the one without a link in it.
    for root in sorted(wanted, key=lambda path: (path not in earlier, path != os.path.realpath(path))):
        try:
            device = _device_of(root)
        except OSError as error:
            if store.file(root) is not None and os.path.isdir(os.path.dirname(root)):
                roots[root] = 0  # a single file of an earlier run is gone, but its folder is there
            else:
                difference.missing_roots[root] = _why_missing(root, error)
            continue
        others = [each for each in (*roots, *earlier) if each != root and not is_at_or_below(root, each)]
        other = None if root in earlier else known_as(root, others)
        if other is None:
            roots[root] = device
        else:
            difference.same_folders[root] = other
            roots[other] = device
    if folders and not roots:
        raise UsageError(_missing_message(difference.missing_roots))
    # An earlier root inside a hidden folder of a root would not be met on the way: it is walked on its own.
    for root, device in earlier.items():
        is_folder = is_url(root) or os.path.isdir(root)
        if root not in roots and is_folder and any(is_at_or_below(root, outer) for outer in roots):
            roots[root] = device
    return roots


def _device_of(root: str) -> int:
    """The device number of a root; 0 of one in a bucket.

    Raises:
        OSError: It is not there.
    """
    if not is_url(root):
        return os.stat(root).st_dev
    look_at(root)
    return 0


def _why_missing(path: str, error: OSError) -> str:
    return broken_link(path) or error.strerror or str(error)


def _missing_message(missing: Mapping[str, str]) -> str:
    told = "; ".join(f"{path} cannot be scanned ({why})" for path, why in missing.items())
    if any(map(is_url, missing)):
        return (
            f"{told}; are the address and the credentials right (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, "
            "AWS_ENDPOINT_URL)? Nothing was changed"
        )
    return f"{told}; is its drive there? Nothing was changed"


def _any_at(root: str, paths: Sequence[str]) -> bool:
    """True if one of the sorted paths is a root or lies below it; those below stand together."""
    inside = os.path.join(root, "")
    return any(
        place < len(paths) and (paths[place] == root or paths[place].startswith(inside))
        for place in (bisect_left(paths, root), bisect_left(paths, inside))
    )


# --- What is in them ----------------------------------------------------------------------------------------------


class _Folder(NamedTuple):
    """A folder to list: its path, the same without links, its file system, and what is passed by in it."""

    path: str
    real: str
    volume: str
    ignored: Ignored


class _Walk:
    """The sound files below some roots.

    Attributes:
        found: Path -> size in bytes, modification time in ns, and the file system of its folder.
        unreadable: Path of a folder or a sound file that cannot be looked at -> why.
        no_files: Path of what is named as a sound and is a pipe, a socket or a device -> what it is.
        broken: Links that lead nowhere, whatever their names.
        volumes: Roots, linked folders and mount points that were walked -> their file systems.
        mount_points: Those of them at which a file system begins.
    """

    def __init__(self, extensions: frozenset[str], exclude: Sequence[str]) -> None:
        self.extensions = extensions
        self.exclude = exclude
        self.found: dict[str, tuple[int, int, str]] = {}
        self.unreadable: dict[str, str] = {}
        self.no_files: dict[str, str] = {}
        self.broken: set[str] = set()
        self.volumes: dict[str, str] = {}
        self.mount_points: set[str] = set()
        self._file_systems = Volumes()
        self._visited: dict[tuple[int, int], str] = {}

    def enter(self, root: str) -> None:
        """Walk one root: real folders first, so that a file has its real path; each folder once."""
        if is_url(root):
            self._enter_bucket(root)
            return
        if not os.path.isdir(root):
            parent = os.path.dirname(root)
            volume = self._begin(parent, os.path.realpath(parent)) if os.path.isdir(parent) else ""
            if os.path.exists(root):
                self._look(root, os.stat(root), volume)
            return
        folders = [self._folder(root, excluded(self.exclude, root))]
        linked: list[_Folder] = []
        while folders or linked:
            if not folders:
                linked.sort(key=lambda folder: folder.path, reverse=True)
                folders.append(linked.pop())
            folder = folders.pop()
            try:
                status = os.stat(folder.path)
                if (status.st_dev, status.st_ino) not in self._visited:
                    self._visited[status.st_dev, status.st_ino] = folder.path
                    self._list(folder, folders, linked)
            except OSError as error:
                self.unreadable[folder.path] = f"the folder cannot be read: {error.strerror}"

    def is_folder(self, root: str) -> bool:
        """Whether a root that was walked is a folder."""
        return root not in self.found if is_url(root) else os.path.isdir(root)

    def _enter_bucket(self, root: str) -> None:
        """All that lies below a URL, in one listing; or the one file at it."""
        try:
            listed = remote_files(root)
        except OSError as error:
            self.unreadable[root] = f"the folder cannot be read: {error.strerror}"
            return
        self.volumes[root] = volume = bucket_of(root)
        patterns: dict[str, Ignored] = {}

        def ignored_in(folder: str) -> Ignored:
            if folder not in patterns:
                outer = (
                    excluded(self.exclude, root) if folder == root else ignored_in(os.path.dirname(folder))
                )
                path = f"{folder}/{IGNORE_FILE}"
                if path in listed:
                    outer = self._with_patterns(outer, folder, path, read_remote)
                patterns[folder] = outer
            return patterns[folder]

        for path in sorted(listed):
            *folders, name = path[len(root) :].split("/")[1:] or [path]
            hidden = any(each.startswith(".") for each in (*folders, name))
            of_system = any(each.casefold() in SYSTEM_FOLDERS for each in folders)
            is_sound = name[name.rfind(".") :].lower() in self.extensions
            if path != root and (hidden or of_system or not is_sound):
                continue
            if path == root or not ignored_in(os.path.dirname(path)).covers(path, is_folder=False):
                size_bytes, mtime_ns = listed[path]
                self.found[path] = size_bytes, min(max(mtime_ns, -_LARGEST), _LARGEST), volume

    def met_elsewhere(self, folders: Iterable[str]) -> list[str]:
        """Those of some folders that were walked under other names."""
        found = []
        for folder in folders:
            try:
                status = os.stat(folder)
            except OSError:
                continue
            name = self._visited.get((status.st_dev, status.st_ino), folder)
            if name != folder and not is_at_or_below(folder, name):
                found.append(folder)
        return found

    def is_closed(self, path: str) -> bool:
        """Whether a path is or lies below something that cannot be looked at now."""
        return self.closed_by(path) is not None

    def closed_by(self, path: str) -> str | None:
        """The link that leads nowhere, or the folder that cannot be read, which a path lies below (or is)."""
        if not self.broken and not self.unreadable:
            return None
        while True:
            if path in self.broken or path in self.unreadable:
                return path
            above = os.path.dirname(path)
            if above == path:
                return None
            path = above

    def _folder(self, path: str, ignored: Ignored) -> _Folder:
        real = os.path.realpath(path)
        return _Folder(path, real, self._begin(path, real), ignored)

    def _begin(self, path: str, real: str) -> str:
        """The file system of a folder at which another one may begin."""
        try:
            volume = self._file_systems.name(real)
        except OSError:
            return ""  # listing it will say why
        self.volumes[path] = volume
        if self._file_systems.is_mount_point(real):
            self.mount_points.add(path)
        return volume

    def _list(self, folder: _Folder, folders: list[_Folder], linked: list[_Folder]) -> None:
        with os.scandir(folder.path) as opened:
            entries = list(opened)
        ignored = folder.ignored
        if any(entry.name == IGNORE_FILE for entry in entries):
            ignored = self._with_file(folder)
        for entry in entries:
            name = entry.name
            if name.startswith("."):
                continue
            is_named_as_sound = name[name.rfind(".") :].lower() in self.extensions
            try:
                is_folder = entry.is_dir()
                if ignored and ignored.covers(entry.path, is_folder=is_folder):
                    continue
                if is_folder:
                    if name.casefold() not in SYSTEM_FOLDERS:
                        self._add(folder, entry, ignored, linked if entry.is_symlink() else folders)
                elif is_named_as_sound:
                    self._look(entry.path, entry.stat(), folder.volume)
                elif entry.is_symlink() and not os.path.exists(entry.path):
                    self.broken.add(entry.path)
            except OSError as error:  # a broken link, or one that leads to itself
                self.broken.add(entry.path)
                if is_named_as_sound:
                    self.unreadable[entry.path] = _why_unreadable(entry.path, error)

    def _add(self, parent: _Folder, entry: os.DirEntry[str], ignored: Ignored, to: list[_Folder]) -> None:
        if entry.is_symlink():
            to.append(self._folder(entry.path, ignored))
            return
        real = os.path.join(parent.real, entry.name)
        volume = parent.volume
        if self._file_systems.is_mount_point(real):
            volume = self._begin(entry.path, real)
        to.append(_Folder(entry.path, real, volume, ignored))

    def _with_file(self, folder: _Folder) -> Ignored:
        path = os.path.join(folder.path, IGNORE_FILE)
        return self._with_patterns(folder.ignored, folder.path, path, _read)

    def _with_patterns(
        self, ignored: Ignored, folder: str, path: str, read: Callable[[str], bytes]
    ) -> Ignored:
        try:
            return ignored.within(folder, read(path))
        except (OSError, UsageError) as error:
            self.unreadable[path] = f"what it says is not followed: {error}"
            return ignored

    def _look(self, path: str, status: os.stat_result, volume: str) -> None:
        if stat.S_ISREG(status.st_mode):
            mtime_ns = min(max(status.st_mtime_ns, -_LARGEST), _LARGEST)
            self.found[path] = status.st_size, mtime_ns, volume
        else:
            self.no_files[path] = "no regular file (a pipe, a socket or a device)"


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _why_unreadable(path: str, error: OSError) -> str:
    link = broken_link(path) if error.errno == errno.ENOENT else None
    return f"it is {link}" if link else f"cannot be read: {error.strerror}"


# --- What is not there --------------------------------------------------------------------------------------------


class _OutOfReach:
    """Tells files that are gone from those on a drive that is not there.

    Args:
        walk: What was found.
        known: What the store knows of the same folders.
    """

    def __init__(self, walk: _Walk, known: Mapping[str, FileState]) -> None:
        self.walk = walk
        self._empty: dict[str, bool] = {}
        counted = Counter(state.volume for state in known.values())
        # A file system may have another name after a restart. If most of what was on it is found on another one, that
        # is it; a second card at the same place has other files.
        found = Counter(
            (state.volume, walk.found[path][2])
            for path, state in known.items()
            if path in walk.found and walk.found[path][0] == state.size_bytes
        )
        self._is_same = {pair for pair, number in found.items() if 2 * number > counted[pair[0]]}
        self._is_there = {volume for volume, _ in found}

    def why_kept(self, path: str, state: FileState) -> str | None:
        """What is not there: the link, the folder or the drive that a path lies below; None if the file is gone."""
        if closed := self.walk.closed_by(path):
            return closed
        above = os.path.dirname(path)
        place = above
        while place not in self.walk.volumes:
            up = os.path.dirname(place)
            if up == place:
                return None
            place = up
        now = self.walk.volumes[place]
        if not state.volume:  # a library of before: an empty folder may be a mount point
            return above if self._is_empty(above) else None
        if state.volume == now:
            # Cards of one reader can bear one name: another one has none of the files.
            is_other_card = place in self.walk.mount_points and state.volume not in self._is_there
            return place if is_other_card else None
        return None if (state.volume, now) in self._is_same else above

    def _is_empty(self, folder: str) -> bool:
        if folder not in self._empty:
            try:
                self._empty[folder] = not os.listdir(folder)
            except OSError:
                self._empty[folder] = False
        return self._empty[folder]


def _find_lost(store: Store, difference: FolderDifference, earlier: Mapping[str, int], walk: _Walk) -> None:
    """Note what lay in folders of earlier runs that are not there: kept, but to be found again in another place."""
    volumes = Volumes()
    there = set(walk.volumes.values())
    for root in {
        *difference.missing_roots,
        *(each for each in earlier if not (is_url(each) or os.path.lexists(each))),
    }:
        states = store.states(root)
        if root in difference.missing_roots:
            difference.kept[root] += len(states)
        if is_url(root):  # a bucket that does not answer is there all the same
            continue
        try:
            # The folder is gone, and its drive is there; or it is the drive that is there, under another name.
            alive = {"", volumes.name(os.path.realpath(nearest_folder(root))), *there}
        except OSError:
            alive = there
        difference.lost |= {path: state for path, state in states.items() if state.volume in alive}
