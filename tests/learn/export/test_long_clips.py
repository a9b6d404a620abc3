"""A run and its exported model embed clips of any length alike, also where a frame depends on the whole clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from toy_learning import toy_recipe

from soundseek._typing import FloatArray
from soundseek.audio.logmel import LogMel
from soundseek.learn.evaluation import evaluate
from soundseek.learn.evaluation.evaluate import RunEmbedder
from soundseek.learn.export.export import export_run
from soundseek.learn.models.build import build_recipe_trunk
from soundseek.learn.training.resume import claim_run
from soundseek.learn.training.run_folder import build_dual_encoder, load_run, save_model
from soundseek.model import model as model_module
from soundseek.model.model import Model

LENGTHS_S = (0.5, 9.0, 12.0, 14.9, 15.2, 33.3)


def changing(length_s: float) -> FloatArray:
    """A waveform at 8 kHz in which a hum, a pause and noise follow each other."""
    share = np.linspace(0, 1, round(length_s * 8000))
    hum = 0.5 * np.sin(2 * np.pi * 300 * length_s * share) * (share < 0.3)
    noise = 0.2 * np.random.default_rng(0).standard_normal(len(share)) * (share > 0.6)
    waveform: FloatArray = (hum + noise).astype(np.float32)
    return waveform


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, float]]:
    """A run folder, its model directory, and what the export compared: attention, and a head that is not linear."""
    folder = tmp_path_factory.mktemp("long")
    torch.manual_seed(0)
    recipe = claim_run(
        folder / "run", toy_recipe(folder, "audio.attention=self", "audio.head=mlp"), resume=False
    )
    model = build_dual_encoder(recipe, 8, 16, text=None)  # type: ignore[arg-type]
    # Frames of different sounds point in different directions, so that it matters what is heard at once.
    trunk = build_recipe_trunk(recipe)
    log_mel = torch.from_numpy(LogMel(trunk.front_end)(changing(12.0)))[None]
    with torch.no_grad():
        frames, _ = trunk(log_mel)
    model.standardise(frames[0].mean(dim=0), frames[0].std(dim=0))
    save_model(model, folder / "run")
    return folder / "run", folder / "model", export_run(folder / "run", folder / "model")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Clips of several lengths."""
    folder = tmp_path_factory.mktemp("clips")
    for length_s in LENGTHS_S:
        soundfile.write(folder / f"{length_s}.wav", changing(length_s), 8000)
    return [folder / f"{length_s}.wav" for length_s in LENGTHS_S]


def test_an_export_compares_a_clip_of_half_a_minute(exported: tuple[Path, Path, dict[str, float]]) -> None:
    assert exported[2]["clip"] > 0.9999
    assert "A clip of up to 180 s is embedded whole" in " ".join(
        (exported[1] / "README.md").read_text().split()
    )


def test_a_run_and_its_model_embed_a_clip_of_any_length_alike(
    exported: tuple[Path, Path, dict[str, float]],
    clips: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("SOUNDSEEK_CACHE", str(tmp_path))
    for module in (model_module, evaluate):
        monkeypatch.setattr(module, "WHOLE_CLIP_S", 15.0)
    model = Model(exported[1])
    found = model.embed_audio(clips)
    cosines = (RunEmbedder(*load_run(exported[0])).embed_audio(clips) * found).sum(axis=1)
    assert cosines == pytest.approx(np.ones(len(clips)), abs=1e-4)
    in_windows = [model.embed_file(clip).frames.mean(axis=0, dtype=np.float32) for clip in clips]
    cosines = (found * in_windows).sum(axis=1) / np.linalg.norm(in_windows, axis=1)
    is_same = [True, True, False, False, True, True]  # one window; whole; too long to be embedded whole
    assert (cosines > 0.9999).tolist() == is_same, cosines
