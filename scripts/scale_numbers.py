"""Write the rates of `docs/results/speed.json` into docs/scale.md, and all that follows from them by arithmetic.

python benchmarks/searching.py --json docs/results/speed.json
python scripts/scale_numbers.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scale.md"
SPEED = ROOT / "docs" / "results" / "speed.json"
CLIP_S = 10
CORE_HOUR_DOLLARS = 0.04
CORES = 64  # of the machine that a hundred million clips are reckoned with


def main() -> None:
    """Rewrite the page."""
    report = json.loads(SPEED.read_text(encoding="utf-8"))
    PAGE.write_text(with_rates(PAGE.read_text(encoding="utf-8"), report), encoding="utf-8")


def with_rates(page: str, report: dict[str, Any]) -> str:
    """The page with the rates of a report.

    Raises:
        ValueError: A sentence that holds one is not there, or there twice.
    """
    for pattern, numbers in _places(report):
        found = list(re.finditer(pattern, page))
        if len(found) != 1:
            raise ValueError(f"docs/scale.md has {len(found)} places like this one, not 1: {pattern}")
        if len(numbers) != found[0].re.groups:
            raise ValueError(f"{len(numbers)} numbers for {found[0].re.groups} places: {pattern}")
        for group in reversed(range(len(numbers))):
            start, end = found[0].span(group + 1)
            page = page[:start] + numbers[group] + page[end:]
    return page


def _places(report: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Where the page has a number, as a pattern with a group for each, and what is to stand there."""
    rows = report["rows"]
    rate = round(rows["index, one worker: x real time per CPU second"])
    two = f"{rows['index, two workers over one (wall)']:.2f}"
    query_ms = rows["warm query, 100,000 x 512 segments: CPU ms"]  # of 100,000 segments
    machine = report["machine"].split(", Python")[0].removesuffix(", 2 cores")
    million, hundred_millions, ten_billions = (clips * CLIP_S / 3600 / rate for clips in (1e6, 1e8, 1e10))
    ten_thousand = million / 100
    million_s = query_ms / 100
    file = r"\[speed\.json\]\(results/speed\.json\)"
    return [
        (
            rf"\| (\d+) s of sound per processor second; two processes ([\d.]+) times one \| "
            rf"{file}, (.+?), commit (\w+) \|",
            [str(rate), two, machine, report["commit"]],
        ),
        (rf"\| ([\d.]+) ms of processor time per 100,000 \| {file} \|", [f"{query_ms:.1f}"]),
        (r"`hours / (\d+)`.*`clips × ([\d.]+) µs`", [str(rate), f"{query_ms / 100:.2f}"]),
        (
            r"\| 10 thousand \| 28 \| ([\d.]+) \(([\d.]+) minutes\).*\| ([\d.]+) ms \|",
            [f"{ten_thousand:.2f}", f"{60 * ten_thousand:.0f}", f"{query_ms / 10:.1f}"],
        ),
        (r"\| 1 million \| 2,778 \| ([\d.]+) .*\| ([\d.]+) s \|", [f"{million:.1f}", f"{million_s:.2f}"]),
        (
            r"\| 100 million \| 277,778 \| ([\d,]+) .*\| ([\d.]+) s \|",
            [f"{hundred_millions:,.0f}", f"{100 * million_s:.0f}"],
        ),
        (
            r"\| 10 billion \| 27.8 million \| ([\d,]+) .*\| ([\d.]+) minutes \|",
            [f"{ten_billions:,.0f}", f"{1e4 * million_s / 60:.0f}"],
        ),
        (
            r"embedded in `([\d.]+) / ([\d.]+) = ([\d.]+)` hours; a query takes ([\d.]+) s of processor time",
            [f"{million:.1f}", two, f"{million / float(two):.1f}", f"{million_s:.2f}"],
        ),
        (
            r"Embedding costs `([\d.]+) × 0\.04 = ([\d.]+)` dollars",
            [f"{million:.1f}", f"{million * CORE_HOUR_DOLLARS:.2f}"],
        ),
        (
            r"answers in `([\d.]+) / 64 = ([\d.]+)` s if its memory keeps up\s+\(102 GB in ([\d.]+) s is ([\d,]+) GB/s",
            [
                f"{100 * million_s:.0f}",
                f"{100 * million_s / CORES:.2f}",
                f"{100 * million_s / CORES:.2f}",
                f"{102 / (100 * million_s / CORES):,.0f}",
            ],
        ),
        (
            r"Embedding takes `([\d,]+) / 64 = ([\d.]+)` hours there and costs (\d+) dollars",
            [
                f"{hundred_millions:,.0f}",
                f"{hundred_millions / CORES:.1f}",
                f"{hundred_millions * CORE_HOUR_DOLLARS:.0f}",
            ],
        ),
        (
            r"vectors: `([\d,]+) × 0\.04 = ([\d,]+)` dollars",
            [f"{ten_billions:,.0f}", f"{ten_billions * CORE_HOUR_DOLLARS:,.0f}"],
        ),
        (
            r"compared with every segment takes ([\d.]+) s of processor time a million",
            [f"{million_s:.2f}"],
        ),
    ]


if __name__ == "__main__":
    main()
