"""Online batches: for a trunk that is trained as a whole, log-mels of crops, levels and mixtures, drawn in every epoch.

Nothing is decoded while training: `open_waveforms` keeps the files' samples in one memory-mapped file, and several
worker processes read from it what a batch needs (`OnlineDataset`). A training step uses it so::

    waveforms = open_waveforms(paths, front_end.sample_rate_hz)         # all clips of the training splits
    online = OnlineBatches(OnlineConfig(batches, recipe.audio, waveforms, front_end, min_frames), text)  # once a run
    online.for_epoch(epoch)                                             # in place of EpochBatches, in every epoch

Validation has no crops and no workers: `OnlineFrames` stands where the store of cached frames stands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from soundseek._threads import single_threaded_children
from soundseek._typing import FloatArray
from soundseek.audio.logmel import FrontEndConfig, LogMel
from soundseek.errors import DataError, RecipeError, UsageError
from soundseek.learn.data.decoded_cache import ClipWaveforms, clip_log_mel
from soundseek.learn.data.join_captions import join_captions
from soundseek.learn.data.mixing import SoundSpec, render
from soundseek.learn.data.pairs import Batch, BatchConfig, Corpus, Example, Pairs, TextInputs, pad
from soundseek.learn.recipe.keys import AudioConfig

_REVISION = 1  # part of every pair's seed: raise it when the same pair would sound or read differently


@dataclass(frozen=True)
class OnlineConfig:
    """All that a batch's sounds and sentences depend on, besides epoch and number.

    Attributes:
        batches: What to draw from, and how.
        audio: `crop_s`, `gain_db` and `mix_share`, how each sound is changed.
        waveforms: The samples of every file in the corpus, at the front end's rate.
        front_end: The trunk's.
        min_frames: The trunk's.
    """

    batches: BatchConfig
    audio: AudioConfig
    waveforms: ClipWaveforms
    front_end: FrontEndConfig
    min_frames: int

    @property
    def corpus(self) -> Corpus:
        """What to draw from."""
        return self.batches.corpus


class OnlineBatch(NamedTuple):
    """A batch as a worker process makes it: all but the text tower's part.

    Attributes:
        log_mel: `(batch, time, mel)`, padded with zeros.
        frame_mask: `(batch, time)` bool, True = real.
        sentences: The words of each pair.
        texts: `(batch, 2)` numbers of the corpus' sentences that they were made of; twice the same where only one.
        clip_ids: As `Batch.clip_ids`; a mixture made in this epoch has one of its own.
        caption_ids: As `Batch.caption_ids`.
    """

    log_mel: Tensor
    frame_mask: Tensor
    sentences: list[str]
    texts: Tensor
    clip_ids: Tensor
    caption_ids: Tensor


class OnlineDataset(Dataset[OnlineBatch]):
    """From (epoch, number) to a batch, the same in every process and at every call."""

    def __init__(self, config: OnlineConfig) -> None:
        self._config = config
        self._examples = config.corpus.examples
        self._texts = list(config.corpus.texts)
        self._log_mel = LogMel(config.front_end)
        self._drawn: tuple[int, Pairs] = (0, config.batches.draw(0))
        self._num_pairs = len(self._drawn[1].texts)  # the same in every epoch

    def __len__(self) -> int:
        return self._config.batches.num_batches(self._num_pairs)

    def pairs_per_batch(self) -> int:
        """Pairs of a batch, in all processes together."""
        return min(self._config.batches.batch_size, self._num_pairs)

    def __getitem__(self, place: tuple[int, int]) -> OnlineBatch:
        epoch, number = place
        if self._drawn[0] != epoch:
            self._drawn = epoch, self._config.batches.draw(epoch)
        rows = self._config.batches.rows(number, self._num_pairs)
        return self._joined([self._pair(epoch, int(row)) for row in rows])

    def _joined(self, pairs: Sequence[_Pair]) -> OnlineBatch:
        log_mel, frame_mask = pad([pair.log_mel for pair in pairs])
        return OnlineBatch(
            log_mel,
            frame_mask,
            [pair.said.sentence for pair in pairs],
            torch.tensor([pair.said.texts for pair in pairs]),
            torch.tensor([pair.said.clip_id for pair in pairs]),
            torch.tensor([pair.said.caption_id for pair in pairs]),
        )

    def _pair(self, epoch: int, row: int) -> _Pair:
        """One sound and its sentence, by a generator of their own: no other pair changes them."""
        generator = np.random.default_rng([self._config.batches.seed, epoch, row, _REVISION])
        pairs = self._drawn[1]
        example, text = int(pairs.examples[row]), int(pairs.texts[row])
        sound = self._examples[example].sounds[int(pairs.versions[row])]
        said = _Said(self._texts[text], (text, text), example, text)
        if example < len(self._config.corpus.clips) and generator.random() < self._config.audio.mix_share:
            sound, said = self._mixed(row, example, text, generator)
        if self._config.batches.augment_caption:
            said = said._replace(sentence=self._config.batches.augment_caption(said.sentence, generator))
        waveform = self._levelled(self._cropped(sound, generator), generator)
        return _Pair(clip_log_mel(waveform, self._log_mel, self._config.min_frames), said)

    def _mixed(
        self, row: int, example: int, text: int, generator: np.random.Generator
    ) -> tuple[SoundSpec, _Said]:
        """A clip with another one, at once or one after the other, and their captions joined."""
        kind: Literal["overlay", "sequence"] = "overlay" if generator.random() < 0.5 else "sequence"
        other = self._partner(example, generator)
        caption = other.captions[int(generator.integers(len(other.captions)))]
        parts = [
            (self._config.corpus.clips[example].sounds[0], text),
            (other.sounds[0], self._config.corpus.texts[caption]),
        ]
        if generator.random() < 0.5:
            parts.reverse()
        sounds, texts = zip(*parts, strict=True)
        random = Random(int(generator.integers(2**31)))
        sentence = join_captions(self._texts[texts[0]], self._texts[texts[1]], kind, random)
        part_s = self._config.batches.data.part_s
        if self._config.audio.crop_s is not None:  # so that the crop keeps something of both
            part_s = min(part_s, self._config.audio.crop_s / (1 if kind == "overlay" else 2))
        sound = SoundSpec(
            kind,
            (sounds[0].parts[0], sounds[1].parts[0]),
            seed=int(generator.integers(2**31)),
            part_s=part_s,
        )
        # Beyond all numbers of the corpus: the pair's place is one of a kind, and equal words get equal ids.
        clip_id = len(self._examples) + row
        caption_id = len(self._texts) + _stable_number(sentence)
        return sound, _Said(sentence, (texts[0], texts[1]), clip_id, caption_id)

    def _partner(self, example: int, generator: np.random.Generator) -> Example:
        """Another clip, without a caption in common; after some tries, any other."""
        clips = self._config.corpus.clips
        captions = set(clips[example].captions)
        for _ in range(20):
            other = clips[(example + int(generator.integers(1, max(2, len(clips))))) % len(clips)]
            if not captions & set(other.captions):
                break
        return other

    def _cropped(self, sound: SoundSpec, generator: np.random.Generator) -> FloatArray:
        """A sound, or a piece of `crop_s` from anywhere in it; of a clip as it is, only the piece is read."""
        crop_s, rate_hz = self._config.audio.crop_s, self._config.front_end.sample_rate_hz
        waveforms = self._config.waveforms
        if crop_s is None:
            return render(sound, rate_hz, read=waveforms.__getitem__)
        longest = round(crop_s * rate_hz)
        if sound.kind == "clip" and not sound.degraded:
            path = sound.parts[0]
            start = int(generator.integers(max(0, waveforms.num_samples(path) - longest) + 1))
            return waveforms.piece(path, start, start + longest)
        waveform = render(sound, rate_hz, read=waveforms.__getitem__)
        start = int(generator.integers(max(0, len(waveform) - longest) + 1))
        return waveform[start : start + longest]

    def _levelled(self, waveform: FloatArray, generator: np.random.Generator) -> FloatArray:
        gain_db = self._config.audio.gain_db
        if not gain_db:
            return waveform
        draws = torch.Generator().manual_seed(int(generator.integers(2**31)))
        levelled = random_gain(torch.from_numpy(waveform)[None], draws, low_db=-gain_db, high_db=gain_db)
        return levelled[0].numpy()


class _Said(NamedTuple):
    """A sentence, the numbers of those it was made of, and the ids of its pair."""

    sentence: str
    texts: tuple[int, int]
    clip_id: int
    caption_id: int


class _Pair(NamedTuple):
    log_mel: FloatArray
    said: _Said


def _stable_number(sentence: str) -> int:
    """A number of 62 bits, equal for equal sentences in every process."""
    return int.from_bytes(hashlib.blake2b(sentence.encode(), digest_size=8).digest(), "big") >> 2


class OnlineBatches:
    """The batches of every epoch, each a function of seed and epoch alone: a resumed run meets the same ones.

    They have the form of `EpochBatches`, with log-mels `(batch, time, mel)` for frames. The number of workers
    changes nothing but the speed. Worker processes start with the first epoch and stay for the run.

    Args:
        config: What to draw from, and how each sound is changed.
        text: What the text tower gets; the features of a joined sentence are the mean of its parts'.
        workers: Processes that read, mix and compute log-mels, one thread each; 0 works in this one.

    Raises:
        RecipeError: `mix_share` or `augment_caption` with a frozen text tower, whose features of new sentences are not
            there; or batches too small for every process to have a pair.
        DataError: A file of the corpus that is not among the waveforms, or waveforms at another rate.
    """

    def __init__(self, config: OnlineConfig, text: TextInputs, *, workers: int = 0) -> None:
        mixes = config.audio.mix_share
        if text.tokenize is None and (mixes or config.batches.augment_caption):
            cause = "audio.mix_share joins" if mixes else "text.augment changes"
            raise RecipeError(
                f"{cause} captions anew in every epoch, which needs a trained text tower: set text.trained_layers; "
                "with a frozen one, data.overlays and data.sequences mix once, before training"
            )
        _check_waveforms(config)
        self._text = text
        sounds = OnlineDataset(config)
        ranks = config.batches.share.ranks
        if sounds.pairs_per_batch() < ranks:
            raise RecipeError(
                f"batches of {sounds.pairs_per_batch()} pairs cannot be shared by {ranks} processes; "
                "raise training.batch_size or lower training.devices"
            )
        self._order = _Order(len(sounds))
        self._loader: DataLoader[OnlineBatch] = DataLoader(
            sounds,
            batch_size=None,
            sampler=self._order,
            num_workers=workers,
            persistent_workers=workers > 0,
            multiprocessing_context="spawn" if workers else None,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else each start of the loader would move torch's own
        )

    def for_epoch(self, epoch: int) -> OnlineEpoch:
        """The batches of one epoch; iterate over one epoch at a time."""
        return OnlineEpoch(self, epoch)

    def num_batches(self) -> int:
        """Batches of an epoch."""
        return len(self._order)

    def iterate(self, epoch: int) -> Iterator[Batch]:
        """See `for_epoch`."""
        self._order.epoch = epoch
        with single_threaded_children():
            batches = iter(self._loader)
        for batch in batches:
            yield self._with_text(batch)

    def _with_text(self, batch: OnlineBatch) -> Batch:
        # The features of a joined sentence: the mean of its parts', near enough to tell who means the same.
        meanings = self._text.features[batch.texts].mean(dim=1)
        sentences, token_mask = self._text.of(batch.sentences, meanings)
        return Batch(
            batch.log_mel,
            batch.frame_mask,
            sentences,
            token_mask,
            meanings,
            batch.clip_ids,
            batch.caption_ids,
        )


class OnlineEpoch:
    """One epoch of `OnlineBatches`, to be iterated as `EpochBatches` is; every iteration starts it anew."""

    def __init__(self, batches: OnlineBatches, epoch: int) -> None:
        self._batches = batches
        self._epoch = epoch

    def __len__(self) -> int:
        return self._batches.num_batches()

    def __iter__(self) -> Iterator[Batch]:
        return self._batches.iterate(self._epoch)


class _Order:
    """Which batches are asked for next: (epoch, number), all of one epoch."""

    def __init__(self, num_batches: int) -> None:
        self.epoch = 0
        self._num_batches = num_batches

    def __len__(self) -> int:
        return self._num_batches

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter([(self.epoch, number) for number in range(self._num_batches)])


def _check_waveforms(config: OnlineConfig) -> None:
    rate_hz, wanted_hz = config.waveforms.sample_rate_hz, config.front_end.sample_rate_hz
    if rate_hz != wanted_hz:
        raise DataError(
            f"the waveforms are at {rate_hz} Hz, but the trunk hears {wanted_hz} Hz; "
            "open_waveforms takes the front end's rate"
        )
    absent = {
        part for sound in config.corpus.sounds() for part in sound.parts if part not in config.waveforms
    }
    if absent:
        raise DataError(
            f"{len(absent)} sounds of the corpus are not among the waveforms, {min(absent)} for one"
        )


def random_gain(
    waveform: Tensor, generator: torch.Generator, *, low_db: float = -20.0, high_db: float = 6.0
) -> Tensor:
    """`(batch, samples)` waveforms, each louder or quieter by its own random gain, uniform in dB.

    A clip is raised at most until its peak is 1, so that gain never clips; one that is above 1 is never
    raised.

    Args:
        waveform: `(batch, samples)`.
        generator: On the CPU.
        low_db: Lowest gain. More room below than above: a sound recorded from afar is quiet, and most are
            near full scale already.
        high_db: Highest gain.
    """
    if not low_db <= high_db:
        raise UsageError(f"gain runs from low_db {low_db} to high_db {high_db}; the first must not be larger")
    gain_db = low_db + (high_db - low_db) * torch.rand(len(waveform), generator=generator)
    gain = (10 ** (gain_db / 20)).to(waveform)
    room = 1 / waveform.abs().amax(dim=1).clamp(min=1e-9)
    return waveform * torch.minimum(gain, room.clamp(min=1)).unsqueeze(1)
