"""What is searched for in place of mistyped words, said in one line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from soundseek.cli.output import printable

AsTypedOption = Annotated[
    bool,
    typer.Option("--as-typed", help="Search for the words exactly as typed.", show_default=False),
]


def say_if_corrected(
    typed: str, read: str, *, how: str = "searched for", otherwise: str = "searches for"
) -> None:
    """On stderr what a query was read as, if that is not what was typed.

    Args:
        typed: The words as they came.
        read: As they are corrected.
        how: What was done with them.
        otherwise: What `--as-typed` does with the words as they are.
    """
    if read != typed:
        told = f'{how} "{printable(read)}" (typed "{printable(typed)}")'
        print(f"{told}; --as-typed {otherwise} the words as they are", file=sys.stderr)


def spelling_record(
    typed: str, read: str, without: Sequence[str] = (), unwanted: Sequence[str] = ()
) -> dict[str, Any]:
    """What a JSON record says of it: nothing where nothing was corrected.

    Args:
        typed: The query as it came.
        read: As it is corrected.
        without: The texts of `--not` as they came.
        unwanted: As they are corrected, in the same order.
    """
    text = {"query": read, "typed": typed} if read != typed else {}
    texts = {"not": list(unwanted), "not_typed": list(without)} if [*unwanted] != [*without] else {}
    return {**text, **texts}
