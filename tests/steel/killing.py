"""What writes to a library, killed by SIGKILL at random moments, and what the library must hold afterwards.

A process that writes tells, over a pipe, what it is about to commit and that it has: what has been told as done must be
there, what has not been begun must not, and the one commit between the two must be there whole or not at all.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from library import fakes
from library.best_matches import best_matches
from library.engines import place_in
from library.stores import IDENTITY, sound_number

from soundseek.errors import LibraryError
from soundseek.library import copy as copy_module
from soundseek.library import index as index_module
from soundseek.library.collections import Collections, NewEntry
from soundseek.library.copy import copy_library, digest_of_sound
from soundseek.library.index import update
from soundseek.library.store import approximate_build, open_store
from soundseek.library.store.approximate import FROM_VARIABLE
from soundseek.library.store.approximate_files import MANIFEST
from soundseek.library.store.base import Changes, EmbeddedSound, Store
from soundseek.library.store.sqlite import SqliteStore

EXTENSIONS = frozenset({".wav"})
NUMBERED = 60
PLACE = "place"
"""Holds the URI of the library that is written to, where it is in no folder."""
OLD_LIBRARY = Path(__file__).parents[1] / "library" / "library_of_0.1.0"
Contents = dict[str, bytes]
"""Path -> digest of all that a library holds of a sound."""


@dataclass(frozen=True)
class Step:
    """What one commit does to the contents.

    Attributes:
        put: Sounds that are there afterwards, path -> digest; of a digest b"" only the path is compared.
        gone: Paths that are not.
        moves: `(old, new)` paths; the path is a part of the digest, so those become b"".
    """

    put: Contents = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    moves: tuple[tuple[str, str], ...] = ()

    def after(self, before: Contents) -> Contents:
        """The contents once this is committed."""
        kept = {path: digest for path, digest in before.items() if path not in self.gone}
        for old, new in self.moves:
            if kept.pop(old, None) is not None:
                kept[new] = b""
        return kept | self.put


def as_stored(sound: EmbeddedSound) -> bytes:
    """The digest that a sound will have once it is read back."""
    return digest_of_sound(sound)


def step_of(changes: Changes) -> Step:
    """What a commit of these changes does."""
    touched = dict.fromkeys([*changes.touches], b"")
    return Step(
        put=touched | {sound.file.path: as_stored(sound) for sound in changes.sounds},
        gone=(*changes.removed, *(failure.path for failure in changes.failures)),
        moves=tuple((move.old_path, move.path) for move in changes.moves),
    )


class TellingStore(SqliteStore):
    """A store that tells of every commit before and after it."""

    pipe: Connection

    def commit(self, changes: Changes) -> None:
        self.pipe.send(step_of(changes))
        super().commit(changes)
        self.pipe.send(None)

    def relocate(self, old: str, new: str) -> int:
        inside = [path for path in self.states("/") if path.startswith(f"{old}/")]
        self.pipe.send(Step(moves=tuple((path, new + path[len(old) :]) for path in inside)))
        moved = super().relocate(old, new)
        self.pipe.send(None)
        return moved


def telling(directory: Path, pipe: Connection) -> TellingStore:
    """The store in a folder, which tells this pipe."""
    store = TellingStore.open(directory, identity=IDENTITY)
    assert isinstance(store, TellingStore)
    store.pipe = pipe
    return store


# --- What writes, each in a process of its own ------------------------------------------------------------------------


def index(folder: Path, pipe: Connection, seed: int) -> None:
    """Index runs over a folder of texts that changes between them."""
    index_module.COMMIT_FILES = 3
    chance = random.Random(seed)
    store = telling(folder / "library", pipe)
    while True:
        disturb(folder / "sounds", chance)
        update(store, [folder / "sounds"], fakes.load, extensions=EXTENSIONS)


def compact(folder: Path, pipe: Connection, seed: int) -> None:
    """Replace sounds by themselves, so that their old rows die, and compact."""
    chance = random.Random(seed)
    store = telling(folder / "library", pipe)
    with store.writing():
        while True:
            numbers = chance.sample(range(NUMBERED), 8)
            gone = tuple(sound_number(number).file.path for number in numbers[6:])
            store.commit(Changes(sounds=[sound_number(n) for n in numbers[:6]], removed=list(gone)))
            store.compact(dead_share=0.0)


def copy(folder: Path, pipe: Connection, seed: int) -> None:
    """Copy the library into another one, which was begun by those that were killed before."""
    copy_module.BATCH_BYTES = 300
    source = SqliteStore.open(folder / "source", identity=IDENTITY)
    while True:
        target = telling(folder / "library", pipe)
        copy_library(source, target)
        with target.writing():
            target.commit(Changes(removed=random.Random(seed).sample(sorted(target.states("/")), 40)))
        target.close()


def copy_to_postgres(folder: Path, pipe: Connection, seed: int) -> None:
    """Copy the library into PostgreSQL, where it was begun by those that were killed before."""
    copy_module.BATCH_BYTES = 300
    chance = random.Random(seed)
    source = SqliteStore.open(folder / "source", identity=IDENTITY)
    target = open_store((folder / PLACE).read_text(), identity=IDENTITY, create=True)
    commit = target.commit

    def telling_commit(changes: Changes) -> None:
        pipe.send(step_of(changes))
        commit(changes)
        pipe.send(None)

    target.commit = telling_commit  # type: ignore[method-assign]
    while True:
        try:
            copy_library(source, target)
            with target.writing():
                target.commit(Changes(removed=chance.sample(sorted(target.states("/")), 40)))
        except LibraryError as error:
            # The server may not have noticed yet that the last writer is dead.
            assert "is being written by" in str(error), error
            time.sleep(0.02)


def approximate(folder: Path, pipe: Connection, seed: int) -> None:
    """Replace sounds by themselves, compact now and then, and build the approximate index again and again."""
    approximate_build.PIECE_ROWS, approximate_build.PART_ROWS = 16, 80
    chance = random.Random(seed)
    store = telling(folder / "library", pipe)
    while True:
        with store.writing():
            numbers = chance.sample(range(NUMBERED), 6)
            store.commit(Changes(sounds=[sound_number(number) for number in numbers]))
            if chance.random() < 0.2:
                store.compact(dead_share=0.0)
        store.approximate()


def relocate(folder: Path, pipe: Connection, seed: int) -> None:
    """Rename the folder of all sounds, and back."""
    store = telling(folder / "library", pipe)
    places = ["/sounds", "/elsewhere/deep", "/sounds2"]
    with store.writing():
        while True:
            here = next(
                place for place in places if any(p.startswith(f"{place}/") for p in store.states("/"))
            )
            store.relocate(here, places[(places.index(here) + 1) % len(places)])


def migrate(folder: Path, pipe: Connection, seed: int) -> None:
    """Bring libraries of soundseek 0.1.0 up to date."""
    number = 0
    while True:
        here = folder / f"old-{seed}-{number}"
        shutil.copytree(OLD_LIBRARY, here.with_suffix(".partial"))
        here.with_suffix(".partial").rename(here)
        store = SqliteStore.open(here, create=False)
        with store.writing():
            pass
        store.close()
        number += 1


def collect(folder: Path, pipe: Connection, seed: int) -> None:
    """Make collections and fill them."""
    store = telling(folder / "library", pipe)
    collections = Collections(store)
    files = store.files()
    for number in range(10_000):
        made = collections.create(f"{seed} {number}")
        collections.add(made.id, [NewEntry(file) for file in files[:3]])


WRITERS: dict[str, Callable[[Path, Connection, int], None]] = {
    "index": index, "compact": compact, "copy": copy, "relocate": relocate, "migrate": migrate, "collect": collect,
    "approximate": approximate, "copy_to_postgres": copy_to_postgres,
}  # fmt: skip


def run(name: str, folder: Path, pipe: Connection, seed: int) -> None:
    """What a process that will be killed does."""
    pipe.send("started")
    with suppress(BrokenPipeError):
        WRITERS[name](folder, pipe, seed)


def disturb(folder: Path, chance: random.Random) -> None:
    """Add, change, rename and remove some of the texts that stand for sounds."""
    folder.mkdir(exist_ok=True)
    there = sorted(folder.iterdir())
    for _ in range(6):
        name, text = folder / f"{chance.randrange(40):02}.wav", f"sound {chance.randrange(1000)}"
        name.write_text(f"BAD {text}" if chance.random() < 0.1 else text)
    for path in chance.sample(there, min(3, len(there))):
        path.unlink(missing_ok=True)
    for path in chance.sample(there, min(2, len(there))):
        if path.exists():
            path.rename(folder / f"{chance.randrange(40, 60):02}.wav")


# --- The judge ------------------------------------------------------------------------------------------------------


@dataclass
class Judge:
    """Kills writers of one library, one after the other, and compares.

    Attributes:
        folder: Where the library, the sounds and a source to copy lie.
        seed: Of the moments.
        longest_s: A kill comes at latest so long after the writer has started.
        outcomes: How many kills came within a commit, and what had become of it.
    """

    folder: Path
    seed: int
    longest_s: float = 0.25
    outcomes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.contents: Contents = {}
        self.writer = ""
        self.places = ExitStack()
        # The fork server imports the heavy things once, so that the time goes into writing.
        self.context = multiprocessing.get_context("forkserver")
        preloaded = ["steel.killing", "soundseek.library.store.sqlite", "onnxruntime"]
        self.context.set_forkserver_preload(preloaded)

    def prepare(self, writer: str) -> None:
        """An empty or filled library, as the writer needs it."""
        self.writer = writer
        self.places.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for name in ("library", "source"):
            store = SqliteStore.open(self.folder / name, identity=IDENTITY)
            if name == "source" or writer in {"compact", "relocate", "collect", "approximate"}:
                with store.writing():
                    store.commit(Changes(sounds=[sound_number(number) for number in range(NUMBERED)]))
            store.close()
        if writer == "copy_to_postgres":
            place = self.places.enter_context(place_in("postgres", self.folder))
            (self.folder / PLACE).write_text(place)
            open_store(place, identity=IDENTITY, create=True).close()
        self.contents = self.read()

    def target(self) -> Store:
        """The library that is written to."""
        place = self.folder / PLACE
        location = place.read_text() if place.exists() else str(self.folder / "library")
        return open_store(location, identity=IDENTITY, create=False)

    def read(self) -> Contents:
        """What the library holds.

        Raises:
            AssertionError: `library check` finds damage.
        """
        store = self.target()
        try:
            damages = store.check()
            assert not damages, f"after a kill of {self.writer}: {damages}"
            found = {}
            for path in store.states("/"):
                sound = store.read(path)
                assert sound is not None
                found[path] = digest_of_sound(sound)
            return found
        finally:
            store.close()

    def kill_one(self) -> None:
        """Start the writer, kill it, and judge what it left.

        Raises:
            AssertionError: A committed row is lost, or one is there that was not.
        """
        ours, theirs = self.context.Pipe()
        arguments = (self.writer, self.folder, theirs, self.chance.randrange(1 << 30))
        process = self.context.Process(target=run, args=arguments, daemon=True)
        process.start()
        theirs.close()
        assert ours.recv() == "started"
        until = time.monotonic() + self.chance.uniform(0, self.longest_s)
        steps: list[Step | None] = []
        with suppress(EOFError):
            while (left_s := until - time.monotonic()) > 0:
                if ours.poll(left_s):
                    steps.append(ours.recv())
            process.kill()
            while True:
                steps.append(ours.recv())
        process.kill()
        process.join()
        assert process.exitcode == -9, f"{self.writer} ended by itself with {process.exitcode}"
        self.judge(steps)

    def judge(self, steps: list[Step | None]) -> None:
        """Compare the library with what was told of the commits."""
        begun: Step | None = None
        for step in steps:
            if step is None:
                assert begun is not None
                self.contents, begun = begun.after(self.contents), None
                self.outcomes["commits"] += 1
            else:
                begun = step
        if self.writer == "migrate":
            self._judge_migrated()
        if self.writer == "collect":
            self._judge_collections()
        if self.writer == "approximate":
            self._judge_index()
        found = self.read()
        if begun is not None and same(begun.after(self.contents), found):
            self.outcomes["within a commit, which counts"] += 1
        else:
            assert same(self.contents, found), (
                f"{self.writer} was killed: {difference(self.contents, found)}, and the commit that was under way "
                f"was {begun}"
            )
            self.outcomes["within a commit, which does not count" if begun else "between commits"] += 1
        self.contents = found

    def _judge_migrated(self) -> None:
        for folder in sorted(self.folder.glob("old-*")):
            if folder.suffix != ".partial":  # else it was being copied
                store = SqliteStore.open(folder, create=False)
                assert not store.check()
                with store.writing():
                    assert store.stats().files == 3
                    assert not store.check()
                store.close()
            shutil.rmtree(folder)

    def _judge_collections(self) -> None:
        store = SqliteStore.open(self.folder / "library", identity=IDENTITY)
        for each in Collections(store).all():
            assert each.count in (0, 3), f"{each} has a part of what was put in at once"
        store.close()

    def _judge_index(self) -> None:
        """Searches find the same by what is there of an index as without one."""
        store = SqliteStore.open(self.folder / "library", identity=IDENTITY)
        found = []
        for least in ("0", "never"):
            os.environ[FROM_VARIABLE] = least
            matches = best_matches(store, sound_number(5).vectors[0], k=20)
            found.append([(match.file.path, match.start_s) for match in matches])
        del os.environ[FROM_VARIABLE]
        assert found[0] == found[1]
        self.outcomes["with an index"] += (self.folder / "library" / MANIFEST).exists()
        store.close()

    def go_on(self) -> None:
        """Let the writer's work be done to its end: an index run over what is there now."""
        store = self.target()
        if self.writer == "index":
            (self.folder / "sounds").mkdir(exist_ok=True)
            (self.folder / "sounds" / "last.wav").write_text("the last sound")
            update(store, [self.folder / "sounds"], fakes.load, extensions=EXTENSIONS)
            names = {Path(path).name for path in store.states("/")}
            texts = {path.name: path.read_text() for path in (self.folder / "sounds").iterdir()}
            assert names == {name for name, text in texts.items() if not text.startswith("BAD")}
        elif self.writer in {"copy", "copy_to_postgres"}:
            source = SqliteStore.open(self.folder / "source", identity=IDENTITY)
            assert copy_library(source, store).files == NUMBERED
            source.close()
        else:
            with store.writing():
                store.commit(Changes(sounds=[sound_number(NUMBERED)]))
        store.close()
        self.contents = self.read()


def same(expected: Contents, found: Contents) -> bool:
    """Whether two contents are the same, where both know a digest."""
    return expected.keys() == found.keys() and all(
        not digest or digest == found[path] for path, digest in expected.items()
    )


def difference(expected: Contents, found: Contents) -> str:
    """What is not as it should be, for people."""
    lost, new = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    other = [path for path in expected.keys() & found.keys() if expected[path] not in (b"", found[path])]
    return f"lost {lost}, not told of {new}, changed {other}"


def kill(folder: Path, kills: dict[str, int], *, seed: int) -> Iterator[Judge]:
    """Kill each writer so many times; the judge after each kill."""
    judge = Judge(folder, seed)
    for writer, number in kills.items():
        judge.prepare(writer)
        for count in range(number):
            judge.kill_one()
            yield judge
            if count % 20 == 19 or count == number - 1:
                judge.go_on()
    judge.places.close()


def folder_in_memory() -> Path | None:
    """A folder where fsync costs nothing; what a kill leaves behind is the same."""
    shared = Path("/dev/shm")
    return shared if os.access(shared, os.W_OK) else None
