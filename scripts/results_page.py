"""Write docs/results.md from what was measured, the JSON files of docs/results; what is not there is left out.

    python scripts/results_page.py

`distillation.json` and `alignment.json` are tables of things tried: `{"says": "what was compared, and on what",
"columns": ["name", ...], "rows": [["value", ...], ...], "chosen": 0}`; `chosen`, the number of a row, may be missing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
PAGE = ROOT / "docs" / "results.md"
BUNDLED = ROOT / "src" / "soundseek" / "model" / "bundled"
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
        section("Collections that were never met", results, ["left-out.json"], left_out, LEFT_OUT_AGAIN),
        section(
            "Which moment", results, ["moments-before.json", "moments.json"], which_moment, MOMENTS_AGAIN
        ),
        section("How sure a hit is", results, ["match.json"], how_sure, MATCH_AGAIN),
        section(
            "Said to be missing", results, ["said-to-be-missing.json"], said_to_be_missing, MISSING_AGAIN
        ),
        section(
            "One of two sounds",
            results,
            ["one-of-two-before.json", "one-of-two.json"],
            one_of_two,
            ONE_OF_TWO_AGAIN,
        ),
        section("Labels", results, ["labels.json"], labelled, LABELS_AGAIN),
        section("Duplicates", results, ["duplicates.json"], duplicates, DUPLICATES_AGAIN),
        section("Marks", results, ["marks.json"], marks, MARKS_AGAIN),
        section("Teaching the trunk", results, ["distillation.json"], tried, "no table `distillation.json`"),
        section("Teaching the heads", results, ["alignment.json"], tried, "no table `alignment.json`"),
        section(
            "Other words to learn from",
            results,
            ["training-text.json"],
            tried,
            "no table `training-text.json`",
        ),
        section(
            "Other recordings, other words", results, ["robustness-*.json"], robustness, ROBUSTNESS_AGAIN
        ),
        section("People's words", results, ["query-kinds*.json"], query_kinds, QUERY_KINDS_AGAIN),
        section("Names beside sounds", results, ["names.json"], names, NAMES_AGAIN),
        section("How it sounds", results, ["how-it-sounds.json"], how_it_sounds, HOW_IT_SOUNDS_AGAIN),
        section("The paper's question", results, ["papers-question-*.json"], question, QUESTION_AGAIN),
        table_one(results / "table-one"),
        section("Adapting to one's own sounds", results, ["adapt.json"], adapted, ADAPT_AGAIN),
        section("Speed beside PANNs", results, ["panns.json"], panns, "`python benchmarks/panns.py`"),
        section("Beside others' code", results, ["peers.json"], peers, PEERS_AGAIN),
        section("Where the time goes", results, ["stages.json"], stages, STAGES_AGAIN),
        section("A second model ranks anew", results, ["two-stages*.json"], two_stages, TWO_STAGES_AGAIN),
        section("Speed of training", results, ["heads_on_cache.json"], heads_on_cache, HEADS_AGAIN),
        section("A batch in chunks", results, ["chunked_memory.json"], chunked, CHUNKED_AGAIN),
        section("Reading sounds", results, ["data_loading.json"], data_loading, LOADING_AGAIN),
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
LEFT_OUT_SCORES = ("mAP10", "R10", "labels_in_first_ten")
LEFT_OUT_AGAIN = (
    "`python scripts/left_out.py MODEL ... --data DIR --collections A,B --leave-out FILES "
    "> docs/results/left-out.json`"
)
MATCH_AGAIN = (
    "`soundseek calibrate MODEL --data DIR --unmet MODEL --unmet-files FILES --check evaluation --json`"
)
MATCH_LEFT_OUT_AGAIN = "`python scripts/match_left_out.py MODEL --data DIR --leave-out FILES`"
LABELS_AGAIN = "`python scripts/label_accuracy.py soundseek-small --data DIR > docs/results/labels.json`"
MOMENTS_AGAIN = (
    "`python benchmarks/moments.py SOUNDS --split evaluation --library DIR --json docs/results/moments.json`"
)
DUPLICATES_AGAIN = (
    "`python scripts/duplicates_accuracy.py --data DIR --work DIR > docs/results/duplicates.json`"
)
MARKS_AGAIN = (
    "`python benchmarks/marks.py --library DIR --metadata SOUNDS/metadata.csv --json docs/results/marks.json`"
)
QUERY_KINDS_AGAIN = (
    "`python benchmarks/query_kinds.py SOUNDS --library DIR --json docs/results/query-kinds.json`"
)
MISSING_AGAIN = (
    "`python benchmarks/said_to_be_missing.py SOUNDS --library DIR "
    "--json docs/results/said-to-be-missing.json`"
)
ONE_OF_TWO_AGAIN = (
    "`python benchmarks/one_of_two.py SOUNDS --split evaluation --library DIR "
    "--json docs/results/one-of-two.json`"
)
NAMES_AGAIN = "`python benchmarks/names.py SOUNDS --library DIR --json docs/results/names.json`"
HOW_IT_SOUNDS_AGAIN = (
    "`python scripts/how_it_sounds.py MODEL ... --data DIR --among LIBRARY ... "
    "> docs/results/how-it-sounds.json`"
)
ADAPT_AGAIN = (
    "`python scripts/adapt_collections.py MODEL --data DIR --vectors FILE --out docs/results/adapt.json`"
)
QUESTION_AGAIN = "`python scripts/papers_question.py --data DIR --weights FILE --out runs/question`"
HEADS_AGAIN = "`python benchmarks/heads_on_cache.py`"
CHUNKED_AGAIN = "`python benchmarks/chunked_memory.py --batch 16 --seconds 10 --chunks 8 4 2 1`"
STAGES_AGAIN = "`python benchmarks/stages.py --json docs/results/stages.json`"
PEERS_AGAIN = "`python benchmarks/peers.py --json docs/results/peers.json`"
TWO_STAGES_AGAIN = "`python benchmarks/two_stages.py DATA soundseek-plus --json docs/results/two-stages.json`"
LOADING_AGAIN = "`python benchmarks/data_loading.py DIR`"
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


def left_out(reports: list[Report]) -> str:
    """Models beside each other on whole collections that none of them learned from."""
    (report,) = reports
    rows = []
    for each in report["models"]:
        remembering = each.get("remembering", {})
        found = [part.get(name) for part in (each, remembering) for name in LEFT_OUT_SCORES]
        rows.append([each["model"], *("" if value is None else percent(value) for value in found)])
    commits = sorted({each.get("git", report["git"])[:7] for each in report["models"]})
    return joined(
        f"Captions of {report['num_clips']} sounds of {', '.join(report['collections'])}, collections that "
        "neither trunk nor heads of these models have met; labels: the share of right ones among the first "
        "ten hits. The former soundseek-small is the average of eight seeds; those of one seed were trained without "
        "these collections, and the models that are bundled and carried, of the last of each trunk, have learned from "
        "them since. By the vectors of the words, and, where it was measured, by these looked up among the kinds of "
        f"sound of the other collections. Again: {LEFT_OUT_AGAIN}. Commit {', '.join(commits)}.",
        table(
            ["model", "mAP@10", "R@10", "labels", "looked up: mAP@10", "R@10", "labels"],
            rows,
        ),
    )


def labelled(reports: list[Report]) -> str:
    """How often the right label comes first, with which prompt, and what `match` of a label is worth."""
    (report,) = reports
    prompts = [
        [f"`{each['prompt']}`", percent(each["at_1"]), percent(each["at_5"])] for each in report["prompts"]
    ]
    rows = [
        [
            f"`{split}`",
            f"{each['clips']} sounds, {each['labels']} labels",
            percent(each["at_1"]),
            percent(each["at_5"]),
            percent(each["mean_match"]),
            f"{each['calibration_error']:.3f}",
        ]
        for split, each in report["splits"].items()
    ]
    bins = [
        [split, str(each["clips"]), f"{each['match']:.2f}", f"{each['right']:.2f}"]
        for split, measured in report["splits"].items()
        for each in measured["bins"]
    ]
    return joined(
        f"`soundseek label` with {report['model']}: how often the one label that a sound has in `metadata.csv` is the "
        "first, or among the first five, of all labels of its split. Wordings of one thing count as different labels.",
        table(["split", "", "first", "in five", "mean match", "calibration error"], rows),
        "`match` of the first label beside the share of first labels that are right; it is fitted for searches and "
        "counts the labels as candidates. A listener agrees with more labels than the one in the table, so it errs "
        "on the careful side:",
        table(["split", "sounds", "match", "right"], bins),
        "Prompts, on `validation`; `label` uses the best:",
        table(["prompt", "first", "in five"], prompts),
        f"Again: {LABELS_AGAIN}. Commit {report['git'][:7]}.",
    )


def which_moment(reports: list[Report]) -> str:
    """Events in long recordings, by distance; recordings among short files; two sounds in one sentence; short clips."""
    names = ["before" if "before" in report["file"] else "now" for report in reports]
    last = reports[-1]
    rows = [
        [
            distance,
            name,
            str(found["questions"]),
            *(percent(found[key]) for key in ("first", "first_five", "n_among_n")),
            f"{found['repeats']:.1f}",
            f"{found['begins_off_s']:.1f} / {found['ends_off_s']:.1f}",
        ]
        for distance in last["long"]
        for name, report in zip(names, reports, strict=True)
        for found in (report["long"][distance],)
    ]
    others = [
        [
            name,
            f"{among['median_rank']:.0f} of {among['files']:,}",
            percent(among["first_ten"]),
            percent(among["first_hundred"]),
            percent(mixes["first_ten"]),
            percent(mixes["above_both"]),
            percent(report["sure"]["auc_match"]),
            percent(short["mAP10"]),
            percent(short["R10"]),
        ]
        for name, report in zip(names, reports, strict=True)
        for among, mixes, short in ((report["among_short"]["all"], report["mixes"], report["short"]),)
    ]
    return joined(
        f"{last['hours']:g} hours of recordings, made of clips of the split `{last['split']}`: a bed (rain, surf, "
        "traffic ...) with events at known times, 18, 9 or 2 dB above it, the last as from far away. *Before* "
        f"(heads {reports[0]['fingerprint']}): hits are windows of ten seconds, scored by their means; *now*: events, "
        "scored by their best two seconds too. A hit "
        "is right where its best moment lies in an event of what was asked for. *First*: the first hit is; *five*: one "
        "of the first five; *N of N*: of N events (two or more), those among the first N hits; *repeats*: hits among "
        "the first ten that name an event again; *off*: median seconds by which begin and end are off. Again: "
        f"{MOMENTS_AGAIN}. {last['model']} ({last['fingerprint']}). {by_machine(last)}",
        table(["distance", "", "questions", "first", "five", "N of N", "repeats", "off"], rows),
        "*Rank*: the median place of a recording by its true event in a library of short files, without those that "
        "answer as well (the last place, where another moment of the recording is its best); *mix*: of "
        f"{last['mixes']['queries']} sentences that name two sounds, those with the mix of both among the first ten of "
        f"{last['mixes']['files']:,} files, and above each of its parts alone; *sure*: how often the best hit of a "
        "sound that is in a recording has a higher `match` than that of one which is not; *clips*: captions of short "
        "clips look for their own clip among the split's.",
        table(
            [
                "",
                "rank",
                "first 10",
                "first 100",
                "mix in 10",
                "mix above both",
                "sure",
                "clips: mAP@10",
                "R@10",
            ],
            others,
        ),
    )


def marks(reports: list[Report]) -> str:
    """Precision of the first ten hits before and after marks."""
    (report,) = reports
    rows = []
    for asked, shown in (("label", "the label"), ("category", "its category alone")):
        own = [row for row in report["rows"] if row["asked"] == asked]
        means = [percent(sum(row[num] for row in own) / len(own)) for num in ("0", "3", "5", "10")]
        rows.append([shown, str(len(own)), *means])
    seeds = ", ".join(map(str, report["seeds"]))
    return joined(
        "Hits marked right or wrong turn a query (`soundseek mark`, `--taught`). Precision of the first ten hits in "
        f"percent, `{report['model']}`, {report['files']:,} development clips, {report['labels']} labels. Seeds "
        f"{seeds} cut the recordings into two halves: the best hits of one half are marked by their labels (and the "
        "first right one, where there is none among them), the other half is searched. The model has learned from "
        "these clips' captions, so labels find more than among strangers; a category does not say the label, only the "
        "marks do.",
        table(["asked for", "searches", "no marks", "3 marks", "5 marks", "10 marks"], rows),
        f"Again: {MARKS_AGAIN}. Commit {report['commit']}.",
    )


def duplicates(reports: list[Report]) -> str:
    """How many copies are found, how many takes are taken for copies, and how fast."""
    (report,) = reports
    takes = report["takes"]
    rows = [
        [
            f"`{kind}`",
            str(each["pairs"]),
            percent(each["proposed"]),
            f"{each['lowest_tenth']:.2f}",
            percent(each["recognised"]),
            percent(each["recall"]),
        ]
        for kind, each in report["copies"].items()
    ]
    thresholds = [
        [f"{each['min_score']:.2f}", percent(each["recall"]), percent(each["precision"])]
        for each in report["thresholds"]
    ]
    words = (
        [
            "What the score is told as (`surety`), of those that reach the threshold:",
            table(
                ["surety", "copies", "takes"],
                [[word, str(each["copies"]), str(each["takes"])] for word, each in report["surety"].items()],
            ),
        ]
        if "surety" in report
        else []
    )
    rate = report["compared_pairs"] / report["compare_cpu_s"]
    return joined(
        f"`soundseek duplicates`: a hundred validation clips and {len(report['copies'])} copies of each. Proposed: the "
        f"vectors name the pair; recognised: the waveforms correlate by {report['min_score']:.2f} or more; found: "
        "both. `inside` is the clip between three others, `low_cut` without what lies below 1 kHz, `hum` at half the "
        "level with 100 Hz at a tenth of full scale. Takes are pairs of clips with one label in one set: of "
        f"{takes['pairs']} pairs {percent(takes['kept'])} % reach the threshold, the highest {takes['highest']:.2f}.",
        table(["copy", "pairs", "proposed", "lowest tenth", "recognised", "found"], rows),
        "Thresholds, over all copies and takes, whichever the vectors propose:",
        table(["least correlation", "recall", "precision"], thresholds),
        *words,
        f"One core proposes in {report['propose_cpu_s']:.1f} s for {report['files']} files, and compares {rate:.0f} "
        f"pairs a second, reading included. Again: {DUPLICATES_AGAIN}. Commit {report['git'][:7]}.",
    )


def how_sure(reports: list[Report]) -> str:
    """How far `match` can be trusted, and a reliability table."""
    (report,) = reports
    checked = report["checked_on"]
    rows = [
        [name, f"{each['calibration_error']:.3f}", percent(each["auc_hits"]), percent(each["auc_present"])]
        for name, each in checked.items()
    ]
    crossed = report.get("crossed", {"rows": {}, "collections": []})
    left_out = [
        [name, f"{each['calibration_error']:.3f}", percent(each["auc_hits"]), percent(each["auc_present"])]
        for name, each in crossed["rows"].items()
    ]
    unmet = ""
    if "unmet_files" in report:
        unmet = (
            f" and, by a model that was trained alike without them, on {report['unmet_files']} sounds of collections "
            "that it had not met"
        )
    (first, *_) = checked.values()
    bins = [[f"{probability:.2f}", f"{share:.2f}"] for probability, share in first["bins"]]
    return joined(
        f"`match` of {report['model']} ({report['fingerprint']}), fitted on `{report['fitted_on']}`{unmet}, seed "
        f"{report['seed']}. *Error*: expected calibration error. *Hits*: how often a right hit has a higher "
        "`match` than a wrong one. *Present*: how often the best hit of a query whose sound is in the library "
        "has a higher one than where all sounds of its label were taken out and its near neighbours stay: "
        "where such neighbours are, it is often wrong. What names several sounds are captions that do, and sentences "
        "made of two captions, for scenes of ten seconds to four minutes in which one sound happens while the other "
        f"lasts: right is what holds both. Again: {MATCH_AGAIN}. Measured: "
        f"{report['machine']}, commit {report['git']}.",
        table(["checked on", "error", "hits", "present"], rows),
        f"On {len(crossed['collections'])} collections that trunk and heads have not met, by heads of one seed: "
        "fitted without these, and with half of them for the other half (means of both ways). Again: "
        f"{MATCH_LEFT_OUT_AGAIN}.",
        table(["fitted on", "error", "hits", "present"], left_out),
        f"On `{next(iter(checked))}`, fifteenths of all hits: what was said, and the share that was right.",
        table(["match", "right"], bins),
    )


def how_it_sounds(reports: list[Report]) -> str:
    """A property a row, a model a column: how often the word puts the right one of a pair first."""
    (report,) = reports
    rows = [
        [
            each["name"],
            each["says"],
            ", ".join(words.format("X") for words in each["words"]),
            *(
                " / ".join(
                    percent(model["rows"][number][key])
                    for key in ("right", "read", "among", "label_alone", "visible")
                    if model["rows"][number].get(key) is not None
                )
                for model in report["models"]
            ),
        ]
        for number, each in enumerate(report["properties"])
    ]
    names = [f"{model['model']} ({model['fingerprint']})" for model in report["models"]]
    measured = [row for model in report["models"] for row in model["rows"]]
    pairs = max(row["pairs"] for row in measured)
    is_among = any(row.get("among") is not None for row in measured)
    among = " / so in a library of other sounds, the pairs among them" if is_among else ""
    return joined(
        f"Up to {pairs} clips of `{report['split']}` and a copy of each that differs in one property: how often a "
        "query with the word, about the clip's label X, puts the one first that it fits, searched for as typed / as it "
        f"is read, the sound and its manner apart{among} / how often the label alone does / how often one direction in "
        "the space of vectors does, the mean of the other pairs, which is what a "
        "word can do at most. Every recording is brought to one peak level before it is heard, so quiet and loud "
        f"cannot be told apart but by what lies around. Again: {HOW_IT_SOUNDS_AGAIN}. Commit {report['git'][:7]}.",
        table(["asked for", "made by", "queries", *names], rows),
    )


def tried(reports: list[Report]) -> str:
    """A table of things tried; the chosen row in bold."""
    (report,) = reports
    rows = [[number(cell) for cell in row] for row in report["rows"]]
    if report.get("chosen") is not None:
        rows[report["chosen"]] = [f"**{cell}**" if cell else "" for cell in rows[report["chosen"]]]
    return joined(report["says"], table(report["columns"], rows))


def query_kinds(reports: list[Report]) -> str:
    """One table a library: precision by kind of query, as typed and as read."""
    parts = [
        "Precision of the first ten hits (of fewer, where fewer sounds answer) in a library of labelled clips, by "
        "kind of query: searched for as typed, and as it is read. What answers a query was written by hand over the "
        "clips' labels. Most of the library are clips of `development`, whose labels' means the model remembers; of "
        f"the validation split, asked alone in the last column, it remembers nothing. Again: {QUERY_KINDS_AGAIN}."
    ]
    for report in reports:
        rows = [
            [row["kind"], str(row["queries"]), f"{row['typed']:.2f}", f"{row['read']:.2f}", _alone(row)]
            for row in report["rows"]
        ]
        parts += [
            f"{report['model']}, {report['files']:,} files. Reading a query takes {report['reading_ms']:.1f} ms on "
            f"average and {report['slowest_ms']:.0f} ms at most (processor time), the first one "
            f"{report['first_ms']:.0f} ms, with the loading of model and tables. {report.get('note', '')} "
            f"{former(report)}Commit "
            f"{report['commit']}, {report['machine']}.",
            table(["kind", "queries", "as typed", "read", "read, in validation alone (queries)"], rows),
        ]
    return joined(*parts)


def _alone(row: Mapping[str, Any]) -> str:
    """What the validation split alone gives, where a query has an answer there."""
    return f"{row['validation']:.2f} ({row['validation_queries']})" if row["validation"] is not None else ""


def said_to_be_missing(reports: list[Report]) -> str:
    """How often it is said that nothing sounds like the query, falsely and truly, by kind of query."""
    (report,) = reports
    rows = [
        [
            row["kind"],
            str(row["there"]),
            percent(row["false_nothing"]),
            percent(row["false_perhaps"]),
            str(row["missing"]),
            percent(row["true_nothing"]),
            percent(row["true_perhaps"]),
        ]
        for row in report["rows"]
    ]
    return joined(
        "A search says that *nothing* here sounds like that where its best hit has a `match` below "
        f"{report['nothing_below']}, and that *perhaps* nothing does where it is below {report['perhaps_below']} "
        "(before commit 99b3889 it said *nothing* in both cases). Shares of the queries, among the "
        f"{report['files']} clips of `{report['split']}` by their sounds alone: falsely, where sounds that answer are "
        "there, and truly, where all of them were taken out and near neighbours stay (what answers is told by labels; "
        f"words of names and tags keep a search from saying it). Again: {MISSING_AGAIN}. {report['model']} "
        f"({report['fingerprint']}), commit {report['commit']}, {report['machine']}.",
        table(["kind", "there", "nothing", "perhaps", "missing", "nothing", "perhaps"], rows),
    )


def one_of_two(reports: list[Report]) -> str:
    """How sure a search is of what holds one of two sounds that a sentence names, before and now."""
    told = dict(zip(("before", "now"), reports, strict=True))
    report = told["now"]
    rows = [
        [
            row["kind"],
            row["holds"],
            when,
            str(row["hits"]),
            percent(row["sure"]),
            percent(row["likely"]),
            f"{row['match']:.3f}",
        ]
        for row_of in zip(*(each["rows"] for each in reports), strict=True)
        for when, row in zip(told, row_of, strict=True)
    ]
    absent = [
        [row["kind"], when, str(row["queries"]), percent(row["sure"]), percent(row["likely"])]
        for row_of in zip(*(each["absent"] for each in reports), strict=True)
        for when, row in zip(told, row_of, strict=True)
    ]
    return joined(
        f"Sentences that name two sounds, asked of the {report['clips']} clips of `{report['split']}` and "
        f"{report['mixes']} mixes of two of them, by their sounds alone: captions of both parts of a mix, and pairs of "
        "plain words. Of the first ten hits, by what they hold, the shares that are called sure and likely, and the "
        "mean `match`; what a file holds is told by labels, so that some have more than is known. "
        f"Again: {ONE_OF_TWO_AGAIN}. {report['model']}, before {reports[0]['fingerprint']} at commit "
        f"{reports[0]['commit']}, now {report['fingerprint']} at commit {report['commit']}, {report['machine']}.",
        table(["asked", "a hit holds", "", "hits", "sure", "likely", "match"], rows),
        "The best hit where all files that hold both were taken out:",
        table(["asked", "", "queries", "sure", "likely"], absent),
    )


def names(reports: list[Report]) -> str:
    """What names add to the sound, by kind of query."""
    (report,) = reports
    ways = {"off": "sound alone", "auto": "sound and names", "only": "names alone"}
    rows = [
        [
            row["kind"],
            str(row["queries"]),
            *(str(row[way]) if row[way] > 1 else f"{row[way]:.2f}" for way in ways),
        ]
        for row in report["rows"]
    ]
    shares = ", ".join(f"{kind} {share:.0%}" for kind, share in report["shares"].items())
    return joined(
        f"Precision of the first ten hits (of fewer, where fewer sounds answer) in a library of {report['files']} "
        f"labelled clips, of which no model learned, under names as people give them: {shares}; *recorder* is a name "
        "such as ZOOM0746, *published* the one that the clip had where it came from, and plain words and shorthand are "
        "made of the labels, so that the first two rows say what well-kept names add, and not what a label is worth. "
        "The last row counts the names, typed as they stand, whose file is the first hit. `--keywords auto` is the "
        f"default for what stands here. Again: {NAMES_AGAIN}. Commit {report['commit']}, {report['machine']}.",
        table(["kind", "queries", *ways.values()], rows),
    )


def adapted(reports: list[Report]) -> str:
    """What `soundseek adapt` brings on collections that its start has not met, and what it costs elsewhere."""
    (report,) = reports
    rows = [
        [
            row["collection"],
            row["words"],
            str(row["clips"]),
            percent(row["before"]),
            percent(row["after"]),
            points(row["gain"]),
            *(f"{100 * row['change'][name]:+.1f}" for name in ("validation", "evaluation")),
            f"{row['cpu_s']:.1f}",
        ]
        for row in report["rows"]
    ]
    grid = "; ".join(
        f"{each['anchor']:g} and {each['share']:g}: {100 * each['gain']:+.1f} and {100 * each['validation']:+.1f}"
        for each in report["grid"]
    )
    time = report["thousand"]
    return joined(
        "mAP@10 of captions of held-out recordings, looked for among the held-out clips of their collection and the "
        "validation split, before and after `soundseek adapt` has learned from other recordings of the collection: "
        "from their captions, or from their labels alone. The start has met none of these collections. Mean over "
        f"{report['draws']} draws of a quarter that is held out, the gain with its 95 % interval over clips; then how "
        "the mAP@10 of whole splits changes, in points, and seconds of one core for the map. "
        f"Anchor ({report['anchor']:g}) and share ({report['share']:g}) were chosen on three other collections, by "
        f"gain and change of validation, in points: {grid}. The whole command took {time['cpu_s'] / 60:.1f} minutes "
        f"of one core for {time['clips']:,} clips of {time['audio_s'] / 3600:.1f} hours. Again: {ADAPT_AGAIN}.",
        table(
            ["collection", "from", "clips", "before", "after", "gain", "validation", "evaluation", "s"], rows
        ),
    )


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
            f"{says}. {former(report)}{measured(report)}",
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
        "by the paired bootstrap, bold where p < .05. `compact` is the first student of "
        f"[distillation.md](distillation.md), before it grew and tagged. Again: {QUESTION_AGAIN}."
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
            f"Again: {HEARD_AGAIN}. {former(report)}{measured(report)}",
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


def former(report: Report) -> str:
    """A sentence where a report is of an earlier model than the bundled one of that name; else nothing."""
    config = BUNDLED / report["model"] / "config.json"
    if "fingerprint" not in report or not config.is_file():
        return ""
    now = json.loads(config.read_text(encoding="utf-8"))["fingerprint"]
    if report["fingerprint"] == now:
        return ""
    return f"**Of the former {report['model']}** ({report['fingerprint']}), not the one that is bundled now ({now}). "


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


def panns(reports: list[Report]) -> str:
    """CNN14 and the log-mel beside PyTorch's."""
    parts = []
    for report in reports:
        against = {
            "cnn14_fp32": "panns_inference",
            "cnn14_int8": "panns_inference",
            "log_mel": "torchlibrosa",
        }
        names = {"cnn14_fp32": "CNN14, fp32", "cnn14_int8": "CNN14, int8", "log_mel": "log-mel"}
        rows = [
            [
                names[name],
                f"{1000 * report['median_s'][name]:.1f}",
                f"{other.replace('_', '-')}: {1000 * report['median_s'][other]:.1f}",
                f"{report['ratios'][name]:.2f}",
                f"{report['bars'][name]:g}",
            ]
            for name, other in against.items()
        ]
        parts += [
            f"{report['clip_s']:g} s of sound from samples to frames, log-mel included, in one process on "
            f"{report['threads']} thread, in turns, medians of {report['repeats']}. Least cosine of a frame with "
            f"PyTorch's: fp32 {report['cosine']['fp32']:.5f}, int8 {report['cosine']['int8']:.5f}. "
            "Again: `python benchmarks/panns.py`.",
            table(["", "ms", "PyTorch, ms", "times as fast", "wanted"], rows),
            f"Measured: commit {report['commit']}, {report['machine']['processor']}, "
            f"{report['machine']['cores']} cores; weights are random.",
        ]
    return joined(*parts)


