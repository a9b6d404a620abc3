"""What a misspelt name or key was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel


def nearest(word: str, known: Sequence[str]) -> str:
    """The end of a message: the known name that was probably meant, or all that are known.

    >>> nearest("epoch", ["batch_size", "epochs"])
    "did you mean 'epochs'?"
    """
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(known)}" if known else "there are none"


def keys_at(model: type[BaseModel], sections: Sequence[str]) -> list[str]:
    """The keys of the section that stands under these names in a config."""
    for section in sections:
        if section in model.model_fields:  # else the name of a stage, or the place of an item in a list
            model = next(_models(model.model_fields[section].annotation), model)
    return list(model.model_fields)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for candidate in get_args(annotation):
        yield from _models(candidate)
