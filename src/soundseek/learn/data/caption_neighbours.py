"""Sentences that stand in for captions, or have no sound at all: listeners' nearest ones, and the names of tags."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from soundseek._typing import FloatArray, Report
from soundseek._vectors import unit_rows
from soundseek.errors import DataError, RecipeError, RecipeFileError
from soundseek.learn.data.mixing import SoundSpec
from soundseek.learn.data.pairs import Corpus
from soundseek.learn.data.pseudo_audio import PseudoAudio, make_pseudo_audio
from soundseek.learn.data.tower_cache import Frames, cache_directory, extract_texts, text_store
from soundseek.learn.datasets.tables import read_csv, read_lines
from soundseek.learn.models.audio.tags import read_class_names
from soundseek.learn.models.build import build_text
from soundseek.learn.models.text.bert import MINILM
from soundseek.learn.models.text.tower import TextTower
from soundseek.learn.recipe.keys import LexiconConfig, ListenerCaptions, PseudoAudioConfig
from soundseek.query.lexicon import english
from soundseek.query.text import fold

_LISTENER_TOKENS = 64


def add_listeners(
    texts: dict[str, int], config: ListenerCaptions, *, report: Report | None = None
) -> tuple[dict[str, int], dict[int, tuple[int, ...]]]:
    """All texts with the listeners' sentences that replace some of them, and which replace which.

    Raises:
        DataError: No such file of sentences.
    """
    sentences = read_sentences(config.path)
    judge = caption_judge()
    store = text_store(judge)
    found = cached_nearest(
        extract_texts(list(texts), store, judge, report=report),
        extract_texts(sentences, store, judge, report=report),
        neighbours=config.neighbours,
        min_cosine=config.min_cosine,
        directory=cache_directory() / "nearest",
    )
    used = [sentences[index] for indices in found for index in indices]
    numbers = unique([*texts, *used])
    pairs = zip(texts.values(), found, strict=True)
    return numbers, {
        number: tuple(numbers[sentences[index]] for index in indices) for number, indices in pairs if indices
    }


def add_terms(
    texts: dict[str, int], captions: Sequence[str], config: LexiconConfig, *, report: Report | None = None
) -> tuple[dict[str, int], dict[int, tuple[int, ...]]]:
    """All texts with the terms of the trade that mean the same as some captions, and which mean the same as which.

    Raises:
        RecipeFileError: No such file of terms to hold out.
    """
    meanings = terms_learned(config)
    terms: dict[str, list[str]] = {}
    for term, reading in meanings:
        terms.setdefault(reading, []).append(term)
    readings = list(terms)
    judge = caption_judge()
    store = text_store(judge)
    found = cached_nearest(
        extract_texts(captions, store, judge, report=report),
        extract_texts(readings, store, judge, report=report),
        neighbours=config.neighbours,
        min_cosine=config.min_cosine,
        directory=cache_directory() / "nearest",
    )
    used = [term for indices in found for index in indices for term in terms[readings[index]]]
    numbers = unique([*texts, *used])
    return numbers, {
        numbers[caption]: tuple(numbers[term] for index in indices for term in terms[readings[index]])
        for caption, indices in zip(captions, found, strict=True)
        if indices
    }


def terms_learned(config: LexiconConfig) -> list[tuple[str, str]]:
    """Terms with their readings, but those that are held out.

    Raises:
        RecipeFileError: No such file of terms to hold out.
    """
    held_out: set[str] = set()
    if config.hold_out:
        if not config.hold_out.is_file():
            raise RecipeFileError(
                f"data.lexicon.hold_out: no file {config.hold_out}; give a file with one term a line"
            )
        held_out = {fold(term) for term in read_lines(config.hold_out)}
    return [(term, reading) for term, reading in english().meanings() if fold(term) not in held_out]


def tag_sentences(tag: str) -> tuple[str, ...]:
    """Ways to ask for a tag."""
    name = tag.lower()
    return name, f"a {name}", f"The sound of {name}"


def tags_heard(
    corpus: Corpus, keys: Mapping[SoundSpec, str], store: Frames, trunk: Any, min_probability: float
) -> dict[int, tuple[int, ...]]:
    """Example -> the sentences, by number, that name what the trunk hears in it as it is.

    Args:
        corpus: Its texts hold the sentences of all tags.
        keys: Of its sounds, in `store`.
        store: The trunk's frames.
        trunk: One with `tag_probabilities`.
        min_probability: Of a tag that counts.

    Raises:
        RecipeError: The trunk gives no tags.
    """
    needs_tags(trunk, "data.tag_captions")
    sentences = [[corpus.texts[each] for each in tag_sentences(name)] for name in read_class_names()]
    found = {}
    for number, example in enumerate((*corpus.clips, *corpus.mixtures)):
        mean = np.asarray(store[keys[example.sounds[0]]], np.float32).mean(axis=0)
        loud = (trunk.tag_probabilities(torch.from_numpy(mean)) >= min_probability).nonzero().flatten()
        found[number] = tuple(text for tag in loud.tolist() for text in sentences[tag])
    return found


def refuse_pseudo_audio(config: PseudoAudioConfig, trunk: Any) -> None:
    """Check that `build_pseudo_audio` will find what it needs; it may be called hours before that.

    Raises:
        DataError: No such file of sentences, or none in it.
        RecipeError: The trunk gives no tags.
    """
    needs_tags(trunk, "data.imagined_sounds")
    read_sentences(config.path)


def build_pseudo_audio(
    config: PseudoAudioConfig,
    trunk: Any,
    mean: Tensor,
    text: TextTower,
    *,
    terms: Sequence[tuple[str, str]] = (),
    report: Report | None = None,
) -> PseudoAudio:
    """Listeners' sentences with the tags that they name, on the mean frame `(width,)` of some clips.

    Args:
        config: When a sentence names a tag.
        trunk: One that gives tags.
        mean: `(width,)`.
        text: The recipe's text tower.
        terms: Further texts, each with what it means: this names the tags.
        report: Called as the work goes on.

    Raises:
        DataError: No such file of sentences.
        RecipeError: The trunk gives no tags, or no sentence names one.
    """
    sentences = read_sentences(config.path)
    judge = caption_judge()
    ways = zip(*(tag_sentences(name) for name in read_class_names()), strict=True)
    trunk.tag_probabilities(mean)  # a compact trunk without tags refuses now, not in the first step
    return make_pseudo_audio(
        config,
        trunk,
        mean,
        extract_texts([*sentences, *(term for term, _ in terms)], text_store(text), text, report=report),
        extract_texts(
            [*sentences, *(reading for _, reading in terms)], text_store(judge), judge, report=report
        ),
        [extract_texts(way, text_store(judge), judge) for way in ways],
    )


def needs_tags(trunk: Any, key: str) -> None:
    """Raise an error unless the trunk gives tags: a RecipeError that names `key`, or the trunk's own ModelError."""
    if not hasattr(trunk, "tag_probabilities"):
        raise RecipeError(
            f"{key} needs a trunk that gives tags, and {type(trunk).__name__} gives none: --set audio.trunk=NAME+tags"
        )
    trunk.tag_probabilities(torch.zeros(trunk.width))  # some have the method and no tags


