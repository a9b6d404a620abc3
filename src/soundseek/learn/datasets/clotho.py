"""Clotho as it is published -> Clotho's layout on disk: fetched, unpacked, verified, mended where it can be."""

from __future__ import annotations

import csv
import html
import io
import shutil
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from soundseek._typing import Report
from soundseek.errors import DataError, UsageError
from soundseek.learn.datasets.archives import extract, member_sizes
from soundseek.learn.datasets.download import CannotFetchError, Patience, fetch
from soundseek.learn.datasets.sources import CLOTHO, ClothoRelease, ClothoSplit, RemoteFile
from soundseek.learn.datasets.tables import read_csv

DOWNLOADS = "downloads"
"""Folder of what was fetched as published; files put there by hand are verified and used."""

Say = Callable[[str], None]


class ClothoBuilder:
    """Brings a directory to Clotho's layout; what is there already and right is left alone.

    Args:
        data: The directory; made if missing.
        mirror: A URL that has the files by name, instead of the publisher's.
        release: What to fetch.
        patience: How long to try.
        report: Report of downloads and of unpacking, in bytes.
        say: Told what was mended.
    """

    def __init__(
        self,
        data: Path,
        *,
        mirror: str | None = None,
        release: ClothoRelease = CLOTHO,
        patience: Patience | None = None,
        report: Report | None = None,
        say: Say = lambda line: None,
    ) -> None:
        self.data = data
        self._mirror = mirror
        self._release = release
        self._patience = patience
        self._report = report
        self._say = say

    def build(self, splits: Sequence[str] | None = None) -> dict[str, int]:
        """Split -> its clips, all of which are there now.

        Raises:
            DataError: A file that can neither be fetched nor is there; what to put where stands in the message.
            UsageError: A split that Clotho does not have.
        """
        wanted = list(splits or self._release.splits)
        for split in wanted:
            if split not in self._release.splits:
                raise UsageError(f"Clotho has no split {split!r}; it has {', '.join(self._release.splits)}")
        built = {}
        for number, split in enumerate(wanted):
            try:
                built[split] = self._build(split, self._release.splits[split])
            except CannotFetchError as error:
                raise DataError(self._by_hand(error, wanted[number:])) from error
        return built

    def _build(self, split: str, files: ClothoSplit) -> int:
        captions = self._captions(files)
        metadata = _decode(self._fetch(files.metadata).read_bytes())
        self._complete_sounds(split, files, [name for name, _ in captions])
        _write_csv(self.data / f"metadata_{split}.csv", _tidied(csv.reader(io.StringIO(metadata))))
        columns = [f"caption_{number + 1}" for number in range(self._release.captions_per_clip)]
        # Last, so that whoever finds this table finds every sound that it names.
        _write_csv(
            self.data / f"captions_{split}.csv",
            [["file_name", *columns], *([name, *sentences] for name, sentences in captions)],
        )
        return len(captions)

    def _fetch(self, file: RemoteFile) -> Path:
        in_sight = (self.data / file.name).is_file()  # put beside the folder that was meant
        folder = self.data if in_sight else self.data / DOWNLOADS
        return fetch(file.at(self._mirror), folder, report=self._report, patience=self._patience)

    def _captions(self, files: ClothoSplit) -> list[tuple[str, list[str]]]:
        table = self._fetch(files.captions)
        columns = [f"caption_{number + 1}" for number in range(self._release.captions_per_clip)]
        clips: dict[str, list[str]] = {}
        for row in read_csv(table, "file_name", *columns):
            name = tidy(row.cells["file_name"])
            sentences = [row.cells[column] for column in columns if row.cells[column]]
            if len(sentences) != len(columns):
                raise DataError(
                    f"{table}, line {row.line}: {name} has {len(sentences)} captions, expected {len(columns)}"
                )
            if name in clips:
                raise DataError(f"{table}, line {row.line}: {name} stands there twice")
            clips[name] = sentences
        if len(clips) != files.num_clips:
            raise DataError(f"{table} lists {len(clips)} clips, expected {files.num_clips}")
        return list(clips.items())

    def _complete_sounds(self, split: str, files: ClothoSplit, names: Sequence[str]) -> None:
        folder = self.data / split
        folder.mkdir(parents=True, exist_ok=True)
        self._rename_strays(folder, names)
        lacking = self._lacking(folder, files, names)
        if not lacking:
            return
        if len(lacking) < len(names):
            self._say(f"{split}: {len(lacking)} of {len(names)} clips are missing or cut off; mending")
        archive = self._fetch(files.audio)
        members = match_names(lacking, member_sizes(archive))
        absent = [name for name in lacking if name not in members]
        if absent:
            raise DataError(f"{archive} does not hold {absent[0]} ({len(absent)} of {len(lacking)} clips)")
        scratch = self.data / DOWNLOADS / f"unpacking-{split}"
        shutil.rmtree(scratch, ignore_errors=True)
        for name, unpacked in extract(archive, members, scratch, report=self._report):
            unpacked.replace(folder / name)
        shutil.rmtree(scratch, ignore_errors=True)

    def _rename_strays(self, folder: Path, names: Sequence[str]) -> None:
        """Give sounds unpacked by hand the name that their captions stand under."""
        present = {path.name for path in folder.iterdir() if path.is_file()}
        lacking = [name for name in names if name not in present]
        for name, spelling in match_names(lacking, present.difference(names)).items():
            (folder / spelling).rename(folder / name)
            self._say(f"{folder / spelling} is now {name}")

    def _lacking(self, folder: Path, files: ClothoSplit, names: Sequence[str]) -> list[str]:
        """Names that are not there, or have another size than in the archive (if that is at hand)."""
        sizes: Mapping[str, int] = {}
        for place in (self.data, self.data / DOWNLOADS):
            archive = place / files.audio.name
            if archive.is_file():
                sizes = _sizes(archive, names)
        found = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
        return [name for name in names if not found.get(name) or found[name] != sizes.get(name, found[name])]

    def _by_hand(self, error: CannotFetchError, splits: Sequence[str]) -> str:
        files = [file for split in splits for file in self._release.splits[split].files]
        places = (self.data, self.data / DOWNLOADS)
        names = [
            file.name
            for file in files
            if not any((place / file.name).is_file() for place in places) and not self._has(file)
        ]
        return (
            f"cannot download: {error}; fetch {', '.join(names) or error} by hand from {self._release.page}, "
            f"put them into {self.data / DOWNLOADS}, and run the same command again"
        )

    def _has(self, file: RemoteFile) -> bool:
        """Whether an archive is not needed because its sounds are all there."""
        for split, files in self._release.splits.items():
            if files.audio.name == file.name:
                folder = self.data / split
                return folder.is_dir() and sum(1 for _ in folder.iterdir()) >= files.num_clips
        return False


