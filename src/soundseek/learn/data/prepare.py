"""From a recipe and a data directory to everything that training reads: cached features, or sounds for a live trunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from soundseek.errors import DataError, RecipeError, RecipeFileError, UsageError
from soundseek.learn.data.caption_neighbours import (
    add_listeners,
    imagined_sounds,
    refuse_imagined,
    tag_sentences,
    tags_heard,
    unique,
)
from soundseek.learn.data.features import (
    FeatureStore,
    Frames,
    MeanFrames,
    Report,
    TailFrames,
    extract_frames,
    extract_texts,
    frame_store,
    text_store,
)
from soundseek.learn.data.mixing import Sound
from soundseek.learn.data.online import LiveBatches
from soundseek.learn.data.pairs import Batch, Corpus, EpochBatches, Example, Reword, plan_clips, plan_mixtures
from soundseek.learn.data.pseudo_audio import Imagined
from soundseek.learn.data.text_augment import build_text_augment
from soundseek.learn.data.waveforms import LiveFrames, open_waveforms
from soundseek.learn.datasets.layout import Clip, read_split, splits_of
from soundseek.learn.datasets.tables import read_lines
from soundseek.learn.models.audio.tags import read_class_names
from soundseek.learn.models.build import build_recipe_trunk, split_trunk
from soundseek.learn.models.text.tower import TextTower
from soundseek.learn.recipe.load import Recipe


class Batches(Protocol):
    """The batches of one epoch."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Batch]: ...


@dataclass(frozen=True)
class SplitFeatures:
    """One split, ready to be scored.

    Attributes:
        store: The trunk's frames, or what enters its trained layers.
        keys: Each clip's key in `store`.
        captions: All captions of all clips.
        features: `(caption, width)` of the frozen text tower; without rows where the tower is trained.
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
        batches: Epoch -> its batches: of the trunk's frames, of their means where these are enough, or of log-mels
            where the whole trunk is trained.
        statistics: Mean and standard deviation `(width,)` of the trunk's frames, as it was published, of the
            clips as they are; None unless the recipe standardises.
        validation: Chooses the epoch; None keeps the last.
        imagined: Pairs to learn from beside the batches; None where the recipe has none.
    """

    corpus: Corpus
    batches: Callable[[int], Batches]
    statistics: tuple[Tensor, Tensor] | None
    validation: SplitFeatures | None
    imagined: Imagined | None = None


@dataclass(frozen=True)
class Share:
    """Which part of every batch one of several processes gets.

    Attributes:
        rank: The process' number, from 0.
        ranks: How many there are.
    """

    rank: int = 0
    ranks: int = 1


def prepare(
    recipe: Recipe,
    data: Path,
    text: TextTower,
    trunk: Any,
    *,
    data_sets: Sequence[Path] = (),
    share: Share = Share(),
    report: Report | None = None,
) -> TrainingData:
    """Run the frozen towers over whatever the cache lacks; decode what a live trunk is to hear.

    Args:
        recipe: What to train.
        data: A directory in Clotho's layout; the split that chooses the epoch is always its own.
        text: The recipe's text tower, as published.
        trunk: The recipe's trunk, as training finds it.
        data_sets: Directories to learn from, each from those of the training splits that it has; none = `data`.
        share: Of every batch.
        report: Called as the work goes on.

    Raises:
        DataError: Incomplete data or a sound that cannot be decoded.
        RecipeError: No such trunk, tower or weights; validation and training overlap.
    """
    config = recipe.data
    if config.validation_split in config.train_splits:
        raise RecipeError(f"data.validation_split {config.validation_split!r} is one of data.train_splits")
    clips = _training_clips(data, data_sets, config.train_splits)
    if config.imagined_sounds:  # whatever is wrong with them is said now, not after everything was heard
        refuse_imagined(config.imagined_sounds, trunk)
    corpus = _plan(clips, recipe, report)
    features = torch.zeros(len(corpus.texts), 1)  # no row is looked at where nothing below asks for them
    if _needs_features(recipe):
        features = torch.from_numpy(extract_texts(list(corpus.texts), text_store(text), text, report=report))
    reword = None
    if recipe.text.augment.acts:
        reword = build_text_augment(recipe.text.augment, corpus.texts, report=report)
    shared = _Shared(corpus, features, text, share, reword)
    store = open_store(recipe)
    if isinstance(store, LiveFrames):
        frames: Frames = store
        batches, statistics = _live(recipe, trunk, shared, report), None
    else:
        batches, frames, statistics = _cached(recipe, trunk, store, shared, report)
    validation = None
    if config.validation_split:
        split = read_split(data, config.validation_split)
        if isinstance(frames, LiveFrames):  # heard in every epoch, decoded once
            waveforms = open_waveforms(
                [clip.path for clip in split], trunk.front_end.sample_rate_hz, report=report
            )
            frames = LiveFrames(trunk.front_end, trunk.min_frames, waveforms)
        found = split_features(split, recipe, text, store, report=report)
        validation = replace(found, store=frames)
    imagined = None
    if config.imagined_sounds:
        assert not isinstance(store, LiveFrames)  # the recipe has made sure
        plain = sound_keys([example.sounds[0] for example in corpus.clips], store, recipe, report=report)
        mean, _ = frame_statistics(MeanFrames(store), plain)
        imagined = imagined_sounds(config.imagined_sounds, trunk, mean, text, report=report)
    return TrainingData(corpus, batches, statistics, validation, imagined)


