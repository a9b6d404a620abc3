"""The file of a trunk: tensors and a config that are its own, or a publisher's tensors, and whether they fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from soundseek.errors import ModelError

AnyConfig = TypeVar("AnyConfig", bound=BaseModel)
Shapes = Mapping[str, tuple[int, ...]]


def save_weights(trunk: nn.Module, path: Path, **metadata: str) -> None:
    """Write a trunk's tensors to one safetensors file, with some text beside them, such as its config by a key."""
    tensors = {name: tensor.contiguous() for name, tensor in trunk.state_dict().items()}
    save_file(tensors, path, metadata=metadata or None)


def saved_config(path: Path, key: str, config_type: type[AnyConfig], advice: str = "") -> AnyConfig:
    """The config in a file of `save_weights`.

    Args:
        path: The file.
        key: Under which it stands there.
        config_type: Its class.
        advice: What to do where there is none.

    Raises:
        ModelError: There is none, or one of another version.
    """
    with reading_weights(path), safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
    if key not in metadata:
        raise ModelError(f"{path} holds no {key} (its metadata lacks that key){advice}")
    try:
        return config_type.model_validate_json(metadata[key])
    except ValidationError as error:
        raise ModelError(f"{path} was written by another version of soundseek: {error}") from error


@contextmanager
def reading_weights(path: Path) -> Iterator[None]:
    """Inside, a damaged safetensors file is a ModelError that names it."""
    try:
        yield
    except SafetensorError as error:
        raise ModelError(
            f"{path} is damaged, or no safetensors file: {error}; fetch or make it again"
        ) from error


def read_weights(path: Path, under: str | None = None) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file, or of a `.pt` without running anything that it contains.

    Args:
        path: The file.
        under: In a `.pt`, the key of the tensors' table; None where the file is the table.

    Raises:
        ModelError: It cannot be read, or holds something else.
    """
    content: Any
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    # A damaged archive, a foreign pickle and a cut-off safetensors file share no nearer base.
    except Exception as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        if "Weights only load failed" in first:  # PyTorch then advises to run whatever the file says
            first = "it is no PyTorch checkpoint of tensors alone"
        raise ModelError(
            f"{path} cannot be read as weights: {first}; fetch it again, or give another file"
        ) from error
    where = "" if under is None else f" under the key {under!r}"
    state = content.get(under) if under is not None and isinstance(content, dict) else content
    if not isinstance(state, dict):
        found = (
            ", ".join(map(str, list(content)[:8])) if isinstance(content, dict) else type(content).__name__
        )
        raise ModelError(f"{path} holds no table of tensors{where}, but: {found or 'nothing'}")
    strange = [str(name) for name, value in state.items() if not isinstance(value, Tensor)]
    if strange:
        raise ModelError(f"{path}{where}: these are no tensors: {', '.join(strange[:8])}")
    return dict(state)


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Name -> shape."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


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
