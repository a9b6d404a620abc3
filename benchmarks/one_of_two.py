"""How sure a search is of files that have one of two sounds that a sentence names, and of those that have both.

    python benchmarks/one_of_two.py SOUNDS --split evaluation --library DIR --json docs/results/one-of-two.json

The library holds the clips of a split and mixes of two of them (those of moments.py); one that is there is asked as it
is. Asked are the sentences that name both sounds of a mix, and pairs of the plain queries of
benchmarks/queries/queries.csv ("dog barking and rain"), by their sounds alone. What a file holds is told by labels.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import soundfile
from field_recordings import RATE_HZ, read_clips
from machine import commit, machine
from moments import SEED, Mix, mix_path, mixed, plan_of
from query_kinds import read_queries

from soundseek.library import Library
from soundseek.model.match import match_word

NUM_PAIRS = 100
K = 10
LIKELY = ("sure", "likely")


@dataclass(frozen=True)
class Question:
    """A sentence, and the files that hold each of its two sounds."""

    kind: str
    text: str
    first: Collection[str]
    second: Collection[str]


def main() -> None:
    """Build the library where there is none, ask, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sounds", type=Path)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    logging.getLogger("soundseek").setLevel(logging.ERROR)
    sounds, folder = given.sounds.resolve(), given.library.resolve().parent / f"{given.library.name}-sounds"
    clips, mixes = read_clips(sounds, given.split), plan_of(sounds, given.split).mixes
    model = None
    if given.model is not None:
        from soundseek import load_model

        model = load_model(given.model)
    paths = [mix_path(folder, number) for number in range(len(mixes))]
    with Library.open(given.library, model=model, create=True) as library:
        if not library.info().files:
            (folder / "mixes").mkdir(parents=True, exist_ok=True)
            for path, mix in zip(paths, mixes, strict=True):
                soundfile.write(path, mixed(mix), RATE_HZ, "PCM_16")
            library.index(*(clip.path for clip in clips), *paths)
        labels = {str(clip.path): (clip.label,) for clip in clips}
        labels |= {
            str(path): (mix.parts[0].label, mix.parts[1].label)
            for path, mix in zip(paths, mixes, strict=True)
        }
        result = measure(library, [*of_mixes(mixes, labels), *of_pairs(labels)])
    result |= {"split": given.split, "clips": len(clips), "mixes": len(mixes)}
    for row in result["rows"]:
        print(
            f"{row['kind']:<20}{row['holds']:<9}{row['hits']:>6} hits: sure {row['sure']:.3f}, likely "
            f"{row['likely']:.3f}, match {row['match']:.3f}"
        )
    for row in result["absent"]:
        print(
            f"{row['kind']:<20}{row['queries']:>6} asked of files without both: best hit sure {row['sure']:.3f}, "
            f"likely {row['likely']:.3f}"
        )
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def of_mixes(mixes: Sequence[Mix], labels: dict[str, tuple[str, ...]]) -> Iterator[Question]:
    """The sentence of each mix; a file has a sound whose label shares a longer word with its own."""

    def holding(label: str) -> set[str]:
        wanted = set(re.findall(r"\w{4,}", label.lower())) or {label.lower()}
        return {
            path
            for path, own in labels.items()
            if any(label == each or wanted & set(re.findall(r"\w{4,}", each.lower())) for each in own)
        }

    for mix in mixes:
        yield Question("captions of a mix", mix.query, *(holding(part.label) for part in mix.parts))


def of_pairs(labels: dict[str, tuple[str, ...]]) -> Iterator[Question]:
    """Pairs of plain queries that no file answers both of but mixes; each is answered by some file."""
    queries, concepts = read_queries()
    plain = []
    for query in queries:
        if query.kind == "plain words" and query.language == "English" and not query.excluded:
            patterns = [concepts[name] for name in query.concepts]
            own = {
                path
                for path, each in labels.items()
                if any(one.search(label) for one in patterns for label in each)
            }
            if own:
                plain.append((query.text, own))
    apart = [
        (one, other)
        for one, other in combinations(plain, 2)
        if not any(len(labels[path]) == 1 for path in one[1] & other[1])
    ]
    generator = np.random.default_rng(SEED)
    for number in generator.permutation(len(apart))[:NUM_PAIRS].tolist():
        one, other = apart[number]
        yield Question("pairs of plain words", f"{one[0]} and {other[0]}", one[1], other[1])


def measure(library: Library, questions: Sequence[Question]) -> dict[str, Any]:
    """How sure the first hits are by what they hold, and the best hit where no file holds both."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    absent: dict[str, list[float]] = defaultdict(list)
    every = [file.path for file in library.files()]
    for question in questions:
        hits = library.search(question.text, k=K, missing="show", keywords="off", duplicates="show")
        for hit in hits:
            held = (hit.path in question.first) + (hit.path in question.second)
            found[question.kind, ("neither", "one", "both")[held]].append(hit.match or 0.0)
        only = [path for path in every if path not in question.first or path not in question.second]
        hits = library.search(
            question.text, k=K, only=only, missing="show", keywords="off", duplicates="show"
        )
        absent[question.kind].append(max(hit.match or 0.0 for hit in hits))
    return {
        "rows": [
            {"kind": kind, "holds": holds, "hits": len(own), **said(own), "match": mean(own)}
            for (kind, holds), own in sorted(found.items())
        ],
        "absent": [{"kind": kind, "queries": len(own), **said(own)} for kind, own in absent.items()],
        "files": len(every),
        "model": library.info().model,
        "fingerprint": library.info().fingerprint,
        "machine": machine(),
        "commit": commit(),
    }


def said(matches: Sequence[float]) -> dict[str, float]:
    """Shares of what is called sure, and likely."""
    return {word: mean(match_word(each) == word for each in matches) for word in LIKELY}


if __name__ == "__main__":
    main()
