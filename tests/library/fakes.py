"""Stand-ins for a model: quick, deterministic, and badly behaved on request."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from library.stores import DIM, IDENTITY

from soundseek._typing import FloatArray
from soundseek._vectors import unit_rows
from soundseek.audio.decode import AudioInfo
from soundseek.audio.segments import plan_segments
from soundseek.errors import DecodeError, MissingFileError, ModelError
from soundseek.library import workers
from soundseek.library.store.base import Changes, EmbeddedSound
from soundseek.model.model import AudioEmbedding

FRAME_S = 1.0


def content(text: str) -> np.ndarray:
    """The vector that a file of this text is embedded as."""
    rows = np.random.default_rng(list(text.encode())).standard_normal(DIM).astype(np.float32)
    return rows / np.linalg.norm(rows)


def embed(path: str, *, max_duration_s: float, progress: Callable[..., None] | None = None) -> AudioEmbedding:
    """A file's text is its sound; a first word in capitals is an order.

    "LASTS 25 ..." is 25 s long, "BAD ..." no sound, "CRASH" ends the process, "KILL" kills it, "BUG" raises,
    "REWRITE ..." changes the file meanwhile,
    "BROKEN MODEL" is the model's fault, "SLOW" takes a tenth of a second, "CTRL-C" presses it, "VANISH" removes the
    file, "HANG" computes for ever and "WAIT" waits, "STUCK" waits in C with the interpreter locked, "HOARD" holds
    600 MB and "HOARD-IN-C" does so from C, "UNREADABLE" has an input error of the disk.
    """
    text = Path(path).read_text()
    order, _, rest = text.partition(" ")
    if order in ORDERS:
        ORDERS[order](path, rest)
    full_s = float(rest.split()[0]) if order == "LASTS" else 10.0
    duration_s = min(full_s, max_duration_s)
    for done_s in range(10, int(duration_s), 10):
        if progress is not None:
            progress(float(done_s), full_s)
    segments = plan_segments(duration_s)
    num_frames = max(1, round(duration_s / FRAME_S))
    frames = np.tile(2 * content(text), (num_frames, 1)).astype(np.float16)
    spans = [
        (int(segment.start_s), max(int(segment.end_s), int(segment.start_s) + 1)) for segment in segments
    ]
    info = AudioInfo(path, "WAV", 44100, 1, duration_s, truncated=full_s > max_duration_s)
    return AudioEmbedding(
        info=info,
        segments=tuple(segments),
        vectors=np.tile(content(text), (len(segments), 1)),
        frames=frames,
        spans=np.array(spans, np.int64),
        frame_s=FRAME_S,
    )


def _bad(path: str, rest: str) -> None:
    raise DecodeError(path, rest)


def _bug(path: str, rest: str) -> None:
    raise ZeroDivisionError("division by zero")


def _broken_model(path: str, rest: str) -> None:
    raise ModelError("the model is damaged")


def _rewrite(path: str, rest: str) -> None:
    time.sleep(0.01)  # another modification time, whatever the clock's grain
    Path(path).write_text(rest.ljust(len("REWRITE ") + len(rest)))


def _vanish(path: str, rest: str) -> None:
    Path(path).unlink()
    raise MissingFileError(path, "no such file")


def _unreadable(path: str, rest: str) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def _out_of_memory(path: str, rest: str) -> None:
    raise MemoryError


def _hang(path: str, rest: str) -> None:
    while True:
        pass


def _stuck(path: str, rest: str) -> None:
    ctypes.PyDLL(None).sleep(3600)  # as a decoder in C that keeps the interpreter's lock


def _hoard_in_c(path: str, rest: str) -> None:
    libc = ctypes.PyDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    libc.memset(libc.malloc(ctypes.c_size_t(600_000_000)), 1, 600_000_000)
    libc.sleep(3600)


def _hoard(path: str, rest: str) -> None:
    held = np.ones(75_000_000)  # 600 MB
    while held.size:
        time.sleep(0.01)


ORDERS: dict[str, Callable[[str, str], object]] = {
    "BAD": _bad,
    "BUG": _bug,
    "BROKEN": _broken_model,
    "CRASH": lambda path, rest: os._exit(7),
    "REWRITE": _rewrite,
    "KILL": lambda path, rest: os.kill(os.getpid(), signal.SIGKILL),
    "SLOW": lambda path, rest: time.sleep(0.1),
    "VANISH": _vanish,
    "UNREADABLE": _unreadable,
    "MEMORY": _out_of_memory,
    "HANG": _hang,
    "WAIT": lambda path, rest: time.sleep(3600),
    "STUCK": _stuck,
    "HOARD": _hoard,
    "HOARD-IN-C": _hoard_in_c,
    "CTRL-C": lambda path, rest: os.kill(os.getpid(), signal.SIGINT),
    "SIGTERM": lambda path, rest: os.kill(os.getpid(), signal.SIGTERM),
}


class FakeModel:
    """Embeds files by `embed`, and no words."""

    dim = DIM
    fingerprint = IDENTITY.fingerprint

    def __init__(self, embedded: list[str] | None = None) -> None:
        self.embedded = embedded if embedded is not None else []

    def embed_text(self, texts: object) -> np.ndarray:
        raise NotImplementedError

    def embed_file(self, path: str, **options: Any) -> AudioEmbedding:
        self.embedded.append(Path(path).name)
        return embed(path, **options)


def load() -> FakeModel:
    """What a worker calls to get its model."""
    return FakeModel()


def load_telling() -> FakeModel:
    """The same in a worker that tells of every step."""
    workers.TELL_EVERY_S = 0.0
    return FakeModel()


def load_nothing() -> FakeModel:
    """A model that cannot be loaded."""
    raise ModelError("audio.onnx is damaged")


def tell_circumstances() -> FakeModel:
    """A model that cannot be loaded, and says under which circumstances."""
    is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    raise ModelError(f"threads {os.environ.get('OMP_NUM_THREADS')}, Ctrl-C ignored {is_ignored}")


def die() -> FakeModel:
    """A worker that dies while it starts."""
    os._exit(3)


@dataclass
class Counting:
    """Loads a model that notes the name of every file that it embeds."""

    embedded: list[str]

    def __call__(self) -> FakeModel:
        return FakeModel(self.embedded)


def renamed(sound: EmbeddedSound, path: str) -> EmbeddedSound:
    """The same sound under another path."""
    return replace(sound, file=replace(sound.file, path=path))


def changes(sound: EmbeddedSound, *, root: str) -> Changes:
    """One sound, in a folder of its own."""
    return Changes(sounds=[sound], roots={root: 1})


class ToyEmbedder:
    """Dog is the first axis, rain the second, all else adds to the third; the sum is made unit."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def embed_text(self, texts: Sequence[str], /) -> FloatArray:
        self.calls.append(list(texts))
        axes = {"dog": 0, "rain": 1}
        vectors = np.zeros((len(texts), 3), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in text.lower().split():
                row[axes.get(word, 2)] += 1
        return unit_rows(vectors)
