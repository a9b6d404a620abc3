"""`Library`: a folder of vectors that is filled from folders of sounds and asked in words."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from soundseek._typing import AnyFloatArray
from soundseek.errors import ModelError, QueryError, UsageError
from soundseek.library.explain import strongest_words, word_contributions
from soundseek.library.filters import parse_where
from soundseek.library.search import Hit, Hits, away_from, combine, find_any
from soundseek.library.store import open_store
from soundseek.library.store.base import (
    Failure,
    ModelIdentity,
    NoLibraryError,
    VectorStore,
    check_identity,
)
from soundseek.query import QueryReader, Reading
from soundseek.query import as_typed as read_as_typed

if TYPE_CHECKING:
    from soundseek.library.index import IndexReport, Progress
    from soundseek.library.workers import EmbeddingModel, Hear


@dataclass(frozen=True)
class LibraryInfo:
    """What a library is and holds.

    Attributes:
        path: Where it is.
        folders: The folders that were scanned.
        files: Sounds in it.
        segments: Vectors in it.
        audio_hours: Hours of sound that were heard.
        bytes_on_disk: Size of the library itself.
        model: Name of the model that filled it.
        fingerprint: Which version of that model.
        dim: Width of its vectors.
        failures: Files that could not be heard.
        cut: Files of which only the beginning was heard.
        last_indexed: When the last whole run ended, ISO 8601 in UTC; None if none has.
    """

    path: str
    folders: tuple[str, ...]
    files: int
    segments: int
    audio_hours: float
    bytes_on_disk: int
    model: str
    fingerprint: str
    dim: int
    failures: int
    cut: int
    last_indexed: str | None


def default_library_path() -> Path:
    """The library in the user's data folder."""
    import platformdirs

    return Path(platformdirs.user_data_dir("soundseek")) / "library"


