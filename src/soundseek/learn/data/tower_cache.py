"""What frozen towers give, computed once: frames of sounds and features of captions, float16, memory-mapped on disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol, cast
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import torch
from platformdirs import user_cache_path
from torch.utils.data import DataLoader, Dataset

from soundseek._files import naming_the_disk
from soundseek._threads import single_threaded_children
from soundseek._typing import HalfArray, Report
from soundseek.audio.level import LEVEL_REVISION
from soundseek.audio.logmel import LogMel
from soundseek.errors import DataError, DecodeError, WorkerError
from soundseek.learn.data.mixing import SoundSpec, render
from soundseek.learn.models.audio.trunk import Trunk
from soundseek.learn.models.build import build_trunk, split_trunk, weights_digest
from soundseek.learn.models.text.tower import TextTower

_FRAMES_REVISION = 1  # part of the folder's name: raise it when the same trunk would give other frames


class FeatureStore:
    """Rows `(rows, width)` float16 by key, in append-only shards: a kill loses the last entry at most.

    A shard is a file of rows and a file of JSON lines `{"key", "start", "rows"}`. Every writer has its own
    shard, so several processes may write to one store; what two of them both computed is kept twice and read
    once.

    Args:
        directory: Where the shards are; made if missing.
        width: Numbers in a row.
    """

    def __init__(self, directory: Path, width: int) -> None:
        self.directory = directory
        self.width = width
        self._where: dict[str, tuple[Path, int, int]] = {}
        self._maps: dict[Path, HalfArray] = {}
        with naming_the_disk(directory):
            directory.mkdir(parents=True, exist_ok=True)
        self.refresh()

    def __contains__(self, key: str) -> bool:
        return key in self._where

    def __getitem__(self, key: str) -> HalfArray:
        """The rows of a key, a view of the file."""
        path, start, rows = self._where[key]
        return self._maps[path][start : start + rows]

    def refresh(self) -> None:
        """See what other writers have added."""
        for index in sorted(self.directory.glob("*.jsonl")):
            path = index.with_suffix(".f16")
            rows_on_disk = path.stat().st_size // (2 * self.width) if path.exists() else 0
            if not rows_on_disk:
                continue
            self._maps[path] = np.memmap(path, np.float16, "r", shape=(rows_on_disk, self.width))
            for key, start, rows in _entries(index):
                if start + rows <= rows_on_disk:
                    self._where.setdefault(key, (path, start, rows))

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those of the keys that are not there, each once, in order."""
        return [key for key in dict.fromkeys(keys) if key not in self._where]

    def writer(self) -> FeatureWriter:
        """A new shard to append to; a context manager."""
        return FeatureWriter(self)


def _entries(index: Path) -> Iterator[tuple[str, int, int]]:
    for line in index.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            return  # the last line of a writer that was killed
        yield entry["key"], entry["start"], entry["rows"]


@dataclass
class FeatureWriter:
    """Appends to one shard of a store: rows first, then the line that names them."""

    store: FeatureStore
    _start: int = 0
    _rows: IO[bytes] = field(init=False)
    _index: IO[str] = field(init=False)

    def __enter__(self) -> FeatureWriter:
        path = self.store.directory / uuid4().hex[:16]
        self._rows = path.with_suffix(".f16").open("wb")
        self._index = path.with_suffix(".jsonl").open("w", encoding="utf-8")
        return self

    def add(self, key: str, rows: npt.NDArray[Any]) -> None:
        """Append `(rows, width)` under a key."""
        with naming_the_disk(Path(self._rows.name)):
            self._rows.write(np.ascontiguousarray(rows, np.float16).tobytes())
            self._rows.flush()
            self._index.write(json.dumps({"key": key, "start": self._start, "rows": len(rows)}) + "\n")
            self._index.flush()
        self._start += len(rows)

    def __exit__(self, *exception: object) -> None:
        self._rows.close()
        self._index.close()
        self.store.refresh()


