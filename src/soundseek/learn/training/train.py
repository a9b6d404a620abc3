"""From a recipe to a run folder: every phase of it trained, one after the other, each resumable to the last bit."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn

from soundseek._files import locked
from soundseek._typing import Report
from soundseek.errors import RecipeError, Terminated
from soundseek.learn.data.pairs import Share
from soundseek.learn.data.prepare import TrainingData, check_splits, prepare
from soundseek.learn.data.tower_cache import naming_killed_workers
from soundseek.learn.evaluation.evaluate import score_split
from soundseek.learn.models.build import (
    build_recipe_text,
    build_recipe_trunk,
    feature_width,
    split_trunk,
    weights_digest,
)
from soundseek.learn.models.dual_encoder import DualEncoder
from soundseek.learn.models.text.tower import TextTower
from soundseek.learn.parallel import processes
from soundseek.learn.recipe.keys import Recipe, ResolvedRecipe, TrainingConfig
from soundseek.learn.recipe.load import stage_recipes
from soundseek.learn.recipe.stages import Phase, plan_phases
from soundseek.learn.training.module import MONITOR, OnEpoch, RetrievalTraining, refuse_batch_norms
from soundseek.learn.training.objective import Objective
from soundseek.learn.training.resume import WholeCheckpoints, claim_run, other_checkpoint, refuse_other_data
from soundseek.learn.training.run_folder import (
    CHECKPOINT_FILE,
    RECORD_FILE,
    TENSORBOARD_FOLDER,
    begin_phase,
    build_dual_encoder,
    carry_over,
    checked_trunk,
    environment,
    forget_metrics,
    is_finished,
    is_run,
    load_run,
    read_record,
    save_model,
    update_record,
)
from soundseek.learn.training.start_from_model import (
    START_FOLDER,
    applied,
    keep_start,
    refuse_other_start,
    unpacked,
)
from soundseek.model.registry import load_model

__all__ = ["MONITOR", "RECORD_FILE", "RetrievalTraining", "load_run", "train"]


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    start: str | Path | None = None,
    resume: bool = False,
    report: Report | None = None,
    on_epoch: OnEpoch | None = None,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Train a recipe and return the run folder.

    What is wrong with the recipe, the machine or the data's tables is said before anything is computed or written.

    Args:
        recipe: What to train; see `load_recipe`.
        data: A directory in Clotho's layout.
        out: The run folder; made if missing.
        start: A model to go on from, by name or directory, in place of newly drawn heads; the recipe has to make the
            same network. Its weights are copied into the run folder, so that a stopped run needs no `start` to resume.
        resume: Go on after the last finished epoch of a run that was stopped there. The result is the same as
            without the stop, on one machine to the last bit.
        report: Called while features are computed.
        on_epoch: Called with each epoch's metrics.
        say: Told what its user should know about the captions.

    Raises:
        UsageError: `out` holds a run and `resume` is False, it holds a run of another recipe, start or data, or another
            process writes to it; `start` is another network than the recipe's.
        DataError: The data cannot be used.
        RecipeError: The recipe asks for what is not there.
        ModelError: The run folder is damaged.
        DivergedError: The loss or a weight is no longer finite.
        StorageError: The disk is full.
    """
    _refuse_missing_devices(recipe.training)
    with _starting(start, out, recipe, resume=resume) as begin:
        if begin is not None:
            refuse_other_start(out, begin)
            recipe = applied(begin, recipe)
        elif recipe.training.epochs == 0:
            raise RecipeError(
                "training.epochs = 0 trains nothing, and newly drawn heads know nothing: give --start, or more epochs"
            )
        towers = _checked_towers(recipe)
        facts = [
            check_splits(phase.recipe, data, phase.data_sets, trunk=towers.trunk)
            for phase in plan_phases(recipe, out)
        ]
        with locked(out, "run"):
            recipe = claim_run(out, recipe, resume=resume, trunk=towers.trunk)
            if begin is not None:
                keep_start(begin, out)
            phases = plan_phases(recipe, out, out / START_FOLDER if begin is not None else None)
            for phase, own in zip(phases, facts, strict=True):
                refuse_other_data(phase.folder, data, own)
            for phase, own in zip(phases, facts, strict=True):
                if not is_finished(phase.folder):  # else what follows may have been cut off
                    ready = begin_phase(phase, out)
                    what = {
                        "data": str(data.resolve()),
                        "data_digest": own.digest,
                        "sounds_digest": own.sounds_digest,
                        "clips": own.num_clips,
                    }
                    update_record(phase.folder, **what)
                    fit = _Fit(phase, ready, data)
                    fit.run(towers.for_phase(phase), report=report, on_epoch=on_epoch, say=say)
                    towers = _Towers()  # they may have been trained
                if len(phases) > 1:
                    _record_phase(phase, out)
                if phase.folder != out:  # the next phase starts from its weights; nobody goes on with it
                    shutil.rmtree((phase.folder / CHECKPOINT_FILE).parent, ignore_errors=True)
    return out


