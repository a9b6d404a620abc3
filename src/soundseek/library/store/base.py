"""What a store keeps and answers: the rows that cross its boundary, and what it refuses.

Paths are `str` as `os.fsdecode` makes them, so that a name that is not valid UTF-8 survives the round trip.
"""

from __future__ import annotations

import math
import shlex
import threading
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

import numpy as np

from soundseek._typing import AnyFloatArray, AnyIntArray
from soundseek._vectors import unit_rows
from soundseek.audio.segments import plan_windows
from soundseek.errors import LibraryError, UsageError
from soundseek.library.location import engine_of

if TYPE_CHECKING:
    from sqlite3 import Connection

    from soundseek.library.filters import Condition
    from soundseek.model.model import AudioEmbedding

Per = Literal["file", "segment"]
ScoredBy = Literal["moments", "mean"]
"""Segments by their best moments as well, as words are searched for; or by their means alone, as example sounds are."""
FileOrder = Literal["path", "modified", "duration"]


class NoLibraryError(LibraryError, UsageError):
    """There is no library at a location (yet)."""


@dataclass(frozen=True)
class ModelIdentity:
    """Which model filled a library.

    Attributes:
        name: Name of the model, for people.
        fingerprint: Changes whenever the vectors that the model gives sounds could.
        dim: Width of its vectors.
        source: Where `load_model` finds it again (a name or a directory); empty when unknown.
    """

    name: str
    fingerprint: str
    dim: int
    source: str = ""


@dataclass(frozen=True)
class Description:
    """What a file says of itself, and how loud it is.

    Attributes:
        tags: Names in lower case, as "scene", and their texts.
        bit_depth: Bits of a sample; None of a lossy file.
        loudness_dbfs: Root mean square of its samples in decibels below full scale; None of a file that was embedded
            before loudness was measured.
        clock_s: Seconds after midnight at which the recording began; None where the file does not say.
        date: The day of the recording, ISO 8601; None where the file does not say.
    """

    tags: tuple[tuple[str, str], ...] = ()
    bit_depth: int | None = None
    loudness_dbfs: float | None = None
    clock_s: float | None = None
    date: str | None = None

    def clock_at(self, at_s: float) -> str | None:
        """When a moment of the file was recorded, `2023-06-14T23:59:58.500`; without its day where that is not known.

        Args:
            at_s: Seconds from the file's beginning.

        >>> Description(clock_s=86398.0, date="2023-06-14").clock_at(3.25)
        '2023-06-15T00:00:01.250'
        >>> Description(clock_s=36000.0).clock_at(1), Description().clock_at(1)
        ('10:00:01.000', None)
        """
        if self.clock_s is None:
            return None
        day = datetime.fromisoformat(self.date) if self.date is not None else datetime(2000, 1, 1)
        moment = day + timedelta(milliseconds=round((self.clock_s + at_s) * 1000))
        text = moment.isoformat(timespec="milliseconds")
        return text if self.date is not None else text.partition("T")[2]


@dataclass(frozen=True)
class SoundFile:
    """What a library knows of one file, beside its vectors.

    Attributes:
        path: Absolute path.
        size_bytes: Size when it was embedded.
        mtime_ns: Modification time when it was embedded, nanoseconds since 1970.
        content_hash: blake2b-128 of its bytes.
        format: Container (and codec), as "WAV" or "OGG/VORBIS".
        sample_rate_hz: The file's own rate.
        channels: The file's own channels.
        duration_s: Decoded seconds.
        truncated: True when embedding stopped at the longest duration asked for.
        frame_s: Seconds a frame covers.
        limit_s: The longest duration asked for when it was embedded; infinite where there was no limit.
        description: What it says of itself; None of a file that an earlier soundseek indexed, until the next run.
    """

    path: str
    size_bytes: int
    mtime_ns: int
    content_hash: bytes
    format: str
    sample_rate_hz: int
    channels: int
    duration_s: float
    truncated: bool
    frame_s: float
    limit_s: float = math.inf
    description: Description | None = None

    @property
    def tags(self) -> dict[str, str]:
        """What its tags say, by name: {"scene": "12", "take": "3"}; texts of one name are joined by semicolons."""
        found: dict[str, str] = {}
        for name, text in self.description.tags if self.description is not None else ():
            found[name] = f"{found[name]}; {text}" if name in found else text
        return found

    def suffices(self, limit_s: float) -> bool:
        """Whether nothing more of it would be embedded with this limit."""
        return not self.truncated or self.limit_s >= limit_s


