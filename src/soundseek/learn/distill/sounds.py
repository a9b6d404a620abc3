"""Which sounds a distillation learns from, and on which it is judged; their captions are not read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from soundseek.audio.files import sounds_of_folder
from soundseek.errors import DataError
from soundseek.learn.datasets.layout import read_split
from soundseek.learn.datasets.tables import read_csv


@dataclass(frozen=True)
class SoundPool:
    """Files.

    Attributes:
        train: Mixtures are made of these.
        yardsticks: Name -> files that no mixture has, on which student and teacher are compared: "left_out", and
            "validation" where a data set has that split.
    """

    train: list[Path]
    yardsticks: dict[str, list[Path]] = field(default_factory=dict)


def find_sounds(folders: Sequence[Path], leave_out: Path | None = None) -> SoundPool:
    """The sounds of some folders.

    Args:
        folders: Of a data set in Clotho's layout the split `development`, and `validation` as a yardstick; of any other
            folder all sound files in it, by their extensions.
        leave_out: A text file. Each line names a sound file, or a collection: a `set` in the `metadata.csv` of one of
            the folders. Empty lines and those that begin with # say nothing.

    Raises:
        DataError: A folder without sounds, a line that names nothing, or nothing left to learn from.
    """
    train: list[Path] = []
    validation: list[Path] = []
    collections: dict[str, str] = {}
    for folder in folders:
        if (folder / "captions_development.csv").is_file():
            found = [clip.path for clip in read_split(folder, "development")]
            if (folder / "captions_validation.csv").is_file():
                validation += [clip.path for clip in read_split(folder, "validation")]
        else:
            found = sounds_of_folder(folder)
        if not found:
            raise DataError(
                f"{folder} has no sound files; give a folder of sounds, or a data set in Clotho's layout"
            )
        train += found
        if (folder / "metadata.csv").is_file():
            collections |= _collections(folder / "metadata.csv")
    left_out = _left_out(train, leave_out, collections) if leave_out else []
    hidden = set(left_out)
    train = [path for path in train if path not in hidden]
    if not train:
        raise DataError(f"{leave_out} leaves out all {len(left_out)} sounds; none is left to learn from")
    named = {"left_out": left_out, "validation": validation}
    return SoundPool(train, {name: paths for name, paths in named.items() if paths})


def _collections(metadata: Path) -> dict[str, str]:
    """File name -> collection, where the table says; Clotho publishes its own in ISO-8859-1."""
    rows = read_csv(metadata, "file_name", encoding="iso-8859-1")
    return {row.cells["file_name"]: row.cells["set"] for row in rows if row.cells.get("set")}


def _left_out(paths: Sequence[Path], listing: Path, collections: dict[str, str]) -> list[Path]:
    lines = enumerate(listing.read_text(encoding="utf-8").splitlines(), start=1)
    wanted = {text: number for number, line in lines if (text := line.strip()) and not text.startswith("#")}
    found = [path for path in paths if path.name in wanted or collections.get(path.name) in wanted]
    named = {path.name for path in found} | {collections.get(path.name) for path in found}
    for text, number in wanted.items():
        if text not in named:
            raise DataError(
                f"{listing}, line {number}: {text!r} is neither a sound nor a collection among those to learn from"
            )
    return found
