"""A query as vectors: of words, of example sounds and of what was taught, less what it should not be like."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from soundseek._typing import AnyFloatArray
from soundseek._vectors import unit_rows
from soundseek.errors import QueryError
from soundseek.library.paths import absolute, known_as, on_disk
from soundseek.library.store.base import SoundFile, Store
from soundseek.query import Reading
from soundseek.query.looked_up import embed_query
from soundseek.query.parts import sentence_parts

if TYPE_CHECKING:
    from soundseek.library.workers import EmbeddingModel


# How much a negative counts. Below 1, so that a sound which has what was asked for and a little of what was
# not still beats one that has neither; at 0.5 the query always keeps most of its own direction.
NEGATIVE_WEIGHT = 0.5


@dataclass(frozen=True)
class FoundExample:
    """A sound that a query names.

    Attributes:
        path: The file.
        file: What the library knows of this content; None if nothing, or if the file has changed since.
        own_paths: Names under which the library knows this very file.
    """

    path: str
    file: SoundFile | None
    own_paths: tuple[str, ...]


def names_of(store: Store, name: str) -> list[str]:
    """The names under which a library may know a file: its own, by another name of its folder, behind its links."""
    return list(dict.fromkeys([name, known_as(name, store.roots()) or name, os.path.realpath(name)]))


def find_example(store: Store, path: str | os.PathLike[str]) -> FoundExample:
    """What the library knows of a file: by its path, by another name of its folder, or by its content."""
    name = on_disk(absolute(path, "the path of an example sound"))
    own = [file for each in names_of(store, name) if (file := store.file(each)) is not None]
    own_paths = tuple(file.path for file in own)
    try:
        status = os.stat(name)  # noqa: PTH116
    except OSError:  # on a drive that is not there now, perhaps
        return FoundExample(name, own[0] if own else None, own_paths)
    for file in own:
        if (file.size_bytes, file.mtime_ns) == (status.st_size, status.st_mtime_ns):
            return FoundExample(name, file, own_paths)
    if not stat.S_ISREG(status.st_mode) or not store.has_size(status.st_size):
        return FoundExample(name, None, own_paths)
    from soundseek.library.workers import hash_file

    try:
        twins = store.same_content(hash_file(name))
    except OSError:
        return FoundExample(name, None, own_paths)
    itself = [twin.path for twin in twins if _is_same_file(twin.path, name)]
    return FoundExample(name, twins[0] if twins else None, (*own_paths, *itself))


def query_vectors(
    store: Store,
    model: Callable[[], EmbeddingModel],
    reading: Reading | None,
    examples: Sequence[FoundExample],
    negatives: Sequence[Reading],
    taught: str | None = None,
) -> list[AnyFloatArray]:
    """Each alternative of a query as a unit vector, with examples and negatives, and below it the vectors of the sounds
    that a sentence names, `(1 + parts, dim)`; one batch of texts. Of what was taught, the vector alone.

    Args:
        store: The library's; examples that it knows have their vectors there.
        model: Gives the library's model, which is not loaded before it is needed.
        reading: The words as they were read.
        examples: Sounds that count like words.
        negatives: What it should not be like.
        taught: The name of what was taught by marks.
    """
    if taught is None:
        return _untaught(store, model, reading, examples, negatives)
    from soundseek.library.taught import taught_query

    if examples or (reading is not None and (reading.alternatives or reading.negatives)):
        queries = _untaught(store, model, reading, examples, negatives)
        return [taught_query(store, taught, np.atleast_2d(query)[0]) for query in queries]
    query = taught_query(store, taught, None)
    unwanted = [text for each in negatives for text in each.texts]
    return [combine(query[None], model().embed_text(unwanted))] if unwanted else [query]


def _untaught(
    store: Store,
    model: Callable[[], EmbeddingModel],
    reading: Reading | None,
    examples: Sequence[FoundExample],
    negatives: Sequence[Reading],
) -> list[AnyFloatArray]:
    alternatives = reading.alternatives if reading else ()
    unwanted = [
        *(reading.negatives if reading else ()),
        *(text for each in negatives for text in each.texts),
    ]
    nothing = np.empty((0, store.identity.dim), np.float32)
    if not alternatives and not examples and not (reading and unwanted):
        return [combine(nothing, nothing)]
    parts = {text: reading.named(text) for each in alternatives for text in each} if reading else {}
    texts = [text for each in alternatives for text in each]
    texts = list(dict.fromkeys([*texts, *(part for own in parts.values() for part in own)]))
    is_one = [not (parts[text] if text in parts else sentence_parts(text)) for text in texts]
    embedded = dict(zip(texts, embed_query(model(), texts, as_one=is_one) if texts else nothing, strict=True))
    excluded = model().embed_text(unwanted) if unwanted else nothing
    sounds = np.array([_whole_vector(store, model, example) for example in examples], np.float32)
    sounds = sounds.reshape(len(examples), store.identity.dim)
    if not alternatives:
        return [combine(sounds, excluded) if examples else away_from(excluded)]
    queries = []
    for each in alternatives:
        # The texts of one alternative say the same thing, so that together they count as much as one example.
        words = combine(_stacked(embedded, each, nothing), nothing)
        whole = combine(np.concatenate([words[None], sounds]), excluded)
        named = parts[each[0]] if len(each) == 1 and not examples else ()
        queries.append(np.stack([whole, *(combine(embedded[part][None], excluded) for part in named)]))
    return queries


def _whole_vector(store: Store, model: Callable[[], EmbeddingModel], example: FoundExample) -> AnyFloatArray:
    """`(dim,)` the mean of a file's frames, of unit norm."""
    sound = store.read(example.file.path) if example.file is not None else None
    frames = sound.frames if sound is not None else model().embed_file(example.path).frames
    vector: AnyFloatArray = unit_rows(frames.mean(axis=0, dtype=np.float32)[None])[0]
    return vector


