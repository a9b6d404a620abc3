"""AudioCaps, MACS and WavCaps: what can be downloaded is, the rest comes from a folder of sounds at hand."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from soundseek.errors import DataError, UsageError
from soundseek.learn.data import sources
from soundseek.learn.data.archives import extract, member_sizes
from soundseek.learn.data.clotho_release import DOWNLOADS
from soundseek.learn.data.convert import (
    Laid,
    Sounds,
    Source,
    lay_out,
    read_audiocaps,
    read_macs,
    read_wavcaps,
    tested_recordings,
)
from soundseek.learn.data.download import CannotFetchError, Patience, Progress, fetch
from soundseek.learn.data.sources import RemoteFile


class Publisher:
    """Fetches files into `DATA/downloads`; when it cannot, says what to put there by hand.

    Args:
        data: The directory of the data set.
        page: Where a person finds the files.
        mirror: A URL that has the files by name, instead of the publisher's.
        patience: How long to try.
        report: Progress in bytes.
    """

    def __init__(
        self,
        data: Path,
        page: str,
        *,
        mirror: str | None = None,
        patience: Patience | None = None,
        report: Progress | None = None,
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
    report: Progress | None = None,
) -> list[Laid]:
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
    report: Progress | None = None,
) -> list[Laid]:
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
    report: Progress | None = None,
) -> list[Laid]:
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
