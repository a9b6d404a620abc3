"""One index run: scan -> embed -> commit. Whatever has been committed survives Ctrl-C and kill -9.

On the way it is told how fast the run is and how much sound is left, in seconds of sound: a byte of mp3 takes ten times
as long as one of wav, and one file may take an hour.
"""

from __future__ import annotations

import heapq
import json
import math
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path
from types import FrameType
from typing import Any

from soundseek.audio.files import DECODING_REVISION
from soundseek.audio.segments import WINDOW_HOP_S, WINDOW_S
from soundseek.errors import ModelError, Terminated, UsageError
from soundseek.library.ignore import spec_of
from soundseek.library.paths import is_at_or_below, is_url, nearest_folder
from soundseek.library.remote import bucket_of
from soundseek.library.scan import FolderDifference, Found, Status, compare
from soundseek.library.store.base import Changes, EmbeddedSound, Failure, Move, Store
from soundseek.library.windows import WINDOWS
from soundseek.library.workers import (
    Embed,
    EmbedJob,
    LoadModel,
    Outcome,
    Partial,
    Recognised,
    description_of,
    embed_all,
    hash_file,
    now,
)

# A commit costs a few fsyncs; what has not been committed is lost when the process is killed.
COMMIT_FILES, COMMIT_S, COMMIT_BYTES = 256, 2.0, 64 << 20
PROGRESS_EVERY_S = 0.1

MAX_DURATION, EXCLUDE = "max_duration_s", "exclude"
"""Names under which a library remembers these of its last runs."""


@dataclass(frozen=True)
class Progress:
    """How far an index run is.

    Attributes:
        files_done: Files that were embedded, recognised or failed.
        files_total: Files that this run has to look into.
        audio_s: Seconds of sound embedded, of unfinished files as well.
        elapsed_s: Seconds since the run began.
        eta_s: Seconds that are probably left; None at the beginning, while too little is measured.
        x_realtime: Seconds of sound embedded in a second, lately and without the loading of the model; None at the
            beginning.
        current: The file that was just done, or that is being embedded.
        audio_left_s: Seconds of sound that are probably left: by sizes, and what a second takes in each format.
    """

    files_done: int
    files_total: int
    audio_s: float
    elapsed_s: float
    eta_s: float | None
    x_realtime: float | None
    current: str
    audio_left_s: float = 0.0


@dataclass(frozen=True)
class IndexReport:
    """What an index run did.

    Attributes:
        added: New files that went in.
        changed: Known files whose content is another now.
        moved: Files that only changed their path.
        removed: Files that are no longer there.
        unchanged: Files that are as they were.
        failed: Files that could not be embedded, now or in an earlier run and unchanged since.
        audio_s: Seconds of sound embedded.
        elapsed_s: Seconds that the run took.
        cut: Files of which this run embedded only the beginning.
        empty_folders: Named folders without any file that counts as a sound. A new one is not remembered.
        interrupted: True after Ctrl-C; what was embedded until then is committed.
        newly_failed: Of `failed` those that did not fail in the same way before.
        cut_files: Paths of the files of `cut`.
        missing: Files that stay in the library although they are out of reach: their folder or drive is not there.
        missing_folders: What is not there: folders, links that lead nowhere, places where a drive was.
        same_folders: Folders asked for -> the name under which the library has them.
        vanished: Files that were renamed or removed while the run was on; the next one sees to them.
        given_windows: Known files that are as they were and got their window vectors.
        unreachable: Buckets, and folders in them, of `missing_folders` -> why.
    """

    added: int = 0
    changed: int = 0
    moved: int = 0
    removed: int = 0
    unchanged: int = 0
    failed: int = 0
    audio_s: float = 0.0
    elapsed_s: float = 0.0
    cut: int = 0
    empty_folders: tuple[str, ...] = ()
    interrupted: bool = False
    newly_failed: int = 0
    cut_files: tuple[str, ...] = ()
    missing: int = 0
    missing_folders: tuple[str, ...] = ()
    same_folders: Mapping[str, str] = field(default_factory=dict)
    vanished: int = 0
    given_windows: int = 0
    unreachable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Limits:
    """What of the folders goes into a library, as it remembers it from one run to the next.

    Attributes:
        max_duration_s: Of a longer file only the beginning is embedded; infinite without a limit.
        exclude: Patterns of files and folders that are passed by.
        windows: Whether the vectors of short windows are kept, from which moments are told apart.
    """

    max_duration_s: float = math.inf
    exclude: tuple[str, ...] = ()
    windows: bool = False

    @classmethod
    def of(cls, store: Store) -> Limits:
        """What a store remembers."""
        settings = store.settings()
        exclude = json.loads(settings.get(EXCLUDE, "[]"))
        limit_s = float(settings.get(MAX_DURATION, "inf"))
        return cls(limit_s, tuple(map(str, exclude)), WINDOWS in settings)

    def settings(self) -> dict[str, str | None]:
        """These as a store keeps them."""
        limited = math.isfinite(self.max_duration_s)
        return {
            MAX_DURATION: repr(self.max_duration_s) if limited else None,
            EXCLUDE: json.dumps(self.exclude) if self.exclude else None,
            WINDOWS: f"{WINDOW_S:g} s every {WINDOW_HOP_S:g} s" if self.windows else None,
        }