def _sizes(archive: Path, names: Sequence[str]) -> dict[str, int]:
    try:
        sizes = member_sizes(archive)
    except DataError:  # damaged: `fetch` will see it by its md5 and get another, if it is needed at all
        return {}
    return {name: sizes[member] for name, member in match_names(names, sizes).items()}


def _decode(content: bytes) -> str:
    """Clotho's captions are UTF-8, its metadata ISO-8859-1."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("iso-8859-1")


def _tidied(rows: Iterable[Sequence[str]]) -> list[list[str]]:
    return [[tidy(row[0]), *row[1:]] for row in rows if row]


def _write_csv(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write all of a table or nothing."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    part.replace(path)


def tidy(name: str) -> str:
    """A file name as soundseek writes it: composed characters, no space at either end.

    Example:
        >>> tidy(" typical neighborhood.wav")
        'typical neighborhood.wav'
    """
    return unicodedata.normalize("NFC", name).strip()


def loose(name: str) -> str:
    """What is left of a name when everything that archivers and spreadsheets change is dropped.

    Example:
        >>> loose("Rain on metal: police.WAV") == loose(" Rain on metal_police.wav")
        True
    """
    text = unicodedata.normalize("NFKC", html.unescape(name)).casefold()
    return "".join(character for character in text if character.isalnum())


def match_names(wanted: Iterable[str], found: Iterable[str]) -> dict[str, str]:
    """Wanted name -> the found name that means it: the same, else tidied, else loosely and without a doubt.

    Example:
        >>> match_names(["a.wav", "b: c.wav"], [" a.wav", "b_ c.wav", "d.wav"])
        {'a.wav': ' a.wav', 'b: c.wav': 'b_ c.wav'}
    """
    rest, left = list(dict.fromkeys(wanted)), list(dict.fromkeys(found))
    matched: dict[str, str] = {}
    for key in (str, tidy, loose):
        theirs, ours = _by_key(left, key), _by_key(rest, key)
        for spelling, names in ours.items():
            if len(names) == 1 and len(theirs.get(spelling, ())) == 1:
                matched[names[0]] = theirs[spelling][0]
        taken = set(matched.values())
        rest = [name for name in rest if name not in matched]
        left = [name for name in left if name not in taken]
    return matched


def _by_key(names: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[key(name)].append(name)
    return groups
