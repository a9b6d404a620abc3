"""`soundseek info`: where the library is and what is in it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from soundseek.cli.options import JsonOption, LibraryOption, TableOption, open_library
from soundseek.cli.output import choose_format, console, printable, write_json_lines

MOST_LINES = 20


def info_command(library: LibraryOption = None, json: JsonOption = False, table: TableOption = False) -> None:
    """Show where the library is, what is in it, and which model made it."""
    output = choose_format(json=json, table=table)
    with open_library(library, None, create=False) as opened:
        record = asdict(opened.info())
        from soundseek.library.further_models import models_beside

        record["further_models"] = tuple(models_beside(record["path"]))
    if output == "json":
        write_json_lines(
            [{name: value if _is_plain(value) else str(value) for name, value in record.items()}]
        )
        return
    from rich.table import Table
    from rich.text import Text

    rows = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column(overflow="fold")
    for name, value in record.items():
        rows.add_row(Text(name), Text(_shown(name, value)))
    console().print(rows)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, list, tuple, dict))


def _shown(name: str, value: Any) -> str:
    if name == "max_duration_s" and value is None:
        return "none: whole files"
    if name == "unmeasured" and value:
        return f"{value:,} without loudness: soundseek forget, then index, their folders to have it measured"
    if isinstance(value, float):
        return f"{value:,.1f}" if value >= 10 else f"{value:.2g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, tuple):
        more = [f"and {len(value) - MOST_LINES} more (--json has all)"] if len(value) > MOST_LINES else []
        return "\n".join([*map(printable, value[:MOST_LINES]), *more]) or "none"
    return "never" if value is None else printable(str(value))
