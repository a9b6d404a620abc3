"""How many plain captions a search reads as something else, and what that does to their mAP@10.

    python scripts/captions_as_read.py DATA --split validation --library validation.library

DATA is a folder of captioned sounds in Clotho's layout. A plain English sentence should be searched for as it is typed.
The library is made of the split's sounds where it is not there. Names do not count (`keywords` off).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from soundseek import Library, load_model
from soundseek.learn.datasets.layout import read_split

HITS = 10


def main() -> None:
    """Ask each caption that is changed, as typed and as read, and print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--model")
    given = parser.parse_args()
    model = load_model(given.model) if given.model else load_model()
    clips = read_split(given.data, given.split)
    if not given.library.exists():
        with Library.create(given.library, model=model) as library:
            library.index(clips[0].path.parent)
    changed: list[dict[str, object]] = []
    moved = 0.0
    with Library.open(given.library, model=model) as library:
        for clip in clips:
            for caption in clip.captions:
                reading = library.read(caption)
                if reading.texts == (caption,) and not reading.manners and not reading.negatives:
                    continue
                typed, read = (
                    reciprocal_rank(library, caption, clip.path.name, how) for how in (True, False)
                )
                changed.append({"caption": caption, "texts": reading.texts, "typed": typed, "read": read})
                moved += read - typed
    captions = sum(len(clip.captions) for clip in clips)
    print(
        json.dumps(
            {
                "split": given.split,
                "fingerprint": model.fingerprint,
                "captions": captions,
                "changed": changed,
                "mAP10_moves_by": moved / captions,
            }
        )
    )


def reciprocal_rank(library: Library, caption: str, name: str, as_typed: bool) -> float:
    """1 / the place of a caption's own sound among the first ten hits; 0 where it is not among them."""
    hits = library.search(caption, k=HITS, as_typed=as_typed, keywords="off")
    names = [Path(hit.path).name for hit in hits]
    return 1 / (names.index(name) + 1) if name in names else 0.0


if __name__ == "__main__":
    main()
