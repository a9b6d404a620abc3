"""Batches for a trunk in the training loop: log-mels of crops, levels and mixtures, drawn anew in every epoch.

Nothing is decoded while training: `open_waveforms` keeps the files' samples in one memory-mapped file, and several
worker processes read from it what a batch needs. A training step uses it so::

    waveforms = open_waveforms(paths, front_end.sample_rate_hz)        # all clips of the training splits
    live = LiveBatches(corpus, recipe.data, recipe.audio, waveforms=waveforms, front_end=..., ...)  # once a run
    live.for_epoch(epoch)                                              # in place of EpochBatches, in every epoch

Validation has no crops and no workers: `LiveFrames` stands where the store of cached frames stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from soundseek.audio.logmel import FrontEndConfig
from soundseek.errors import DataError, RecipeError
from soundseek.learn.data.batches import Batch, Corpus, Reword
from soundseek.learn.data.decoded import ClipWaveforms, LiveFrames, open_waveforms
from soundseek.learn.data.features import one_thread_each
from soundseek.learn.data.heard import Heard, HeardBatches, HeardConfig
from soundseek.learn.recipe_sections import AudioConfig, DataConfig

__all__ = ["ClipWaveforms", "LiveBatches", "LiveEpoch", "LiveFrames", "Reword", "open_waveforms"]


class LiveBatches:
    """The batches of every epoch, each a function of seed and epoch alone: a resumed run meets the same ones.

    They have the form of `EpochBatches`, with log-mels `(batch, time, mel)` for frames. The number of workers
    changes nothing but the speed. Worker processes start with the first epoch and stay for the run.

    Args:
        corpus: What to draw from.
        config: How to draw.
        audio: `crop_s`, `gain_db` and `mix_share`, how each sound is changed.
        waveforms: The samples of every file in the corpus, at the front end's rate.
        front_end: The trunk's.
        min_frames: The trunk's.
        features: `(text, width)` features of the corpus' texts by the frozen text tower.
        tokenize: For a trained text tower, texts -> token ids and mask; None gives `features` instead.
        batch_size: Pairs a batch, of all processes together; a smaller rest is dropped unless it is all there is.
        seed: Of all that is drawn.
        workers: Processes that read, mix and compute log-mels, one thread each; 0 works in this one.
        rank: Which process of `ranks` this is: it gets its share of every batch's pairs, in order.
        ranks: How many processes train together; see `soundseek.learn.distributed`.
        reword: Other words for a sentence; needs `tokenize`.

    Raises:
        RecipeError: `mix_share` or `reword` with a frozen text tower, whose features of new sentences are not
            there; or batches too small for every process to have a pair.
        DataError: A file of the corpus that is not among the waveforms, or waveforms at another rate.
    """

    def __init__(
        self,
        corpus: Corpus,
        config: DataConfig,
        audio: AudioConfig,
        *,
        waveforms: ClipWaveforms,
        front_end: FrontEndConfig,
        min_frames: int,
        features: Tensor,
        tokenize: Callable[[Sequence[str]], tuple[Tensor, Tensor]] | None,
        batch_size: int,
        seed: int,
        workers: int = 0,
        rank: int = 0,
        ranks: int = 1,
        reword: Reword | None = None,
    ) -> None:
        if tokenize is None and (audio.mix_share or reword):
            cause = "audio.mix_share joins" if audio.mix_share else "text.augment changes"
            raise RecipeError(
                f"{cause} captions anew in every epoch, which needs a trained text tower: set text.trained_layers; "
                "with a frozen one, data.overlays and data.sequences mix once, before training"
            )
        _check_waveforms(corpus, waveforms, front_end)
        self._features = features
        self._tokenize = tokenize
        source = HeardConfig(
            corpus=corpus,
            config=config,
            audio=audio,
            waveforms=waveforms,
            front_end=front_end,
            min_frames=min_frames,
            batch_size=batch_size,
            seed=seed,
            rank=rank,
            ranks=ranks,
            reword=reword,
        )
        sounds = HeardBatches(source)
        if sounds.pairs_per_batch() < ranks:
            raise RecipeError(
                f"batches of {sounds.pairs_per_batch()} pairs cannot be shared by {ranks} processes; "
                "raise training.batch_size or lower training.devices"
            )
        self._order = _Order(len(sounds))
        self._loader: DataLoader[Heard] = DataLoader(
            sounds,
            batch_size=None,
            sampler=self._order,
            num_workers=workers,
            persistent_workers=workers > 0,
            multiprocessing_context="spawn" if workers else None,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else each start of the loader would move torch's own
        )

    def for_epoch(self, epoch: int) -> LiveEpoch:
        """The batches of one epoch; iterate over one epoch at a time."""
        return LiveEpoch(self, epoch)

    def num_batches(self) -> int:
        """Batches of an epoch."""
        return len(self._order)

    def iterate(self, epoch: int) -> Iterator[Batch]:
        """See `for_epoch`."""
        self._order.epoch = epoch
        with one_thread_each():
            batches = iter(self._loader)
        for heard in batches:
            yield self._with_text(heard)

    def _with_text(self, heard: Heard) -> Batch:
        # The features of a joined sentence: the mean of its parts', near enough to tell who means the same.
        meanings = self._features[heard.texts].mean(dim=1)
        sentences, token_mask = meanings, None
        if self._tokenize:
            sentences, token_mask = self._tokenize(heard.sentences)
        return Batch(
            heard.log_mel,
            heard.frame_mask,
            sentences,
            token_mask,
            meanings,
            heard.clip_ids,
            heard.caption_ids,
        )


class LiveEpoch:
    """One epoch of `LiveBatches`, to be iterated as `EpochBatches` is; every iteration starts it anew."""

    def __init__(self, batches: LiveBatches, epoch: int) -> None:
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


def _check_waveforms(corpus: Corpus, waveforms: ClipWaveforms, front_end: FrontEndConfig) -> None:
    if waveforms.sample_rate_hz != front_end.sample_rate_hz:
        raise DataError(
            f"the waveforms are at {waveforms.sample_rate_hz} Hz, but the trunk hears {front_end.sample_rate_hz} Hz; "
            "open_waveforms takes the front end's rate"
        )
    absent = {part for sound in corpus.sounds() for part in sound.parts if part not in waveforms}
    if absent:
        raise DataError(
            f"{len(absent)} sounds of the corpus are not among the waveforms, {min(absent)} for one"
        )
