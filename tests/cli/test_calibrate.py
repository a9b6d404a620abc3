"""`soundseek calibrate`: what it is given, and what a model of one's own has afterwards."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tones import write_tone
from toy_model import make_toy_model

from soundseek._vectors import unit_rows
from soundseek.errors import ModelError
from soundseek.model.manners import MANNERS_FILE
from soundseek.model.model import Model

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


def test_a_model_of_ones_own_remembers_its_own_sounds_and_says_how_sure_it_is(
    tmp_path: Path, say: Say
) -> None:
    """End to end: 6 labelled tones to remember, 40 to ask for."""
    for split, number in (("development", 6), ("validation", 40)):
        (tmp_path / split).mkdir()
        rows = [("file_name", "caption_1")]
        for each in range(number):
            write_tone(tmp_path / split / f"{split}{each}.wav", frequency_hz=200 + 90 * each, duration_s=0.3)
            rows.append((f"{split}{each}.wav", f"tone number {each}"))
        with (tmp_path / f"captions_{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        labels = [(f"development{each}.wav", "low" if each < 4 else "high") for each in range(6)]
        csv.writer(file).writerows([("file_name", "label"), *labels])
    own = make_toy_model(tmp_path / "own")
    code, out, _ = say("calibrate", str(own), "--data", str(tmp_path), "--json")
    assert code == 0 and json.loads(out)["remembered"] == 2
    model = Model(own)
    assert model.memory is not None and model.match is not None and model.match.is_of_memory
    vectors = [
        model.embed_file(tmp_path / "development" / f"development{each}.wav").frames.mean(
            axis=0, dtype=np.float32
        )
        for each in range(6)
    ]
    kinds = [unit_rows(np.array(part)).sum(axis=0) for part in (vectors[4:], vectors[:4])]  # by name
    np.testing.assert_allclose(model.memory.sounds, unit_rows(np.array(kinds)), atol=0.01)
    assert (own / MANNERS_FILE).is_file()
    assert model.memory.heard_by == model.match.heard_by == model.fingerprint
    # Another model's memory is refused, and replaced by its own.
    other = make_toy_model(tmp_path / "other", seed=9)
    for name in ("memory.npz", "match.npz", "manners.npz"):
        shutil.copyfile(own / name, other / name)
    refusing = Model(other)
    for kept in ("memory", "match", "manners"):
        with pytest.raises(ModelError, match=f"is of the model {model.fingerprint}, and this directory's is"):
            getattr(refusing, kept)
    assert say("calibrate", str(other), "--data", str(tmp_path))[0] == 0
    mine = Model(other).memory
    assert mine is not None and np.abs(mine.sounds - model.memory.sounds).max() > 0.05
