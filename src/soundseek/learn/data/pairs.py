"""Which sound meets which words: clips, their degraded versions and mixtures, drawn anew in every epoch.

A batch is drawn here; which of its pairs are each other's negatives is decided in `soundseek.learn.losses.negatives`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from soundseek._typing import IntArray
from soundseek.audio.decode import probe
from soundseek.learn.data.how_it_sounds import contrasted_with, described_in, manners_for
from soundseek.learn.data.join_captions import join_captions
from soundseek.learn.data.mixing import SoundSpec
from soundseek.learn.data.tower_cache import Frames
from soundseek.learn.datasets.layout import Clip
from soundseek.learn.recipe.keys import DataConfig

BED_S = 5.0  # a clip that lasts as long can be the background of a scene

AugmentCaption = Callable[[str, np.random.Generator], str]
"""From a sentence to other words for it, by a generator that is a function of seed, epoch and pair."""


@dataclass(frozen=True)
class Example:
    """One sound, in one or more versions, with its captions.

    Attributes:
        sounds: The clean one, then its degraded versions.
        captions: Sentences that all describe it.
    """

    sounds: tuple[SoundSpec, ...]
    captions: tuple[str, ...]


@dataclass(frozen=True)
class AlteredExample(Example):
    """A clip in another manner.

    Attributes:
        contrasts: Captions of the clip as it is, with a word that the copy does not answer to.
    """

    contrasts: tuple[str, ...] = ()


class Batch(NamedTuple):
    """Pairs of a sound and a sentence.

    Attributes:
        frames: `(batch, time, width)` of the trunk, or what enters its trained layers, padded with zeros.
        frame_mask: `(batch, time)` bool, True = real.
        sentences: `(batch, width)` features of a frozen text tower; or token ids `(batch, token)` of a
            trained one.
        token_mask: `(batch, token)` bool where `sentences` are token ids, else None.
        meanings: `(batch, width)` features that say which sentences mean the same.
        clip_ids: `(batch,)` equal where the sounds stem from one example.
        caption_ids: `(batch,)` equal where the sentences are the same words.
        origin_ids: `(batch,)` equal where the sounds stem from one clip, whatever its manner; None where nothing was
            altered.
        says_how: `(batch,)` bool, True where the sentence says how it sounds: then only a sound of its own example
            answers it, else every sound of its origin.
    """

    frames: Tensor
    frame_mask: Tensor
    sentences: Tensor
    token_mask: Tensor | None
    meanings: Tensor
    clip_ids: Tensor
    caption_ids: Tensor
    origin_ids: Tensor | None = None
    says_how: Tensor | None = None

    def split(self, size: int) -> list[Batch]:
        """The pairs in order, at most `size` of them in each part."""
        return [
            Batch(*(None if each is None else each[start : start + size] for each in self))  # type: ignore[arg-type]
            for start in range(0, len(self.clip_ids), size)
        ]


def plan_clips(clips: Sequence[Clip], config: DataConfig, seed: int) -> list[Example]:
    """Every clip clean and in `degraded_versions`, with its own captions."""
    examples = []
    for number, clip in enumerate(clips):
        versions = [SoundSpec("clip", (clip.path,))]
        for version in range(config.degraded_versions):
            version_seed = _seed(seed, number, version)
            versions.append(SoundSpec("clip", (clip.path,), seed=version_seed, degraded=True))
        examples.append(Example(tuple(versions), clip.captions))
    return examples


def plan_altered(clips: Sequence[Clip], config: DataConfig, seed: int) -> list[AlteredExample]:
    """Clips in another manner, as many as `altered.copies`; the manners are equally frequent where clips allow them."""
    if config.altered is None:
        return []
    random = Random(_seed(seed, 2, 2))
    durations = [probe(clip.path).duration_s for clip in clips]
    planned: Counter[str] = Counter()
    examples = []
    for _ in range(config.altered.copies):
        number = random.randrange(len(clips))
        clip, able = clips[number], list(manners_for(durations[number]))
        random.shuffle(able)
        manner = min(able, key=lambda name: planned[name])
        planned[manner] += 1
        sound = SoundSpec("clip", (clip.path,), seed=random.getrandbits(31), manner=manner)
        said = [described_in(manner, random.choice(clip.captions), random) for _ in range(4)]
        contrasts = [contrasted_with(manner, random.choice(clip.captions), random) for _ in range(2)]
        examples.append(
            AlteredExample(
                (sound,), tuple(dict.fromkeys(said)), tuple(set(contrasts).difference(clip.captions))
            )
        )
    return examples


def plan_scenes(clips: Sequence[Clip], config: DataConfig, seed: int) -> list[Example]:
    """Ten seconds of a long clip with one or two others over it, their captions joined."""
    if not config.scenes:
        return []
    random = Random(_seed(seed, 3, 3))
    durations = {clip.path: probe(clip.path).duration_s for clip in clips}
    beds = [clip for clip in clips if durations[clip.path] >= BED_S] or list(clips)
    events = [clip for clip in clips if durations[clip.path] < BED_S] or list(clips)
    examples = []
    for _ in range(config.scenes):
        bed, own = random.choice(beds), random.sample(events, min(len(events), random.choice((1, 1, 2))))
        sound = SoundSpec("scene", (bed.path, *(event.path for event in own)), seed=random.getrandbits(31))
        captions = []
        for _ in range(config.joined_captions):
            said = random.choice(own[0].captions)
            for event in own[1:]:
                said = join_captions(said, random.choice(event.captions), "sequence", random)
            captions.append(join_captions(said, random.choice(bed.captions), "overlay", random))
        examples.append(Example((sound,), tuple(dict.fromkeys(captions))))
    return examples


def plan_mixtures(clips: Sequence[Clip], config: DataConfig, seed: int) -> list[Example]:
    """Two clips at once or one after the other, their captions joined; none is mixed with its like."""
    random = Random(_seed(seed, 1, 1))
    examples = []
    for number in range(config.overlays + config.sequences):
        kind: Literal["overlay", "sequence"] = "overlay" if number < config.overlays else "sequence"
        first, second = _different(clips, random)
        sound = SoundSpec(
            kind,
            (first.path, second.path),
            seed=random.getrandbits(31),
            degraded=random.random() < config.mixtures_degraded,
            part_s=config.part_s,
        )
        captions = [
            join_captions(random.choice(first.captions), random.choice(second.captions), kind, random)
            for _ in range(config.joined_captions)
        ]
        examples.append(Example((sound,), tuple(dict.fromkeys(captions))))
    return examples


def _different(clips: Sequence[Clip], random: Random) -> tuple[Clip, Clip]:
    """Two clips without a caption in common; after some tries, any two."""
    for _ in range(20):
        first, second = random.sample(clips, 2)
        if not set(first.captions) & set(second.captions):
            break
    return first, second


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(list(parts)).generate_state(1)[0])


@dataclass(frozen=True)
class Pairs:
    """The pairs of one epoch, in order.

    Attributes:
        examples: `(pair,)` number of the example: clips first, then mixtures, then altered clips.
        versions: `(pair,)` number of its sound.
        texts: `(pair,)` number of the sentence.
        says_how: `(pair,)` bool, True where the sentence says how it sounds.
    """

    examples: IntArray
    versions: IntArray
    texts: IntArray
    says_how: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Corpus:
    """Everything to learn from, with texts as numbers.

    Attributes:
        clips: Examples that stand in every epoch.
        mixtures: Examples of which each epoch draws some.
        texts: Text -> number, of all captions and all substitutes.
        substitutes: For some texts (by number), the texts of listeners that may replace them.
        tagged: For some examples (clips first, then mixtures), the texts that name what the trunk hears in them.
        jargon: For some texts (by number), the terms of the trade that mean the same.
        altered: Clips in another manner, of which each epoch draws some, each beside its clip as it is.
        weights: `(clip,)` how often each clip is drawn, mean 1; None draws all alike.
    """

    clips: Sequence[Example]
    mixtures: Sequence[Example]
    texts: Mapping[str, int]
    substitutes: Mapping[int, Sequence[int]]
    tagged: Mapping[int, Sequence[int]] = field(default_factory=dict)
    jargon: Mapping[int, Sequence[int]] = field(default_factory=dict)
    altered: Sequence[AlteredExample] = ()
    weights: npt.NDArray[np.float64] | None = None

    @cached_property
    def examples(self) -> tuple[Example, ...]:
        """All, in the order of their numbers."""
        return (*self.clips, *self.mixtures, *self.altered)

    @cached_property
    def origins(self) -> IntArray:
        """`(example,)` the number of the clip that an example is, in whatever manner; a mixture's own number."""
        clips = {example.sounds[0].parts[0]: number for number, example in enumerate(self.clips)}
        first = len(self.clips) + len(self.mixtures)
        own = [clips[example.sounds[0].parts[0]] for example in self.altered]
        return np.array([*range(first), *own], np.int64)

    def draw(self, config: DataConfig, *, seed: int, epoch: int) -> Pairs:
        """The pairs of one epoch: the same for the same seed and epoch, whatever was drawn before."""
        generator = np.random.default_rng([seed, epoch])
        rows: list[tuple[int, int, int, bool]] = []
        for number, example in enumerate(self.clips):
            count = config.captions_per_epoch
            if self.weights is not None:  # the whole part for certain, the rest as a probability
                count = int(count * self.weights[number] + generator.random())
            for caption in _some(example.captions, count, generator):
                version = _version(example, config.degraded_share, generator)
                rows.append((number, version, self.texts[caption], False))
        num_clip_rows = len(rows)
        if self.mixtures:
            num_mixtures = round(config.mixture_share * num_clip_rows)
            for mixture in _spread(len(self.mixtures), num_mixtures, generator):
                example = self.mixtures[mixture]
                caption = example.captions[generator.integers(len(example.captions))]
                rows.append((len(self.clips) + mixture, 0, self.texts[caption], False))
        order = generator.permutation(len(rows))
        if config.altered and self.altered:
            pairs = self._altered(round(config.altered.share * num_clip_rows), generator)
            order = _with_pairs(order, len(pairs) // 2, generator)
            rows += pairs
        table = np.array(rows, np.int64)[order]
        says_how = table[:, 3].astype(bool)
        share = config.listener_captions.share if config.listener_captions else 0.0
        texts = _replaced(table[:, 2], table[:, 2], self.substitutes, share, generator)
        if config.tag_captions:
            texts = _replaced(texts, table[:, 0], self.tagged, config.tag_captions.share, generator)
        if config.lexicon:
            texts = _replaced(texts, table[:, 2], self.jargon, config.lexicon.share, generator)
        texts[says_how] = table[says_how, 2]
        return Pairs(table[:, 0], table[:, 1], texts, says_how)

    def _altered(self, count: int, generator: np.random.Generator) -> list[tuple[int, int, int, bool]]:
        """`count` altered clips with words for it, each followed by the clip as it is."""
        rows = []
        first = len(self.clips) + len(self.mixtures)
        for number in _spread(len(self.altered), count, generator):
            example = self.altered[number]
            clip = int(self.origins[first + number])
            said = example.captions[int(generator.integers(len(example.captions)))]
            rows.append((first + number, 0, self.texts[said], True))
            plain = self.clips[clip].captions
            if example.contrasts and generator.random() < 0.5:
                contrast = example.contrasts[int(generator.integers(len(example.contrasts)))]
                rows.append((clip, 0, self.texts[contrast], True))
            else:
                rows.append((clip, 0, self.texts[plain[int(generator.integers(len(plain)))]], False))
        return rows

    def sounds(self) -> list[SoundSpec]:
        """Every sound that `draw` can choose."""
        return [sound for example in self.examples for sound in example.sounds]


def _replaced(
    texts: IntArray,
    keys: IntArray,
    others: Mapping[int, Sequence[int]],
    share: float,
    generator: np.random.Generator,
) -> IntArray:
    """Texts of which a share gives way to one of the others that stand under its key, where there are any."""
    replaced: IntArray = texts.copy()
    for position in np.flatnonzero(generator.random(len(texts)) < share):
        candidates = others.get(int(keys[position]), ())
        if candidates:
            replaced[position] = candidates[int(generator.integers(len(candidates)))]
    return replaced


def _with_pairs(order: IntArray, count: int, generator: np.random.Generator) -> IntArray:
    """An order of rows, and among them at random places `count` pairs of the rows behind them, never torn apart."""
    pairs = len(order) + 2 * generator.permutation(count)
    places = np.sort(generator.integers(len(order) + 1, size=count))
    mixed: IntArray = np.insert(order, np.repeat(places, 2), np.stack([pairs, pairs + 1], axis=1).ravel())
    return mixed


def _some(captions: Sequence[str], count: int, generator: np.random.Generator) -> list[str]:
    return [captions[index] for index in _spread(len(captions), count, generator)]


def _spread(size: int, count: int, generator: np.random.Generator) -> list[int]:
    """`count` numbers below `size`, none drawn a second time before all were drawn once."""
    rounds = [generator.permutation(size) for _ in range(-(-count // size))]
    return np.concatenate(rounds)[:count].tolist() if rounds else []


def _version(example: Example, degraded_share: float, generator: np.random.Generator) -> int:
    if len(example.sounds) == 1 or generator.random() >= degraded_share:
        return 0
    return int(generator.integers(1, len(example.sounds)))


@dataclass(frozen=True)
class Share:
    """Which part of every batch one of several processes gets.

    Attributes:
        rank: The process' number, from 0.
        ranks: How many there are; see `soundseek.learn.parallel`.
    """

    rank: int = 0
    ranks: int = 1


ALONE = Share()


@dataclass(frozen=True)
class BatchConfig:
    """What the batches of a run are drawn from, and how: of cached frames and of log-mels alike.

    Attributes:
        corpus: What to draw from.
        data: How to draw.
        batch_size: Pairs a batch, of all processes together; a smaller rest is dropped unless it is all there is.
        seed: Of all that is drawn.
        share: Of every batch's pairs, in order.
        augment_caption: Other words for a sentence; needs a trained text tower.
    """

    corpus: Corpus
    data: DataConfig
    batch_size: int
    seed: int
    share: Share = ALONE
    augment_caption: AugmentCaption | None = None

    def draw(self, epoch: int) -> Pairs:
        """The pairs of one epoch."""
        return self.corpus.draw(self.data, seed=self.seed, epoch=epoch)

    def num_batches(self, num_pairs: int) -> int:
        """Batches of an epoch of so many pairs."""
        return max(1, num_pairs // self.batch_size)

    def rows(self, number: int, num_pairs: int) -> IntArray:
        """The numbers of the pairs that this process gets of a batch."""
        first = number * self.batch_size
        rows = np.arange(first, min(first + self.batch_size, num_pairs))
        return np.array_split(rows, self.share.ranks)[self.share.rank]


@dataclass(frozen=True)
class TextInputs:
    """What the text tower gets of a batch's sentences.

    Attributes:
        features: `(text, width)` features of the corpus' texts by the frozen text tower.
        tokenize: For a trained text tower, texts -> token ids and mask; None gives `features` instead.
    """

    features: Tensor
    tokenize: Callable[[Sequence[str]], tuple[Tensor, Tensor]] | None = None

    def of(self, sentences: Iterable[str], meanings: Tensor) -> tuple[Tensor, Tensor | None]:
        """`Batch.sentences` and `Batch.token_mask` of sentences and their features."""
        return self.tokenize(list(sentences)) if self.tokenize else (meanings, None)


class EpochBatches:
    """The batches of one epoch, a function of seed and epoch alone: a resumed run meets the same ones.

    Args:
        config: What to draw from, and how.
        text: What the text tower gets.
        epoch: See `Corpus.draw`.
        keys: Each sound's key in `store`.
        store: The trunk's frames.
        only_means: Give the mean `(1, width)` of the frames that are drawn, which is enough for a linear head.
    """

    def __init__(
        self,
        config: BatchConfig,
        text: TextInputs,
        epoch: int,
        *,
        keys: Mapping[SoundSpec, str],
        store: Frames,
        only_means: bool = False,
    ) -> None:
        corpus = config.corpus
        self._config = config
        self._text = text
        self._epoch = epoch
        self._examples = corpus.examples
        self._origins = torch.from_numpy(corpus.origins) if corpus.altered else None
        self._texts = list(corpus.texts)
        self._pairs = config.draw(epoch)
        self._keys = keys
        self._store = store
        self._only_means = only_means

    def __len__(self) -> int:
        return self._config.num_batches(len(self._pairs.texts))

    def __iter__(self) -> Iterator[Batch]:
        for number in range(len(self)):
            yield self._batch(self._config.rows(number, len(self._pairs.texts)))

    def _batch(self, rows: IntArray) -> Batch:
        examples, texts = self._pairs.examples[rows], self._pairs.texts[rows]
        sounds = (
            self._examples[example].sounds[version]
            for example, version in zip(examples, self._pairs.versions[rows], strict=True)
        )
        frames, frame_mask = pad(self._drawn([self._store[self._keys[sound]] for sound in sounds], rows))
        meanings = self._text.features[torch.from_numpy(texts)]
        sentences, token_mask = self._text.of((self._sentence(row) for row in rows), meanings)
        clip_ids, caption_ids = (torch.from_numpy(numbers) for numbers in (examples, texts))
        batch = Batch(frames, frame_mask, sentences, token_mask, meanings, clip_ids, caption_ids)
        if self._origins is None:
            return batch
        says_how = torch.from_numpy(self._pairs.says_how[rows])
        return batch._replace(origin_ids=self._origins[clip_ids], says_how=says_how)

    def _drawn(self, sounds: list[npt.NDArray[Any]], rows: IntArray) -> list[npt.NDArray[Any]]:
        """Of each sound's frames `(time, width)` the `frames_per_sound` that training takes now, in their order."""
        count = self._config.data.frames_per_sound
        if count is None:
            return sounds
        # The 2: seed and epoch start other draws, too, and zeros behind them change nothing.
        generator = np.random.default_rng([self._config.seed, self._epoch, int(rows[0]), 2])
        drawn = [
            frames
            if len(frames) <= count
            else frames[np.sort(generator.choice(len(frames), count, replace=False))]
            for frames in sounds
        ]
        if self._only_means:
            return [frames.mean(axis=0, dtype=np.float32, keepdims=True) for frames in drawn]
        return drawn

    def _sentence(self, row: int) -> str:
        sentence: str = self._texts[int(self._pairs.texts[row])]
        if self._config.augment_caption is None:
            return sentence
        generator = np.random.default_rng([self._config.seed, self._epoch, int(row)])
        return self._config.augment_caption(sentence, generator)


def pad(clips: Sequence[npt.NDArray[Any]]) -> tuple[Tensor, Tensor]:
    """Frames `(time, width)` of several clips as one `(batch, time, width)` float32, and its mask."""
    longest = max(len(clip) for clip in clips)
    # NumPy's zeros take no memory before they are touched, which one long clip among many makes worth it.
    frames = np.zeros((len(clips), longest, clips[0].shape[1]), np.float32)
    frame_mask = torch.zeros(len(clips), longest, dtype=torch.bool)
    for row, clip in enumerate(clips):
        frames[row, : len(clip)] = clip
        frame_mask[row, : len(clip)] = True
    return torch.from_numpy(frames), frame_mask
