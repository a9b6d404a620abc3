"""One training step, one validation, and which weights are kept."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, cast

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from soundseek._files import naming_the_disk
from soundseek.errors import DivergedError, NotFiniteError, RecipeError, Terminated
from soundseek.learn.data.pairs import Batch
from soundseek.learn.data.prepare import Batches, TrainingData
from soundseek.learn.data.pseudo_audio import PseudoAudio
from soundseek.learn.evaluation.evaluate import score_split
from soundseek.learn.losses import nt_xent
from soundseek.learn.models.audio.spec_augment import reseed
from soundseek.learn.models.dual_encoder import DualEncoder
from soundseek.learn.models.text.tower import TextTower
from soundseek.learn.parallel import one_average, process_rank
from soundseek.learn.recipe.keys import Recipe, TrainingConfig
from soundseek.learn.training.gradient_cache import Tower, chunked_backward
from soundseek.learn.training.objective import Objective
from soundseek.learn.training.optimizer import RateSchedule, build_optimizer
from soundseek.learn.training.run_folder import (
    TENSORBOARD_FOLDER,
    append_metrics,
    forget_metrics,
    save_model,
)

EpochMetrics = dict[str, float]
OnEpoch = Callable[[EpochMetrics], None]

MONITOR = "mAP10"
_LENGTHS = 6  # groups of a batch: more would pad less, but make too small matrices
_FRAMES_AT_ONCE = 1 << 14  # of a group, padded; 64 clips of half a minute have half as many


class RetrievalTraining(pl.LightningModule):
    """What Lightning trains.

    Args:
        recipe: One phase of it.
        model: With the parts that are trained.
        objective: The loss.
        data: What is learned from.
        text: The text tower, also where it is frozen.
        out: The run folder.
        on_epoch: Called with each epoch's metrics.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: DualEncoder,
        objective: Objective,
        data: TrainingData,
        text: TextTower,
        out: Path,
        on_epoch: OnEpoch | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False  # a chunked step has many backward passes
        self.recipe = recipe
        self.model = model
        self.objective = objective
        self.averaged = _averaged(model, recipe.training)
        self.notes = data.notes
        self.is_terminated = False
        self.best_score = -math.inf
        self.best_epoch = -1
        self._text_layers = trained_parameters(text, recipe.text.trained_layers) if model.text else []
        self._audio_layers = _unfrozen(model.tail) if model.tail else []
        self._data = data
        self._out = out
        self._on_epoch = on_epoch
        self._losses: list[Tensor] = []
        self._started = time.monotonic()
        self._schedule: RateSchedule | None = None
        self._schedule_state: dict[str, float] | None = None
        if recipe.training.chunk_size:
            refuse_batch_norms(model)

    def train_dataloader(self) -> Batches:
        """The batches of the current epoch; Lightning asks anew in every epoch."""
        return self._data.batches(self.current_epoch)

    def on_train_start(self) -> None:
        """Take SIGTERM from Lightning, whose handler waits for the other processes, which may wait for this one."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._terminate if process_rank() == 0 else signal.SIG_DFL)

    def _terminate(self, number: int, frame: Any) -> NoReturn:
        """End as after Ctrl-C; Lightning puts the former handler back."""
        self.is_terminated = True
        raise Terminated

    def on_train_epoch_start(self) -> None:
        """Draw dropout from seed and epoch alone, so that a resumed run draws the same."""
        self.model.train()  # towers come in evaluation mode, and Lightning leaves them in it
        seed = self.recipe.seed * 100_003 + self.current_epoch
        torch.manual_seed(seed + 7_368_787 * process_rank())
        if self.model.text is not None and not self._text_layers:
            self.model.text.eval()  # frozen, and here only because the words change
        self._losses = []
        self._started = time.monotonic()

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """One step of the optimizer, in pieces where the recipe asks for chunks."""
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        # From seed, epoch, step and rank alone, so that a resumed run masks the same stretches.
        mask_generators = reseed(
            self.model, self.recipe.seed, self.current_epoch, batch_index, process_rank()
        )
        with one_average(cast("nn.Module", self.trainer.strategy.model)):
            loss = self._backward(batch, mask_generators)
            if self._data.pseudo_audio is not None:
                loss = loss + self._backward_pseudo_audio(self._data.pseudo_audio, batch_index)
            self._losses.append(loss)
        optimizer.step()
        self._rates().after_step()

    def _backward(self, batch: Batch, mask_generators: list[torch.Generator]) -> Tensor:
        """The batch's loss, detached; gradients are in place."""
        size = self.recipe.training.chunk_size
        if size is None:
            loss: Tensor = self.objective(self._embed_text(batch), self._embed_audio(batch), batch)
            self.manual_backward(loss)
            return loss.detach()
        chunks = batch.split(size)
        return chunked_backward(
            [Tower(self._embed_text, chunks), Tower(self._embed_audio, chunks)],
            lambda text, audio: cast("Tensor", self.objective(text, audio, batch)),
            backward=self.manual_backward,
            generators=mask_generators,
        )

    def _backward_pseudo_audio(self, pseudo_audio: PseudoAudio, batch_index: int) -> Tensor:
        """The weighted loss of pseudo audio's pairs, detached; in every process the same."""
        config = self.recipe.data.imagined_sounds
        assert config is not None  # the data would have no pseudo audio
        # The 1: seed and epoch start the draws of the real batches, and zeros behind them change nothing.
        pairs = pseudo_audio.draw(config.batch_size, self.recipe.seed, self.current_epoch, batch_index, 1)
        text = self.model.encode_text_features(pairs.sentences.to(self.device))
        audio = self.model.encode_audio(pairs.frames.to(self.device), pairs.frame_mask.to(self.device))
        with torch.autocast(text.device.type, enabled=False):  # see `Objective`
            scores = text.float() @ audio.float().T
            loss = config.weight * nt_xent(
                scores, pairs.positives.to(self.device), temperature=config.temperature
            )
        self.manual_backward(loss)
        return loss.detach()

    def _embed_audio(self, batch: Batch) -> Tensor:
        if self.model.tail is None:
            return by_length(self.model.encode_audio_features, batch.frames, batch.frame_mask)
        return self.model.encode_audio_features(
            batch.frames, batch.frame_mask
        )  # its norms may see whole batches

    def _embed_text(self, batch: Batch) -> Tensor:
        if batch.token_mask is None:
            return self.model.encode_text_features(batch.sentences)
        return self.model.encode_text(batch.sentences, batch.token_mask)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip; here mixed precision has taken its factor out of the gradients again."""
        if self.recipe.training.gradient_clip:
            nn.utils.clip_grad_norm_(self.parameters(), self.recipe.training.gradient_clip)

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Move the exponential average."""
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)

    def on_train_epoch_end(self) -> None:
        """Validate, write the epoch's line, keep the weights if they are the best so far."""
        config = self.recipe.training
        loss = torch.stack(self._losses).mean().item()
        self._refuse_divergence(loss)
        scores = self._validate()
        metrics: EpochMetrics = {
            "epoch": self.current_epoch,
            "loss": loss,
            **scores,
            "learning_rate": config.learning_rate * self._rates().factor,
            "temperature": torch.as_tensor(self.objective.loss.temperature).item(),
            "seconds": round(time.monotonic() - self._started, 3),
        }
        is_best = True  # without validation the last epoch is kept
        if scores:
            self.log(MONITOR, scores[MONITOR])
            self._rates().after_epoch(scores[MONITOR])
            is_best = scores[MONITOR] > self.best_score
            self.best_score = max(self.best_score, scores[MONITOR])
        if is_best:
            self.best_epoch = self.current_epoch
        if self.trainer.is_global_zero:
            self._write(metrics, is_best=is_best)

    def _refuse_divergence(self, loss: float) -> None:
        wrong = [
            name for name, each in self.named_parameters() if each.requires_grad and not each.isfinite().all()
        ]
        if math.isfinite(loss) and not wrong:
            return
        raise self._diverged(
            f"the loss is {loss}" if not math.isfinite(loss) else f"{wrong[0]} is not finite"
        )

    def _diverged(self, what: str) -> DivergedError:
        return DivergedError(
            f"training of {self.recipe.name!r} has diverged in epoch {self.current_epoch}: {what}; lower "
            f"training.learning_rate (now {self.recipe.training.learning_rate:g}), or set training.gradient_clip=1, "
            "and choose another --out"
        )

    def _validate(self) -> EpochMetrics:
        """Scores on the validation split, by the first process for all; {} where there is none."""
        split = self._data.validation
        scores: EpochMetrics = {}
        if split is not None and self.trainer.is_global_zero:
            chosen = self._chosen()
            try:
                scores = score_split(chosen, split, text=chosen.text)  # averaged, where the rest is
            except NotFiniteError as error:
                raise self._diverged("the embeddings are no longer finite") from error
        shared: EpochMetrics = self.trainer.strategy.broadcast(scores)
        return shared

    def _write(self, metrics: EpochMetrics, *, is_best: bool) -> None:
        append_metrics(self._out, metrics)
        if self.logger:
            with naming_the_disk(self._out / TENSORBOARD_FOLDER):
                self.logger.log_metrics(metrics, step=self.current_epoch)
        if is_best:
            save_model(self._chosen(), self._out)
        if self._on_epoch:
            self._on_epoch(metrics)

    def _chosen(self) -> DualEncoder:
        """The weights to validate and keep: averaged ones where the recipe averages; every step has moved them."""
        return self.model if self.averaged is None else cast("DualEncoder", self.averaged.module)

    def configure_optimizers(self) -> Optimizer:
        """Heads and temperature at the full rate, the towers' layers at their own."""
        recipe = self.recipe
        heads = (*self.model.parameters(), *self.objective.parameters())
        optimizer = build_optimizer(
            [
                (self._text_layers, recipe.text.learning_rate),
                (self._audio_layers, recipe.audio.learning_rate),
                (heads, recipe.training.learning_rate),
            ],
            recipe.training,
        )
        steps = len(self.train_dataloader())
        self._schedule = RateSchedule(optimizer, recipe.training, steps_per_epoch=steps)
        if self._schedule_state:
            self._schedule.load_state_dict(self._schedule_state)
        return optimizer

    def _rates(self) -> RateSchedule:
        assert self._schedule is not None  # configure_optimizers comes first
        return self._schedule

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What the choice of the best epoch and the learning rates need to go on."""
        checkpoint["best"] = {"score": self.best_score, "epoch": self.best_epoch}
        checkpoint["rates"] = self._rates().state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from there, and forget the lines of later epochs."""
        self.best_score, self.best_epoch = checkpoint["best"]["score"], checkpoint["best"]["epoch"]
        self._schedule_state = checkpoint["rates"]
        if process_rank() == 0:
            forget_metrics(self._out, from_epoch=checkpoint["epoch"] + 1)


