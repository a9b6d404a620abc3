"""A cache of decoded clips: every waveform as 16-bit samples in one memory-mapped file, so training never decodes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from soundseek.audio.decode import read_audio
from soundseek.errors import DataError, DecodeError

Float = npt.NDArray[np.float32]
_SAMPLES, _INDEX = "waveforms.i16", "waveforms.json"


class WaveformCache:
    """Waveforms by number; `cache[i]` is `(samples,)` float32 in [-1, 1].

    Attributes:
        names: File names, in the order of the numbers.
        lengths: Samples of each.
        sample_rate_hz: One rate for all.
    """

    def __init__(self, directory: Path) -> None:
        index = directory / _INDEX
        if not index.is_file():
            raise DataError(f"{directory} holds no waveform cache (it has no {_INDEX}); build one first")
        content = json.loads(index.read_text(encoding="utf-8"))
        self.names: list[str] = content["names"]
        self.lengths: list[int] = content["lengths"]
        self.sample_rate_hz: int = content["sample_rate_hz"]
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)])
        self._samples = np.memmap(directory / _SAMPLES, np.int16, "r")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> Float:
        return self.read(number, 0, self.lengths[number])

    def read(self, number: int, start: int, stop: int) -> Float:
        """Samples `start` to `stop` of one clip, as float32; only these are read from disk."""
        offset = self._starts[number]
        piece = self._samples[offset + start : offset + min(stop, self.lengths[number])]
        waveform: Float = piece.astype(np.float32) * np.float32(1 / 32768)
        return waveform

    @classmethod
    def build(
        cls,
        paths: Sequence[Path],
        directory: Path,
        *,
        sample_rate_hz: int,
        report: Callable[[str], None] = lambda line: None,
        progress: Callable[[int], None] = lambda done: None,
    ) -> WaveformCache:
        """Decode `paths` into `directory`, or open what an earlier call left there for the same files and rate.

        A clip that cannot be decoded is named by `report` and left out; `progress` is told how many were tried.

        Raises:
            DataError: Not one clip could be decoded.
        """
        directory.mkdir(parents=True, exist_ok=True)
        wanted = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in paths]
        index = directory / _INDEX
        if index.is_file():
            content = json.loads(index.read_text(encoding="utf-8"))
            if content["wanted"] == wanted and content["sample_rate_hz"] == sample_rate_hz:
                return cls(directory)
        names: list[str] = []
        lengths: list[int] = []
        with (directory / _SAMPLES).open("wb") as out:
            for done, path in enumerate(paths, start=1):
                progress(done)
                try:
                    waveform = read_audio(path, sample_rate_hz=sample_rate_hz)
                except DecodeError as error:  # one bad clip never stops the others
                    report(f"left out: {error}")
                    continue
                np.clip(np.round(waveform * 32768), -32768, 32767).astype(np.int16).tofile(out)
                names.append(path.name)
                lengths.append(len(waveform))
        if not names:
            raise DataError(f"none of {len(paths)} clips could be decoded; the first is {paths[:1]}")
        content = {"names": names, "lengths": lengths, "sample_rate_hz": sample_rate_hz, "wanted": wanted}
        index.write_text(json.dumps(content), encoding="utf-8")
        return cls(directory)
