"""Folders that are watched: the library follows what happens in them, a file only once it has stopped growing.

Events (`watchfiles`) say which files to look at and when; what became of them an index run finds out, so that moves,
copies, failures and drives that go are what they are there. Now and then all is scanned again, for what no event told
of: network drives, buckets, and what happened while a folder was not there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from soundseek.errors import LibraryError, UsageError
from soundseek.library.ignore import IGNORE_FILE
from soundseek.library.paths import is_there, is_url

if TYPE_CHECKING:
    from soundseek.library.index import IndexReport
    from soundseek.library.library import Library
    from soundseek.library.store.base import FileState

# A str per event: folders that are copied in bring thousands.
# ruff: noqa: PTH110, PTH119, PTH122

SETTLED_S = 3.0
RESCAN_S = 600.0
# A bucket that did not answer is asked again after so long; a folder is looked for more often.
_BUCKET_WAITS_S = 30.0
_TICK_S = 0.5

Events: TypeAlias = Callable[[Sequence[str]], Iterator[Iterable[str]]]
"""Folders -> the paths that something happened to, again and again; an empty one now and then when nothing did."""
Index: TypeAlias = "Callable[[Callable[[str, int], bool], bool], IndexReport]"
"""One run: is told which files still grow, by path and modification time in ns, and whether buckets are listed too."""


@dataclass
class FolderWatch:
    """Keeps a library current with some folders.

    Attributes:
        library: The library.
        folders: Absolute paths on this machine; none where only buckets are followed, by scanning them.
        say: Is told one line for each change.
        index: Brings the folders up to date.
        settled_s: A file counts once nothing has happened to it for so long.
        rescan_s: All folders are scanned again after so long.
        clock: Seconds that only grow.
        now: Seconds since 1970, which the times of files are compared with.
    """

    library: Library
    folders: Sequence[str]
    say: Callable[[str], None]
    index: Index
    settled_s: float = SETTLED_S
    rescan_s: float = RESCAN_S
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    _touched: dict[str, float] = field(default_factory=dict)
    _scan_at: float = -float("inf")
    _retry_at: float = float("inf")
    _last_trouble: str = ""
    _absent: frozenset[str] = frozenset()

    def run(self, events: Events) -> None:
        """Follow events until they end; a folder that comes or goes begins the watching anew."""
        while True:
            there = self._folders_that_are_there()
            # The first look comes with the first events, maybe none: what happens during it is an event already.
            for paths in events(there):
                if self.take(paths):
                    return
                if self._folders_that_are_there() != there:
                    self._scan_at = self.clock()
                    break
            else:
                return

    def take(self, paths: Iterable[str]) -> bool:
        """Note what something happened to, and index where it is time; True if the run was stopped (Ctrl-C)."""
        at = self.clock()
        for path in paths:
            if self.counts(path):
                self._touched[path] = at
        # Of a file that grows all the time the last event counts: nothing is scanned on its account before it stops.
        settles_at = min(self._touched.values(), default=float("inf")) + self.settled_s
        return at >= min(self._scan_at, self._retry_at, settles_at) and self._index()

    def counts(self, path: str) -> bool:
        """Whether an event can matter to a library: of a sound, of a folder or what was one, of a list of patterns."""
        from soundseek.audio.decode import AUDIO_EXTENSIONS

        name = os.path.basename(path)
        ending = os.path.splitext(name)[1].lower()
        return name == IGNORE_FILE or (not name.startswith(".") and ending in {*AUDIO_EXTENSIONS, ""})

    def still_grows(self, path: str, mtime_ns: int) -> bool:
        """Whether something has happened to a file just now: by its events, or by its modification time."""
        if is_url(path):  # what a bucket lists is whole
            return False
        if self._touched.get(path, -float("inf")) + self.settled_s > self.clock():
            return True
        # A time in the future (another machine's clock) is no sign of growth.
        is_fresh = 0 <= self.now() - mtime_ns / 1e9 < self.settled_s
        if is_fresh and path not in self._touched:
            self._touched[path] = self.clock()
            return True
        return False

    def _index(self) -> bool:
        began = self.clock()
        is_rescan = began >= self._scan_at
        self._retry_at = float("inf")
        if is_rescan:  # events do not put it off: they tell nothing of buckets
            self._scan_at = began + self.rescan_s
        before = _Known.of(self.library)
        try:
            report = self.index(self.still_grows, is_rescan)
        except (UsageError, LibraryError) as error:  # all folders are gone, or somebody else is writing
            if str(error) != self._last_trouble:
                self.say(f"waiting: {error}")
            self._last_trouble = str(error)
            if self.folders:  # these are looked for soon, and no bucket is asked for that
                self._retry_at = self.clock() + min(self.rescan_s, self.settled_s)
            if is_rescan:
                waits_s = max(self.settled_s, _BUCKET_WAITS_S)
                self._scan_at = self.clock() + min(self.rescan_s, waits_s)
            self._touched.clear()
            return False
        self._last_trouble = ""
        for line in _Known.of(self.library).news_since(before):
            self.say(line)
        not_asked = () if is_rescan else filter(is_url, self._absent)
        self._say_what_is_absent(frozenset([*report.missing_folders, *not_asked]), report.unreachable)
        # This run has looked at what had settled when it began; what still grew is looked at again.
        self._touched = {path: when for path, when in self._touched.items() if began - when < self.settled_s}
        return report.interrupted

    def _say_what_is_absent(self, absent: frozenset[str], unreachable: Mapping[str, str]) -> None:
        """A line for each drive, link, folder or bucket that went away or came back since the last look."""
        for folder in sorted(absent - self._absent):
            if folder in unreachable:
                self.say(f"absent   {folder}: {unreachable[folder]}; what the library has of it stays")
            else:
                self.say(
                    f"absent   {folder}: what the library has of it stays, and is no hit until it is there again"
                )
        for folder in sorted(self._absent - absent):
            if is_there(folder):
                self.say(f"back     {folder}")
        self._absent = absent

    def _folders_that_are_there(self) -> list[str]:
        return [folder for folder in self.folders if os.path.exists(folder)]


@dataclass(frozen=True)
class _Known:
    """What a library knows of its files."""

    files: dict[str, FileState]
    failures: dict[str, str]

    @classmethod
    def of(cls, library: Library) -> _Known:
        """All of it."""
        states: dict[str, FileState] = {}
        for root in library.store.roots():
            states |= library.store.states(root)
        return cls(states, {failure.path: failure.reason for failure in library.failures()})

    def news_since(self, before: _Known) -> Iterator[str]:
        """A line for each file that came, changed, moved, went or failed, by path."""
        # A file that is renamed keeps its size and its time to the nanosecond.
        gone = {_trace(state): path for path, state in before.files.items() if path not in self.files}
        lines: dict[str, str] = {}
        for path, state in self.files.items():
            earlier = before.files.get(path)
            if earlier is None:
                origin = gone.pop(_trace(state), None)
                lines[path] = f"added    {path}" if origin is None else f"moved    {origin} -> {path}"
            elif _trace(earlier) != _trace(state):
                lines[path] = f"changed  {path}"
        lines |= {path: f"gone     {path}" for path in gone.values()}
        for path, reason in self.failures.items():
            if before.failures.get(path) != reason:
                lines[path] = f"failed   {path}: {reason}"
        return iter(lines[path] for path in sorted(lines))


def _trace(state: FileState) -> tuple[int, int]:
    return state.size_bytes, state.mtime_ns


def folder_events(folders: Sequence[str]) -> Iterator[Iterable[str]]:
    """What happens below some folders, as the operating system tells it; ends on Ctrl-C."""
    if not folders:
        while True:
            time.sleep(_TICK_S)
            yield ()
    import watchfiles

    changes = watchfiles.watch(
        *folders,
        watch_filter=None,
        debounce=int(1000 * _TICK_S),
        rust_timeout=int(1000 * _TICK_S),
        yield_on_timeout=True,
        ignore_permission_denied=True,
    )
    try:
        for change in changes:
            yield [path for _, path in change]
    except FileNotFoundError:  # it went between the look and the watching
        yield ()
