"""Write README's table of numbers from the results that were measured; without results there is no table.

    soundseek evaluate soundseek-small --data DIR --json > docs/results/soundseek-small.json
    python scripts/readme_numbers.py

`docs/results/speed.json`, if it is there, adds rows:
`{"machine": "2 cores", "sounds": "180 mp3 files", "rows": {"what": "much"}}`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
CARD = ROOT / "src" / "soundseek" / "model" / "bundled" / "soundseek-small" / "config.json"
START, END = "<!-- numbers: written by scripts/readme_numbers.py -->", "<!-- end of numbers -->"
PLACE = "## For researchers"  # the numbers stand before this heading
METRICS = ("R1", "R5", "R10", "mAP10")


def main(readme: Path, results: Path) -> None:
    """Put the section between its markers, make it, or remove it."""
    text = readme.read_text(encoding="utf-8")
    readme.write_text(with_numbers(text, section(results)), encoding="utf-8")


def with_numbers(text: str, numbers: str) -> str:
    """A README with this section of numbers, which is the only one; an empty section leaves no trace."""
    if START in text:
        before, rest = text.split(START)
        text = before + rest.split(END)[1].lstrip("\n")
    if not numbers:
        return text
    before, after = text.split(PLACE)
    return f"{before}{START}\n{numbers}\n{END}\n\n{PLACE}{after}"


def section(results: Path) -> str:
    """The section in Markdown, or nothing if nothing was measured."""
    parts = []
    if (file := results / "soundseek-small.json").is_file():
        parts.append(quality(json.loads(file.read_text(encoding="utf-8"))))
    if (file := results / "speed.json").is_file():
        parts.append(speed(json.loads(file.read_text(encoding="utf-8"))))
    return "\n\n".join(["## Numbers", *parts]) if parts else ""


def quality(report: dict[str, Any]) -> str:
    """The table of an evaluation, in percent with 95 % intervals."""
    found = report["text_to_audio"]
    made = json.loads(CARD.read_text(encoding="utf-8"))["training"]
    rows = [f"| {name} | {percent(found[name])} |" for name in METRICS]
    head = (
        f"How often `soundseek-small` finds a caption's recording among the {report['num_clips']} recordings of the "
        f"{report['split']} split, {report['num_captions']} captions, in percent with 95 % intervals "
        f"([report](docs/results/soundseek-small.json); {seeds(made)}, commit {made['git'][:7]}; "
        "[how it was made](docs/models.md)):"
    )
    return "\n".join([head, "", "| | text to sound |", "|---|---|", *rows])


def seeds(made: dict[str, Any]) -> str:
    """Of one run, or of all that were averaged."""
    averaged = [str(each["seed"]) for each in made.get("averaged", [])]
    return f"seeds {', '.join(averaged)} averaged" if averaged else f"seed {made['seed']}"


def percent(interval: dict[str, float]) -> str:
    """An interval of shares, as `44.7 (41.0 to 48.3)`."""
    value, low, high = (100 * interval[key] for key in ("value", "low", "high"))
    return f"{value:.1f} ({low:.1f} to {high:.1f})"


def speed(report: dict[str, Any]) -> str:
    """The table of the benchmarks, the machine, and which sounds were timed."""
    rows = [f"| {what} | {value} |" for what, value in report["rows"].items()]
    head = (
        f"Speed on {report['machine']}, commit {report['commit']}, whole processes unless said otherwise: "
        f"{report['sounds']} ([the file](docs/results/speed.json), by `python benchmarks/searching.py`):"
    )
    return "\n".join([head, "", "| | |", "|---|---|", *rows])


if __name__ == "__main__":
    sys.exit(main(ROOT / "README.md", RESULTS))
