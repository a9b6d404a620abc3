"""`Library`: vectors in a folder or an engine, filled from folders of sounds and asked in words."""

from __future__ import annotations

import logging
import math
import os
import shlex
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np

from soundseek._typing import AnyFloatArray
from soundseek.audio.segments import plan_windows
from soundseek.errors import LibraryError, ModelError, QueryError, UsageError
from soundseek.library.explain import (
    contributions_of_nearest,
    explain_file,
    explain_sound,
    foreign_stop_words,
    strongest_words,
)
from soundseek.library.filters import And, Comparison, Condition, Not, Or, parse_where
from soundseek.library.hits import Hit, Hits
from soundseek.library.keywords import words_for_names
from soundseek.library.library_model import given_model, identity_of, load_named_model, loader_of
from soundseek.library.location import engine_of, shown_location
from soundseek.library.paths import absolute, is_there, known_as, on_disk
from soundseek.library.query_vectors import find_example, names_of, query_vectors, whole_queries
from soundseek.library.search import Certainty, SearchOptions, Shown, find_any, listed
from soundseek.library.store import open_store
from soundseek.library.store.base import (
    Failure,
    NameQuery,
    NoLibraryError,
    SoundFile,
    Store,
    check_identity,
)
from soundseek.library.store.connection import ASK_FOR_THE_RIGHT
from soundseek.library.store.fused import Keywords
from soundseek.library.store.tables import DATABASE_FILE
from soundseek.library.windows import (
    WINDOWS,
    need_flat_moments,
    with_clocks,
    with_kept_windows,
    with_window_scores,
)
from soundseek.model.manners import InManners, in_manners
from soundseek.model.memory import SoundMemory
from soundseek.query import QueryReader, Reading
from soundseek.query import as_typed as read_as_typed

if TYPE_CHECKING:
    from soundseek.library.duplicates import DuplicateGroup
    from soundseek.library.explain import Explanation
    from soundseek.library.index import IndexReport, Progress
    from soundseek.library.labelling import LabelledSound
    from soundseek.library.taught import TaughtSound
    from soundseek.library.windows import WindowModel
    from soundseek.library.workers import EmbeddingModel
    from soundseek.model.match import MatchCalibration
    from soundseek.model.model import AudioEmbedding


MarkedPlace: TypeAlias = str | os.PathLike[str] | tuple[str | os.PathLike[str], float | None, float | None]
"""A file, or a part of one: its path, where the part begins and where it ends, in seconds."""


NEARER_THAN_HITS = 0.1
"""By how much, as a cosine, remembered sounds are nearer to an example than what may be not alike: of validation clips
with others of their label beside them it is said of one in twenty, and of those without of two in five."""


@dataclass(frozen=True, eq=False)
class FileVectors:
    """The vectors of one file.

    Attributes:
        start_s: `(segments,)` where each segment starts.
        end_s: `(segments,)` where it ends.
        vectors: `(segments, dim)` float32, unit norm: the dot product with a text's vector is their cosine, the
            mean of a hit's `moments`.
    """

    start_s: AnyFloatArray
    end_s: AnyFloatArray
    vectors: AnyFloatArray


@dataclass(frozen=True)
class LibraryInfo:
    """What a library is and holds.

    Attributes:
        path: Where it is.
        folders: The folders that were scanned.
        files: Sounds in it.
        segments: Vectors in it.
        audio_hours: Hours of sound that were embedded.
        bytes_on_disk: Size of the library itself.
        model: Name of the model that filled it.
        fingerprint: Which version of that model.
        dim: Width of its vectors.
        failures: Files that could not be embedded.
        cut: Files of which only the beginning was embedded.
        last_indexed: When the last whole run ended, ISO 8601 in UTC; None if none has.
        formats: Formats that occur, the most frequent first.
        max_duration_s: Of a longer file only the beginning is embedded; None without a limit.
        cut_files: Paths of the files of `cut`.
        exclude: Patterns of files and folders that are passed by.
        missing_folders: Those of `folders` that are not there now.
        unmeasured: Files that an earlier soundseek embedded without measuring their loudness: `loudness` filters pass
            them by until they are embedded anew.
        windows: Vectors of short windows that it keeps, from which moments are told apart; 0 where it keeps none.
        window_bytes: Their size, of `bytes_on_disk`.
        approximate_index: Whether searches use one, and what it covers, in words.
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
    formats: tuple[str, ...] = ()
    max_duration_s: float | None = None
    cut_files: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    missing_folders: tuple[str, ...] = ()
    unmeasured: int = 0
    windows: int = 0
    window_bytes: int = 0
    approximate_index: str = ""


def default_library_path() -> Path:
    """The library in the user's data folder."""
    import platformdirs

    return Path(platformdirs.user_data_dir("soundseek")) / "library"