def peers(reports: list[Report]) -> str:
    """Exported networks beside the code of others, from a file to its vector."""
    parts = []
    for report in reports:
        files = list(dict.fromkeys(file for each in report["contenders"].values() for file in each["cpu_s"]))
        rows, walls = (
            [
                [
                    name,
                    *(spread(values[kind][file]) if file in values[kind] else "" for file in files),
                    *last(values),
                ]
                for name, values in report["contenders"].items()
            ]
            for kind, last in (
                ("cpu_s", lambda values: [f"{values['memory_mb']:.0f}"]),
                ("wall_s", lambda values: []),
            )
        )
        ratios = [
            [ours, own, f"{ratio:.2f}", f"{report['bars'][ours]:g}" if ours in report["bars"] else ""]
            for ours, others in report["ratios"].items()
            for own, ratio in others.items()
        ]
        missing = "; ".join(f"{name}: {cell(problem)}" for name, problem in report["missing"].items())
        cosines = ", ".join(f"{name} {cosine:.5f}" for name, cosine in report["cosine"].items())
        parts += [
            "From a stereo file at 44.1 kHz to its vector, in milliseconds of processor time (quartiles in brackets), "
            f"each in a process of its own on one thread, in turns, medians of {report['repeats']}; weights are "
            "random. htsat is LAION's CLAP, exported; a file of 30 s is five windows for it, and one random window in "
            f"transformers' and laion-clap's code. Again: {PEERS_AGAIN}.",
            table(["", *files, "MB"], rows),
            "The same in milliseconds of wall time:",
            table(["", *files], walls),
            "Processor time for a window of what stands beside over that of the first, median of the files:",
            table(["", "beside", "times as fast", "wanted"], ratios),
            goals(report["contenders"], "10.mp3"),
            at_once(report.get("workers", [])),
            f"Least cosine with PyTorch: {cosines}." + (f" Left out, {missing}." if missing else ""),
            f"Measured: commit {report['commit']}, {report['machine']}, load {report['load_average'][0]:.1f}; "
            f"[the file](results/{quote(report['file'])}).",
        ]
    return joined(*parts)


