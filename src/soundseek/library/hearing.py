"""What a library needs of a model, and how one file becomes one `Sound`, or the reason why not."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from soundseek.errors import DecodeError, SoundseekError
from soundseek.library.store.base import Failure, FloatArray, Sound, SoundFile

if TYPE_CHECKING:
    from soundseek.model.embedder import Heard

HASH_BLOCK_BYTES = 1 << 20


class EmbeddingModel(Protocol):
    """A text-audio dual encoder, as a library uses it."""

    @property
    def dim(self) -> int:
        """Width of its vectors."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes whenever its vectors could."""
        ...

    def embed_text(self, texts: Sequence[str]) -> FloatArray:
        """`(n, dim)` unit norm."""
        ...

    def embed_audio(self, paths: Sequence[str | Path]) -> FloatArray:
        """`(n, dim)` unit norm, one a file."""
        ...

    def hear(self, path: str | Path, *, max_duration_s: float = 3600.0) -> Heard:
        """All segments of one file."""
        ...


class Hear(Protocol):
    """`Model.hear`, or whatever stands in for it."""

    def __call__(self, path: str, *, max_duration_s: float) -> Heard: ...


LoadHear: TypeAlias = Callable[[], Hear]
"""Makes a `Hear` in the process that will use it; must survive pickling."""


@dataclass(frozen=True)
class Job:
    """One file to hear.

    Attributes:
        path: Absolute path.
        size_bytes: Its size when it was scanned.
        mtime_ns: Its modification time then.
        max_duration_s: Hearing stops here.
        decoders: Stamp of the versions that read it.
        content_hash: blake2b-128 of its bytes, where it has been worked out already.
        known: Its path is in the store.
    """

    path: str
    size_bytes: int
    mtime_ns: int
    max_duration_s: float
    decoders: str = ""
    content_hash: bytes | None = None
    known: bool = False


def listen(hear: Hear, job: Job) -> Sound | Failure:
    """All that is heard in one file; a file that cannot be heard is a `Failure` and no exception.

    Raises:
        SoundseekError: The model is at fault, so every other file would fail as well.
    """
    try:
        # The hash comes first: if the file changes in between, the next run sees another hash and hears it again.
        # The other way round, new bytes would for ever stand beside old vectors.
        content_hash = job.content_hash or hash_file(job.path)
        heard = hear(job.path, max_duration_s=job.max_duration_s)
    except DecodeError as error:
        return failure_of(job, error.reason)
    except OSError as error:
        return failure_of(job, os_reason(error))
    except SoundseekError:
        raise
    except MemoryError:
        return failure_of(job, "there is not enough memory to hear it")
    except Exception as error:  # a decoder's bug on one file must not end the run over all others
        return failure_of(job, f"unexpected error: {type(error).__name__}: {error}")
    info = heard.info
    file = SoundFile(
        path=job.path,
        size_bytes=job.size_bytes,
        mtime_ns=job.mtime_ns,
        content_hash=content_hash,
        format=info.format,
        sample_rate_hz=info.sample_rate_hz,
        channels=info.channels,
        duration_s=info.duration_s,
        truncated=info.truncated,
        frame_s=heard.frame_s,
        limit_s=job.max_duration_s,
    )
    times_s = np.array([(segment.start_s, segment.end_s) for segment in heard.segments], np.float64)
    return Sound(file, times_s.reshape(-1, 2), heard.vectors, heard.frames, heard.spans)


def failure_of(job: Job, reason: str) -> Failure:
    """The failure of a job, seen now."""
    return Failure(job.path, reason, now(), job.size_bytes, job.mtime_ns, job.decoders)


def os_reason(error: OSError) -> str:
    """Why a file cannot be opened, in plain words."""
    if error.errno == errno.ENOENT:
        return "it vanished while the folder was being indexed"
    return f"cannot be read: {error.strerror or error}"


def now() -> str:
    """This second, ISO 8601 in UTC."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def hash_file(path: str) -> bytes:
    """blake2b-128 of a file's bytes, read a megabyte at a time."""
    digest = hashlib.blake2b(digest_size=16)
    # O_NONBLOCK: a pipe that took the file's place since the scan must not hang the run.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb", buffering=0) as handle:
        while block := handle.read(HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.digest()
