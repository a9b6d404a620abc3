"""Two processes with half a batch each compute what one does with the whole: loss and gradients."""

from __future__ import annotations

import gc
import os
import socket
import time
import weakref
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from torch import Tensor, multiprocessing, nn
from torch import distributed as processes
from torch.nn.parallel import DistributedDataParallel

from soundseek.errors import UsageError
from soundseek.learn.losses import build_loss, cosine_scores, match_matrix
from soundseek.learn.parallel import (
    average_gradients,
    gather_rows,
    leave_group,
    num_processes,
    one_average,
    process_rank,
)
from soundseek.learn.training.gradient_cache import Tower, chunked_backward

torch.set_num_threads(1)
PROCESSES, WIDTH, DIM = 2, 5, 4
LOOPBACK = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
LENGTHS = {"equal": (4, 4), "uneven": (5, 3)}
CLIP_IDS = torch.tensor([0, 1, 2, 3, 0, 4, 5, 1])  # clips of one process stand in the other's share, too


class System(nn.Module):
    """Two towers and a loss that learns its temperature; `forward` is one tower, as DistributedDataParallel wants."""

    def __init__(self, loss: str) -> None:
        super().__init__()
        self.audio = nn.Sequential(nn.Linear(WIDTH, 6), nn.ReLU(), nn.Linear(6, DIM))
        self.text = nn.Linear(WIDTH, DIM)
        self.loss = build_loss(loss, **({} if loss == "triplet" else {"temperature_mode": "learned"}))

    def forward(self, sounds: Tensor, words: Tensor, clip_ids: Tensor) -> Tensor:
        return self.value(self.text(words), self.audio(sounds), clip_ids)

    def value(self, text: Tensor, audio: Tensor, clip_ids: Tensor) -> Tensor:
        text, audio, clip_ids = gather_rows(text), gather_rows(audio), gather_rows(clip_ids)
        positives = match_matrix(clip_ids, torch.arange(len(clip_ids)))
        return self.loss(cosine_scores(text, audio), positives)  # type: ignore[no-any-return]

    def gradients(self) -> dict[str, Tensor]:
        return {name: p.grad.clone() for name, p in self.named_parameters() if p.grad is not None}


def made(loss: str) -> tuple[System, Tensor, Tensor]:
    torch.manual_seed(0)
    return System(loss).double(), torch.randn(8, WIDTH).double(), torch.randn(8, WIDTH).double()


def step(
    system: System, wrapped: nn.Module, sounds: Tensor, words: Tensor, ids: Tensor, chunked: bool
) -> Tensor:
    if not chunked:
        loss: Tensor = wrapped(sounds, words, ids)
        loss.backward()
        return loss.detach()
    with one_average(wrapped):
        return chunked_backward(
            [Tower(system.text, words.split(2)), Tower(system.audio, sounds.split(2))],
            lambda text, audio: system.value(text, audio, ids),
        )


CASES = [
    (lengths, loss, chunked)
    for lengths in LENGTHS
    for loss in ("nt-xent", "supervised-contrastive")
    for chunked in (False, True)
]


def train_a_share(rank: int, folder: Path) -> None:
    """Every case in turn."""
    for number, (lengths, loss, chunked) in enumerate(CASES):
        system, sounds, words = made(loss)
        wrapped = DistributedDataParallel(system)
        first = LENGTHS[lengths][0]
        mine = slice(0, first) if rank == 0 else slice(first, None)
        value = step(system, wrapped, sounds[mine], words[mine], CLIP_IDS[mine], chunked)
        torch.save((value, system.gradients()), folder / f"{number}-{rank}.pt")


def train_a_share_against_impostors(rank: int, folder: Path) -> None:
    """A step of the triplet loss, in each process with other random numbers, as dropout needs them."""
    system, sounds, words = made("triplet")
    wrapped, mine = DistributedDataParallel(system), slice(4 * rank, 4 * rank + 4)
    torch.manual_seed(rank)
    value = step(system, wrapped, sounds[mine], words[mine], CLIP_IDS[mine], chunked=False)
    torch.save((value, system.gradients()), folder / f"{rank}.pt")


