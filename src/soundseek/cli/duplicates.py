"""`soundseek duplicates`: recordings that a library has more than once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from soundseek.cli.index import counted
from soundseek.cli.options import CsvOption, JsonOption, LibraryOption, TableOption, open_library, share
from soundseek.cli.output import (
    choose_format,
    clock,
    console,
    dense_table,
    short_path,
    write,
    write_json_lines,
)

if TYPE_CHECKING:
    from rich.table import Table

    from soundseek.library.duplicates import DuplicateGroup

_FILE_WIDTH = 48


def duplicates_command(
    library: LibraryOption = None,
    min_score: Annotated[
        float,
        typer.Option(
            "--min-score",
            parser=share,
            metavar="S",
            help="Least correlation of two waveforms that count as one recording, 0 to 1.",
        ),
    ] = 0.45,
    json: JsonOption = False,
    csv: CsvOption = False,
    table: TableOption = False,
) -> None:
    """Find recordings that are there more than once: as other formats, rates and levels, trimmed, inside longer files.

    Nothing is changed or deleted. The library's vectors propose pairs, and their waveforms decide.
    """
    output = choose_format(json=json, csv=csv, table=table)
    from soundseek.library.duplicates import duplicates_csv, duplicates_record

    with open_library(library, None, create=False) as opened:
        groups = opened.duplicates(min_score=min_score, progress=_show if sys.stderr.isatty() else None)
    if output == "json":
        write_json_lines(map(duplicates_record, groups))
    elif output == "csv":
        write(duplicates_csv(groups))
    elif groups:
        console().print(_table(groups))
    more = sum(len(group.files) - 1 for group in groups)
    print(_verdict(more, len(groups)), file=sys.stderr)


def _verdict(more: int, groups: int) -> str:
    if not groups:
        return "no recording is there more than once"
    return f"{counted(groups, 'recording')} more than once: {counted(more, 'file')} beside the first of each group"


def _show(done: int, total: int) -> None:
    print(
        f"\r{done} of {total} files compared", end="\n" if done == total else "", file=sys.stderr, flush=True
    )


def _table(groups: Sequence[DuplicateGroup]) -> Table:
    from rich.text import Text

    shown = dense_table()
    shown.add_column("group", justify="right", style="bold")
    shown.add_column("file", no_wrap=True)
    shown.add_column("length", justify="right")
    shown.add_column("format", no_wrap=True)
    shown.add_column("Hz", justify="right")
    shown.add_column("what", overflow="fold")
    shown.add_column("score", justify="right", style="cyan")
    for number, group in enumerate(groups, 1):
        first = group.files[0]
        for file in group.files:
            what: str = "" if file is first else file.kind
            if file.kind == "part":
                what = f"part from {clock(round(file.start_s, 1))}"
            if file is not first and file.of != first.path:
                what += f" of {short_path(file.of, _FILE_WIDTH)}"
            cells = ["" if file is not first else str(number), short_path(file.path, _FILE_WIDTH)]
            cells += [clock(round(file.duration_s, 1)), file.format, str(file.sample_rate_hz), what]
            shown.add_row(*map(Text, [*cells, "" if file is first else f"{file.score:.2f}"]))
    return shown
