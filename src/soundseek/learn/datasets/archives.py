"""Members of a 7z or zip archive -> files in a scratch folder, verified by the archive's own checksums."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from soundseek._install import install_command
from soundseek._typing import Report
from soundseek.errors import DataError, UsageError
from soundseek.learn.datasets.download import need_space

if TYPE_CHECKING:
    from types import ModuleType

    from py7zr.callbacks import ExtractCallback


def member_sizes(archive: Path) -> dict[str, int]:
    """File name (without folders) -> bytes when unpacked.

    Raises:
        DataError: The archive is damaged, or two members have one name.
    """
    sizes = {}
    for member, size in _members(archive):
        name = PurePosixPath(member).name
        if name in sizes:
            raise DataError(f"{archive} holds two files called {name}")
        sizes[name] = size
    return sizes


def extract(
    archive: Path, wanted: Mapping[str, str], scratch: Path, *, report: Report | None = None
) -> Iterator[tuple[str, Path]]:
    """Unpack some members, then give each one's wanted name and where it lies now, for the caller to move.

    Args:
        archive: A .7z or .zip file.
        wanted: Wanted name -> file name of the member, without folders.
        scratch: A folder for what is being unpacked; the caller removes it.
        report: Report in bytes.

    Raises:
        DataError: The archive is damaged, or the disk is full.
    """
    full = {PurePosixPath(member).name: (member, size) for member, size in _members(archive)}
    members = [full[name] for name in wanted.values()]
    total = sum(size for _, size in members)
    scratch.mkdir(parents=True, exist_ok=True)
    need_space(scratch, total, f"unpacking {archive.name}")
    try:
        if _is_zip(archive):
            _extract_zip(archive, members, scratch, report, total)
        else:
            _extract_7z(archive, [member for member, _ in members], scratch, report, total)
    except _damage() as error:
        raise DataError(f"{archive} is damaged ({error}); remove it and run the same again") from error
    unpacked = {path.name: path for path in scratch.rglob("*") if path.is_file()}
    for name, member in wanted.items():
        if member not in unpacked:
            raise DataError(f"{archive} named {member} and did not give it; remove it and run the same again")
        yield name, unpacked[member]


def _is_zip(archive: Path) -> bool:
    return archive.suffix.lower() == ".zip"


def _members(archive: Path) -> list[tuple[str, int]]:
    """Path inside the archive and size, of everything that is a file."""
    try:
        if _is_zip(archive):
            with zipfile.ZipFile(archive) as opened:
                return [(each.filename, each.file_size) for each in opened.infolist() if not each.is_dir()]
        with _py7zr().SevenZipFile(archive) as packed:
            return [(each.filename, each.uncompressed) for each in packed.list() if not each.is_directory]
    except _damage() as error:
        raise DataError(f"{archive} is damaged ({error}); remove it and run the same again") from error


def _extract_zip(
    archive: Path, members: list[tuple[str, int]], scratch: Path, report: Report | None, total: int
) -> None:
    done = 0
    with zipfile.ZipFile(archive) as opened:
        for member, size in members:
            opened.extract(member, scratch)
            done += size
            if report:
                report(f"unpacking {archive.name}", done, total)


def _extract_7z(archive: Path, members: list[str], scratch: Path, report: Report | None, total: int) -> None:
    callback = _callback(f"unpacking {archive.name}", report, total) if report else None
    with _py7zr().SevenZipFile(archive) as opened:
        opened.extract(scratch, targets=members, callback=callback)


def _callback(what: str, report: Report, total: int) -> ExtractCallback:
    from py7zr.callbacks import ExtractCallback

    class Unpacked(ExtractCallback):
        """Counts the bytes of finished members; everything else that it may be told is not shown."""

        done = 0

        def report_end(self, processing_file_path: str, wrote_bytes: str) -> None:
            self.done += int(wrote_bytes)
            report(what, min(self.done, total), total)

        def report_start_preparation(self) -> None:
            return

        def report_start(self, processing_file_path: str, processing_bytes: str) -> None:
            return

        def report_update(self, decompressed_bytes: str) -> None:
            return

        def report_postprocess(self) -> None:
            return

        def report_warning(self, message: str) -> None:
            return

    return Unpacked()


def _py7zr() -> ModuleType:
    try:
        import py7zr
    except ModuleNotFoundError as error:
        raise UsageError(
            f"a .7z archive needs py7zr, which is not installed: {install_command('learn')}"
        ) from error
    return py7zr


def _damage() -> tuple[type[Exception], ...]:
    """What a damaged archive makes the two libraries raise; nothing of py7zr where it is not installed."""
    kinds: tuple[type[Exception], ...] = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)
    try:
        from py7zr.exceptions import ArchiveError
    except ModuleNotFoundError:
        return kinds
    return (*kinds, ArchiveError)
