"""The PANNs trunks against their authors' own networks, and the published files: whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import panns_reference
import pytest
import torch
from torch import nn

from soundseek.audio.logmel import PANNS_FRONT_END, LogMel, mel_matrix
from soundseek.errors import ModelError
from soundseek.learn.models.audio.cnn10 import CNN10Config, CNN10Trunk
from soundseek.learn.models.audio.cnn14 import CNN14Config, CNN14Trunk
from soundseek.learn.models.audio.panns import PannsTrunk
from soundseek.learn.models.audio.resnet38 import ResNet38Config, ResNet38Trunk
from soundseek.learn.models.build import build_trunk

torch.set_num_threads(1)

RATE = PANNS_FRONT_END.sample_rate_hz
TIME_S = np.arange(RATE) / RATE
SOUNDS = {
    "noise": 0.1 * np.random.default_rng(0).standard_normal(RATE),
    "tone": 0.5 * np.sin(2 * np.pi * 440 * TIME_S),
    "tones": sum(0.2 * np.sin(2 * np.pi * hertz * TIME_S) for hertz in (100, 1000, 7003)),
    "silence": np.zeros(RATE),
}
NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[Path], PannsTrunk]]] = {
    "cnn10": (panns_reference.cnn10, lambda path: CNN10Trunk.load(path, CNN10Config(head="tagger"))),
    "cnn14": (
        panns_reference.cnn14,
        lambda path: CNN14Trunk.load(path, CNN14Config(reduction="none", head="tagger")),
    ),
    "resnet38": (
        panns_reference.resnet38,
        lambda path: ResNet38Trunk.load(path, ResNet38Config(head="tagger")),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_with_equal_weights_it_hears_what_the_published_network_hears(name: str, tmp_path: Path) -> None:
    make_reference, load = NETWORKS[name]
    reference = make_reference()
    torch.save({"model": reference.state_dict()}, tmp_path / "published.pth")
    trunk = load(tmp_path / "published.pth")
    log_mel = LogMel(trunk.front_end)
    tags = {}
    for sound, samples in SOUNDS.items():
        waveform = samples.astype(np.float32)
        theirs = reference(torch.from_numpy(waveform[None]))
        frames, mask = trunk(torch.from_numpy(log_mel(waveform)[None]))
        tags[sound] = torch.sigmoid(trunk.logits(frames, mask))
        torch.testing.assert_close(tags[sound], theirs["clipwise_output"], atol=1e-4, rtol=0, msg=sound)
        embedding = torch.relu(trunk.fc1(frames.amax(dim=1) + frames.mean(dim=1)))
        torch.testing.assert_close(embedding, theirs["embedding"], atol=1e-4, rtol=0, msg=sound)
    # Networks deaf to the sound would agree as well.
    assert (tags["noise"] - tags["silence"]).abs().max() > 1e-3
    assert (tags["noise"] - tags["tone"]).abs().max() > 1e-3


def test_our_log_mel_is_theirs_where_theirs_is_exact() -> None:
    """Far below a pure tone only float32's rounding is left and decibels magnify it; ours is nearer to float64's."""
    models: Any = panns_reference.reference_models()
    spectrogram = models.Spectrogram(n_fft=1024, hop_length=320, win_length=1024, freeze_parameters=True)
    bank = models.LogmelFilterBank(
        sr=32_000,
        n_fft=1024,
        n_mels=64,
        fmin=50,
        fmax=14_000,
        amin=1e-10,
        top_db=None,
        freeze_parameters=True,
    )
    log_mel = LogMel(PANNS_FRONT_END)
    for sound, samples in SOUNDS.items():
        waveform = samples.astype(np.float32)
        theirs = bank(spectrogram(torch.from_numpy(waveform[None])))[0, 0].numpy()
        ours = log_mel(waveform)
        near = theirs > theirs.max() - 40  # decibels; all of the noise and of the silence
        assert near.sum() >= 300, sound
        assert near.all() == (sound in ("noise", "silence")), sound
        np.testing.assert_allclose(ours[near], theirs[near], atol=1e-4, rtol=0, err_msg=sound)
        exact = log_mel_in_float64(waveform)
        assert np.abs(ours - exact).max() <= 0.01, sound
        assert np.abs(ours - exact).max() <= np.abs(theirs - exact).max() + 1e-5, sound


def log_mel_in_float64(waveform: np.ndarray) -> np.ndarray:
    """`(time, mel)` decibels, straight from the definition."""
    padded = np.pad(waveform.astype(np.float64), 512, mode="reflect")
    framed = np.lib.stride_tricks.sliding_window_view(padded, 1024)[::320]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    power = np.abs(np.fft.rfft(framed * window)) ** 2
    return 10 * np.log10(np.maximum(power @ mel_matrix(PANNS_FRONT_END).astype(np.float64), 1e-10))


NARROW = CNN14Config(widths=(2, 2, 2, 2, 4, 8), reduction="none", head="tagger")


@pytest.fixture
def published(tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """A file of the published layout: the authors' own class, its blocks made narrow."""
    path = tmp_path / "Cnn14_mAP=0.431.pth"
    state = narrow_reference().state_dict()
    torch.save({"model": state}, path)
    return path, state


