"""Write docs/results.md from what was measured, the JSON files of docs/results; what is not there is left out.

    python scripts/results_page.py

`distillation.json` and `alignment.json` are tables of things tried: `{"says": "what was compared, and on what",
"columns": ["name", ...], "rows": [["value", ...], ...], "chosen": 0}`; `chosen`, the number of a row, may be missing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
PAGE = ROOT / "docs" / "results.md"
METRICS = {"R1": "R@1", "R5": "R@5", "R10": "R@10", "mAP10": "mAP@10"}
ATTENTIONS = {"none": "none", "graph": "graph", "self": "self-attention"}
LOSSES = {"nt-xent": "NT-Xent", "supervised": "supervised"}

Report = dict[str, Any]

INTRODUCTION = """# Results

What was measured, and the command that measures it again. This page is written by `scripts/results_page.py` from the
files of [results/](results/); the page says what a file knows of seed, commit and machine. Shares are in percent."""


def main() -> None:
    """Read, write, say what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=PAGE)
    arguments = parser.parse_args()
    arguments.out.write_text(page(arguments.results), encoding="utf-8")
    print(arguments.out)


def page(results: Path) -> str:
    """The whole page."""
    sections = [
        section("Finding", results, ["soundseek-small.json", "soundseek-plus.json"], finding, FINDING_AGAIN),
        section("Teaching the trunk", results, ["distillation.json"], tried, "no table `distillation.json`"),
        section("Teaching the heads", results, ["alignment.json"], tried, "no table `alignment.json`"),
        section(
            "Other recordings, other words", results, ["robustness-*.json"], robustness, ROBUSTNESS_AGAIN
        ),
        section("The paper's question", results, ["papers-question-*.json"], question, QUESTION_AGAIN),
        table_one(results / "table-one"),
        section("Ten successes, ten failures", results, ["heard-*.json"], heard, HEARD_AGAIN),
    ]
    return "\n\n".join([INTRODUCTION, *sections]) + "\n"


def table_one(report: Path) -> str:
    """What `soundseek reproduce` wrote, and what it says about the paper's claims, which is written by hand."""
    claims = report / "claims.md"
    if not claims.is_file():
        return "## Table I\n\nNot measured: no report with `table-one/claims.md`."
    return f"## Table I\n\n{claims.read_text(encoding='utf-8').strip()}"


def section(
    title: str,
    results: Path,
    patterns: Sequence[str],
    write: Callable[[list[Report]], str],
    missing: str,
) -> str:
    """A heading and what the files say, or one sentence that nothing was measured."""
    files = [path for pattern in patterns for path in sorted(results.glob(pattern))]
    if not files:
        return f"## {title}\n\nNot measured: {missing}."
    reports = [{"file": path.name, **json.loads(path.read_text(encoding="utf-8"))} for path in files]
    return f"## {title}\n\n{write(reports)}"


FINDING_AGAIN = "`soundseek evaluate MODEL --data DIR --json > docs/results/MODEL.json`"
ROBUSTNESS_AGAIN = "`soundseek robustness MODEL --data DIR --json > docs/results/robustness-MODEL.json`"
QUESTION_AGAIN = "`python scripts/papers_question.py --data DIR --weights FILE --out runs/question`"
HEARD_AGAIN = "`python scripts/heard.py MODEL --data DIR`"


def finding(reports: list[Report]) -> str:
    """Both directions of every model."""
    rows = [
        [report["file"].removesuffix(".json"), shown, *(spanned(report[direction][name]) for name in METRICS)]
        for report in reports
        for direction, shown in (("text_to_audio", "text to sound"), ("audio_to_text", "sound to text"))
    ]
    first = reports[0]
    return joined(
        f"{first['num_captions']:,} captions of {first['num_clips']:,} sounds, split `{first['split']}`, with 95 % "
        f"jackknife intervals. Again: {FINDING_AGAIN}.",
        table(["model", "", *METRICS.values()], rows),
    )


def tried(reports: list[Report]) -> str:
    """A table of things tried; the chosen row in bold."""
    (report,) = reports
    rows = [[number(cell) for cell in row] for row in report["rows"]]
    if report.get("chosen") is not None:
        rows[report["chosen"]] = [f"**{cell}**" if cell else "" for cell in rows[report["chosen"]]]
    return joined(report["says"], table(report["columns"], rows))


def robustness(reports: list[Report]) -> str:
    """One table a model."""
    parts = [
        "One change at a time: all sounds degraded, or all captions reworded. Degraded sounds are written to files "
        "and heard from there, as a user's are. The difference is that of mAP@10 from the same captions as they are, "
        "with the bootstrap's 95 % interval over sounds; *changed* is the share of sounds or captions that the "
        f"condition changes at all. Again: {ROBUSTNESS_AGAIN}."
    ]
    for report in reports:
        rows = [robustness_row(row) for row in report["rows"]]
        says = "; ".join(f"{row['name']}: {row['says']}" for row in report["rows"][1:])
        parts += [
            f"### {report['model']}",
            table(["", "mAP@10", "difference", "R@10", "changed"], rows),
            f"{says}. {measured(report)}",
        ]
    return joined(*parts)