@dataclass(frozen=True)
class _Shared:
    """What cached and live batches are both made of."""

    corpus: Corpus
    features: Tensor
    text: TextTower
    share: Share
    reword: Reword | None

    def options(self, recipe: Recipe) -> dict[str, Any]:
        """Arguments that `EpochBatches` and `LiveBatches` have in common."""
        return {
            "features": self.features,
            "tokenize": self.text.tokenize if recipe.text.is_live else None,
            "batch_size": recipe.training.batch_size,
            "seed": recipe.seed,
            "rank": self.share.rank,
            "ranks": self.share.ranks,
            "reword": self.reword,
        }


def _live(recipe: Recipe, trunk: Any, shared: _Shared, report: Report | None) -> Callable[[int], Batches]:
    """Epoch -> its batches of log-mels."""
    parts = [part for sound in shared.corpus.sounds() for part in sound.parts]
    waveforms = open_waveforms(parts, trunk.front_end.sample_rate_hz, report=report)
    batches = LiveBatches(
        shared.corpus,
        recipe.data,
        recipe.audio,
        waveforms=waveforms,
        front_end=trunk.front_end,
        min_frames=trunk.min_frames,
        workers=recipe.training.workers,
        **shared.options(recipe),
    )
    return batches.for_epoch


def _cached(
    recipe: Recipe, trunk: nn.Module, store: FeatureStore, shared: _Shared, report: Report | None
) -> tuple[Callable[[int], Batches], Frames, tuple[Tensor, Tensor] | None]:
    """Epoch -> its batches of what the frozen part of the trunk gives; what they take; statistics if needed."""
    sounds = shared.corpus.sounds()
    keys = dict(zip(sounds, sound_keys(sounds, store, recipe, report=report), strict=True))
    corpus = shared.corpus
    if recipe.data.tag_captions:  # of a trunk frozen as a whole, as the recipe has made sure
        heard = tags_heard(corpus, keys, store, trunk, recipe.data.tag_captions.min_probability)
        corpus = replace(corpus, tagged=heard)
    _, tail = split_trunk(trunk, recipe.audio.trained_blocks)
    # Trained layers see every frame's neighbours, and a maximum every frame; else the mean is enough.
    only_means = tail is None and recipe.audio.attention == "none" and recipe.audio.pooling == "mean"
    frames: Frames = MeanFrames(store) if only_means else store
    statistics = None
    if recipe.audio.standardise:
        plain = [keys[example.sounds[0]] for example in shared.corpus.clips]
        statistics = frame_statistics(store if tail is None else TailFrames(store, tail), plain)
    batches = partial(EpochBatches, corpus, recipe.data, keys=keys, store=frames, **shared.options(recipe))
    return lambda epoch: batches(epoch=epoch), frames, statistics


def _training_clips(data: Path, data_sets: Sequence[Path], splits: Sequence[str]) -> list[Clip]:
    if not data_sets:
        return [clip for split in splits for clip in read_split(data, split)]
    clips = []
    for data_set in data_sets:
        own = [split for split in splits if split in splits_of(data / data_set)]
        if not own:
            raise DataError(f"{data / data_set} has none of the splits to learn from: {', '.join(splits)}")
        clips += [clip for split in own for clip in read_split(data / data_set, split)]
    return clips


