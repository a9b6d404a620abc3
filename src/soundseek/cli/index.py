"""`soundseek index`: folders of sounds -> a library."""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from soundseek._threads import compute_on_one_thread
from soundseek.cli.options import (
    JsonOption,
    LibraryOption,
    ModelOption,
    TableOption,
    argument,
    at_least,
    need_library_folder,
    need_model,
    open_library,
    option,
    see,
    whole_number,
)
from soundseek.cli.output import choose_format, clock, printable, write, write_json_lines
from soundseek.cli.progress import ProgressReport
from soundseek.errors import UsageError
from soundseek.library.paths import absolute, is_there, on_disk

if TYPE_CHECKING:
    from soundseek.library import IndexReport, LibraryInfo

# A worker takes some 150 MB; beyond this many the process that commits has to keep up.
MAX_DEFAULT_WORKERS = 8
MOST_NAMED = 10
COMMON_ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aiff")


def _seconds_or_none(value: str) -> float:
    """Seconds, or "none" for no limit."""
    return math.inf if value == "none" else at_least(1, "seconds, or none")(value)


def index_command(
    folders: Annotated[
        list[str] | None,
        argument(
            metavar="FOLDER",
            help="Folders of sounds (or single files), also in a bucket (s3://BUCKET/FOLDER); "
            "default: the folders of earlier runs.",
        ),
    ] = None,
    library: LibraryOption = None,
    model: ModelOption = None,
    workers: Annotated[
        int | None,
        option(
            "--workers",
            parser=whole_number(0, "processes"),
            metavar="N",
            help=f"Processes that embed; default: one a core, at most {MAX_DEFAULT_WORKERS}. A file that crashes "
            "its decoder takes one of them, not the run; with 0, there is one process, and it ends.",
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="ADDRESS|local",
            help="Let a Ray cluster embed instead: its address, auto, or local for one on this machine. Every machine "
            "needs soundseek and sees the sounds under the same paths, or reads the same buckets.",
            show_default=False,
        ),
    ] = None,
    max_duration: Annotated[
        float | None,
        option(
            "--max-duration",
            parser=_seconds_or_none,
            metavar="SECONDS|none",
            help="Embed no more than this of a file, now and in later runs; default: whole files.",
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        option(
            "--exclude",
            metavar="PATTERN",
            help="Pass by files and folders like this, as in a .gitignore, now and in later runs; repeatable; "
            "--exclude none lifts it. A file .soundseekignore does the same below its folder.",
        ),
    ] = None,
    windows: Annotated[
        bool | None,
        option(
            "--windows/--no-windows",
            help="For models whose moments are flat, such as CLAP's: also keep the vectors of windows of 2 s, one a "
            "second, now and in later runs, so that searches have moments without embedding the hits again. It takes "
            "some six times as long.",
        ),
    ] = None,
    strict: Annotated[
        bool, option("--strict", help="Exit with 1 for files that failed in earlier runs as well.")
    ] = False,
    quiet: Annotated[bool, option("--quiet", "-q", help="Print no progress.")] = False,
    json: JsonOption = False,
    table: TableOption = False,
) -> None:
    """Embed every sound below some folders into the library; run it again, without folders, after changes.

    Only new and changed files are embedded. Stopping it loses nothing: the next run goes on from there. A file
    that cannot be embedded is skipped (see: soundseek failures); where one is new, or was named itself, the exit code
    is 1.
    """
    output = choose_format(json=json, table=table)
    compute_on_one_thread()
    from soundseek.library.scan import check_folders

    check_folders(folders or ())
    folders = folders or _folders_of_first(library, model)
    exclude = [] if exclude == ["none"] else exclude
    _need_a_sound(folders, library, exclude or ())
    if windows:
        _need_flat_moments(library, model)
    with open_library(library, model, create=bool(folders)) as opened, ProgressReport() as shown:
        report = opened.index(
            *(folders or ()),
            workers=default_workers() if workers is None else workers,
            ray=ray,
            max_duration_s=max_duration,
            exclude=exclude,
            windows=windows,
            progress=None if quiet else shown,
        )
        info = opened.info()
        remembered = info.folders
        failures = {failure.path: failure.reason for failure in opened.failures()} if report.failed else {}
    _say_what_is_out_of_reach(report, library)
    if report.empty_folders:
        _say_what_is_empty(report, remembered)
    if output == "json":
        write_json_lines([asdict(report)])
    else:
        write(summary(report) + "\n")
        if info.windows:
            write(f"{counted(info.windows, 'window')} kept for moments, {info.window_bytes / 1e6:,.1f} MB\n")
    _say_what_was_cut(report)
    _say_what_failed(report, library)
    if report.added or report.changed or report.moved or report.removed:
        _say_who_lacks_the_changes(info, library)
    named = [on_disk(absolute(folder)) for folder in folders or ()]
    named_failures = [path for path in named if path in failures]
    for path in named_failures:
        print(printable(f"{path}: {failures[path]}"), file=sys.stderr)
    if report.interrupted:
        print("stopped; run the same command again to go on", file=sys.stderr)
        raise typer.Exit(130)
    is_missing = any(not is_there(folder) or folder in report.unreachable for folder in named)
    if report.newly_failed or named_failures or is_missing or (strict and report.failed):
        raise typer.Exit(1)


def _need_a_sound(folders: Sequence[str], library: str | None, exclude: Sequence[str]) -> None:
    """Look for a sound before a library is made, for one without any would stay behind.

    Raises:
        UsageError: There is no library so far, and no sound to fill it with.
    """
    from soundseek.audio.decode import AUDIO_EXTENSIONS
    from soundseek.library import default_library_path
    from soundseek.library.library import holds_library
    from soundseek.library.scan import hold_no_sound

    if library is not None:
        need_library_folder(library)
    location = str(default_library_path()) if library is None else library
    if (
        folders
        and not holds_library(location)
        and hold_no_sound(folders, AUDIO_EXTENSIONS, [each for each in exclude if each])
    ):
        raise UsageError(_no_sound_in(folders))


def _need_flat_moments(library: str | None, model: str | None) -> None:
    """Check the model before a library is made for it; that of a library is checked when it is opened.

    Raises:
        UsageError: It has moments of its own.
    """
    from soundseek.library import default_library_path
    from soundseek.library.library import holds_library
    from soundseek.library.windows import need_flat_moments
    from soundseek.model.registry import load_model

    if not holds_library(str(default_library_path()) if library is None else library):
        need_flat_moments(load_model(model))


def _no_sound_in(folders: Sequence[str]) -> str:
    from soundseek.audio.decode import AUDIO_EXTENSIONS

    common = ", ".join(COMMON_ENDINGS)
    return (
        f"no sound was found in {' or '.join(folders)}: no file there, hidden ones aside, ends in {common} or another "
        f"of the {len(AUDIO_EXTENSIONS)} endings that docs/sound.md lists"
    )


def _folders_of_first(library: str | None, model: str | None) -> list[str]:
    """The folders of a library that another model filled, where this one has no vectors in it yet; it is said."""
    if model is None:
        return []
    need_model(model)
    from soundseek.library.further_models import folders_of_first
    from soundseek.model.registry import load_model

    folders = list(folders_of_first(library, load_model(model)))
    if folders:
        print(printable(f"the folders of the library, by {model}: {', '.join(folders)}"), file=sys.stderr)
    return folders


def _say_what_is_out_of_reach(report: IndexReport, library: str | None) -> None:
    """Name what is not there, and what became of its sounds."""
    for asked, name in report.same_folders.items():
        print(printable(f"{asked} is the same as {name}, and scanned under that name"), file=sys.stderr)
    for place, why in report.unreachable.items():
        print(printable(f"{place} cannot be scanned ({why})"), file=sys.stderr)
    closed = [folder for folder in report.missing_folders if _is_closed(folder)]
    if closed:
        print(
            f"not readable now: {printable(', '.join(closed))}; the library keeps what it has of it. Allow reading it, "
            "and run the same command again",
            file=sys.stderr,
        )
    if gone := [folder for folder in report.missing_folders if folder not in closed]:
        folders = printable(", ".join(gone))
        forget = "forget FOLDER" if report.unreachable else "forget --missing FOLDER"
        print(
            f"not there now: {folders}; the library keeps {counted(report.missing, 'sound')} of it. Is a drive "
            f"missing? What is gone for good: {printable(see(forget, library))}",
            file=sys.stderr,
        )
    if report.vanished:
        print(
            f"{counted(report.vanished, 'file')} vanished meanwhile (renamed?); run the same command again",
            file=sys.stderr,
        )


def _is_closed(folder: str) -> bool:
    """Whether a folder is there, and nobody lets this process look into it."""
    try:
        os.scandir(folder).close()
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _say_what_was_cut(report: IndexReport) -> None:
    """Name the files that --max-duration cut."""
    shown = report.cut_files[:MOST_NAMED]
    for path in shown:
        print(f"cut at --max-duration: {printable(path)}", file=sys.stderr)
    if len(report.cut_files) > len(shown):
        print(f"and {len(report.cut_files) - len(shown)} more; see: soundseek info", file=sys.stderr)


def _say_what_failed(report: IndexReport, library: str | None) -> None:
    """How many files failed, and how many of them for the first time."""
    if not report.failed:
        return
    known = report.failed - report.newly_failed
    told = f"{counted(report.failed, 'file')} could not be embedded"
    if not report.newly_failed:
        told += ", as in earlier runs; none is new"
    elif known:
        told += f", {report.newly_failed} of them new"
    print(f"{told}; see: {printable(see('failures', library))}", file=sys.stderr)


def _say_who_lacks_the_changes(info: LibraryInfo, library: str | None) -> None:
    """Name the further models of the library: each looks for changes when it is named itself."""
    from soundseek.library.further_models import damaged_beside, models_beside

    for why in damaged_beside(info.path).values():
        print(printable(f"not told of these changes: {why}"), file=sys.stderr)
    for name in models_beside(info.path):
        command = see(f"index --model {shlex.quote(name)}", library)
        print(printable(f"{name} does not know these changes yet: {command}"), file=sys.stderr)


def _say_what_is_empty(report: IndexReport, remembered: Sequence[str]) -> None:
    """Name the folders without sounds; it is an error only where nothing else was named, nor known before.

    Raises:
        UsageError: None of the folders has a sound, and none had one in an earlier run.
    """
    told = _no_sound_in(report.empty_folders)
    came_to = (
        report.added,
        report.changed,
        report.moved,
        report.removed,
        report.unchanged,
        report.given_windows,
        report.failed,
        report.missing,
    )
    if not any(came_to) and not report.interrupted and not set(report.empty_folders) & set(remembered):
        raise UsageError(told)
    print(printable(told), file=sys.stderr)


def default_workers() -> int:
    """One a core that this process may use: a file that crashes its decoder takes one of them, not the run."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MAX_DEFAULT_WORKERS)


def summary(report: IndexReport) -> str:
    """One line on an index run: what changed, how much sound, how fast."""
    counts = {
        "new": report.added,
        "changed": report.changed,
        "moved": report.moved,
        "gone": report.removed,
        "given windows": report.given_windows,
        "unchanged": report.unchanged,
        "failed": report.failed,
        "cut at --max-duration": report.cut,
    }
    parts = [f"{number} {what}" for what, number in counts.items() if number] or ["no sounds found"]
    line = ", ".join(parts)
    if report.audio_s and report.elapsed_s:
        speed = report.audio_s / report.elapsed_s
        line += f"; embedded {clock(round(report.audio_s))} of sound in {report.elapsed_s:.1f} s"
        line += f" ({speed:.0f} x real time)"
    return line


def counted(number: int, noun: str) -> str:
    """A number with its noun in the right form."""
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s"
