"""`soundseek failures`: the files that could not be heard, each with its reason."""

from __future__ import annotations

from dataclasses import asdict

from soundseek.cli.options import JsonOption, LibraryOption, TableOption, open_library
from soundseek.cli.output import choose_format, console, printable, short_path, write, write_json_lines


def failures(library: LibraryOption = None, json: JsonOption = False, table: TableOption = False) -> None:
    """List the files that could not be embedded, with the reasons.

    A file leaves the list when it has been heard at last, or is gone, at the next soundseek index.
    """
    output = choose_format(json=json, table=table)
    with open_library(library, None, create=False) as opened:
        found = opened.failures()
    if output == "json":
        write_json_lines(asdict(failure) for failure in found)
    elif not found:
        write("every file was heard\n")
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