def goals(contenders: dict[str, Report], file: str) -> str:
    """How many times as fast as others' code soundseek-small is wanted to be from mp3, and is."""
    wanted = {"laion-clap": 12, "panns-inference": 30}
    if not {"soundseek-small", *wanted} <= contenders.keys():
        return ""
    took = {name: contenders[name]["cpu_s"][file]["median"] for name in ("soundseek-small", *wanted)}
    own = took.pop("soundseek-small")
    each = " and ".join(
        f"{wanted[name]} times {name}, {1000 * seconds / wanted[name]:.0f} ms ({seconds / own:.1f} times reached)"
        for name, seconds in took.items()
    )
    return (
        f"Wanted of soundseek-small from mp3 (`{file}`): {each}. What the rest is made of stands under "
        '"Where the time goes": the codec and the network.'
    )


def at_once(measured: list[Report]) -> str:
    """What a second process brings."""
    lines = []
    for each in measured:
        ratio = each["times_as_fast"]
        lines.append(
            f"{each['processes']} processes of soundseek-small at once embed {ratio['median']:.2f} times as many files "
            f"in a second as one ({ratio['low']:.2f} to {ratio['high']:.2f}; commit {each['commit']}, load "
            f"{each['load_average'][0]:.1f})."
        )
        if "cpu_s_over_alone" in each:
            cpu = each["cpu_s_over_alone"]
            lines.append(
                f"A file takes each of them {cpu['median']:.2f} times the processor time that it takes one alone "
                f"({cpu['low']:.2f} to {cpu['high']:.2f})."
            )
    return " ".join(lines)


