"""`soundseek relocate`: a folder was moved or renamed; nothing is embedded again."""

from __future__ import annotations

from typing import Annotated

from soundseek.cli.index import counted
from soundseek.cli.options import JsonOption, LibraryOption, TableOption, argument, open_library
from soundseek.cli.output import choose_format, write, write_json_lines


def relocate_command(
    old: Annotated[str, argument(metavar="OLD", help="The folder (or file) as the library knows it.")],
    new: Annotated[str, argument(metavar="NEW", help="Where it is now.")],
    library: LibraryOption = None,
    json: JsonOption = False,
    table: TableOption = False,
) -> None:
    """Tell the library that a folder was moved or renamed; nothing is embedded again.

    soundseek index NEW finds that out by itself, but reads every file once.
    """
    output = choose_format(json=json, table=table)
    from soundseek.library.further_models import in_every_model

    with open_library(library, None, create=False) as opened:
        number = in_every_model(opened, lambda each: each.relocate(old, new))
    if output == "json":
        write_json_lines([{"relocated": number}])
    else:
        write(f"{counted(number, 'sound')} relocated\n")
