"""Processes that start in a moment, forked from one that has imported PyTorch, Lightning and soundseek once.

A new process that trains needs seven seconds of a processor before its first step, nearly all for imports. Tests that
kill a run start it in one of these, and so do those of several processes; that these start anew, as a user's do, is
seen in one test of `train` (a run that SIGTERM ends) and in one of `distill`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
import torch

from soundseek.errors import Terminated
from soundseek.learn.experiments.plan import Observer
from soundseek.learn.experiments.reproduce import reproduce
from soundseek.learn.experiments.tune import load_space, tune
from soundseek.learn.recipe.keys import Recipe
from soundseek.learn.training.train import train

IMPORTED = ["soundseek.learn.training.train"]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class QuickProcess(ForkServerProcess):
    """With the environment of whoever makes it; otherwise it would be that of the first test that made one."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._environment = dict(os.environ)

    def run(self) -> None:
        os.environ.clear()
        os.environ.update(self._environment)
        torch.set_num_threads(1)
        super().run()


class QuickContext(ForkServerContext):
    Process = QuickProcess  # type: ignore[assignment]


def quick_context() -> QuickContext:
    """What `multiprocessing.get_context` gives, for processes that start in a moment."""
    context = QuickContext()
    context.set_forkserver_preload(IMPORTED)
    with pytest.MonkeyPatch.context() as patch:  # the server's: what it imports reads it once
        for name, value in ONE_THREAD.items():
            patch.setenv(name, value)
        forkserver.ensure_running()
    return context


def exit_code(work: Callable[..., None], *arguments: object) -> int:
    """How a process that does `work` ends; minus the signal's number if it is killed."""
    process = quick_context().Process(target=work, args=arguments)
    process.start()
    process.join(300)
    assert process.exitcode is not None, "it does not end"
    return process.exitcode


def start_together(work: Callable[..., None], *, args: tuple[object, ...], nprocs: int) -> None:
    """As `torch.multiprocessing.spawn`: so many processes call `work(rank, *args)`, and all end well."""
    others = [quick_context().Process(target=work, args=(rank, *args)) for rank in range(nprocs)]
    for other in others:
        other.start()
    for other in others:
        other.join(300)
    assert [other.exitcode for other in others] == [0] * nprocs


def die_at(count: int) -> Callable[[dict[str, float]], None]:
    """An observer of epochs that kills its process when `count` of them have ended."""
    ended: list[float] = []

    def die(metrics: dict[str, float]) -> None:
        ended.append(metrics["epoch"])
        if len(ended) == count:
            os.kill(os.getpid(), signal.SIGKILL)

    return die


def train_and_die(recipe: Recipe, data: Path, out: Path, epochs: int) -> None:
    """Train, and be killed when so many epochs have ended."""
    train(recipe, data, out, on_epoch=die_at(epochs))


def train_and_be_terminated(recipe: Recipe, data: Path, out: Path, told: Path) -> None:
    """Train, get SIGTERM in the second epoch, and print how that ends; `told` is the folder of what is printed."""
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        with (told / name).open("w") as file:
            os.dup2(file.fileno(), descriptor)

    def at_once(metrics: dict[str, float]) -> None:
        if metrics["epoch"] == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        train(recipe, data, out, on_epoch=at_once)
    except Terminated:
        print("terminated", flush=True)


def tune_and_die(recipe: str, space: Path, data: Path, out: Path) -> None:
    """Three trials of two epochs, killed in the second."""
    observer = Observer(epoch=die_at(3))
    tune(recipe, load_space(space), data, out, num_trials=3, observer=observer)


def reproduce_and_die(names: Sequence[str], data: Path, out: Path) -> None:
    """Runs of three epochs, killed in the second epoch of the second."""
    reproduce(names, data, out, num_seeds=1, observer=Observer(epoch=die_at(5)))