@dataclass(frozen=True, eq=False)
class EmbeddedSound:
    """One file and its embedding: what a store takes in.

    Attributes:
        file: The file.
        times_s: `(segments, 2)` start and end of each segment.
        vectors: `(segments, dim)` unit norm.
        frames: `(frames, dim)` projected frames, not normalised.
        spans: `(segments, 2)` the frames `[a, b)` of each segment, whose vector is their mean at unit norm.
        windows: `(windows, dim)` unit norm, of the short windows of `plan_windows`, where the library keeps these; None
            where it does not.
    """

    file: SoundFile
    times_s: AnyFloatArray
    vectors: AnyFloatArray
    frames: AnyFloatArray
    spans: AnyIntArray
    windows: AnyFloatArray | None = None

    @classmethod
    def of_rows(
        cls,
        file: SoundFile,
        times_s: AnyFloatArray,
        vectors: AnyFloatArray,
        rows: AnyFloatArray,
        spans: AnyIntArray,
    ) -> EmbeddedSound:
        """A sound out of what a store has written; `rows` are those of `rows`."""
        frames, windows = frames_and_windows(rows, int(spans[:, 1].max(initial=0)), file.duration_s)
        return cls(file, times_s, vectors, frames, spans, windows if len(windows) else None)

    @property
    def rows(self) -> AnyFloatArray:
        """`(frames + windows, dim)` float16: what a store writes of both, the windows behind the frames."""
        frames = self.frames.astype(np.float16, copy=False)
        return frames if self.windows is None else np.concatenate([frames, self.windows.astype(np.float16)])

    def embedding(self) -> AudioEmbedding:
        """The same as a model gives it."""
        from soundseek.audio.decode import AudioInfo
        from soundseek.audio.segments import Segment
        from soundseek.model.model import AudioEmbedding

        file = self.file
        info = AudioInfo(
            file.path,
            file.format,
            file.sample_rate_hz,
            file.channels,
            file.duration_s,
            truncated=file.truncated,
        )
        segments = tuple(Segment(start_s, end_s) for start_s, end_s in self.times_s.tolist())
        vectors, frames = unit_rows(self.vectors.astype(np.float32)), self.frames.astype(np.float16)
        windows = None if self.windows is None else unit_rows(self.windows.astype(np.float32))
        return AudioEmbedding(
            info, segments, vectors, frames, self.spans.astype(np.int64), file.frame_s, windows
        )


def frames_and_windows(
    rows: AnyFloatArray, num_frames: int, duration_s: float
) -> tuple[AnyFloatArray, AnyFloatArray]:
    """What a store has of a file, `(rows, dim)`, as frames and the vectors of its windows, none or all.

    Args:
        rows: As `EmbeddedSound.rows` has them.
        num_frames: Up to where its segments reach. Rows behind it that are not as many as there are windows are frames.
        duration_s: Length of the file.
    """
    at = num_frames if keeps_windows(len(rows), num_frames, duration_s) else len(rows)
    return rows[:at], rows[at:]


def keeps_windows(num_rows: int, num_frames: int, duration_s: float) -> bool:
    """Whether windows are among the rows of a file whose segments reach up to `num_frames`."""
    return num_rows > num_frames and num_rows - num_frames == len(plan_windows(duration_s))


@dataclass(frozen=True)
class Failure:
    """A file (or folder) that could not be taken in.

    Attributes:
        path: The file.
        reason: What is wrong with it.
        seen_at: When it was tried, ISO 8601 in UTC.
        size_bytes: Its size then; with `mtime_ns`, an unchanged file is not tried again.
        mtime_ns: Its modification time then.
        decoders: Versions of what tried to read it; another stamp is worth another try.
        content_hash: Of its bytes then, by which it is known again under another path; empty where nobody read them.
    """

    path: str
    reason: str
    seen_at: str
    size_bytes: int = 0
    mtime_ns: int = 0
    decoders: str = ""
    content_hash: bytes = b""