class Frames(Protocol):
    """Rows `(time, width)` by key."""

    width: int

    def __getitem__(self, key: str) -> npt.NDArray[Any]:
        """The rows of a key."""
        ...


class MeanFrames:
    """Each sound's mean frame `(1, width)` float32: all that a model without attention takes from its frames.

    Args:
        frames: Where the frames are; each sound's are read once.
    """

    def __init__(self, frames: Frames) -> None:
        self.width = frames.width
        self._frames = frames
        self._means: dict[str, npt.NDArray[np.float32]] = {}

    def __getitem__(self, key: str) -> npt.NDArray[np.float32]:
        """The mean frame of a key."""
        if key not in self._means:
            self._means[key] = np.asarray(self._frames[key], np.float32).mean(axis=0, keepdims=True)
        return self._means[key]


def cache_directory() -> Path:
    """Where features are kept: `$SOUNDSEEK_CACHE`, or the user's cache folder. It may be deleted."""
    chosen = os.environ.get("SOUNDSEEK_CACHE")
    return Path(chosen) if chosen else user_cache_path("soundseek", appauthor=False) / "features"


def frame_store(
    trunk: Trunk,
    name: str,
    weights: Path,
    directory: Path | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    trained_blocks: int = 0,
) -> FeatureStore:
    """The store of a trunk's frames; another trunk, other options or other weights have another store.

    Where the last layers are trained, `trunk` is what comes before them, and the store is one of its own.
    """
    folder = f"{name}-{weights_digest(weights)}-{trunk.width}-r{_FRAMES_REVISION}"
    if options:
        options = {**options, **({"level": LEVEL_REVISION} if "peak_dbfs" in options else {})}
        folder += f"-{hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]}"
    if trained_blocks:
        folder += f"-before-last-{trained_blocks}"
    return FeatureStore((directory or cache_directory()) / "frames" / folder, trunk.width)


def text_store(text: TextTower, directory: Path | None = None) -> FeatureStore:
    """The store of a text tower's features."""
    return FeatureStore((directory or cache_directory()) / "text" / text.digest, text.width)


def text_key(text: str) -> str:
    """The key of a sentence."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def extract_frames(
    sounds: Sequence[SoundSpec],
    store: FeatureStore,
    name: str,
    weights: Path,
    *,
    options: Mapping[str, Any] | None = None,
    trained_blocks: int = 0,
    workers: int = 2,
    trunk: Trunk | None = None,
    report: Report | None = None,
) -> list[str]:
    """Run a frozen trunk over the sounds that the store does not have yet, one at a time: no padding leaks.

    Args:
        sounds: What to embed.
        store: Where the frames go.
        name: The trunk's name.
        weights: The trunk's weights.
        options: The recipe's `audio.trunk_options`.
        trained_blocks: How many of its last layers are left out.
        workers: Processes, one thread each, that build a trunk of their own; 0 works in this one.
        trunk: What `frame_store` was given, for the work in this process; None builds another.
        report: Called after each sound.

    Returns:
        The key of each sound.

    Raises:
        DataError: A sound that cannot be decoded.
        WorkerError: A process was killed; what is computed is kept.
    """
    keys = [sound.key() for sound in sounds]
    by_key = dict(zip(keys, sounds, strict=True))
    wanted = store.missing(keys)
    if not wanted:
        return keys
    # A DataLoader only for its workers: each ends by itself when this process is killed.
    workers = min(workers, len(wanted))
    build: Callable[[], Trunk] = partial(_frozen_part, name, weights, dict(options or {}), trained_blocks)
    if trunk is not None and not workers:
        build = partial(_given, trunk)
    frames = _Embedded([by_key[key] for key in wanted], build)
    loader: DataLoader[Any] = DataLoader(
        frames, batch_size=None, num_workers=workers, multiprocessing_context="spawn" if workers else None
    )
    with (
        store.writer() as writer,
        single_threaded_children(),
        naming_killed_workers("training.extraction_workers"),
    ):
        for done, (key, rows) in enumerate(zip(wanted, loader, strict=True), start=1):
            if isinstance(rows, str):
                raise DataError(f"cannot learn from {rows}; mend or remove it, and its line in the captions")
            writer.add(key, rows)
            if report:
                report("frames of sounds", done, len(wanted))
    return keys


@contextmanager
def naming_killed_workers(key: str) -> Iterator[None]:
    """Inside, a DataLoader's worker that dies is a WorkerError.

    Args:
        key: The recipe's key for their number.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise WorkerError(
            "a worker process was killed, often because memory ran out; what is done is kept: give the same "
            f"command again (train: with --resume), with fewer of them: --set {key}=1, or 0 for none"
        ) from error


