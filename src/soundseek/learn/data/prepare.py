"""From a recipe and a data directory to all that training reads: cached features, or sounds for an online trunk."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from soundseek._typing import Report
from soundseek.errors import DataError, RecipeError, RecipeFileError, UsageError
from soundseek.learn.data.caption_neighbours import (
    add_listeners,
    add_terms,
    build_pseudo_audio,
    needs_tags,
    read_sentences,
    refuse_pseudo_audio,
    tag_sentences,
    tags_heard,
    terms_learned,
    unique,
)
from soundseek.learn.data.decoded_cache import OnlineFrames, open_waveforms
from soundseek.learn.data.mixing import SoundSpec, content_digest
from soundseek.learn.data.online import OnlineBatches, OnlineConfig
from soundseek.learn.data.pairs import (
    ALONE,
    AlteredExample,
    Batch,
    BatchConfig,
    Corpus,
    EpochBatches,
    Example,
    Share,
    TextInputs,
    plan_altered,
    plan_clips,
    plan_mixtures,
    plan_scenes,
)
from soundseek.learn.data.pseudo_audio import PseudoAudio
from soundseek.learn.data.text_augment import build_text_augment, refuse_text_augment
from soundseek.learn.data.tower_cache import (
    FeatureStore,
    Frames,
    MeanFrames,
    extract_frames,
    extract_texts,
    frame_store,
    text_store,
)
from soundseek.learn.datasets.layout import Clip, read_split, shared_captions, splits_of
from soundseek.learn.datasets.tables import read_csv, read_lines
from soundseek.learn.models.audio.tags import read_class_names
from soundseek.learn.models.build import split_trunk
from soundseek.learn.models.text.tower import TextTower
from soundseek.learn.recipe.keys import BalanceConfig, Recipe

AnyExample = TypeVar("AnyExample", bound=Example)


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
        notes: What its user should know about the captions, a sentence each.
        validation: Chooses the epoch; None keeps the last.
        pseudo_audio: Pairs to learn from beside the batches; None where the recipe has none.
    """

    corpus: Corpus
    batches: Callable[[int], Batches]
    validation: SplitFeatures | None
    notes: tuple[str, ...] = ()
    pseudo_audio: PseudoAudio | None = None


def prepare(
    recipe: Recipe,
    data: Path,
    text: TextTower,
    trunk: Any,
    *,
    data_sets: Sequence[Path] = (),
    share: Share = ALONE,
    report: Report | None = None,
) -> TrainingData:
    """Run the frozen towers over whatever the cache lacks; decode what an online trunk takes.

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
    check_splits(recipe, data, data_sets, trunk=trunk)
    clips = _training_clips(data, data_sets, config.train_splits)
    corpus = _plan(clips, recipe, report)
    features = torch.zeros(len(corpus.texts), 1)  # no row is looked at where nothing below asks for them
    if _needs_features(recipe):
        features = torch.from_numpy(extract_texts(list(corpus.texts), text_store(text), text, report=report))
    augment_caption = None
    if recipe.text.augment.acts:
        augment_caption = build_text_augment(recipe.text.augment, corpus.texts, report=report)
    inputs = TextInputs(features, text.tokenize if recipe.text.is_online else None)
    drawn = BatchConfig(corpus, config, recipe.training.batch_size, recipe.seed, share, augment_caption)
    store = open_features(recipe, trunk)
    if isinstance(store, OnlineFrames):
        frames: Frames = store
        batches = _online(recipe, trunk, drawn, inputs, report)
    else:
        batches, frames = _cached(recipe, trunk, store, drawn, inputs, report)
    validation = None
    if config.validation_split:
        split = read_split(data, config.validation_split)
        if isinstance(frames, OnlineFrames):  # embedded in every epoch, decoded once
            waveforms = open_waveforms(
                [clip.path for clip in split], trunk.front_end.sample_rate_hz, report=report
            )
            frames = OnlineFrames(trunk.front_end, trunk.min_frames, waveforms)
        found = split_features(split, recipe, text, store, trunk=trunk, report=report)
        validation = replace(found, store=frames)
    pseudo_audio = None
    if config.imagined_sounds:
        assert not isinstance(store, OnlineFrames)  # the recipe has made sure
        sounds = [example.sounds[0] for example in corpus.clips]
        plain = sound_keys(sounds, store, recipe, trunk=trunk, report=report)
        mean = mean_frame(MeanFrames(store), plain)
        terms = (
            terms_learned(config.lexicon) if config.lexicon and config.lexicon.with_imagined_sounds else ()
        )
        pseudo_audio = build_pseudo_audio(
            config.imagined_sounds, trunk, mean, text, terms=terms, report=report
        )
    notes = tuple(caption_notes(text, [clip.captions for clip in clips]))
    return TrainingData(corpus, batches, validation, notes, pseudo_audio)


def caption_notes(text: TextTower, captions: Sequence[Sequence[str]]) -> Iterator[str]:
    """What a user should know about some clips' captions: those that are cut, and those that several clips share."""
    every = [caption for own in captions for caption in own]
    cut = cut_captions(text, list(dict.fromkeys(every)))
    if cut:
        yield (
            f"{len(cut)} of {len(every)} captions are longer than the {text.max_tokens} tokens that the text tower "
            f"reads, and their ends are not learned, such as {cut[0][-40:]!r}; text.max_tokens sets the length"
        )
    shared = len(shared_captions(captions))
    if shared:
        yield (
            f"{shared} of {len(every)} captions stand with another clip in the same words; in a batch both clips "
            "count as found"
        )