@contextmanager
def _starting(start: str | Path | None, out: Path, recipe: Recipe, *, resume: bool) -> Iterator[Path | None]:
    """Inside, the run folder that training starts from; None where it starts from newly drawn heads."""
    if start is not None:
        with unpacked(load_model(start).directory, tower=recipe.text.tower) as begin:
            yield begin
    elif resume and is_run(out / START_FOLDER):
        yield out / START_FOLDER
    else:
        yield None


@dataclass(frozen=True)
class _Towers:
    """Towers as published, for the first phase that is trained; None is built anew."""

    trunk: nn.Module | None = None
    text: TextTower | None = None
    is_online: bool = False

    def for_phase(self, phase: Phase) -> _Towers:
        """What a phase can take of them."""
        fits = phase.start is None and phase.recipe.audio.is_online == self.is_online
        # Word vectors come from the run's copy, which has fewer words than the published file.
        text = self.text if phase.recipe.text.weights is None else None
        return _Towers(self.trunk, text, self.is_online) if fits else _Towers()


def _checked_towers(recipe: Recipe) -> _Towers:
    """The recipe's towers, after everything that can be refused before data are read has been refused."""
    trunk, text = checked_trunk(recipe), build_recipe_text(recipe)
    stages = list(stage_recipes(recipe).values())
    for stage in stages:
        _, tail = split_trunk(trunk, stage.audio.trained_blocks)
        width = feature_width(trunk, stage.audio.tag_share)
        model = build_dual_encoder(stage, width, text.width, text=text, tail=tail)
        if stage.training.chunk_size:
            refuse_batch_norms(model)
        model.eval()
    return _Towers(trunk, text, any(stage.audio.is_online for stage in stages))


