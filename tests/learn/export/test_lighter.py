"""The network of a compact trunk, written again with less to do: the same frames of fewer nodes."""

from __future__ import annotations

import functools
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from test_tables import script
from torch import Tensor, nn
from toy_model import make_toy_model

from soundseek._typing import FloatArray
from soundseek.audio.logmel import FrontEndConfig
from soundseek.learn.export.export import run_onnx, write_onnx
from soundseek.learn.export.lighter import lighten
from soundseek.learn.export.quantize import shrink_weights
from soundseek.learn.models.audio.compact import BlocksConfig, CompactConfig, CompactTrunk, TemporalConfig
from soundseek.learn.models.audio.compact_layers import TagsConfig
from soundseek.model.config import AUDIO_FILE, ModelConfig

torch.set_num_threads(1)

SMALL = CompactConfig(
    stem_width=4, stem_kernel=3, stem_stride=2, width=8,
    stages=(BlocksConfig(width=8, expansion=2, kernel=3, stride=2, blocks=1),),
    front_end=FrontEndConfig(num_mels=16),
    temporal=TemporalConfig(blocks=1), tags=TagsConfig(num_tags=5, hidden=8, window_frames=5), margin_frames=16,
)  # fmt: skip
SHAPES = {
    "margins beyond the tagger's window": SMALL,
    "margins within the window": SMALL.model_copy(update={"margin_frames": 4}),
    "no margins, bands to the end": SMALL.model_copy(update={"margin_frames": 0, "temporal": None}),
}


class ToFrames(nn.Module):
    """A trunk and what comes behind it."""

    def __init__(self, trunk: CompactTrunk) -> None:
        super().__init__()
        self.trunk, self.projector = trunk, nn.Linear(trunk.width, 6)

    def forward(self, log_mel: Tensor) -> Tensor:
        return self.projector(self.trunk(log_mel)[0])  # type: ignore[no-any-return]


def exported(config: CompactConfig, path: Path) -> None:
    """The network of a trunk with random weights, as PyTorch writes it."""
    torch.manual_seed(0)
    trunk = CompactTrunk(config)
    for parameter in trunk.parameters():
        nn.init.normal_(parameter, std=0.3)
    network = ToFrames(trunk).eval()
    example = torch.randn(1, 64, config.front_end.num_mels)
    frames = torch.export.Dim("time", min=trunk.min_frames, max=1_000_000)
    write_onnx(network, (example,), path, ["log_mel"], "frames", {"log_mel": {1: frames}})


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A file with the network of a shape, exported once."""
    folder = tmp_path_factory.mktemp("networks")

    @functools.cache
    def of(shape: str) -> Path:
        path = folder / f"{len(list(folder.iterdir()))}.onnx"
        exported(SHAPES[shape], path)
        return path

    return of


def frames_of(path: Path, num_frames: int) -> FloatArray:
    log_mel = np.random.default_rng(0).standard_normal((1, num_frames, 16)).astype(np.float32)
    return run_onnx(path, {"log_mel": log_mel})


def in_8_bits(path: Path) -> dict[str, bytes]:
    """The weights that stand in 8 bits in a file."""
    tensors = onnx.load(path).graph.initializer
    return {tensor.name: tensor.raw_data for tensor in tensors if tensor.data_type == onnx.TensorProto.INT8}


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_frames_come_out_of_fewer_nodes(
    shape: str, network: Callable[[str], Path], tmp_path: Path
) -> None:
    before, after = tmp_path / "before.onnx", tmp_path / "after.onnx"
    shutil.copy(network(shape), before)
    for is_shrunk in (False, True):
        if is_shrunk:
            shrink_weights(before, least_size=20)
        shutil.copy(before, after)
        assert lighten(after)
        for num_frames in (4, 5, 23, 64, 201):
            expected = frames_of(before, num_frames)
            assert expected.std() > 0.1
            np.testing.assert_allclose(frames_of(after, num_frames), expected, atol=2e-5)
        assert len(operators(after)) < len(operators(before)) - 10
        assert not {"ReduceMean", "Expand", "Div", "Log", "Exp"} & set(operators(after))
        assert in_8_bits(after) == in_8_bits(before) and bool(in_8_bits(after)) == is_shrunk
    assert not lighten(after)  # nothing is left to do


def test_a_network_of_another_kind_stays_as_it_is(tmp_path: Path) -> None:
    path = make_toy_model(tmp_path / "toy") / AUDIO_FILE
    written = path.read_bytes()
    assert not lighten(path) and path.read_bytes() == written


@pytest.fixture
def directory(network: Callable[[str], Path], tmp_path: Path) -> Path:
    """A model directory with a compact trunk's network as PyTorch writes it."""
    made = make_toy_model(tmp_path / "toy")
    config = ModelConfig.read(made)
    config.model_copy(update={"front_end": SMALL.front_end}).write(made)
    shutil.copy(network("margins beyond the tagger's window"), made / AUDIO_FILE)
    return made


def test_the_script_writes_a_model_directory_again_once_with_the_same_frames(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path(shutil.copy(directory / AUDIO_FILE, tmp_path / "before.onnx"))
    others = {path.name: path.read_bytes() for path in directory.iterdir() if path.name != AUDIO_FILE}
    monkeypatch.setattr("sys.argv", ["lighten_audio.py", str(directory)])
    script("lighten_audio").main()
    told = capsys.readouterr().out
    cosine = re.fullmatch(rf"{directory}: written again, least cosine of a frame (\S+)\n", told)
    assert cosine is not None and float(cosine[1]) > 0.999999
    assert len(operators(directory / AUDIO_FILE)) < len(operators(before)) - 10
    log_mel = np.random.default_rng(1).standard_normal(
        (1, 70, ModelConfig.read(directory).front_end.num_mels)
    )
    old, new = (
        run_onnx(path, {"log_mel": log_mel.astype(np.float32)}) for path in (before, directory / AUDIO_FILE)
    )
    np.testing.assert_allclose(new, old, atol=2e-5)
    assert {name: (directory / name).read_bytes() for name in others} == others
    assert sorted(path.name for path in tmp_path.iterdir()) == ["before.onnx", "toy"]  # no scratch is left
    written = (directory / AUDIO_FILE).read_bytes()
    script("lighten_audio").main()
    assert "stays as it is" in capsys.readouterr().out and (directory / AUDIO_FILE).read_bytes() == written


def test_the_script_leaves_a_network_whose_frames_would_change(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = script("lighten_audio")

    def lighten_wrongly(path: Path) -> bool:
        changed = lighten(path)
        model = onnx.load(path)
        (bias,) = [tensor for tensor in model.graph.initializer if tensor.name == "projector.bias"]
        wrong = onnx.numpy_helper.to_array(bias) + np.float32(0.1)
        bias.CopyFrom(onnx.numpy_helper.from_array(wrong, bias.name))
        onnx.save(model, path)
        return changed

    monkeypatch.setattr(module, "lighten", lighten_wrongly)
    written = (directory / AUDIO_FILE).read_bytes()
    told = module.lightened(directory)
    assert told.startswith("stays as it is: a frame written so would have a cosine of 0.")
    assert (directory / AUDIO_FILE).read_bytes() == written
