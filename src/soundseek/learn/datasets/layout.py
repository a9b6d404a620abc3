"""What a directory in Clotho's layout says about itself, read without stopping at what is wrong with it.

File names that mean the same file, although an archive, a table and a disk spell them differently.

Clotho's layout: sounds in `DIR/{split}/`, and `DIR/captions_{split}.csv`: `file_name,caption_1,...`.
"""

from __future__ import annotations

import csv
import html
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from soundseek.errors import DataError


def tidy(name: str) -> str:
    """A file name as soundseek writes it: composed characters, no space at either end.

    Example:
        >>> tidy(" typical neighborhood.wav")
        'typical neighborhood.wav'
    """
    return unicodedata.normalize("NFC", name).strip()


def loose(name: str) -> str:
    """What is left of a name when everything that archivers and spreadsheets change is dropped.

    Example:
        >>> loose("Rain on metal: police.WAV") == loose(" Rain on metal_police.wav")
        True
    """
    text = unicodedata.normalize("NFKC", html.unescape(name)).casefold()
    return "".join(character for character in text if character.isalnum())


def match_names(wanted: Iterable[str], found: Iterable[str]) -> dict[str, str]:
    """Wanted name -> the found name that means it: the same, else tidied, else loosely and without a doubt.

    Example:
        >>> match_names(["a.wav", "b: c.wav"], [" a.wav", "b_ c.wav", "d.wav"])
        {'a.wav': ' a.wav', 'b: c.wav': 'b_ c.wav'}
    """
    rest, left = list(dict.fromkeys(wanted)), list(dict.fromkeys(found))
    matched: dict[str, str] = {}
    for key in (str, tidy, loose):
        theirs, ours = _by_key(left, key), _by_key(rest, key)
        for spelling, names in ours.items():
            if len(names) == 1 and len(theirs.get(spelling, ())) == 1:
                matched[names[0]] = theirs[spelling][0]
        taken = set(matched.values())
        rest = [name for name in rest if name not in matched]
        left = [name for name in left if name not in taken]
    return matched


def _by_key(names: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[key(name)].append(name)
    return groups


SPLITS = ("development", "validation", "evaluation")
"""The splits of the layout, in the order of teaching."""

_ID_COLUMNS = ("recording_id", "sound_id")  # soundseek's own tables, then Clotho's
_NO_ID = frozenset({"", "not found", "nan", "none"})


@dataclass(frozen=True)
class Row:
    """One line of a table of captions.

    Attributes:
        name: The sound's file name.
        captions: Those that are not empty.
        line: Where it ends in the table, from 1.
    """

    name: str
    captions: tuple[str, ...]
    line: int


@dataclass
class Table:
    """A table of captions.

    Attributes:
        path: The CSV.
        rows: Its lines.
        num_captions: Columns for captions.
        faults: What is wrong with the table itself, in words.
    """

    path: Path
    rows: list[Row] = field(default_factory=list)
    num_captions: int = 0
    faults: list[str] = field(default_factory=list)


def splits_of(data: Path) -> list[str]:
    """The splits that a directory has captions of: the layout's first, then others by name.

    Raises:
        DataError: It has none.
    """
    found = {path.stem.removeprefix("captions_") for path in data.glob("captions_*.csv")}
    if not found:
        what = "has no captions_{split}.csv" if data.is_dir() else "is no directory"
        raise DataError(f"{data} {what}; expected Clotho's layout, as soundseek data clotho {data} makes it")
    return [*(split for split in SPLITS if split in found), *sorted(found.difference(SPLITS))]


def read_table(data: Path, split: str) -> Table:
    """The captions of a split, with every fault named and none raised."""
    table = Table(data / f"captions_{split}.csv")
    try:
        with table.path.open(encoding="utf-8-sig", newline="") as file:
            _read_rows(file, table)
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        table.faults.append(f"cannot be read: {error}")
    return table


def _read_rows(file: TextIO, table: Table) -> None:
    reader = csv.reader(file)
    header = next(reader, [])
    columns = [number for number, name in enumerate(header) if name.startswith("caption")]
    if "file_name" not in header or not columns:
        table.faults.append(
            f"line 1: expected file_name,caption_1,..., found {','.join(header) or 'nothing'}"
        )
        return
    table.num_captions = len(columns)
    names = header.index("file_name")
    for cells in reader:
        cells = [*cells, *[""] * (len(header) - len(cells))]
        captions = tuple(filter(None, (cells[number].strip() for number in columns)))
        table.rows.append(Row(cells[names].strip(), captions, reader.line_num))


def recording_ids(data: Path, splits: Sequence[str]) -> dict[tuple[str, str], str]:
    """(split, file name) -> which recording it was cut from, where a table of metadata tells.

    Clotho has `metadata_{split}.csv` with Freesound's `sound_id`; one `metadata.csv` with a `recording_id`
    may stand for all splits.
    """
    ids: dict[tuple[str, str], str] = {}
    for path, split in [(data / "metadata.csv", ""), *((data / f"metadata_{s}.csv", s) for s in splits)]:
        if not path.is_file():
            continue
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            for row in csv.DictReader(file):
                known = (row.get(column) or "" for column in _ID_COLUMNS)
                found = next((each.strip() for each in known if each.strip().casefold() not in _NO_ID), "")
                if found:
                    where = split or (row.get("split") or "").strip()
                    ids[where, (row.get("file_name") or "").strip()] = found
    return ids


@dataclass(frozen=True)
class Clip:
    """One sound with its captions.

    Attributes:
        path: The sound file.
        captions: At least one; in the order of the CSV.
    """

    path: Path
    captions: tuple[str, ...]


def read_split(data: Path, split: str) -> list[Clip]:
    """The clips of one split, in the order of its CSV.

    Args:
        data: A directory in Clotho's layout.
        split: "development", "validation", "evaluation", or whatever the directory has.

    Raises:
        DataError: A missing directory, CSV, column or sound file, a clip without a caption or listed twice.
    """
    table = data / f"captions_{split}.csv"
    if not table.is_file():
        found = sorted(path.name for path in data.glob("captions_*.csv")) if data.is_dir() else []
        hint = (
            f"it has {', '.join(found)}"
            if found
            else "expected Clotho's layout: captions_development.csv and so on"
        )
        raise DataError(f"{data} has no captions_{split}.csv; {hint}")
    folder = data / split
    clips: list[Clip] = []
    seen: dict[str, int] = {}
    for line, name, captions in _rows(table):
        if name in seen:
            raise DataError(f"{table}, line {line}: {name} stands in line {seen[name]} already")
        seen[name] = line
        if not captions:
            raise DataError(f"{table}, line {line}: {name} has no caption")
        path = folder / name
        if not path.is_file():
            raise DataError(f"{table}, line {line}: no sound {path}")
        clips.append(Clip(path, captions))
    if not clips:
        raise DataError(f"{table} lists no clip")
    return clips


def _rows(table: Path) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Line number, file name and the captions that are not empty."""
    # utf-8-sig: spreadsheet programs write a byte order mark that would become part of "file_name".
    with table.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        try:
            columns = [name for name in reader.fieldnames or [] if name.startswith("caption")]
            if "file_name" not in (reader.fieldnames or []) or not columns:
                raise DataError(
                    f"{table}, line 1: expected file_name,caption_1,..., found {reader.fieldnames}"
                )
            for row in reader:
                captions = ((row[column] or "").strip() for column in columns)
                yield reader.line_num, (row["file_name"] or "").strip(), tuple(filter(None, captions))
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{table}, after line {reader.line_num}: {error}") from error