def stages(reports: list[Report]) -> str:
    """Where the time goes from a file to its vectors, and the floor of each stage."""
    parts = []
    for name, report in reports[0].items() if reports else ():
        if name == "file":
            continue
        rows = [
            [
                stage,
                f"{times['median']:.2f}",
                f"{times['low']:.2f} to {times['high']:.2f}",
                f"{report['floor_ms'][stage]:.2f}" if stage in report["floor_ms"] else "its own",
            ]
            for stage, times in report["cpu_ms"].items()
        ]
        whole = ", ".join(f"{kind} {value:.0f} ms" for kind, value in report["whole_ms"].items())
        parts += [
            f"{name}, {report['seconds']} s of stereo sound at 44.1 kHz, milliseconds of processor time on one thread, "
            f"medians of {report['repeats']} in turns. In `wav-alike` the channels are nearly the same, in the others "
            "they are independent noise, and mixed in quadrature; `wav-ready` is mono at the model's rate. A floor is "
            "the bytes of a stage at the rate at which memory is copied, or its operations at that of a large matrix "
            "product. "
            f"Again: {STAGES_AGAIN}.",
            table(["stage", "ms", "quartiles", "floor"], rows),
            f"Together: {whole}. {without_network(report)} Measured: commit {report['commit']}, {report['machine']}.",
        ]
        if "tried_ms" in report:
            ways = [
                [way, f"{times['median']:.2f}", f"{times['low']:.2f} to {times['high']:.2f}"]
                for way, times in report["tried_ms"].items()
            ]
            parts += [
                "What else a stage could be, in the same turns:",
                table(["way", "ms", "quartiles"], ways),
            ]
    return joined(*parts)


