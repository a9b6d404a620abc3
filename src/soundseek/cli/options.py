"""Options and checks that several commands share, so that each has one name, one help text and one message.

A check looks at what was typed (is it there, is it of the right kind) and raises a `UsageError` with the next step
before any work begins. What is wrong inside a file is found later and has another exit code.
"""

from __future__ import annotations

import difflib
import math
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from soundseek.audio.files import broken_link
from soundseek.errors import LibraryError, UsageError
from soundseek.library.location import engine_of, shown_location
from soundseek.library.paths import nearest_folder

if TYPE_CHECKING:
    from soundseek.library import Library, LibrarySet

option = partial(typer.Option, show_default=False)
"""An option whose help says what happens without it, or that is off without it."""
argument = partial(typer.Argument, show_default=False)
"""The same for an argument."""


def need_folder(path: Path | None, name: str, advice: str) -> None:
    """Nothing if there is a folder at `path`, or if the option was not given.

    Args:
        path: As it was typed.
        name: The option or argument, as the help names it.
        advice: What it takes, or how to get one: a clause.

    Raises:
        UsageError: There is nothing, or a file.
    """
    if path is not None and not path.is_dir():
        raise UsageError(f"{name} {path}: {_instead(path, 'folder')}; {advice}")


def need_file(path: Path | None, name: str, advice: str) -> None:
    """Nothing if there is a file at `path`, or if the option was not given; see `need_folder`.

    Raises:
        UsageError: There is nothing, or a folder.
    """
    if path is not None and (path.is_dir() or not path.exists()):
        raise UsageError(f"{name} {path}: {_instead(path, 'file')}; {advice}")


def need_captions(data: Path, split: str | None = None, *, name: str = "--data") -> None:
    """Nothing if `data` is a folder with captions: of that split if one is asked for, else it may be one of several
    data sets in folders of its own, as the stages of a recipe name them.

    Raises:
        UsageError: It is none, or has no such split.
    """
    make = f"soundseek data clotho {data} makes one"
    need_folder(data, name, f"it takes captioned sounds in Clotho's layout: {make}")
    splits = sorted(path.stem.removeprefix("captions_") for path in data.glob("captions_*.csv"))
    if not splits and (split is not None or not any(data.glob("*/captions_*.csv"))):
        raise UsageError(
            f"{name} {data}: it has no captions_{{split}}.csv, and Clotho's layout is expected: {make}"
        )
    if split is not None and split not in splits:
        raise UsageError(f"--split {split}: {data} has no captions_{split}.csv; it has {', '.join(splits)}")


def need_run(run: Path) -> None:
    """Nothing if `run` is a folder that training has begun to fill.

    Raises:
        UsageError: It is none.
    """
    make = f"soundseek train RECIPE --data DIR --out {run} makes one"
    need_folder(run, "RUN", make)
    if not (run / "recipe.yaml").is_file():
        raise UsageError(f"RUN {run}: it has no recipe.yaml, so it is no run folder; {make}")


def need_model(model: str | None) -> None:
    """Nothing if `model` is a name (who loads it knows the names) or a folder with a model's card.

    Raises:
        UsageError: A folder that holds no model.
    """
    if (
        model
        and (directory := Path(model).expanduser()).is_dir()
        and not (directory / "config.json").is_file()
    ):
        raise UsageError(f"{model} is no model directory: it has no config.json. See: soundseek models")


def _instead(path: Path, wanted: str) -> str:
    if path.is_dir():
        return f"a folder, not a {wanted}"
    return f"a file, not a {wanted}" if path.exists() else broken_link(str(path)) or f"no such {wanted}"


def what_to_name_instead(path: str) -> str:
    """The next step after a sound was named that is not there, or is no file: a clause.

    Args:
        path: The path that was named.

    Example:
        >>> what_to_name_instead("/")
        'give one of the sounds in it'
    """
    place = Path(path)
    if place.is_dir():
        return "give one of the sounds in it"
    if place.is_symlink() or place.exists():
        return "give the path of a sound"
    if not place.parent.is_dir():
        return f"there is no folder {place.parent} either; the nearest that is there: {nearest_folder(path)}"
    if any(letter in place.name for letter in "*?["):
        return f"no name in {place.parent} fits that pattern"
    try:
        with os.scandir(place.parent) as entries:
            names = [entry.name for _, entry in zip(range(_MOST_COMPARED), entries, strict=False)]
    except OSError:
        names = []
    near = difflib.get_close_matches(place.name, names, n=3, cutoff=0.7)
    return f"did you mean {' or '.join(near)}?" if near else f"{place.parent} has no file of such a name"


