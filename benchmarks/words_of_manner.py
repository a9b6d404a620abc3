"""What a word of manner costs: precision of the first ten for "muffled X" beside that for X alone.

    python benchmarks/words_of_manner.py SOUNDS --library words.library --json docs/results/words-of-manner.json

The library is that of `query_kinds.py`, 1,500 labelled files; X is each label that three files or more have. Right is a
file with that label, however it sounds, so a model that lets the word order other sounds first loses. "unchosen" tells
of half the labels, drawn by chance: how much a manner counts was chosen on the others. "first" is how often the first
hit is right. Whether the word orders copies of one sound is another question: `scripts/how_it_sounds.py`.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from machine import commit, machine
from query_kinds import LEFT_OUT, K, choose_clips

from soundseek.library import Library

WORDS = (
    "{}", "{} three times", "three {} in a row", "reverberant {}", "{} in a big hall", "slow {}", "fast {}",
    "single {}", "muffled {}", "{} through a wall", "distant {}", "{} in the distance", "dark {}", "bright {}",
)  # fmt: skip
LEAST_FILES = 3


def main() -> None:
    """Build the library where there is none, ask, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sounds", type=Path)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the result is added to what is there")
    given = parser.parse_args()
    chosen = choose_clips(given.sounds, LEFT_OUT)
    logging.getLogger("soundseek").setLevel(logging.ERROR)
    model = None
    if given.model is not None:
        from soundseek import load_model

        model = load_model(given.model)
    with Library.open(given.library, model=model, create=True) as library:
        if not library.info().files:
            library.index(*chosen)
        result = measure(library, chosen)
    columns = {"as typed": "precision", "as read": "read", "unchosen": "read_unchosen", "first": "read_first"}
    print(" " * 24 + "".join(f"{name:>10}" for name in columns))
    for words in WORDS:
        print(f"{words:<24}" + "".join(f"{result[key][words]:10.3f}" for key in columns.values()))
    if given.json:
        before = json.loads(given.json.read_text(encoding="utf-8")) if given.json.exists() else []
        given.json.write_text(json.dumps([*before, result], indent=1) + "\n", encoding="utf-8")


def measure(library: Library, labels: Mapping[str, str]) -> dict[str, Any]:
    """Mean precision of the first ten (of as many as there are, if fewer) over the labels, for each way to say them:
    as typed, and as a search reads it; of the latter over half the labels, too, and that of the first hit.
    """
    files = {label: number for label, number in Counter(labels.values()).items() if number >= LEAST_FILES}

    def found(text: str, label: str, as_typed: bool) -> tuple[float, float]:
        hits = library.search(text, k=K, as_typed=as_typed, keywords="off")
        right = [labels.get(hit.path) == label for hit in hits]
        return sum(right) / min(K, files[label]), float(right[0])

    unchosen = np.random.default_rng(0).permutation(len(files))[1::2].tolist()
    typed = {words: [found(words.format(label), label, True) for label in files] for words in WORDS}
    read = {words: [found(words.format(label), label, False) for label in files] for words in WORDS}
    return {
        "model": library.info().model,
        "fingerprint": library.info().fingerprint,
        "files": len(labels),
        "labels": len(files),
        "precision": {words: mean(ten for ten, _ in each) for words, each in typed.items()},
        "read": {words: mean(ten for ten, _ in each) for words, each in read.items()},
        "read_unchosen": {
            words: mean(each[number][0] for number in unchosen) for words, each in read.items()
        },
        "read_first": {words: mean(first for _, first in each) for words, each in read.items()},
        "machine": machine(),
        "commit": commit(),
    }


if __name__ == "__main__":
    main()
