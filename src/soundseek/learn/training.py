"""From a recipe to a run folder: heads, and the last layers of the towers, trained on cached features."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from soundseek.learn.data.batches import Batch, EpochBatches
from soundseek.learn.data.features import Report
from soundseek.learn.data.prepare import TrainingData, prepare
from soundseek.learn.dual_encoder import DualEncoder
from soundseek.learn.encoders import build_text, build_trunk, split_trunk, weights_digest
from soundseek.learn.encoders.text import TextTower
from soundseek.learn.evaluation.evaluate import score_split
from soundseek.learn.losses import build_loss, match_matrix
from soundseek.learn.recipe import Recipe
from soundseek.learn.recipe_sections import TrainingConfig
from soundseek.learn.runs import (
    CHECKPOINT_FILE,
    RECORD_FILE,
    append_metrics,
    build_dual_encoder,
    claim_run,
    environment,
    forget_metrics,
    load_run,
    read_record,
    save_model,
    update_record,
)

__all__ = ["MONITOR", "RECORD_FILE", "RetrievalTraining", "load_run", "train"]

Metrics = dict[str, float]
OnEpoch = Callable[[Metrics], None]

MONITOR = "mAP10"


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    resume: bool = False,
    report: Report | None = None,
    on_epoch: OnEpoch | None = None,
) -> Path:
    """Train a recipe and return the run folder.

    Args:
        recipe: What to train; see `load_recipe`.
        data: A directory in Clotho's layout.
        out: The run folder; made if missing.
        resume: Go on after the last finished epoch of a run that was stopped there. The result is the same as
            without the stop, on one machine to the last bit.
        report: Called while features are computed.
        on_epoch: Called with each epoch's metrics.

    Raises:
        UsageError: `out` holds a run and `resume` is False, or it holds a run of another recipe.
        DataError: The data cannot be used.
        RecipeError: The recipe asks for what is not there.
    """
    recipe = claim_run(out, recipe, resume=resume)
    if "best_epoch" in read_record(out):
        return out  # a finished run; there is nothing to go on with
    text = build_text(recipe.text.tower, pooling=recipe.text.pooling, max_tokens=recipe.text.max_tokens)
    trunk = build_trunk(recipe.audio.trunk, recipe.audio.weights)
    _, tail = split_trunk(trunk, recipe.audio.trained_blocks)
    features = prepare(recipe, data, text, tail=tail, report=report)
    torch.manual_seed(recipe.seed)  # now, for the extraction of missing features draws numbers too
    width = int(trunk.width)  # type: ignore[arg-type]
    model = build_dual_encoder(recipe, width, text.width, text=text, tail=tail)
    if recipe.audio.standardise:
        model.standardise(*features.statistics)
    module = RetrievalTraining(recipe, model, features, text, out, on_epoch)
    update_record(out, data=str(data), **_facts(recipe, features), **environment())
    checkpoint = out / CHECKPOINT_FILE
    if not checkpoint.is_file():
        forget_metrics(out, from_epoch=0)
    with _quiet_lightning():
        trainer = _trainer(recipe.training, checkpoint)
        trainer.fit(module, ckpt_path=str(checkpoint) if checkpoint.is_file() else None, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt
    update_record(out, best_epoch=module.best_epoch, **{MONITOR: module.best_score})
    return out


class RetrievalTraining(pl.LightningModule):
    """One training step, one validation, and which weights are kept."""

    def __init__(
        self,
        recipe: Recipe,
        model: DualEncoder,
        data: TrainingData,
        text: TextTower,
        out: Path,
        on_epoch: OnEpoch | None = None,
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.model = model
        self.loss = build_loss(
            recipe.loss.name,
            temperature=recipe.loss.temperature,
            temperature_mode=recipe.loss.temperature_mode,
        )
        self.averaged = _averaged(model, recipe.training)
        self.best_score = -math.inf
        self.best_epoch = -1
        self._text_layers = text.train_last_layers(recipe.text.trained_layers) if model.text else []
        self._audio_layers = _unfrozen(model.tail) if model.tail else []
        self._data = data
        self._text = [text]  # in a list: a frozen tower is no part of what is trained and saved
        self._out = out
        self._on_epoch = on_epoch
        self._losses: list[Tensor] = []
        self._started = time.monotonic()

    def train_dataloader(self) -> EpochBatches:
        """The batches of the current epoch; Lightning asks anew in every epoch."""
        data = self._data
        return EpochBatches(
            data.corpus,
            self.recipe.data,
            keys=data.keys,
            store=data.store,
            features=data.features,
            tokenize=self._text[0].tokenize if self.model.text else None,
            batch_size=self.recipe.training.batch_size,
            seed=self.recipe.seed,
            epoch=self.current_epoch,
        )

    def on_train_epoch_start(self) -> None:
        """Draw dropout from seed and epoch alone, so that a resumed run draws the same."""
        torch.manual_seed(self.recipe.seed * 100_003 + self.current_epoch)
        self._losses = []
        self._started = time.monotonic()

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The loss of one batch."""
        audio = self.model.encode_audio_features(batch.frames, batch.frame_mask)
        if batch.token_mask is None:
            text = self.model.encode_text_features(batch.sentences)
        else:
            text = self.model.encode_text(batch.sentences, batch.token_mask)
        positives = match_matrix(batch.clip_ids, batch.caption_ids)
        if self.recipe.loss.same_meaning_cosine is not None:
            meanings = nn.functional.normalize(batch.meanings, dim=-1)
            positives = positives | (meanings @ meanings.T >= self.recipe.loss.same_meaning_cosine)
        loss: Tensor = self.loss(text @ audio.T, positives)  # both are of unit norm: eq. 5
        self._losses.append(loss.detach())
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Move the exponential average."""
        if self.averaged is not None and self.recipe.training.average == "ema":
            self.averaged.update_parameters(self.model)

    def on_train_epoch_end(self) -> None:
        """Validate, write the epoch's line, keep the weights if they are the best so far."""
        config = self.recipe.training
        late = self.current_epoch >= int(config.average_start * config.epochs)
        if self.averaged is not None and config.average == "swa" and late:
            self.averaged.update_parameters(self.model)
        chosen = self._chosen()
        scores = score_split(chosen, self._data.validation, text=self._text[0] if self.model.text else None)
        loss = torch.stack(self._losses).mean().item()
        metrics: Metrics = {"epoch": self.current_epoch, "loss": loss, **scores}
        metrics["temperature"] = torch.as_tensor(self.loss.temperature).item()
        metrics["seconds"] = round(time.monotonic() - self._started, 3)
        self.log(MONITOR, scores[MONITOR])
        append_metrics(self._out, metrics)
        if scores[MONITOR] > self.best_score:
            self.best_score, self.best_epoch = scores[MONITOR], self.current_epoch
            save_model(chosen, self._out)
        if self._on_epoch:
            self._on_epoch(metrics)

    def _chosen(self) -> DualEncoder:
        """The weights to validate and keep: averaged ones as soon as there are any."""
        if self.averaged is None or not int(self.averaged.n_averaged):
            return self.model
        return cast("DualEncoder", self.averaged.module)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Adam or AdamW: heads and temperature at the full rate, the towers' layers at their own."""
        config = self.recipe.training
        towers = {id(parameter) for parameter in (*self._text_layers, *self._audio_layers)}
        heads = [
            parameter
            for parameter in (*self.model.parameters(), *self.loss.parameters())
            if parameter.requires_grad and id(parameter) not in towers
        ]
        groups: list[dict[str, Any]] = [{"params": heads, "lr": config.learning_rate}]
        if self._text_layers:
            groups.append({"params": self._text_layers, "lr": self.recipe.text.learning_rate})
        if self._audio_layers:
            groups.append({"params": self._audio_layers, "lr": self.recipe.audio.learning_rate})
        kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
        optimizer = kind(groups, weight_decay=config.weight_decay)
        steps = config.epochs * len(self.train_dataloader())
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: rate_factor(step, steps, config)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What the choice of the best epoch needs to go on."""
        checkpoint["best"] = {"score": self.best_score, "epoch": self.best_epoch}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from there, and forget the lines of later epochs."""
        self.best_score, self.best_epoch = checkpoint["best"]["score"], checkpoint["best"]["epoch"]
        forget_metrics(self._out, from_epoch=checkpoint["epoch"] + 1)


