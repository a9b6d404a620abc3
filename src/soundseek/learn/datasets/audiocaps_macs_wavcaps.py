"""AudioCaps, MACS and WavCaps -> Clotho's layout, from their published captions and a folder of sounds.

Of these three only MACS has sounds that can be downloaded one archive after the other. AudioCaps' are parts of
YouTube videos, of which some vanish every year; WavCaps' are split zip archives of several hundred GB. For
both, a folder of sounds that the user has already is matched by name.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from soundseek._typing import Report
from soundseek.audio.files import AUDIO_EXTENSIONS, sounds_of_folder
from soundseek.errors import DataError, UsageError
from soundseek.learn.datasets import sources
from soundseek.learn.datasets.archives import extract, member_sizes
from soundseek.learn.datasets.clotho import DOWNLOADS
from soundseek.learn.datasets.download import CannotFetchError, Patience, fetch
from soundseek.learn.datasets.layout import SPLITS, recording_ids
from soundseek.learn.datasets.sources import RemoteFile
from soundseek.learn.datasets.tables import read_csv, read_text

_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"  # of no width
_AUDIOCAPS_CLIP_S = 10
_AUDIOCAP_ID = re.compile(r'\s*"?\d+"?,')
_OPENS_A_QUOTE = re.compile(r'(^|,)"')


@dataclass(frozen=True)
class Source:
    """One clip as its publisher lists it.

    Attributes:
        name: Its file name in the layout, without extension.
        captions: Those that are not empty.
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
class LaidOut:
    """What became of a split.

    Attributes:
        split: Its name.
        clips: Clips that it has now.
        missing: Names of those without a sound.
        left_out: Clips left out because another data set is tested on their recordings.
        without_caption: Clips left out because their publisher gives them no caption.
    """

    split: str
    clips: int
    missing: tuple[str, ...] = field(repr=False)
    left_out: int = 0
    without_caption: int = 0

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `without_caption` only where there are such clips."""
        fields = asdict(self)
        if not self.without_caption:
            del fields["without_caption"]
        return fields


class Sounds:
    """The sounds below a folder, by name without extension.

    Raises:
        UsageError: No folder, or not one sound in it.
    """

    def __init__(self, folder: Path) -> None:
        self._paths: dict[str, list[Path]] = defaultdict(list)
        for path in sounds_of_folder(folder):
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
) -> LaidOut:
    """Bring one split to Clotho's layout: sounds by hard link (or copied), captions, metadata.

    Args:
        data: The directory.
        split: The split.
        sources: Its clips.
        sounds: Where their sounds may be.
        excluded: `sound_id`s to leave out.
    """
    captioned = [source for source in sources if source.captions]
    kept = [source for source in captioned if source.sound_id not in excluded]
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
    without_caption = len(sources) - len(captioned)
    return LaidOut(split, len(placed), tuple(missing), len(captioned) - len(kept), without_caption)


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
        DataError: A column is missing, or a row that could be misread; the message names the line.
    """
    captions: dict[tuple[str, int], list[str]] = defaultdict(list)
    numbers: dict[tuple[str, int], list[str]] = defaultdict(list)
    columns = ("audiocap_id", "youtube_id", "start_time", "caption")
    for row in read_csv(table, *columns, mend=_rejoined):
        number, video, start, caption = (row.cells[column] for column in columns)
        try:
            clip = (video, int(float(start)))
        except (ValueError, OverflowError) as error:
            reason = f"start_time = {start!r} is no number of seconds"
            raise DataError(f"{table}, line {row.line}: {reason}") from error
        captions[clip] += [caption] if caption else []
        numbers[clip].append(number)
    return [
        Source(f"{video}_{start_s}", tuple(captions[video, start_s]), (
            *_youtube_spellings(video, start_s), *numbers[video, start_s]
        ), video)
        for video, start_s in captions
    ]  # fmt: skip