@dataclass(frozen=True)
class FileState:
    """What a rescan compares without opening a file.

    Attributes:
        size_bytes: Size when it was embedded.
        mtime_ns: Modification time then.
        limit_s: Where a longer file was cut; 0 for one that was embedded to its end.
        volume: The file system that its folder was on, as `volumes.py` names it; empty where that is not known.
        is_described: Its tags were read as they are read today.
    """

    size_bytes: int
    mtime_ns: int
    limit_s: float = 0.0
    volume: str = ""
    is_described: bool = True


@dataclass(frozen=True)
class Move:
    """The same content under another path: no vector changes."""

    old_path: str
    path: str
    mtime_ns: int


@dataclass
class Changes:
    """What one transaction does: all of it, or nothing.

    Attributes:
        sounds: Files to insert, or to replace when their path is known.
        moves: Files that only changed their path.
        touches: Path -> new modification time (ns) of files whose content is the same.
        removed: Paths to forget: their vectors and their failures.
        failures: Files that could not be read; a failed path loses its vectors.
        unread: Failures whose path keeps its vectors: what is wrong is the way to the file, not the file.
        resolved: Paths whose failures are over; their vectors stay.
        volumes: Path -> the file system that it is on now.
        descriptions: Path -> what the file says of itself; a loudness that is known stays where this has none.
        roots: Scanned folder -> device number of the file system it was on.
        forgotten_roots: Folders that are scanned no more.
        settings: What the library remembers of its runs; None forgets a value.
    """

    sounds: list[EmbeddedSound] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    touches: dict[str, int] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    unread: list[Failure] = field(default_factory=list)
    resolved: list[str] = field(default_factory=list)
    volumes: dict[str, str] = field(default_factory=dict)
    descriptions: dict[str, Description] = field(default_factory=dict)
    roots: dict[str, int] = field(default_factory=dict)
    forgotten_roots: list[str] = field(default_factory=list)
    settings: dict[str, str | None] = field(default_factory=dict)

    def __len__(self) -> int:
        """Files that change; a run commits when there are many."""
        failed = len(self.failures) + len(self.unread)
        changed = len(self.sounds) + len(self.moves) + len(self.touches) + len(self.removed)
        return changed + len(self.descriptions) + failed

    def __bool__(self) -> bool:
        """Whether anything changes at all."""
        return any(getattr(self, each.name) for each in fields(self))

    @property
    def num_bytes(self) -> int:
        """Memory that the arrays of this change hold."""
        return sum(
            sound.vectors.nbytes
            + sound.frames.nbytes
            + (0 if sound.windows is None else sound.windows.nbytes)
            for sound in self.sounds
        )


@dataclass(frozen=True, eq=False)
class Match:
    """One segment that a search found.

    Attributes:
        file: Its file.
        start_s: Where it starts in the file.
        end_s: Where it ends.
        score: Inner product of the query and the segment's vector.
        frames: `(frames, dim)` float16, its projected frames, not normalised.
        bonus: What its file's name adds to the score where hits are ranked; see `fused.py`.
        keywords: Words of the query that the file's name, folder or tags hold.
    """

    file: SoundFile
    start_s: float
    end_s: float
    score: float
    frames: AnyFloatArray
    bonus: float = 0.0
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoreStats:
    """Totals of a store: what `soundseek info` says; of an index that is not exact, in words how far it is."""

    files: int
    segments: int
    audio_s: float
    bytes_on_disk: int
    failures: int
    truncated: int
    unmeasured: int
    last_indexed: str | None
    approximate: str = "the engine's own"


@dataclass(frozen=True)
class Facets:
    """Values that occur among the files of a store.

    Attributes:
        formats: The most frequent first.
        sample_rates_hz: The lowest first.
        longest_s: Length of the longest file.
    """

    formats: tuple[str, ...]
    sample_rates_hz: tuple[int, ...]
    longest_s: float


@dataclass(frozen=True)
class Damage:
    """Something in a library that is not as it was written.

    Attributes:
        path: The sound whose vectors are damaged, or a file (a table) of the library itself.
        what: What is wrong with it.
        is_sound: Whether `path` is a sound: embedding it again mends it.
    """

    path: str
    what: str
    is_sound: bool


@dataclass(frozen=True)
class NameQuery:
    """What names and tags are asked for.

    Attributes:
        typed: The query as it was typed: a name, perhaps.
        texts: It, and what it was read as, in words that may be of names; each file counts by the one that its words
            answer best.
        is_all: Files that have none of the words are no hits.
    """

    typed: str
    texts: tuple[str, ...]
    is_all: bool = False


