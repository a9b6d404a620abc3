"""The PANNs authors' own networks, from the packages `panns-inference` and `panns-at-inference`, with random weights.

Importing either package fetches a table of labels into the home directory; here only its module `models` is imported.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import nn

FRONT_END = {
    "sample_rate": 32_000,
    "window_size": 1024,
    "hop_size": 320,
    "mel_bins": 64,
    "fmin": 50,
    "fmax": 14_000,
}
NUM_CLASSES = 527


def reference_models(package: str = "panns_inference") -> ModuleType:
    """The module `models` of one of the two packages, without running the package's own `__init__`."""
    if package not in sys.modules:
        found = find_spec(package)
        assert found is not None, f"{package} is not installed; see the extra 'dev'"
        bare = ModuleType(package)
        bare.__path__ = list(found.submodule_search_locations or [])
        bare.__spec__ = ModuleSpec(package, None, is_package=True)
        sys.modules[package] = bare
    return importlib.import_module(f"{package}.models")


def cnn14(*, seed: int = 0) -> nn.Module:
    """The published class."""
    torch.manual_seed(seed)
    return _randomised(reference_models().Cnn14(**FRONT_END, classes_num=NUM_CLASSES))


def resnet38(*, seed: int = 0) -> nn.Module:
    """The published class; `panns-inference` lacks it, its fork `panns-at-inference` has it."""
    torch.manual_seed(seed)
    return _randomised(reference_models("panns_AT_inference").ResNet38(**FRONT_END, classes_num=NUM_CLASSES))


def cnn10(*, seed: int = 0) -> nn.Module:
    """CNN10 by table I of the PANNs paper, of the published class's parts; no package on PyPI has it as published."""
    torch.manual_seed(seed)
    return _randomised(_Cnn10())


class _Cnn10(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        models: Any = reference_models()
        parts = models.Cnn14(**FRONT_END, classes_num=NUM_CLASSES)
        self.spectrogram_extractor = parts.spectrogram_extractor
        self.logmel_extractor = parts.logmel_extractor
        self.bn0 = nn.BatchNorm2d(64)
        self.conv_block1 = models.ConvBlock(1, 64)
        self.conv_block2 = models.ConvBlock(64, 128)
        self.conv_block3 = models.ConvBlock(128, 256)
        self.conv_block4 = models.ConvBlock(256, 512)
        self.fc1 = nn.Linear(512, 512)
        self.fc_audioset = nn.Linear(512, NUM_CLASSES)

    def forward(self, waveform: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.logmel_extractor(self.spectrogram_extractor(waveform))
        x = self.bn0(x.transpose(1, 3)).transpose(1, 3)
        for block in (self.conv_block1, self.conv_block2, self.conv_block3, self.conv_block4):
            x = block(x, pool_size=(2, 2), pool_type="avg")
        x = x.mean(dim=3)
        x = x.amax(dim=2) + x.mean(dim=2)
        embedding = torch.relu(self.fc1(x))
        return {"clipwise_output": torch.sigmoid(self.fc_audioset(embedding)), "embedding": embedding}


def _randomised(network: nn.Module) -> nn.Module:
    """Norms with means, variances, scales and shifts of their own, as training leaves them, in eval mode."""
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            is_input = name == "bn0"  # decibels: -100 is silence
            module.running_mean.normal_(-40.0, 5.0) if is_input else module.running_mean.normal_(0.0, 0.1)
            module.running_var.uniform_(200.0, 400.0) if is_input else module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    return network.eval().requires_grad_(False)
