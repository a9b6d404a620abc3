"""Compile folders of lexicon tables into the two files that the product carries in `src/soundseek/query/`.

    python scripts/compile_lexicon.py FOLDER [FOLDER ...]

Each folder holds some of these tables, UTF-8 CSV with a header; a later folder adds to an earlier one, whose terms
win, and scripts/lexicon is read first: `moods.csv` (plain, terms),
`jargon.csv` (term, plain, kind, note), `readings.csv` (plain, caption: readings that no model finds, in the words of
captions), `languages.csv` (language, term, plain),
`english_collisions.csv` (language, term), `stop_words.csv` (language, words), `endings.csv` (language, endings),
`heads.csv` (plain, head), `ucs.csv` (cat_id, category, subcategory, plain, synonyms), `ucs_parts.csv` (position, part,
meaning) and `labels.csv` (plain, label; `nearest_labels.py` writes it). In `plain`, `|` stands between wordings of one
thing, which are searched for together, and `||` between things that differ, of which a hit is one. Rows of `jargon.csv`
whose `plain` only explains a group of terms are left out.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from soundseek.query.lexicon import ENGLISH_FILE, FOLDER, LANGUAGES_FILE, steering
from soundseek.query.text import fold, loosen, respelled

OWN = Path(__file__).parent / "lexicon"
LABELS_FILE = "labels.csv"

Row = dict[str, str]


class Readings:
    """Each reading once, by its number."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def number(self, plain: str) -> int:
        """The number of a reading, a new one where it is met for the first time."""
        return self.numbers.setdefault(plain, len(self.numbers))


def compile_english(folders: Sequence[Path]) -> dict[str, Any]:
    """Jargon and UCS, as JSON holds them."""
    readings = Readings()
    labels = {row["plain"]: row["label"] for row in rows(folders, LABELS_FILE)}
    terms: dict[str, list[int | str]] = {}
    for row in rows(folders, "moods.csv"):
        for term in row["terms"].split("|"):
            terms.setdefault(fold(term), [readings.number(row["plain"]), "mood", ""])
    for row in terms_of(folders):
        plain = row["plain"]
        if takes_a_label(row["note"]):
            plain = with_label(plain, labels)
        if "e" in steering(row["note"]):
            plain = plain.replace("|", "||")
        terms.setdefault(fold(row["term"]), [readings.number(plain), row["kind"], steering(row["note"])])
    parts: dict[str, dict[str, str]] = {"prefix": {}, "suffix": {}}
    for row in rows(folders, "ucs_parts.csv"):
        parts[row["position"]].setdefault(row["part"], row["meaning"])
    ucs = {
        row["cat_id"]: [
            row["category"],
            row["subcategory"],
            with_label(row["plain"], labels),
            row["synonyms"],
        ]
        for row in rows(folders, "ucs.csv")
    }
    return {"readings": list(readings.numbers), "terms": terms, "ucs": ucs, "ucs_parts": parts}


def terms_of(folders: Sequence[Path]) -> Iterator[Row]:
    """The rows of `jargon.csv` that can be searched for, their readings in the words of captions."""
    captions = {row["plain"]: row["caption"] for row in rows(folders, "readings.csv")}
    for row in rows(folders, "jargon.csv"):
        if not is_gloss(row["plain"]):
            yield row | {"plain": captions.get(row["plain"], row["plain"])}


def is_gloss(plain: str) -> bool:
    """True for what explains a whole group of terms, "quality of a sound: dull, thin ...": no caption says it, so it
    cannot be searched for.
    """
    return ":" in plain


def takes_a_label(note: str) -> bool:
    """False for readings that differ in meaning, and for what has no sound."""
    return not set(steering(note)) & set("en")


def with_label(plain: str, labels: Mapping[str, str]) -> str:
    """A reading, and the nearest label of recordings where there is one.

    >>> with_label("propeller plane droning", {"propeller plane droning": "airplane flying"})
    'propeller plane droning|airplane flying'
    """
    return f"{plain}|{labels[plain]}" if plain in labels else plain


def compile_languages(folders: Sequence[Path]) -> dict[str, Any]:
    """The terms of every language by the form that they are looked up by, or by their own where two would meet."""
    readings = Readings()
    languages: dict[str, dict[str, Any]] = {}
    for row in rows(folders, "languages.csv"):
        language = languages.setdefault(
            row["language"],
            {"loose": {}, "exact": {}, "accented": [], "english": [], "stop": [], "endings": []},
        )
        number, exact = readings.number(row["plain"]), fold(row["term"].strip())
        for key in dict.fromkeys((loosen(exact), respelled(exact))):
            known = language["loose"].setdefault(key, number)
            if known != number:
                language["exact"].setdefault(exact, number)
            elif key != exact and language["loose"][key] == number:
                language["accented"].append(key)
    for row in rows(folders, "english_collisions.csv"):
        languages[row["language"]]["english"].append(loosen(row["term"]))
    for row in rows(folders, "stop_words.csv"):
        languages[row["language"]]["stop"] += [loosen(word) for word in row["words"].split()]
    for row in rows(folders, "endings.csv"):
        languages[row["language"]]["endings"] = row["endings"].split()
    for language in languages.values():
        for name in ("accented", "english", "stop"):
            language[name] = sorted(set(language[name]))
    heads = {row["plain"]: row["head"] for row in rows(folders, "heads.csv")}
    return {"readings": list(readings.numbers), "languages": languages, "heads": heads}


def rows(folders: Sequence[Path], name: str) -> Iterator[Row]:
    """The rows of a table in every folder that has it."""
    for folder in folders:
        if (folder / name).is_file():
            with (folder / name).open(encoding="utf-8", newline="") as file:
                yield from csv.DictReader(file)


def write(content: dict[str, Any], path: Path) -> int:
    """Write JSON, compressed and the same bytes for the same content; returns how many."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    path.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))
    return path.stat().st_size


def main() -> None:
    """Read the command line, compile and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--out", type=Path, default=FOLDER)
    given = parser.parse_args()
    folders = [OWN, *given.folders]
    for name, content in (
        (ENGLISH_FILE, compile_english(folders)),
        (LANGUAGES_FILE, compile_languages(folders)),
    ):
        print(f"{given.out / name}: {write(content, given.out / name):,} bytes")


if __name__ == "__main__":
    main()