def narrow_reference() -> nn.Module:
    models: Any = panns_reference.reference_models()
    torch.manual_seed(1)
    network = nn.Module()
    network.spectrogram_extractor = models.Spectrogram(n_fft=1024, hop_length=320, win_length=1024)
    network.logmel_extractor = models.LogmelFilterBank(sr=32_000, n_fft=1024, n_mels=64, fmin=50, fmax=14_000)
    network.bn0 = nn.BatchNorm2d(64)
    widths = (1, *NARROW.widths)
    for block in range(1, 7):
        network.add_module(f"conv_block{block}", models.ConvBlock(widths[block - 1], widths[block]))
    network.fc1 = nn.Linear(8, 8)
    network.fc_audioset = nn.Linear(8, 527)
    return network


def test_a_file_of_the_published_layout_loads_in_both_of_torchs_formats(
    published: tuple[Path, dict[str, torch.Tensor]],
) -> None:
    path, state = published
    torch.save({"model": state}, path.with_name("old.pth"), _use_new_zipfile_serialization=False)
    for file in (path, path.with_name("old.pth")):
        trunk = CNN14Trunk.load(file, NARROW)
        assert not trunk.training
        for name, tensor in trunk.state_dict().items():
            torch.testing.assert_close(tensor, state[name], atol=0, rtol=0)


def test_every_missing_surplus_and_misshapen_tensor_is_listed(
    published: tuple[Path, dict[str, torch.Tensor]],
) -> None:
    path, state = published
    del state["conv_block3.bn1.running_mean"], state["fc_audioset.bias"], state["logmel_extractor.melW"]
    state["conv_block7.conv1.weight"] = torch.zeros(1)
    state["fc1.weight"] = torch.zeros(8, 9)
    torch.save({"model": state}, path)
    with pytest.raises(ModelError) as raised:
        CNN14Trunk.load(path, NARROW)
    assert str(raised.value) == (
        f"{path} holds another network; "
        "missing: conv_block3.bn1.running_mean, fc_audioset.bias, logmel_extractor.melW; "
        "surplus: conv_block7.conv1.weight; "
        "misshapen: fc1.weight is (8, 9), not (8, 8)"
    )


@pytest.mark.parametrize(
    "name",
    [
        "spectrogram_extractor.stft.conv_real.weight",
        "spectrogram_extractor.stft.conv_imag.weight",
        "logmel_extractor.melW",
    ],
)
def test_a_file_with_another_front_end_is_refused(
    published: tuple[Path, dict[str, torch.Tensor]], name: str
) -> None:
    path, state = published
    state[name] = state[name] * 1.001
    torch.save({"model": state}, path)
    with pytest.raises(ModelError, match=rf"another front end: {name} differs.*0\.001"):
        CNN14Trunk.load(path, NARROW)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weights": 1, "epoch": 2}, "holds no table of tensors under the key 'model', but: weights, epoch"),
        ([1, 2], "holds no table of tensors under the key 'model', but: list"),
        ({"model": {"bn0.weight": 3.0}}, "under the key 'model': these are no tensors: bn0.weight"),
        ({"model": Path}, "cannot be read as weights"),  # a pickle that would import something
    ],
)
def test_a_file_that_is_no_panns_file_is_refused(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "file.pth")
    with pytest.raises(ModelError, match=message):
        CNN14Trunk.load(tmp_path / "file.pth", NARROW)


