"""One library, several models: the vectors of each in a folder of its own, inside the folder of the first.

`soundseek index --model laion-clap` beside a library that soundseek-small filled makes `LIBRARY/models/laion-clap`. The
folders that are scanned are those of the first. What is said of folders (`forget`, `relocate`) holds for all of them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeGuard

from soundseek.errors import LibraryError, UsageError
from soundseek.library.library import Library, default_library_path, holds_library
from soundseek.library.library_model import identity_of
from soundseek.library.location import engine_of
from soundseek.library.store import open_store
from soundseek.library.store.base import ModelIdentity, NoLibraryError
from soundseek.library.store.connection import INDEX_AGAIN
from soundseek.library.workers import EmbeddingModel

MODELS_FOLDER = "models"


def folder_of_model(location: str | Path | None, model: EmbeddingModel) -> str | Path:
    """Where a model's vectors are in a library: the folder itself, or one in its `models`.

    It is the folder itself where there is no library yet, where this model filled it, or where another version of it
    did, which is an error when it is opened. An engine keeps the vectors of one model: a further one has a library of
    its own there, with a name of its own.

    Args:
        location: The library's folder or URI; None is the user's own.
        model: The model.
    """
    if location is not None and engine_of(location) is not None:
        return str(location)
    folder = default_library_path() if location is None else Path(location).expanduser()
    identity = identity_of(model)
    first = _identity_at(folder)
    if first is None or first.name == identity.name or first.fingerprint == identity.fingerprint:
        return folder
    return folder / MODELS_FOLDER / _folder_name(identity.name)


def models_beside(location: str | Path) -> dict[str, Path]:
    """Names and folders of the further models whose vectors a library has; see `damaged_beside` for the others."""
    return _look_beside(location)[0]


def damaged_beside(location: str | Path) -> dict[Path, str]:
    """The folders of further models that cannot be read, each with what is wrong with it and the next step."""
    return _look_beside(location)[1]


def _look_beside(location: str | Path) -> tuple[dict[str, Path], dict[Path, str]]:
    found: dict[str, Path] = {}
    damaged: dict[Path, str] = {}
    if engine_of(location) is not None:
        return found, damaged
    place = Path(location) / MODELS_FOLDER
    try:
        folders = sorted(place.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return found, damaged
    except OSError as error:
        damaged[place] = f"{place}, with the vectors of further models, cannot be listed ({error.strerror})"
        return found, damaged
    for folder in folders:
        try:
            identity = _read_identity(folder)
        except LibraryError as error:
            damaged[folder] = _with_its_model(str(error), folder)
        else:
            if identity is not None:
                found[identity.name] = folder
    return found, damaged


def _with_its_model(error: str, folder: Path) -> str:
    """What is wrong with the folder of a further model, with the command that makes its vectors again.

    Without `--model` it would index with the first model, whose vectors are there.
    """
    if not error.endswith(INDEX_AGAIN):
        return error
    named = f"--model {shlex.quote(folder.name)} --library {shlex.quote(str(folder.parent.parent))}"
    return f"{error}, with its own model: soundseek index {named}"


@contextmanager
def every_model_of(library: Library, *, skip_damaged: bool = False) -> Iterator[list[Library]]:
    """The library itself, and those inside it that hold the vectors of further models.

    Args:
        library: The library.
        skip_damaged: Pass by what cannot be read, for the caller to name it (`damaged_beside`).

    Raises:
        LibraryError: One of them cannot be read.
    """
    beside, damaged = _look_beside(library.store.location)
    if damaged and not skip_damaged:
        raise LibraryError("; ".join(damaged.values()))
    with ExitStack() as opened:
        yield [library, *(opened.enter_context(Library.open(folder)) for folder in beside.values())]


def in_every_model(library: Library, change: Callable[[Library], int]) -> int:
    """Change the vectors of every model of a library; of how many sounds, in the model that has most of them.

    Args:
        library: The library; its further models are found in its folder.
        change: What to do; it raises UsageError where the vectors that it is given know nothing of what it is about.

    Raises:
        UsageError: No model's vectors know anything of it.
        LibraryError: One of them cannot be changed.
    """
    numbers = []
    refusals = []
    with every_model_of(library) as models:
        for each in models:
            try:
                numbers.append(change(each))
            except UsageError as error:
                refusals.append(error)
    if not numbers:
        raise refusals[0]
    return max(numbers)


def open_beside(
    location: str | Path | None, model: EmbeddingModel, *, create: bool, typed: str | None = None
) -> Library:
    """A library with the vectors of a model, which may be a further one.

    Args:
        location: The library's folder; None is the user's own.
        model: The model.
        create: Make what is missing, instead of an error.
        typed: The model as it was named, for the command that an error advises; None is where it is found again.

    Raises:
        LibraryError: There is none, it was filled by another version of the model, or it cannot be read.
    """
    folder = folder_of_model(location, model)
    identity = identity_of(model)
    try:
        return Library.open(folder, model=model, create=create)
    except NoLibraryError:
        if not _is_beside(folder) or not holds_library(str(folder.parent.parent)):
            raise
        named = f" --model {shlex.quote(typed or identity.source or identity.name)}"
        where = "" if location is None else f" --library {shlex.quote(str(location))}"
        raise NoLibraryError(
            f"{folder.parent.parent} has no vectors of the model {identity.name} yet; make them, of the same folders, "
            f"with: soundseek index{named}{where}"
        ) from None


def folders_of_first(location: str | Path | None, model: EmbeddingModel) -> tuple[str, ...]:
    """The folders that the first model of a library scans, where `model` is a further one that has none yet."""
    folder = folder_of_model(location, model)
    if not _is_beside(folder) or holds_library(str(folder)):
        return ()
    with Library.open(folder.parent.parent, create=False) as first:
        return tuple(sorted(first.store.roots()))


def _is_beside(folder: str | Path) -> TypeGuard[Path]:
    """Whether it is the folder of a further model."""
    return isinstance(folder, Path) and folder.parent.name == MODELS_FOLDER


def _identity_at(folder: Path) -> ModelIdentity | None:
    try:
        return _read_identity(folder)
    except LibraryError:  # what is wrong with it is said when it is opened
        return None


def _read_identity(folder: Path) -> ModelIdentity | None:
    """Which model filled a folder; None where there is no library, or only the beginning of one.

    Raises:
        LibraryError: It cannot be read.
    """
    try:
        if not holds_library(str(folder)):
            return None
        store = open_store(str(folder), identity=None, create=False)
    except NoLibraryError:
        return None
    except OSError as error:
        raise LibraryError(
            f"the library {folder} cannot be read ({error.strerror}); check who may read it"
        ) from error
    try:
        return store.identity
    finally:
        store.close()


def _folder_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip(".-") or "model"
