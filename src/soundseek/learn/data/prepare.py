"""From a recipe and a data directory to cached features: everything that training reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from soundseek.errors import RecipeError
from soundseek.learn.data.batches import Corpus, plan_clips, plan_mixtures
from soundseek.learn.data.clotho import Clip, read_split
from soundseek.learn.data.features import (
    FeatureStore,
    Frames,
    MeanFrames,
    Report,
    TailFrames,
    cache_directory,
    extract_frames,
    extract_texts,
    frame_store,
    text_store,
)
from soundseek.learn.data.sounds import Sound
from soundseek.learn.data.wording import cached_nearest, read_sentences, unique
from soundseek.learn.encoders import build_text, build_trunk, split_trunk
from soundseek.learn.encoders.bert import MINILM, BertText
from soundseek.learn.recipe import Recipe
from soundseek.learn.recipe_sections import AudioConfig, ListenerCaptions

_LISTENER_TOKENS = 64


@dataclass(frozen=True)
class SplitFeatures:
    """One split, ready to be scored.

    Attributes:
        store: The trunk's frames, or what enters its trained layers.
        keys: Each clip's key in `store`.
        captions: All captions of all clips.
        features: `(caption, width)` of the frozen text tower.
        relevant: `(caption,)` number of each caption's clip.
    """

    store: Frames
    keys: Sequence[str]
    captions: Sequence[str]
    features: Tensor
    relevant: npt.NDArray[np.int64]


@dataclass(frozen=True)
class TrainingData:
    """What a training run reads.

    Attributes:
        corpus: What to draw pairs from.
        keys: Each sound's key in `store`.
        store: The trunk's frames, or their means where the model has no attention; what enters the trunk's
            last layers where these are trained.
        statistics: Mean and standard deviation `(width,)` of the trunk's frames, as it was published, of the
            clips as they are.
        features: `(text, width)` of the frozen text tower, by the corpus' numbers.
        validation: Chooses the epoch.
    """

    corpus: Corpus
    keys: Mapping[Sound, str]
    store: Frames
    statistics: tuple[Tensor, Tensor]
    features: Tensor
    validation: SplitFeatures


def prepare(
    recipe: Recipe,
    data: Path,
    text: BertText,
    *,
    tail: nn.Module | None = None,
    report: Report | None = None,
) -> TrainingData:
    """Run the frozen towers over whatever the cache lacks.

    Args:
        recipe: What to train.
        data: A directory in Clotho's layout.
        text: The recipe's text tower, as published.
        tail: The trunk's last layers, as published, where the recipe trains them.
        report: Called as the work goes on.

    Raises:
        DataError: Incomplete data or a sound that cannot be decoded.
        RecipeError: No such trunk, tower or weights; validation and training overlap.
    """
    config = recipe.data
    if config.validation_split in config.train_splits:
        raise RecipeError(f"data.validation_split {config.validation_split!r} is one of data.train_splits")
    clips = [clip for split in config.train_splits for clip in read_split(data, split)]
    examples = plan_clips(clips, config, recipe.seed)
    mixtures = plan_mixtures(clips, config, recipe.seed)
    store = open_store(recipe.audio)
    sounds = [sound for example in (*examples, *mixtures) for sound in example.sounds]
    keys = _extract(sounds, store, recipe, report)
    texts = unique([caption for example in (*examples, *mixtures) for caption in example.captions])
    substitutes: dict[int, tuple[int, ...]] = {}
    if config.listener_captions:
        texts, substitutes = _add_listeners(texts, config.listener_captions, report)
    features = extract_texts(list(texts), text_store(text), text, report=report)
    validation = split_features(read_split(data, config.validation_split), recipe, text, store, report=report)
    # Trained layers see every frame's neighbours; without them and without attention the mean is enough.
    frames: Frames = MeanFrames(store) if tail is None and recipe.audio.attention == "none" else store
    plain = [example.sounds[0].key() for example in examples]
    return TrainingData(
        corpus=Corpus(examples, mixtures, texts, substitutes),
        keys=dict(zip(sounds, keys, strict=True)),
        store=frames,
        statistics=frame_statistics(store if tail is None else TailFrames(store, tail), plain),
        features=torch.from_numpy(features),
        validation=replace(validation, store=frames),
    )


def open_store(audio: AudioConfig) -> FeatureStore:
    """The store of the frames of a recipe's trunk, or of what enters its trained layers."""
    body, _ = split_trunk(build_trunk(audio.trunk, audio.weights), audio.trained_blocks)
    assert audio.weights is not None  # build_trunk has refused it
    return frame_store(body, audio.trunk, audio.weights, trained_blocks=audio.trained_blocks)


def split_features(
    clips: Sequence[Clip],
    recipe: Recipe,
    text: BertText,
    store: FeatureStore,
    *,
    report: Report | None = None,
) -> SplitFeatures:
    """The features of some clips as they are, and of all their captions."""
    keys = clip_keys([clip.path for clip in clips], store, recipe, report=report)
    captions = [caption for clip in clips for caption in clip.captions]
    features = extract_texts(captions, text_store(text), text, report=report)
    relevant = np.repeat(np.arange(len(clips)), [len(clip.captions) for clip in clips])
    return SplitFeatures(store, keys, captions, torch.from_numpy(features), relevant)


def clip_keys(
    paths: Sequence[Path], store: FeatureStore, recipe: Recipe, *, report: Report | None = None
) -> list[str]:
    """The key of each file, as it is, in `store`; frames that were not there are computed."""
    return sound_keys([Sound("clip", (path,)) for path in paths], store, recipe, report=report)


def sound_keys(
    sounds: Sequence[Sound], store: FeatureStore, recipe: Recipe, *, report: Report | None = None
) -> list[str]:
    """The key of each sound, a clip or a mixture, in `store`; frames that were not there are computed."""
    return _extract(sounds, store, recipe, report)


def frame_statistics(store: Frames, keys: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation `(width,)` over all frames of some clips."""
    total, squares, count = np.zeros(store.width), np.zeros(store.width), 0
    for key in keys:
        frames = store[key].astype(np.float64)
        total += frames.sum(axis=0)
        squares += np.square(frames).sum(axis=0)
        count += len(frames)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - np.square(mean), 0))
    return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()


def _extract(
    sounds: Sequence[Sound], store: FeatureStore, recipe: Recipe, report: Report | None
) -> list[str]:
    audio = recipe.audio
    assert audio.weights is not None
    return extract_frames(
        sounds,
        store,
        audio.trunk,
        audio.weights,
        trained_blocks=audio.trained_blocks,
        workers=recipe.training.extraction_workers,
        report=report,
    )


def _add_listeners(
    texts: dict[str, int], config: ListenerCaptions, report: Report | None
) -> tuple[dict[str, int], dict[int, tuple[int, ...]]]:
    """All texts with the listeners' sentences that replace some of them, and which replace which."""
    sentences = read_sentences(config.path)
    # Nearness is always judged by MiniLM, whose means were trained for it; a [CLS] of plain BERT was not.
    judge = build_text(MINILM, pooling="mean", max_tokens=_LISTENER_TOKENS)
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
