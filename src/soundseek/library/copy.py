"""From one library to another: everything that it knows, and then a proof that it arrived."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from soundseek.errors import LibraryError
from soundseek.library.store.base import Changes, EmbeddedSound

if TYPE_CHECKING:
    from soundseek.library.store.base import Store

BATCH_BYTES = 64_000_000
"""Of vectors and frames in one transaction; a copy that was stopped goes on behind the last one."""

IDENTITY_SETTINGS = frozenset({"format", "name", "fingerprint", "dim", "source"})
"""What a library knows of itself from its making on."""


@dataclass(frozen=True)
class CopyReport:
    """What a copy did.

    Attributes:
        files: Sounds in both libraries now.
        segments: Their segments.
        copied: Sounds that were copied by this run.
        digest: BLAKE2b of everything that both hold, in hexadecimal digits.
    """

    files: int
    segments: int
    copied: int
    digest: str


def copy_library(
    source: Store, target: Store, *, progress: Callable[[int, int], None] | None = None
) -> CopyReport:
    """Bring everything of a library into another, and compare the two.

    A copy that was stopped goes on where it was. Sounds that the target has beside them stay there.

    Args:
        source: Read as it is when each sound's turn comes; do not index into it meanwhile.
        target: Filled by the same model, or empty.
        progress: Called with the sounds that are done and their number.

    Raises:
        LibraryError: The target has other vectors of a sound, or the comparison failed.
    """
    files = source.files()
    there = {file.path: file for file in target.files()}
    # Equal facts, and windows on one side alone: they were added after an earlier copy.
    windows_differ = source.without_windows().intersection(there) ^ target.without_windows()
    volumes = {path: state.volume for path, state in source.states("/").items() if state.volume}
    copied = 0
    with target.writing():
        changes = Changes()
        for done, file in enumerate(files, start=1):
            if there.get(file.path) != file or file.path in windows_differ:
                sound = source.read(file.path)
                if sound is None:
                    raise LibraryError(f"{source.location} changed while it was copied; copy it again")
                changes.sounds.append(sound)
                copied += 1
            if changes.num_bytes >= BATCH_BYTES:
                target.commit(changes)
                changes = Changes()
                if progress:
                    progress(done, len(files))
        known = {file.path for file in files}
        failures = source.failures()
        changes.failures = [each for each in failures if each.path not in known]
        changes.unread = [each for each in failures if each.path in known]
        changes.volumes = volumes
        changes.roots = dict(source.roots())
        changes.settings = {k: v for k, v in source.settings().items() if k not in IDENTITY_SETTINGS}
        target.commit(changes)
        if last := source.stats().last_indexed:
            target.finish_run(last)
        target.compact()
    if progress:
        progress(len(files), len(files))
    return _compared(source, target, copied)


def _compared(source: Store, target: Store, copied: int) -> CopyReport:
    whole, segments, files = hashlib.blake2b(digest_size=16), 0, source.files()
    for file in files:
        ours, theirs = source.read(file.path), target.read(file.path)
        if ours is None or theirs is None or digest_of_sound(ours) != digest_of_sound(theirs):
            raise LibraryError(
                f"{file.path} is not the same in {source.location} and {target.location}; copy again, and if it stays "
                "so look for damage with: soundseek library check"
            )
        whole.update(digest_of_sound(ours))
        segments += len(ours.vectors)
    return CopyReport(len(files), segments, copied, whole.hexdigest())


def digest_of_sound(sound: EmbeddedSound) -> bytes:
    """BLAKE2b of what a library holds of a sound: facts, times, vectors and frames as they are stored."""
    digest = hashlib.blake2b(digest_size=16)
    file = sound.file
    limit_s = file.limit_s if math.isfinite(file.limit_s) else -1.0
    facts = (file.path, file.size_bytes, file.mtime_ns, file.content_hash.hex(), file.format, limit_s)
    digest.update(repr(facts).encode("utf-8", "surrogateescape"))
    for array, dtype in (
        (sound.times_s, np.float64), (sound.spans, np.int64), (sound.vectors, np.float16), (sound.rows, np.float16),
    ):  # fmt: skip
        digest.update(np.ascontiguousarray(array, dtype=dtype).tobytes())
    return digest.digest()
