"""What `soundseek.learn` offers to scripts, and the example in its description."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from toy_learning import make_toy_bert, make_toy_data, make_toy_trunk, toy_recipe

import soundseek
import soundseek.learn
from soundseek.learn.recipe.load import save_recipe

torch.set_num_threads(1)


def test_importing_it_brings_no_pytorch_along() -> None:
    script = "import sys, soundseek.learn; print('torch' in sys.modules, dir(soundseek.learn))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert out.startswith("False") and all(f"'{name}'" in out for name in soundseek.learn.__all__)


def test_every_name_is_there_and_an_unknown_one_says_which_there_are() -> None:
    for name in soundseek.learn.__all__:
        assert callable(getattr(soundseek.learn, name))
    with pytest.raises(
        AttributeError, match="no attribute 'tune'; it has: DualEncoder, RunEmbedder, adapt, evaluate"
    ):
        soundseek.learn.tune  # noqa: B018


def test_the_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOUNDSEEK_CACHE", str(tmp_path / "cache"))
    make_toy_data(tmp_path / "sounds")
    make_toy_trunk(tmp_path / "trunk.safetensors")
    make_toy_bert(tmp_path / "bert", num_layers=1)
    save_recipe(toy_recipe(tmp_path), Path("mine.yaml"))
    example = textwrap.dedent((soundseek.learn.__doc__ or "").partition("::\n")[2])
    exec(compile(example, "example", "exec"), {})
    assert capsys.readouterr().out.startswith("mAP@10 0.")
    assert soundseek.load_model("model").embed_text(["a low hum"]).shape == (1, 8)
