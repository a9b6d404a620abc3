"""What a directory in Clotho's layout says about itself, read without stopping at what is wrong with it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from soundseek.errors import DataError

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
