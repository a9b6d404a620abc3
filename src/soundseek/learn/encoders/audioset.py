"""AudioSet's classes, which every published tagger here gives."""

from __future__ import annotations

import csv
from pathlib import Path

from soundseek.errors import RecipeError

NUM_CLASSES = 527
AUDIOSET_CLASSES = Path(__file__).with_name("audioset_classes.csv")
"""`class_labels_indices.csv` of AudioSet (Google, CC BY 4.0), unchanged; the text beside it has the credit."""

_COLUMNS = ["index", "mid", "display_name"]


def read_class_names(path: Path = AUDIOSET_CLASSES) -> list[str]:
    """The display names of a tagger's classes, in the order of its outputs.

    Args:
        path: A CSV in the layout of AudioSet's `class_labels_indices.csv`: columns index, mid, display_name; the
            index counts from 0.

    Raises:
        RecipeError: No such file, other columns, no rows, or a row out of order or without a name.

    Example:
        >>> read_class_names()[:2]
        ['Speech', 'Male speech, man speaking']
    """
    if not path.is_file():
        raise RecipeError(
            f"no list of tag names at {path}; AudioSet's is {AUDIOSET_CLASSES.name}, part of soundseek"
        )
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if rows.fieldnames != _COLUMNS:
            raise RecipeError(f"{path} has the columns {rows.fieldnames}, not {_COLUMNS}")
        names: list[str] = []
        for line, row in enumerate(rows, start=2):
            if row["index"] != str(len(names)) or not row["display_name"]:
                raise RecipeError(
                    f"{path}, line {line}: expected index {len(names)} and a display_name, found "
                    f"{row['index']!r} and {row['display_name']!r}"
                )
            names.append(row["display_name"])
    if not names:
        raise RecipeError(f"{path} names no tags")
    return names
