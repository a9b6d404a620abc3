"""Hits on stdout in the format asked for, with the words that carried them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from soundseek.cli.output import Format, console, hits_table, printable, write, write_json_lines

if TYPE_CHECKING:
    from soundseek.library import Hit, Library


def show_hits(
    hits: Sequence[Hit],
    why: Sequence[Sequence[str]] | None,
    output: Format,
    about: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write hits to stdout.

    Args:
        hits: Best first.
        why: For each hit what carried it, the words of the query for instance; None if nobody asked.
        output: The format.
        about: What every JSON object says besides.
    """
    from soundseek.library.export import csv_text, m3u_text, record

    if output == "csv":
        write(csv_text(hits, why))
    elif output == "m3u":
        write(m3u_text(hits))
    elif output == "json":
        reasons = [{}] * len(hits) if why is None else [{"why": list(words)} for words in why]
        write_json_lines(
            record(hit) | reason | dict(about) for hit, reason in zip(hits, reasons, strict=True)
        )
    elif hits:
        terminal = console()
        lines = [", ".join(words) for words in why] if why is not None else [""] * len(hits)
        terminal.print(hits_table(hits, lines, terminal.width))


def say_if_nothing(hits: Sequence[Hit], library: Library, where: str | None) -> None:
    """Why there is no hit, on stderr, so that a pipe gets none of it."""
    if hits:
        return
    about = library.info()
    if not about.files:
        why = f"{about.path} holds no sounds; fill it with: soundseek index FOLDER --library {about.path}"
    elif where is not None:
        why = f"none of the library's {about.files} sounds fulfils --where {where!r}"
    else:
        why = "the example is the only sound in the library"
    print(f"nothing found: {printable(why)}", file=sys.stderr)