def whole_queries(queries: Sequence[AnyFloatArray]) -> AnyFloatArray:
    """`(queries, dim)` of each query the first row; its parts stand below it."""
    return np.stack([np.atleast_2d(query)[0] for query in queries])


def _stacked(
    embedded: Mapping[str, AnyFloatArray], texts: Sequence[str], nothing: AnyFloatArray
) -> AnyFloatArray:
    """`(texts, dim)`."""
    return np.stack([embedded[text] for text in texts]) if texts else nothing


def _is_same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)  # noqa: PTH121
    except OSError:
        return False


def combine(
    positives: AnyFloatArray, negatives: AnyFloatArray, *, negative_weight: float = NEGATIVE_WEIGHT
) -> AnyFloatArray:
    """The direction that a query looks in: `unit(unit(sum(positives)) - 0.5 * unit(sum(negatives)))`.

    It stays one vector, so the score of a segment stays the mean of its frames' scores, with negatives too:
    for a unit vector x the score is `(p·x - 0.5 n·x) / |p - 0.5 n|`, p and n being the two unit sums.

    Args:
        positives: `(n, dim)` vectors of words and example sounds; at unit norm each counts the same.
        negatives: `(m, dim)` vectors of what the sounds should not be like; m may be 0.
        negative_weight: How much they count, 0 to below 1.

    Returns:
        `(dim,)` float32, unit norm.

    Raises:
        QueryError: There is no positive, or they cancel each other out.

    Example:
        >>> [f"{x:.3f}" for x in combine(np.eye(3)[:1], np.eye(3)[1:2])]
        ['0.894', '-0.447', '0.000']
    """
    if not len(positives):
        raise QueryError("nothing to look for; say it in words or give an example sound (like=[FILE])")
    wanted = _unit(positives.sum(axis=0))
    if wanted is None:
        raise QueryError(
            "the words and examples of this query cancel each other out; ask for them one by one"
        )
    unwanted = _unit(negatives.sum(axis=0)) if len(negatives) else None
    if unwanted is None:
        return wanted
    # |p| = 1 and |0.5 n| = 0.5, so the difference is never shorter than 0.5.
    difference = wanted - negative_weight * unwanted
    combined: AnyFloatArray = (difference / np.linalg.norm(difference)).astype(np.float32)
    return combined


def away_from(negatives: AnyFloatArray) -> AnyFloatArray:
    """The direction of a query that only excludes, "no music": away from what it names.

    Args:
        negatives: `(m, dim)` unit vectors; at least one.

    Raises:
        QueryError: They cancel each other out.
    """
    unwanted = _unit(negatives.sum(axis=0))
    if unwanted is None:
        raise QueryError("what this query excludes cancels out; exclude one thing at a time")
    return -unwanted


def _unit(vector: AnyFloatArray) -> AnyFloatArray | None:
    norm = float(np.linalg.norm(vector))
    if norm < 1e-6:
        return None
    scaled: AnyFloatArray = (vector / norm).astype(np.float32)
    return scaled