def without_network(report: Report) -> str:
    """How fast a model with this front end could be at most, and what 1,000 times real time leaves its network."""
    network = report["cpu_ms"]["network all"]["median"]
    least = {kind: value - network for kind, value in report["whole_ms"].items()}
    speeds = ", ".join(f"{kind} {1000 * report['seconds'] / value:,.0f}" for kind, value in least.items())
    left = [
        f"{report['seconds'] - value:.1f} ms of {kind}"
        for kind, value in least.items()
        if value < report["seconds"]
    ]
    return (
        f"With a network that costs nothing, times real time: {speeds}. For 1,000 times, it may take "
        f"{', '.join(left) or 'less than nothing of any of them'}."
    )


def spread(seconds: Report) -> str:
    """Milliseconds: the median, and the quartiles."""
    median, low, high = (1000 * seconds[key] for key in ("median", "low", "high"))
    return f"{median:.0f} ({low:.0f} to {high:.0f})"


def two_stages(reports: list[Report]) -> str:
    """What a second model brings that ranks what a first one proposes."""
    parts = []
    for report in reports:
        rows = [
            [name, *(percent(row[metric]) for metric in METRICS), points(row["difference"])]
            for name, row in report["rows"].items()
        ]
        costs = ", ".join(f"{name} {1000 * cost:.0f} ms" for name, cost in report["cpu_s_a_clip"].items())
        parts += [
            f"{report['second']} ranks what {report['first']} proposes, {report['num_captions']:,} captions of "
            f"{report['num_clips']:,} clips, split `{report['split']}`; the difference is of mAP@10 to "
            f"{report['first']} alone, with its 95 % interval. Again: {TWO_STAGES_AGAIN}.",
            table(["", *METRICS.values(), "difference"], rows),
            f"Embedding a clip anew costs {costs} of processor time; with stored vectors nothing is embedded.",
            by_machine(report),
        ]
    return joined(*parts)


