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
from soundseek.cli.main import plain_errors
from soundseek.cli.options import JsonOption, LibraryOption, TableOption, open_library
from soundseek.cli.output import choose_format, printable, write, write_json_lines
from soundseek.cli.progress import CountProgress
from soundseek.errors import UsageError
from soundseek.library.location import engine_of, shown_location

if TYPE_CHECKING:
    from soundseek.library.store.base import Damage, Store

library_command = typer.Typer(
    name="library",
    help="Check, mend, shrink and copy a library.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@library_command.command("check")
@plain_errors
def library_check(
    library: LibraryOption = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Drop the sounds whose vectors are damaged; the next soundseek index embeds them anew.",
            show_default=False,
        ),
    ] = False,
    json: JsonOption = False,
    table: TableOption = False,
) -> None:
    """Read everything in a library and name what is damaged.

    Exits with 1 if anything is damaged and not repaired.
    """
    output = choose_format(json=json, table=table)
    from soundseek.library.further_models import every_model_of

    damages: list[Damage] = []
    left: list[Damage] = []
    segments = 0
    with open_library(library, None, create=False) as opened, every_model_of(opened) as models:
        for model in models:
            found = model.store.check()
            damages += found
            left += _repaired(model.store, found) if repair and found else found
            segments += model.store.count()[1]
        files, _ = opened.store.count()
    if output == "json":
        write_json_lines([asdict(each) for each in damages])
    else:
        for each in damages:
            write(f"{printable(each.path)}: {each.what}\n")
        write(
            f"{counted(files, 'sound')}, {counted(segments, 'segment')}: {_verdict(len(damages), len(left))}\n"
        )
    if left:
        raise typer.Exit(1)


def _repaired(store: Store, damages: list[Damage]) -> list[Damage]:
    """Repair them; what is damaged afterwards."""
    with store.writing():
        store.repair(damages)
    return store.check()


def _verdict(found: int, left: int) -> str:
    if not found:
        return "no damage"
    if not left:
        return f"{counted(found, 'damage')} repaired; soundseek index embeds the dropped sounds anew"
    return f"{counted(left, 'damage')}; soundseek library check --repair drops damaged sounds, to be embedded anew"


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
        compacts_by = opened.store.compacts_by
    if output == "json":
        write_json_lines(
            [{"compacted": done, "by": compacts_by, "bytes_before": before, "bytes_after": after}]
        )
    elif done:
        write(f"{compacts_by}: {before / 1e6:.1f} MB before, {after / 1e6:.1f} MB now\n")
    else:
        write("nothing to give back\n")


def _same_place(source: str, target: str) -> bool:
    if engine_of(source) is not None or engine_of(target) is not None:
        return source == target
    return Path(source).resolve() == Path(target).resolve()


@library_command.command("copy")
@plain_errors
def library_copy(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="The library to copy: a folder, postgresql://host/database or milvus://host.",
            show_default=False,
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="Where the copy goes, in the same manner; made if missing.",
            show_default=False,
        ),
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
    from soundseek.library.further_models import models_beside
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
