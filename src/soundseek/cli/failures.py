"""`soundseek failures`: the files that could not be embedded, or only in part, each with its reason."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from soundseek.cli.options import JsonOption, LibraryOption, TableOption, open_library
from soundseek.cli.output import choose_format, clock, console, printable, short_path, write, write_json_lines

if TYPE_CHECKING:
    from soundseek.library import Failure, Library


_INSTALL = ": pip install "


def failures_command(
    library: LibraryOption = None, json: JsonOption = False, table: TableOption = False
) -> None:
    """List the files that could not be embedded, with the reasons.

    Files that --max-duration cut are listed as well. A file leaves the list when it has been embedded at last, or is
    gone, at the next soundseek index. Where a library has the vectors of several models, each file says for which of
    them it failed.
    """
    output = choose_format(json=json, table=table)
    from soundseek.library.further_models import damaged_beside, every_model_of

    found: dict[tuple[str, str], tuple[Failure, list[str]]] = {}
    with (
        open_library(library, None, create=False) as opened,
        every_model_of(opened, skip_damaged=True) as models,
    ):
        for why in damaged_beside(opened.store.location).values():
            print(printable(f"not looked through: {why}"), file=sys.stderr)
        for each in models:
            for failure in _not_embedded(each):
                _, names = found.setdefault((failure.path, failure.reason), (failure, []))
                names.append(each.store.identity.name)
        is_of_several = len(models) > 1
    if output == "json":
        write_json_lines(_record(failure, names) for failure, names in found.values())
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
        if is_of_several:
            rows.add_column("models", overflow="fold")
        commands: dict[str, None] = {}
        for failure, names in found.values():
            reason, _, command = failure.reason.partition(_INSTALL)
            if command:
                commands[command] = None
            cells = [short_path(failure.path, terminal.width // 2), printable(reason)]
            rows.add_row(*map(Text, [*cells, ", ".join(names)] if is_of_several else cells))
        terminal.print(rows)
        for command in commands:  # whole on a line of its own, to be copied
            write(f"install what is missing with:\n{_INSTALL.lstrip(': ')}{printable(command)}\n")


def _not_embedded(library: Library) -> list[Failure]:
    """The failures of a library, and as such the files that were cut: their sounds are in it up to there."""
    from soundseek.library import Failure

    return library.failures() + [
        Failure(
            file.path,
            f"only its first {clock(round(file.duration_s))} is in the library (--max-duration)",
            "",
            file.size_bytes,
            file.mtime_ns,
        )
        for file in library.cut_files()
    ]


def _record(failure: Failure, models: list[str]) -> dict[str, Any]:
    """What JSON says of a failure; its content's hash is for the next run alone."""
    record = asdict(failure)
    del record["content_hash"]
    return {**record, "models": models}