def heads_on_cache(reports: list[Report]) -> str:
    """Steps on cached frames, the evaluation of Clotho, graph attention's memory."""
    parts = []
    for report in reports:
        captions, clips, dim = report["evaluation_shape"]
        memory = report["graph_attention_peak_mb"]
        pairs = report["pairwise_tensor_mb"]
        parts += [
            f"A step of self-attention's heads on {report['batch']} cached clips: "
            f"{report['cached_steps_per_s']:.1f} a second, {report['cached_times_as_fast']:.1f} times as many as when "
            f"each step decodes and embeds its clips ({report['embedding_steps_per_s']:.1f}). Ranking {captions:,} "
            f"captions against {clips:,} clips at {dim:,} dimensions, with all metrics and intervals: "
            f"{report['evaluation_s']:.2f} s. Graph attention, forward and backward, at the most, for "
            f"{report['graph_attention_frames'][0]} clips of {report['graph_attention_frames'][1]} frames, beside the "
            f"tensor of all pairs of frames that it does without. Again: {HEADS_AGAIN}.",
            table(
                ["D_A", "MB", "all pairs, MB"],
                [[width, f"{memory[width]:g}", f"{pairs[width]:g}"] for width in memory],
            ),
            by_machine(report),
        ]
    return joined(*parts)


