"""`soundseek search`: words, example sounds and negatives -> ranked moments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soundseek.cli.options import (
    CountOption,
    CsvOption,
    JsonOption,
    LibraryOption,
    LikeOption,
    M3uOption,
    ModelOption,
    NotOption,
    SegmentsOption,
    TableOption,
    WhereOption,
    WhyOption,
    open_library,
)
from soundseek.cli.output import choose_format, say_if_nothing, show_hits
from soundseek.cli.spelling import AsTypedOption, say_if_corrected, spelling_record
from soundseek.errors import UsageError


def search(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="The sound that you look for, in words.", show_default=False),
    ] = None,
    library: LibraryOption = None,
    model: ModelOption = None,
    count: CountOption = 10,
    like: LikeOption = None,
    without: NotOption = None,
    where: WhereOption = None,
    segments: SegmentsOption = False,
    as_typed: AsTypedOption = False,
    why: WhyOption = False,
    json: JsonOption = False,
    csv: CsvOption = False,
    m3u: M3uOption = False,
    table: TableOption = False,
) -> None:
    """Find sounds by words, by example sounds, or by both, with the moment in each.

    soundseek search "a dog barks while it rains" --not music --where "duration < 30"
    """
    output = choose_format(json=json, csv=csv, m3u=m3u, table=table)
    text = " ".join(words or []).strip()
    if not text and not like:
        raise UsageError(
            'nothing to look for; say it in words, soundseek search "rain on a tent", or by --like FILE'
        )
    with open_library(library, model, create=False) as opened:
        reads = str if as_typed else opened.corrected
        query, unwanted = reads(text), [reads(each) for each in without or ()]
        for typed, read in zip((text, *(without or ())), (query, *unwanted), strict=True):
            say_if_corrected(typed, read)
        hits = opened.search(
            query or None,
            k=count,
            like=like or (),
            without=unwanted,
            where=where,
            segments=segments,
            as_typed=True,
        )
        say_if_nothing(hits, opened, where)
        wanted = why or output == "table"
        reasons = opened.explain(query, hits, as_typed=True) if wanted and query else None
    if output == "table" and like:
        # Where no word carried a hit, the example did.
        example = [f"like {', '.join(Path(each).stem for each in like)}"]
        reasons = [words or example for words in reasons or [[] for _ in hits]]
    show_hits(hits, reasons, output, spelling_record(text, query, without or (), unwanted))