@dataclass(frozen=True)
class Question:
    """What is compared with a library, and which of its sounds may answer.

    Attributes:
        vector: `(dim,)` float32.
        where: Only files that fulfil it.
        leave_out: Paths that do not answer (the examples of the query).
        only: Paths that may answer; None lets all.
        names: What names and tags add; None lets the sound alone decide.
    """

    vector: AnyFloatArray
    where: Condition | None = None
    leave_out: Collection[str] = ()
    only: Collection[str] | None = None
    names: NameQuery | None = None


class Store(ABC):
    """Where the vectors and facts of a library are kept: one writer at a time, any number of readers.

    Threads may share one; it is equal to itself alone. Every method raises a `LibraryError` that names the library and
    the next step where the disk, or the server, does not do its part. `writing` notes in `_writer` the thread that
    holds the right to write, and None when it has let go.

    Args:
        location: Where it is, for people and for `open_store`.
        identity: The model that filled it.
    """

    def __init__(self, location: str, identity: ModelIdentity) -> None:
        self._location = location
        self._identity = identity
        self._writer: int | None = None

    @property
    def location(self) -> str:
        """Where it is, for people and for `open_store`: a folder, "memory://", a server's URI without its password."""
        return self._location

    @property
    def identity(self) -> ModelIdentity:
        """The model that filled it."""
        return self._identity

    @property
    @abstractmethod
    def compacts_by(self) -> str:
        """What `compact` does here, in words for people: a sentence without its full stop."""

    def use_model(self, identity: ModelIdentity) -> None:
        """Note that another model searches here from now on; the vectors stay those of the one that filled it.

        Raises:
            LibraryError: It would give sounds other vectors, or another process is writing.
        """
        check_identity(self.location, self._identity, identity)
        with self.writing():
            self._rename_model(identity)
        self._identity = replace(self._identity, name=identity.name, source=identity.source)

    @abstractmethod
    def writing(self) -> AbstractContextManager[None]:
        """Hold the right to write; `commit`, `finish_run`, `relocate`, `repair` and `compact` need it.

        Raises:
            LibraryError: Another process (or thread) is writing, and is named; or nobody can write here.
        """

    def commit(self, changes: Changes) -> None:
        """Apply all of `changes` durably, or none of it; Milvus keeps to that sound by sound.

        Raises:
            LibraryError: This thread has not the right to write, a sound's arrays do not fit, or they cannot be kept.
        """
        self._need_lock()
        for sound in changes.sounds:
            check_sound(sound, self._identity.dim)
        self._apply(changes)

    @abstractmethod
    def finish_run(self, seen_at: str) -> None:
        """Note when a run ended."""

    @abstractmethod
    def relocate(self, old: str, new: str) -> int:
        """Let everything at or below a path be at another one, without touching a vector; how many files moved."""

    @abstractmethod
    def compact(self, *, dead_share: float = 0.3) -> bool:
        """Give back the room of removed sounds, when it is more than `dead_share` of all; True if there was any."""

    @abstractmethod
    def check(self) -> list[Damage]:
        """Everything in the library that is not as it was written; every vector and frame is read."""

    def repair(self, damages: Sequence[Damage]) -> int:
        """Drop damaged sounds and their rows, so that the next run embeds them anew; how many were dropped."""
        dropped = [damage.path for damage in damages if damage.is_sound]
        self.commit(Changes(removed=dropped))
        return len(dropped)

    @abstractmethod
    def states(self, under: str) -> dict[str, FileState]:
        """Path -> state of the files at or below a path."""

    @abstractmethod
    def failures(self, under: str | None = None) -> list[Failure]:
        """Failures at or below a path, or all, ordered by path."""

    @abstractmethod
    def settings(self) -> dict[str, str]:
        """What the library remembers of its runs, by name."""

    @abstractmethod
    def roots(self) -> Mapping[str, int]:
        """Scanned folders -> the device number that each had."""

    @abstractmethod
    def sizes(self) -> set[int]:
        """Every file size: a new file of another size cannot be known content."""

    @abstractmethod
    def has_size(self, size_bytes: int) -> bool:
        """Whether a file has this size."""

    @abstractmethod
    def same_content(self, content_hash: bytes) -> list[SoundFile]:
        """Files with this content, ordered by path."""

    def twin(self, content_hash: bytes, limit_s: float) -> SoundFile | None:
        """One file with this content, embedded whole or at least up to `limit_s`."""
        return next((file for file in self.same_content(content_hash) if file.suffices(limit_s)), None)

    @abstractmethod
    def copies(self, contents: Iterable[bytes]) -> dict[bytes, list[str]]:
        """Hash of a content -> paths of the files that have it, in order; without those that none has."""

    @abstractmethod
    def contents(self, paths: Iterable[str], limit_s: float) -> dict[str, bytes]:
        """Path -> hash of the content, of those files that are embedded whole or at least up to `limit_s`."""

    @abstractmethod
    def cut_files(self) -> list[SoundFile]:
        """Files of which only the beginning was embedded, ordered by path."""

    @abstractmethod
    def file(self, path: str) -> SoundFile | None:
        """What is known of one file."""

    @abstractmethod
    def files(
        self, where: Condition | None = None, *, order: FileOrder = "path", k: int = -1, offset: int = 0
    ) -> list[SoundFile]:
        """At most `k` files (all if negative) that fulfil a condition, the latest or longest first, or by path."""

    @abstractmethod
    def count(
        self, where: Condition | None = None, *, only: Collection[str] | None = None
    ) -> tuple[int, int]:
        """Files that fulfil a condition (of some paths, or of all), and their segments."""

    @abstractmethod
    def read(self, path: str) -> EmbeddedSound | None:
        """All of one file; None of one that is not here."""

    @abstractmethod
    def vectors(self, path: str) -> tuple[AnyFloatArray, AnyFloatArray] | None:
        """Times `(segments, 2)` and vectors `(segments, dim)` of one file."""

    @abstractmethod
    def shortlist(self, question: Question, *, segments: int, files: int) -> list[Match]:
        """The segments that are worth a closer look at their frames, best first by their means.

        Args:
            question: With names, the best segment of a file that is so called is listed, with its bonus.
            segments: How many of the best segments of all.
            files: Of how many of the best files the best segment.
        """

    @abstractmethod
    def spread_vectors(self, count: int) -> AnyFloatArray:
        """Vectors of at most `count` segments, evenly spread over the library, `(n, dim)` float32; always the same."""

    @abstractmethod
    def file_means(self) -> tuple[list[SoundFile], AnyFloatArray]:
        """Every file, and the mean of its segments' vectors at unit norm, `(files, dim)` float32."""

    def frames_of(self, paths: Sequence[str]) -> list[AnyFloatArray]:
        """The frames of each file, `(frames, dim)` float16; none of one that is not here."""
        return [frames for frames, _ in self._frames_and_windows_of(paths)]

    def windows_of(self, paths: Sequence[str]) -> list[AnyFloatArray]:
        """The window vectors of each file, `(windows, dim)` float16, in order of time; none where it keeps none."""
        return [windows for _, windows in self._frames_and_windows_of(paths)]

    @abstractmethod
    def without_windows(self) -> set[str]:
        """Paths of the files whose window vectors are not kept."""

    @abstractmethod
    def facets(self) -> Facets:
        """Which values a filter can ask for."""

    @abstractmethod
    def version(self) -> int:
        """Grows with every commit."""

    @abstractmethod
    def stats(self) -> StoreStats:
        """Totals."""

    @abstractmethod
    def reading_beside(self) -> AbstractContextManager[Connection]:
        """An SQLite connection to read the tables with that stand beside the store's own: collections, what was taught.

        An engine that is no SQLite keeps these few rows as one, and gives a copy in memory.
        """

    @abstractmethod
    def writing_beside(self) -> AbstractContextManager[Connection]:
        """A transaction on these tables; other writers wait."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files and connections."""

    @abstractmethod
    def _frames_and_windows_of(self, paths: Sequence[str]) -> list[tuple[AnyFloatArray, AnyFloatArray]]:
        """The frames and the windows of each file, `(n, dim)` float16; none of one that is not here."""

    @abstractmethod
    def _apply(self, changes: Changes) -> None:
        """Write changes whose arrays fit."""

    @abstractmethod
    def _rename_model(self, identity: ModelIdentity) -> None:
        """Write name and source of the model that searches."""

    def _need_lock(self) -> None:
        if self._writer != threading.get_ident():
            raise LibraryError(
                f"{self.location}: writing needs the lock; do it inside `with store.writing():`"
            )


