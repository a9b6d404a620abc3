"""What a query was read as, said in one line on stderr: jargon, other languages, exclusions and mistyped words."""

from __future__ import annotations

import sys
from typing import Annotated

from soundseek.cli.options import option
from soundseek.cli.output import printable
from soundseek.query import Reading

AsTypedOption = Annotated[bool, option("--as-typed", help="Take the words exactly as typed.")]


def say_reading(
    reading: Reading, *, how: str = "searched for", otherwise: str = "searches for", is_part: bool = False
) -> None:
    """On stderr what a query was read as, if that is not what was typed, and what of it could not be read.

    Args:
        reading: The query as it was read.
        how: What was done with it.
        otherwise: What `--as-typed` does with the words as they are.
        is_part: Whether it is one description of several, of which together is said what could not be read.
    """
    if not reading.is_as_typed:
        told = f"{how} {reading.described(quoted)} (typed {quoted(reading.typed)})"
        print(f"{told}; --as-typed {otherwise} the words as they are", file=sys.stderr)
    if not is_part:
        say_warnings(reading)


def say_warnings(reading: Reading) -> None:
    """On stderr what of a query could not be read, and that it asks for nothing."""
    for warning in reading.warnings(quoted):
        print(warning, file=sys.stderr)


def quoted(text: str) -> str:
    """A text in quotation marks, safe to show."""
    return f'"{printable(text)}"'
