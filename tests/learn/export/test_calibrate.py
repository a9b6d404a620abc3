"""An exported CNN14 in the searching half, in fp32 and with int8 convolutions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tones import write_tone
from torch import nn
from toy_model import DIM, make_toy_model

from soundseek.audio.decode import read_audio
from soundseek.audio.logmel import LogMel
from soundseek.errors import ModelError
from soundseek.learn.export.export import PARITY, QUANTIZED_PARITY, export_audio
from soundseek.learn.export.quantize import calibration_log_mels, quantize_convolutions, synthetic_sounds
from soundseek.learn.models.audio.cnn14 import CNN14Config, CNN14Trunk
from soundseek.learn.models.dual_encoder import DualEncoder
from soundseek.model.config import AUDIO_FILE, AudioTowerConfig, ModelConfig, fingerprint
from soundseek.model.model import Model

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model() -> DualEncoder:
    """A narrow CNN14 with norms fitted to sounds, so that its vectors tell them apart, and a projector."""
    torch.manual_seed(0)
    trunk = CNN14Trunk(CNN14Config(widths=(8, 8, 16, 16, 32, 64), reduced_width=32))
    norms = [module for module in trunk.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the mean over all that is seen
    trunk.train()
    with torch.no_grad():
        for log_mel in calibration_log_mels(trunk.front_end):
            trunk(torch.from_numpy(log_mel[None]))
    model = DualEncoder(dim=DIM, audio_width=trunk.width, text_width=8, trunk=trunk)
    return model.requires_grad_(False).eval()


def model_directory(model: DualEncoder, directory: Path, precision: str) -> dict[str, float]:
    """The audio tower of the model beside a toy's text tower; returns the parity."""
    make_toy_model(directory)
    trunk = model.trunk
    assert isinstance(trunk, CNN14Trunk)
    parity = export_audio(model, directory / AUDIO_FILE, precision=precision)  # type: ignore[arg-type]
    audio = AudioTowerConfig(
        frame_hop=trunk.frame_hop,
        scope=trunk.scope,
        context_frames=trunk.context_frames,
        min_frames=trunk.min_frames,
    )
    card = ModelConfig.read(directory)
    update = {
        "front_end": trunk.front_end,
        "audio": audio,
        "fingerprint": fingerprint(directory, trunk.front_end),
    }
    card.model_copy(update=update).write(directory)
    return parity


@pytest.fixture(scope="module")
def exact(model: DualEncoder, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    """In fp32: the directory and the parity."""
    directory = tmp_path_factory.mktemp("models") / "exact"
    return directory, model_directory(model, directory, "fp32")


@pytest.fixture(scope="module")
def int8(model: DualEncoder, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    """With convolutions in int8: the directory and the parity."""
    directory = tmp_path_factory.mktemp("models") / "int8"
    return directory, model_directory(model, directory, "int8")


def test_the_searching_half_hears_in_a_cnn14_what_pytorch_hears(
    model: DualEncoder, exact: tuple[Path, dict[str, float]], tmp_path: Path
) -> None:
    directory, parity = exact
    assert parity.keys() == {"audio"}
    assert parity["audio"] > PARITY
    sound = tmp_path / "tone.wav"
    write_tone(sound, frequency_hz=440, duration_s=47.3)  # more than one chunk of 41 s, and no whole frames
    heard = Model(directory).embed_file(sound)
    trunk = model.trunk
    assert isinstance(trunk, CNN14Trunk)
    waveform = read_audio(sound, sample_rate_hz=trunk.front_end.sample_rate_hz)
    log_mel = torch.from_numpy(LogMel(trunk.front_end)(waveform)[None])
    expected = model.project_frames(*trunk(log_mel))[0].numpy()
    assert heard.frame_s == pytest.approx(0.32)
    assert heard.frames.shape == expected.shape == (147, DIM)
    np.testing.assert_allclose(heard.frames.astype(np.float32), expected, atol=2e-3 * np.abs(expected).max())
    first, last = heard.spans[0]
    mean = expected[first:last].mean(axis=0)
    assert heard.vectors[0] @ mean / np.linalg.norm(mean) > PARITY


def test_int8_convolutions_are_smaller_and_nearly_the_same(
    exact: tuple[Path, dict[str, float]], int8: tuple[Path, dict[str, float]], tmp_path: Path
) -> None:
    assert int8[1]["audio_int8"] > QUANTIZED_PARITY
    sizes = [(directory / AUDIO_FILE).stat().st_size for directory, _ in (exact, int8)]
    assert sizes[1] < 0.5 * sizes[0]
    whole, shrunk = Model(exact[0]), Model(int8[0])
    assert whole.fingerprint != shrunk.fingerprint
    vectors = []
    for hertz in (200, 440, 1300, 5000):
        sound = tmp_path / f"{hertz}.wav"
        write_tone(sound, frequency_hz=hertz)
        vectors.append((whole.embed_audio([sound])[0], shrunk.embed_audio([sound])[0]))
    same = min(float(a @ b) for a, b in vectors)
    other = max(float(vectors[i][0] @ vectors[j][0]) for i in range(4) for j in range(i))
    assert same > QUANTIZED_PARITY
    assert 1 - same < 0.2 * (1 - other)  # int8 moves a sound far less than another sound is away


def test_all_convolutions_but_the_first_are_int8(
    exact: tuple[Path, dict[str, float]], int8: tuple[Path, dict[str, float]]
) -> None:
    graph = onnx.load(str(int8[0] / AUDIO_FILE)).graph
    made_by = {output: node for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    inputs = [made_by[node.input[0]].op_type for node in convolutions]
    assert len(convolutions) == 12
    assert inputs[0] != "DequantizeLinear"
    assert inputs[1:] == ["DequantizeLinear"] * 11
    left = {path.name for path in int8[0].iterdir()}
    assert left == {path.name for path in exact[0].iterdir()}  # nothing of the quantisation is left behind


def test_given_sounds_are_calibrated_with_and_heard_for_ten_seconds(
    model: DualEncoder, tmp_path: Path
) -> None:
    front_end = model.trunk.front_end  # type: ignore[union-attr]
    sounds = [tmp_path / f"{seconds}.wav" for seconds in (2, 12)]
    for path, seconds in zip(sounds, (2.0, 12.0), strict=True):
        write_tone(path, frequency_hz=300, duration_s=seconds)
    log_mels = calibration_log_mels(front_end, sounds)
    assert [len(log_mel) for log_mel in log_mels] == [201, 1001]


def test_synthetic_sounds_are_loud_and_quiet_and_never_clip() -> None:
    sounds = synthetic_sounds(32_000)
    peaks = [float(np.abs(sound).max()) for sound in sounds]
    assert len(sounds) == 16
    assert peaks == pytest.approx([10 ** (-6 / 20), 10 ** (-40 / 20)] * 8, rel=1e-3)
    np.testing.assert_array_equal(sounds[0], synthetic_sounds(32_000)[0])


def test_nothing_to_calibrate_with_or_to_quantise_is_an_error(tmp_path: Path) -> None:
    toy = make_toy_model(tmp_path / "toy") / AUDIO_FILE
    with pytest.raises(ModelError, match="no sounds to calibrate"):
        quantize_convolutions(toy, [])
    with pytest.raises(ModelError, match="0 convolutions"):
        quantize_convolutions(toy, [np.zeros((64, 128), np.float32)])
