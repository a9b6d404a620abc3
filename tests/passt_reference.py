"""The PaSST authors' own network and front end, from the package `hear21passt`, with random weights.

The package asks for timm and torchaudio; here `pip install --no-deps hear21passt` is enough. Its network needs timm
for downloads alone, and its front end needs one function of torchaudio: `_stand_ins` has both.

Where the package is absent, the tests hold our network against what it gave once, in `passt_golden.json`:
`python tests/passt_reference.py` writes that file anew.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from soundseek.audio.logmel import FrontEndConfig, mel_matrix

PACKAGE = "hear21passt"
GOLDEN = Path(__file__).with_name("passt_golden.json")
TOY = {"width": 12, "depth": 2, "num_heads": 3}
CLIPS = {"ten seconds": 1000, "one patch": 16, "three and a half seconds": 347}
"""Log-mel frames."""


def installed() -> bool:
    """Whether the package is here at all."""
    return PACKAGE in sys.modules or find_spec(PACKAGE) is not None


def published_class(*, width: int = 768, depth: int = 12, num_heads: int = 12) -> nn.Module:
    """The published network, made as the package's `passt_s_swa_p16_128_ap476` makes it."""
    models: Any = _module("models.passt")
    models.first_RUN = False  # it would print the shapes of its first run
    passt: nn.Module = models.PaSST(
        img_size=(128, 998), patch_size=16, stride=(10, 10), in_chans=1, num_classes=527,
        embed_dim=width, depth=depth, num_heads=num_heads, distilled=True,
    )  # fmt: skip
    return passt


def network(*, width: int = 768, depth: int = 12, num_heads: int = 12) -> nn.Module:
    """The published network with `draw`'s weights, in eval mode; it takes any length up to ten seconds."""
    passt = published_class(width=width, depth=depth, num_heads=num_heads)
    passt.load_state_dict(draw({name: tuple(tensor.shape) for name, tensor in passt.state_dict().items()}))
    return passt.eval().requires_grad_(False)


def draw(shapes: Mapping[str, Sequence[int]]) -> dict[str, torch.Tensor]:
    """Weights such as training leaves them, of their names and shapes alone: the same on every machine.

    Large enough that sounds make a difference, with norms that neither scale by one nor shift by nothing.
    """
    generator = np.random.RandomState(0)  # its stream never changes, as numpy promises
    state = {}
    for name, shape in sorted(shapes.items()):
        values = generator.standard_normal(tuple(shape)) * (2 / np.sqrt(max(shape[-1], 16)))
        if "norm" in name or name.startswith("head.0"):
            values = values * 0.2 + name.endswith("weight")
        state[name] = torch.from_numpy(values.astype(np.float32))
    return state


def noise(*shape: int) -> torch.Tensor:
    """Standard normal numbers, the same on every machine."""
    return torch.from_numpy(np.random.RandomState(1).standard_normal(shape).astype(np.float32))


def front_end() -> nn.Module:
    """The published front end at inference; the mel filters are ours, of the bands that it asks for."""
    preprocess: Any = _module("models.preprocess")
    with torch.no_grad():
        mel: nn.Module = preprocess.AugmentMelSTFT(
            n_mels=128, sr=32_000, win_length=800, hopsize=320, n_fft=1024, freqm=48, timem=192,
            htk=False, fmin=0.0, fmax=None, norm=1, fmin_aug_range=10, fmax_aug_range=2000,
        )  # fmt: skip
    return mel.eval()


def _module(name: str) -> ModuleType:
    """A module of the package, without running the package's own `__init__`, which would import all of torchaudio."""
    if PACKAGE not in sys.modules:
        found = find_spec(PACKAGE)
        assert found is not None, f"{PACKAGE} is not installed: pip install --no-deps {PACKAGE}"
        for bare in (PACKAGE, f"{PACKAGE}.models"):
            module = ModuleType(bare)
            inside = "/models" if bare != PACKAGE else ""
            module.__path__ = [f"{path}{inside}" for path in found.submodule_search_locations or []]
            module.__spec__ = ModuleSpec(bare, None, is_package=True)
            sys.modules[bare] = module
    with _stand_ins():
        return importlib.import_module(f"{PACKAGE}.{name}")


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Modules with what the package names of timm and torchaudio, for as long as it is being imported."""
    hub: Any = ModuleType("timm.models._hub")
    hub.download_cached_file = None
    torchaudio: Any = ModuleType("torchaudio")

    def no_mask(*_: Any, **__: Any) -> nn.Module:
        return nn.Identity()  # these act in training only

    torchaudio.transforms = SimpleNamespace(FrequencyMasking=no_mask, TimeMasking=no_mask)
    torchaudio.compliance = SimpleNamespace(kaldi=SimpleNamespace(get_mel_banks=_mel_banks))
    fakes = {"timm": ModuleType("timm"), "timm.models": ModuleType("timm.models"), hub.__name__: hub}
    fakes["torchaudio"] = torchaudio
    before = {name: sys.modules.get(name) for name in fakes}
    sys.modules.update(fakes)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _mel_banks(
    num_mels: int, n_fft: int, rate_hz: float, f_min_hz: float, f_max_hz: float, **_: Any
) -> tuple[torch.Tensor, None]:
    """What torchaudio's Kaldi gives: `(mel, n_fft // 2)`, without the last bin."""
    config = FrontEndConfig(
        sample_rate_hz=int(rate_hz), n_fft=n_fft, num_mels=num_mels, f_min_hz=f_min_hz, f_max_hz=f_max_hz
    )
    return torch.from_numpy(np.ascontiguousarray(mel_matrix(config)[:-1].T)), None


def write_golden() -> None:
    """What the toy-sized published network gives, and the names and shapes of its tensors."""
    passt = network(**TOY)
    given = {}
    for clip, length in CLIPS.items():
        logits, features = passt(noise(1, length, 128).transpose(1, 2).unsqueeze(1))
        given[clip] = {"features": features[0].tolist(), "logits": logits[0, :12].tolist()}
    shapes = {name: list(tensor.shape) for name, tensor in passt.state_dict().items()}
    GOLDEN.write_text(json.dumps({"shapes": shapes, "given": given}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_golden()
