"""The CRNN trunk: the baseline's network, untouched by padding, and in ONNX at any length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tones import write_tone
from torch import Tensor, nn
from torch.nn import functional
from toy_model import DIM, make_toy_model

from soundseek.audio.decode import read_audio
from soundseek.audio.logmel import PANNS_FRONT_END, LogMel
from soundseek.errors import ModelError
from soundseek.learn.export.export import export_audio
from soundseek.learn.models.audio.crnn import CRNN_FRONT_END, CRNNConfig, CRNNTrunk, lp_pool, upsample
from soundseek.learn.models.dual_encoder import DualEncoder
from soundseek.model.config import AudioTowerConfig, ModelConfig
from soundseek.model.model import Model

TOY = CRNNConfig(widths=(2, 4, 4, 4, 4), width=6, front_end=PANNS_FRONT_END)


def trained_norms(trunk: CRNNTrunk) -> CRNNTrunk:
    """The trunk in eval mode, its batch norms fitted to noise: fresh ones would do nothing to padding."""
    for module in trunk.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            nn.init.normal_(module.bias)
    trunk.train()
    with torch.no_grad():
        trunk(3 + 5 * torch.randn(4, 40, 64))
    return trunk.eval()


@pytest.fixture(scope="module")
def trunk() -> CRNNTrunk:
    torch.manual_seed(0)
    return trained_norms(CRNNTrunk(TOY))


def some_clips() -> tuple[Tensor, Tensor]:
    """Log-mels `(3, 41, 64)` and their mask: 41, 23 and 4 frames are real, and the padding is loud."""
    generator = torch.Generator().manual_seed(1)
    mask = torch.arange(41) < torch.tensor([[41], [23], [4]])
    log_mel = 3 + 5 * torch.randn(3, 41, 64, generator=generator)
    return log_mel.masked_fill(~mask.unsqueeze(2), 1e3), mask


@torch.no_grad()
def test_it_is_the_baselines_network_layer_by_layer() -> None:
    torch.manual_seed(0)
    trunk = trained_norms(CRNNTrunk())
    gru = trunk.gru
    layers: list[nn.Module] = []
    pools = {0: (2, 4), 2: (2, 4), 4: (1, 4)}
    for number, block in enumerate(trunk.blocks):
        layers += [block.norm, block.conv, nn.LeakyReLU(0.1)]
        layers += [nn.LPPool2d(4, pools[number])] if number in pools else []
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [32, 128, 128, 128, 128]
    assert (gru.input_size, gru.hidden_size, trunk.width) == (128, 150, 300)
    log_mel = torch.randn(2, 50, 64)
    maps = nn.Sequential(*layers)(log_mel.unsqueeze(1))
    assert maps.shape == (2, 128, 12, 1)
    steps, _ = gru(maps.squeeze(3).transpose(1, 2))
    expected = functional.interpolate(steps.transpose(1, 2), 50, mode="linear").transpose(1, 2)
    frames, mask = trunk(log_mel)
    torch.testing.assert_close(frames, expected, atol=1e-5, rtol=1e-4)
    assert mask.all() and mask.shape == (2, 50)


def test_its_front_end_has_40_ms_windows_every_20_ms() -> None:
    front_end = CRNNTrunk().front_end
    assert front_end.win_length / front_end.sample_rate_hz == pytest.approx(0.04)
    assert (front_end.hop_s, front_end.num_mels) == (pytest.approx(0.02), 64)


@pytest.mark.parametrize("upsampling", ["linear", "none"])
@torch.no_grad()
def test_padding_does_not_change_a_real_frame(upsampling: str) -> None:
    torch.manual_seed(0)
    trunk = trained_norms(CRNNTrunk(TOY.model_copy(update={"upsampling": upsampling})))
    log_mel, mask = some_clips()
    frames, frame_mask = trunk(log_mel, mask)
    for clip, length in enumerate((41, 23, 4)):
        alone, alone_mask = trunk(log_mel[clip : clip + 1, :length])
        assert alone_mask.all() and alone.shape[1] == length // trunk.frame_hop
        assert frame_mask[clip].sum() == alone.shape[1] and frame_mask[clip, : alone.shape[1]].all()
        torch.testing.assert_close(frames[clip, : alone.shape[1]], alone[0], atol=1e-5, rtol=0)


def test_padding_changes_nothing_in_training_either() -> None:
    config = TOY.model_copy(update={"dropout": 0.0})
    log_mel, mask = some_clips()
    results = []
    for padding in (0, 30):
        torch.manual_seed(0)
        trunk = CRNNTrunk(config).train()
        padded = functional.pad(log_mel, (0, 0, 0, padding), value=-50.0)
        frames, frame_mask = trunk(padded, functional.pad(mask, (0, padding)))
        frames[frame_mask].square().sum().backward()
        gradients = [parameter.grad for parameter in trunk.parameters()]
        statistics = [block.norm.running_var.clone() for block in trunk.blocks]
        results.append((frames[frame_mask].detach(), *gradients, *statistics))
    for plain, padded in zip(*results, strict=True):
        assert torch.isfinite(plain).all()
        torch.testing.assert_close(plain, padded, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_frame_hears_the_whole_clip(trunk: CRNNTrunk) -> None:
    log_mel, _ = some_clips()
    other = log_mel[:1].clone()
    other[:, -8:] -= 10
    assert trunk.scope == "clip"
    assert (trunk(log_mel[:1])[0][0, 0] - trunk(other)[0][0, 0]).abs().max() > 1e-6


def test_a_pooling_is_a_root_of_a_sum_of_powers_and_can_be_silent() -> None:
    x = torch.tensor([[[[1.0, 2.0], [-2.0, 0.0], [0.0, 0.0], [0.0, 0.0], [9.0, 9.0]]]], requires_grad=True)
    mask = torch.tensor([[True, True, True, False, False]])
    pooled, pooled_mask = lp_pool(x, mask, 2, 2)
    assert pooled.flatten()[0].item() == pytest.approx((1 + 16 + 16) ** 0.25)
    assert pooled.flatten()[1].item() < 1e-4
    assert pooled_mask is not None and pooled_mask.tolist() == [[True, False]]
    pooled.sum().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all()
    reference = functional.lp_pool2d(x.detach()[:, :, :2], 4.0, (2, 2))
    torch.testing.assert_close(pooled.detach()[:, :, :1], reference)


def test_two_steps_become_four_frames() -> None:
    steps = torch.tensor([[[0.0], [4.0], [99.0]]])
    step_mask = torch.tensor([[True, True, False]])
    frame_mask = torch.tensor([[True] * 4 + [False] * 2])
    assert upsample(steps, step_mask, frame_mask).flatten().tolist() == [0.0, 1.0, 3.0, 4.0, 0.0, 0.0]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[DualEncoder, Path]:
    """A dual encoder with a small CRNN on the baseline's front end, and its model directory."""
    torch.manual_seed(0)
    trunk = trained_norms(CRNNTrunk(TOY.model_copy(update={"front_end": CRNN_FRONT_END})))
    model = DualEncoder(dim=DIM, audio_width=6, text_width=4, trunk=trunk).eval()
    directory = make_toy_model(tmp_path_factory.mktemp("toy"), scope="clip")
    parity = export_audio(model, directory / "audio.onnx")  # of 4, 1000 and 1777 log-mel frames
    assert parity["audio"] > 0.9999
    audio = AudioTowerConfig(frame_hop=1, scope="clip", context_frames=0, min_frames=4)
    card = ModelConfig.read(directory).model_copy(update={"front_end": trunk.front_end, "audio": audio})
    card.write(directory)
    return model, directory