def _facts(recipe: Recipe, features: TrainingData) -> dict[str, Any]:
    corpus, weights = features.corpus, recipe.audio.weights
    return {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "clips": len(corpus.clips),
        "mixtures": len(corpus.mixtures),
        "texts": len(corpus.texts),
        "replaceable_texts": len(corpus.substitutes),
        "trunk_sha256": weights_digest(weights) if weights else None,
    }


def rate_factor(step: int, steps: int, config: TrainingConfig) -> float:
    """The share of the peak learning rate at a step of `steps`: a linear rise, then flat or half a cosine."""
    warmup = config.warmup_share * steps
    if step < warmup:
        return (step + 1) / math.ceil(warmup)
    if config.schedule == "constant":
        return 1.0
    progress = min(1.0, (step - warmup) / max(1.0, steps - warmup))
    return config.final_share + (1 - config.final_share) * 0.5 * (1 + math.cos(math.pi * progress))


def _unfrozen(module: nn.Module) -> list[nn.Parameter]:
    return list(module.requires_grad_(True).parameters())


def _averaged(model: DualEncoder, config: TrainingConfig) -> AveragedModel | None:
    if config.average == "none":
        return None
    if config.average == "swa":
        return AveragedModel(model)
    moving: Any = get_ema_multi_avg_fn(config.average_decay)  # type: ignore[no-untyped-call]
    return AveragedModel(model, multi_avg_fn=moving)


def _trainer(config: TrainingConfig, checkpoint: Path) -> pl.Trainer:
    callbacks: list[Callback] = [
        ModelCheckpoint(
            checkpoint.parent, checkpoint.stem, save_on_train_epoch_end=True, enable_version_counter=False
        )
    ]
    if config.patience:
        # min_delta 0: any better epoch starts the count anew.
        callbacks.append(
            EarlyStopping(MONITOR, 0.0, config.patience, mode="max", check_on_train_epoch_end=True)
        )
    return pl.Trainer(
        accelerator="auto",
        devices=1,
        max_epochs=config.epochs,
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        deterministic=True,
        gradient_clip_val=config.gradient_clip or None,
        reload_dataloaders_every_n_epochs=1,
    )


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Without Lightning's advertisements, and its advice on workers that features in memory do not need."""
    logger = logging.getLogger("lightning.pytorch")
    rank_zero = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    levels = [(each, each.level) for each in (logger, rank_zero)]
    for each, _ in levels:
        each.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning.*")
            yield
    finally:
        for each, level in levels:
            each.setLevel(level)
