"""`soundseek evaluate`: what is said of a model that cannot be measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tones import write_tone

from soundseek.cli import evaluate as command
from soundseek.errors import ModelError


class Diverged:
    """An embedder whose weights are no numbers."""

    def embed_audio(self, paths: Sequence[Path]) -> np.ndarray:
        return np.full((len(paths), 4), np.nan, np.float32)

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        return np.full((len(texts), 4), 0.5, np.float32)


def test_a_diverged_model_is_named_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evaluation").mkdir()
    write_tone(tmp_path / "evaluation" / "a.wav", frequency_hz=440, duration_s=0.1)
    (tmp_path / "captions_evaluation.csv").write_text("file_name,caption_1\na.wav,a tone\n")
    monkeypatch.setattr(command, "_embedder", lambda model: Diverged())
    with pytest.raises(ModelError, match=r"my-run gives vectors that are not finite.*learning_rate"):
        command.evaluate_command(["my-run"], data=tmp_path, split="evaluation", json=True)
