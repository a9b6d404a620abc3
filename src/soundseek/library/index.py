"""One index run: scan -> hear -> commit. Whatever has been committed survives Ctrl-C and kill -9.

How fast an index run hears, and the time that is left: from bytes, the one measure that is known beforehand.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from types import FrameType

from soundseek.audio.files import DECODING_REVISION
from soundseek.errors import ModelError
from soundseek.library.scan import Difference, Found, compare, gone_twin
from soundseek.library.store.base import Changes, Failure, Move, Sound, SoundFile, VectorStore
from soundseek.library.workers import Job, LoadHear, hash_file, hear_all, now

# A commit costs a few fsyncs; what has not been committed is lost when the process is killed.
COMMIT_FILES, COMMIT_S, COMMIT_BYTES = 256, 2.0, 64 << 20
PROGRESS_EVERY_S = 0.1


@dataclass(frozen=True)
class Progress:
    """How far an index run is.

    Attributes:
        files_done: Files that were heard, recognised or failed.
        files_total: Files that this run has to look into.
        audio_s: Seconds of sound heard.
        elapsed_s: Seconds since the run began.
        eta_s: Seconds that are probably left; None at the beginning, while too little is measured.
        x_realtime: Seconds of sound heard in a second, lately and without the loading of the model; None at the
            beginning.
        current: The file that was just done.
    """

    files_done: int
    files_total: int
    audio_s: float
    elapsed_s: float
    eta_s: float | None
    x_realtime: float | None
    current: str


@dataclass(frozen=True)
class IndexReport:
    """What an index run did.

    Attributes:
        added: New files that went in.
        changed: Known files whose content is another now.
        moved: Files that only changed their path.
        removed: Files that are no longer there.
        unchanged: Files that are as they were.
        failed: Files that could not be heard, now or in an earlier run and unchanged since.
        audio_s: Seconds of sound heard.
        elapsed_s: Seconds that the run took.
        cut: Files of which only the beginning was heard.
        empty_folders: Named folders without any file that counts as a sound. A new one is not remembered.
        interrupted: True after Ctrl-C; what was heard until then is committed.
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


def update(
    store: VectorStore,
    folders: Sequence[str | PathLike[str]],
    load: LoadHear,
    *,
    extensions: Collection[str],
    workers: int = 0,
    max_duration_s: float = 3600.0,
    progress: Callable[[Progress], None] | None = None,
) -> IndexReport:
    """Bring a store up to date with some folders.

    Args:
        store: Where the vectors go.
        folders: Folders (or files) to scan; none means the folders of earlier runs.
        load: Makes the hearing function; called once in each worker.
        extensions: Lower-case extensions, with their dot, of the files that count.
        workers: Processes that hear; 0 hears in this process.
        max_duration_s: Hearing a file stops here.
        progress: Is told now and then how far the run is.

    Raises:
        UsageError: A folder is missing.
        LibraryError: Another process is indexing, or the disk is full.
        ModelError: The model cannot be loaded.
    """
    with store.writing(), _CtrlC() as ctrl_c:
        run = _Run(store, ctrl_c, max_duration_s, Pace(workers), progress)
        try:
            run.scan(folders, extensions)
            with closing(hear_all(run.jobs(), load, workers=workers)) as outcomes:
                for job, outcome in outcomes:
                    run.take(job, outcome)
            run.finish()
        except KeyboardInterrupt:
            run.commit(final=True)
            run.interrupted = True
        except ModelError:
            run.commit(final=True)
            raise
    return run.report()