def cut_captions(text: TextTower, captions: Sequence[str]) -> list[str]:
    """The captions whose last word a text tower does not read."""
    # A token is a letter at least, so shorter ones cannot be cut.
    long = [caption for caption in captions if len(caption) > text.max_tokens and " " in caption.strip()]
    return [
        caption
        for caption in long
        if torch.equal(text.tokenize([caption])[0], text.tokenize([caption.rstrip().rpartition(" ")[0]])[0])
    ]


def check_splits(
    recipe: Recipe, data: Path, data_sets: Sequence[Path] = (), *, trunk: Any | None = None
) -> DataFacts:
    """Whatever can be said of a recipe's data without decoding a sound: what is wrong with it is said now.

    Args:
        recipe: What to train.
        data: See `prepare`.
        data_sets: See `prepare`.
        trunk: The recipe's trunk; None leaves out what a recipe asks of it.

    Raises:
        DataError: Captions that cannot be used, sounds that are missing.
        RecipeError: Validation and training overlap, mixtures of a single clip, a trunk without tags, or a file that
            the recipe names is not there.
    """
    config = recipe.data
    if config.validation_split in config.train_splits:
        raise RecipeError(f"data.validation_split {config.validation_split!r} is one of data.train_splits")
    clips = _training_clips(data, data_sets, config.train_splits)
    if config.validation_split and not (data / f"captions_{config.validation_split}.csv").is_file():
        others = [each for each in splits_of(data) if each not in config.train_splits]
        other = f"name another split as data.validation_split ({', '.join(others)}), or " if others else ""
        raise DataError(
            f"{data} has no captions_{config.validation_split}.csv; {other}train without one: "
            "--set data.validation_split=null"
        )
    validation = read_split(data, config.validation_split) if config.validation_split else []
    if config.overlays + config.sequences and len(clips) < 2:
        raise RecipeError(
            "data.overlays and data.sequences mix two clips, and there is one to learn from; set both to 0, or give "
            "more clips"
        )
    if config.leave_out:
        _left_out(config.leave_out, clips)
    for sentences in (config.listener_captions, config.imagined_sounds):
        if sentences:
            read_sentences(sentences.path)
    if recipe.text.augment.acts:
        refuse_text_augment(recipe.text.augment)
    if trunk is not None:
        if config.imagined_sounds:
            refuse_pseudo_audio(config.imagined_sounds, trunk)
        if config.tag_captions:
            needs_tags(trunk, "data.tag_captions")
    every = (*clips, *validation)
    sizes = [clip.path.stat().st_size for clip in every]
    if 0 in sizes:
        empty = every[sizes.index(0)].path
        raise DataError(
            f"cannot learn from {empty}: empty: 0 bytes; mend or remove it, and its line in the captions"
        )
    told = [
        [clip.path.parent.name, clip.path.name, size, *clip.captions]
        for clip, size in zip(every, sizes, strict=True)
    ]
    contents = [content_digest(clip.path) for clip in every]  # which the caches ask for as well
    return DataFacts(_digest(told), len(clips), _digest(contents))


