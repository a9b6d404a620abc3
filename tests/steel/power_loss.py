"""What a power cut may leave of a library: its writes are recorded, and replayed with what was not synced lost.

`strace` records every system call of a process that fills a library. Up to any of them the disk is built again as a
power cut may leave it: what was synced is there; of what was written since, any part may be missing, in any order, torn
at sectors of 512 bytes; a name that its folder was not synced for may be there or not.
"""

from __future__ import annotations

import os
import pickle
import random
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from library.stores import IDENTITY, sound_number
from steel.killing import Contents, Step, difference, same, step_of

from soundseek.library.store.base import Changes
from soundseek.library.store.sqlite import SqliteStore

SECTOR_BYTES = 512
CALLS = "openat,open,creat,close,lseek,write,pwrite64,ftruncate,fsync,fdatasync,unlink,unlinkat,rename,mkdir,mkdirat"
CHANGING = re.compile(r"(p?write|ftruncate|fsync|fdatasync|unlink|rename|mkdir|open)")
TESTS = Path(__file__).parents[1]


# --- What is recorded -----------------------------------------------------------------------------------------------


def steps() -> Iterator[tuple[str, object]]:
    """What the recorded process does, one after the other: commits, compactions, a folder that moves."""
    for number in range(0, 24, 3):
        sounds = [sound_number(each) for each in range(number, number + 3)]
        gone = [f"/sounds/{number - 4:06d}.wav"] if number > 4 else []
        yield "commit", Changes(sounds=sounds, removed=gone)
        if number % 9 == 6:
            yield "compact", None
    yield "relocate", ("/sounds", "/elsewhere")
    yield "commit", Changes(sounds=[sound_number(50)], settings={"exclude": "[]"})
    yield "finish", "2026-01-01T00:00:00Z"


def fill(folder: Path) -> None:
    """Do all steps in a new library, and write a line into `acknowledged` whenever one is done."""
    acknowledged = os.open(folder / "acknowledged", os.O_WRONLY | os.O_CREAT)
    states: list[Contents] = [{}]
    store = SqliteStore.open(folder / "deep" / "library", identity=IDENTITY)
    with store.reading_beside() as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 12")  # pages: so the log is written back now and then
    os.write(acknowledged, b"0\n")
    with store.writing():
        for kind, what in steps():
            step = Step()
            if isinstance(what, Changes):
                step = step_of(what)
                store.commit(what)
            elif kind == "compact":
                store.compact(dead_share=0.0)
            elif isinstance(what, tuple):
                old, new = what
                step = Step(moves=tuple((path, path.replace(old, new)) for path in states[-1]))
                store.relocate(old, new)
            else:
                store.finish_run(str(what))
            states.append(step.after(states[-1]))
            os.write(acknowledged, f"{len(states) - 1}\n".encode())
    store.close()
    (folder / "states").write_bytes(pickle.dumps(states))


def has_strace() -> bool:
    """Whether system calls can be recorded here."""
    strace = shutil.which("strace")
    return (
        bool(strace)
        and subprocess.run([strace, "-qq", "true"], capture_output=True, check=False).returncode == 0
    )


def record(folder: Path) -> tuple[list[tuple[str, str]], list[Contents]]:
    """The system calls `(line, result)` of a process that fills `folder`, and the contents after each step."""
    trace = folder.parent / f"{folder.name}.trace"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    program = f"import sys; from pathlib import Path; from steel.power_loss import fill; fill(Path({str(folder)!r}))"
    subprocess.run(
        ["strace", "-f", "--seccomp-bpf", "-qq", "-xx", "-s", "100000000", "-e", f"trace={CALLS}", "-o", str(trace),
         sys.executable, "-c", program],
        env=environment, check=True,
    )  # fmt: skip
    calls = []
    for line in trace.read_text().splitlines():
        if found := re.fullmatch(r"\d+\s+(\w+\(.*\))\s*= (-?\d+).*", line):
            calls.append((found[1], found[2]))
    return calls, pickle.loads((folder / "states").read_bytes())


# --- A disk that forgets --------------------------------------------------------------------------------------------