class Library:
    """A library of sounds. Make it with `Library.open`; close it, or use it in a `with` block.

    Threads may share one library: every thread reads through its own connection. One run of `index` at a
    time; searching goes on meanwhile.
    """

    def __init__(self, store: VectorStore, model: EmbeddingModel | None = None) -> None:
        self.store = store
        self._model = model

    @classmethod
    def open(
        cls, path: str | Path | None = None, *, model: EmbeddingModel | None = None, create: bool = True
    ) -> Library:
        """The library in a folder.

        Args:
            path: The folder, or "memory://" for one that is gone with the process; None is the user's own.
            model: The model to use; None takes the one that filled the library, or the default one.
            create: Make an empty library where there is none.

        Raises:
            LibraryError: There is none, it was filled by another model, or it cannot be read.
            ModelError: There is no such model.
        """
        location = str(path) if path is not None else str(default_library_path())
        identity = identity_of(model) if model is not None else None
        try:
            return cls(open_store(location, identity=identity, create=create), model)
        except NoLibraryError:
            if path is None and not create:
                advice = "make one with: soundseek index FOLDER"
                raise NoLibraryError(f"{location} holds no library yet; {advice}") from None
            if identity is not None or not create:
                raise
        model = _load_model(None)
        return cls(open_store(location, identity=identity_of(model), create=True), model)

    @property
    def model(self) -> EmbeddingModel:
        """The model that filled the library, loaded when it is first needed.

        Raises:
            ModelError: It is no longer where it was.
            LibraryError: What is there now is another one.
        """
        if self._model is None:
            identity = self.store.identity
            try:
                model = _load_model(identity.source or identity.name)
            except ModelError as error:
                raise ModelError(
                    f"{self.store.location} was filled by the model {identity.name} "
                    f"({identity.fingerprint}), which cannot be loaded: {error}. Say where it is with --model"
                ) from error
            check_identity(self.store.location, identity, identity_of(model))
            self._model = model
        return self._model

    def index(
        self,
        *folders: str | os.PathLike[str],
        workers: int = 0,
        max_duration_s: float = 3600.0,
        progress: Callable[[Progress], None] | None = None,
    ) -> IndexReport:
        """Hear what is new or changed below some folders, and forget what is gone.

        Args:
            folders: Folders, or single files; none scans the folders of earlier runs again.
            workers: Processes that hear. A file that crashes its decoder takes one of them, not the run; a script
                must then call this under `if __name__ == "__main__":`. 0 hears in this process.
            max_duration_s: Of a longer file only the beginning is heard.
            progress: Is told now and then how far the run is.

        Raises:
            UsageError: A folder is missing (nothing is changed then), or a number makes no sense.
            LibraryError: Another process is indexing into this library, or the disk is full.
        """
        if workers < 0 or not max_duration_s > 0:
            raise UsageError(
                f"workers ({workers}) must be at least 0 and max_duration_s ({max_duration_s}) above 0"
            )
        from soundseek.audio.decode import AUDIO_EXTENSIONS
        from soundseek.library.index import update

        return update(
            self.store,
            folders,
            _loader(self.model, in_this_process=workers == 0),
            extensions=AUDIO_EXTENSIONS,
            workers=workers,
            max_duration_s=max_duration_s,
            progress=progress,
        )

    def search(
        self,
        text: str | Reading | None = None,
        *,
        k: int = 10,
        like: Sequence[str | os.PathLike[str]] = (),
        without: Sequence[str | Reading] = (),
        where: str | None = None,
        segments: bool = False,
        as_typed: bool = False,
    ) -> Hits:
        """The sounds that fit best, best first.

        A text is read first, see `read`; what it was read as is the `reading` of the hits, and a warning is logged
        where that is not what was typed. A `Reading` is searched for as it is.

        Args:
            text: What to listen for, in words.
            k: How many hits.
            like: Example sounds; they count like the words, and are not among the hits.
            without: What the sounds should not be like, in words.
            where: A condition on the files, as `duration < 5 and format = wav`.
            segments: Rank every segment, not only each file's best.
            as_typed: Search for the words as they are.

        Raises:
            QueryError: There is nothing to look for, or `where` cannot be understood.
            DecodeError: An example cannot be heard.
        """
        if isinstance(like, (str, os.PathLike)) or isinstance(
            without, str
        ):  # a str is a sequence, of letters
            raise QueryError("like and without take lists: like=['dog.wav'], without=['music']")
        if k < 1:
            raise QueryError(f"k is {k}: ask for at least one hit")
        condition = parse_where(where) if where is not None else None
        reading = self._read_aloud(text, as_typed)
        negatives = [
            each for each in (self._read_aloud(each, as_typed) for each in without) if each is not None
        ]
        examples = [os.path.abspath(os.path.expanduser(os.fspath(path))) for path in like]  # noqa: PTH100, PTH111
        hits = find_any(
            self.store,
            self._queries(reading, examples, negatives),
            k=k,
            per="segment" if segments else "file",
            where=condition,
            leave_out=examples,
        )
        return Hits(hits, reading=reading, negatives=negatives)

    def similar(
        self, path: str | os.PathLike[str], *, k: int = 10, where: str | None = None, segments: bool = False
    ) -> Hits:
        """The sounds most like a file, which need not be in the library and is not among the hits."""
        return self.search(k=k, like=[path], where=where, segments=segments)

    def read(self, text: str) -> Reading:
        """A query as a search reads it: in the words of captions, with what it excludes as negatives.

        Jargon, onomatopoeia, brands, UCS codes and other languages are said in plain words, "rain without thunder"
        becomes rain and the negative thunder, and mistyped words are corrected by the words that the model has learned
        (`words.txt` of its directory). A plain English text stays as it is.

        Raises:
            QueryError: It holds no letter and no digit.
        """
        return self._reader.read(text)

    def explain(self, text: str | Reading, hits: Sequence[Hit], *, as_typed: bool = False) -> list[list[str]]:
        """The one or two words of a query that carried each hit; `as_typed` as in the search that found them."""
        if not isinstance(text, Reading):
            text = read_as_typed(text) if as_typed else self.read(text)
        vectors = np.zeros((len(hits), self.store.identity.dim), np.float32)
        files: dict[str, tuple[AnyFloatArray, AnyFloatArray] | None] = {}
        for row, hit in enumerate(hits):
            if hit.path not in files:
                files[hit.path] = self.store.vectors(hit.path)
            heard = files[hit.path]
            if heard is not None:
                times_s, all_vectors = heard
                same = np.flatnonzero((times_s == (hit.start_s, hit.end_s)).all(axis=1))
                vectors[row] = all_vectors[same[0]] if len(same) else 0
        return [strongest_words(words) for words in word_contributions(self.model, text.text, vectors)]

    def info(self) -> LibraryInfo:
        """What the library is and holds."""
        stats, identity = self.store.stats(), self.store.identity
        return LibraryInfo(
            path=self.store.location,
            folders=tuple(sorted(self.store.roots())),
            files=stats.files,
            segments=stats.segments,
            audio_hours=stats.audio_s / 3600,
            bytes_on_disk=stats.bytes_on_disk,
            model=identity.name,
            fingerprint=identity.fingerprint,
            dim=identity.dim,
            failures=stats.failures,
            cut=stats.truncated,
            last_indexed=stats.last_indexed,
        )

    def failures(self) -> list[Failure]:
        """The files that could not be heard, ordered by path."""
        return self.store.failures()

    def close(self) -> None:
        """Let go of the files."""
        self.store.close()

    def __enter__(self) -> Library:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @cached_property
    def _reader(self) -> QueryReader:
        return QueryReader.of(self.model)

    def _read_aloud(self, text: str | Reading | None, as_typed: bool) -> Reading | None:
        """The reading of a text, and a warning of what was read; None of no words, for which no model is loaded."""
        if isinstance(text, Reading):
            return text
        if text is None or not text.strip():
            return None
        if as_typed:
            return read_as_typed(text)
        reading = self.read(text)
        log = logging.getLogger("soundseek")
        if not reading.is_as_typed:
            told = "searched for %s (typed %r); as_typed=True searches for the words as they are"
            log.warning(told, reading.described(), text)
        for warning in reading.warnings():
            log.warning("%s", warning)
        return reading

    def _queries(
        self, reading: Reading | None, examples: Sequence[str], negatives: Sequence[Reading]
    ) -> list[AnyFloatArray]:
        """The unit vector of each alternative of a reading, with examples and negatives; one batch of texts."""
        alternatives = reading.alternatives if reading else ()
        unwanted = [
            *(reading.negatives if reading else ()),
            *(text for each in negatives for text in each.texts),
        ]
        nothing = np.empty((0, self.store.identity.dim), np.float32)
        if not alternatives and not examples and not (reading and unwanted):
            return [combine(nothing, nothing)]
        texts = [text for each in alternatives for text in each] + unwanted
        embedded = self.model.embed_text(texts) if texts else nothing
        excluded = embedded[len(texts) - len(unwanted) :]
        heard = self.model.embed_audio(examples) if examples else nothing
        if not alternatives:
            return [combine(heard, excluded) if examples else away_from(excluded)]
        queries, at = [], 0
        for each in alternatives:
            # The texts of one alternative say the same thing, so that together they count as much as one example.
            words = combine(embedded[at : at + len(each)], nothing)
            queries.append(combine(np.concatenate([words[None], heard]), excluded))
            at += len(each)
        return queries


