"""`soundseek calibrate`: what it is given, before anything is computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Say = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("option", "value"), [("--unmet", "soundseek-small"), ("--unmet-files", "left-out.txt")]
)
def test_a_model_and_what_it_has_not_met_belong_together(
    tmp_path: Path, say: Say, option: str, value: str
) -> None:
    for split in ("validation", "development"):
        (tmp_path / split).mkdir()
        (tmp_path / f"captions_{split}.csv").write_text("file_name,caption_1\n")
    code, _, says = say("calibrate", "soundseek-small", "--data", str(tmp_path), option, value)
    assert code == 2
    assert "--unmet MODEL and --unmet-files FILE belong together" in " ".join(says.split())
