"""Where vectors are kept: `open_store` chooses the `VectorStore` by its location."""

from __future__ import annotations

from pathlib import Path

from soundseek.errors import UsageError
from soundseek.library.store.base import ModelIdentity, NoLibraryError, VectorStore

MEMORY = "memory://"


def open_store(location: str, *, identity: ModelIdentity | None, create: bool) -> VectorStore:
    """The store at a location.

    Args:
        location: A folder, or "memory://" for a new one that nobody else sees.
        identity: The model to be used with it; None takes whichever filled it.
        create: Make one where there is none (needs `identity`).

    Raises:
        LibraryError: There is none (`NoLibraryError`), it was filled by another model, or it cannot be read.
        UsageError: The location is of a kind that soundseek does not know.
    """
    if location == MEMORY:
        if identity is None:
            raise NoLibraryError("a library in memory is new, and needs a model to be filled by")
        from soundseek.library.store.memory import MemoryStore

        return MemoryStore(identity)
    if "://" in location:
        kind = location.split("://")[0]
        raise UsageError(f"no kind of library {kind!r} in {location!r}; give a folder, or {MEMORY}")
    from soundseek.library.store.sqlite import SqliteStore

    return SqliteStore.open(Path(location).expanduser().absolute(), identity=identity, create=create)
