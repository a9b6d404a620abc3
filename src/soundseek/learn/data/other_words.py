"""Other words for a corpus: listeners' sentences, the names of tags heard in it, and sentences without a sound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from soundseek.errors import RecipeError
from soundseek.learn.data.batches import Corpus
from soundseek.learn.data.features import Frames, Report, cache_directory, extract_texts, text_store
from soundseek.learn.data.imagined import Imagined, imagine
from soundseek.learn.data.sounds import Sound
from soundseek.learn.data.wording import cached_nearest, read_sentences, unique
from soundseek.learn.encoders import build_text
from soundseek.learn.encoders.audioset import read_class_names
from soundseek.learn.encoders.bert import MINILM
from soundseek.learn.encoders.text import TextTower
from soundseek.learn.recipe_sections import ImaginedSounds, ListenerCaptions

_LISTENER_TOKENS = 64


def add_listeners(
    texts: dict[str, int], config: ListenerCaptions, *, report: Report | None = None
) -> tuple[dict[str, int], dict[int, tuple[int, ...]]]:
    """All texts with the listeners' sentences that replace some of them, and which replace which.

    Raises:
        DataError: No such file of sentences.
    """
    sentences = read_sentences(config.path)
    judge = _judge()
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


def tag_sentences(tag: str) -> tuple[str, ...]:
    """Ways to ask for a tag."""
    name = tag.lower()
    return name, f"a {name}", f"The sound of {name}"


def tags_heard(
    corpus: Corpus, keys: Mapping[Sound, str], store: Frames, trunk: Any, min_probability: float
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
    _needs_tags(trunk, "data.tag_captions")
    sentences = [[corpus.texts[each] for each in tag_sentences(name)] for name in read_class_names()]
    heard = {}
    for number, example in enumerate((*corpus.clips, *corpus.mixtures)):
        mean = np.asarray(store[keys[example.sounds[0]]], np.float32).mean(axis=0)
        loud = (trunk.tag_probabilities(torch.from_numpy(mean)) >= min_probability).nonzero().flatten()
        heard[number] = tuple(text for tag in loud.tolist() for text in sentences[tag])
    return heard


def refuse_imagined(config: ImaginedSounds, trunk: Any) -> None:
    """Nothing, if `imagined_sounds` will find what it needs; it may be called hours before that.

    Raises:
        DataError: No such file of sentences, or none in it.
        RecipeError: The trunk gives no tags.
    """
    _needs_tags(trunk, "data.imagined_sounds")
    read_sentences(config.path)


def imagined_sounds(
    config: ImaginedSounds, trunk: Any, mean: Tensor, text: TextTower, *, report: Report | None = None
) -> Imagined:
    """Listeners' sentences with the tags that they name, on the mean frame `(width,)` of some clips.

    Raises:
        DataError: No such file of sentences.
        RecipeError: The trunk gives no tags, or no sentence names one.
    """
    sentences = read_sentences(config.path)
    judge = _judge()
    ways = zip(*(tag_sentences(name) for name in read_class_names()), strict=True)
    trunk.tag_probabilities(mean)  # a compact trunk without tags refuses now, not in the first step
    return imagine(
        config,
        trunk,
        mean,
        extract_texts(sentences, text_store(text), text, report=report),
        extract_texts(sentences, text_store(judge), judge, report=report),
        [extract_texts(way, text_store(judge), judge) for way in ways],
    )


def _needs_tags(trunk: Any, key: str) -> None:
    if not hasattr(trunk, "tag_probabilities"):
        raise RecipeError(
            f"{key} needs a trunk that gives tags, and {type(trunk).__name__} gives none: --set audio.trunk=NAME+tags"
        )


def _judge() -> TextTower:
    """Says how near two sentences are: MiniLM, whose means were trained for it; a [CLS] of plain BERT was not."""
    return build_text(MINILM, pooling="mean", max_tokens=_LISTENER_TOKENS)
