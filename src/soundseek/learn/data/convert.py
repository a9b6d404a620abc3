"""AudioCaps, MACS and WavCaps -> Clotho's layout, from their published captions and the sounds at hand.

Of these three only MACS has sounds that can be downloaded one archive after the other. AudioCaps' are parts of
YouTube videos, of which some vanish every year; WavCaps' are split zip archives of several hundred GB. For
both, a folder of sounds that somebody has already is matched by name.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from soundseek.audio.decode import AUDIO_EXTENSIONS
from soundseek.errors import DataError, UsageError
from soundseek.learn.data.layout import SPLITS, recording_ids

_AUDIOCAPS_CLIP_S = 10


@dataclass(frozen=True)
class Source:
    """One clip as its publisher lists it.

    Attributes:
        name: Its file name in the layout, without extension.
        captions: At least one.
        spellings: File names, without extension, under which its sound is passed around; the first that is
            there counts.
        sound_id: What it was cut from; equal for two clips of one recording.
        folder: Name of a folder that the sound must be in; empty for anywhere.
    """

    name: str
    captions: tuple[str, ...]
    spellings: tuple[str, ...]
    sound_id: str
    folder: str = ""


@dataclass(frozen=True)
class Laid:
    """What became of a split.

    Attributes:
        split: Its name.
        clips: Clips that it has now.
        missing: Names of those without a sound.
        left_out: Clips left out because another data set is tested on their recordings.
    """

    split: str
    clips: int
    missing: tuple[str, ...] = field(repr=False)
    left_out: int = 0


class Sounds:
    """The sounds below a folder, by name without extension.

    Raises:
        UsageError: No folder, or not one sound in it.
    """

    def __init__(self, folder: Path) -> None:
        self._paths: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in AUDIO_EXTENSIONS and path.is_file():
                self._paths[path.stem].append(path)
        if not self._paths:
            what = "holds no sound" if folder.is_dir() else "is no folder"
            raise UsageError(f"--audio {folder} {what}")

    def find(self, source: Source) -> Path | None:
        """The sound of a clip."""
        for spelling in source.spellings:
            for path in self._paths.get(spelling, ()):
                if not source.folder or source.folder in path.parts:
                    return path
        return None


def lay_out(
    data: Path,
    split: str,
    sources: Sequence[Source],
    sounds: Sounds,
    *,
    excluded: frozenset[str] = frozenset(),
) -> Laid:
    """Bring one split to Clotho's layout: sounds by hard link (or copied), captions, metadata.

    Args:
        data: The directory.
        split: The split.
        sources: Its clips.
        sounds: Where their sounds may be.
        excluded: `sound_id`s to leave out.
    """
    kept = [source for source in sources if source.sound_id not in excluded]
    (data / split).mkdir(parents=True, exist_ok=True)
    missing: list[str] = []
    placed: list[tuple[str, Source]] = []
    for source in kept:
        found = sounds.find(source)
        if found is None:
            missing.append(source.name)
            continue
        name = source.name + found.suffix.lower()
        _place(found, data / split / name)
        placed.append((name, source))
    num_captions = max((len(source.captions) for _, source in placed), default=1)
    captions = [f"caption_{number + 1}" for number in range(num_captions)]
    _write_table(data / f"metadata_{split}.csv", ["file_name", "sound_id"], (
        [name, source.sound_id] for name, source in placed
    ))  # fmt: skip
    _write_table(data / f"captions_{split}.csv", ["file_name", *captions], (
        [name, *source.captions, *[""] * (num_captions - len(source.captions))] for name, source in placed
    ))  # fmt: skip
    return Laid(split, len(placed), tuple(missing), len(sources) - len(kept))


def _place(sound: Path, target: Path) -> None:
    if target.exists():
        old, new = target.stat(), sound.stat()
        if target.samefile(sound) or (old.st_size, int(old.st_mtime)) == (new.st_size, int(new.st_mtime)):
            return
        target.unlink()
    try:
        os.link(sound, target)
    except OSError:  # another disk, or a file system without links
        part = target.with_name(target.name + ".part")
        shutil.copy2(sound, part)
        part.replace(target)


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    part.replace(path)


def read_audiocaps(table: Path) -> list[Source]:
    """The clips of one of AudioCaps' CSVs, with all captions of a clip together.

    Raises:
        DataError: A column is missing.
    """
    captions: dict[tuple[str, int], list[str]] = defaultdict(list)
    numbers: dict[tuple[str, int], list[str]] = defaultdict(list)
    with table.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        wanted = {"audiocap_id", "youtube_id", "start_time", "caption"}
        if not wanted <= set(reader.fieldnames or []):
            raise DataError(
                f"{table}, line 1: expected {','.join(sorted(wanted))}, found {reader.fieldnames}"
            )
        for row in reader:
            try:
                clip = (row["youtube_id"], int(float(row["start_time"])))
            except ValueError as error:
                raise DataError(f"{table}, line {reader.line_num}: start_time: {error}") from error
            captions[clip].append(row["caption"].strip())
            numbers[clip].append(row["audiocap_id"])
    return [
        Source(f"{video}_{start_s}", tuple(captions[video, start_s]), (
            *_youtube_spellings(video, start_s), *numbers[video, start_s]
        ), video)
        for video, start_s in captions
    ]  # fmt: skip


def _youtube_spellings(video: str, start_s: int) -> Iterator[str]:
    end_s = start_s + _AUDIOCAPS_CLIP_S
    for prefix in ("", "Y"):  # AudioSet's tools write a Y before ids, some of which begin with a dash
        yield f"{prefix}{video}_{start_s}"
        yield f"{prefix}{video}_{start_s}_{end_s}"
        yield f"{prefix}{video}_{start_s:.3f}_{end_s:.3f}"
        yield f"{prefix}{video}_{1000 * start_s}_{1000 * end_s}"
        yield f"{prefix}{video}"


def read_wavcaps(table: Path, source: str) -> list[Source]:
    """The clips of one of WavCaps' JSON files.

    Args:
        table: The file.
        source: "FreeSound" and so on: also the folder of its sounds, since their numbers repeat elsewhere.

    Raises:
        DataError: The file is not of that form.
    """
    try:
        clips = json.loads(table.read_text(encoding="utf-8"))["data"]
        return [_wavcaps_clip(clip, source) for clip in clips]
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise DataError(f'{table}: expected {{"data": [{{"id", "caption"}}, ...]}}; {error!r}') from error


def _wavcaps_clip(clip: Mapping[str, str], source: str) -> Source:
    name = PurePosixPath(str(clip["id"])).name
    stem = name.removesuffix(".wav")
    # Freesound's numbers and YouTube's ids (here with a Y before) are what Clotho and AudioCaps have as well.
    ids = {"FreeSound": stem, "AudioSet_SL": stem.removeprefix("Y")}
    sound_id = ids.get(source, f"{source}-{stem}")
    return Source(f"{source}-{stem}", (str(clip["caption"]).strip(),), (stem,), sound_id, source)


def read_macs(table: Path) -> list[Source]:
    """The clips of MACS.yaml.

    Raises:
        DataError: The file is not of that form.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it was built
    try:
        clips = yaml.load(table.read_text(encoding="utf-8"), Loader=loader)["files"]
        return [
            Source(stem, tuple(each["sentence"].strip() for each in clip["annotations"]), (stem,), place)
            for clip in clips
            for stem in [PurePosixPath(clip["filename"]).stem]
            for place in [_recording_of(stem)]
        ]
    except (KeyError, TypeError, yaml.YAMLError) as error:
        raise DataError(f"{table}: expected files with filename and annotations; {error!r}") from error


def _recording_of(stem: str) -> str:
    """TAU's names are scene-city-location-segment-device: all segments of a location are one recording."""
    return "-".join(stem.split("-")[:3])


def tested_recordings(directories: Sequence[Path]) -> frozenset[str]:
    """`sound_id`s that the validation and evaluation splits of other data sets were cut from."""
    found = set()
    for directory in directories:
        ids = recording_ids(directory, SPLITS)
        tested = {recording for (split, _), recording in ids.items() if split != "development"}
        if not tested:
            raise UsageError(
                f"--without {directory}: it has no metadata_{{split}}.csv with recordings to avoid"
            )
        found |= tested
    return frozenset(found)
