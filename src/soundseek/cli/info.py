"""`soundseek info`: where the library is and what is in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from soundseek.cli.index import counted
from soundseek.cli.options import JsonOption, LibraryOption, TableOption, open_library, see
from soundseek.cli.output import choose_format, clock, console, printable, write_json_lines

if TYPE_CHECKING:
    from soundseek.library import LibraryInfo

MOST_LINES = 20


def info_command(library: LibraryOption = None, json: JsonOption = False, table: TableOption = False) -> None:
    """Show where the library is, what is in it, which model made it, and what to do next; --json has everything."""
    output = choose_format(json=json, table=table)
    with open_library(library, None, create=False) as opened:
        about = opened.info()
        from soundseek.library.further_models import damaged_beside, every_model_of

        damaged = damaged_beside(about.path)
        with every_model_of(opened, skip_damaged=True) as everyone:
            further = [each.info() for each in everyone[1:]]
    if output == "json":
        record = {
            **asdict(about),
            "further_models": [each.model for each in further],
            "models": [
                {"model": each.model, "files": each.files, "last_indexed": each.last_indexed}
                for each in (about, *further)
            ],
            "damaged_models": {str(folder): why for folder, why in damaged.items()},
        }
        write_json_lines(
            [{name: value if _is_plain(value) else str(value) for name, value in record.items()}]
        )
        return
    from rich.table import Table
    from rich.text import Text

    rows = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column(overflow="fold")
    for name, value in _summary(about, further, list(damaged.values()), library).items():
        rows.add_row(Text(name), Text(value))
    console().print(rows)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, list, tuple, dict))


def _summary(
    about: LibraryInfo, further: Sequence[LibraryInfo], damaged: Sequence[str], library: str | None
) -> dict[str, str]:
    """What a person wants to know of a library, by what it is about; what is not so in this one is left out.

    Args:
        about: Of the vectors of the model that filled it first.
        further: Of those of its further models.
        damaged: What is wrong with the vectors of a further model that cannot be read.
        library: As it was typed.
    """
    length = clock(round(about.audio_hours * 3600))
    away = set(about.missing_folders)
    folders = [f"{folder}  (not there now)" if folder in away else folder for folder in about.folders]
    rows = {
        "library": printable(about.path),
        "sounds": f"{about.files:,}, {length} long together, in {counted(about.segments, 'segment')}",
        "formats": ", ".join(about.formats),
        "folders": _lines(folders) or "none so far",
        "model": ", ".join(
            [about.model, *(f"{each.model} ({counted(each.files, 'sound')})" for each in further)]
        ),
        "cannot be read": _lines(damaged),
        "on disk": f"{about.bytes_on_disk / 1e6:,.1f} MB",
        "last indexed": "\n".join(
            [_when(about), *(f"{_when(each)}, by {printable(each.model)}" for each in further)]
        ),
        "left out": _lines(about.exclude),
        "not embedded": f"{counted(about.failures, 'file')}; which and why: {see('failures', library)}"
        if about.failures
        else "",
        "only beginnings": _lines(about.cut_files),
        "limit": f"{about.max_duration_s:g} s of each file (--max-duration)" if about.max_duration_s else "",
        "no loudness": f"{counted(about.unmeasured, 'file')}; to have it measured, forget and index the folders"
        if about.unmeasured
        else "",
        "windows": f"{about.windows:,} kept for moments, {about.window_bytes / 1e6:,.1f} MB"
        if about.windows
        else "",
        "approximate index": ""
        if (index := about.approximate_index).startswith("none:")
        else printable(index),
        "next": see('search "a dog barks while it rains"', library)
        if about.files
        else see("index FOLDER", library),
    }
    return {name: value for name, value in rows.items() if value}


def _when(about: LibraryInfo) -> str:
    return (about.last_indexed or "never").replace("T", " ").replace("Z", " UTC")


def _lines(texts: Sequence[str]) -> str:
    more = [f"and {len(texts) - MOST_LINES} more (--json has all)"] if len(texts) > MOST_LINES else []
    return "\n".join([*map(printable, texts[:MOST_LINES]), *more])