def update(
    store: Store,
    folders: Sequence[str | PathLike[str]],
    load: LoadModel,
    *,
    extensions: Collection[str],
    workers: int = 0,
    embed: Embed = embed_all,
    max_duration_s: float | None = None,
    exclude: Sequence[str] | None = None,
    windows: bool | None = None,
    still_grows: Callable[[str, int], bool] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> IndexReport:
    """Bring a store up to date with some folders.

    Args:
        store: Where the vectors go.
        folders: Folders (or files) to scan; none means the folders of earlier runs.
        load: Makes the model; called once in each worker.
        extensions: Lower-case extensions, with their dot, of the files that count.
        workers: Processes that embed; 0 embeds in this process.
        embed: What embeds, on this machine or on others.
        max_duration_s: Embedding a file stops here; None takes what the store remembers.
        exclude: Patterns of files and folders to pass by, from now on; None takes what the store remembers.
        windows: Keep the vectors of short windows from now on, or no more; None takes what the store remembers.
        still_grows: Whether a file, by path and modification time (ns), is left as it is known for now.
        progress: Is told now and then how far the run is.

    Raises:
        UsageError: None of the folders is there, or a pattern is none.
        LibraryError: Another process is indexing, or the disk is full.
        ModelError: The model cannot be loaded.
    """
    if exclude is not None:
        if "" in exclude:
            raise UsageError("a pattern of files to exclude is empty (an unset variable?); leave it out")
        spec_of(exclude)
    with store.writing(), _CtrlC() as ctrl_c:
        limits = Limits.of(store)
        if max_duration_s is not None:
            limits = replace(limits, max_duration_s=max_duration_s)
        if exclude is not None:
            limits = replace(limits, exclude=tuple(exclude))
        if windows is not None:
            limits = replace(limits, windows=windows)
        run = _Run(store, ctrl_c, limits, Throughput(workers), progress)
        try:
            run.scan(folders, extensions, still_grows)
            run.describe_known()
            with closing(embed(run.jobs(), load, workers=workers, tell=run.show_partial)) as outcomes:
                for job, outcome in outcomes:
                    run.take(job, outcome)
            run.finish()
        except KeyboardInterrupt as stop:
            run.commit(final=True)
            run.interrupted = True
            if isinstance(stop, Terminated):
                raise
        except ModelError:
            run.commit(final=True)
            raise
    return run.report()


class _Run:
    """The state of one run: what is pending, and what has been counted."""

    def __init__(
        self,
        store: Store,
        ctrl_c: _CtrlC,
        limits: Limits,
        throughput: Throughput,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.store = store
        self.ctrl_c = ctrl_c
        self.limits = limits
        self.throughput = throughput
        self.tell = progress
        self.decoders = decoder_versions()
        self.difference = FolderDifference()
        self.gone = Twins({})
        self.lost: Counter[str] = Counter()
        self.sizes: set[int] = set()
        self.gone_by_size: dict[int, set[bytes]] = {}
        self.failed_before: dict[bytes | tuple[str, str], list[Failure]] = {}
        self.work = Work(())
        self.changes = Changes()
        self.counts: Counter[str] = Counter()
        self.cut_files: list[str] = []
        self.windowless: set[str] = set()
        self.interrupted = False
        self.audio_s = 0.0
        self.done_files = 0
        self.began = self.committed = self.told = time.monotonic()

    def scan(
        self,
        folders: Sequence[str | PathLike[str]],
        extensions: Collection[str],
        still_grows: Callable[[str, int], bool] | None,
    ) -> None:
        """Find out what there is to do."""
        self.difference = difference = compare(
            self.store,
            folders,
            extensions=extensions,
            max_duration_s=self.limits.max_duration_s,
            decoders=self.decoders,
            exclude=self.limits.exclude,
            still_grows=still_grows,
            windows=self.limits.windows,
        )
        self.lost = Counter(
            root for root in self.store.roots() for path in difference.lost if is_at_or_below(path, root)
        )
        absent = {**difference.gone, **difference.lost}
        contents = self.store.contents([*absent], self.limits.max_duration_s)
        for path, content_hash in contents.items():
            self.gone_by_size.setdefault(absent[path].size_bytes, set()).add(content_hash)
        self.gone = Twins(contents)
        self.sizes = self.store.sizes()
        for failure in self.store.failures():
            if not (is_url(failure.path) or os.path.lexists(failure.path)):
                self.failed_before.setdefault(_trace_of(failure), []).append(failure)
        self.work = Work((found.path, found.size_bytes) for found in difference.to_embed)
        self.counts["unchanged"] = difference.unchanged
        self.counts["failed"] = difference.still_failing
        for path, reason in difference.no_files.items():
            self._fail(Failure(path, reason, now()))
        for path, reason in difference.unreadable.items():
            self._fail(Failure(path, reason, now()), keep=True)
        self.changes.roots = difference.roots
        self.changes.volumes = difference.volumes
        if self.limits != Limits.of(self.store):
            self.changes.settings = self.limits.settings()
        self.commit()

    def describe_known(self) -> None:
        """Read the tags of files that an earlier soundseek indexed: they are not decoded, and not embedded again."""
        for path in self.difference.to_describe:
            self.changes.descriptions[path] = description_of(path)
            self._count_done(path)
        self.commit()

    def jobs(self) -> Iterator[EmbedJob]:
        """The files that really have to be embedded; those whose content is known are settled on the way."""
        for found in self.difference.to_embed:
            content_hash, recognised = None, frozenset[bytes]()
            if found.status == "windowless":
                self.windowless.add(found.path)
            elif is_url(found.path):  # whoever embeds it hashes it on the way: it is fetched once
                recognised = self._recognised(found)
            elif found.size_bytes in self.sizes and found.status != "longer":
                try:
                    content_hash = hash_file(found.path)
                except OSError:
                    content_hash = None  # embedding it will say why
                if content_hash is not None and self._settle(found, content_hash):
                    self.work.finish(found.path, None)
                    self._count_done(found.path)
                    continue
            self.changes.volumes[found.path] = found.volume
            yield EmbedJob(
                path=found.path,
                size_bytes=found.size_bytes,
                mtime_ns=found.mtime_ns,
                max_duration_s=self.limits.max_duration_s,
                decoders=self.decoders,
                content_hash=content_hash,
                known=found.status != "new",
                windows=self.limits.windows,
                recognised=recognised,
            )

    def _recognised(self, found: Found) -> frozenset[bytes]:
        """Contents of this size with which a file in a bucket can be settled: its own of before, and what is gone."""
        limit_s = self.limits.max_duration_s
        hashes = set[bytes]()
        own = self.store.file(found.path)
        if own is not None and own.suffices(limit_s) and found.status != "longer":
            hashes.add(own.content_hash)
        if not self.limits.windows:
            hashes.update(self.gone_by_size.get(found.size_bytes, ()))
        return frozenset(hashes)

    def _settle(self, found: Found, content_hash: bytes) -> bool:
        """Take in a file without embedding it, if its content is known: True if so."""
        limit_s = self.limits.max_duration_s
        own = self.store.file(found.path)
        if own is not None and own.content_hash == content_hash and own.suffices(limit_s):
            self.changes.touches[found.path] = found.mtime_ns
            self.counts["unchanged"] += 1
        elif (original := self.store.twin(content_hash, limit_s)) is None:
            return False
        elif (old_path := self.gone.take(content_hash, found.path)) is not None:
            self.difference.gone.pop(old_path, None)
            self.difference.lost.pop(old_path, None)
            self.changes.moves.append(Move(old_path, found.path, found.mtime_ns))
            self.counts["moved"] += 1
        else:
            sound = self.store.read(original.path)
            if sound is None or (self.limits.windows and sound.windows is None):
                return False
            file = replace(sound.file, path=found.path, size_bytes=found.size_bytes, mtime_ns=found.mtime_ns)
            self._take_sound(replace(sound, file=file), known=found.status != "new")
        self.changes.volumes[found.path] = found.volume
        return True

    def take(self, job: EmbedJob, outcome: Outcome) -> None:
        """Take in what became of one file."""
        if isinstance(outcome, Recognised):
            status: Status = "touched" if job.known else "new"
            found = Found(job.path, job.size_bytes, job.mtime_ns, status, bucket_of(job.path))
            self.counts["vanished"] += not self._settle(found, outcome.content_hash)
            self.work.finish(job.path, None)
        elif isinstance(outcome, EmbeddedSound):
            duration_s = outcome.file.duration_s
            self._advance(job.path, self.work.finish(job.path, duration_s))
            self._take_sound(outcome, known=job.known)
        else:
            self.work.finish(job.path, None)
            if isinstance(outcome, Failure):
                self._fail(outcome)
            elif outcome.failure is not None:
                self._fail(outcome.failure, keep=True)
            else:
                self.counts["vanished"] += 1
        self._count_done(job.path)

    def show_partial(self, job: EmbedJob, partial: Partial) -> None:
        """Take in how far a file is that is not done yet."""
        self._advance(job.path, self.work.reach(job.path, partial))
        self._show(job.path)

    def _advance(self, path: str, more_s: float) -> None:
        self.audio_s += more_s
        self.throughput.advance(path, more_s, time.monotonic())

    def _fail(self, failure: Failure, *, keep: bool = False) -> None:
        """Note a failure, and whether it is a new one; `keep` where the library keeps what it has of the file."""
        (self.changes.unread if keep else self.changes.failures).append(failure)
        self.counts["failed"] += 1
        before = self.difference.failed_before.get(failure.path) or self._moved_failure(failure)
        is_known = before is not None and (
            before.reason == failure.reason
            or (before.size_bytes, before.mtime_ns) == (failure.size_bytes, failure.mtime_ns) != (0, 0)
        )
        self.counts["newly_failed"] += not is_known

    def _moved_failure(self, failure: Failure) -> Failure | None:
        """The failure of before that this one is, if its file only has another path now; that one is over."""
        same = self.failed_before.get(
            _trace_of(failure)
        )  # several where copies failed, or files without a byte
        if not same:
            return None
        before = same.pop()
        self.changes.resolved.append(before.path)
        return replace(before, reason=failure.reason)

    def _take_sound(self, sound: EmbeddedSound, *, known: bool) -> None:
        self.changes.sounds.append(sound)
        if sound.file.path in self.windowless:
            self.counts["given_windows"] += 1
        else:
            self.counts["changed" if known else "added"] += 1
        if sound.file.truncated:
            self.cut_files.append(sound.file.path)

    def _count_done(self, path: str) -> None:
        self.done_files += 1
        self._show(path)
        is_full = len(self.changes) >= COMMIT_FILES or self.changes.num_bytes >= COMMIT_BYTES
        if is_full or time.monotonic() - self.committed >= COMMIT_S:
            self.commit()

    def finish(self) -> None:
        """Forget what is gone, and tidy up."""
        difference = self.difference
        self.changes.removed = list(difference.gone)
        self.changes.resolved += difference.resolved
        self.counts["removed"] = len(difference.gone)
        self.commit()
        self._forget_empty_roots()
        with self.ctrl_c.held():
            self.store.finish_run(now())
            self.store.compact()

    def _forget_empty_roots(self) -> None:
        """Scan no more what is not there and has nothing left in the library: it was renamed, or was empty anyway."""
        difference = self.difference
        roots = self.store.roots()
        missing = {root for root in roots if not (is_url(root) or os.path.lexists(root))}
        for root in {*missing, *difference.replaced_roots}:
            states, failures = self.store.states(root), self.store.failures(root)
            if root in difference.missing_roots:
                difference.kept[root] = len(states)
            is_moved = self.lost[root] > 0 or root in difference.replaced_roots
            if not states and (is_moved or not (failures or _may_be_unplugged(root, roots[root]))):
                difference.missing_roots.pop(root, None)
                self.changes.forgotten_roots.append(root)
                self.changes.resolved += [failure.path for failure in failures]
        self.commit()

    def commit(self, *, final: bool = False) -> None:
        """Make what is pending durable; Ctrl-C waits until it is."""
        try:
            with self.ctrl_c.held():
                if self.changes:
                    self.store.commit(self.changes)
                    self.changes = Changes()
        except KeyboardInterrupt:
            if not final:
                raise
        self.committed = time.monotonic()

    def _show(self, path: str) -> None:
        at = time.monotonic()
        total = len(self.difference.to_embed) + len(self.difference.to_describe)
        if self.tell is None or (at - self.told < PROGRESS_EVERY_S and self.done_files < total):
            return
        self.told = at
        left_s = self.work.left_s()
        eta_s, speed = self.throughput.eta_s(left_s), self.throughput.x_realtime
        elapsed_s = at - self.began
        self.tell(Progress(self.done_files, total, self.audio_s, elapsed_s, eta_s, speed, path, left_s))

    def report(self) -> IndexReport:
        """What this run did."""
        kept = {place: number for place, number in self.difference.kept.items() if number}
        return IndexReport(
            added=self.counts["added"],
            changed=self.counts["changed"],
            moved=self.counts["moved"],
            removed=self.counts["removed"],
            unchanged=self.counts["unchanged"],
            failed=self.counts["failed"],
            audio_s=self.audio_s,
            elapsed_s=time.monotonic() - self.began,
            cut=len(self.cut_files),
            empty_folders=self.difference.empty,
            interrupted=self.interrupted,
            newly_failed=self.counts["newly_failed"],
            cut_files=tuple(self.cut_files),
            missing=sum(kept.values()),
            missing_folders=tuple(sorted({*kept, *self.difference.missing_roots})),
            same_folders=self.difference.same_folders,
            vanished=self.counts["vanished"],
            given_windows=self.counts["given_windows"],
            unreachable={root: why for root, why in self.difference.missing_roots.items() if is_url(root)},
        )


def _may_be_unplugged(root: str, device: int) -> bool:
    """Whether a folder that is not there was on another file system than what is left of its path: a drive, a card."""
    try:
        return device not in (0, Path(nearest_folder(root)).stat().st_dev)
    except OSError:
        return True


class Twins:
    """Files that are gone, to be recognised by their content where they turn up again.

    Args:
        contents: Path -> hash of the content.
    """

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self._left = set(contents)
        self._by_name: dict[tuple[bytes, str], list[str]] = {}
        self._by_content: dict[bytes, list[str]] = {}
        for path in sorted(contents):  # a sorted list is a heap
            self._by_name.setdefault((contents[path], _name(path)), []).append(path)
            self._by_content.setdefault(contents[path], []).append(path)

    def take(self, content_hash: bytes, path: str) -> str | None:
        """A path that had this content, one of the same file name first; it is not given again."""
        for paths in (self._by_name.get((content_hash, _name(path))), self._by_content.get(content_hash)):
            while paths:
                found = heapq.heappop(paths)
                if found in self._left:
                    self._left.remove(found)
                    return found
        return None


def _name(path: str) -> str:
    return os.path.basename(path)  # noqa: PTH119


class _CtrlC:
    """Ctrl-C, and what else ends a process by an exception, but never in the middle of a commit (main thread only)."""

    def __init__(self) -> None:
        self._is_held = False
        self._pending: int | None = None
        self._former: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def __enter__(self) -> _CtrlC:
        if threading.current_thread() is threading.main_thread():
            for number in {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}:
                former = signal.getsignal(number)
                if callable(former):
                    self._former[number] = former
                    signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, former in self._former.items():
            signal.signal(number, former)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._is_held:
            self._pending = number
        else:
            self._former[number](number, frame)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let signals wait until the block is done."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        if self._pending is not None:
            number, self._pending = self._pending, None
            self._former[number](number, None)


def decoder_versions() -> str:
    """Versions of what reads files: after an update, or with another extra, failed files are tried again."""
    known = [f"decoding {DECODING_REVISION}"]
    for package in ("soundseek", "soundfile", "av"):
        try:
            known.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(known)


# Seconds of sound in a byte, until a file of that kind has told: 44.1 kHz, 16 bit, stereo; half of that; 160 kbit/s.
_UNCOMPRESSED, _LOSSLESS, _LOSSY = 1 / 176_400, 1 / 88_200, 1 / 20_000
_SECONDS_IN_A_BYTE = dict.fromkeys((".wav", ".wave", ".bwf", ".rf64", ".w64", ".aif", ".aiff", ".aifc", ".au", ".snd",
    ".caf"), _UNCOMPRESSED) | dict.fromkeys((".flac", ".ape", ".wv", ".tta"), _LOSSLESS)  # fmt: skip


class Work:
    """How much sound of some files is left to embed, in seconds.

    Args:
        files: Paths and sizes in bytes.
    """

    def __init__(self, files: Iterable[tuple[str, int]]) -> None:
        self._sizes = dict(files)
        self._reached: dict[str, Partial] = {}
        self._bytes_left: Counter[str] = Counter()
        self._learned: dict[str, tuple[float, int]] = {}
        for path, size_bytes in self._sizes.items():
            self._bytes_left[_suffix(path)] += size_bytes

    def reach(self, path: str, partial: Partial) -> float:
        """Note how far a file is; how many seconds more than before."""
        before = self._reached.get(path, Partial(0.0, None))
        self._reached[path] = partial
        return partial.done_s - before.done_s

    def finish(self, path: str, duration_s: float | None) -> float:
        """Note that a file is done, with its length where it was embedded; how many seconds more than before."""
        size_bytes, suffix = self._sizes.pop(path, 0), _suffix(path)
        self._bytes_left[suffix] -= size_bytes
        reached = self._reached.pop(path, Partial(0.0, None))
        if duration_s is None:
            return 0.0
        seconds, num_bytes = self._learned.get(suffix, (0.0, 0))
        self._learned[suffix] = seconds + duration_s, num_bytes + size_bytes
        return duration_s - reached.done_s

    def left_s(self) -> float:
        """Seconds of sound that are probably left."""
        left = sum(number * self._rate(suffix) for suffix, number in self._bytes_left.items())
        for path, partial in self._reached.items():
            guessed = self._sizes[path] * self._rate(_suffix(path))
            left += max(0.0, (partial.stated_s or guessed) - partial.done_s) - guessed
        return max(0.0, left)

    def _rate(self, suffix: str) -> float:
        seconds, num_bytes = self._learned.get(suffix, (0.0, 0))
        return seconds / num_bytes if num_bytes else _SECONDS_IN_A_BYTE.get(suffix, _LOSSY)


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()  # noqa: PTH122


# What was measured half a minute ago counts half: sounds that are as quick to read follow each other, folder by folder.
HALF_LIFE_S = 30.0
# Before so much is measured, the time left is a guess not worth showing.
FEWEST_REPORTS, SHORTEST_S = 2, 2.0


def _trace_of(failure: Failure) -> bytes | tuple[str, str]:
    """What a failure is known by under another path: its content, or what it is where none could be read (a link)."""
    return failure.content_hash or (os.path.basename(failure.path), failure.reason)  # noqa: PTH119


class Throughput:
    """Seconds of sound embedded in a second, measured once every worker has told of a file.

    Before that, the model is being loaded and all workers are at the beginning of their first files: a rate from the
    start of the run would be far too low, and one from the first file on too high.

    Args:
        workers: Files that are embedded at the same time.
    """

    def __init__(self, workers: int) -> None:
        self._workers = max(1, workers)
        self._begun: set[str] = set()
        self._reports = 0
        self._last = 0.0
        self._measured_s = 0.0
        self._seconds = self._audio_s = 0.0

    def advance(self, path: str, audio_s: float, at: float) -> None:
        """More of a file has been embedded, or all of it.

        Args:
            path: The file.
            audio_s: Seconds of sound since it was told of last.
            at: Now, in seconds on a clock that never goes back.
        """
        passed_s, self._last = at - self._last, at
        if len(self._begun) < self._workers:
            self._begun.add(path)
            return
        self._reports += 1
        kept = 0.5 ** (passed_s / HALF_LIFE_S)
        self._measured_s += passed_s
        self._seconds = self._seconds * kept + passed_s
        self._audio_s = self._audio_s * kept + audio_s

    def eta_s(self, left_s: float) -> float | None:
        """Seconds that so much sound will probably take; None as long as too little is measured."""
        if self._reports < FEWEST_REPORTS or self._measured_s < SHORTEST_S or not self._audio_s:
            return None
        return self._seconds * left_s / self._audio_s

    @property
    def x_realtime(self) -> float | None:
        """Seconds of sound embedded in a second; None before anything is measured."""
        return self._audio_s / self._seconds if self._seconds else None
