"""`soundseek forget`: folders and files that are gone for good leave the library."""

from __future__ import annotations

from typing import Annotated

from soundseek.cli.index import counted
from soundseek.cli.options import JsonOption, LibraryOption, TableOption, argument, open_library, option
from soundseek.cli.output import choose_format, write, write_json_lines


def forget_command(
    folders: Annotated[
        list[str],
        argument(
            metavar="FOLDER",
            help="Folders or files to drop from the library, there or not; with what lies below them.",
        ),
    ],
    library: LibraryOption = None,
    missing: Annotated[bool, option("--missing", help="Drop only what is not there now.")] = False,
    json: JsonOption = False,
    table: TableOption = False,
) -> None:
    """Drop folders or files from the library, for every model; no sound file is touched.

    A folder below one that is indexed comes back at the next run, unless --exclude keeps it out.
    """
    output = choose_format(json=json, table=table)
    from soundseek.library.further_models import in_every_model

    with open_library(library, None, create=False) as opened:
        number = in_every_model(opened, lambda each: each.forget(*folders, missing_only=missing))
    if output == "json":
        write_json_lines([{"forgotten": number}])
    else:
        write(f"{counted(number, 'sound')} forgotten\n")