_MOST_COMPARED = 5_000  # names of a folder, so that a mistyped path in a huge one is told at once

Number = TypeVar("Number", int, float)


def whole_number(least: int, what: str) -> Callable[[str], int]:
    """A parser of an option's value, whose complaint has the option, the value, and what is allowed.

    Args:
        least: The smallest number allowed.
        what: What is counted, in the plural.

    Example:
        >>> whole_number(1, "hits")("3")
        3
    """

    return _parser(int, lambda value: value >= least, f"a whole number of {what}, {least:g} or more")


def at_least(least: float, unit: str) -> Callable[[str], float]:
    """The same for a number that need not be whole.

    Args:
        least: The smallest number allowed.
        unit: What it counts, in the plural.

    Example:
        >>> at_least(1, "seconds")("2.5")
        2.5
    """

    return _parser(float, lambda value: value >= least, f"{unit}, {least:g} or more")


def above(least: float, unit: str) -> Callable[[str], float]:
    """The same for a number that must be larger than `least` and finite.

    Example:
        >>> above(0, "hours")("0.5")
        0.5
    """
    return _parser(float, lambda value: least < value < math.inf, f"{unit}, more than {least:g}")


def share(value: str) -> float:
    """A number from 0 to 1.

    Example:
        >>> share("0.5")
        0.5
    """
    return _parser(float, lambda number: 0 <= number <= 1, "a number from 0 to 1")(value)


def _parser(
    read: Callable[[str], Number], allows: Callable[[Number], bool], wanted: str
) -> Callable[[str], Number]:
    def number(value: str) -> Number:
        try:
            parsed = read(value)
            allowed = allows(parsed)  # not so for NaN
        except ValueError:
            allowed = False
        if not allowed:
            raise typer.BadParameter(f"{value} is not allowed: give {wanted}")
        return parsed

    return number


RecipeArgument = Annotated[
    str,
    argument(
        metavar="RECIPE",
        help="A recipe's name, or a YAML file; overlays follow after plus signs, as in cnn14+frozen.",
    ),
]
DataOption = Annotated[
    Path,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Captioned sounds in Clotho's layout: captions_{split}.csv and {split}/.",
    ),
]
SplitOption = Annotated[
    str, typer.Option("--split", metavar="NAME", help="The split whose captions are the queries.")
]
SetOption = Annotated[
    list[str] | None,
    option(
        "--set",
        metavar="KEY=VALUE",
        help="Replace one value of a recipe, such as training.epochs=5; repeatable.",
    ),
]
LibraryOption = Annotated[
    str | None,
    option(
        "--library",
        envvar="SOUNDSEEK_LIBRARY",
        metavar="DIR",
        help="The library: a folder, postgresql://host/database or milvus://host; default: the one in your data "
        "folder (see: soundseek info).",
    ),
]
LibrariesOption = Annotated[
    list[str] | None,
    option(
        "--library",
        envvar="SOUNDSEEK_LIBRARY",
        metavar="DIR",
        help="The library; repeatable: several are searched as one. Default: the one in your data folder (see: "
        "soundseek info).",
    ),
]
ModelOption = Annotated[
    str | None,
    option(
        "--model",
        envvar="SOUNDSEEK_MODEL",
        metavar="MODEL",
        help="A model's name or directory; default: soundseek-small (see: soundseek models).",
    ),
]
JsonOption = Annotated[bool, option("--json", help="Print JSON lines, as in a pipe.")]
CsvOption = Annotated[bool, option("--csv", help="Print CSV for a spreadsheet.")]
M3uOption = Annotated[
    bool, option("--m3u", help="Print an M3U playlist that starts each file at its segment.")
]
LabelsOption = Annotated[
    Literal["audacity", "reaper", "raven"] | None,
    option(
        "--labels",
        metavar="audacity|reaper|raven",
        help="Print the hits of one file as labels for an editor (with --segments, every match).",
    ),
]
TableOption = Annotated[bool, option("--table", help="Print a table, even in a pipe.")]
CountOption = Annotated[
    int, typer.Option("-k", "--count", parser=whole_number(1, "hits"), metavar="N", help="Number of hits.")
]
CountOrAllOption = Annotated[
    int | None,
    option(
        "-k",
        "--count",
        parser=whole_number(1, "hits"),
        metavar="N",
        help="Number of hits; default: 10, or all where only --where is given.",
    ),
]
LikeOption = Annotated[
    list[str] | None, option("--like", metavar="FILE", help="An example sound; repeatable.")
]
NotOption = Annotated[
    list[str] | None,
    option("--not", metavar="TEXT", help="Words for what it should not sound like; repeatable."),
]
WhereOption = Annotated[
    str | None,
    option(
        "--where",
        metavar="EXPR",
        help='Search only files that match, such as: duration < 5 and format = wav and tag ~ "scene 12".',
    ),
]
SegmentsOption = Annotated[
    bool,
    option("--segments", help="List moments, each with its begin and end, not only the best of each file."),
]
DuplicatesOption = Annotated[
    Literal["show", "hide"],
    typer.Option(
        "--duplicates", metavar="show|hide", help="Whether files with the same content are hits of their own."
    ),
]
MissingOption = Annotated[
    Literal["show", "hide"],
    typer.Option(
        "--missing",
        metavar="show|hide",
        help="Whether files that are not there now, as on an unplugged drive, are hits.",
    ),
]
MinMatchOption = Annotated[
    float,
    typer.Option(
        "--min-match",
        parser=share,
        metavar="P",
        help="Leave out what fits with a lower probability than this, 0 to 1.",
    ),
]
KeywordsOption = Annotated[
    Literal["auto", "off", "only"],
    typer.Option(
        "--keywords",
        metavar="auto|off|only",
        help="Whether words in names, folders and tags count beside the sound, not at all, or alone.",
    ),
]
TaughtOption = Annotated[
    str | None,
    option(
        "--taught",
        metavar="NAME",
        help="What the library was taught by marks (soundseek mark): it turns the words, or is all that is asked for.",
    ),
]
WindowsOption = Annotated[
    bool,
    option(
        "--windows",
        help="Where a model's moments are flat, as CLAP's: embed windows of 2 s of the hits shown, and say their "
        "scores instead. Takes as long as indexing the hits, unless the library keeps them (index --windows).",
    ),
]
RerankOption = Annotated[
    str | None,
    option(
        "--rerank",
        metavar="MODEL",
        help="Let another model rank the 200 best files anew, by its vectors in the library (soundseek index --model "
        "MODEL) or, without them, by embedding these files now.",
    ),
]
WhyOption = Annotated[
    bool, option("--why", help="Also print which words carried each hit (a table always does).")
]


