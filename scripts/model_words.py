"""Write `words.txt` into a model directory that was exported without it, or into one of those that soundseek offers.

    python scripts/model_words.py DIRECTORY --data DATA

The words are those of DATA's development captions (or --split), on which the model was trained; with them the searching
half corrects mistyped words of a query. `soundseek export` writes them itself where the data are still in their place.
The size in an `offer.json` is brought up to date.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from soundseek.errors import UsageError
from soundseek.learn.datasets.layout import read_split
from soundseek.model.config import CONFIG_FILE
from soundseek.model.registry import AVAILABLE_FILE, AvailableModel
from soundseek.model.spelling import WORDS_FILE, write_words


def give_words(directory: Path, data: Path, splits: tuple[str, ...]) -> int:
    """Write the words of some splits' captions into a model directory or an offered one; returns how many.

    Raises:
        UsageError: It is neither.
        DataError: The data are incomplete.
    """
    offered = (directory / AVAILABLE_FILE).is_file()
    if not offered and not (directory / CONFIG_FILE).is_file():
        raise UsageError(
            f"{directory} is no model directory: it has neither {CONFIG_FILE} nor {AVAILABLE_FILE}"
        )
    captions = [caption for split in splits for clip in read_split(data, split) for caption in clip.captions]
    path = directory / WORDS_FILE
    before = path.stat().st_size if path.is_file() else 0
    count = write_words(directory, captions)
    if offered:
        offer, more = AvailableModel.read(directory), path.stat().st_size - before
        sizes = {"size_bytes": offer.size_bytes + more, "working_bytes": offer.working_bytes + more}
        offer.model_copy(update=sizes).write(directory)
    return count


def main() -> None:
    """Read the command line and write the words."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", action="append", metavar="NAME")
    given = parser.parse_args()
    count = give_words(given.directory, given.data, tuple(given.split or ("development",)))
    print(f"{given.directory / WORDS_FILE}: {count:,} words")


if __name__ == "__main__":
    main()
