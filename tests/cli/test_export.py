"""`soundseek export`: precisions of both networks, and sounds to calibrate with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import quick_exports  # noqa: F401
import torch
from tones import write_tone
from torch import nn
from toy_learning import make_toy_data, make_toy_trunk, toy_recipe
from toy_words import make_toy_vectors

from soundseek.audio.logmel import PANNS_FRONT_END
from soundseek.learn.export.quantize import calibration_log_mels, find_calibration_sounds
from soundseek.learn.models.audio.cnn14 import CNN14Config, CNN14Trunk
from soundseek.learn.training.train import train
from soundseek.model.config import AUDIO_FILE, ModelConfig

torch.set_num_threads(1)
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a narrow CNN14 whose norms were fitted to sounds, so that its vectors tell them apart."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    front_end = PANNS_FRONT_END.model_copy(
        update={"sample_rate_hz": 8000, "n_fft": 256, "win_length": 256, "hop_length": 80, "f_max_hz": 4000.0}
    )
    widths = (8, 8, 16, 16, 32, 64)
    trunk = CNN14Trunk(CNN14Config(widths=widths, reduced_width=32, front_end=front_end, spec_augment=False))
    for module in trunk.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean over all that is seen
    trunk.train()
    with torch.no_grad():
        for log_mel in calibration_log_mels(front_end):
            trunk(torch.from_numpy(log_mel[None]))
    trunk.save(folder / "cnn14.safetensors")
    make_toy_trunk(folder / "trunk.safetensors")  # so that the trunk of the recipe is found
    settings = (
        "audio.trunk=cnn14", f"audio.weights={folder / 'cnn14.safetensors'}", "training.epochs=1",
        "text.tower=word2vec", f"text.weights={make_toy_vectors(folder / 'words.txt')}",
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOUNDSEEK_CACHE", str(folder / "cache"))
        return train(toy_recipe(folder, *settings), make_toy_data(folder / "data"), folder / "run")


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Five tones, one of them in a folder below, and a file that is no sound."""
    folder = tmp_path / "sounds"
    (folder / "below").mkdir(parents=True)
    for number, pitch_hz in enumerate((150, 300, 900, 1800)):
        write_tone(folder / f"{number}.wav", frequency_hz=pitch_hz, duration_s=1.0)
    write_tone(folder / "below" / "4.wav", frequency_hz=3000, duration_s=1.0)
    (folder / "notes.txt").write_text("not looked at")
    return folder


def test_int8_convolutions_are_calibrated_with_the_sounds_of_a_folder(
    run: Path, sounds: Path, tmp_path: Path, say: Say
) -> None:
    (sounds / "broken.wav").write_bytes(b"no sound")
    out = tmp_path / "model"
    arguments = ("--audio-precision", "int8", "--calibrate", str(sounds), "--json")
    code, printed, error = say("export", str(run), "--out", str(out), *arguments)
    assert code == 0, error
    assert "left out: " in error and "broken.wav" in error
    parity = json.loads(printed)["parity"]
    assert parity["audio"] > 0.9999
    assert 0.99 < parity["audio_int8"] < 1.0
    operators = {node.op_type for node in onnx.load(str(out / AUDIO_FILE)).graph.node}
    assert "QuantizeLinear" in operators
    assert ModelConfig.read(out).training["audio_precision"] == "int8"


def test_both_networks_stay_fp32_unless_asked(
    run: Path, tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def remember(run: Path, out: Path, **arguments: Any) -> dict[str, float]:
        asked.append(arguments)
        return {"audio": 1.0}

    monkeypatch.setattr("soundseek.learn.export.export.export_run", remember)
    wanted = (
        (),
        ("--precision", "int8"),
        ("--audio-precision", "int8"),
        ("--audio-precision", "int8-weights"),
    )
    for arguments in wanted:
        code, told, _ = say("export", str(run), "--out", str(tmp_path / "model"), *arguments)
        assert code == 0 and json.loads(told)["parity"] == {
            "audio": 1.0
        }  # JSON in a pipe, as of every command
    told = say("export", str(run), "--out", str(tmp_path / "model"), "--table")[1]
    assert told.endswith("least cosine between PyTorch and ONNX: audio 1.000000\n")
    precisions = [(each["precision"], each["audio_precision"]) for each in asked[:4]]
    assert precisions == [("fp32", "fp32"), ("int8", "fp32"), ("fp32", "int8"), ("fp32", "int8-weights")]
    assert [each["calibration"] for each in asked] == [[]] * 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--audio-precision", "int4"),
            "no precision 'int4' for --audio-precision; choose one of fp32, int8-weights, int8",
        ),
        (("--precision", "half"), "no precision 'half' for --precision"),
        (("--calibrate", "{sounds}"), "add --audio-precision int8"),
        (("--audio-precision", "int8", "--calibrate", "{sounds}/nowhere"), "no folder"),
        (("--audio-precision", "int8", "--calibrate", "{sounds}/0.wav"), "no folder"),
        (("--audio-precision", "int8", "--calibrate", "{sounds}/below"), "holds 1 sounds that can be heard"),
        (("--audio-precision", "int8", "--calibrate", "{sounds}/empty"), "holds 0 sounds"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_written(
    arguments: tuple[str, ...], message: str, run: Path, sounds: Path, tmp_path: Path, say: Say
) -> None:
    (sounds / "empty").mkdir()
    told = [argument.format(sounds=sounds) for argument in arguments]
    code, printed, error = say("export", str(run), "--out", str(tmp_path / "model"), *told)
    assert (code != 0, printed) == (True, "")
    assert message in error
    assert not (tmp_path / "model").exists()


def test_of_many_sounds_some_are_taken_from_everywhere(sounds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(130):
        (sounds / f"many-{number:03}.wav").touch()
    monkeypatch.setattr("soundseek.learn.export.quantize.read_audio", lambda path, sample_rate_hz: None)
    chosen = find_calibration_sounds(sounds)
    assert 40 < len(chosen) <= 64
    assert chosen == sorted(chosen)
    assert chosen[0].name == "0.wav" and chosen[-1].name >= "many-127.wav"
