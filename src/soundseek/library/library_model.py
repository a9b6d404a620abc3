"""The model of a library: what the library notes of it, how it is found again, and how workers load it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundseek.errors import UsageError
from soundseek.library.store.base import ModelIdentity

if TYPE_CHECKING:
    from soundseek.library.workers import EmbeddingModel, LoadModel


def identity_of(model: EmbeddingModel) -> ModelIdentity:
    """What a library notes of its model."""
    config: Any = getattr(model, "config", None)
    directory: Path | None = getattr(model, "directory", None)
    name = config.name if config is not None else type(model).__name__
    # An adapted model has words of its own, and gives sounds the vectors of the one that it was adapted from.
    fingerprint = (config.hears_like if config is not None else "") or model.fingerprint
    return ModelIdentity(name, fingerprint, model.dim, _source(name, directory))


def _source(name: str, directory: Path | None) -> str:
    """Where the model is found again: an installed one by its name, since its folder may move."""
    if directory is None:
        return ""
    from soundseek.model.registry import installed_models

    resolved = directory.resolve()
    installed = installed_models().get(directory.name)
    return directory.name if installed is not None and installed.resolve() == resolved else str(resolved)


def given_model(model: EmbeddingModel | str | Path | None) -> EmbeddingModel | None:
    """A model that was given by its name or directory is loaded.

    Raises:
        ModelError: There is no such model.
        UsageError: It is no model at all.
    """
    if isinstance(model, str | Path):
        return load_named_model(model)
    if model is not None and not hasattr(model, "fingerprint"):
        raise UsageError(f"model takes a model, its name or its directory, not {model!r:.60}")
    return model


def load_named_model(source: str | Path | None) -> EmbeddingModel:
    from soundseek.model.registry import load_model

    return load_model(source)


def loader_of(model: EmbeddingModel, *, in_this_process: bool) -> LoadModel:
    """What gives a worker its model; another process loads the model directory itself, on one thread."""
    directory: Path | None = getattr(model, "directory", None)
    if in_this_process or directory is None:
        return partial(_given, model)
    return partial(_load_for_worker, directory)


def _given(model: EmbeddingModel) -> EmbeddingModel:
    return model


def _load_for_worker(directory: Path) -> EmbeddingModel:
    from soundseek.model.model import Model

    return Model(directory, threads=1)
