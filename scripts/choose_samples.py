"""Make samples/ again from the captioned sounds: one clip for each label, a second one where it differs.

    python scripts/choose_samples.py --sounds ../shared/sounds --out samples

Only clips that no model was trained on (the validation and evaluation splits), only from sets that are Debian
packages, byte for byte. Run twice, it writes the same files.
"""

from __future__ import annotations

import argparse
import csv
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

ORIGINS = {
    "gcompris": "GCompris",
    "homedecor": "Minetest home decor mod",
    "horizons": "Unknown Horizons",
    "lincity": "LinCity-NG",
    "minetest": "Minetest Game",
    "scratch": "Scratch 1.4 media library",
    "simutrans": "Simutrans pak64",
    "sonicpi": "Sonic Pi",
    "speech": "Tux Paint stamps, spoken descriptions",
    "tuxpaint": "Tux Paint stamps",
    "wesnoth": "Battle for Wesnoth",
}
FOLDERS = {
    "alarms/bells": "alarms",
    "ambience/place": "places",
    "animal": "animals",
    "domestic/interior": "household",
    "human non-speech": "people",
    "human speech": "speech",
    "impacts/actions": "impacts",
    "musical instruments": "music",
    "nature/weather": "fire-and-weather",
    "other": "monsters",
    "tools/machines": "machines",
    "vehicles/transport": "vehicles",
    "water": "water",
}
# The Amen break: given away as CC0 by someone who did not record it.
LEFT_OUT = frozenset({"loop_amen.flac"})
MAX_DURATION_S = 12.0
SECOND_MIN_DURATION_S = 1.2  # a second clip of a label must be worth listening to

Row = dict[str, str]


def read_rows(sounds: Path) -> list[Row]:
    """The clips that may be chosen, longest first within a label."""
    with (sounds / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    trained_on = {row["recording_id"] for row in rows if row["split"] == "development"}
    return [
        row
        for row in sorted(rows, key=lambda row: (-float(row["duration_s"]), row["file_name"]))
        if row["split"] in ("validation", "evaluation")
        and row["set"] in ORIGINS
        and row["recording_id"] not in trained_on
        and row["original_name"] not in LEFT_OUT
        and "Sampling+" not in row["license"]
        and float(row["duration_s"]) <= MAX_DURATION_S
    ]


def choose(rows: Iterable[Row]) -> list[Row]:
    """One clip a label, and a second from another recording."""
    chosen: dict[str, list[Row]] = {}
    for row in rows:
        have = chosen.setdefault(row["label"], [])
        worth_it = float(row["duration_s"]) >= SECOND_MIN_DURATION_S
        if not have or (len(have) == 1 and worth_it and row["recording_id"] != have[0]["recording_id"]):
            have.append(row)
    return [row for label in sorted(chosen) for row in chosen[label]]


def licence(row: Row) -> str:
    """The licence of this clip where the set's own differs by folder."""
    if row["set"] != "minetest":
        return row["license"]
    folder = row["original_name"].removeprefix("joined: ").split("/")[0]
    return {"doors": "CC BY 3.0", "tnt": "CC0 1.0"}.get(folder, "CC BY-SA 3.0")


def name_of(row: Row, number: int) -> str:
    """A path that says what is heard: `animals/owl-hooting-1.ogg`."""
    label = re.sub(r"[^a-z0-9]+", "-", row["label"].lower()).strip("-")
    return f"{FOLDERS[row['category']]}/{label}-{number}.ogg"


def write_samples(sounds: Path, out: Path, rows: list[Row]) -> None:
    """Copy the clips and write SOURCES.csv; folders of an earlier run go first."""
    for folder in FOLDERS.values():
        shutil.rmtree(out / folder, ignore_errors=True)
    lines, numbers = [], dict.fromkeys((row["label"] for row in rows), 0)
    for row in rows:
        numbers[row["label"]] += 1
        name = name_of(row, numbers[row["label"]])
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(sounds / row["split"] / row["file_name"], target)
        origin = f"{ORIGINS[row['set']]} (Debian)"
        lines.append(
            (name, row["original_name"], origin, licence(row), row["author_or_source"], row["file_name"])
        )
    with (out / "SOURCES.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("file", "title", "origin", "licence", "author", "clip"))
        writer.writerows(sorted(lines))


def main() -> None:
    """Choose, copy, and say how much it is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sounds", type=Path, required=True, help="folder of the captioned sounds (metadata.csv)"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "samples")
    arguments = parser.parse_args()
    rows = choose(read_rows(arguments.sounds))
    write_samples(arguments.sounds, arguments.out, rows)
    size_mb = sum(path.stat().st_size for path in arguments.out.rglob("*.ogg")) / 1e6
    minutes = sum(float(row["duration_s"]) for row in rows) / 60
    labels = len({row["label"] for row in rows})
    print(
        f"{len(rows)} sounds of {labels} labels, {minutes:.1f} minutes, {size_mb:.1f} MB in {arguments.out}"
    )


if __name__ == "__main__":
    main()