def chunked(reports: list[Report]) -> str:
    """Memory and time of a contrastive step in chunks."""
    parts = []
    for report in reports:
        rows = [
            [
                str(row["clips_a_chunk"]) + (" (whole)" if row["clips_a_chunk"] == report["batch"] else ""),
                f"{row['peak_mb'] - row['before_mb']:,}",
                f"{row['step_s']:.1f}",
            ]
            for row in report["rows"]
        ]
        parts += [
            f"A contrastive step of CNN14 on {report['batch']} clips of {report['seconds']:g} s, at once or in chunks; "
            f"loss and gradient are the same in all. Again: {CHUNKED_AGAIN}.",
            table(["clips a chunk", "MB above weights and data", "s a step"], rows),
            by_machine(report),
        ]
    return joined(*parts)


def data_loading(reports: list[Report]) -> str:
    """Samples decoded every time, or read from the cache."""
    parts = []
    for report in reports:
        rows = [
            ["decoded as it lies there", f"{report['decode_ms']:.2f}"],
            ["decoded from a 44.1 kHz wav", f"{report['decode_wav_44100_ms']:.2f}"],
            ["read from the memory-mapped cache", f"{report['cache_ms']:.3f}"],
            ["read, and its log-mel", f"{report['cache_and_logmel_ms']:.2f}"],
        ]
        live = "; ".join(
            f"{workers} worker{'s' if workers > 1 else ''} {report[f'live_{workers}_workers_clips_per_s']:.0f} "
            f"({100 * report[f'live_{workers}_workers_waiting_share']:.0f} %)"
            for workers in (1, 2)
        )
        parts += [
            f"A clip's samples, {report['mean_duration_s']:.1f} s on average. Again: {LOADING_AGAIN}.",
            table(["", "ms a clip"], rows),
            "Log-mels for a trunk in the loop, clips a second, and how much of its time a trainer waits that "
            f"needs 1.25 times as long for a clip: {live}.",
            by_machine(report),
        ]
    return joined(*parts)


def by_machine(report: Report) -> str:
    """Of a file of `benchmarks/`."""
    return f"Measured: commit {report['commit']}, {report['machine']}."


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
