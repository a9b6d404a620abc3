"""`soundseek failures`: the files that could not be embedded, or only in part, each with its reason."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from soundseek.cli.options import JsonOption, LibraryOption, TableOption, open_library
from soundseek.cli.output import choose_format, clock, console, printable, short_path, write, write_json_lines

if TYPE_CHECKING:
    from soundseek.library import Failure


def failures_command(
    library: LibraryOption = None, json: JsonOption = False, table: TableOption = False
) -> None:
    """List the files that could not be embedded, with the reasons.

    Files that --max-duration cut are listed as well. A file leaves the list when it has been embedded at last, or is
    gone, at the next soundseek index.
    """
    output = choose_format(json=json, table=table)
    from soundseek.library import Failure

    with open_library(library, None, create=False) as opened:
        found = opened.failures()
        # Of the same shape, so that a program reads one list; their sounds are in the library up to there.
        found += [
            Failure(
                file.path,
                f"only its first {clock(round(file.duration_s))} is in the library (--max-duration)",
                "",
                file.size_bytes,
                file.mtime_ns,
            )
            for file in opened.cut_files()
        ]
    if output == "json":
        write_json_lines(_record(failure) for failure in found)
    elif not found:
        write("every file was embedded\n")
    else:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        terminal = console()
        rows = Table(box=SIMPLE_HEAD, show_edge=False, header_style="bold")
        rows.add_column("file", overflow="fold")
        rows.add_column("reason", style="red", overflow="fold")
        for failure in found:
            rows.add_row(Text(short_path(failure.path, terminal.width // 2)), Text(printable(failure.reason)))
        terminal.print(rows)


def _record(failure: Failure) -> dict[str, Any]:
    """What JSON says of a failure; its content's hash is for the next run alone."""
    record = asdict(failure)
    del record["content_hash"]
    return record