def being_written(location: object, holder: str) -> LibraryError:
    """What is raised where somebody else has the right to write."""
    return LibraryError(
        f"{location} is being written by {holder}; wait until it is done, or stop it. Searching still works"
    )


def check_identity(location: str, stored: ModelIdentity, asked: ModelIdentity) -> None:
    """Refuse another model's vectors.

    Raises:
        LibraryError: `asked` gives sounds other vectors than the model that filled the store.
    """
    if (stored.fingerprint, stored.dim) == (asked.fingerprint, asked.dim):
        return
    is_folder = engine_of(location) is None
    another = (
        "another folder with --library DIR" if is_folder else "another library of the engine: ?library=NAME"
    )
    if stored.name == asked.name:
        again = (
            "Remove that folder and index the sounds again, or index them into another one with --library DIR"
            if is_folder
            else f"Index the sounds again into {another}"
        )
        raise LibraryError(
            f"{location} was filled by {stored.name} as it was before ({stored.fingerprint}; it is {asked.fingerprint} "
            f"now), and vectors of two models cannot be compared. {again}"
        )
    raise LibraryError(
        f"{location} was filled by the model {stored.name} ({stored.fingerprint}, {stored.dim} dimensions), "
        f"not by {asked.name} ({asked.fingerprint}, {asked.dim} dimensions); vectors of two models cannot be "
        f"compared. Use the model that filled it, or index the sounds into {another}"
    )


