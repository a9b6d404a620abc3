"""`soundseek search`: words, example sounds and negatives -> ranked moments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soundseek.cli.options import (
    CountOrAllOption,
    CsvOption,
    DuplicatesOption,
    JsonOption,
    KeywordsOption,
    LabelsOption,
    LibraryOption,
    LikeOption,
    M3uOption,
    MinMatchOption,
    MissingOption,
    ModelOption,
    NotOption,
    SegmentsOption,
    TableOption,
    WhereOption,
    WhyOption,
    open_library,
)
from soundseek.cli.output import choose_format, say_if_nothing, show_hits, show_labels
from soundseek.cli.reading import AsTypedOption, say_reading
from soundseek.errors import UsageError


def search_command(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="The sound that you look for, in words.", show_default=False),
    ] = None,
    library: LibraryOption = None,
    model: ModelOption = None,
    count: CountOrAllOption = None,
    like: LikeOption = None,
    without: NotOption = None,
    where: WhereOption = None,
    segments: SegmentsOption = False,
    duplicates: DuplicatesOption = "hide",
    missing: MissingOption = "hide",
    min_match: MinMatchOption = 0.0,
    keywords: KeywordsOption = "auto",
    as_typed: AsTypedOption = False,
    why: WhyOption = False,
    json: JsonOption = False,
    csv: CsvOption = False,
    m3u: M3uOption = False,
    labels: LabelsOption = None,
    table: TableOption = False,
) -> None:
    """Find sounds by words, by example sounds, or by both, with the moment in each; by --where alone, list files.

    soundseek search "a dog barks while it rains" --not music --where "duration < 30"
    """
    output = choose_format(json=json, csv=csv, m3u=m3u, table=table, labels=labels)
    text = " ".join(words or []).strip()
    if not text and not like and (without or not where):
        raise UsageError(
            'nothing to look for; say it in words, soundseek search "rain on a tent", or by --like FILE; --where alone '
            "lists files"
        )
    with open_library(library, model, create=False) as opened:
        from soundseek.library.hit_formats import searched_for
        from soundseek.query import as_typed as read_as_typed

        read = read_as_typed if as_typed else opened.read
        reading = read(text) if text else None
        negatives = [read(each) for each in without or () if each.strip()]
        for each in (reading, *negatives):
            if each is not None and not as_typed:
                say_reading(each)
        hits = opened.search(
            reading,
            k=count,
            like=like or (),
            without=negatives,
            where=where,
            segments=segments,
            duplicates=duplicates,
            missing=missing,
            min_match=min_match,
            keywords=keywords,
        )
        say_if_nothing(hits, opened, where, min_match, keywords=keywords)
        wanted = why or output == "table"
        reasons = opened.explain(reading, hits) if wanted and reading else None
    if output == "table" and like:
        # Where no word carried a hit, the example did.
        example = [f"like {', '.join(Path(each).stem for each in like)}"]
        reasons = [words or example for words in reasons or [[] for _ in hits]]
    if labels is not None:
        show_labels(hits, labels)
        return
    show_hits(hits, reasons, output, {} if as_typed else searched_for(reading, negatives))
