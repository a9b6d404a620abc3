"""What names add to a search: a library of labelled clips under names as people give them, asked in words and by name.

    python benchmarks/names.py SOUNDS --library names.library --json docs/results/names.json

SOUNDS has `metadata.csv` (file_name, split, label, original_name) and a folder for each split; the clips of validation
and evaluation, of which no model learned, get a copy below --library under another name: as recorders count
("ZOOM0746"), the name that the clip had where it was published, as the Universal Category System has it, in plain
words, or in the shorthand of people who name many files. A query is a label of three clips or more, in its words and in
shorthand; the clips of that label answer it. Forty more queries are names, typed as they stand; the file should be the
first hit. The hand-written queries of query_kinds.py are asked as well: names must not make these worse.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import random
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

from machine import commit, machine
from query_kinds import answers, read_queries

from soundseek.library import Library
from soundseek.query.lexicon import english

K = 10
FEWEST_ANSWERS = 3
NUM_NAMES = 40
SPLITS = ("validation", "evaluation")
SHARES = {"recorder": 0.3, "published": 0.3, "ucs": 0.15, "plain": 0.15, "shorthand": 0.1}
SEED = 20
KEYWORDS = ("off", "auto", "only")

SHORT = {
    "footsteps": "fs", "door": "dr", "drawer": "drwr", "ambience": "amb", "engine": "eng", "water": "wtr",
    "metal": "mtl", "glass": "gls", "woman": "fem", "man": "male", "people": "ppl", "person": "prs", "vehicle": "veh",
    "opening": "open", "closing": "close", "playing": "", "running": "run", "night": "nt", "outdoor": "ext",
    "guitar": "gtr", "acoustic": "ac", "electric": "elec", "drum": "drm", "machine": "mach", "refrigerator": "fridge",
    "helicopter": "heli", "explosion": "xplo", "monster": "mnstr", "speaking": "vox", "thunderstorm": "tstorm",
    "thunder": "thndr", "background": "bg", "traffic": "trfc", "wind": "wnd", "kitchen": "kit", "crowd": "crwd",
    "rifle": "rfl", "birds": "bird", "dishwasher": "dishw", "violin": "vln", "saxophone": "sax", "clarinet": "clar",
}  # fmt: skip
LITTLE = frozenset(["a", "from", "with", "in", "on", "and", "of", "being", "the"])


def main() -> None:
    """Build the library where there is none, ask, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sounds", type=Path)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    logging.getLogger("soundseek").setLevel(logging.ERROR)
    clips = read_clips(given.sounds)
    folder = given.library.absolute() / "sounds"
    names = name_clips(clips)
    with Library.open(given.library, create=True) as library:
        if not library.info().files:
            folder.mkdir(parents=True, exist_ok=True)
            for clip, name in zip(clips, names, strict=True):
                shutil.copyfile(given.sounds / clip["split"] / clip["file_name"], folder / name)
            library.index(folder)
        paths = [str(folder / name) for name in names]
        result = measure(library, clips, paths)
    print(table(result["rows"]))
    if given.json:
        given.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_clips(sounds: Path) -> list[dict[str, str]]:
    """The rows of `metadata.csv` of the splits that no model learned from."""
    with (sounds / "metadata.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["split"] in SPLITS]


# --- Names --------------------------------------------------------------------------------------------------------


def name_clips(clips: Sequence[Mapping[str, str]]) -> list[str]:
    """A file name for each clip, each once, with the ending of its file."""
    taken: Counter[str] = Counter()
    names = []
    for number, clip in enumerate(clips):
        chance = random.Random(f"{SEED} {clip['file_name']}")
        (kind,) = chance.choices(list(SHARES), list(SHARES.values()))
        stem = MAKERS[kind](clip, chance, number) or recorder_name(clip, chance, number)
        taken[stem.casefold()] += 1
        again = taken[stem.casefold()]
        names.append(stem + (f"_{again:02d}" if again > 1 else "") + Path(clip["file_name"]).suffix)
    return names


def recorder_name(clip: Mapping[str, str], chance: random.Random, number: int) -> str:
    """As recorders count: no word of it says what is heard."""
    day = f"{chance.randrange(18, 26)}{chance.randrange(1, 13):02d}{chance.randrange(1, 29):02d}"
    return chance.choice(
        [
            f"ZOOM{number:04d}",
            f"{day}_{number:04d}",
            f"STE-{number:03d}",
            f"DR0000_{number:04d}",
            f"R09_{number:04d}",
        ]
    )


def published_name(clip: Mapping[str, str], chance: random.Random, number: int) -> str:
    """The name that the clip had where it was published; none where only a number is known."""
    first = clip["original_name"].removeprefix("joined: ").split(" + ")[0]
    first = re.sub(r"\s*[\[(][^\])]*[\])]\s*$", "", first)
    stem = re.sub(r"\.\w{2,5}$", "", first.rsplit("/", 1)[-1]).strip()
    return "" if stem in ("", "?") else stem


def ucs_name(clip: Mapping[str, str], chance: random.Random, number: int) -> str:
    """`CatID_Name_Creator_Source`, with the category whose description shares the most words with the label."""
    what = f"{clip['label'].title()} {chance.randrange(1, 20):02d}"
    return f"{category_of(clip['label'])}_{what}_{chance.choice(['JD', 'AK', 'MM'])}_FIELD"


@cache
def category_of(label: str) -> str:
    """The id of the category that a label's words describe best; SFXMisc where none has any of them."""
    wanted = set(label.split())

    def shared(item: Any) -> tuple[float, int]:
        described = set(re.findall(r"[a-z]+", f"{item.category} {item.subcategory} {item.plain}".lower()))
        return len(wanted & described) / len(wanted | described), -len(described)

    best = max(english().categories.values(), key=shared)
    return best.cat_id if shared(best)[0] else "SFXMisc"


def plain_words_name(clip: Mapping[str, str], chance: random.Random, number: int) -> str:
    """The label as people write it into a name."""
    words = clip["label"].split()
    glue = chance.choice([" ", "_", "-", ""])
    return (
        glue.join(words if glue else [word.title() for word in words])
        + glue
        + f"{chance.randrange(1, 99):02d}"
    )


def shorthand_name(clip: Mapping[str, str], chance: random.Random, number: int) -> str:
    """The label in shorthand."""
    return (
        shorthand(clip["label"]).replace(" ", chance.choice(["_", " ", "-"]))
        + f"_{chance.randrange(1, 99):02d}"
    )


def shorthand(label: str) -> str:
    """A label as people shorten it who name many files: usual short forms, no little words, no endings.

    >>> shorthand("footsteps on metal"), shorthand("clock ticking")
    ('fs mtl', 'clock tick')
    """
    words = []
    for word in label.split():
        if word not in LITTLE:
            words.append(SHORT.get(word, re.sub(r"(?:ing|s)$", "", word)[:6] or word))
    return " ".join(filter(None, words))


MAKERS: dict[str, Callable[[Mapping[str, str], random.Random, int], str]] = {
    "recorder": recorder_name,
    "published": published_name,
    "ucs": ucs_name,
    "plain": plain_words_name,
    "shorthand": shorthand_name,
}


# --- Asking -------------------------------------------------------------------------------------------------------


def measure(library: Library, clips: Sequence[Mapping[str, str]], paths: Sequence[str]) -> dict[str, Any]:
    """Precision of each kind of query for each way to count names, and how many names are found."""
    by_label: dict[str, set[str]] = defaultdict(set)
    for clip, path in zip(clips, paths, strict=True):
        by_label[clip["label"]].add(path)
    asked = {label: relevant for label, relevant in by_label.items() if len(relevant) >= FEWEST_ANSWERS}
    labels = {path: clip["label"] for clip, path in zip(clips, paths, strict=True)}
    queries, concepts = read_queries()
    written = [
        (query.text, relevant)
        for query in queries
        if query.language == "English" and (relevant := answers(query, labels, concepts))
    ]
    kinds = {
        "labels in plain words": list(asked.items()),
        "labels in shorthand": [(shorthand(label), relevant) for label, relevant in asked.items()],
        "written by hand": written,
    }
    rows: list[dict[str, Any]] = [
        {
            "kind": kind,
            "queries": len(pairs),
            **{
                way: mean(precision(library, text, relevant, way) for text, relevant in pairs)
                for way in KEYWORDS
            },
        }
        for kind, pairs in kinds.items()
    ]
    typed = chosen_names(paths)
    rows.append(
        {
            "kind": "names, first hit",
            "queries": len(typed),
            **{way: sum(finds(library, text, path, way) for text, path in typed) for way in KEYWORDS},
        }
    )
    info = library.info()
    return {
        "rows": rows,
        "files": info.files,
        "segments": info.segments,
        "shares": SHARES,
        "model": info.model,
        "fingerprint": info.fingerprint,
        "machine": machine(),
        "commit": commit(),
    }


def precision(library: Library, text: str, relevant: set[str], keywords: str) -> float:
    """The share of right ones among the first ten hits, or among as many as there are answers."""
    hits = library.search(text, k=K, keywords=keywords)
    return sum(hit.path in relevant for hit in hits) / min(K, len(relevant))


def chosen_names(paths: Sequence[str]) -> list[tuple[str, str]]:
    """Forty names as people type them: with the ending or without, some in lower case; and the file of each."""
    chosen = random.Random(SEED).sample(list(paths), NUM_NAMES)
    ways: list[Callable[[Path], str]] = [
        lambda path: path.stem,
        lambda path: path.name,
        lambda path: path.stem.lower(),
        lambda path: path.stem.replace("_", " "),
    ]
    return [(ways[number % len(ways)](Path(path)), path) for number, path in enumerate(chosen)]


def finds(library: Library, text: str, path: str, keywords: str) -> bool:
    """Whether the first hit of a name is its file."""
    hits = library.search(text, k=1, keywords=keywords)
    return bool(hits) and hits[0].path == path


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as text."""
    lines = [f"{'kind':<24}{'queries':>8}" + "".join(f"{way:>8}" for way in KEYWORDS)]
    lines += [
        f"{row['kind']:<24}{row['queries']:>8}" + "".join(f"{row[way]:>8.3g}" for way in KEYWORDS)
        for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
