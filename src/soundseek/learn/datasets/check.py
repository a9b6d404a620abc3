"""What is wrong with a directory of captioned sounds: every missing, surplus, broken, silent or double file."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from soundseek._typing import Report
from soundseek.audio.decode import open_audio, probe
from soundseek.audio.files import is_passed_by
from soundseek.errors import DecodeError
from soundseek.learn.datasets.layout import CaptionTable, read_table, recording_ids, splits_of

ProblemKind = Literal["captions", "missing", "surplus", "undecodable", "silent", "duplicate", "two splits"]
KINDS: tuple[ProblemKind, ...] = (
    "captions",
    "missing",
    "surplus",
    "undecodable",
    "silent",
    "duplicate",
    "two splits",
)
"""What can be wrong, in the order of the report."""

_Place = tuple[str, str]  # split, file name


@dataclass(frozen=True)
class DataProblem:
    """One thing that is wrong.

    Attributes:
        kind: Of what sort.
        split: Where; of a clip in two splits, the later one.
        file: The sound, or the table.
        detail: What exactly, in words.
    """

    kind: ProblemKind
    split: str
    file: str
    detail: str


@dataclass(frozen=True)
class SplitCount:
    """What a split has.

    Attributes:
        split: Its name.
        clips: Lines of its table.
        captions: Captions of all of them.
        sounds: Clips whose sound could be decoded.
        audio_s: Their seconds.
    """

    split: str
    clips: int
    captions: int
    sounds: int
    audio_s: float


@dataclass(frozen=True)
class CheckReport:
    """The splits and all that is wrong with them; no problems means that it can be learned from."""

    splits: tuple[SplitCount, ...]
    problems: tuple[DataProblem, ...]


@dataclass(frozen=True)
class DecodedSound:
    """What decoding a file to its end showed.

    Attributes:
        digest: Of its samples at its own rate as 16-bit numbers: equal for a WAV and a FLAC of one sound.
        duration_s: Its length.
        fault: Why it cannot be used; empty if it can.
    """

    digest: str = ""
    duration_s: float = 0.0
    fault: str = ""


def check_data(data: Path, *, workers: int = 1, report: Report | None = None) -> CheckReport:
    """Everything that is wrong with a directory in Clotho's layout.

    Args:
        data: The directory.
        workers: Processes that decode; 1 works in this one.
        report: Called after each decoded sound.

    Raises:
        DataError: It has no captions at all, or a table of metadata that could be misread.
    """
    splits = splits_of(data)
    tables = {split: read_table(data, split) for split in splits}
    listed = {(split, row.name) for split in splits for row in tables[split].rows if row.name}
    present = {(split, name) for split in splits for name in _files(data / split)}
    places = sorted(listed & present, key=lambda place: (splits.index(place[0]), place[1]))
    decoded = dict(zip(places, _decode_all(data, places, workers, report), strict=True))
    ids = recording_ids(data, splits)
    problems = [
        *(
            DataProblem("captions", split, tables[split].path.name, str(fault))
            for split in splits
            for fault in tables[split].wrong
        ),
        *(DataProblem("missing", *place, "listed, and not there") for place in sorted(listed - present)),
        *(DataProblem("surplus", *place, "there, and not listed") for place in sorted(present - listed)),
        *_faults(decoded),
        *_doubles(decoded, ids, splits),
        *_shared_names(listed, ids, splits),
    ]
    problems = _each_once(problems)
    problems.sort(key=lambda each: (KINDS.index(each.kind), splits.index(each.split)))
    counts = tuple(_count(split, tables[split], decoded) for split in splits)
    return CheckReport(counts, tuple(problems))


def _each_once(problems: Iterable[DataProblem]) -> list[DataProblem]:
    """The first, most telling reason why a clip stands in two splits; every other problem as it is."""
    kept = {
        (each.kind, each.split, each.file, "" if each.kind == "two splits" else each.detail): each
        for each in reversed(list(problems))
    }
    return list(reversed(kept.values()))


def _files(folder: Path) -> Iterator[str]:
    """Paths of the files below a folder, relative to it; see `is_passed_by`."""
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        relative = path.relative_to(folder)
        if path.is_file() and not is_passed_by(relative):
            yield relative.as_posix()


def decode_to_end(path: str) -> DecodedSound:
    """Decode a file to its end at its own rate."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        rate_hz = probe(path).sample_rate_hz
        with open_audio(path, sample_rate_hz=rate_hz) as stream:
            for block in stream:
                digest.update(np.round(block * 32767).astype("<i4").tobytes())
    except DecodeError as error:
        return DecodedSound(fault=error.reason)
    return DecodedSound(f"{rate_hz}-{digest.hexdigest()}", stream.info.duration_s)