def identity_of(model: EmbeddingModel) -> ModelIdentity:
    """What a library notes of its model."""
    config: Any = getattr(model, "config", None)
    directory: Path | None = getattr(model, "directory", None)
    name = config.name if config is not None else type(model).__name__
    return ModelIdentity(name, model.fingerprint, model.dim, _source(name, directory))


def _source(name: str, directory: Path | None) -> str:
    """Where the model is found again: an installed one by its name, since its folder may move."""
    if directory is None:
        return ""
    from soundseek.model.registry import installed_models

    resolved = directory.resolve()
    installed = installed_models().get(directory.name)
    return directory.name if installed is not None and installed.resolve() == resolved else str(resolved)


def _load_model(source: str | None) -> EmbeddingModel:
    from soundseek.model.registry import load_model

    return load_model(source)


def _loader(model: EmbeddingModel, *, in_this_process: bool) -> Callable[[], Hear]:
    """What gives a worker its ears; another process loads the model directory itself, on one thread."""
    directory: Path | None = getattr(model, "directory", None)
    if in_this_process or directory is None:
        return partial(_hear_of, model)
    return partial(_load_hear, directory)


def _hear_of(model: EmbeddingModel) -> Hear:
    return model.embed_file


def _load_hear(directory: Path) -> Hear:
    from soundseek.model.model import Model

    return Model(directory, threads=1).embed_file
