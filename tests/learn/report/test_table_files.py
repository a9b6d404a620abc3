"""Table I as files: the numbers of answers made by hand, and what LaTeX would read as a command."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from soundseek.learn.evaluation.rankings import Answers
from soundseek.learn.recipe.load import Recipe
from soundseek.learn.report.summary import FinishedModel, FinishedRun, systems_of
from soundseek.learn.report.table_files import (
    latex_escaped,
    table_one_csv,
    table_one_json,
    table_one_latex,
    table_one_records,
)


def answers(*rank: int) -> Answers:
    """Captions of four sounds, two each."""
    ranks, own = np.array(rank), np.array([0, 0, 1, 1, 2, 2, 3, 3])
    names = np.array(["a.wav", "b.wav", "c.wav", "d.wav"])
    return Answers(names, np.array([f"caption {n}" for n in range(8)]), own, ranks, own, np.zeros(8))


def run(name: str, seed: int, *rank: int) -> FinishedRun:
    return FinishedRun(Recipe(name=name, seed=seed), answers(*rank), [], {}, {})


RECORDS = table_one_records(
    systems_of(
        [
            run("cnn14", 0, 1, 1, 2, 4, 1, 4, 1, 4),
            run("cnn14", 1, 1, 2, 2, 4, 2, 4, 1, 4),
            run("50%_more & co", 0, 1, 1, 1, 1, 1, 2, 1, 1),
        ]
    ),
    [FinishedModel("laion_clap", "f00", answers(1, 1, 6, 11, 11, 11, 11, 11))],
)


def test_the_records_hold_the_numbers_in_percent() -> None:
    cnn14, mine, clap = RECORDS
    assert (cnn14["name"], cnn14["seeds"]) == ("cnn14", 2)
    assert (cnn14["R1"], cnn14["R1_std"], cnn14["R1_paper"]) == (37.5, 17.68, 13.7)  # 50 and 25 %, over n - 1
    assert cnn14["R1_low"] < 37.5 < cnn14["R1_high"]
    assert (mine["seeds"], mine["R1"], mine["mAP10"], mine["R1_std"], mine["R1_paper"]) == (
        1,
        87.5,
        93.75,
        None,
        None,
    )
    assert (clap["seeds"], clap["R1"], clap["R5"], clap["R10"], clap["R1_std"]) == (
        None,
        25.0,
        25.0,
        37.5,
        None,
    )
    assert set(cnn14) == set(mine) == set(clap)


def test_csv_and_json_come_back_as_the_records() -> None:
    assert json.loads(table_one_json(RECORDS)) == RECORDS
    rows = list(csv.DictReader(io.StringIO(table_one_csv(RECORDS))))
    assert [row["name"] for row in rows] == ["cnn14", "50%_more & co", "laion_clap"]
    for row, record in zip(rows, RECORDS, strict=True):
        assert {key: value or None for key, value in row.items()} == {
            key: None if value is None else str(value) for key, value in record.items()
        }


def test_the_latex_table_has_the_best_bold_and_names_escaped() -> None:
    assert table_one_latex(RECORDS).splitlines() == [
        r"\begin{tabular}{lrrrrrrrr}",
        r"\toprule",
        r"& \multicolumn{2}{c}{R@1} & \multicolumn{2}{c}{R@5} & \multicolumn{2}{c}{R@10} & "
        r"\multicolumn{2}{c}{mAP@10} \\",
        r"\cmidrule(lr){2-3} \cmidrule(lr){4-5} \cmidrule(lr){6-7} \cmidrule(lr){8-9}",
        r"recipe & paper & ours & paper & ours & paper & ours & paper & ours \\",
        r"\midrule",
        r"cnn14 & 13.7 & 37.5 $\pm$ 17.7 & 35.6 & \textbf{100.0} $\pm$ 0.0 & 48.7 & \textbf{100.0} $\pm$ 0.0 & 23.2 & "
        r"59.4 $\pm$ 8.8 \\",
        r"50\%\_more \& co & -- & \textbf{87.5} & -- & \textbf{100.0} & -- & \textbf{100.0} & -- & \textbf{93.8} \\",
        r"\midrule",
        r"laion\_clap & -- & 25.0 & -- & 25.0 & -- & 37.5 & -- & 27.1 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("self-attention", "self-attention"),
        (r"a_b%c&d$e#f{g}", r"a\_b\%c\&d\$e\#f\{g\}"),
        ("C:\\x~y^z", r"C:\textbackslash{}x\textasciitilde{}y\textasciicircum{}z"),
    ],
)
def test_what_latex_reads_as_a_command_is_escaped(text: str, escaped: str) -> None:
    assert latex_escaped(text) == escaped