class Library:
    """A library of sounds. Make it with `Library.create` or `Library.open`; close it, or use it in a `with` block.

    Threads may share one library: every thread reads through its own connection. One run of `index` at a
    time; searching goes on meanwhile.
    """

    def __init__(self, store: Store, model: EmbeddingModel | None = None) -> None:
        self.store = store
        self._model = model
        self._told_missing: set[str] = set()

    @classmethod
    def open(
        cls,
        path: str | Path | None = None,
        *,
        model: EmbeddingModel | str | Path | None = None,
        create: bool = False,
    ) -> Library:
        """The library in a folder, or in an engine.

        Args:
            path: The folder, or a URI as postgresql://host/database; None is the user's own.
            model: The model to use, or its name or directory; None takes the one that filled the library, or for a new
                one the default.
            create: Make an empty library where there is none, instead of an error.

        Raises:
            LibraryError: There is none, it was filled by another model, or it cannot be read.
            ModelError: There is no such model.
        """
        location = str(default_library_path()) if path is None else os.fspath(path)
        model = given_model(model)
        identity = identity_of(model) if model is not None else None
        try:
            if model is None and create and not holds_library(location):
                return cls.create(location)
            return cls(open_store(location, identity=identity, create=create), model)
        except NoLibraryError:
            if create and model is None:  # its making was killed
                return cls.create(location)
            if path is None:
                advice = "make one with: soundseek index FOLDER"
                raise NoLibraryError(f"{location} holds no library yet; {advice}") from None
            raise

    @classmethod
    def create(
        cls, path: str | Path | None = None, *, model: EmbeddingModel | str | Path | None = None
    ) -> Library:
        """A new, empty library in a folder.

        Args:
            path: The folder, a URI as postgresql://host/database, or "memory://" for one that is gone when it is
                closed; None is the user's own.
            model: The model that will fill it, or its name or directory; None takes the default.

        Raises:
            LibraryError: There is one already, or the folder cannot be written to.
            ModelError: There is no such model.
        """
        location = str(default_library_path()) if path is None else os.fspath(path)
        if holds_library(location):
            raise LibraryError(
                f"{shown_location(location)} holds a library already; open it with Library.open"
            )
        model = given_model(model) or load_named_model(None)
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
                model = load_named_model(identity.source or identity.name)
            except ModelError as error:
                raise ModelError(
                    f"{self.store.location} was filled by the model {identity.name} "
                    f"({identity.fingerprint}), which cannot be loaded: {error}. Say where it is: "
                    "--model DIR, in Python Library.open(…, model=DIR)"
                ) from error
            check_identity(self.store.location, identity, identity_of(model))
            self._model = model
        return self._model

    def use_model_of(self, other: Library) -> None:
        """Share the loaded model of a library that the same model filled.

        Raises:
            LibraryError: Another one filled it.
        """
        check_identity(self.store.location, self.store.identity, other.store.identity)
        if self._model is None:
            self._model = other.model

    def index(
        self,
        *folders: str | os.PathLike[str],
        workers: int = 0,
        ray: str | None = None,
        max_duration_s: float | None = None,
        exclude: Sequence[str] | None = None,
        windows: bool | None = None,
        still_grows: Callable[[str, int], bool] | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> IndexReport:
        """Embed what is new or changed below some folders, and forget what is gone.

        What lies on a drive that is not there, or below a link that leads nowhere, stays. A folder that was renamed is
        recognised by its sounds. Of several folders those that are not there are passed by; the report names them. A
        model that was given to `open` and hears as the one that filled the library is noted: it searches from now on.

        Args:
            folders: Folders, or single files, of this machine or in a bucket ("s3://bucket/folder"); none scans the
                folders of earlier runs again.
            workers: Processes that embed. A file that crashes its decoder takes one of them, not the run; a script
                must then call this under `if __name__ == "__main__":`. 0 embeds in this process.
            ray: The address of a Ray cluster that embeds in their place, "auto", or "local" for one on this machine.
            max_duration_s: Of a longer file only the beginning is embedded, in this run and later ones; infinite lifts
                the limit again, None keeps what the library remembers. A new library has no limit.
            exclude: Patterns, as in a .gitignore, of files and folders to pass by, in this run and later ones; an empty
                list lifts them, None keeps what the library remembers. A file `.soundseekignore` does the same below
                its folder.
            windows: For models without moments of their own, such as CLAP's. True keeps the vectors of windows of two
                seconds, one a second, in this run and later ones, so that hits have moments (`Hit.window_s`) and
                nothing is embedded again for them; known files get theirs in this run, which takes some six times as
                long. False keeps no more, None goes on as the library remembers.
            still_grows: Whether a file, by path and modification time in nanoseconds, is still being written: then it
                is left as the library has it, for a later run.
            progress: Is told now and then how far the run is.

        Raises:
            UsageError: None of the folders is there (nothing is changed then), a value makes no sense, or windows are
                asked for of a model that has moments of its own.
            LibraryError: Another process is indexing into this library, or the disk is full.
        """
        _need_number("workers", workers)
        if workers < 0 or (max_duration_s is not None and not max_duration_s > 0):
            raise UsageError(
                f"workers ({workers}) must be at least 0 and max_duration_s ({max_duration_s}) above 0"
            )
        if isinstance(exclude, str):
            raise UsageError(f"exclude takes a list of patterns: exclude=[{exclude!r}]")
        if windows:
            need_flat_moments(self.model)
        from soundseek.audio.decode import AUDIO_EXTENSIONS
        from soundseek.library.index import update
        from soundseek.library.workers import Embed, embed_all

        if self._model is not None:
            given = identity_of(self._model)
            if given != self.store.identity:
                self.store.use_model(given)
        load = loader_of(self.model, in_this_process=workers == 0 and ray is None)
        embed: Embed = embed_all
        if ray is not None:
            from soundseek.library.ray_workers import embed_on_ray

            identity = identity_of(self.model)
            embed = partial(
                embed_on_ray, address=ray, source=identity.source, fingerprint=identity.fingerprint
            )
        return update(
            self.store,
            folders,
            load,
            extensions=AUDIO_EXTENSIONS,
            workers=workers,
            embed=embed,
            max_duration_s=max_duration_s,
            exclude=exclude,
            windows=windows,
            still_grows=still_grows,
            progress=progress,
        )

    def forget(self, *folders: str | os.PathLike[str], missing_only: bool = False) -> int:
        """Drop what is known of some folders or files, which need not be there any more; how many sounds that were.

        Args:
            folders: Folders or files; what lies below them goes as well.
            missing_only: Drop only what is not there now.

        Raises:
            UsageError: The library knows nothing of one of them.
            LibraryError: Another process is indexing into this library.
        """
        from soundseek.library.folders import forget_folders

        return forget_folders(self.store, folders, missing_only=missing_only)

    def relocate(self, old: str | os.PathLike[str], new: str | os.PathLike[str]) -> int:
        """Say that a folder (or file) was moved or renamed; nothing is embedded again. How many sounds moved.

        Raises:
            UsageError: The library knows nothing of `old`, or none of its sounds is in `new`.
            LibraryError: Another process is indexing into this library.
        """
        from soundseek.library.folders import relocate_folder

        return relocate_folder(self.store, old, new)

    def search(
        self,
        text: str | Reading | None = None,
        *,
        k: int | None = None,
        like: Sequence[str | os.PathLike[str]] = (),
        without: Sequence[str | Reading] = (),
        where: str | None = None,
        segments: bool = False,
        as_typed: bool = False,
        duplicates: Shown = "hide",
        missing: Shown = "hide",
        min_match: float = 0.0,
        keywords: Keywords = "auto",
        only: Collection[str] | None = None,
        taught: str | None = None,
    ) -> Hits:
        """The sounds that fit best, best first; with a `where` and nothing else, all that fulfil it, by path.

        A text is read first, see `read`; what it was read as is the `reading` of the hits, and a warning is logged
        where that is not what was typed. A `Reading` is searched for as it is.

        Args:
            text: What to look for, in words.
            k: How many hits; None is 10, or all where only `where` is given.
            like: Example sounds; they count like the words, and are not among the hits. Of those in the library the
                vectors are taken from there, others are embedded whole.
            without: What the sounds should not be like, in words.
            where: A condition on the files, as `duration < 5 and format = wav`.
            segments: Rank moments, not files: what overlaps is one event, with its own begin and end.
            as_typed: Search for the words as they are.
            duplicates: "hide" gives of files with the same content one hit, which names the others; "show" gives all.
            missing: "hide" leaves out what is not there now, as on a drive that is unplugged; "show" gives all.
            min_match: Leave out hits that are less probable than this (`Hit.match`), 0 to 1.
            keywords: "auto" lets words in names, folders and tags count beside the sound (the hit says which,
                `Hit.keywords`); "off" lets the sound alone decide, and "only" gives files that have such words alone.
            only: Paths that may answer, as the library knows them; None lets all.
            taught: The name of what was taught by marks (`mark`): it turns the query, or is all of it.

        Raises:
            UnknownTaughtError: Nothing was taught under that name.
            QueryError: There is nothing to look for, `where` cannot be understood, or `min_match` is asked for where
                hits have no `match`.
            DecodeError: An example cannot be decoded.
        """
        if isinstance(like, (str, os.PathLike)) or isinstance(
            without, str
        ):  # a str is a sequence, of letters
            raise QueryError("like and without take lists: like=['dog.wav'], without=['music']")
        if isinstance(k, bool) or not isinstance(k, int | np.integer | None):
            raise QueryError(f"k is a whole number of hits, not {k!r:.60}")
        if not isinstance(where, str | None):
            raise QueryError(f"where takes a text, such as where='format = wav', not {where!r:.60}")
        _need_number("min_match", min_match)
        if text is not None and not isinstance(text, Reading):
            _need_text(text)
        if k is not None and k < 1:
            raise QueryError(f"k is {k}: ask for at least one hit")
        if keywords not in ("auto", "off", "only"):
            raise QueryError(f"keywords is {keywords!r}; it takes 'auto', 'off' or 'only'")
        for name, value in (("duplicates", duplicates), ("missing", missing)):
            if value not in ("show", "hide"):
                raise QueryError(f"{name} is {value!r}; it takes 'show' or 'hide'")
        condition = parse_where(where) if where is not None else None
        is_said = isinstance(text, Reading) or bool(text and text.strip())
        if condition is not None and not (is_said or like or without or taught):
            asked = self.asked_of_files(condition, missing=missing)
            return Hits(listed(self._there(self.store.files(asked), missing))[:k])
        reading = self._read_aloud(text, as_typed)
        negatives = [
            each for each in (self._read_aloud(each, as_typed) for each in without) if each is not None
        ]
        examples = [find_example(self.store, path) for path in like]
        leave_out = [path for example in examples for path in example.own_paths]
        if duplicates == "hide":
            own = [example.file for example in examples if example.own_paths and example.file is not None]
            leave_out += chain.from_iterable(self.store.copies(file.content_hash for file in own).values())
        queries = query_vectors(self.store, lambda: self.model, reading, examples, negatives, taught)
        asked = self.asked_of_files(condition, missing=missing)
        options = SearchOptions(
            k=10 if k is None else k,
            per="segment" if segments else "file",
            by="mean" if examples else "moments",
            where=asked,
            leave_out=leave_out,
            only=only,
            duplicates=duplicates,
            is_there=None if missing == "show" else lru_cache(maxsize=None)(is_there),
            certainty=self.certainty(self.store.count(asked, only=only)[0])
            if reading and reading.alternatives and not (examples or taught)
            else None,
            names=name_query(reading, keywords),
            manners=self.in_manners(reading),
            memory=None if examples else self.memory_for(reading),
        )
        hits = (
            self._likely(queries, options, min_match) if min_match else find_any(self.store, queries, options)
        )
        if WINDOWS in self.store.settings():
            hits = with_kept_windows(self.store, hits, whole_queries(queries))
        is_example_alone = len(examples) == 1 and not (is_said or negatives or taught)
        return Hits(
            hits,
            reading=reading,
            negatives=negatives,
            nothing_alike=is_example_alone and self._are_far(hits, whole_queries(queries)[0]),
        )

    def _likely(
        self, queries: Sequence[AnyFloatArray], options: SearchOptions, min_match: float
    ) -> Sequence[Hit]:
        """The best hits that are as probable, though others may stand before them: as long as looking on finds more.

        Raises:
            QueryError: `min_match` is no probability, or hits have no `match`.
        """
        if not 0 <= min_match <= 1:
            raise QueryError(f"min_match is {min_match}: it is a probability, 0 to 1")
        num, looked_through = -1, options.k
        while True:
            hits = find_any(self.store, queries, replace(options, k=looked_through))
            if any(hit.match is None for hit in hits):
                raise QueryError(
                    "min_match needs a query in words that says what to find, not only what not, and a model that says "
                    "how sure its hits are (soundseek calibrate)"
                )
            likely = [hit for hit in hits if hit.match is not None and hit.match >= min_match]
            if len(likely) >= options.k or len(hits) < looked_through or len(likely) == num:
                return likely[: options.k]
            num, looked_through = len(likely), 4 * looked_through

    def mark(
        self, name: str, *, right: Sequence[MarkedPlace] = (), wrong: Sequence[MarkedPlace] = ()
    ) -> TaughtSound:
        """Teach the library a sound by hits that are right or wrong; `search(taught=name)` then finds more of it.

        Kept by name in the library's own database; a sound that is marked again changes its mind.

        Args:
            name: What it is called; the first marks make it.
            right: Files of the library that are it; or `(path, start_s, end_s)` for a part of one.
            wrong: The same of what is not.

        Raises:
            UsageError: A file is not in the library, a part does not lie within its file, the same place is right and
                wrong, or nothing is marked.

        Example: `library.mark("my knocks", right=[hits[0].path], wrong=[(hits[1].path, 2.0, 3.5)])`
        """
        from soundseek.library.taught import NewMark, TaughtSounds, UnknownTaughtError

        if isinstance(right, str) or isinstance(wrong, str):
            raise UsageError("right and wrong take lists: right=['knock.wav']")
        marks = [
            NewMark(self._file_of_mark(path), is_right, start_s, end_s)
            for places, is_right in ((right, True), (wrong, False))
            for path, start_s, end_s in map(_place, places)
        ]
        if not marks:
            raise UsageError("nothing is marked; give files that are right or wrong")
        is_right: dict[tuple[bytes, float | None, float | None], bool] = {}
        for each in marks:
            if (
                is_right.setdefault((each.file.content_hash, each.start_s, each.end_s), each.is_right)
                != each.is_right
            ):
                raise UsageError(f"{each.file.path} is given as right and as wrong; say which it is")
        taught = TaughtSounds(self.store)
        try:
            number = taught.named(name).id
        except UnknownTaughtError:
            number = taught.create(name).id
        return taught.mark(number, marks)

    def taught(self) -> list[TaughtSound]:
        """What the library was taught by marks, by name; see `mark`."""
        from soundseek.library.taught import TaughtSounds

        return TaughtSounds(self.store).all()

    def files(self, where: str | None = None) -> list[SoundFile]:
        """What the library knows of its files, ordered by path: facts, tags, level. No vector is read.

        Args:
            where: A condition on the files, as `tag ~ "scene 12"`; None gives all.

        Raises:
            QueryError: `where` cannot be understood.
        """
        return self.store.files(self.as_indexed(parse_where(where) if where is not None else None))

    def vectors(self, path: str | os.PathLike[str]) -> FileVectors:
        """The vectors of a file of the library, one for each segment.

        Raises:
            UsageError: The library has no such file.
        """
        name = on_disk(absolute(path, "the path of a sound"))
        for each in names_of(self.store, name):
            found = self.store.vectors(each)
            if found is not None:
                times_s, vectors = found
                return FileVectors(times_s[:, 0], times_s[:, 1], vectors.astype(np.float32))
        raise UsageError(
            f"{name} is not in the library {self.store.location}; what is: library.files(), or index it first"
        )

    def score_windows(
        self,
        hits: Hits,
        text: str | Reading | None = None,
        *,
        like: Sequence[str | os.PathLike[str]] = (),
        without: Sequence[str | Reading] = (),
        taught: str | None = None,
    ) -> Hits:
        """The same hits; where the model has no moments, theirs are the scores of windows of two seconds, one a second.

        For models such as CLAP's, which embed a segment as a whole. Hits that have such moments already, since the
        library keeps their windows (`index(windows=True)`), stay as they are. Every other window is decoded and
        embedded now, and costs as much as a segment. A file that cannot be decoded any more keeps its hit as it is, and
        is named in a warning.

        Args:
            hits: What a search has found.
            text: What was searched for; as `like` and `without`, the same as in the search.
            like: See there.
            without: See there.
            taught: See there.
        """
        if all(hit.window_s is not None for hit in hits) or getattr(self.model, "has_moments", True):
            return hits
        reading = self._read_aloud(text, as_typed=False)
        negatives = [each for each in (self._read_aloud(each, False) for each in without) if each is not None]
        examples = [find_example(self.store, path) for path in like]
        queries = query_vectors(self.store, lambda: self.model, reading, examples, negatives, taught)
        return Hits(
            with_clocks(
                self.store, with_window_scores(cast("WindowModel", self.model), hits, whole_queries(queries))
            ),
            reading=hits.reading,
            negatives=hits.negatives,
        )

    def in_manners(self, reading: Reading | None) -> InManners | None:
        """How the hits of a query should sound; None where it says nothing of that."""
        if reading is None or not reading.manners:
            return None
        return in_manners(reading.manners, getattr(self.model, "manners", {}))

    def memory_for(self, reading: Reading | None) -> SoundMemory | None:
        """The sounds among which hits of words are looked up; None where the words say only what not, or the model
        remembers none."""
        if reading is None or not reading.alternatives:
            return None
        memory: SoundMemory | None = getattr(self.model, "memory", None)
        return memory

    def certainty(self, num_files: int) -> Certainty | None:
        """How the scores of a query become probabilities among so many files; None where the model does not say."""
        calibration: MatchCalibration | None = getattr(self.model, "match", None)
        if calibration is None:
            return None

        def probabilities(query: AnyFloatArray, scores: AnyFloatArray) -> AnyFloatArray:
            return calibration.probabilities(query, scores, num_files=num_files)

        return probabilities

    def _are_far(self, hits: Sequence[Hit], sound: AnyFloatArray) -> bool:
        """Whether what the model remembers is nearer to a sound `(dim,)` than all hits."""
        try:
            memory: SoundMemory | None = getattr(self.model, "memory", None)
        except (LibraryError, ModelError):  # a sound of the library needs no model that is there
            return False
        return bool(
            memory is not None
            and hits
            and max(hit.score for hit in hits) < memory.nearness(sound) - NEARER_THAN_HITS
        )

    def similar(
        self,
        path: str | os.PathLike[str],
        *,
        k: int = 10,
        where: str | None = None,
        segments: bool = False,
        duplicates: Shown = "hide",
        missing: Shown = "hide",
    ) -> Hits:
        """The sounds most like a file, which need not be in the library and is not among the hits; see `search`.

        Where perhaps none of them is like it, since kinds of sound that the model remembers are nearer,
        `Hits.nothing_alike` is true.
        """
        return self.search(
            k=k, like=[path], where=where, segments=segments, duplicates=duplicates, missing=missing
        )

    def read(self, text: str) -> Reading:
        """A query as a search reads it: in the words of captions, with what it excludes as negatives.

        Jargon, onomatopoeia, brands, UCS codes and other languages are said in plain words, "rain without thunder"
        becomes rain and the negative thunder, and mistyped words are corrected by the words that the model has learned
        (`words.txt` of its directory). A plain English text stays as it is.

        Raises:
            QueryError: It holds no letter and no digit.
        """
        _need_text(text)
        return self._reader.read(text)

    def explain(self, text: str | Reading, hits: Sequence[Hit], *, as_typed: bool = False) -> list[list[str]]:
        """The one or two words of a query that carried each hit; `as_typed` as in the search that found them."""
        if not isinstance(text, Reading):
            _need_text(text)
            text = read_as_typed(text) if as_typed else self.read(text)
        vectors = np.array([self._vector_of(hit) for hit in hits], np.float32)
        vectors = vectors.reshape(len(hits), self.store.identity.dim)
        queries = [text.typed] if text.manners else text.texts if len(text.alternatives) > 1 else [text.text]
        found = contributions_of_nearest(self.model, queries, vectors, leave_out=foreign_stop_words(text))
        return [strongest_words(words) for words in found]

    def explain_file(
        self, path: str | os.PathLike[str], text: str | Reading, *, as_typed: bool = False
    ) -> Explanation:
        """Why a file fits some words: the score over time, and what each word contributed.

        Of a file in the library, unchanged since it was indexed, its vectors are taken; any other is embedded whole.

        Raises:
            QueryError: There is no word.
            DecodeError: The file cannot be decoded.
        """
        if not isinstance(text, Reading):
            text = read_as_typed(text) if as_typed else self.read(text)
        # Of several texts the first is explained; a query that only excludes has none, so its words are, as they are.
        # With its manner, a sound is explained as it was typed.
        query = "" if text.manners else text.text
        query = query or read_as_typed(text.typed).text
        name = absolute(path, "the file to explain")
        example = find_example(self.store, name)
        sound = self.store.read(example.file.path) if example.file is not None else None
        if sound is None:
            return explain_file(self.model, name, query)
        return explain_sound(self.model, sound.embedding(), name, query)

    def label(
        self,
        *paths: str | os.PathLike[str],
        labels: str | Path | Sequence[str] = "audioset",
        k: int = 5,
        segments: bool = False,
        min_match: float = 0.0,
        as_typed: bool = False,
    ) -> list[LabelledSound]:
        """Words for some sounds, from a list of labels: zero-shot, so any list will do.

        Of files in the library, unchanged since they were indexed, the vectors are taken; others are embedded whole.

        Args:
            paths: Files, in the library or not, and folders, whose sounds are meant.
            labels: "audioset" (527 names), "ucs" (the 752 categories of the Universal Category System), a text file
                with a label on each line, or the labels themselves. Labels of your own are read as queries are.
            k: How many labels of each sound.
            segments: Label every segment, not whole files.
            min_match: Leave out labels that are less probable than this, 0 to 1.
            as_typed: Take labels of your own exactly as they are.

        Raises:
            UsageError: There is no such list or file.
            DecodeError: A file cannot be decoded.

        Example: `library.label("knock.wav", labels=["a door knock", "rain"])[0].labels[0].label`
        """
        from soundseek.audio.decode import AUDIO_EXTENSIONS
        from soundseek.library.labelling import Labeller
        from soundseek.library.scan import sounds_below

        labeller = Labeller(self.model, labels, as_typed=as_typed)
        named = [absolute(path, "the sound to label") for path in paths]
        files = [file for path in named for file in sounds_below(path, AUDIO_EXTENSIONS)]
        return [
            sound
            for file in dict.fromkeys(files)
            for sound in labeller.of_embedding(
                self.embedding_of(file), path=file, k=k, segments=segments, min_match=min_match
            )
        ]

    def duplicates(
        self, *, min_score: float = 0.45, progress: Callable[[int, int], None] | None = None
    ) -> list[DuplicateGroup]:
        """Recordings that are there more than once: in other formats, rates and levels, trimmed, inside longer files.

        Nothing is changed. Vectors propose pairs of files, and their waveforms decide.

        Args:
            min_score: Least correlation of two waveforms that count as one recording, 0 to 1.
            progress: Is told how many files are compared, and of how many.
        """
        from soundseek.library.duplicates import find_duplicates

        _need_number("min_score", min_score)
        return find_duplicates(self.store, min_score=min_score, progress=progress)

    def embedding_of(self, path: str | os.PathLike[str]) -> AudioEmbedding:
        """All vectors of a file: the library's, where it has the file unchanged; else it is embedded whole.

        Raises:
            DecodeError: It is not in the library, and cannot be decoded.
        """
        example = find_example(self.store, path)
        sound = self.store.read(example.file.path) if example.file is not None else None
        return sound.embedding() if sound is not None else self.model.embed_file(example.path)

    def info(self) -> LibraryInfo:
        """What the library is and holds."""
        from soundseek.library.index import Limits

        stats, identity, limits = self.store.stats(), self.store.identity, Limits.of(self.store)
        windows = self._count_windows() if limits.windows else 0
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
            formats=self.store.facets().formats,
            max_duration_s=limits.max_duration_s if math.isfinite(limits.max_duration_s) else None,
            cut_files=tuple(file.path for file in self.store.cut_files()),
            exclude=limits.exclude,
            missing_folders=tuple(sorted(self._missing_roots())),
            unmeasured=stats.unmeasured,
            windows=windows,
            window_bytes=windows * identity.dim * np.dtype(np.float16).itemsize,
            approximate_index=stats.approximate,
        )

    def _count_windows(self) -> int:
        missing = self.store.without_windows()
        return sum(
            len(plan_windows(file.duration_s)) for file in self.store.files() if file.path not in missing
        )

    def failures(self) -> list[Failure]:
        """The files that could not be embedded, ordered by path."""
        return self.store.failures()

    def cut_files(self) -> list[SoundFile]:
        """The files of which only the beginning is in the library (`max_duration_s`), ordered by path."""
        return self.store.cut_files()

    def close(self) -> None:
        """Let go of the files."""
        self.store.close()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *exception: object) -> None:
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

    def _file_of_mark(self, path: str | os.PathLike[str]) -> SoundFile:
        name = on_disk(absolute(path, "the path of a sound"))
        for each in names_of(self.store, name):
            file = self.store.file(each)
            if file is not None:
                return file
        step = (
            "index it first"
            if is_there(name)
            else "there is no such file either; soundseek search lists what is"
        )
        raise UsageError(f"{name} is not in the library {self.store.location}; {step}")

    def _vector_of(self, hit: Hit) -> AnyFloatArray:
        """`(dim,)` of a hit's segment; zeros where there is none any more."""
        carried: AnyFloatArray | None = hit.vector
        if carried is not None:
            return carried
        found = self.store.vectors(hit.path)  # a hit that was made by hand, or pickled
        if found is None:
            return np.zeros(self.store.identity.dim, np.float32)
        times_s, vectors = found
        nearest = int(np.abs(times_s[:, 0] - hit.start_s).argmin())
        vector: AnyFloatArray = vectors[nearest].astype(np.float32)
        return vector

    def asked_of_files(self, condition: Condition | None, *, missing: Shown = "hide") -> Condition | None:
        """A condition as a search asks it: of folders by every name they have, and of what is there now."""
        indexed = self.as_indexed(condition)
        return indexed if missing == "show" else self._without_missing(indexed)

    def as_indexed(self, condition: Condition | None) -> Condition | None:
        """A condition in which a folder is also known by the name under which it was indexed."""
        if condition is None or isinstance(condition, Comparison):
            if condition is None or condition.field != "folder":
                return condition
            other = known_as(str(condition.value), self.store.roots())
            if other is None or other == condition.value:
                return condition
            either = Or((replace(condition, operator="="), Comparison("folder", "=", other)))
            return either if condition.operator == "=" else Not(either)
        if isinstance(condition, Not):
            return Not(cast("Condition", self.as_indexed(condition.part)))
        return type(condition)(tuple(cast("Condition", self.as_indexed(part)) for part in condition.parts))

    def _there(self, files: list[SoundFile], missing: Shown) -> list[SoundFile]:
        return files if missing == "show" else [file for file in files if is_there(file.path)]

    def _missing_roots(self) -> list[str]:
        return [root for root in self.store.roots() if not is_there(root)]

    def _without_missing(self, condition: Condition | None) -> Condition | None:
        """A condition that leaves out the folders that are not there now; it is said, once for each."""
        missing = [root for root in self._missing_roots() if self.store.states(root)]
        for root in set(missing) - self._told_missing:
            self._told_missing.add(root)
            logging.getLogger("soundseek").warning(
                "%s is not there now, and its sounds are left out (--missing show lists them). If it was renamed or "
                "moved: soundseek index NEWFOLDER; if it is gone for good: soundseek forget %s",
                root,
                shlex.quote(root),
            )
        parts = [Not(Comparison("folder", "=", root)) for root in missing]
        if not parts:
            return condition
        return And((*parts, *([condition] if condition is not None else [])))