@dataclass(frozen=True)
class _Fit:
    """The training of one phase; other processes are given the same and do the same.

    Attributes:
        phase: What is trained.
        recipe: The phase's, with the weights in its folder.
        data: The directory that training was given.
    """

    phase: Phase
    recipe: ResolvedRecipe
    data: Path

    def run(
        self,
        towers: _Towers,
        *,
        report: Report | None,
        on_epoch: OnEpoch | None,
        say: Callable[[str], None] | None,
    ) -> None:
        """Train as the first process, or as the only one."""
        out, devices = self.phase.folder, self.recipe.training.devices
        module = self.module(Share(0, devices), towers, report=report, on_epoch=on_epoch)
        if say:
            for note in module.notes:
                say(note)
        if self._epochs == 0:
            save_model(module.model, out)
            update_record(out, best_epoch=-1)  # before the first
            return
        with processes(devices, _helper, self):
            self.fit(module)
        scores = {MONITOR: module.best_score} if self.recipe.data.validation_split else {}
        update_record(out, best_epoch=module.best_epoch, **scores)

    @property
    def _epochs(self) -> int:
        """How many this phase trains at most."""
        epochs_of = self.phase.epochs_of
        return int(read_record(epochs_of)["best_epoch"]) + 1 if epochs_of else self.recipe.training.epochs

    def module(
        self,
        share: Share,
        towers: _Towers = _Towers(),
        *,
        report: Report | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> RetrievalTraining:
        """Everything in place before the first step, or before the first after a stop."""
        phase, recipe, out = self.phase, self.recipe, self.phase.folder
        text = towers.text or build_recipe_text(recipe)
        trunk = towers.trunk or build_recipe_trunk(recipe)
        found = prepare(recipe, self.data, text, trunk, data_sets=phase.data_sets, share=share, report=report)
        objective = Objective(recipe.loss, found.corpus, report=report)
        torch.manual_seed(recipe.seed)  # now, for the extraction of missing features draws numbers too
        _, tail = split_trunk(trunk, recipe.audio.trained_blocks)
        width = feature_width(trunk, recipe.audio.tag_share)
        model = build_dual_encoder(recipe, width, text.width, text=text, tail=tail)
        before: dict[str, Any] = {}
        if phase.start:
            carry_over(model, phase.start)
            if phase.start.name == START_FOLDER and share.rank == 0:
                before = {"start": _start_facts(phase.start, model, found)}
        if share.rank == 0:
            update_record(
                out, data=str(self.data.resolve()), **_facts(phase, recipe, found), **before, **environment()
            )
            if not (out / CHECKPOINT_FILE).is_file():
                forget_metrics(out, from_epoch=0)
        return RetrievalTraining(recipe, model, objective, found, text, out, on_epoch)

    def fit(self, module: RetrievalTraining) -> None:
        """Lightning's part.

        Raises:
            KeyboardInterrupt: It was stopped, by Ctrl-C or SIGTERM.
        """
        checkpoint = self.phase.folder / CHECKPOINT_FILE
        with _quiet_lightning(), naming_killed_workers("training.workers"):
            trainer = _trainer(self.phase, self._epochs)
            path = str(checkpoint) if checkpoint.is_file() else None
            try:
                trainer.fit(module, ckpt_path=path, weights_only=True)
            except SystemExit:  # so ends Lightning after Ctrl-C
                if not trainer.interrupted:
                    raise
            except RuntimeError as error:
                if "loading state_dict" in str(error):
                    raise other_checkpoint(checkpoint, "it has other weights than the recipe") from error
                raise
        if trainer.interrupted:
            raise Terminated if module.is_terminated else KeyboardInterrupt


def _helper(rank: int, fit: _Fit) -> None:
    """What the other processes do."""
    fit.fit(fit.module(Share(rank, fit.recipe.training.devices)))


def _record_phase(phase: Phase, out: Path) -> None:
    """Note in the whole run's record which phase is done, and what it came to."""
    own, whole = read_record(phase.folder), read_record(out)
    facts = {key: own[key] for key in ("best_epoch", MONITOR) if key in own}
    facts["folder"] = phase.folder.relative_to(out).as_posix()
    update_record(out, legs={**whole.get("legs", {}), phase.name or "training": facts})


def _facts(phase: Phase, recipe: ResolvedRecipe, found: TrainingData) -> dict[str, Any]:
    corpus = found.corpus
    return {
        "recipe": recipe.name,
        "stage": phase.name,
        "seed": recipe.seed,
        "clips": len(corpus.clips),
        "mixtures": len(corpus.mixtures),
        "texts": len(corpus.texts),
        "replaceable_texts": len(corpus.substitutes),
        "trunk_sha256": weights_digest(recipe.trunk_file),
    }


def _start_facts(start: Path, model: DualEncoder, found: TrainingData) -> dict[str, Any]:
    """What a run's record says of the model that it started from: which it was, and how well it did on validation."""
    record = read_record(start)
    facts = {key: record[key] for key in ("model", "version", "fingerprint")}
    if found.validation is not None:
        facts[MONITOR] = score_split(model, found.validation, text=model.text)[MONITOR]
    return facts


def _refuse_missing_devices(config: TrainingConfig) -> None:
    gpus = torch.cuda.device_count()
    if config.precision != "32" and not gpus:
        raise RecipeError(
            f"training.precision = {config.precision} needs a GPU, and there is none here: --set training.precision=32"
        )
    if gpus and config.devices > gpus:
        raise RecipeError(f"training.devices = {config.devices}, but this machine has {gpus} GPUs")


def _trainer(phase: Phase, epochs: int) -> pl.Trainer:
    config, checkpoint = phase.recipe.training, phase.folder / CHECKPOINT_FILE
    callbacks: list[Callback] = [
        ModelCheckpoint(
            checkpoint.parent, checkpoint.stem, save_on_train_epoch_end=True, enable_version_counter=False
        )
    ]
    if config.patience and phase.recipe.data.validation_split:
        # min_delta 0: any better epoch starts the count anew.
        callbacks.append(
            EarlyStopping(MONITOR, 0.0, config.patience, mode="max", check_on_train_epoch_end=True)
        )
    return pl.Trainer(
        accelerator="auto",
        devices=config.devices,
        strategy="ddp" if config.devices > 1 else "auto",
        precision="32-true" if config.precision == "32" else config.precision,
        max_epochs=epochs,
        callbacks=callbacks,
        plugins=[WholeCheckpoints()],
        logger=TensorBoardLogger(phase.folder, name=None, version=TENSORBOARD_FOLDER),
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
