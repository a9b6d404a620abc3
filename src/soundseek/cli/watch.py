"""`soundseek watch`: folders that change -> a library that follows."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated

import typer

from soundseek._threads import compute_on_one_thread
from soundseek.cli.options import LibraryOption, ModelOption, above, argument, open_library
from soundseek.cli.output import printable


def watch_command(
    folders: Annotated[
        list[str] | None,
        argument(
            metavar="FOLDER",
            help="Folders of sounds, here or in a bucket (s3://BUCKET/FOLDER); default: those that the library knows.",
        ),
    ] = None,
    library: LibraryOption = None,
    model: ModelOption = None,
    settle: Annotated[
        float,
        typer.Option(
            "--settle",
            parser=above(0, "seconds"),
            metavar="SECONDS",
            help="Take a file once nothing has happened to it for so long: until then it may still grow.",
        ),
    ] = 3.0,
    rescan: Annotated[
        float,
        typer.Option(
            "--rescan",
            parser=above(0, "seconds"),
            metavar="SECONDS",
            help="Scan everything after so long, for what no event told of, as on network drives and in buckets.",
        ),
    ] = 600.0,
) -> None:
    """Keep the library current while files are recorded, copied, moved and removed; Ctrl-C ends it.

    Prints a line for each change. A file is taken once it has stopped growing; one that cannot be embedded is named,
    as `soundseek index` does. A bucket tells of no changes: it is listed again after `--rescan`. Searching and
    `soundseek serve` go on beside it. Needs the extra `watch`.
    """
    from soundseek.cli.extras import need

    compute_on_one_thread()
    from soundseek.library.paths import absolute, is_url, on_disk
    from soundseek.library.scan import check_folders
    from soundseek.library.watching import FolderWatch, folder_events

    def need_events_of(some: Iterable[str]) -> None:
        if not all(is_url(folder) for folder in some):
            need(["watchfiles"], extra="watch", why="watching folders belongs to an extra")

    need_events_of(folders or ())  # before a library is made
    check_folders(folders or ())
    with open_library(library, model, create=bool(folders)) as opened:
        named = [on_disk(absolute(folder)) for folder in folders or opened.info().folders]
        buckets = [folder for folder in named if is_url(folder)]
        here = [folder for folder in named if not is_url(folder)]
        need_events_of(here)
        watching = FolderWatch(
            opened,
            here,
            say=_say,
            index=lambda still_grows, is_rescan: opened.index(
                *(folders or () if is_rescan or not buckets else here), workers=1, still_grows=still_grows
            ),
            settled_s=settle,
            rescan_s=rescan,
        )
        what = [f"watching {', '.join(here)}"] if here else []
        what += [f"listing {', '.join(buckets)} every {rescan:g} seconds"] if buckets else []
        print(printable(f"{', and '.join(what or ['nothing to watch'])}; Ctrl-C ends it"), file=sys.stderr)
        with suppress(KeyboardInterrupt):
            watching.run(folder_events)
    print("stopped watching", file=sys.stderr)


def _say(line: str) -> None:
    print(printable(line), flush=True)
