"""Clotho's layout: sounds in `DIR/{split}/`, and `DIR/captions_{split}.csv`: `file_name,caption_1,caption_2,...`.

Whoever needs the captions of a directory reads them here: `read_split` stops at the first thing that is wrong with
them, `read_table` lists all of it. `metadata_{split}.csv`, if it is there, says which recording a sound was cut from.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soundseek._typing import StrArray
from soundseek.errors import DataError
from soundseek.learn.datasets.tables import TableFault, inspect_csv, raise_first, read_csv

SPLITS = ("development", "validation", "evaluation")
"""The splits of the layout, in the order in which a system meets them."""

_CAPTION_COLUMN = re.compile(r"caption([ _]?\d+)?", re.IGNORECASE)
_ID_COLUMNS = ("recording_id", "sound_id")  # soundseek's own tables, then Clotho's
_NO_ID = frozenset({"", "not found", "nan", "none"})


@dataclass(frozen=True)
class Clip:
    """One sound with its captions.

    Attributes:
        path: The sound file.
        captions: At least one; in the order of the CSV.
    """

    path: Path
    captions: tuple[str, ...]


@dataclass(frozen=True)
class CaptionRow:
    """One row of a table of captions.

    Attributes:
        name: The sound's file name.
        captions: Those that are not empty.
        line: Where it begins in the table, from 1.
    """

    name: str
    captions: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class CaptionTable:
    """A table of captions.

    Attributes:
        path: The CSV.
        rows: Those that can be trusted, in order.
        num_captions: Columns for captions.
        faults: What could be misread.
        gaps: Rows without a name or a caption, sounds that stand there twice; or that there is no row.
    """

    path: Path
    rows: tuple[CaptionRow, ...] = ()
    num_captions: int = 0
    faults: tuple[TableFault, ...] = ()
    gaps: tuple[TableFault, ...] = ()

    @property
    def wrong(self) -> list[TableFault]:
        """Faults and gaps in the order of the lines; empty where it can be learned from."""
        return sorted((*self.faults, *self.gaps), key=lambda fault: fault.line)


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


def read_split(data: Path, split: str) -> list[Clip]:
    """The clips of one split, in the order of its CSV.

    Args:
        data: A directory in Clotho's layout.
        split: "development", "validation", "evaluation", or whatever the directory has.

    Raises:
        DataError: A missing directory, CSV, column or sound file, a row that could be misread, a clip without a caption
            or listed twice; the message names the line.
    """
    if not (data / f"captions_{split}.csv").is_file():
        others = sorted(each.name for each in data.glob("captions_*.csv")) if data.is_dir() else []
        expected = "expected Clotho's layout: captions_development.csv and so on"
        hint = f"it has {', '.join(others)}" if others else expected
        raise DataError(f"{data} has no captions_{split}.csv; {hint}")
    table = read_table(data, split)
    raise_first(table.path, table.wrong)
    folder = data / split
    clips = [Clip(folder / row.name, row.captions) for row in table.rows]
    absent = [
        TableFault(row.line, f"no sound {clip.path}")
        for row, clip in zip(table.rows, clips, strict=True)
        if not clip.path.is_file()
    ]
    raise_first(table.path, absent)
    return clips


def read_table(data: Path, split: str) -> CaptionTable:
    """The captions of a split, with everything wrong collected and none of it raised; sounds are not looked for."""
    return caption_table(data / f"captions_{split}.csv")


def caption_table(path: Path) -> CaptionTable:
    """A table of captions, whatever its name; see `read_table`."""
    table = inspect_csv(path)
    columns = [name for name in table.columns if _CAPTION_COLUMN.fullmatch(name)]
    faults = list(table.faults)
    if not faults and not ("file_name" in table.columns and columns):
        found = ",".join(table.columns) or "nothing"
        faults.append(TableFault(1, f"expected file_name,caption_1,..., found {found}"))
    if "file_name" not in table.columns:
        return CaptionTable(table.path, faults=tuple(faults))
    rows = [
        CaptionRow(row.cells["file_name"], tuple(filter(None, map(row.cells.__getitem__, columns))), row.line)
        for row in table.rows
    ]
    gaps = tuple(_gaps(rows)) if columns else ()
    if not rows and not faults:
        gaps = (TableFault(0, "lists no clip"),)
    return CaptionTable(table.path, tuple(rows), len(columns), tuple(faults), gaps)


def _gaps(rows: Sequence[CaptionRow]) -> Iterator[TableFault]:
    lines: dict[str, int] = {}
    for row in rows:
        if not row.name:
            yield TableFault(row.line, "no file name")
        elif row.name in lines:
            yield TableFault(row.line, f"{row.name} stands in line {lines[row.name]} already")
        elif not row.captions:
            yield TableFault(row.line, f"{row.name} has no caption")
        lines.setdefault(row.name, row.line)


def shared_captions(captions: Sequence[Sequence[str]]) -> list[str]:
    """The captions, one for each clip that has it, that another clip has in the same words.

    >>> shared_captions([["Rain", "It rains"], ["Rain"], ["Wind", "Wind"]])
    ['Rain', 'Rain']
    """
    own = [dict.fromkeys(each) for each in captions]
    counts = Counter(caption for each in own for caption in each)
    return [caption for each in own for caption in each if counts[caption] > 1]


def recording_ids(data: Path, splits: Sequence[str]) -> dict[tuple[str, str], str]:
    """(split, file name) -> which recording it was cut from, where a table of metadata says.

    Clotho has `metadata_{split}.csv` with Freesound's `sound_id`; one `metadata.csv` with a `recording_id`
    may stand for all splits.

    Raises:
        DataError: A table of metadata that could be misread; the message names the line.
    """
    ids: dict[tuple[str, str], str] = {}
    for path, split in [(data / "metadata.csv", ""), *((data / f"metadata_{s}.csv", s) for s in splits)]:
        if not path.is_file():
            continue
        # Clotho publishes its metadata in ISO-8859-1.
        for row in read_csv(path, "file_name", encoding="iso-8859-1"):
            known = (row.cells.get(column, "") for column in _ID_COLUMNS)
            found = next((each for each in known if each.casefold() not in _NO_ID), "")
            if found:
                ids[split or row.cells.get("split", ""), row.cells["file_name"]] = found
    return ids


def kinds_of_clips(data: Path, clips: Sequence[Clip]) -> StrArray:
    """`(clips,)`: the label of each clip in `metadata.csv`; the clip's own name where there is none."""
    labels: dict[str, str] = {}
    table = data / "metadata.csv"
    if table.is_file():
        with table.open(encoding="utf-8-sig", newline="") as file:
            labels = {
                row["file_name"]: row.get("label") or ""
                for row in csv.DictReader(file)
                if row.get("file_name")
            }
    return np.array([labels.get(clip.path.name) or clip.path.name for clip in clips])
