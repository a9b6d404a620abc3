"""Every sound of a data set decoded once: all samples in one memory-mapped file, so that training never decodes."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from soundseek._files import naming_the_disk, replace_text
from soundseek._typing import FloatArray, Report
from soundseek.audio.decode import read_audio
from soundseek.audio.files import DECODING_REVISION
from soundseek.audio.logmel import FrontEndConfig, LogMel
from soundseek.errors import DataError, DecodeError
from soundseek.learn.data.mixing import content_digest
from soundseek.learn.data.tower_cache import cache_directory


class ClipWaveforms:
    """Waveforms by file, read from the disk as far as they are asked for; worker processes open them anew.

    Args:
        directory: Where a `WaveformCache` of exactly these files is.
        paths: The files, in its order.
    """

    def __init__(self, directory: Path, paths: Sequence[Path]) -> None:
        self._directory = directory
        self._numbers = {path: number for number, path in enumerate(paths)}

    def __reduce__(self) -> tuple[Any, ...]:
        return ClipWaveforms, (self._directory, list(self._numbers))  # never the samples themselves

    @cached_property
    def _cache(self) -> WaveformCache:
        return WaveformCache(self._directory)

    @property
    def sample_rate_hz(self) -> int:
        """One rate for all."""
        return self._cache.sample_rate_hz

    def __contains__(self, path: Path) -> bool:
        return path in self._numbers

    def __getitem__(self, path: Path) -> FloatArray:
        """`(samples,)` of a file."""
        return self._cache[self._numbers[path]]

    def num_samples(self, path: Path) -> int:
        """Samples of a file."""
        return self._cache.lengths[self._numbers[path]]

    def piece(self, path: Path, start: int, stop: int) -> FloatArray:
        """Samples `start` to `stop` of a file."""
        return self._cache.read(self._numbers[path], start, stop)


def open_waveforms(
    paths: Sequence[Path],
    sample_rate_hz: int,
    directory: Path | None = None,
    *,
    report: Report | None = None,
) -> ClipWaveforms:
    """The waveforms of some files; those that no earlier call has decoded are decoded now, at 16 bits a sample.

    Clotho's development split at 32 kHz takes 5.5 GB. A cache is found by what the files hold, whatever they are
    called; other contents, or another choice of files, have a cache of their own. Several processes may call at once:
    each builds its own copy, and one is kept; to decode once, let the first process call before the others.

    Args:
        paths: SoundSpec files; each counts once.
        sample_rate_hz: The front end's.
        directory: Where the cache's folder is made; the features' cache by default.
        report: Called after each file.

    Raises:
        DataError: A file that cannot be decoded, or no files at all.
    """
    unique = list(dict.fromkeys(paths))
    if not unique:
        raise DataError("no sound files to decode: the data set is empty")
    contents = [content_digest(path) for path in unique]
    digest = hashlib.sha256(json.dumps([DECODING_REVISION, sample_rate_hz, contents]).encode()).hexdigest()[
        :16
    ]
    folder = (directory or cache_directory()) / "waveforms" / f"{sample_rate_hz}-{digest}"
    if not folder.is_dir():
        _decode(unique, sample_rate_hz, folder, report)
    return ClipWaveforms(folder, unique)


def _decode(paths: Sequence[Path], sample_rate_hz: int, folder: Path, report: Report | None) -> None:
    """Build the cache beside its place, then move it there: a folder of this name is always whole."""
    partial = folder.with_name(f"{folder.name}.{uuid4().hex[:8]}.partial")
    refused: list[str] = []
    try:
        WaveformCache.build(
            paths,
            partial,
            sample_rate_hz=sample_rate_hz,
            report=refused.append,
            progress=lambda done: report("decoded sounds", done, len(paths)) if report else None,
        )
        if refused:
            reason = refused[0].removeprefix("left out: ")
            raise DataError(f"cannot learn from {reason}; mend or remove it, and its line in the captions")
        try:
            partial.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster, and its copy is as good
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def clip_log_mel(waveform: FloatArray, log_mel: LogMel, min_frames: int) -> FloatArray:
    """Log-mel `(time, mel)` of a waveform `(samples,)`; one shorter than `min_frames` is continued with silence."""
    return log_mel.config.continued(log_mel(waveform), min_frames)


class OnlineFrames:
    """Whole clips' log-mels `(time, mel)` by path: a store of "frames" for a trunk that is trained as a whole.

    Args:
        front_end: The trunk's.
        min_frames: The trunk's.
        waveforms: Where samples are found; a file that is not among them is decoded.
    """

    def __init__(
        self, front_end: FrontEndConfig, min_frames: int, waveforms: ClipWaveforms | None = None
    ) -> None:
        self.width = front_end.num_mels
        self._log_mel = LogMel(front_end)
        self._rate_hz = front_end.sample_rate_hz
        self._min_frames = min_frames
        self._waveforms = waveforms

    def __getitem__(self, key: str) -> FloatArray:
        """The log-mel of a file; its key is its path.

        Raises:
            DecodeError: It has to be decoded and cannot be.
        """
        path = Path(key)
        if self._waveforms is not None and path in self._waveforms:
            waveform = self._waveforms[path]
        else:
            waveform = read_audio(path, sample_rate_hz=self._rate_hz)
        return clip_log_mel(waveform, self._log_mel, self._min_frames)


_SAMPLES, _INDEX = "waveforms.i16", "waveforms.json"


class WaveformCache:
    """Waveforms by number; `cache[i]` is `(samples,)` float32 in [-1, 1].

    Attributes:
        names: File names, in the order of the numbers.
        lengths: Samples of each.
        sample_rate_hz: One rate for all.
        starts: Where each begins in `samples`; and where the last one ends.
        samples: All of them, one after another, int16.
    """

    def __init__(self, directory: Path) -> None:
        index = directory / _INDEX
        if not index.is_file():
            raise DataError(f"{directory} holds no waveform cache (it has no {_INDEX}); build one first")
        content = json.loads(index.read_text(encoding="utf-8"))
        self.names: list[str] = content["names"]
        self.lengths: list[int] = content["lengths"]
        self.sample_rate_hz: int = content["sample_rate_hz"]
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)])
        self.samples = np.memmap(directory / _SAMPLES, np.int16, "r")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> FloatArray:
        return self.read(number, 0, self.lengths[number])

    def read(self, number: int, start: int, stop: int) -> FloatArray:
        """Samples `start` to `stop` of one clip, as float32; only these are read from disk."""
        offset = self.starts[number]
        piece = self.samples[offset + start : offset + min(stop, self.lengths[number])]
        waveform: FloatArray = piece.astype(np.float32) * np.float32(1 / 32768)
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
        wanted = [[DECODING_REVISION, content_digest(path)] for path in paths]
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
                with naming_the_disk(directory / _SAMPLES):
                    out.write(np.clip(np.round(waveform * 32768), -32768, 32767).astype(np.int16).tobytes())
                    out.flush()
                names.append(path.name)
                lengths.append(len(waveform))
        if not names:
            raise DataError(f"none of {len(paths)} clips could be decoded; the first is {paths[:1]}")
        content = {"names": names, "lengths": lengths, "sample_rate_hz": sample_rate_hz, "wanted": wanted}
        replace_text(index, json.dumps(content))  # the index says that the samples are whole
        return cls(directory)
