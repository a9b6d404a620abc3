"""The published PANNs files: a pickled dict whose "model" holds a tagger's tensors, its front end included."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from soundseek.audio.logmel import PANNS_FRONT_END, FrontEndConfig, mel_matrix, padded_window
from soundseek.errors import ModelError

Shapes = Mapping[str, tuple[int, ...]]

_TOLERANCE = 1e-5
"""Largest difference from our front end, as a share of a matrix's largest entry: far above float32's rounding, far
below what another window, scale or norm makes."""


def read_published(path: Path, expected: Shapes) -> dict[str, Tensor]:
    """The network's tensors in a published file, which must hold exactly the expected ones and the front end.

    Args:
        path: Such as `Cnn14_mAP=0.431.pth`.
        expected: Names and shapes of the network's tensors, without the front end's.

    Raises:
        ModelError: Not such a file; missing, surplus or misshapen tensors, which are listed; or a front end that
            differs from `PANNS_FRONT_END`.
    """
    state = _read(path)
    fixed = fixed_matrices(PANNS_FRONT_END)
    shapes = {name: tuple(matrix.shape) for name, matrix in fixed.items()} | dict(expected)
    check_shapes(path, {name: tuple(tensor.shape) for name, tensor in state.items()}, shapes)
    for name, ours in fixed.items():
        theirs = state.pop(name).double().numpy()
        difference = float(np.abs(theirs - ours).max() / np.abs(ours).max())
        if not difference <= _TOLERANCE:
            raise ModelError(
                f"{path} was trained on another front end: {name} differs from that of {PANNS_FRONT_END!r} by "
                f"{difference:.2g} of its largest entry"
            )
    return state


def check_shapes(path: Path, found: Shapes, expected: Shapes) -> None:
    """Raise a ModelError that lists every missing, surplus and misshapen tensor of a file, if there is one."""
    missing = sorted(expected.keys() - found.keys())
    surplus = sorted(found.keys() - expected.keys())
    misshapen = [
        f"{name} is {found[name]}, not {expected[name]}"
        for name in sorted(found.keys() & expected.keys())
        if found[name] != expected[name]
    ]
    lists = (("missing", missing), ("surplus", surplus), ("misshapen", misshapen))
    wrong = [f"{kind}: {', '.join(names)}" for kind, names in lists if names]
    if wrong:
        raise ModelError(f"{path} holds another network; {'; '.join(wrong)}")


def fixed_matrices(config: FrontEndConfig) -> dict[str, npt.NDArray[np.float64]]:
    """The tensors that stand for a front end in a published file, computed from our own.

    A windowed Fourier transform is written as two convolutions, `(n_fft // 2 + 1, 1, n_fft)` each.
    """
    n_fft = config.n_fft
    # k n modulo N keeps the angle small, so the last bins are as exact as the first.
    turns = np.outer(np.arange(n_fft // 2 + 1), np.arange(n_fft)) % n_fft / n_fft
    window = padded_window(config).astype(np.float64)
    return {
        "spectrogram_extractor.stft.conv_real.weight": (np.cos(2 * np.pi * turns) * window)[:, None],
        "spectrogram_extractor.stft.conv_imag.weight": (-np.sin(2 * np.pi * turns) * window)[:, None],
        "logmel_extractor.melW": mel_matrix(config).astype(np.float64),
    }


def _read(path: Path) -> dict[str, Tensor]:
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as a file of weights: {error}") from error
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict):
        keys = ", ".join(map(str, list(content)[:8])) if isinstance(content, dict) else type(content).__name__
        raise ModelError(
            f"{path} is no PANNs file: expected tensors under the key 'model', found {keys or 'nothing'}"
        )
    strange = [str(name) for name, value in model.items() if not isinstance(value, Tensor)]
    if strange:
        raise ModelError(f"{path}: under 'model' these are no tensors: {', '.join(strange)}")
    return dict(model)