def test_a_damaged_and_an_absent_file_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "damaged.pth").write_bytes(b"not a pickle")
    with pytest.raises(ModelError, match="cannot be read as weights"):
        CNN14Trunk.load(tmp_path / "damaged.pth")
    with pytest.raises(ModelError, match=r"no weights at .*Cnn14_mAP=0\.431\.pth is published at https"):
        CNN14Trunk.load(tmp_path / "absent.pth")


def test_a_published_file_is_the_same_network_whenever_it_is_read(
    published: tuple[Path, dict[str, torch.Tensor]],
) -> None:
    path, _ = published
    config = NARROW.model_copy(update={"reduction": "linear", "reduced_width": 4, "head": "none"})
    torch.manual_seed(3)
    first = CNN14Trunk.load(path, config)
    drawn = torch.rand(1)
    second = CNN14Trunk.load(path, config)
    torch.manual_seed(3)
    assert torch.rand(1) == drawn  # the caller's random numbers are left alone
    assert first.width == 4
    for name, tensor in first.state_dict().items():
        torch.testing.assert_close(tensor, second.state_dict()[name], atol=0, rtol=0)


@pytest.mark.parametrize(
    "trunk",
    [
        CNN10Trunk(CNN10Config(widths=(2, 2, 2, 4))),
        CNN14Trunk(CNN14Config(widths=(2, 2, 2, 2, 4, 8), reduced_width=3)),
        ResNet38Trunk(ResNet38Config(widths=(2, 2, 2, 4), depths=(1, 1, 1, 1), width=8)),
    ],
    ids=lambda trunk: type(trunk).__name__,
)
def test_a_saved_trunk_loads_as_it_was(trunk: PannsTrunk, tmp_path: Path) -> None:
    path = tmp_path / "trunk.safetensors"
    trunk.eval().save(path)
    loaded = type(trunk).load(path)
    assert loaded.config == trunk.config
    log_mel = torch.randn(1, 64, 64)
    torch.testing.assert_close(loaded(log_mel)[0], trunk(log_mel)[0], atol=0, rtol=0)
    with pytest.raises(ModelError, match="cannot be read as"):
        type(trunk).load(path, trunk.config.model_copy(update={"norms": "frozen"}))
    other = CNN10Trunk if isinstance(trunk, CNN14Trunk) else CNN14Trunk
    with pytest.raises(ModelError, match=f"holds no {other.__name__}"):
        other.load(path)


def test_published_and_saved_trunks_are_found_by_name(
    published: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    saved = {
        "cnn14": CNN14Trunk(CNN14Config(widths=(2, 2, 2, 2, 4, 8), reduced_width=3)),
        "cnn10": CNN10Trunk(CNN10Config(widths=(2, 2, 2, 4))),
        "resnet38": ResNet38Trunk(ResNet38Config(widths=(2, 2, 2, 4), depths=(1, 1, 1, 1), width=8)),
    }
    for name, trunk in saved.items():
        trunk.save(tmp_path / f"{name}.safetensors")
        built: Any = build_trunk(name, tmp_path / f"{name}.safetensors")
        assert type(built) is type(trunk)
        assert built.width == trunk.width
        assert not any(parameter.requires_grad for parameter in built.parameters())
    with pytest.raises(ModelError, match=r"misshapen: .*is \(2, 1, 3, 3\), not \(64, 1, 3, 3\)"):
        build_trunk("cnn14", published[0])
