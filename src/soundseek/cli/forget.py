"""`soundseek forget`: folders and files that are gone for good leave the library."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from soundseek.cli.index import counted
from soundseek.cli.options import JsonOption, LibraryOption, TableOption, argument, open_library, option
from soundseek.cli.output import choose_format, printable, write, write_json_lines
from soundseek.library.ignore import IGNORE_FILE, pattern_of_path
from soundseek.library.paths import absolute, is_at_or_below, on_disk


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

    A folder below one that is indexed comes back at the next run, unless --exclude or a line in .soundseekignore keeps
    it out.
    """
    output = choose_format(json=json, table=table)
    from soundseek.library.further_models import in_every_model

    with open_library(library, None, create=False) as opened:
        number = in_every_model(opened, lambda each: each.forget(*folders, missing_only=missing))
        _say_what_comes_back(folders, opened.info().folders)
    if output == "json":
        write_json_lines([{"forgotten": number}])
    else:
        write(f"{counted(number, 'sound')} forgotten\n")


def _say_what_comes_back(forgotten: Sequence[str], indexed: Sequence[str]) -> None:
    """On stderr what of it is there and lies below a folder that the next run scans again, and how to leave it out."""
    for path in (on_disk(absolute(each)) for each in forgotten):
        roots = [root for root in indexed if is_at_or_below(path, root)]
        if not roots or not Path(path).exists():
            continue
        told = f"{path} comes back at the next soundseek index, for it lies in {roots[0]}"
        if path != roots[0]:
            line = pattern_of_path(os.path.relpath(path, roots[0]), is_folder=Path(path).is_dir())
            told += f"; a line {line} in {Path(roots[0]) / IGNORE_FILE} leaves it out for good"
        print(printable(told), file=sys.stderr)