def gather_and_average(rank: int, folder: Path) -> None:
    rows = torch.tensor([[1.0], [2.0]], requires_grad=True) if rank == 0 else torch.tensor([[3.0]])
    ids = torch.arange(2) if rank == 0 else torch.tensor([7])
    gathered = gather_rows(rows)
    gradient = None
    if rank == 0:
        (gathered * torch.tensor([[1.0], [10.0], [100.0]])).sum().backward()
        gradient = rows.grad
    layers = nn.ModuleList([nn.Linear(1, 1, bias=False) for _ in range(3)])
    layers[0].weight.grad = torch.full((1, 1), float(rank))  # 0 and 1
    if rank == 1:
        layers[1].weight.grad = torch.full((1, 1), 5.0)  # the other process has none
    average_gradients(layers, layers[0])  # given twice, averaged once
    averaged = [layer.weight.grad for layer in layers]  # type: ignore[union-attr]
    facts = (num_processes(), process_rank(), gathered.detach(), gather_rows(ids), gradient, averaged)
    torch.save(facts, folder / f"{rank}.pt")


def take_part(rank: int, functions: Sequence[Callable[[int, Path], None]], folder: Path) -> None:
    """One start of a process serves all: it costs seconds."""
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = LOOPBACK
    processes.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'meeting'}",
        rank=rank,
        world_size=PROCESSES,
        timeout=timedelta(seconds=240),
    )
    for function in functions:
        (folder / function.__name__).mkdir(exist_ok=True)
        function(rank, folder / function.__name__)
    leave_group()


def in_two_processes(functions: Sequence[Callable[[int, Path], None]], folder: Path) -> None:
    """Fresh processes: a fork of one that has threads, as every test process has, may wait for ever."""
    context = multiprocessing.start_processes(
        take_part, args=(functions, folder), nprocs=PROCESSES, join=False, start_method="spawn"
    )
    deadline = time.monotonic() + 240
    while not context.join(timeout=1):
        if time.monotonic() > deadline:
            for process in context.processes:
                process.kill()
            pytest.fail("two processes did not end within 240 s")


@pytest.fixture(scope="module")
def shares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes computed: a folder for each function."""
    folder = tmp_path_factory.mktemp("shares")
    in_two_processes([train_a_share, train_a_share_against_impostors, gather_and_average], folder)
    return folder


@pytest.mark.parametrize(
    "number", range(len(CASES)), ids=[f"{a}-{b}-{'chunked' if c else 'whole'}" for a, b, c in CASES]
)
def test_two_processes_get_the_loss_and_the_gradients_of_one(number: int, shares: Path) -> None:
    system, sounds, words = made(CASES[number][1])
    expected = step(system, system, sounds, words, CLIP_IDS, chunked=False)
    gradients = system.gradients()
    assert len(gradients) == 7, "every parameter must have one, the temperature included"
    for rank in range(PROCESSES):
        value, found = torch.load(shares / train_a_share.__name__ / f"{number}-{rank}.pt")
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(found, gradients)


def test_two_processes_meet_the_same_random_impostors_as_one(shares: Path) -> None:
    system, sounds, words = made("triplet")
    torch.manual_seed(0)  # as the first process
    expected = step(system, system, sounds, words, CLIP_IDS, chunked=False)
    for rank in range(PROCESSES):
        value, found = torch.load(shares / train_a_share_against_impostors.__name__ / f"{rank}.pt")
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(found, system.gradients())


def test_rows_of_any_number_are_joined_in_order_and_gradients_averaged_by_hand(shares: Path) -> None:
    for rank in range(PROCESSES):
        count, number, gathered, ids, gradient, averaged = torch.load(
            shares / gather_and_average.__name__ / f"{rank}.pt"
        )
        assert (count, number) == (2, rank)
        assert gathered.tolist() == [[1.0], [2.0], [3.0]]
        assert ids.tolist() == [0, 1, 7]
        assert [None if each is None else each.item() for each in averaged] == [0.5, 2.5, None]
        if rank == 0:
            assert gradient.tolist() == [[2.0], [20.0]]  # its own rows' part, times two processes


def test_one_process_is_left_alone() -> None:
    rows = torch.randn(3, 2, requires_grad=True)
    assert gather_rows(rows) is rows
    assert (num_processes(), process_rank()) == (1, 0)
    layer = nn.Linear(2, 1)
    with one_average(layer):
        layer(rows).sum().backward()
    assert layer.bias.grad is not None
    assert layer.bias.grad.item() == 3.0
    with pytest.raises(UsageError, match="a scalar has none"):
        gather_rows(torch.tensor(1.0))


def test_a_group_is_left_when_nothing_holds_its_threads_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrapper:
        """In a cycle, as DistributedDataParallel is."""

        def __init__(self) -> None:
            self.itself = self

    gc.disable()
    held = weakref.ref(Wrapper())
    seen = []
    monkeypatch.setattr(processes, "is_initialized", lambda: True)
    monkeypatch.setattr(processes, "destroy_process_group", lambda: seen.append(held()))
    try:
        leave_group()
    finally:
        gc.enable()
    assert seen == [None]
