"""Where vectors are kept: `open_store` opens the store at a location."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from soundseek.errors import UsageError
from soundseek.library.location import engine_of
from soundseek.library.paths import absolute
from soundseek.library.store.base import ModelIdentity, NoLibraryError

if TYPE_CHECKING:
    from soundseek.library.store.base import Store


def open_store(location: str, *, identity: ModelIdentity | None, create: bool) -> Store:
    """The store at a location.

    Args:
        location: A folder; a URI, as postgresql://host/database; or "memory://" for a new folder that is gone when it
            is closed.
        identity: The model to be used with it; None takes whichever filled it.
        create: Make one where there is none (needs `identity`).

    Raises:
        LibraryError: There is none (`NoLibraryError`), it was filled by another model, or it cannot be read.
        UsageError: The location is empty, or of a kind that soundseek does not know.
    """
    from soundseek.library.store.sqlite import MEMORY, SqliteStore

    if location == MEMORY:
        if identity is None or not create:
            raise NoLibraryError(f"{MEMORY} holds nothing yet; make it with Library.create({MEMORY!r})")
        return SqliteStore.temporary(identity)
    if engine_of(location) == "postgres":
        from soundseek.library.store.postgres import PostgresStore

        return PostgresStore.open(location, identity=identity, create=create)
    if engine_of(location) == "milvus":
        from soundseek.library.store.milvus import MilvusStore

        return MilvusStore.open(location, identity=identity, create=create)
    if "://" in location:
        kind = location.split("://")[0]
        raise UsageError(
            f"no kind of library {kind!r}; give a folder, postgresql://…, milvus://…, or {MEMORY}"
        )
    return SqliteStore.open(
        Path(absolute(location, "the library's folder")), identity=identity, create=create
    )