def caption_judge() -> TextTower:
    """Says how near two sentences are: MiniLM, whose means were trained for it; a [CLS] of plain BERT was not."""
    return build_text(MINILM, pooling="mean", max_tokens=_LISTENER_TOKENS)


def read_sentences(path: Path) -> list[str]:
    """The different sentences in the column `caption` of a CSV, in order.

    Raises:
        DataError: No such file, no such column, a row that could be misread, or no sentence.
    """
    if not path.is_file():
        raise RecipeFileError(f"no file of sentences at {path}; give a CSV with a column 'caption'")
    found = list(dict.fromkeys(filter(None, (row.cells["caption"] for row in read_csv(path, "caption")))))
    if not found:
        raise DataError(f"{path} has no sentence in its column 'caption'; give a file with some")
    return found


def nearest_sentences(
    queries: FloatArray, sentences: FloatArray, *, neighbours: int, min_cosine: float, chunk: int = 1024
) -> list[tuple[int, ...]]:
    """For each query the indices of its nearest sentences, best first, none below `min_cosine`.

    Args:
        queries: `(query, width)` features of any norm.
        sentences: `(sentence, width)` features of any norm.
        neighbours: At most so many.
        min_cosine: Smallest cosine.
        chunk: Queries in one product of matrices; bounds the memory.

    Example:
        >>> axes = np.eye(2, dtype=np.float32)
        >>> nearest_sentences(axes, axes[:1], neighbours=3, min_cosine=0.5)
        [(0,), ()]
    """
    queries, sentences = unit_rows(queries), unit_rows(sentences)
    count = min(neighbours, len(sentences))
    found: list[tuple[int, ...]] = []
    for start in range(0, len(queries), chunk):
        cosine = queries[start : start + chunk] @ sentences.T  # (chunk, sentence)
        best = np.argpartition(-cosine, count - 1, axis=1)[:, :count]
        for row, candidates in zip(cosine, best, strict=True):
            ordered = candidates[np.argsort(-row[candidates], kind="stable")]
            found.append(tuple(int(index) for index in ordered if row[index] >= min_cosine))
    return found


def cached_nearest(
    queries: FloatArray, sentences: FloatArray, *, neighbours: int, min_cosine: float, directory: Path
) -> list[tuple[int, ...]]:
    """`nearest_sentences`, remembered in a directory by the contents of all its arguments."""
    digest = hashlib.sha256(repr((neighbours, min_cosine, queries.shape, sentences.shape)).encode())
    digest.update(np.ascontiguousarray(queries).tobytes())
    digest.update(np.ascontiguousarray(sentences).tobytes())
    path = directory / f"{digest.hexdigest()[:32]}.npy"
    if path.is_file():
        table = np.load(path, allow_pickle=False)
    else:
        found = nearest_sentences(queries, sentences, neighbours=neighbours, min_cosine=min_cosine)
        table = np.full((len(queries), neighbours), -1, np.int32)
        for row, indices in zip(table, found, strict=True):
            row[: len(indices)] = indices
        directory.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, table)
        partial.replace(path)
    return [tuple(int(index) for index in row if index >= 0) for row in table]


def unique(texts: Sequence[str]) -> dict[str, int]:
    """Each different text and its number, in order of appearance."""
    return {text: number for number, text in enumerate(dict.fromkeys(texts))}
