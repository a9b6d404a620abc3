"""`scripts/heads_yardstick.py` on a toy world of four kinds of sound."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from soundseek.learn.datasets.layout import Clip

SCRIPT = Path(__file__).parents[1] / "scripts" / "heads_yardstick.py"


@pytest.fixture(scope="module")
def yardstick() -> ModuleType:
    spec = spec_from_file_location("heads_yardstick", SCRIPT)
    assert spec and spec.loader
    module = module_from_spec(spec)
    sys.modules["heads_yardstick"] = module  # its dataclasses look their types up
    spec.loader.exec_module(module)
    return module


class ToyRun:
    """Hears kind `k` of `k-n.wav` on axis k; takes each word for the kind that it is told."""

    def __init__(self, said: dict[str, int]) -> None:
        self.said = said

    def embed_audio(self, paths: Sequence[Path]) -> np.ndarray:
        return np.eye(4, dtype=np.float32)[[int(path.stem.split("-")[0]) for path in paths]]

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        return np.eye(4, dtype=np.float32)[[self.said[text.removeprefix("the sound of ")] for text in texts]]


def clip(name: str, *captions: str) -> Clip:
    return Clip(Path(name), captions)


def same(words: np.ndarray) -> np.ndarray:
    return words


def test_captions_look_for_their_clips_and_clips_are_named(yardstick: ModuleType) -> None:
    clips = [clip("0-a.wav", "dog", "bark"), clip("1-a.wav", "rain"), clip("2-a.wav", "bell")]
    model = yardstick.SideBySide([ToyRun({"dog": 0, "bark": 0, "rain": 1, "bell": 1})])
    asked = yardstick.Questions.of_captions(clips)
    assert list(asked.owners) == [0, 0, 1, 2]
    found = asked.scores(model, same)
    assert found["questions"] == 4 and found["R10"] == 1.0
    assert found["mAP10"] == pytest.approx(
        (1 + 1 + 1 + 1 / 3) / 4
    )  # the bell is behind the rain, and the dog
    assert yardstick.named(model, same, clips, ["dog", "rain", "bell"]) == pytest.approx(2 / 3)
    # What is known of sounds turns a word: with the bell's own sound in place of its word it is found.
    turned = yardstick.named(
        model, lambda words: np.eye(4, dtype=np.float32)[[2, 0, 1]], clips, ["dog", "rain", "bell"]
    )
    assert turned == 1.0


def test_runs_side_by_side_score_the_mean_of_their_scores(yardstick: ModuleType) -> None:
    one, two = ToyRun({"dog": 0}), ToyRun({"dog": 1})
    both = yardstick.SideBySide([one, two])
    scores = (
        both.embed_text(["dog"]) @ both.embed_audio([clip("0-a.wav"), clip("1-a.wav"), clip("2-a.wav")]).T
    )
    np.testing.assert_allclose(scores, [[0.5, 0.5, 0.0]], atol=1e-6)


def test_of_each_kind_the_mean_is_remembered_of_the_commonest_first(
    yardstick: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "metadata.csv").write_text("file_name,label\n0-a.wav,dog\n1-a.wav,dog\n2-a.wav,bell\n")
    (tmp_path / "development").mkdir()
    clips = [clip(str(tmp_path / "development" / name)) for name in ("0-a.wav", "1-a.wav", "2-a.wav")]
    model = yardstick.SideBySide([ToyRun({})])
    dog, bell = np.float32([0.5**0.5, 0.5**0.5, 0, 0]), np.float32([0, 0, 1, 0])
    np.testing.assert_allclose(yardstick.kinds(model, tmp_path, clips), [dog, bell], atol=1e-6)
    monkeypatch.setattr(yardstick, "MOST_KINDS", 1)
    np.testing.assert_allclose(yardstick.kinds(model, tmp_path, clips), [dog], atol=1e-6)
