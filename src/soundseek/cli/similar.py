"""`soundseek similar`: a sound -> the sounds like it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from soundseek.cli.options import (
    CountOption,
    CsvOption,
    DuplicatesOption,
    JsonOption,
    LabelsOption,
    LibrariesOption,
    M3uOption,
    MissingOption,
    ModelOption,
    SegmentsOption,
    TableOption,
    WhereOption,
    argument,
    open_libraries,
)
from soundseek.cli.output import choose_format, say_if_cut, say_if_nothing, show_hits, show_labels


def similar_command(
    file: Annotated[str, argument(metavar="FILE", help="The sound to compare with, in the library or not.")],
    library: LibrariesOption = None,
    model: ModelOption = None,
    count: CountOption = 10,
    where: WhereOption = None,
    segments: SegmentsOption = False,
    duplicates: DuplicatesOption = "hide",
    missing: MissingOption = "hide",
    json: JsonOption = False,
    csv: CsvOption = False,
    m3u: M3uOption = False,
    labels: LabelsOption = None,
    table: TableOption = False,
) -> None:
    """Find the sounds most like a given one.

    To add words to an example: soundseek search "in a cave" --like FILE
    """
    output = choose_format(json=json, csv=csv, m3u=m3u, table=table, labels=labels)
    with open_libraries(library, model) as opened:
        hits = opened.similar(
            file, k=count, where=where, segments=segments, duplicates=duplicates, missing=missing
        )
        say_if_nothing(hits, opened, where)
        say_if_cut([file], opened)
    reason = [f"like {Path(file).stem}"]
    if labels is not None:
        show_labels(hits, labels, reason[0])
        return
    show_hits(hits, [reason] * len(hits) if output == "table" else None, output)