def _decode_all(
    data: Path, places: Sequence[_Place], workers: int, report: Report | None
) -> list[DecodedSound]:
    paths = [str(data.joinpath(*place)) for place in places]
    if workers <= 1 or len(paths) < 2:
        return _counted(map(decode_to_end, paths), len(paths), report)
    # Spawned, not forked: a fork of a process with threads (NumPy's, PyTorch's) may wait for ever.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        return _counted(pool.map(decode_to_end, paths, chunksize=16), len(paths), report)


def _counted(results: Iterable[DecodedSound], total: int, report: Report | None) -> list[DecodedSound]:
    decoded = []
    for done, result in enumerate(results, start=1):
        decoded.append(result)
        if report:
            report("decoding", done, total)
    return decoded


def _faults(decoded: Mapping[_Place, DecodedSound]) -> Iterator[DataProblem]:
    for place, result in decoded.items():
        if result.fault:
            yield DataProblem(
                "silent" if result.fault.startswith("silent") else "undecodable", *place, result.fault
            )


def _doubles(
    decoded: Mapping[_Place, DecodedSound], ids: Mapping[_Place, str], splits: Sequence[str]
) -> Iterator[DataProblem]:
    """Clips with the same samples; and clips of different splits that were cut from one recording."""
    for group in _groups({place: each.digest for place, each in decoded.items()}, splits):
        for earlier, later in pairwise(group):
            crosses = earlier[0] != later[0]
            detail = f"the same sound as {'/'.join(earlier)}"
            yield DataProblem("two splits" if crosses else "duplicate", *later, detail)
    for group in _groups(ids, splits):
        for earlier, later in _first_of_each_split([place for place in group if place in decoded]):
            detail = f"cut from the same recording ({ids[later]}) as {'/'.join(earlier)}"
            yield DataProblem("two splits", *later, detail)


def _first_of_each_split(group: Sequence[_Place]) -> Iterator[tuple[_Place, _Place]]:
    """Every clip of a later split, beside the first clip of the earliest one."""
    for later in group[1:]:
        if later[0] != group[0][0]:
            yield group[0], later


def _groups(keys: Mapping[_Place, str], splits: Sequence[str]) -> Iterator[list[_Place]]:
    """Places that have one key, in the order of the splits; a key of one place alone is left out."""
    groups: dict[str, list[_Place]] = defaultdict(list)
    for place, key in keys.items():
        if key and place[0] in splits:
            groups[key].append(place)
    for group in groups.values():
        if len(group) > 1:
            yield sorted(group, key=lambda place: (splits.index(place[0]), place[1]))


def _shared_names(
    listed: set[_Place], ids: Mapping[_Place, str], splits: Sequence[str]
) -> Iterator[DataProblem]:
    """Names that two splits list, unless metadata knows them for different recordings."""
    for first, second in combinations(splits, 2):
        names = {name for split, name in listed if split == first}
        for name in sorted(names & {name for split, name in listed if split == second}):
            if (first, name) not in ids or (second, name) not in ids:
                yield DataProblem("two splits", second, name, f"{first} lists a sound of this name as well")


def _count(split: str, table: CaptionTable, decoded: Mapping[_Place, DecodedSound]) -> SplitCount:
    sounds = [each for place, each in decoded.items() if place[0] == split and not each.fault]
    captions = sum(len(row.captions) for row in table.rows)
    return SplitCount(split, len(table.rows), captions, len(sounds), sum(each.duration_s for each in sounds))