def _given(trunk: Trunk) -> Trunk:
    return trunk


def _frozen_part(name: str, weights: Path, options: Mapping[str, Any], trained_blocks: int) -> Trunk:
    body, _ = split_trunk(build_trunk(name, weights, options), trained_blocks)
    return body


class _Embedded(Dataset[Any]):
    """Frames `(time, width)` float16 of each sound, or the reason why there are none."""

    def __init__(self, sounds: Sequence[SoundSpec], build: Callable[[], Trunk]) -> None:
        self.sounds = sounds
        self.build = build
        self._trunk: Trunk | None = None

    def __len__(self) -> int:
        return len(self.sounds)

    def __getitem__(self, index: int) -> HalfArray | str:
        if self._trunk is None:  # each worker loads its own: nothing is shared between processes
            self._trunk = self.build()
            self._log_mel = LogMel(self._trunk.front_end)
        try:
            return embed_sound(self.sounds[index], self._trunk, self._log_mel)
        except DecodeError as error:
            return str(error)


@torch.no_grad()
def embed_sound(sound: SoundSpec, trunk: Trunk, log_mel: LogMel) -> HalfArray:
    """Frames `(time, width)` float16 of one sound, alone in its batch."""
    plain = log_mel(render(sound, trunk.front_end.sample_rate_hz))
    features = log_mel.config.continued(plain, trunk.min_frames)
    frames, mask = trunk(torch.from_numpy(features).unsqueeze(0))
    return cast("HalfArray", frames[0][mask[0]].numpy().astype(np.float16))


def extract_texts(
    texts: Sequence[str],
    store: FeatureStore,
    text: TextTower,
    *,
    batch_size: int = 64,
    report: Report | None = None,
) -> npt.NDArray[np.float32]:
    """Features `(len(texts), width)` float32 of sentences; those that the store lacks are computed first.

    Sentences of one length share a batch, so that none is padded: a sentence's features are the same in any
    company.
    """
    keys = [text_key(sentence) for sentence in texts]
    by_key = dict(zip(keys, texts, strict=True))
    wanted = store.missing(keys)
    if wanted:
        with store.writer() as writer:
            done = 0
            for batch in _same_length(wanted, by_key, text, batch_size):
                features = text.features([by_key[key] for key in batch]).cpu().numpy()
                for key, row in zip(batch, features, strict=True):
                    writer.add(key, row[None])
                done += len(batch)
                if report:
                    report("features of captions", done, len(wanted))
    return np.stack([store[key][0] for key in keys]).astype(np.float32)


def _same_length(
    keys: Sequence[str], texts: dict[str, str], tower: TextTower, batch_size: int
) -> Iterator[list[str]]:
    groups: dict[int, list[str]] = {}
    for start in range(0, len(keys), 4096):
        chunk = keys[start : start + 4096]
        lengths = tower.tokenize([texts[key] for key in chunk])[1].sum(1).tolist()
        for key, length in zip(chunk, lengths, strict=True):
            groups.setdefault(length, []).append(key)
    for group in groups.values():
        for start in range(0, len(group), batch_size):
            yield group[start : start + batch_size]