def about_library(identity: ModelIdentity, layout: str) -> dict[str, str]:
    """What a new library notes of itself; see `known_identity`.

    Args:
        identity: The model that fills it.
        layout: The format of the library.
    """
    return {
        "format": layout,
        "name": identity.name,
        "fingerprint": identity.fingerprint,
        "dim": str(identity.dim),
        "source": identity.source,
    }


def known_identity(
    location: str, about: Mapping[str, str] | None, layout: str, asked: ModelIdentity | None
) -> ModelIdentity:
    """The model that filled a library.

    Args:
        location: Where it is.
        about: What it notes of itself; nothing where there is none.
        layout: The format that is read here.
        asked: The model to be used with it; None takes whichever filled it.

    Raises:
        LibraryError: There is no library (`NoLibraryError`), it has another format, or another model filled it.
    """
    if not about:
        raise NoLibraryError(
            f"{location} holds no library yet; make one with: soundseek index FOLDER --library {shlex.quote(location)}"
        )
    if about["format"] != layout:
        another = "folder with --library DIR" if engine_of(location) is None else "library: ?library=NAME"
        raise LibraryError(
            f"{location} has library format {about['format']}, this soundseek reads {layout}; update soundseek, or "
            f"index the sounds into another {another}"
        )
    stored = ModelIdentity(about["name"], about["fingerprint"], int(about["dim"]), about["source"])
    if asked is not None:
        check_identity(location, stored, asked)
    return stored


def check_sound(sound: EmbeddedSound, dim: int) -> None:
    """Refuse arrays that do not fit together, before they reach a file.

    Raises:
        LibraryError: A shape is wrong, a number is not finite, or a span lies outside the frames.
    """
    segments = len(sound.vectors)
    problem = None
    if not segments:
        problem = "no segment"
    elif sound.vectors.shape != (segments, dim) or sound.frames.shape[1:] != (dim,):
        problem = f"vectors {sound.vectors.shape} and frames {sound.frames.shape} for {dim} dimensions"
    elif sound.times_s.shape != (segments, 2) or sound.spans.shape != (segments, 2):
        problem = f"times {sound.times_s.shape} and spans {sound.spans.shape} for {segments} segments"
    elif sound.windows is not None and sound.windows.shape != (
        len(plan_windows(sound.file.duration_s)),
        dim,
    ):
        problem = f"windows {sound.windows.shape} for {sound.file.duration_s:g} s and {dim} dimensions"
    elif not np.isfinite(sound.vectors).all() or not np.isfinite(sound.rows).all():
        problem = "a vector that is not finite"
    elif (sound.spans[:, 0] < 0).any() or (sound.spans[:, 1] > len(sound.frames)).any():
        problem = f"a span outside its {len(sound.frames)} frames"
    elif (sound.spans[:, 0] >= sound.spans[:, 1]).any():
        problem = "an empty span"
    if problem:
        raise LibraryError(
            f"{sound.file.path}: the model returned {problem}; this model cannot fill a library"
        )
