"""Clotho's layout: sounds in `DIR/{split}/`, and `DIR/captions_{split}.csv`: `file_name,caption_1,...`."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from soundseek.errors import DataError


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
