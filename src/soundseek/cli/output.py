"""Results on stdout: a table with charts on a terminal, JSON lines in a pipe, CSV or a playlist on demand."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from soundseek.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from soundseek.library import Hit, Library, LibrarySet
    from soundseek.library.hits import Hits
    from soundseek.library.label_tracks import LabelFormat
    from soundseek.library.store.fused import Keywords


OutputFormat = Literal["table", "json", "csv", "m3u", "labels", "latex"]

BARS = "▁▂▃▄▅▆▇█"
SCORE_WIDTH = len("-0.123")
MATCH_WIDTH = len("unlikely")
STRIP_WIDTH = 8, 16  # columns of the bar strip, least and most: a 10 s segment has a bar every 1.3 or 0.6 s
WHY_WIDTH = 12, 24
SHORTEST_FILE = len("…/dog.ogg")


def choose_format(
    *,
    json: bool,
    csv: bool = False,
    m3u: bool = False,
    table: bool = False,
    labels: LabelFormat | None = None,
    latex: bool = False,
) -> OutputFormat:
    """The format asked for; without a wish, a table on a terminal and JSON lines elsewhere.

    Raises:
        UsageError: Two formats at once.
    """
    wishes: dict[OutputFormat, bool] = {
        "json": json,
        "csv": csv,
        "m3u": m3u,
        "table": table,
        "labels": labels is not None,
        "latex": latex,
    }
    chosen = [name for name, wished in wishes.items() if wished]
    if len(chosen) > 1:
        raise UsageError(f"--{' and --'.join(chosen)} exclude each other; give one of them")
    if chosen:
        return chosen[0]
    return "table" if sys.stdout.isatty() else "json"


def write(text: str) -> None:
    """Write to stdout as UTF-8, whatever the locale; what UTF-8 cannot carry becomes a backslash escape.

    A file name that is no UTF-8 holds lone surrogates in Python. In JSON their escape `\\udcff` is what a
    JSON parser turns back into the same name (`os.fsencode` gives its bytes).
    """
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:  # stdout was replaced by something that takes text alone
        sys.stdout.write(text)
    else:
        buffer.write(text.encode("utf-8", "backslashreplace"))
        buffer.flush()


def write_json_lines(records: Iterable[dict[str, Any]]) -> None:
    """One JSON object a line."""
    for record in records:
        write(json.dumps(record, ensure_ascii=False) + "\n")


def printable(text: str) -> str:
    """`text` safe to show: control characters, which can steer a terminal, and broken bytes become escapes.

    Example:
        >>> print(printable("a\\nb\\x1b[31m"))
        a\\nb\\x1b[31m
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def short_path(path: str, width: int = 60) -> str:
    """A path for reading: relative to here or to home if it lies below; a long one loses its first folders.

    Args:
        path: An absolute path.
        width: Columns of the terminal that it may take.

    Example:
        >>> short_path("/a/very/long/folder/name/dog.ogg", width=16)
        '…/name/dog.ogg'
        >>> short_path("/folder/big-dog-barks.ogg", width=16)
        '…g-dog-barks.ogg'
    """
    from rich.cells import cell_len

    try:
        here = str(Path.cwd()).rstrip(os.sep)
    except FileNotFoundError:  # the current folder has been deleted
        here = os.devnull
    home = str(Path.home()).rstrip(os.sep)
    if path.startswith(here + os.sep):
        path = path[len(here) + 1 :]
    elif path.startswith(home + os.sep):
        path = "~" + path[len(home) :]
    shown = printable(path)
    if cell_len(shown) <= width:
        return shown
    ends = [shown[at:] for at, letter in enumerate(shown) if letter == os.sep]
    ends += [shown[at:] for at in range(len(shown))]  # not even the name fits
    return "…" + next((end for end in ends if cell_len(end) < width), "")


def clock(seconds: float) -> str:
    """Seconds as a player shows them, with a tenth only where it says something.

    Example:
        >>> clock(75), clock(7.25), clock(3725)
        ('1:15', '0:07.2', '1:02:05')
    """
    tenths = round(seconds * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    whole, tenth = divmod(tenths, 10)
    text = f"{hours}:{minutes:02d}:{whole:02d}" if hours else f"{minutes}:{whole:02d}"
    return f"{text}.{tenth}" if tenth else text


def bar_strip(moments: Sequence[float], low: float, high: float, width: int = STRIP_WIDTH[1]) -> str:
    """Scores over time as bars; more moments than columns are averaged.

    Args:
        moments: A score for each frame, in the order of time.
        low: The score of the lowest bar.
        high: The score of the highest bar.
        width: Most columns to use.

    Example:
        >>> bar_strip([0.0, 0.5, 1.0], low=0.0, high=1.0)
        '▁▅█'
        >>> bar_strip([0.0, 0.0, 1.0, 1.0], low=0.0, high=1.0, width=2)
        '▁█'
    """
    columns = min(width, len(moments))
    bars = []
    for column in range(columns):
        start, end = column * len(moments) // columns, (column + 1) * len(moments) // columns
        height = (sum(moments[start:end]) / (end - start) - low) / ((high - low) or 1)
        bars.append(BARS[min(len(BARS) - 1, max(0, int(height * len(BARS))))])
    return "".join(bars)


def console(*, stderr: bool = False) -> Console:
    """The terminal, or a pipe that wants a table all the same."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=False)


def cut_to(text: str, width: int) -> str:
    """A text of at most so many columns of the terminal: what is longer ends in an ellipsis.

    Example:
        >>> cut_to("barking, dog", 12), cut_to("barking, distance", 12), cut_to("犬の声", 4)
        ('barking, dog', 'barking, di…', '犬…')
    """
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)).rstrip() + "…"


def hits_table(hits: Sequence[Hit], why: Sequence[str], width: int) -> list[Text]:
    """A ranked table of score, file, best moment (where to start listening), the segment's bar strip, and why.

    Args:
        hits: The hits, best first; at least one.
        why: One explanation a hit; all empty leaves the column out.
        width: Columns of the terminal; where they are too few for all, the reasons are left out, then the bars.

    Returns:
        Its lines: the titles, a line below them, and a row for each hit, with what else there is to say of it below.
    """
    from rich.text import Text

    from soundseek.model.match import match_word

    places = [_place(hit) for hit in hits]
    reasons = [printable(reason) for reason in why]
    sure = ["" if hit.match is None else match_word(hit.match) for hit in hits]
    place_width = max(map(len, ["moment", *places]))
    room = width - SCORE_WIDTH - (MATCH_WIDTH + 2) * any(sure) - place_width - 4
    file_width, strip_width, why_width = _share(room, hits, reasons)
    scores = [score for hit in hits for score in hit.moments] or [0.0]
    low, high = min(scores), max(scores)
    columns = [("score", SCORE_WIDTH, "cyan", [f"{hit.score:.3f}".rjust(SCORE_WIDTH) for hit in hits])]
    columns += [("match", MATCH_WIDTH, "", sure)] * any(sure)
    before_file = sum(width + 2 for _, width, _, _ in columns)
    columns.append(("file", file_width, "", [short_path(hit.path, file_width) for hit in hits]))
    columns.append(("moment", place_width, "green", places))
    strips = [bar_strip(hit.moments, low, high, strip_width) for hit in hits] if strip_width else []
    columns += [("", strip_width, "magenta", strips)] * (strip_width > 0)
    columns += [("why", why_width, "dim", reasons)] * (why_width > 0)
    titles = ["score".rjust(SCORE_WIDTH), *(title for title, *_ in columns[1:])]
    lines = [_row([(title, width, "bold") for title, (_, width, _, _) in zip(titles, columns, strict=True)])]
    lines.append(Text("─" * lines[0].cell_len))
    for number, hit in enumerate(hits):
        lines.append(_row([(cells[number], width, style) for _, width, style, cells in columns]))
        lines += [
            Text(" " * before_file + cut_to(note, width - before_file), style="dim")
            for note in _notes(hit, width - before_file)
        ]
    return lines


def _row(cells: Sequence[tuple[str, int, str]]) -> Text:
    """Cells of a text, its columns and its style, two blanks between them."""
    from rich.cells import set_cell_size
    from rich.text import Text

    line = Text(no_wrap=True)
    for number, (text, width, style) in enumerate(cells):
        line.append("  " if number else "").append(set_cell_size(cut_to(text, width), width), style=style)
    return line


def _place(hit: Hit) -> str:
    """The moment on the player's clock, and behind it the time of day where the file knows it."""
    if hit.clock is None:
        return clock(hit.moment_s)
    return f"{clock(hit.moment_s)} at {hit.clock.rpartition('T')[2][:8]}"


def files_table(hits: Sequence[Hit], width: int) -> Table:
    """A table of whole files: those that a filter alone has found.

    Args:
        hits: At least one.
        width: Columns of the terminal.
    """
    from rich.text import Text

    rows = plain_table("file", "length", "rate", "format", right=("length", "rate"))
    format_width = max(len("format"), *(len(printable(hit.format)) for hit in hits))
    room = max(SHORTEST_FILE, width - 26 - format_width)
    for hit in hits:
        rate = f"{hit.sample_rate_hz / 1000:g} kHz"
        rows.add_row(
            *map(
                Text,
                [short_path(hit.path, room), clock(round(hit.duration_s, 1)), rate, printable(hit.format)],
            )
        )
    return rows


def _notes(hit: Hit, width: int) -> list[str]:
    """Lines below a hit: where else it is, and that the library holds only its beginning."""
    notes = []
    if hit.also_at:
        more = f" and {len(hit.also_at) - 1} more" if len(hit.also_at) > 1 else ""
        room = max(SHORTEST_FILE, width - len("  also at ") - len(more))
        notes.append(f"  also at {short_path(hit.also_at[0], room)}{more}")
    if hit.library is not None:
        notes.append(f"  in the library {short_path(hit.library, max(SHORTEST_FILE, width - 17))}")
    if hit.is_cut:
        notes.append(f"  only its first {clock(round(hit.duration_s))} is searched (--max-duration)")
    return notes


def _share(room: int, hits: Sequence[Hit], reasons: Sequence[str]) -> tuple[int, int, int]:
    """Columns for file, strip and why, 0 where one is left out; `room` has the two blanks before strip and why as well.

    Where there are too few for all, the file's name has priority: first the bars become fewer, then the
    reasons are cut, then paths lose their first folders; at last the reasons are left out, and the bars.
    """
    from rich.cells import cell_len

    file = max(SHORTEST_FILE, len("file"), *(cell_len(short_path(hit.path, max(room, 1))) for hit in hits))
    why = min(WHY_WIDTH[1], max(map(cell_len, ["why", *reasons]))) if any(reasons) else 0
    most_bars = min(STRIP_WIDTH[1], max(len(hit.moments) for hit in hits))
    if room < SHORTEST_FILE + min(STRIP_WIDTH[0], most_bars) + 2 + (min(WHY_WIDTH[0], why) + 2) * (why > 0):
        why = 0
    if room < SHORTEST_FILE + min(STRIP_WIDTH[0], most_bars) + 2:
        most_bars = 0
    room -= 2 * (most_bars > 0) + 2 * (why > 0)
    strip = min(max(STRIP_WIDTH[0], room - file - why), most_bars)
    why = min(max(WHY_WIDTH[0], room - file - strip), why)
    return min(file, max(SHORTEST_FILE, room - strip - why)), strip, why


def chart(values: Sequence[float], start_s: float, end_s: float, *, width: int, height: int = 6) -> list[str]:
    """Lines of a chart: bars from the lowest value (or 0) up, the scale on the left, the time below.

    Args:
        values: In the order of time; more than there are columns are averaged, fewer are drawn wider.
        start_s: When the first begins.
        end_s: When the last one ends.
        width: Columns that the chart may take, with its scale.
        height: Lines of bars.

    Example:
        >>> for line in chart([0.0, 0.5, 1.0], 0, 3, width=17, height=2):
        ...     print(line)
         1.000 ┤      ███
         0.000 ┤   ██████
                0:00 0:03
    """
    low, high = min(0.0, *values), max(0.0, *values)
    labels = [f"{high:6.3f} ┤", *["       │"] * (height - 2), f"{low:6.3f} ┤"][-height:]
    columns = spread(values, max(1, width - len(labels[0])))
    span = (high - low) or 1.0
    eighths = [round((value - low) / span * height * len(BARS)) for value in columns]
    lines = []
    for row, label in zip(range(height - 1, -1, -1), labels, strict=True):
        filled = [min(len(BARS), max(0, each - row * len(BARS))) for each in eighths]
        lines.append((label + "".join(BARS[each - 1] if each else " " for each in filled)).rstrip())
    first, last = clock(round(start_s, 1)), clock(round(end_s, 1))
    gap = max(1, len(columns) - len(first) - len(last))
    return [*lines, " " * len(labels[0]) + first + " " * gap + last]


def spread(values: Sequence[float], columns: int) -> list[float]:
    """The values on at most so many columns: averaged if there are more, each as wide as the others if fewer.

    Example:
        >>> spread([1.0, 3.0, 5.0, 7.0], 2), spread([1.0, 2.0], 5)
        ([2.0, 6.0], [1.0, 1.0, 2.0, 2.0])
    """
    if len(values) <= columns:
        return [value for value in values for _ in range(columns // len(values))]
    bounds = [column * len(values) // columns for column in range(columns + 1)]
    return [sum(values[a:b]) / (b - a) for a, b in pairwise(bounds)]


def show_hits(
    hits: Sequence[Hit],
    why: Sequence[Sequence[str]] | None,
    output: OutputFormat,
    about: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write hits to stdout.

    Args:
        hits: Best first.
        why: For each hit what carried it, the words of the query for instance; None if nobody asked.
        output: The format.
        about: What every JSON object says besides.
    """
    from soundseek.library.hit_formats import csv_text, m3u_text, record

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
        lines = [_with_name(line, hit) for line, hit in zip(lines, hits, strict=True)]
        if not any(hit.moments for hit in hits):
            terminal.print(files_table(hits, terminal.width))
            return
        for line in hits_table(hits, lines, terminal.width):
            terminal.print(line, soft_wrap=True)


def _with_name(why: str, hit: Hit) -> str:
    """What carried a hit, and that its name did, as in "creak + name"; the words where nothing else did."""
    if not hit.keywords:
        return why
    return f"{why} + name" if why else f"name: {' '.join(hit.keywords)}"


def show_labels(hits: Sequence[Hit], labels: LabelFormat, name: str) -> None:
    """Write the hits of one file to stdout as labels for an editor.

    Args:
        hits: What was found.
        labels: Whose labels.
        name: What was looked for: it stands on each label, with the score.

    Raises:
        UsageError: They are in several files.
    """
    from soundseek.library.label_tracks import Label, label_track

    paths = {hit.path for hit in hits}
    if len(paths) > 1:
        raise UsageError(
            f"--labels is for the hits of one file, and these are in {len(paths)}; name one, such as: --segments "
            f"--where 'name = \"{printable(Path(hits[0].path).name)}\"'"
        )
    marks = [Label(hit.start_s, hit.end_s, f"{printable(name)} {hit.score:.2f}", hit.score) for hit in hits]
    write(label_track(marks, labels, sample_rate_hz=hits[0].sample_rate_hz) if hits else "")


def say_if_cut(paths: Sequence[str | os.PathLike[str]], library: Library | LibrarySet) -> None:
    """Of sounds that others are compared with: that the library has only the beginning of one, on stderr."""
    cut = set(library.info().cut_files)
    for path in paths if cut else ():
        if os.path.abspath(path) in cut:  # noqa: PTH100 (a name need not be text)
            print(
                f"{printable(os.fspath(path))} counts by its beginning: the library has no more of it (--max-duration)",
                file=sys.stderr,
            )


def say_if_nothing(
    hits: Hits,
    library: Library | LibrarySet,
    where: str | None,
    min_match: float = 0.0,
    *,
    keywords: Keywords = "auto",
) -> None:
    """Why there is no hit, or that none answers the query, on stderr, so that a pipe gets none of it."""
    if hits:
        from soundseek.model.match import DOUBTFUL_BELOW, NOTHING_BELOW

        best = max((hit.match for hit in hits if hit.match is not None), default=None)
        if (
            best is not None and best < DOUBTFUL_BELOW and hits[0].keywords
        ):  # the page says it in the same words
            print(
                "the first ones are found by words of their names or tags; by sound the best hit fits with a "
                f"probability of {best:.0%}",
                file=sys.stderr,
            )
        elif best is not None and best < DOUBTFUL_BELOW:
            says = "nothing here" if best < NOTHING_BELOW else "perhaps nothing here"
            print(
                f"{says} sounds like that (the best hit fits with a probability of {best:.0%}); the nearest:",
                file=sys.stderr,
            )
        elif hits.nothing_alike:
            print(
                "perhaps nothing here is like it (the best hit's cosine is "
                f"{max(hit.score for hit in hits):.2f}, and kinds of sound that the model remembers are nearer); the "
                "nearest:",
                file=sys.stderr,
            )
        elif _is_lifted_by_name(hits):
            print(
                "ranked by score and by words in names and tags (--keywords off: by the sound alone)",
                file=sys.stderr,
            )
        return
    if min_match:
        print(
            f"nothing found: no sound fits with a probability of {min_match:.0%}; lower --min-match",
            file=sys.stderr,
        )
        return
    if keywords == "only":
        print(
            "nothing found: no name, folder or tag has any of these words; leave out --keywords only",
            file=sys.stderr,
        )
        return
    about = library.info()
    if not about.files:
        why = f"{about.path} holds no sounds; fill it with: soundseek index FOLDER --library {about.path}"
    elif where is not None:
        from soundseek.library.excluded import num_that_fulfil, why_none_fulfils

        if number := num_that_fulfil(library, where):
            why = (
                f"{number} of the library's {about.files} sounds fulfil --where {where!r}, but are not there now, or "
                "are the example itself; --missing show lists those that are not there"
            )
        else:
            why = f"none of the library's {about.files} sounds fulfils --where {where!r}"
            if told := why_none_fulfils(library, where):
                why += f"; {told}"
    elif about.missing_folders:
        why = f"{', '.join(about.missing_folders)} is not there now; --missing show lists its sounds all the same"
    elif about.files > 1:
        why = "the library has no other sound that is there now; --missing show lists all that it knows"
    else:
        why = "the example is the only sound in the library"
    print(f"nothing found: {printable(why)}", file=sys.stderr)


def _is_lifted_by_name(hits: Sequence[Hit]) -> bool:
    """Whether the first hit sounds unlikely and stands above one that does not, for the words of its name.

    One that has the higher score anyway is not lifted; and hits are also ranked by what they are heard as, which no
    name does.
    """
    from soundseek.model.match import DOUBTFUL_BELOW

    first = hits[0]
    if not first.keywords or first.match is None or first.match >= DOUBTFUL_BELOW:
        return False
    return any(
        hit.match is not None and hit.match >= DOUBTFUL_BELOW and hit.score >= first.score for hit in hits
    )


def dense_table() -> Table:
    """A table without columns so far, two blanks between them and no margins."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    # SIMPLE_HEAD puts a blank between columns; with one blank of padding, they stand two apart.
    return Table(box=SIMPLE_HEAD, show_edge=False, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False)


def plain_table(
    first: str, *columns: str, right: Sequence[str] | None = None, title: str | None = None
) -> Table:
    """A table without lines between its rows.

    Args:
        first: Title of the first column, which is bold.
        columns: Titles of the others.
        right: Those that stand at the right; None means all.
        title: What stands above it.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    rows = Table(box=SIMPLE_HEAD, header_style="bold", title=title, title_justify="left")
    rows.add_column(first, style="bold")
    for column in columns:
        aligned = right is None or column in right
        rows.add_column(printable(column), justify="right" if aligned else "left", overflow="fold")
    return rows


def plain_text(text: str) -> Text:
    """Text without markup and control characters."""
    from rich.text import Text

    return Text(printable(text))
