"""Several libraries that one model filled, searched as one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundseek.errors import LibraryError, UsageError
from soundseek.library.hits import Hit, Hits
from soundseek.library.library import Library, LibraryInfo
from soundseek.library.library_model import given_model
from soundseek.library.location import engine_of
from soundseek.library.paths import absolute
from soundseek.library.search import of_library

if TYPE_CHECKING:
    from soundseek.library.workers import EmbeddingModel
    from soundseek.query import Reading


class LibrarySet:
    """Libraries that are searched together; each hit says which of them it is of. Make it with `LibrarySet.open`.

    Attributes:
        libraries: Location -> library.
    """

    def __init__(self, libraries: Sequence[Library]) -> None:
        self.libraries = {library.store.location: library for library in libraries}
        self._first = next(iter(self.libraries.values()))

    @classmethod
    def open(
        cls, paths: Sequence[str | os.PathLike[str]], *, model: EmbeddingModel | str | Path | None = None
    ) -> LibrarySet:
        """The libraries in some folders.

        Args:
            paths: The folders, or engines' URIs; one that is named twice counts once.
            model: The model to use, or its name or directory; None takes the one that filled them.

        Raises:
            UsageError: There is no path.
            LibraryError: One holds no library, or different models filled them: their scores cannot be compared.
        """
        locations = [os.fspath(path) for path in paths]
        folders = dict.fromkeys(
            each if engine_of(each) else absolute(each, "the library's folder") for each in locations
        )
        if not folders:
            raise UsageError("no library to search; give the folders of one or more")
        with ExitStack() as opened:
            chosen = given_model(model)  # loaded once, for all of them
            libraries = [opened.enter_context(Library.open(folder, model=chosen)) for folder in folders]
            first = libraries[0].store
            for library in libraries[1:]:
                ours, theirs = first.identity, library.store.identity
                if (ours.fingerprint, ours.dim) != (theirs.fingerprint, theirs.dim):
                    raise LibraryError(
                        f"{first.location} was filled by the model {ours.name} ({ours.fingerprint}) and "
                        f"{library.store.location} by {theirs.name} ({theirs.fingerprint}): scores of two models "
                        "cannot be compared. Search them one by one, or index the sounds of one again with the "
                        "other's model"
                    )
                library.use_model_of(libraries[0])
            opened.pop_all()
        return cls(libraries)

    @property
    def model(self) -> EmbeddingModel:
        """The model that filled them."""
        return self._first.model

    def search(self, text: str | Reading | None = None, *, k: int | None = None, **options: Any) -> Hits:
        """The sounds of all libraries that fit best, best first; the arguments are those of `Library.search`.

        A file that several of them hold is a hit once. `match` is that of each library alone.
        """
        reading = (
            self._first.read(text)
            if isinstance(text, str) and text.strip() and not options.get("as_typed")
            else text
        )
        each = {
            location: library.search(reading, k=k, **options) for location, library in self.libraries.items()
        }
        found = [of_library(hit, location) for location, hits in each.items() for hit in hits]
        ranked = any(hit.moments for hit in found)
        found.sort(key=(lambda hit: (-hit.rank_score, hit.path)) if ranked else (lambda hit: (0.0, hit.path)))
        best: dict[tuple[str, float], Hit] = {}
        for hit in found:
            best.setdefault((hit.path, hit.start_s), hit)
        hits = list(best.values())
        limit = k if k is not None or not ranked else 10
        return Hits(
            hits[:limit],
            reading=None if isinstance(reading, str) else reading,
            nothing_alike=bool(hits) and all(own.nothing_alike for own in each.values() if own),
        )

    def similar(self, path: str | os.PathLike[str], **options: Any) -> Hits:
        """The sounds of all libraries most like a file; the arguments are those of `Library.similar`."""
        return self.search(like=[path], **options)

    def read(self, text: str) -> Reading:
        """A query as a search reads it; see `Library.read`."""
        return self._first.read(text)

    def explain(self, text: str | Reading, hits: Sequence[Hit], *, as_typed: bool = False) -> list[list[str]]:
        """The words of a query that carried each hit; see `Library.explain`."""
        return self._first.explain(text, hits, as_typed=as_typed)

    def info(self) -> LibraryInfo:
        """What the libraries are and hold together; `path` names them all."""
        each = [library.info() for library in self.libraries.values()]
        return replace(
            each[0],
            path=", ".join(info.path for info in each),
            folders=tuple(sorted({folder for info in each for folder in info.folders})),
            files=sum(info.files for info in each),
            segments=sum(info.segments for info in each),
            audio_hours=sum(info.audio_hours for info in each),
            bytes_on_disk=sum(info.bytes_on_disk for info in each),
            failures=sum(info.failures for info in each),
            cut=sum(info.cut for info in each),
            formats=tuple(dict.fromkeys(name for info in each for name in info.formats)),
            cut_files=tuple(path for info in each for path in info.cut_files),
            unmeasured=sum(info.unmeasured for info in each),
            missing_folders=tuple(sorted({folder for info in each for folder in info.missing_folders})),
        )

    def close(self) -> None:
        """Let go of the files."""
        for library in self.libraries.values():
            library.close()

    def __enter__(self) -> LibrarySet:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
