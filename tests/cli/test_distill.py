"""What `soundseek distill` asks of a run; the run itself is tested in tests/learn/distill."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch")

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.mark.parametrize(
    ("device", "start", "norms_frozen_at", "learning_rate"),
    [("cuda", False, 0.7, 3e-3), ("cuda", True, 0.0, 1.5e-3), ("cpu", True, 0.7, 2e-3)],
)
def test_a_gpu_goes_on_from_a_trunk_with_the_statistics_that_it_has(
    device: str,
    start: bool,
    norms_frozen_at: float,
    learning_rate: float,
    soundseek: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from soundseek.learn import distill as package

    asked = []
    monkeypatch.setattr(package, "find_device", lambda wanted: wanted)
    monkeypatch.setattr(
        package, "distill", lambda teacher, train, yardsticks, out, config: asked.append(config)
    )
    noise = np.random.default_rng(0).normal(0, 0.1, 3200)
    (tmp_path / "sounds").mkdir()
    soundfile.write(tmp_path / "sounds" / "noise.wav", noise, 32_000)
    for name in ("teacher.pt", "trunk.safetensors"):
        (tmp_path / name).touch()
    going_on = ["--start", tmp_path / "trunk.safetensors"] if start else []

    done = soundseek(
        "distill", "--teacher", tmp_path / "teacher.pt", "--data", tmp_path / "sounds", "--out", tmp_path / "run",
        "--device", device, *going_on,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert [(config.norms_frozen_at, config.learning_rate) for config in asked] == [
        (norms_frozen_at, learning_rate)
    ]


def test_a_tiny_student_takes_a_model_to_learn_from(
    soundseek: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from soundseek.learn import distill as package
    from soundseek.learn.models.audio.compact import SOUNDSEEK_TINY

    asked = []
    monkeypatch.setattr(
        package, "distill", lambda teacher, train, yardsticks, out, config: asked.append((teacher, config))
    )
    (tmp_path / "sounds").mkdir()
    soundfile.write(tmp_path / "sounds" / "noise.wav", np.full(3200, 0.1), 32_000)
    common = ["--data", tmp_path / "sounds", "--out", tmp_path / "run", "--device", "cpu"]
    done = soundseek("distill", "--teacher", "soundseek-small", "--student", "tiny", *common)
    assert done.returncode == 0, done.stderr
    [(teacher, config)] = asked
    assert (teacher / "audio.onnx").is_file() and config.trunk == SOUNDSEEK_TINY
    assert (config.retrieval_weight, config.norms_frozen_at) == (2.0, 0.0)

    refused = soundseek("distill", "--teacher", "soundseek-small", *common)
    assert refused.returncode == 2 and b"soundseek-small is a folder; --student small takes" in refused.stderr
    unknown = soundseek("distill", "--teacher", "soundseek-small", "--student", "huge", *common)
    assert unknown.returncode == 2 and b"--student huge is not allowed" in unknown.stderr
