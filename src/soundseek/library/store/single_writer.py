"""The side of a store that writes: one thread of one process at a time, and only what the model and the lock allow."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from soundseek.errors import LibraryError
from soundseek.library.store.base import (
    Changes,
    Damage,
    ModelIdentity,
    SoundFile,
    check_identity,
    check_sound,
)


class SingleWriterStore(ABC):
    """What stores do alike before anything is written.

    A store's `writing` notes in `_writer` the thread that holds the right to write, and None when it has let go.

    Args:
        location: Where it is, for people and for `open_store`.
        identity: The model that filled it.
    """

    def __init__(self, location: str, identity: ModelIdentity) -> None:
        self._location = location
        self._identity = identity
        self._writer: int | None = None

    @property
    def location(self) -> str:
        """Where it is, for people: a folder, "memory://", or a URI without its password."""
        return self._location

    @property
    def identity(self) -> ModelIdentity:
        """The model that filled it."""
        return self._identity

    @abstractmethod
    def writing(self) -> AbstractContextManager[None]:
        """Hold the right to write."""

    def use_model(self, identity: ModelIdentity) -> None:
        """Note that another model searches here from now on; the vectors stay those of the one that filled it.

        Raises:
            LibraryError: It would give sounds other vectors, or another process is writing.
        """
        check_identity(self.location, self._identity, identity)
        with self.writing():
            self._rename_model(identity)
        self._identity = replace(self._identity, name=identity.name, source=identity.source)

    def commit(self, changes: Changes) -> None:
        """Apply all of `changes` durably, or none of it; Milvus keeps to that sound by sound.

        Raises:
            LibraryError: This thread has not the right to write, a sound's arrays do not fit, or they cannot be kept.
        """
        self._need_lock()
        for sound in changes.sounds:
            check_sound(sound, self._identity.dim)
        self._apply(changes)

    def repair(self, damages: Sequence[Damage]) -> int:
        """Drop damaged sounds and their rows, so that the next run embeds them anew; how many were dropped."""
        dropped = [damage.path for damage in damages if damage.is_sound]
        self.commit(Changes(removed=dropped))
        return len(dropped)

    @abstractmethod
    def same_content(self, content_hash: bytes) -> list[SoundFile]:
        """Files with this content, ordered by path."""

    def twin(self, content_hash: bytes, limit_s: float) -> SoundFile | None:
        """One file with this content, embedded whole or at least up to `limit_s`."""
        return next((file for file in self.same_content(content_hash) if file.suffices(limit_s)), None)

    @abstractmethod
    def _apply(self, changes: Changes) -> None:
        """Write changes whose arrays fit."""

    @abstractmethod
    def _rename_model(self, identity: ModelIdentity) -> None:
        """Write name and source of the model that searches."""

    def _need_lock(self) -> None:
        if self._writer != threading.get_ident():
            raise LibraryError(
                f"{self.location}: writing needs the lock; do it inside `with store.writing():`"
            )


def being_written(location: object, holder: str) -> LibraryError:
    """What is raised where somebody else has the right to write."""
    return LibraryError(
        f"{location} is being written by {holder}; wait until it is done, or stop it. Searching still works"
    )
