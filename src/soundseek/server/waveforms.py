"""The waveforms that the page draws, and previews: made once in worker processes, cached beside the library."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from soundseek._typing import FloatArray
from soundseek.audio.excerpt import PEAK_HOP_S, peaks, write_preview
from soundseek.audio.files import DECODING_REVISION
from soundseek.server.disk_cache import DiskCache, cache_of
from soundseek.server.lru import Recent
from soundseek.server.problems import ProblemError

if TYPE_CHECKING:
    from soundseek.library.store.base import SoundFile
    from soundseek.server.processes import Processes

MAX_PREVIEW_S = 600.0
_PEAKS_BYTES, _PREVIEW_BYTES = 128 << 20, 1 << 30
# Pieces of 10 ms, but no fewer than fill a wide screen, and no more than a quarter of a megabyte of them.
_FEWEST_PIECES, _MOST_PIECES = 4_000, 250_000
_IN_MEMORY = 64


class Waveforms:
    """Peaks and previews of the library's files.

    Args:
        library: The library's folder, or an engine's URI.
        processes: What decodes.
    """

    def __init__(self, library: Path | str, processes: Processes) -> None:
        self._processes = processes
        self._peaks = DiskCache(cache_of(library) / "peaks", _PEAKS_BYTES)
        self._previews = DiskCache(cache_of(library) / "previews", _PREVIEW_BYTES)
        self._recent: Recent[str, npt.NDArray[np.int8]] = Recent(_IN_MEMORY)
        self._under_way: dict[str, asyncio.Lock] = {}

    async def peaks(self, file: SoundFile, path: Path, start_s: float, end_s: float, n: int) -> FloatArray:
        """`(n, 2)` lowest and highest sample of `n` equal pieces of a part of a file.

        Args:
            file: What the library knows of it.
            path: Where it is, with all links followed.
            start_s: Where to begin.
            end_s: Where to end, at most the file's end.
            n: Number of pieces.

        Raises:
            ProblemError: The file cannot be decoded, or too much is being decoded.
        """
        hop_s = max(min(PEAK_HOP_S, file.duration_s / _FEWEST_PIECES), file.duration_s / _MOST_PIECES)
        is_finer = (end_s - start_s) / n < 0.99 * hop_s
        if is_finer and end_s - start_s < min(60.0, file.duration_s):
            fine = await self._processes.run(
                peaks, str(path), start_s=start_s, end_s=end_s, hop_s=(end_s - start_s) / n
            )
            return _resampled(fine, n)
        whole = await self._whole(file, path, hop_s)
        # A piece is a whole number of samples, so it is not exactly `hop_s` long.
        per_second = len(whole) / file.duration_s
        first = min(len(whole) - 1, math.floor(start_s * per_second))
        last = max(first + 1, min(len(whole), math.ceil(end_s * per_second)))
        return _resampled(whole[first:last].astype(np.float32) / np.float32(127), n)

    async def preview(self, file: SoundFile, path: Path, start_s: float, end_s: float) -> Path:
        """A part of a file as a WAV that every browser plays.

        Raises:
            ProblemError: The file cannot be decoded, or too much is being decoded.
        """
        name = f"{_content(file)}-{round(start_s * 1000)}-{round(end_s * 1000)}.wav"
        async with self._one_at_a_time(name):
            found = self._previews.get(name)
            if found is not None:
                return found
            partial = self._previews.partial()
            try:
                await self._processes.run(write_preview, str(path), partial, start_s, end_s)
                return self._previews.put(name, partial)
            finally:
                partial.unlink(missing_ok=True)

    async def _whole(self, file: SoundFile, path: Path, hop_s: float) -> npt.NDArray[np.int8]:
        name = f"{_content(file)}.i8"
        recent = self._recent.get(name)
        if recent is not None:
            return recent
        async with self._one_at_a_time(name):
            found = self._peaks.get(name)
            if found is not None:
                whole = np.fromfile(found, np.int8).reshape(-1, 2)
            else:
                pairs = await self._processes.run(peaks, str(path), hop_s=hop_s)
                if not len(pairs):
                    raise ProblemError("no-sound", f"{file.path} holds no sound")
                # Rounded outwards, so that a quiet sound is a line and not nothing.
                whole = np.stack([np.floor(pairs[:, 0] * 127), np.ceil(pairs[:, 1] * 127)], axis=1).astype(
                    np.int8
                )
                partial = self._peaks.partial()
                whole.tofile(partial)
                self._peaks.put(name, partial)
        self._recent.put(name, whole)
        return whole

    def _one_at_a_time(self, name: str) -> asyncio.Lock:
        """A lock for a name, so that two requests do not decode one file twice."""
        for other in [
            other for other, lock in self._under_way.items() if not lock.locked() and other != name
        ]:
            del self._under_way[other]
        return self._under_way.setdefault(name, asyncio.Lock())


def _content(file: SoundFile) -> str:
    """What a waveform is made of: the file's bytes, and how they are decoded."""
    return f"{file.content_hash.hex()}-r{DECODING_REVISION}"


def _resampled(pairs: FloatArray, n: int) -> FloatArray:
    """`(n, 2)` out of `(pieces, 2)`: extremes of the pieces that lie in each, or the nearest one."""
    edges = np.linspace(0, len(pairs), n + 1)
    first = np.minimum(np.floor(edges[:-1]).astype(np.int64), len(pairs) - 1)
    if len(pairs) <= n:
        return pairs[first]
    low = np.minimum.reduceat(pairs[:, 0], first)
    high = np.maximum.reduceat(pairs[:, 1], first)
    return np.stack([low, high], axis=1)
