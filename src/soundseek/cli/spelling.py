"""What is searched for in place of mistyped words, said in one line."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from soundseek.cli.output import printable

AsTypedOption = Annotated[
    bool,
    typer.Option("--as-typed", help="Correct no mistyped word of the query.", show_default=False),
]


def say_if_corrected(typed: str, read: str) -> None:
    """On stderr what a query was read as, if that is not what was typed."""
    if read != typed:
        told = f'searched for "{printable(read)}" (typed "{printable(typed)}")'
        print(f"{told}; --as-typed searches for the words as they are", file=sys.stderr)


def spelling_record(typed: str, read: str) -> dict[str, str]:
    """What a JSON record says of it: nothing where nothing was corrected."""
    return {"query": read, "typed": typed} if read != typed else {}