# Of 50 ms there are 3 log-mel frames, one less than the trunk needs.
@pytest.mark.parametrize("duration_s", [0.05, 4.0])
@torch.no_grad()
def test_the_searching_half_hears_what_the_learning_half_hears(
    exported: tuple[DualEncoder, Path], duration_s: float, tmp_path: Path
) -> None:
    model, directory = exported
    write_tone(tmp_path / "tone.wav", frequency_hz=440, duration_s=duration_s)
    front_end = LogMel(CRNN_FRONT_END)
    log_mel = front_end(read_audio(tmp_path / "tone.wav", sample_rate_hz=44_100))
    silence = front_end(np.zeros(2048, np.float32))[:1]
    log_mel = np.concatenate([log_mel, *[silence] * (4 - len(log_mel))])
    expected = model.encode_audio(*model.trunk(torch.from_numpy(log_mel)[None]))[0].numpy()
    assert Model(directory).embed_audio([tmp_path / "tone.wav"])[0] @ expected > 0.9999


def test_onnx_runtime_gives_the_same_steps_without_upsampling(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trunk = trained_norms(CRNNTrunk(TOY.model_copy(update={"upsampling": "none"})))
    model = DualEncoder(dim=3, audio_width=6, text_width=4, trunk=trunk).eval()
    assert export_audio(model, tmp_path / "audio.onnx")["audio"] > 0.9999


def test_a_memorisable_batch_is_learned() -> None:
    torch.manual_seed(0)
    trunk = CRNNTrunk(TOY.model_copy(update={"dropout": 0.0}))
    log_mel, mask = some_clips()
    targets = torch.eye(3, 6)
    optimizer = torch.optim.Adam(trunk.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        frames, frame_mask = trunk(log_mel, mask)
        means = frames.sum(dim=1) / frame_mask.sum(dim=1, keepdim=True)
        loss = (means - targets).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@torch.no_grad()
def test_a_saved_trunk_loads_as_it_was(trunk: CRNNTrunk, tmp_path: Path) -> None:
    trunk.save(tmp_path / "crnn.safetensors", epoch="3")
    loaded = CRNNTrunk.load(tmp_path / "crnn.safetensors")
    assert loaded.config == TOY and not loaded.training
    log_mel, mask = some_clips()
    assert torch.equal(loaded(log_mel, mask)[0], trunk(log_mel, mask)[0])


def test_a_file_that_is_no_crnn_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no trunk at .*none\.safetensors"):
        CRNNTrunk.load(tmp_path / "none.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="holds no crnn"):
        CRNNTrunk.load(tmp_path / "other.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "newer.safetensors", metadata={"crnn": '{"depth": 9}'})
    with pytest.raises(ModelError, match="another version"):
        CRNNTrunk.load(tmp_path / "newer.safetensors")


@pytest.mark.parametrize("masked", [True, False])
def test_a_clip_without_a_frame_is_refused(trunk: CRNNTrunk, masked: bool) -> None:
    mask = torch.tensor([[True] * 3 + [False] * 5]) if masked else None
    with pytest.raises(ModelError, match="has 3 log-mel frames, CRNNTrunk needs 4"):
        trunk(torch.zeros(1, 8 if masked else 3, 64), mask)


def test_bands_that_cannot_be_joined_are_refused() -> None:
    front_end = PANNS_FRONT_END.model_copy(update={"num_mels": 80})
    with pytest.raises(ModelError, match="num_mels = 80"):
        CRNNTrunk(CRNNConfig(front_end=front_end))