def trained_parameters(text: TextTower, num_layers: int | str) -> list[nn.Parameter]:
    """Unfreeze the last layers of a text tower, or with "all" the whole of it, and return their parameters."""
    if num_layers != "all":
        return text.train_last_layers(int(num_layers))
    text.train_last_layers(text.num_layers)
    return _unfrozen(text)  # the embeddings of the tokens, too


def _unfrozen(module: nn.Module) -> list[nn.Parameter]:
    return list(module.requires_grad_(True).parameters())


def refuse_batch_norms(model: DualEncoder) -> None:
    """Raise a RecipeError if a batch norm would take the statistics of a chunk for those of the batch."""
    model.train()
    if any(isinstance(each, nn.modules.batchnorm._BatchNorm) and each.training for each in model.modules()):
        raise RecipeError(
            "training.chunk_size: the audio tower's batch norms would take the statistics of a chunk for those of the "
            "batch; set audio.trunk_options.norms=frozen, where the trunk has it, or training.chunk_size=null"
        )


def by_length(embed: Callable[[Tensor, Tensor], Tensor], frames: Tensor, frame_mask: Tensor) -> Tensor:
    """Embeddings `(batch, dim)` of clips, those of similar length together, each once and in the given order.

    Padding changes no embedding, but it costs: in a batch of 60 cached clips of 5 s on average, the longest of 30 s,
    four frames of five are padding.

    Args:
        embed: Frames `(some, time, width)` and their mask -> `(some, dim)`.
        frames: `(batch, time, width)`.
        frame_mask: `(batch, time)` bool, True = real; real frames come first.
    """
    if frames.shape[1] == 1:
        return embed(frames, frame_mask)
    lengths = frame_mask.sum(dim=1)
    order = lengths.argsort(stable=True)
    parts = []
    for group in order.tensor_split(min(_LENGTHS, len(order))):
        for rows in _of_similar_length(group, lengths):
            longest = int(lengths[rows[-1]])
            parts.append(embed(frames[rows, :longest], frame_mask[rows, :longest]))
    return torch.cat(parts)[order.argsort()]


def _of_similar_length(rows: Tensor, lengths: Tensor) -> list[Tensor]:
    """Rows sorted by length, cut in halves while padding would make them large: a long clip ends up alone."""
    if len(rows) == 1 or len(rows) * int(lengths[rows[-1]]) <= _FRAMES_AT_ONCE:
        return [rows]
    shorter, longer = rows.tensor_split(2)
    return [*_of_similar_length(shorter, lengths), *_of_similar_length(longer, lengths)]


def _averaged(model: DualEncoder, config: TrainingConfig) -> AveragedModel | None:
    if config.average == "none":
        return None
    moving: Any = get_ema_multi_avg_fn(config.average_decay)  # type: ignore[no-untyped-call]
    return AveragedModel(model, multi_avg_fn=moving)
