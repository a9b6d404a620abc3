"""`soundseek library`: care for a library."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundseek.cli.index import counted
from soundseek.cli.main import commands_of, plain_errors
from soundseek.cli.options import JsonOption, LibraryOption, TableOption, argument, open_library, option
from soundseek.cli.output import choose_format, printable, write, write_json_lines
from soundseek.cli.progress import CountProgress
from soundseek.errors import UsageError
from soundseek.library.location import engine_of, shown_location

if TYPE_CHECKING:
    from soundseek.library.store.base import Damage, Store

library_command = commands_of(
    name="library", help="Check, mend, shrink, copy and speed up a library.", no_args_is_help=True
)


@library_command.command("check")
@plain_errors
def library_check(
    library: LibraryOption = None,
    repair: Annotated[
        bool,
        option(
            "--repair",
            help="Drop the sounds whose vectors are damaged; the next soundseek index embeds them anew.",
        ),
    ] = False,
    json: JsonOption = False,
    table: TableOption = False,
) -> None:
    """Read everything in a library and name what is damaged.

    JSON has a line for each damage; stderr sums up. Exits with 1 if anything is damaged and not repaired.
    """
    output = choose_format(json=json, table=table)
    from soundseek.library.further_models import damaged_beside, every_model_of
    from soundseek.library.store.approximate_build import last_build_error
    from soundseek.library.store.base import Damage
    from soundseek.library.store.sqlite import SqliteStore

    damages: list[Damage] = []
    left: list[Damage] = []
    segments = 0
    with (
        open_library(library, None, create=False) as opened,
        every_model_of(opened, skip_damaged=True) as models,
    ):
        beside = [
            Damage(str(folder), why, is_sound=False)
            for folder, why in damaged_beside(opened.store.location).items()
        ]
        for model in models:
            found = model.store.check()
            damages += found
            left += _repaired(model.store, found) if repair and found else found
            segments += model.store.count()[1]
            if isinstance(model.store, SqliteStore) and (failed := last_build_error(model.store.directory)):
                told = f"the last build of the approximate index failed: {printable(failed)}"
                print(f"{told}; try again with: soundseek library approximate", file=sys.stderr)
        files, _ = opened.store.count()
    verdict = (
        f"{counted(files, 'sound')}, {counted(segments, 'segment')}: "
        f"{_verdict(len(damages), len(left), len(beside))}"
    )
    if output == "json":
        write_json_lines([asdict(each) for each in [*beside, *damages]])
        print(verdict, file=sys.stderr)
    else:
        for each in [*beside, *damages]:
            write(f"{printable(each.path)}: {each.what}\n")
        write(f"{verdict}\n")
    if left or beside:
        raise typer.Exit(1)


def _repaired(store: Store, damages: list[Damage]) -> list[Damage]:
    """Repair them; what is damaged afterwards."""
    with store.writing():
        store.repair(damages)
    return store.check()


def _verdict(found: int, left: int, beside: int) -> str:
    """The damages found and left, and how many further models cannot be opened, which no repair mends."""
    told = []
    if left:
        told.append(
            f"{counted(left, 'damage')}; soundseek library check --repair drops damaged sounds, to be embedded anew"
        )
    elif found:
        told.append(f"{counted(found, 'damage')} repaired; soundseek index embeds the dropped sounds anew")
    if beside:
        told.append(
            f"{counted(beside, 'further model')} cannot be read, which --repair does not mend: remove the folder and "
            "make its vectors again with soundseek index --model NAME"
        )
    return "; ".join(told) or "no damage"


@library_command.command("compact")
@plain_errors
def library_compact(
    library: LibraryOption = None, json: JsonOption = False, table: TableOption = False
) -> None:
    """Give the room of removed and replaced sounds back to the disk.

    soundseek index does so by itself once three tenths of a library are such.
    """
    output = choose_format(json=json, table=table)
    from soundseek.library.further_models import every_model_of

    before = after = 0
    done = False
    with open_library(library, None, create=False) as opened, every_model_of(opened) as models:
        for each in models:
            before += each.store.stats().bytes_on_disk
            with each.store.writing():
                done |= each.store.compact(dead_share=0.0)
            after += each.store.stats().bytes_on_disk
        if not done:  # all that grew is the log of the database, which asking for it has written
            after = before
        compacts_by = opened.store.compacts_by
    if output == "json":
        by = {"by": compacts_by} if done else {}
        write_json_lines([{"compacted": done, **by, "bytes_before": before, "bytes_after": after}])
    elif done:
        write(f"{compacts_by}: {before / 1e6:.1f} MB before, {after / 1e6:.1f} MB now\n")
    else:
        write("nothing to give back\n")


@library_command.command("approximate")
@plain_errors
def library_approximate(
    library: LibraryOption = None,
    from_segments: Annotated[
        str | None,
        option(
            "--from",
            metavar="SEGMENTS",
            help="From how many segments on the library has such an index (2000000 at first), or never. Remembered.",
        ),
    ] = None,
    if_due: Annotated[
        bool,
        option(
            "--if-due",
            help="Do nothing where the index is there and covers nearly all, or the library is too small for one.",
        ),
    ] = False,
    json: JsonOption = False,
    table: TableOption = False,
) -> None:
    """Make the approximate index of a library in a folder, or bring it up to date.

    From two million segments on soundseek index starts this by itself, in the background. Others may search and index
    meanwhile. A library without such an index compares every segment with a query, and finds the same or more.
    """
    output = choose_format(json=json, table=table)
    from soundseek.library.further_models import every_model_of
    from soundseek.library.store.approximate import FROM_SETTING, read_from
    from soundseek.library.store.base import Changes
    from soundseek.library.store.sqlite import SqliteStore

    if from_segments is not None:
        read_from(from_segments, "--from")
    described = []
    with open_library(library, None, create=False) as opened, every_model_of(opened) as models:
        for model in models:
            store = model.store
            if not isinstance(store, SqliteStore):
                raise UsageError(
                    f"{shown_location(store.location)} has an index of its engine; this one is for libraries in folders"
                )
            if from_segments is not None:
                with store.writing():
                    store.commit(Changes(settings={FROM_SETTING: from_segments}))
            is_due = store.approximation_is_due(is_asked=from_segments is not None and not if_due)
            if is_due or (from_segments is None and not if_due):
                with CountProgress() as progress:
                    store.approximate(progress=partial(progress, "segments"))
            described.append(store.stats().approximate)
    if output == "json":
        write_json_lines([{"approximate_index": each} for each in described])
    else:
        write("".join(f"approximate index: {each}\n" for each in described))


def _same_place(source: str, target: str) -> bool:
    if engine_of(source) is not None or engine_of(target) is not None:
        return source == target
    return Path(source).resolve() == Path(target).resolve()


@library_command.command("copy")
@plain_errors
def library_copy(
    source: Annotated[
        str,
        argument(
            metavar="SOURCE",
            help="The library to copy: a folder, postgresql://host/database or milvus://host (where yours is: "
            "soundseek info).",
        ),
    ],
    target: Annotated[
        str, argument(metavar="TARGET", help="Where the copy goes, in the same manner; made if missing.")
    ],
    json: JsonOption = False,
    table: TableOption = False,
) -> None:
    """Copy a library, and compare the two afterwards; a copy that was stopped goes on.

    It moves a library between a folder and an engine as well. Unlike a copy of the folder, it can be made while others
    search, and holds no room of removed sounds. The vectors of further models are libraries of their own: each is
    copied by itself.
    """
    from soundseek.library.collections import Collections
    from soundseek.library.copy import copy_library
    from soundseek.library.further_models import damaged_beside, models_beside
    from soundseek.library.library import Library
    from soundseek.library.store import open_store
    from soundseek.library.taught import TaughtSounds

    output = choose_format(json=json, table=table)
    if _same_place(source, target):
        raise UsageError(
            f"SOURCE and TARGET are both {shown_location(source)}; name another place for the copy"
        )
    with Library.open(source) as opened, CountProgress() as progress:
        into = open_store(str(target), identity=opened.store.identity, create=True)
        try:
            report = copy_library(opened.store, into, progress=partial(progress, "copied sounds"))
            Collections(into).copy_from(Collections(opened.store))
            TaughtSounds(into).copy_from(TaughtSounds(opened.store))
        finally:
            into.close()
        further = models_beside(opened.store.location)
        for why in damaged_beside(opened.store.location).values():
            print(printable(f"not copied: {why}"), file=sys.stderr)
    for name, folder in further.items():
        print(
            f"the vectors of {name} were not copied; they are a library of their own: "
            f"soundseek library copy {shlex.quote(str(folder))} TARGET",
            file=sys.stderr,
        )
    if output == "json":
        write_json_lines([asdict(report)])
    else:
        write(
            f"{counted(report.files, 'sound')}, {counted(report.segments, 'segment')}; {report.copied} copied now; "
            f"both libraries hold the same ({report.digest})\n"
        )
