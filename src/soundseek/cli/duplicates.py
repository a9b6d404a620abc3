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
    printable,
    short_path,
    write,
    write_json_lines,
)

if TYPE_CHECKING:
    from rich.table import Table

    from soundseek.library.duplicates import Duplicate, DuplicateGroup

_FILE_WIDTH, _LEAST_FILE_WIDTH, _OF_WIDTH = 48, 16, 24


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
        terminal = console()
        terminal.print(_table(groups, terminal.width))
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


def _what(file: Duplicate) -> str:
    """How a file belongs to the one that it is a copy of, as the table says it."""
    if file.kind == "part":
        return f"part from {clock(round(file.start_s, 1))}"
    return {"contains": "holds all", "overlap": "has some"}.get(file.kind, file.kind)


def _table(groups: Sequence[DuplicateGroup], width: int) -> Table:
    """A row for each file; paths and what the copies are of are cut to what room the others leave of `width`."""
    from rich.cells import cell_len
    from rich.text import Text

    paths: list[tuple[str, str]] = []  # of the file, and of what it is a copy where that is not the first
    rows: list[list[str]] = []
    for count, group in enumerate(groups, 1):
        first = group.files[0]
        for file in group.files:
            is_first = file is first
            paths.append((file.path, "" if is_first or file.of == first.path else file.of))
            rows.append([
                str(count) if is_first else "", clock(round(file.duration_s, 1)), printable(file.format),
                str(file.sample_rate_hz), "" if is_first else _what(file), "" if is_first else f"{file.score:.2f}",
                "" if is_first else file.surety,
            ])  # fmt: skip
    titles = ("group", "length", "format", "Hz", "what", "score", "copy?")
    others = sum(
        max(map(cell_len, [title, *column])) + 2 for title, *column in zip(titles, *rows, strict=True)
    )
    of_width = _OF_WIDTH if any(of for _, of in paths) else 0
    file_width = max(_LEAST_FILE_WIDTH, min(_FILE_WIDTH, width - others - 2 - of_width))
    shown = dense_table()
    shown.add_column("group", justify="right", style="bold", no_wrap=True)
    shown.add_column("file", no_wrap=True)
    shown.add_column("length", justify="right", no_wrap=True)
    shown.add_column("format", no_wrap=True)
    shown.add_column("Hz", justify="right", no_wrap=True)
    shown.add_column("what", overflow="fold")
    shown.add_column("score", justify="right", style="cyan", no_wrap=True)
    shown.add_column("copy?", no_wrap=True)
    for (path, of), (number, *facts, what, score, sure) in zip(paths, rows, strict=True):
        what += f" of {short_path(of, of_width)}" if of else ""
        shown.add_row(*map(Text, [number, short_path(path, file_width), *facts, what, score, sure]))
    return shown