@dataclass
class Node:
    """The content of a file: what is safe, and what was done to it since."""

    safe: bytearray = field(default_factory=bytearray)
    since: list[tuple[int, bytes | None]] = field(default_factory=list)  # (offset, bytes), or (length, None)

    def as_written(self) -> bytes:
        """As a process sees it."""
        return self.left([(True, None)] * len(self.since))

    def left(self, kept: list[tuple[bool, set[int] | None]]) -> bytes:
        """What is there if of each change only some, or some sectors of it, reached the disk."""
        content = bytearray(self.safe)
        for (at, data), (is_kept, sectors) in zip(self.since, kept, strict=True):
            if not is_kept:
                continue
            if data is None:
                del content[at:]
                content.extend(bytes(at - len(content)))
                continue
            content.extend(bytes(max(0, at + len(data) - len(content))))
            for first in range(0, len(data), SECTOR_BYTES):
                if sectors is None or first // SECTOR_BYTES in sectors:
                    piece = data[first : first + SECTOR_BYTES]
                    content[at + first : at + first + len(piece)] = piece
        return bytes(content)


class Disk:
    """Files below one folder, as a process writes them and as a power cut leaves them."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.names: dict[str, Node | None] = {}  # as the process sees them; None is a folder
        self.safe_names: dict[str, Node | None] = {}
        self.since: dict[str, list[tuple[str, Node | None, bool]]] = defaultdict(
            list
        )  # folder -> name, node, there
        self.opened: dict[int, tuple[str, Node | None, int]] = {}  # descriptor -> path, node, position
        self.acknowledged = -1

    def do(self, call: str, result: int) -> None:
        """Carry out one recorded call."""
        if result < 0:
            return
        name, _, rest = call.partition("(")
        texts = [
            bytes.fromhex(text.replace("\\x", "")) for text in re.findall(r'"((?:\\x[0-9a-f]{2})*)"', rest)
        ]
        numbers = [int(each) for each in re.findall(r"(?:^|, )(-?\d+)(?=[,)])", rest)]
        if name in ("open", "openat", "creat"):
            self._open(os.fsdecode(texts[0]), rest, result)
        elif name in ("mkdir", "mkdirat"):
            self._name(os.fsdecode(texts[0]), None, is_there=True)
        elif name in ("unlink", "unlinkat"):
            self._name(os.fsdecode(texts[0]), None, is_there=False)
        elif name == "rename":
            old, new = map(os.fsdecode, texts)
            self._name(new, self.names.get(old), is_there=True)
            self._name(old, None, is_there=False)
        elif numbers and numbers[0] in self.opened:
            self._on_file(name, numbers, texts, result)

    def _open(self, path: str, flags: str, descriptor: int) -> None:
        self.opened.pop(descriptor, None)
        if not path.startswith(self.root) or path.endswith("-shm"):
            return
        if path not in self.names:
            if "O_CREAT" not in flags:
                self.opened[descriptor] = (path, None, 0)  # a folder that was there before
                return
            self._name(path, Node(), is_there=True)
        node = self.names[path]
        if node is not None and "O_TRUNC" in flags:
            node.since.append((0, None))
        self.opened[descriptor] = (path, node, 0)

    def _name(self, path: str, node: Node | None, *, is_there: bool) -> None:
        if not path.startswith(self.root) or path.endswith("-shm"):
            return
        if is_there:
            self.names[path] = node
        else:
            self.names.pop(path, None)
        self.since[str(PurePosixPath(path).parent)].append((path, node, is_there))

    def _on_file(self, name: str, numbers: list[int], texts: list[bytes], result: int) -> None:
        descriptor = numbers[0]
        path, node, position = self.opened[descriptor]
        if name == "close":
            del self.opened[descriptor]
        elif name in ("fsync", "fdatasync"):
            if node is not None:
                node.safe, node.since = bytearray(node.as_written()), []
            else:
                for each, what, is_there in self.since.pop(path, []):
                    if is_there:
                        self.safe_names[each] = what
                    else:
                        self.safe_names.pop(each, None)
        elif name == "lseek":
            self.opened[descriptor] = (path, node, result)
        elif path.endswith("/acknowledged"):
            self.acknowledged = int(texts[0])
        elif node is not None and name == "ftruncate":
            node.since.append((numbers[1], None))
        elif node is not None and name == "pwrite64":
            node.since.append((numbers[-1], texts[0][:result]))
        elif node is not None and name == "write":
            node.since.append((position, texts[0][:result]))
            self.opened[descriptor] = (path, node, position + result)

    def after_a_power_cut(self, chance: random.Random) -> dict[str, bytes | None]:
        """What is on the disk then: path -> content, None for a folder."""
        share = chance.choice([0.0, 0.5, 1.0])
        names = dict(self.safe_names)
        for changes in self.since.values():
            for path, node, is_there in changes:
                if chance.random() < share:
                    if is_there:
                        names[path] = node
                    else:
                        names.pop(path, None)
        left: dict[str, bytes | None] = {}
        for path, node in sorted(names.items()):
            folder = str(PurePosixPath(path).parent)
            if folder != self.root and folder not in left:
                continue  # its folder is lost, and it with it
            left[path] = (
                None if node is None else node.left([_kept(data, share, chance) for _, data in node.since])
            )
        return left


def _kept(data: bytes | None, share: float, chance: random.Random) -> tuple[bool, set[int] | None]:
    if chance.random() >= share:
        return False, None
    if data is None or share == 1 or chance.random() < 0.5:
        return True, None
    return True, {sector for sector in range(-(-len(data) // SECTOR_BYTES)) if chance.random() < 0.5}


# --- What must be there afterwards ----------------------------------------------------------------------------------


def judge(
    left: dict[str, bytes | None], root: str, into: Path, states: list[Contents], acknowledged: int
) -> None:
    """Put what a power cut left into a folder, open it, compare, and write to it.

    Raises:
        AssertionError: Something that was acknowledged is lost or damaged.
    """
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    for path, content in left.items():
        here = into / PurePosixPath(path).relative_to(root)
        if content is None:
            here.mkdir()
        else:
            here.write_bytes(content)
    library = into / "deep" / "library"
    store = SqliteStore.open(
        library, identity=IDENTITY
    )  # makes a new one where nothing had been acknowledged
    try:
        damages = store.check()
        assert not damages, f"after step {acknowledged}: {damages}"
        found = set(store.states("/"))
        now = dict.fromkeys(found, b"")
        begun = states[acknowledged : acknowledged + 2] if acknowledged >= 0 else states[:2]
        assert any(same(dict.fromkeys(state, b""), now) for state in begun), (
            f"after step {acknowledged}: {difference(begun[0], now)}"
        )
        with store.writing():
            store.commit(Changes(sounds=[sound_number(99)]))
        assert not store.check()
    finally:
        store.close()


def replay(
    folder: Path, into: Path, *, cuts: int, seed: int, is_left_out: Callable[[str], bool] = lambda call: False
) -> int:
    """Record a process, cut the power at so many of its calls, and judge each; how many calls there were.

    Args:
        folder: Where the process works.
        into: Where what is left is opened.
        cuts: How many; with as many as there are calls, after every one.
        seed: Of the calls, and of what is lost.
        is_left_out: Whether a call is taken as if it had never been made.

    Raises:
        AssertionError: Something that was acknowledged is lost or damaged.
    """
    root = folder / "recorded"
    root.mkdir(parents=True)
    calls, states = record(root)
    disk = Disk(root)
    calls = [(call, result) for call, result in calls if not is_left_out(call)]
    changing = [number for number, (call, _) in enumerate(calls) if CHANGING.match(call)]
    first = next(n for n, (call, _) in enumerate(calls) if b"acknowledged".hex() in call.replace("\\x", ""))
    changing = [number for number in changing if number >= first]
    chance = random.Random(seed)
    times: dict[int, int] = defaultdict(int)
    for at in range(cuts):
        times[changing[at % len(changing)] if cuts >= len(changing) else chance.choice(changing)] += 1
    for number, (call, result) in enumerate(calls):
        disk.do(call, int(result))
        for _ in range(times[number]):
            judge(disk.after_a_power_cut(chance), str(root), into, states, disk.acknowledged)
    assert disk.acknowledged == len(states) - 1, "the recording is not whole"
    return len(changing)
