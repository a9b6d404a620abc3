"""From a recipe to a run folder: every leg of it trained, one after the other, each resumable to the last bit."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger

from soundseek.errors import RecipeError
from soundseek.learn.data.features import Report
from soundseek.learn.data.prepare import Share, TrainingData, prepare
from soundseek.learn.models.build import (
    build_recipe_text,
    build_recipe_trunk,
    feature_width,
    split_trunk,
    weights_digest,
)
from soundseek.learn.parallel import processes
from soundseek.learn.recipe.load import Recipe
from soundseek.learn.recipe.schema import TrainingConfig
from soundseek.learn.recipe.stages import Leg, plan_legs
from soundseek.learn.training.module import MONITOR, OnEpoch, RetrievalTraining
from soundseek.learn.training.objective import Objective
from soundseek.learn.training.run_folder import (
    CHECKPOINT_FILE,
    RECORD_FILE,
    TENSORBOARD_FOLDER,
    begin_leg,
    build_dual_encoder,
    carry_over,
    claim_run,
    environment,
    forget_metrics,
    load_run,
    read_record,
    update_record,
)

__all__ = ["MONITOR", "RECORD_FILE", "RetrievalTraining", "load_run", "train"]


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
    _refuse_missing_devices(recipe.training)
    recipe = claim_run(out, recipe, resume=resume)
    legs = plan_legs(recipe, out)
    for leg in legs:
        if "best_epoch" not in read_record(leg.folder):  # else finished; what follows may have been cut off
            leg = replace(leg, recipe=begin_leg(leg, out))
            _Fit(leg, data).run(report=report, on_epoch=on_epoch)
        if len(legs) > 1:
            _record_leg(leg, out)
        if leg.folder != out:  # the next leg starts from its weights; nobody goes on with it
            shutil.rmtree((leg.folder / CHECKPOINT_FILE).parent, ignore_errors=True)
    return out


@dataclass(frozen=True)
class _Fit:
    """The training of one leg; other processes are given the same and do the same.

    Attributes:
        leg: What is trained.
        data: The directory that training was given.
    """

    leg: Leg
    data: Path

    def run(self, *, report: Report | None, on_epoch: OnEpoch | None) -> None:
        """Train as the first process, or as the only one."""
        out, devices = self.leg.folder, self.leg.recipe.training.devices
        module = self.module(Share(0, devices), report=report, on_epoch=on_epoch)
        with processes(devices, _helper, self):
            trainer = self.fit(module)
        if trainer.interrupted:
            raise KeyboardInterrupt
        scores = {MONITOR: module.best_score} if self.leg.recipe.data.validation_split else {}
        update_record(out, best_epoch=module.best_epoch, **scores)

    def module(
        self, share: Share, *, report: Report | None = None, on_epoch: OnEpoch | None = None
    ) -> RetrievalTraining:
        """Everything in place before the first step, or before the first after a stop."""
        leg, recipe, out = self.leg, self.leg.recipe, self.leg.folder
        text, trunk = build_recipe_text(recipe), build_recipe_trunk(recipe)
        found = prepare(recipe, self.data, text, trunk, data_sets=leg.data_sets, share=share, report=report)
        objective = Objective(recipe.loss, found.corpus, report=report)
        torch.manual_seed(recipe.seed)  # now, for the extraction of missing features draws numbers too
        _, tail = split_trunk(trunk, recipe.audio.trained_blocks)
        width = feature_width(trunk, recipe.audio.tag_share)
        model = build_dual_encoder(recipe, width, text.width, text=text, tail=tail)
        if leg.start:
            carry_over(model, leg.start)
        elif found.statistics:
            model.standardise(*(each[:width] for each in found.statistics))
        if share.rank == 0:
            update_record(out, data=str(self.data.resolve()), **_facts(leg, found), **environment())
            if not (out / CHECKPOINT_FILE).is_file():
                forget_metrics(out, from_epoch=0)
        return RetrievalTraining(recipe, model, objective, found, text, out, on_epoch)

    def fit(self, module: RetrievalTraining) -> pl.Trainer:
        """Lightning's part."""
        checkpoint = self.leg.folder / CHECKPOINT_FILE
        epochs_of = self.leg.epochs_of
        epochs = int(read_record(epochs_of)["best_epoch"]) + 1 if epochs_of else None
        with _quiet_lightning():
            trainer = _trainer(self.leg, epochs)
            path = str(checkpoint) if checkpoint.is_file() else None
            try:
                trainer.fit(module, ckpt_path=path, weights_only=True)
            except SystemExit:  # so ends Lightning after Ctrl-C
                if not trainer.interrupted:
                    raise
        return trainer


def _helper(rank: int, fit: _Fit) -> None:
    """What the other processes do."""
    fit.fit(fit.module(Share(rank, fit.leg.recipe.training.devices)))


def _record_leg(leg: Leg, out: Path) -> None:
    """Note in the whole run's record which leg is done, and what it came to."""
    own, whole = read_record(leg.folder), read_record(out)
    facts = {key: own[key] for key in ("best_epoch", MONITOR) if key in own}
    facts["folder"] = leg.folder.relative_to(out).as_posix()
    update_record(out, legs={**whole.get("legs", {}), leg.name or "training": facts})


def _facts(leg: Leg, found: TrainingData) -> dict[str, Any]:
    corpus, recipe = found.corpus, leg.recipe
    assert recipe.audio.weights is not None  # claim_run has made a copy even of weights that were drawn
    return {
        "recipe": recipe.name,
        "stage": leg.name,
        "seed": recipe.seed,
        "clips": len(corpus.clips),
        "mixtures": len(corpus.mixtures),
        "texts": len(corpus.texts),
        "replaceable_texts": len(corpus.substitutes),
        "trunk_sha256": weights_digest(recipe.audio.weights),
    }


def _refuse_missing_devices(config: TrainingConfig) -> None:
    gpus = torch.cuda.device_count()
    if config.precision != "32" and not gpus:
        raise RecipeError(
            f"training.precision = {config.precision} needs a GPU, and there is none here: --set training.precision=32"
        )
    if gpus and config.devices > gpus:
        raise RecipeError(f"training.devices = {config.devices}, but this machine has {gpus} GPUs")


def _trainer(leg: Leg, epochs: int | None) -> pl.Trainer:
    config, checkpoint = leg.recipe.training, leg.folder / CHECKPOINT_FILE
    callbacks: list[Callback] = [
        ModelCheckpoint(
            checkpoint.parent, checkpoint.stem, save_on_train_epoch_end=True, enable_version_counter=False
        )
    ]
    if config.patience and leg.recipe.data.validation_split:
        # min_delta 0: any better epoch starts the count anew.
        callbacks.append(
            EarlyStopping(MONITOR, 0.0, config.patience, mode="max", check_on_train_epoch_end=True)
        )
    return pl.Trainer(
        accelerator="auto",
        devices=config.devices,
        strategy="ddp" if config.devices > 1 else "auto",
        precision="32-true" if config.precision == "32" else config.precision,
        max_epochs=epochs or config.epochs,
        callbacks=callbacks,
        logger=TensorBoardLogger(leg.folder, name=None, version=TENSORBOARD_FOLDER),
        enable_progress_bar=False,
        enable_model_summary=False,
        deterministic=True,
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