def _digest(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class DataFacts:
    """What a run learns from, wherever the folder is.

    Attributes:
        digest: Of the clips' names, sizes and captions, in the splits that train and validate.
        num_clips: Clips that it learns from.
        sounds_digest: Of what is in the files of the clips.
    """

    digest: str
    num_clips: int
    sounds_digest: str


def _online(
    recipe: Recipe, trunk: Any, drawn: BatchConfig, text: TextInputs, report: Report | None
) -> Callable[[int], Batches]:
    """Epoch -> its batches of log-mels."""
    parts = [part for sound in drawn.corpus.sounds() for part in sound.parts]
    waveforms = open_waveforms(parts, trunk.front_end.sample_rate_hz, report=report)
    online = OnlineConfig(drawn, recipe.audio, waveforms, trunk.front_end, trunk.min_frames)
    return OnlineBatches(online, text, workers=recipe.training.workers).for_epoch


def _cached(
    recipe: Recipe,
    trunk: nn.Module,
    store: FeatureStore,
    drawn: BatchConfig,
    text: TextInputs,
    report: Report | None,
) -> tuple[Callable[[int], Batches], Frames]:
    """Epoch -> its batches of what the frozen part of the trunk gives, and the frames that they take."""
    corpus = drawn.corpus
    sounds = corpus.sounds()
    keys = dict(zip(sounds, sound_keys(sounds, store, recipe, trunk=trunk, report=report), strict=True))
    if recipe.data.tag_captions:  # of a trunk frozen as a whole, as the recipe has made sure
        found = tags_heard(corpus, keys, store, trunk, recipe.data.tag_captions.min_probability)
        drawn = replace(drawn, corpus=replace(corpus, tagged=found))
    _, tail = split_trunk(trunk, recipe.audio.trained_blocks)
    # Trained layers see every frame's neighbours, a maximum or a hidden layer every frame; else the mean is enough.
    only_means = tail is None and not recipe.audio.needs_frames
    frames: Frames = MeanFrames(store) if only_means else store
    drawn_from = store if recipe.data.frames_per_sound else frames
    return partial(EpochBatches, drawn, text, keys=keys, store=drawn_from, only_means=only_means), frames


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
    mixtures: Sequence[Example] = [
        *plan_mixtures(clips, recipe.data, seed),
        *plan_scenes(clips, recipe.data, seed),
    ]
    altered: Sequence[AlteredExample] = plan_altered(clips, recipe.data, seed)
    if recipe.data.leave_out:
        names = _left_out(recipe.data.leave_out, clips)
        examples, mixtures = _without(examples, names), _without(mixtures, names)
        altered = _without(altered, names)
    texts = unique([caption for example in (*examples, *mixtures) for caption in example.captions])
    captions = list(texts)
    substitutes: dict[int, tuple[int, ...]] = {}
    if recipe.data.listener_captions:
        texts, substitutes = add_listeners(texts, recipe.data.listener_captions, report=report)
    if recipe.data.tag_captions:
        texts = unique(
            [*texts, *(sentence for name in read_class_names() for sentence in tag_sentences(name))]
        )
    jargon: dict[int, tuple[int, ...]] = {}
    if recipe.data.lexicon:
        texts, jargon = add_terms(texts, captions, recipe.data.lexicon, report=report)
    texts = unique([*texts, *(said for each in altered for said in (*each.captions, *each.contrasts))])
    weights = None
    if recipe.data.balance:
        weights = balanced([example.sounds[0].parts[0] for example in examples], recipe.data.balance)
    return Corpus(examples, mixtures, texts, substitutes, jargon=jargon, altered=altered, weights=weights)


def balanced(paths: Sequence[Path], config: Sequence[BalanceConfig]) -> npt.NDArray[np.float64]:
    """`(clip,)` how often each clip is drawn, mean 1.

    Raises:
        DataError: No `metadata.csv` beside the split's folder, or a clip that is not in it.
        TableError: It lacks a column.
    """
    weights = np.ones(len(paths))
    for each in config:
        groups: dict[Path, dict[str, str]] = {}
        for table in {path.parent.parent / "metadata.csv" for path in paths}:
            if not table.is_file():
                raise DataError(f"data.balance needs {table}, with the columns file_name and {each.column}")
            rows = read_csv(table, "file_name", each.column)
            groups[table.parent] = {row.cells["file_name"]: row.cells[each.column] for row in rows}
        absent = [path for path in paths if path.name not in groups[path.parent.parent]]
        if absent:
            raise DataError(
                f"data.balance: {absent[0].parent.parent / 'metadata.csv'} has no row of {absent[0].name}"
            )
        own = [groups[path.parent.parent][path.name] for path in paths]
        sizes = Counter(own)
        weights *= np.array([sizes[group] ** -each.power for group in own])
    shares: npt.NDArray[np.float64] = weights / weights.mean()
    return shares


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


def _without(examples: Sequence[AnyExample], names: set[str]) -> list[AnyExample]:
    """The examples that hold nothing of these files."""
    return [
        example
        for example in examples
        if not any(part.name in names for sound in example.sounds for part in sound.parts)
    ]


def _needs_features(recipe: Recipe) -> bool:
    """Whether anything asks for what the frozen text tower makes of the training captions."""
    by_cosine = recipe.loss.name == "supervised-contrastive" and recipe.loss.caption_similarity > 0
    return not recipe.text.is_online or by_cosine


def open_features(recipe: Recipe, trunk: Any) -> FeatureStore | OnlineFrames:
    """The store of the frames of a recipe's trunk, or of what enters its trained layers.

    Args:
        recipe: Says what is trained.
        trunk: The recipe's, as `build_recipe_trunk` gives it.
    """
    audio = recipe.audio
    if audio.is_online:
        return OnlineFrames(trunk.front_end, trunk.min_frames)
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
    store: FeatureStore | OnlineFrames,
    *,
    trunk: Any,
    report: Report | None = None,
) -> SplitFeatures:
    """The features of some clips as they are, and of all their captions; see `open_features`."""
    sounds = [SoundSpec("clip", (clip.path,)) for clip in clips]
    keys = sound_keys(sounds, store, recipe, trunk=trunk, report=report)
    captions = [caption for clip in clips for caption in clip.captions]
    features = torch.zeros(0, text.width)
    if not recipe.text.is_online:
        features = torch.from_numpy(extract_texts(captions, text_store(text), text, report=report))
    relevant = np.repeat(np.arange(len(clips)), [len(clip.captions) for clip in clips])
    return SplitFeatures(store, keys, captions, features, relevant)


def sound_keys(
    sounds: Sequence[SoundSpec],
    store: FeatureStore | OnlineFrames,
    recipe: Recipe,
    *,
    trunk: Any,
    report: Report | None = None,
) -> list[str]:
    """The key of each sound, a clip or a mixture, in `store`; frames that were not there are computed.

    Args:
        sounds: Clips or mixtures.
        store: See `open_features`.
        recipe: See `open_features`.
        trunk: See `open_features`; in evaluation mode and on the CPU.
        report: Called as the work goes on.

    Raises:
        DataError: A sound that cannot be decoded.
        UsageError: A mixture for a trunk that is trained as a whole, which hears files only.
    """
    if isinstance(store, OnlineFrames):
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
        trunk=split_trunk(trunk, audio.trained_blocks)[0],
        report=report,
    )


def mean_frame(store: Frames, keys: Sequence[str]) -> Tensor:
    """Mean `(width,)` over all rows of some clips."""
    total, count = np.zeros(store.width), 0
    for key in keys:
        frames = store[key].astype(np.float64)
        total += frames.sum(axis=0)
        count += len(frames)
    return torch.from_numpy(total / count).float()