def see(command: str, directory: str | Path | None) -> str:
    """The command to run next, on the same library.

    Example:
        >>> see("failures", None), see("failures", Path("my sounds"))
        ('soundseek failures', "soundseek failures --library 'my sounds'")
    """
    library = "" if directory is None else f" --library {shlex.quote(shown_location(directory))}"
    return f"soundseek {command}{library}"


def need_library_folder(location: str | Path, *, is_new: bool = True) -> None:
    """Nothing if a library may be there: it names an engine, or a folder.

    Args:
        location: As it was typed.
        is_new: It need not be there yet.

    Raises:
        UsageError: There is a file, or nothing where something must be.
    """
    if engine_of(location) is None and not (is_new and not Path(location).exists()):
        need_folder(
            Path(location),
            "--library",
            "a library is a folder, made by: soundseek index FOLDER --library DIR",
        )


def open_libraries(directories: Sequence[str] | None, model: str | None) -> Library | LibrarySet:
    """One library, or several that are searched as one; see `open_library`."""
    if not directories or len(directories) == 1:
        return open_library(directories[0] if directories else None, model, create=False)
    for directory in directories:
        need_library_folder(directory, is_new=False)
    need_model(model)
    from soundseek.library import LibrarySet
    from soundseek.model.registry import load_model

    return LibrarySet.open(directories, model=load_model(model) if model else None)


def open_library(directory: str | Path | None, model: str | None, *, create: bool) -> Library:
    """The library at `directory`, a folder or an engine's URI (None: the user's), with the model of that name.

    A model that did not fill it has its vectors in a folder inside; see `library/further_models.py`.
    """
    if directory is not None:
        need_library_folder(directory)
    need_model(model)
    from soundseek.library import Library
    from soundseek.model.registry import load_model

    if not model:
        return Library.open(directory, create=create)
    from soundseek.library.further_models import open_beside

    return open_beside(directory, load_model(model), create=create, typed=model)


@contextmanager
def library_if_there(directory: str | Path | None, model: str | None) -> Iterator[Library | None]:
    """The library whose vectors may be used; None where there is none, or it belongs to another model.

    Raises:
        LibraryError: One was named, and cannot be opened.
    """
    from soundseek.library import default_library_path
    from soundseek.library.library import holds_library

    if directory is None and not holds_library(str(default_library_path())):
        yield None
        return
    if directory is not None:
        need_library_folder(directory, is_new=False)
    try:
        opened = open_library(directory, model, create=False)
    except LibraryError:
        if directory is not None and (model is None or not holds_library(str(directory))):
            raise
        yield None
        return
    with opened:
        yield opened
