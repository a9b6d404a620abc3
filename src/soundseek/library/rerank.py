"""Two-stage search: a quick model proposes files, a better one ranks them, by stored vectors or fresh ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from soundseek.errors import LibraryError
from soundseek.library.further_models import folder_of_model
from soundseek.library.hits import Hit, Hits
from soundseek.library.library import Library, holds_library
from soundseek.library.location import engine_of
from soundseek.library.store.sqlite import MEMORY
from soundseek.library.workers import EmbeddingModel

PROPOSED = 200
"""Files that the first model proposes."""


@contextmanager
def second_library(location: str | Path | None, model: EmbeddingModel) -> Iterator[Library]:
    """What the second model knows of a library: its stored vectors, or an empty library in memory.

    Args:
        location: The library's folder; None is the user's own.
        model: The second model.

    Raises:
        LibraryError: The library is the second model's own, so that there is nothing to rank anew.
    """
    folder = folder_of_model(location, model)
    with Library.open(location, create=False) as first:
        if first.store.identity.fingerprint == model.fingerprint:
            raise LibraryError(
                f"{first.store.location} was filled by this very model, which cannot rank its own hits anew; "
                "choose another one for --rerank"
            )
    # An engine's library has no vectors of a second model inside.
    stored = engine_of(folder) is None and holds_library(str(folder))
    with Library.open(folder, model=model) if stored else Library.create(MEMORY, model=model) as second:
        yield second


def rerank(proposed: Sequence[Hit], second: Library, search: dict[str, object], *, k: int) -> Hits:
    """The best `k` of the files that a first search proposes, as a second model ranks them.

    Files that `second` has no vectors of are embedded now; in a library in memory they stay, for a further search.

    Args:
        proposed: Hits of the first model, one a file.
        second: See `second_library`.
        search: Arguments of `Library.search`, as the first search had them.
        k: How many.
    """
    paths = [hit.path for hit in proposed]
    fresh = [path for path in paths if second.store.file(path) is None]
    if not fresh:
        return _ranked(second, search, paths, k)
    if second.store.location == MEMORY:
        second.index(*fresh)
        return _ranked(second, search, paths, k)
    with Library.create(MEMORY, model=second.model) as beside:
        beside.index(*fresh)
        stored, new = _ranked(second, search, paths, k), _ranked(beside, search, fresh, k)
    return Hits(
        sorted([*stored, *new], key=lambda hit: -hit.rank_score)[:k],
        reading=stored.reading,
        negatives=stored.negatives,
        nothing_alike=all(own.nothing_alike for own in (stored, new) if own),
    )


def _ranked(library: Library, search: dict[str, object], paths: Sequence[str], k: int) -> Hits:
    return library.search(k=k, only=paths, **search)  # type: ignore[arg-type]
