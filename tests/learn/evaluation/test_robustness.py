"""The robustness table on a toy data set: what a user would get, one change at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from toy_learning import TONES_HZ, make_toy_data
from toy_model import make_toy_model

from soundseek.audio.decode import read_audio
from soundseek.learn.datasets.layout import read_split
from soundseek.learn.evaluation.corruptions import DEGRADATIONS, Degradation, quieter, unchanged
from soundseek.learn.evaluation.evaluate import evaluate
from soundseek.learn.evaluation.query_variants import REWORDINGS, Rewording
from soundseek.learn.evaluation.robustness import reworded, robustness, write_degraded
from soundseek.model.model import Model
from soundseek.model.spelling import Spelling, write_words


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_data(tmp_path_factory.mktemp("toy") / "data")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_model(tmp_path_factory.mktemp("model") / "toy")


class Listening:
    """Knows a tone by its strongest frequency and a caption by its name; hears nothing quieter than -40 dBFS."""

    def embed_audio(self, paths: Sequence[Path]) -> np.ndarray:
        return np.stack([self._heard(read_audio(path, sample_rate_hz=16_000)) for path in paths])

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        names = list(TONES_HZ)
        longest_first = sorted(names, key=len, reverse=True)  # "tone" is also in "low tone"
        rows = [
            next((names.index(name) for name in longest_first if name in text), len(names)) for text in texts
        ]
        return np.eye(len(names) + 1, dtype=np.float32)[rows]

    def _heard(self, waveform: np.ndarray) -> np.ndarray:
        row = len(TONES_HZ)
        if np.abs(waveform).max() > 0.01:
            frequency_hz = np.abs(np.fft.rfft(waveform)).argmax() * 16_000 / len(waveform)
            row = int(np.argmin([abs(frequency_hz - each) for each in TONES_HZ.values()]))
        return np.eye(len(TONES_HZ) + 1, dtype=np.float32)[row]


def test_what_is_not_heard_is_not_found_and_the_rest_is_as_before(data: Path) -> None:
    report = robustness(
        Listening(),
        data,
        "validation",
        degradations=[
            Degradation("the same", "", unchanged),
            Degradation("silent", "", quieter(-60)),
        ],
        rewordings=[
            Rewording("shouted", "", lambda query, generator: query.upper()),
            Rewording("the same", "", lambda query, generator: query),
        ],
    )
    plain, same, silent, shouted, same_words = report.rows
    assert (plain.name, plain.mAP10.value, plain.changed, plain.difference) == ("as is", 1.0, 0.0, None)
    for row in (same, same_words):
        assert (row.mAP10.value, row.R10.value, row.changed) == (1.0, 1.0, 0.0)
        assert row.difference is not None and row.difference.difference.value == 0
    for row in (silent, shouted):
        assert row.mAP10.value < 0.5 and row.changed == 1.0
        assert row.difference is not None
        assert row.difference.difference.value == pytest.approx(row.mAP10.value - 1)


def test_as_is_is_what_evaluate_measures_and_two_runs_agree(data: Path, model: Path) -> None:
    toy = Model(model)
    report = robustness(toy, data, "validation", seed=3)
    assert [row.name for row in report.rows[1:]] == [each.name for each in (*DEGRADATIONS, *REWORDINGS)]
    assert report.rows[0].mAP10 == evaluate(toy, data, "validation").text_to_audio.mAP10
    assert robustness(toy, data, "validation", seed=3) == report


def test_a_typing_error_is_asked_as_it_is_and_as_a_search_corrects_it(data: Path, tmp_path: Path) -> None:
    lettered = make_toy_model(tmp_path / "toy")
    captions = [caption for clip in read_split(data, "validation") for caption in clip.captions]
    write_words(lettered, captions)
    typing = [each for each in REWORDINGS if each.is_misspelt]
    assert [each.name for each in typing] == ["a typing error"]
    report = robustness(Model(lettered), data, "validation", degradations=[], rewordings=typing)
    plain, typed, corrected = report.rows
    assert (typed.name, corrected.name) == ("a typing error", "a typing error, corrected")
    asked = reworded(captions, typing[0], seed=0)
    spelling = Spelling.of(Model(lettered))
    left = [spelling.corrected(a) != b for a, b in zip(asked, captions, strict=True)]
    assert corrected.changed == pytest.approx(np.mean(left)) and corrected.changed < typed.changed / 2
    assert corrected.difference is not None and plain.difference is None
    assert "as a search reads them" in corrected.says


@pytest.mark.parametrize("degradation", DEGRADATIONS, ids=lambda each: each.name)
def test_a_degraded_copy_is_a_file_that_can_be_heard(
    degradation: Degradation, data: Path, tmp_path: Path
) -> None:
    clip = read_split(data, "validation")[0].path
    generator = np.random.default_rng(0)
    path, differs = write_degraded(clip, degradation, tmp_path / "x.y", generator)
    assert path.name == f"x.y{degradation.suffix}"
    heard, own = (read_audio(each, sample_rate_hz=16_000) for each in (path, clip))
    assert len(heard) > 0.5 * min(len(own), 2 * 16_000)
    speed = {"speed 0.9": 0.9, "speed 1.1": 1.1}.get(degradation.name, 0)
    if speed:
        assert len(heard) == pytest.approx(len(own) / speed, rel=0.01)
    assert differs == (degradation.name not in ("first 2 s", "last 2 s") or len(own) > 2 * 16_000)


def test_a_typing_error_belongs_to_its_caption() -> None:
    typo = REWORDINGS[-1]
    assert reworded(["rain falls", "rain falls"], typo, seed=0) == reworded(["rain falls"] * 2, typo, seed=0)
    assert len(set(reworded(["thunder"] * 20, typo, seed=0))) > 5


def test_the_command_writes_the_machine_the_seed_and_the_commit(data: Path, model: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "soundseek",
        "robustness",
        model,
        "--data",
        data,
        "--split",
        "validation",
    ]
    run = subprocess.run([*command, "--seed", "5", "--json"], capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr
    written = json.loads(run.stdout)
    assert (written["model"], written["seed"], written["data"]) == ("toy", 5, data.name)
    assert written["machine"]["cores"] and "git" in written and "/" not in written["data"]
    assert len(written["rows"]) == 1 + len(DEGRADATIONS) + len(REWORDINGS)
    assert run.stderr.count("mAP@10") == len(written["rows"])
