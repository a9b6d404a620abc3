"""`soundseek explain`: a sound and a query -> the score over time, and what each word contributed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from soundseek.cli.options import (
    JsonOption,
    LibraryOption,
    ModelOption,
    TableOption,
    argument,
    library_if_there,
    need_model,
)
from soundseek.cli.output import (
    SCORE_WIDTH,
    bar_strip,
    choose_format,
    clock,
    console,
    dense_table,
    printable,
    short_path,
    write_json_lines,
)
from soundseek.cli.reading import AsTypedOption, say_reading
from soundseek.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from soundseek.library.explain import Explanation, WordContribution
    from soundseek.library.workers import EmbeddingModel

_MOST_COLUMNS = 88
_BAR_COLUMNS = 20
_FOOTNOTE = "last, without a bar: words that name no sound; they change the wording"
_FLAT = 1e-6  # moments that differ by less come from a model that hears a segment as a whole


def explain_command(
    file: Annotated[str, argument(metavar="FILE", help="The sound.")],
    words: Annotated[list[str], argument(metavar="TEXT", help="The words to explain.")],
    library: LibraryOption = None,
    model: ModelOption = None,
    as_typed: AsTypedOption = False,
    json: JsonOption = False,
    table: TableOption = False,
) -> None:
    """Show why a sound fits some words: its score over time and what each word adds.

    Of a file in the library its vectors are taken; any other is embedded whole.

    soundseek explain creek.wav "a dog barks while it rains"
    """
    output = choose_format(json=json, table=table)
    typed = " ".join(words).strip()
    if not typed:
        raise UsageError('nothing to explain; say it in words: soundseek explain FILE "a dog barks"')
    from soundseek.library.explain import explain_file
    from soundseek.library.hit_formats import searched_for
    from soundseek.library.library_model import identity_of
    from soundseek.model.registry import load_model
    from soundseek.query import QueryReader
    from soundseek.query import as_typed as read_as_typed

    need_model(model)
    with library_if_there(library, model) as opened:
        chosen: EmbeddingModel = opened.model if opened is not None else load_model(model)
        reading = read_as_typed(typed) if as_typed else QueryReader.of(chosen).read(typed)
        # Of several texts the first is explained; of a query that only excludes, what it excludes.
        query = reading.text or " ".join(reading.negatives)
        if opened is not None:  # which has the vectors of its files, and perhaps of their windows
            explanation = opened.explain_file(file, read_as_typed(query))
        else:
            explanation = explain_file(chosen, file, query)
    name = identity_of(chosen).name
    if not as_typed:
        say_reading(reading, how="read as", otherwise="explains")
    if output == "json":
        record = _record(explanation, query, name)
        about = {} if as_typed else searched_for(reading)
        write_json_lines([record | about | {"query": query}])
    else:
        _print(explanation, query, name)


def _record(explanation: Explanation, query: str, model: str) -> dict[str, Any]:
    from soundseek.library.hit_formats import record

    return {
        **record(explanation.hit),
        "frame_s": explanation.frame_s,
        "query": query,
        "model": model,
        "words": [_rounded(asdict(word)) for word in explanation.words],
        "segments": [_rounded(asdict(segment)) for segment in explanation.segments],
    }


def _rounded(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in fields.items()}


def _print(explanation: Explanation, query: str, model: str) -> None:
    from rich.text import Text

    from soundseek.cli.output import chart
    from soundseek.library.explain import content_words

    hit, terminal = explanation.hit, console()
    width = min(terminal.width, _MOST_COLUMNS)
    lines = [
        f"{hit.score:.3f}  {short_path(hit.path, width - SCORE_WIDTH - 2)}  “{printable(query)}”  ({model})"
    ]
    if len(explanation.segments) > 1:
        scores = [segment.score for segment in explanation.segments]
        strip = bar_strip(scores, min(scores), max(scores), width - SCORE_WIDTH - 2)
        lines += [
            "",
            f"the whole file, {len(scores)} segments from {min(scores):.3f} to {max(scores):.3f}:",
            f"  {strip}",
            f"below, its best one, {clock(hit.start_s)} to {clock(hit.end_s)}:",
        ]
    lines += ["", *chart(hit.moments, hit.start_s, hit.end_s, width=width), "", _moment(explanation), ""]
    for line in lines:
        terminal.print(Text(line), soft_wrap=True)
    explained = {word.word for word in explanation.words}  # of a very long query the first ones
    telling = explained.intersection(content_words(query)) or explained
    terminal.print(_words_table(explanation.words, hit.score, telling))
    if any(word.word not in telling for word in explanation.words):
        terminal.print(Text(f"\n{_FOOTNOTE}", style="dim"), soft_wrap=True)


def _moment(explanation: Explanation) -> str:
    hit = explanation.hit
    mean = f"score {hit.score:.3f}, {len(hit.moments)} moments"
    if hit.window_s is not None:
        mean += f" (windows of {hit.window_s:g} s, one a second, each embedded alone)"
    if max(hit.moments) - min(hit.moments) < _FLAT:
        return f"{mean}; they are alike, for this model hears a segment as a whole or it is a single moment"
    return f"{mean}; the strongest at {clock(round(hit.moment_s, 1))} with {max(hit.moments):.3f}"


def _words_table(words: tuple[WordContribution, ...], score: float, telling: Collection[str]) -> Table:
    """Word, the score without it, the difference, and a bar as long as that; words that name no sound last, without."""
    from rich.text import Text

    table = dense_table()
    table.add_column("word", overflow="fold")
    table.add_column("score without", justify="right", no_wrap=True)
    table.add_column("contributed", justify="right", style="cyan", no_wrap=True)
    table.add_column("", style="magenta", no_wrap=True)
    largest = max(abs(word.contribution) for word in words if word.word in telling) or 1.0
    for word in sorted(words, key=lambda word: word.word not in telling):
        names_a_sound = word.word in telling
        # From the rounded numbers, so that the columns add up to the score above as they are shown.
        share = round(score, 3) - round(word.without, 3)
        bar = "█" * round(_BAR_COLUMNS * max(0.0, word.contribution) / largest) if names_a_sound else ""
        cells = (printable(word.word), f"{word.without:.3f}", f"{share:+.3f}", bar)
        table.add_row(*map(Text, cells), style=None if names_a_sound else "dim")
    return table