def _place(place: MarkedPlace) -> tuple[str | os.PathLike[str], float | None, float | None]:
    if isinstance(place, (str, os.PathLike)):
        return place, None, None
    path, start_s, end_s = place
    if end_s is not None and not (start_s or 0.0) < end_s:
        raise UsageError(
            f"a mark of {os.fspath(path)} ends at {end_s:g} s, before it begins at {start_s:g} s"
        )
    return path, start_s, end_s


def name_query(reading: Reading | None, keywords: Keywords) -> NameQuery | None:
    """What names and tags are asked for by a query as it was read; None where they do not count."""
    if reading is None or keywords == "off" or not reading.alternatives:
        return None
    # What a query excludes, "rain without thunder", is no reason to rank a name higher.
    typed = () if reading.negatives else (reading.typed,)
    return NameQuery(reading.typed, (*typed, *words_for_names(reading)), is_all=keywords == "only")


def holds_library(location: str) -> bool:
    """Whether a folder holds a library, or what is left of the making of one; or an engine's URI names one.

    Raises:
        LibraryError: The engine's server does not answer, or nobody may look into the folder.
    """
    if engine_of(location) is not None:
        try:
            open_store(location, identity=None, create=False).close()
        except NoLibraryError:
            return False
        return True
    try:
        return (Path(location).expanduser() / DATABASE_FILE).is_file()
    except PermissionError as error:
        raise LibraryError(
            f"the library {location} cannot be read ({error.strerror}); {ASK_FOR_THE_RIGHT}"
        ) from error


def _need_text(text: object) -> None:
    if not isinstance(text, str):
        raise QueryError(f"a query is a text, such as 'dog barking', not {type(text).__name__}: {text!r:.60}")


def _need_number(name: str, value: object) -> None:
    if not isinstance(value, float | int | np.floating | np.integer | None):
        raise UsageError(f"{name} is a number, not {value!r:.60}")