def robustness_row(row: Report) -> list[str]:
    """One condition."""
    found = row["difference"]
    return [
        row["name"],
        percent(row["mAP10"]["value"]),
        "" if found is None else points(found["difference"]),
        percent(row["R10"]["value"]),
        "" if found is None else f"{100 * row['changed']:.0f}",
    ]


def question(reports: list[Report]) -> str:
    """{none, graph, self} x {NT-Xent, supervised}, a table and a picture a trunk."""
    parts = [
        "Does attention between the frames help, and with which loss? Mean ± standard deviation over the seeds, with "
        "the bootstrap's 95 % interval over sounds; the last column is mAP@10 above no attention with the same loss, "
        f"by the paired bootstrap, bold where p < .05. Again: {QUESTION_AGAIN}."
    ]
    for report in reports:
        rows = [question_row(system) for system in report["systems"]]
        picture = report["file"].replace(".json", ".png")
        parts += [
            f"### On the frozen trunk {report['trunk']}",
            table(["attention", "loss", *METRICS.values(), "against none"], rows),
            f"![Every metric by attention and loss](results/{quote(picture)})",
            f"Weights `{report['weights']}`, seeds {', '.join(map(str, report['seeds']))}, settings "
            f"`{' '.join(report['settings']) or 'none'}`, {report['training_hours']} hours of training. "
            f"{measured(report)}",
        ]
    return joined(*parts)


def question_row(system: Report) -> list[str]:
    """One system."""
    cells = []
    for metric in METRICS:
        found = system["metrics"][metric]
        deviation = "" if found["sd"] is None else f" ± {percent(found['sd'])}"
        cells.append(
            f"{percent(found['value'])}{deviation} ({percent(found['low'])} to {percent(found['high'])})"
        )
    against = system["against_none"]
    verdict = ""
    if against is not None:
        verdict = f"{points(against['mAP10'])}, p {against['mAP10']['p']:.3f}"
        verdict = f"**{verdict}**" if against["mAP10"]["p"] < 0.05 else verdict
    return [ATTENTIONS[system["attention"]], LOSSES[system["loss"]], *cells, verdict]


def heard(reports: list[Report]) -> str:
    """What was asked, what is in the sound, what stood first; with pictures."""
    parts = []
    for report in reports:
        parts += [
            f"### {report['model']}",
            f"{report['rule']} {report['num_successes']:,} of {report['num_captions']:,} captions are successes, "
            f"{report['num_failures']:,} failures. Pictures: log-mels of the first ten seconds, low tones below. "
            f"Again: {HEARD_AGAIN}. {measured(report)}",
            table(
                ["asked for, and found", "other captions of it", ""],
                [
                    [cell(each["caption"]), others(each["captions"], each["caption"]), picture_of(each)]
                    for each in report["successes"]
                ],
            ),
            table(
                ["asked for", "place", "what stood first", ""],
                [
                    [
                        cell(each["caption"]),
                        str(each["rank"]),
                        others(each["top_captions"], ""),
                        picture_of(each),
                    ]
                    for each in report["failures"]
                ],
            ),
        ]
    return joined(*parts)


def others(captions: Sequence[str], caption: str) -> str:
    """Two captions, other than the one asked with."""
    return "<br>".join(cell(each) for each in [each for each in captions if each != caption][:2])


def picture_of(example: Report) -> str:
    """An image whose description is the caption."""
    words = cell(example["caption"]).replace("[", "(").replace("]", ")")
    return f"![{words}](results/{quote(example['picture'])})"


def measured(report: Report) -> str:
    """Data, seed, commit and machine, as far as the file names them."""
    parts = [f"split `{report['split']}` of `{report['data']}`"]
    if "seed" in report:
        parts.append(f"seed {report['seed']}")
    commits = report.get("commits") or [report.get("git")]
    parts += [f"commit {commit[:7]}" for commit in commits if commit and commit != "None"]
    machine = report.get("machine")
    if machine:
        parts.append(f"{machine['processor']}, {machine['cores']} cores")
    return f"Measured: {', '.join(parts)}; [the file](results/{quote(report['file'])})."


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def joined(*parts: str) -> str:
    """Paragraphs."""
    return "\n\n".join(parts)


def cell(text: str) -> str:
    """Text that ends no cell and begins no tag."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def number(value: Any) -> str:
    """A cell of a table of things tried."""
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else cell(str(value))


def spanned(interval: Report) -> str:
    """An interval of shares: `44.7 (41.0 to 48.3)`."""
    return f"{percent(interval['value'])} ({percent(interval['low'])} to {percent(interval['high'])})"


def points(interval: Report) -> str:
    """A difference of shares: `-3.4 (-5.6 to -1.1)`."""
    value, low, high = (f"{100 * interval[key]:+.1f}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def percent(share: float) -> str:
    """A share with one decimal."""
    return f"{100 * share:.1f}"


if __name__ == "__main__":
    main()
