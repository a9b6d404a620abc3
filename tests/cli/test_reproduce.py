"""`soundseek reproduce`: Table I as it is printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soundseek.learn.evaluation.rankings import METRICS
from soundseek.learn.report import table_files

Say = Callable[..., tuple[int, str, str]]
NUMBERS = {"": 12.34, "_std": 0.5, "_low": 10.0, "_high": 14.0, "_paper": None}
RECORD: dict[str, Any] = {"name": "a_b", "seeds": 2} | {
    f"{metric}{suffix}": value for metric in METRICS for suffix, value in NUMBERS.items()
}


@pytest.fixture
def reproduced(say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """What `soundseek reproduce` with one more option prints, where nothing is trained."""
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "captions_evaluation.csv").write_text("file_name,caption_1\n")

    def run(names: list[str], data: Path, out: Path, **options: Any) -> Path:
        out.mkdir(exist_ok=True)
        (out / table_files.CSV_FILE).write_text(table_files.table_one_csv([RECORD]))
        (out / table_files.JSON_FILE).write_text(table_files.table_one_json([RECORD]))
        (out / table_files.LATEX_FILE).write_text(table_files.table_one_latex([RECORD]))
        return out / "report.md"

    monkeypatch.setattr("soundseek.learn.experiments.reproduce.reproduce", run)

    def printed(*option: str) -> str:
        code, out, error = say(
            "reproduce", "--data", str(tmp_path), "--out", str(tmp_path / "report"), *option
        )
        assert code == 0 and "done: " in error
        return out

    return printed


def test_table_one_is_printed_in_the_form_that_is_asked_for(reproduced: Callable[..., str]) -> None:
    assert json.loads(reproduced()) == RECORD == json.loads(reproduced("--json"))
    assert reproduced("--csv").splitlines()[1].startswith("a_b,2,12.34,0.5,10.0,14.0,,12.34")
    assert r"a\_b & -- & \textbf{12.3} $\pm$ 0.5" in reproduced("--latex")
    table = reproduced("--table")
    assert [line.split()[:4] for line in table.splitlines() if "a_b" in line] == [["a_b", "–", "12.3", "±"]]