def _rejoined(text: str) -> str:
    """AudioCaps 2.0 with each caption on one line: it has line breaks in captions without quotes around them.

    A line that begins with no number continues the one before, unless that has an open quote. Blank lines in its
    place keep the numbers of the lines.
    """
    lines: list[str] = []
    last, is_quoted = 0, False  # where the last row begins, and whether a quoted cell of it is open
    for line in text.splitlines():
        begins = bool(_AUDIOCAP_ID.match(line))
        if lines and not is_quoted and not begins:
            lines[last] = f"{lines[last].rstrip()} {line.strip()}".rstrip()
            lines.append("")
            continue
        lines.append(line)
        if begins and not is_quoted:
            last, is_quoted = len(lines) - 1, False
        if is_quoted or _OPENS_A_QUOTE.search(line):
            is_quoted ^= line.count('"') % 2 == 1
    return "\n".join(lines)


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
        clips = json.loads(read_text(table))["data"]
        return [_wavcaps_clip(clip, source) for clip in clips]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f'{table}: expected {{"data": [{{"id", "caption"}}, ...]}}; {error!r}') from error


def _wavcaps_clip(clip: Mapping[str, str | int | None], source: str) -> Source:
    if clip["id"] is None:
        raise ValueError(f"a clip has no id: {clip}")
    name = PurePosixPath(str(clip["id"])).name
    stem = (
        name[: -len(suffix)] if (suffix := PurePosixPath(name).suffix).lower() in AUDIO_EXTENSIONS else name
    )
    # Freesound's numbers and YouTube's ids (here with a Y before) are what Clotho and AudioCaps have as well.
    ids = {"FreeSound": stem, "AudioSet_SL": stem.removeprefix("Y")}
    sound_id = ids.get(source, f"{source}-{stem}")
    caption = _caption_of(clip["caption"])
    return Source(f"{source}-{stem}", (caption,) if caption else (), (stem,), sound_id, source)


def _caption_of(value: object) -> str:
    """A publisher's caption; "" where it has none: null, not a number, or letters that nobody sees.

    Raises:
        ValueError: It is something else than text.
    """
    if value is None or value != value:  # NaN, as pandas writes an empty cell
        return ""
    if not isinstance(value, str):
        raise ValueError(f"a caption is no text: {value!r:.60}")
    return value.strip().strip(_INVISIBLE).strip()


