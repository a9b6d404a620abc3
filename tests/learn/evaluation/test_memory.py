"""What is remembered of a split: of each label the mean of its clips, by hand."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from soundseek.audio.decode import AudioInfo
from soundseek.audio.segments import Segment
from soundseek.errors import DataError
from soundseek.learn.evaluation import memory
from soundseek.learn.evaluation.memory import Remembering, remember
from soundseek.model.memory import SoundMemory
from soundseek.model.model import AudioEmbedding

VECTORS = {"bark": [2.0, 0, 0], "yap": [0, 3.0, 0], "rain": [0, 0, 1.0], "gong": [0, -1.0, 0]}
LABELS = {"bark": "dog", "yap": "dog", "rain": "rain"}  # the gong has none


class Toy:
    """A clip sounds as its name says, all the time."""

    def embed_file(self, path: Path) -> AudioEmbedding:
        frames = np.tile(np.float16(VECTORS[path.stem]), (2, 1))
        info = AudioInfo(str(path), "WAV", 8000, 1, 2.0)
        return AudioEmbedding(
            info, (Segment(0.0, 2.0),), np.float32(frames[:1]), frames, np.array([[0, 2]]), frame_s=1.0
        )

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        return np.tile(np.float32([1, 0, 0]), (len(texts), 1))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "development").mkdir()
    for name in VECTORS:
        (tmp_path / "development" / f"{name}.wav").write_bytes(b"")
    with (tmp_path / "captions_development.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file_name", "caption_1"), *((f"{n}.wav", n) for n in VECTORS)])
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("file_name", "label"), *((f"{name}.wav", label) for name, label in LABELS.items())]
        )
    return tmp_path


def remembered(found: SoundMemory) -> list[list[float]]:
    return sorted([round(value, 3) for value in row] for row in found.sounds.tolist())


def test_a_label_is_the_mean_of_its_clips_and_a_clip_without_one_is_its_own(data: Path) -> None:
    half = 0.707
    assert remembered(remember(Toy(), data, split="development")) == [[0, -1, 0], [0, 0, 1], [half, half, 0]]


def test_clips_that_were_not_met_are_not_remembered(data: Path) -> None:
    assert remembered(remember(Toy(), data, split="development", leave_out={"yap.wav", "rain.wav"})) == [
        [0, -1, 0], [1, 0, 0],
    ]  # fmt: skip
    with pytest.raises(DataError, match="split development has no clip to remember"):
        remember(Toy(), data, split="development", leave_out={f"{name}.wav" for name in VECTORS})


def test_of_too_many_kinds_those_with_most_clips_are_kept(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MOST_KINDS", 1)
    half = 0.707
    assert remembered(remember(Toy(), data, split="development")) == [[half, half, 0]]


def test_a_model_with_another_memory_embeds_as_it_does(data: Path) -> None:
    known = remember(Toy(), data, split="development")
    model = Remembering(Toy(), known)
    assert model.memory is known
    np.testing.assert_array_equal(model.embed_text(["a"]), Toy().embed_text(["a"]))
    path = data / "development" / "bark.wav"
    np.testing.assert_array_equal(model.embed_file(path).frames, Toy().embed_file(path).frames)