class _Run:
    """The state of one run: what is pending, and what has been counted."""

    def __init__(
        self,
        store: VectorStore,
        ctrl_c: _CtrlC,
        max_duration_s: float,
        pace: Pace,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.store = store
        self.ctrl_c = ctrl_c
        self.max_duration_s = max_duration_s
        self.pace = pace
        self.tell = progress
        self.decoders = decoder_versions()
        self.difference = Difference()
        self.sizes: set[int] = set()
        self.changes = Changes()
        self.counts: Counter[str] = Counter()
        self.interrupted = False
        self.audio_s = 0.0
        self.done_files = self.done_bytes = self.total_bytes = 0
        self.began = self.committed = self.told = time.monotonic()

    def scan(self, folders: Sequence[str | PathLike[str]], extensions: Collection[str]) -> None:
        """Find out what there is to do."""
        self.difference = compare(
            self.store,
            folders,
            extensions=extensions,
            max_duration_s=self.max_duration_s,
            decoders=self.decoders,
        )
        self.sizes = self.store.sizes()
        self.total_bytes = sum(found.size_bytes for found in self.difference.to_hear)
        self.counts["unchanged"] = self.difference.unchanged
        self.counts["failed"] = self.difference.still_failing + len(self.difference.unreadable)
        seen_at = now()
        self.changes.failures = [
            Failure(path, reason, seen_at) for path, reason in self.difference.unreadable.items()
        ]
        self.changes.roots = self.difference.roots
        self.commit()

    def jobs(self) -> Iterator[Job]:
        """The files that really have to be heard; those whose content is known are settled on the way."""
        for found in self.difference.to_hear:
            content_hash = None
            if found.size_bytes in self.sizes and found.status != "longer":
                try:
                    content_hash = hash_file(found.path)
                except OSError:
                    content_hash = None  # hearing it will say why
                if content_hash is not None and self._settle(found, content_hash):
                    self._count_done(found.path, found.size_bytes)
                    continue
            yield Job(
                path=found.path,
                size_bytes=found.size_bytes,
                mtime_ns=found.mtime_ns,
                max_duration_s=self.max_duration_s,
                decoders=self.decoders,
                content_hash=content_hash,
                known=found.status != "new",
            )

    def _settle(self, found: Found, content_hash: bytes) -> bool:
        """Take in a file without hearing it, if its content has been heard before: True if so."""
        originals = {
            file.path: file for file in self.store.same_content(content_hash) if self._is_whole(file)
        }
        if found.path in originals:
            self.changes.touches[found.path] = found.mtime_ns
            self.counts["unchanged"] += 1
            return True
        old_path = gone_twin(self.difference.gone, originals, found.path)
        if old_path is not None:
            del self.difference.gone[old_path]
            self.changes.moves.append(Move(old_path, found.path, found.mtime_ns))
            self.counts["moved"] += 1
            return True
        for path in originals:
            sound = self.store.read(path)
            if sound is not None and sound.file.content_hash == content_hash:
                file = replace(
                    sound.file, path=found.path, size_bytes=found.size_bytes, mtime_ns=found.mtime_ns
                )
                self._take_sound(replace(sound, file=file), known=found.status != "new")
                return True
        return False

    def _is_whole(self, file: SoundFile) -> bool:
        return not file.truncated or file.limit_s >= self.max_duration_s

    def take(self, job: Job, outcome: Sound | Failure) -> None:
        """Take in what became of one file."""
        if isinstance(outcome, Failure):
            self.changes.failures.append(outcome)
            self.counts["failed"] += 1
        else:
            self.audio_s += outcome.file.duration_s
            self.pace.heard(job.size_bytes, outcome.file.duration_s, time.monotonic())
            self._take_sound(outcome, known=job.known)
        self._count_done(job.path, job.size_bytes)

    def _take_sound(self, sound: Sound, *, known: bool) -> None:
        self.changes.sounds.append(sound)
        self.counts["changed" if known else "added"] += 1
        self.counts["cut"] += sound.file.truncated

    def _count_done(self, path: str, size_bytes: int) -> None:
        self.done_files += 1
        self.done_bytes += size_bytes
        self._show(path)
        is_full = len(self.changes) >= COMMIT_FILES or self.changes.num_bytes >= COMMIT_BYTES
        if is_full or time.monotonic() - self.committed >= COMMIT_S:
            self.commit()

    def finish(self) -> None:
        """Forget what is gone, and tidy up."""
        self.changes.removed = [*self.difference.gone, *self.difference.healed]
        self.counts["removed"] = len(self.difference.gone)
        self.commit()
        with self.ctrl_c.held():
            self.store.finish_run(now())
            self.store.compact()

    def commit(self, *, final: bool = False) -> None:
        """Make what is pending durable; Ctrl-C waits until it is."""
        try:
            with self.ctrl_c.held():
                if len(self.changes) or self.changes.roots:
                    self.store.commit(self.changes)
                    self.changes = Changes()
        except KeyboardInterrupt:
            if not final:
                raise
        self.committed = time.monotonic()

    def _show(self, path: str) -> None:
        at = time.monotonic()
        total = len(self.difference.to_hear)
        if self.tell is None or (at - self.told < PROGRESS_EVERY_S and self.done_files < total):
            return
        self.told = at
        left_s = self.pace.left_s(self.total_bytes - self.done_bytes)
        speed = self.pace.x_realtime
        self.tell(Progress(self.done_files, total, self.audio_s, at - self.began, left_s, speed, path))

    def report(self) -> IndexReport:
        """What this run did."""
        return IndexReport(
            added=self.counts["added"],
            changed=self.counts["changed"],
            moved=self.counts["moved"],
            removed=self.counts["removed"],
            unchanged=self.counts["unchanged"],
            failed=self.counts["failed"],
            audio_s=self.audio_s,
            elapsed_s=time.monotonic() - self.began,
            cut=self.counts["cut"],
            empty_folders=self.difference.empty,
            interrupted=self.interrupted,
        )


class _CtrlC:
    """Ctrl-C as KeyboardInterrupt, but never in the middle of a commit (only the main thread gets it)."""

    def __init__(self) -> None:
        self._is_held = False
        self._is_pending = False
        self._is_ours = False

    def __enter__(self) -> _CtrlC:
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
            self._is_ours = True
        return self

    def __exit__(self, *exception: object) -> None:
        if self._is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._is_held:
            raise KeyboardInterrupt
        self._is_pending = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let Ctrl-C wait until the block is done."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        if self._is_pending:
            self._is_pending = False
            raise KeyboardInterrupt


def decoder_versions() -> str:
    """Versions of what reads files: after an update, or with another extra, failed files are tried again."""
    known = [f"decoding {DECODING_REVISION}"]
    for package in ("soundseek", "soundfile", "av"):
        try:
            known.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(known)


# Sounds of different formats follow each other folder by folder, and a byte of MP3 takes ten times as long as one of
# WAV: what was measured half a minute ago counts half.
HALF_LIFE_S = 30.0
# Before so much is measured, the time left is a guess not worth showing.
FEWEST_FILES, SHORTEST_S = 2, 2.0


class Pace:
    """Bytes and seconds of sound heard in a second, measured once every worker has heard a file.

    Before that, the model is being loaded and all workers are at the beginning of their first files: a rate from the
    start of the run would be far too low, and one from the first file on too high.

    Args:
        workers: Files that are heard at the same time.
    """

    def __init__(self, workers: int) -> None:
        self._before = max(1, workers)
        self._files = 0
        self._last = 0.0
        self._measured_s = 0.0
        self._seconds = self._bytes = self._audio_s = 0.0

    def heard(self, size_bytes: int, audio_s: float, at: float) -> None:
        """A file has been heard.

        Args:
            size_bytes: Its size.
            audio_s: Its length.
            at: Now, in seconds on a clock that never goes back.
        """
        self._files += 1
        passed_s, self._last = at - self._last, at
        if self._files <= self._before:
            return
        kept = 0.5 ** (passed_s / HALF_LIFE_S)
        self._measured_s += passed_s
        self._seconds = self._seconds * kept + passed_s
        self._bytes = self._bytes * kept + size_bytes
        self._audio_s = self._audio_s * kept + audio_s

    def left_s(self, size_bytes: int) -> float | None:
        """Seconds that so many bytes will probably take; None as long as too little is measured."""
        if self._files < self._before + FEWEST_FILES or self._measured_s < SHORTEST_S or not self._bytes:
            return None
        return self._seconds * size_bytes / self._bytes

    @property
    def x_realtime(self) -> float | None:
        """Seconds of sound heard in a second; None before anything is measured."""
        return self._audio_s / self._seconds if self._seconds else None