def read_macs(table: Path) -> list[Source]:
    """The clips of MACS.yaml.

    Raises:
        DataError: The file is not of that form.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it was built
    try:
        return [_macs_clip(clip) for clip in yaml.load(read_text(table), Loader=loader)["files"]]
    except (KeyError, TypeError, yaml.YAMLError) as error:
        raise DataError(f"{table}: expected files with filename and annotations; {error!r}") from error


def _macs_clip(clip: Mapping[str, Any]) -> Source:
    stem = PurePosixPath(clip["filename"]).stem
    captions = (_caption_of(each["sentence"]) for each in clip["annotations"])
    return Source(stem, tuple(filter(None, captions)), (stem,), _recording_of(stem))


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


class Publisher:
    """Fetches files into `DATA/downloads`; when it cannot, says what to put there by hand.

    Args:
        data: The directory of the data set.
        page: Where a person finds the files.
        mirror: A URL that has the files by name, instead of the publisher's.
        patience: How long to try.
        report: Report in bytes.
    """

    def __init__(
        self,
        data: Path,
        page: str,
        *,
        mirror: str | None = None,
        patience: Patience | None = None,
        report: Report | None = None,
    ) -> None:
        self.folder = data / DOWNLOADS
        self.report = report
        self._page = page
        self._mirror = mirror
        self._patience = patience

    def fetch(self, files: Sequence[RemoteFile]) -> list[Path]:
        """Where the files lie now.

        Raises:
            DataError: One is neither there nor can be fetched.
        """
        paths = []
        for number, file in enumerate(files):
            try:
                there = file.at(self._mirror)
                paths.append(fetch(there, self.folder, report=self.report, patience=self._patience))
            except CannotFetchError as error:
                lacking = [each.name for each in files[number:] if not (self.folder / each.name).is_file()]
                raise DataError(
                    f"cannot download: {error}; fetch {', '.join(lacking or [file.name])} by hand from "
                    f"{self._page}, put them into {self.folder}, and run the same command again"
                ) from error
        return paths


def obtain_audiocaps(
    data: Path,
    audio: Path | None,
    *,
    without: Sequence[Path] = (),
    mirror: str | None = None,
    patience: Patience | None = None,
    report: Report | None = None,
) -> list[LaidOut]:
    """AudioCaps in Clotho's layout, as far as `audio` has its sounds; train, val and test get our names.

    Raises:
        UsageError: No folder of sounds; the captions are there then.
    """
    files = sources.AUDIOCAPS
    publisher = Publisher(data, sources.AUDIOCAPS_PAGE, mirror=mirror, patience=patience, report=report)
    tables = publisher.fetch(list(files.values()))
    if audio is None:
        raise UsageError(
            "AudioCaps publishes captions and no sounds (they are parts of YouTube videos): the captions are in "
            f"{publisher.folder}; give the folder of the sounds that you have with --audio FOLDER"
        )
    sounds, excluded = Sounds(audio), tested_recordings(without)
    return [
        lay_out(data, split, read_audiocaps(table), sounds, excluded=excluded)
        for split, table in zip(files, tables, strict=True)
    ]


def obtain_wavcaps(
    data: Path,
    audio: Path | None,
    *,
    parts: Sequence[str] = (),
    without: Sequence[Path] = (),
    mirror: str | None = None,
    patience: Patience | None = None,
    report: Report | None = None,
) -> list[LaidOut]:
    """WavCaps in Clotho's layout, as far as `audio` has its sounds: all of it is for development.

    Args:
        data: The directory.
        audio: A folder with a folder for each part, as the archives unpack.
        parts: "FreeSound" and so on; none means all.
        without: Data sets whose validation and evaluation recordings are left out.
        mirror: See `Publisher`.
        patience: See `Publisher`.
        report: See `Publisher`.

    Raises:
        UsageError: An unknown part; or no folder of sounds, the captions are there then.
    """
    wanted = list(parts or sources.WAVCAPS)
    for part in wanted:
        if part not in sources.WAVCAPS:
            raise UsageError(f"WavCaps has no part {part!r}; it has {', '.join(sources.WAVCAPS)}")
    publisher = Publisher(data, sources.WAVCAPS_PAGE, mirror=mirror, patience=patience, report=report)
    tables = publisher.fetch([sources.WAVCAPS[part] for part in wanted])
    if audio is None:
        raise UsageError(
            f"WavCaps' sounds are split zip archives of several hundred GB: fetch those you want from "
            f"{sources.WAVCAPS_PAGE}/tree/main/Zip_files, unpack them (zip -FF joins the parts) into a folder "
            f"for each of {', '.join(wanted)}, and give the folder above with --audio FOLDER"
        )
    clips: list[Source] = []
    for part, table in zip(wanted, tables, strict=True):
        clips += read_wavcaps(table, part)
    return [lay_out(data, "development", clips, Sounds(audio), excluded=tested_recordings(without))]


def obtain_macs(
    data: Path,
    audio: Path | None,
    *,
    mirror: str | None = None,
    patience: Patience | None = None,
    report: Report | None = None,
) -> list[LaidOut]:
    """MACS in Clotho's layout, all of it for development; without `audio` its sounds are downloaded.

    Raises:
        DataError: A file can neither be fetched nor is there.
    """
    publisher = Publisher(data, sources.MACS_PAGE, mirror=mirror, patience=patience, report=report)
    (table,) = publisher.fetch([sources.MACS_CAPTIONS])
    clips = read_macs(table)
    if audio is None:
        audio = data / "development"
        archives = Publisher(data, sources.TAU_PAGE, mirror=mirror, patience=patience, report=report)
        _unpack_macs(audio, clips, archives)
    return [lay_out(data, "development", clips, Sounds(audio))]


def _unpack_macs(folder: Path, clips: Sequence[Source], publisher: Publisher) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    scratch = publisher.folder / "unpacking"

    def lacking() -> set[str]:
        return {f"{clip.name}.wav" for clip in clips} - {path.name for path in folder.iterdir()}

    if not lacking():
        return
    for archive in publisher.fetch(sources.MACS_AUDIO):
        members = lacking() & set(member_sizes(archive))
        shutil.rmtree(scratch, ignore_errors=True)
        for name, unpacked in extract(
            archive, {name: name for name in members}, scratch, report=publisher.report
        ):
            unpacked.replace(folder / name)
    shutil.rmtree(scratch, ignore_errors=True)
