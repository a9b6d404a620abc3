"""`soundseek search`: words, example sounds and negatives -> ranked moments."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from soundseek.cli.options import (
    CountOrAllOption,
    CsvOption,
    DuplicatesOption,
    JsonOption,
    KeywordsOption,
    LabelsOption,
    LibrariesOption,
    LikeOption,
    M3uOption,
    MinMatchOption,
    MissingOption,
    ModelOption,
    NotOption,
    RerankOption,
    SegmentsOption,
    TableOption,
    TaughtOption,
    WhereOption,
    WhyOption,
    WindowsOption,
    argument,
    need_model,
    open_libraries,
)
from soundseek.cli.output import choose_format, say_if_cut, say_if_nothing, show_hits, show_labels
from soundseek.cli.reading import AsTypedOption, quoted, say_reading, say_warnings
from soundseek.errors import UsageError

if TYPE_CHECKING:
    from soundseek.library import Library, LibrarySet
    from soundseek.library.hits import Hits
    from soundseek.query import Reading


def search_command(
    words: Annotated[
        list[str] | None, argument(metavar="TEXT", help="The sound that you look for, in words.")
    ] = None,
    library: LibrariesOption = None,
    model: ModelOption = None,
    count: CountOrAllOption = None,
    like: LikeOption = None,
    without: NotOption = None,
    taught: TaughtOption = None,
    where: WhereOption = None,
    segments: SegmentsOption = False,
    duplicates: DuplicatesOption = "hide",
    missing: MissingOption = "hide",
    min_match: MinMatchOption = 0.0,
    keywords: KeywordsOption = "auto",
    as_typed: AsTypedOption = False,
    why: WhyOption = False,
    windows: WindowsOption = False,
    rerank: RerankOption = None,
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
    is_said = any(word.strip() for word in words or ())
    if not is_said and not like and taught is None and (without or not where):
        raise UsageError(
            'nothing to look for; say it in words, soundseek search "rain on a tent", by --like FILE or by --taught '
            "NAME; --where alone lists files"
        )
    if len(library or ()) > 1 and (rerank or windows):
        raise UsageError("--rerank and --windows take one library; give --library once")
    if rerank and taught is not None:
        raise UsageError("--taught goes without --rerank: marks teach the library's own model")
    with open_libraries(library, model) as opened:
        from soundseek.library.hit_formats import searched_for
        from soundseek.query import all_of, beside_each_other, descriptions
        from soundseek.query import as_typed as read_as_typed

        read = read_as_typed if as_typed else opened.read
        described = beside_each_other([read(each) for each in descriptions(words or ())])
        reading = all_of(described) if described else None
        _say_all(described)
        negatives = [read(each) for each in without or () if each.strip()]
        if not as_typed:
            for each in described:
                say_reading(each, is_part=len(described) > 1)
            if reading is not None and len(described) > 1:
                say_warnings(reading)
            for each in negatives:
                say_reading(each)
        _say_contradiction(described, negatives)
        asked: dict[str, Any] = {
            "text": reading, "like": like or (), "without": negatives, "where": where, "segments": segments,
            "duplicates": duplicates, "missing": missing, "keywords": keywords, "taught": taught,
        }  # fmt: skip
        with _ranking_library(opened, library[0] if library else None, rerank) as ranking:
            if ranking is opened:
                hits = opened.search(k=count, min_match=min_match, **asked)
            else:
                hits = _reranked(cast("Library", opened), cast("Library", ranking), asked, count, min_match)
            say_if_nothing(hits, opened, where, min_match, keywords=keywords)
            say_if_cut(like or (), opened)
            if windows:
                hits = cast("Library", ranking).score_windows(
                    hits, reading, like=like or (), without=negatives, taught=taught
                )
            _say_windows(hits, is_asked=windows)
            wanted = why or output == "table"
            reasons = ranking.explain(reading, hits) if wanted and reading else None
    if output == "table" and like:
        # Where no word carried a hit, the example did.
        example = [f"like {', '.join(Path(each).stem for each in like)}"]
        reasons = [words or example for words in reasons or [[] for _ in hits]]
    if labels is not None:
        sought = [
            reading.typed if reading else "",
            taught or "",
            *(f"like {Path(each).stem}" for each in like or ()),
        ]
        show_labels(hits, labels, ", ".join(each for each in sought if each) or where or "")
        return
    show_hits(hits, reasons, output, {} if as_typed else searched_for(reading, negatives))


def _say_all(readings: Sequence[Reading]) -> None:
    """That several descriptions are looked for in one recording."""
    asked = [quoted(each.typed) for each in readings if each.alternatives]
    if len(asked) > 1:
        print(f"sounds with all of {', '.join(asked)}; for each of them search once", file=sys.stderr)


def _say_contradiction(readings: Sequence[Reading], negatives: Sequence[Reading]) -> None:
    """Name the words that are asked for and kept out at once."""
    asked = {_plain(each) for reading in readings for each in (reading.typed, *reading.texts)}
    for negative in negatives:
        if asked & {_plain(negative.typed), _plain(negative.text)}:
            told = f"{quoted(negative.typed)} is asked for and kept out at once; leave one of the two out"
            print(told, file=sys.stderr)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


@contextmanager
def _ranking_library(
    opened: Library | LibrarySet, directory: str | Path | None, model: str | None
) -> Iterator[Library | LibrarySet]:
    """The library whose model ranks the hits: the one that is searched, or for --rerank that of another model."""
    if model is None:
        yield opened
        return
    need_model(model)
    from soundseek.library.rerank import second_library
    from soundseek.model.registry import load_model

    with second_library(directory, load_model(model)) as second:
        yield second


def _reranked(
    first: Library, second: Library, asked: dict[str, Any], count: int | None, min_match: float
) -> Hits:
    """The hits of the second model among the files that the first one proposes.

    Raises:
        UsageError: `--min-match` was given, which is fitted for whole libraries.
    """
    if min_match:
        raise UsageError(
            "--min-match goes without --rerank: how sure a hit is, is not known of a choice of files"
        )
    from soundseek.library.rerank import PROPOSED, rerank

    if asked["text"] is None and not asked["like"]:
        raise UsageError("--rerank ranks by words or example sounds; give some")
    count = 10 if count is None else count
    proposed = first.search(k=max(PROPOSED, count), **{**asked, "segments": False})
    return rerank(proposed, second, asked, k=count)


def _say_windows(hits: Hits, *, is_asked: bool) -> None:
    """What the moments are, where they are scores of windows or these were asked for."""
    lengths = {hit.window_s for hit in hits if hit.window_s is not None}
    if lengths:
        print(
            f"moments are scores of windows of {max(lengths):g} s, one a second, each embedded alone",
            file=sys.stderr,
        )
    elif hits and is_asked:
        print("the model has moments of its own, so --windows changes nothing", file=sys.stderr)