def _plan(clips: Sequence[Clip], recipe: Recipe, report: Report | None) -> Corpus:
    seed = recipe.seed if recipe.data.seed is None else recipe.data.seed
    examples: Sequence[Example] = plan_clips(clips, recipe.data, seed)
    mixtures: Sequence[Example] = plan_mixtures(clips, recipe.data, seed)
    if recipe.data.leave_out:
        names = _left_out(recipe.data.leave_out, clips)
        examples, mixtures = _without(examples, names), _without(mixtures, names)
    texts = unique([caption for example in (*examples, *mixtures) for caption in example.captions])
    substitutes: dict[int, tuple[int, ...]] = {}
    if recipe.data.listener_captions:
        texts, substitutes = add_listeners(texts, recipe.data.listener_captions, report=report)
    if recipe.data.tag_captions:
        texts = unique(
            [*texts, *(sentence for name in read_class_names() for sentence in tag_sentences(name))]
        )
    return Corpus(examples, mixtures, texts, substitutes)


def _left_out(path: Path, clips: Sequence[Clip]) -> set[str]:
    """The file names that a list names."""
    if not path.is_file():
        raise RecipeFileError(f"data.leave_out: no file {path}; give a file with one file name a line")
    listed = set(read_lines(path))
    known = {clip.path.name for clip in clips}
    unknown = sorted(listed - known)
    if unknown:
        raise DataError(f"{path} leaves out {unknown[0]!r}, which is none of the clips to learn from")
    if listed == known:
        raise DataError(f"{path} leaves out all clips to learn from")
    return listed


def _without(examples: Sequence[Example], names: set[str]) -> list[Example]:
    """The examples that nothing of these files can be heard in."""
    return [
        example
        for example in examples
        if not any(part.name in names for sound in example.sounds for part in sound.parts)
    ]


def _needs_features(recipe: Recipe) -> bool:
    """Whether anything asks for what the frozen text tower makes of the training captions."""
    by_cosine = recipe.loss.name == "supervised-contrastive" and recipe.loss.caption_similarity > 0
    return not recipe.text.is_live or recipe.loss.same_meaning_cosine is not None or by_cosine


def open_store(recipe: Recipe) -> FeatureStore | LiveFrames:
    """The store of the frames of a recipe's trunk, or of what enters its trained layers."""
    audio = recipe.audio
    trunk: Any = build_recipe_trunk(recipe)
    if audio.is_live:
        return LiveFrames(trunk.front_end, trunk.min_frames)
    body, _ = split_trunk(trunk, audio.trained_blocks)
    assert audio.weights is not None  # build_trunk has refused it
    assert audio.trained_blocks != "all"
    return frame_store(
        body, audio.trunk, audio.weights, options=audio.trunk_options, trained_blocks=audio.trained_blocks
    )


def split_features(
    clips: Sequence[Clip],
    recipe: Recipe,
    text: TextTower,
    store: FeatureStore | LiveFrames,
    *,
    report: Report | None = None,
) -> SplitFeatures:
    """The features of some clips as they are, and of all their captions."""
    keys = sound_keys([Sound("clip", (clip.path,)) for clip in clips], store, recipe, report=report)
    captions = [caption for clip in clips for caption in clip.captions]
    features = torch.zeros(0, text.width)
    if not recipe.text.is_live:
        features = torch.from_numpy(extract_texts(captions, text_store(text), text, report=report))
    relevant = np.repeat(np.arange(len(clips)), [len(clip.captions) for clip in clips])
    return SplitFeatures(store, keys, captions, features, relevant)


def sound_keys(
    sounds: Sequence[Sound],
    store: FeatureStore | LiveFrames,
    recipe: Recipe,
    *,
    report: Report | None = None,
) -> list[str]:
    """The key of each sound, a clip or a mixture, in `store`; frames that were not there are computed.

    Raises:
        DataError: A sound that cannot be decoded.
        UsageError: A mixture for a trunk that is trained as a whole, which hears files only.
    """
    if isinstance(store, LiveFrames):
        made = [sound for sound in sounds if sound.kind != "clip" or sound.degraded]
        if made:
            raise UsageError(
                f"{len(made)} of the sounds are mixtures or degraded, and a run with audio.trained_blocks = all embeds "
                "files as they are"
            )
        return [str(sound.parts[0]) for sound in sounds]
    audio = recipe.audio
    assert audio.weights is not None and audio.trained_blocks != "all"
    return extract_frames(
        sounds,
        store,
        audio.trunk,
        audio.weights,
        options=audio.trunk_options,
        trained_blocks=audio.trained_blocks,
        workers=recipe.training.extraction_workers,
        report=report,
    )


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
