"""Hits as lists, as copies or cuts of their files, and as labels: for a download, or into a folder."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import zipfile
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from soundseek._files import is_full_disk
from soundseek.audio.excerpt import cut
from soundseek.audio.files import printable_path
from soundseek.library.hit_formats import csv_text, m3u_text, record
from soundseek.library.hits import Hit
from soundseek.library.label_tracks import LABEL_SUFFIXES, Label, LabelFormat, label_track
from soundseek.server.items import find_file, item_id, servable_path
from soundseek.server.problems import ProblemError
from soundseek.server.schemas import Cut, ExportAnswer, ExportedFile, ExportedRegion, ExportSkipped, Region

if TYPE_CHECKING:
    from soundseek.library import Library
    from soundseek.library.store.base import SoundFile
    from soundseek.server.state import State

SKIPPED_FILE = "skipped.txt"
_CHUNK_BYTES = 1 << 20
_MAX_NAME_BYTES = 180
_RESERVED = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_DEVICES = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)$")


@dataclass(frozen=True)
class Chosen:
    """A region to export.

    Attributes:
        file: Its file.
        start_s: Where it begins.
        end_s: Where it ends, at most the file's end.
        score: Of the search that found it.
        moment_s: Its best moment.
        match: How probable it was.
        keywords: Words of the query that its name, folder or tags hold.
    """

    file: SoundFile
    start_s: float
    end_s: float
    score: float | None
    moment_s: float | None
    match: float | None = None
    keywords: tuple[str, ...] = ()


def choose(library: Library, regions: Sequence[Region]) -> list[Chosen]:
    """The regions of a request within their files.

    Raises:
        ProblemError: "not-found" where there is no such item, "request" where a region lies behind its file's end.
    """
    chosen = []
    for region in regions:
        file = find_file(library.store, region.id)
        start_s = region.start_s or 0.0
        end_s = min(file.duration_s if region.end_s is None else region.end_s, file.duration_s)
        if end_s <= start_s:
            raise ProblemError(
                "request",
                f"{printable_path(file.path)} has nothing from {start_s:g} s on: it is {file.duration_s:.3f} s long",
            )
        match, keywords = (
            (region.match, tuple(region.keywords)) if isinstance(region, ExportedRegion) else (None, ())
        )
        chosen.append(Chosen(file, start_s, end_s, region.score, region.moment_s, match, keywords))
    return chosen


def as_list(chosen: Sequence[Chosen], format: str) -> tuple[str, str]:
    """The text of a list (`csv`, `json`, `m3u`) as the command line writes it, and its media type."""
    hits = [_hit(each) for each in chosen]
    if format == "csv":
        return csv_text(hits), "text/csv; charset=utf-8"
    if format == "m3u":
        return m3u_text(hits), "audio/x-mpegurl; charset=utf-8"
    return json.dumps([record(hit) for hit in hits], indent=1), "application/json"


def label_files(chosen: Sequence[Chosen], format: LabelFormat, text: str | None = None) -> dict[str, str]:
    """The names and contents of label files, one for each sound file.

    Args:
        chosen: The regions.
        format: Whose labels.
        text: What was looked for: it stands on each label, with the score; None for the file's name.
    """
    by_file: dict[str, list[Chosen]] = defaultdict(list)
    for each in chosen:
        by_file[each.file.path].append(each)
    names = Names()
    found = {}
    for regions in by_file.values():
        file = regions[0].file
        labels = [Label(each.start_s, each.end_s, _label(each, text), each.score) for each in regions]
        name = names.take(safe_name(Path(file.path).stem), LABEL_SUFFIXES[format])
        found[name] = label_track(labels, format, sample_rate_hz=file.sample_rate_hz)
    return found


class Names:
    """Names that no two files of one export share, nor differ in case alone."""

    def __init__(self, taken: Sequence[str] = ()) -> None:
        self._taken = {name.casefold() for name in taken}

    def take(self, stem: str, suffix: str) -> str:
        """The name itself, or with a number behind it."""
        name, number = f"{stem}{suffix}", 2
        while name.casefold() in self._taken:
            name, number = f"{stem} ({number}){suffix}", number + 1
        self._taken.add(name.casefold())
        return name


def safe_name(stem: str) -> str:
    """A name that every file system takes, from one that may hold anything.

    >>> safe_name("a/b: c?"), safe_name(".."), safe_name("con")
    ('a_b_ c_', '_', '_con')
    """
    name = _RESERVED.sub("_", os.fsencode(stem).decode("utf-8", "replace").replace("\ufffd", "_"))
    name = name.encode()[:_MAX_NAME_BYTES].decode("utf-8", "ignore").strip(" .")
    if not name:
        return "_"
    return f"_{name}" if _DEVICES.match(name) else name


def cut_name(chosen: Chosen, start_s: float, end_s: float) -> str:
    """`score_name_start_end` of a cut, without its ending."""
    score = "" if chosen.score is None else f"{chosen.score:.3f}_"
    return f"{score}{safe_name(Path(chosen.file.path).stem)}_{start_s:.3f}_{end_s:.3f}"


class Exporter:
    """Copies or cuts the files of one export, one after the other.

    Args:
        state: The server.
        chosen: What to export; a file that is asked for several times is copied once, and cut each time.
        cutting: How to cut; None copies whole files.
        roots: Folders that files may be read from.
    """

    def __init__(
        self, state: State, chosen: Sequence[Chosen], cutting: Cut | None, roots: Sequence[str]
    ) -> None:
        self._state = state
        self._cutting = cutting
        self._roots = roots
        by_path = {each.file.path: each for each in reversed(chosen)}
        self._chosen = list(chosen) if cutting is not None else list(reversed(by_path.values()))
        self.skipped: list[ExportSkipped] = []

    async def files(self, names: Names) -> AsyncIterator[tuple[str, Path, Chosen]]:
        """The name of each file, where its content lies until the next one is asked for, and what it is."""
        for each in self._chosen:
            try:
                path = servable_path(each.file, self._roots)
                if self._cutting is None:
                    stem, suffix = safe_name(Path(each.file.path).stem), safe_name(f"x{path.suffix}")[1:]
                    yield names.take(stem, suffix), path, each
                    continue
                start_s = max(0.0, each.start_s - self._cutting.before_s)
                end_s = min(each.file.duration_s, each.end_s + self._cutting.after_s)
                target = self._state.temporary / f"cut-{id(self)}"
                try:
                    excerpt = await self._state.media_processes.run(
                        cut, str(path), target, start_s, end_s, format=self._cutting.format
                    )
                    yield (
                        names.take(cut_name(each, excerpt.start_s, excerpt.end_s), excerpt.suffix),
                        target,
                        each,
                    )
                finally:
                    target.unlink(missing_ok=True)
            except ProblemError as error:
                self.skipped.append(ExportSkipped(id=item_id(each.file), reason=str(error.detail)))

    def opened(self, path: Path, chosen: Chosen) -> BinaryIO | None:
        """A file to read from; None where it cannot be read, which is then among the skipped."""
        try:
            return path.open("rb")
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
            self.skipped.append(ExportSkipped(id=item_id(chosen.file), reason=reason))
            return None


async def as_zip(state: State, exporter: Exporter, texts: dict[str, str]) -> AsyncIterator[bytes]:
    """The bytes of a ZIP of an export; what could not be exported is listed in it.

    Args:
        state: The server.
        exporter: What makes the files.
        texts: Names and contents of small files beside them.
    """
    sink = _Sink()
    names = Names([*texts, SKIPPED_FILE])
    # Sound does not get smaller by deflating it.
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        async for name, path, each in exporter.files(names):
            source = exporter.opened(path, each)
            if source is None:
                continue
            about = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
            with source, archive.open(about, "w", force_zip64=True) as entry:
                while chunk := await state.in_thread(source.read, _CHUNK_BYTES):
                    entry.write(chunk)
                    yield sink.take()
        for name, text in {**texts, **_skipped_file(exporter.skipped)}.items():
            archive.writestr(name, text)
            yield sink.take()
    yield sink.take()


async def into_folder(state: State, exporter: Exporter, texts: dict[str, str], folder: Path) -> ExportAnswer:
    """Write an export into a folder; nothing that is there is overwritten.

    A new folder is made with the first file, so that an export of which all was skipped leaves none.

    Raises:
        ProblemError: "forbidden" where the folder cannot be written to, "full" where its disk is full.
    """
    written: list[ExportedFile] = []
    try:
        names = Names(await state.in_thread(_names_in, folder))
        async for name, path, each in exporter.files(names):
            source = exporter.opened(path, each)
            if source is None:
                continue
            await state.in_thread(_copy, source, folder, name)
            written.append(ExportedFile(path=str(folder / name), id=item_id(each.file)))
        if texts:
            await state.in_thread(partial(folder.mkdir, parents=True, exist_ok=True))
        for name, text in texts.items():
            stem, dot, suffix = name.partition(".")
            own = names.take(stem, dot + suffix)
            with (folder / own).open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise ProblemError(
            "full" if is_full_disk(error) else "forbidden",
            f"{folder} cannot be written to ({error.strerror or error}); {len(written)} files were written",
        ) from None
    return ExportAnswer(folder=str(folder), files=written, skipped=exporter.skipped)


def _names_in(folder: Path) -> list[str]:
    """What lies in a folder; nothing where it is still to be made."""
    with suppress(FileNotFoundError):
        return [path.name for path in folder.iterdir()]
    return []


def _copy(source: BinaryIO, folder: Path, name: str) -> None:
    """Copy a file into a folder, with its date, whole or not at all; `source` is closed."""
    target = folder / name
    with source:
        folder.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as out:
            try:
                shutil.copyfileobj(source, out, _CHUNK_BYTES)
            except BaseException:
                target.unlink()
                raise
        status = os.fstat(source.fileno())
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


class _Sink(io.RawIOBase):
    """A file that is written front to back, and whose bytes are taken away as they come."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._at = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._bytes += data
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at

    def take(self) -> bytes:
        taken, self._bytes = bytes(self._bytes), bytearray()
        return taken


def _hit(chosen: Chosen) -> Hit:
    file = chosen.file
    middle_s = (chosen.start_s + chosen.end_s) / 2
    return Hit(
        path=file.path,
        start_s=chosen.start_s,
        end_s=chosen.end_s,
        score=chosen.score or 0.0,
        moments=(),
        duration_s=file.duration_s,
        moment_s=middle_s if chosen.moment_s is None else chosen.moment_s,
        sample_rate_hz=file.sample_rate_hz,
        format=file.format,
        match=chosen.match,
        keywords=chosen.keywords,
    )


def _label(chosen: Chosen, text: str | None) -> str:
    """What stands on the label of a region, as the command line writes it."""
    words = (text or "").strip() or Path(chosen.file.path).stem
    return words if chosen.score is None else f"{words} {chosen.score:.2f}"


def _skipped_file(skipped: Sequence[ExportSkipped]) -> dict[str, str]:
    if not skipped:
        return {}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows((each.id, each.reason) for each in skipped)
    return {SKIPPED_FILE: text.getvalue()}
