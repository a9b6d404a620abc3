"""One batch over several processes: embeddings are gathered, so that every clip meets the negatives of all of them.

How a training step uses it, chunked or not; with one process every function here does nothing::

    def batch_loss(text, audio):  # embeddings of this process' pairs, (batch, dim)
        text, audio = gather_rows(text), gather_rows(audio)
        positives = match_matrix(gather_rows(batch.clip_ids), gather_rows(batch.caption_ids))
        return loss(text @ audio.T, positives)  # the whole batch's, the same number in every process

    batch_loss(...)                             # whole: DistributedDataParallel averages the gradients
    with one_average(wrapped, module):          # chunked: no averages until all chunks are through
        chunked_backward(towers, batch_loss, backward=self.manual_backward)

The factor. Every process computes the whole batch's loss L, but the graph behind `gather_rows` leads only to its own
rows, so its parameters' gradient is its own rows' part of dL/dw; the parts of all W processes add up to the batch's
gradient. DistributedDataParallel divides that sum by W. So `gather_rows` multiplies the gradient that flows back
through it by W. What the loss itself learns (a temperature) has all of dL/dw in every process already; the average
leaves it as it is, and it must not be multiplied: this is why the factor is here and not on the loss.

`processes` starts the others, with this one as the first, and joins them.
"""

from __future__ import annotations

import gc
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from soundseek.errors import SoundseekError, UsageError, WorkerError


def num_processes() -> int:
    """How many processes train together; 1 where there is no process group."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def process_rank() -> int:
    """This process' number, from 0."""
    return distributed.get_rank() if num_processes() > 1 else 0


def leave_group() -> None:
    """The end of this process' part in the group; call it where no wrapped module is in use any more.

    A `DistributedDataParallel` holds the group's threads and lies in a cycle of references. One that only the
    interpreter's end collects aborts the process there, after all its work is done ("terminate called without an
    active exception", one process in eight, measured). So the cycles are collected first.
    """
    gc.collect()
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def gather_rows(rows: Tensor) -> Tensor:
    """The rows of all processes, in the order of their ranks: `(batch of all, ...)` of `(batch, ...)`.

    Args:
        rows: Embeddings, ids or masks. Gradients flow back to this process' own rows, times the number of processes;
            see the module. The processes may have different numbers of rows, as in an uneven last batch, but must
            all call, with the same width and type.

    Raises:
        UsageError: A scalar, which has no rows.
    """
    if rows.ndim == 0:
        raise UsageError(
            "rows are gathered along the first axis, but a scalar has none; give it one: x[None]"
        )
    if num_processes() == 1:
        return rows
    apply: Any = _Gather.apply
    gathered: Tensor = apply(rows) if rows.requires_grad else _gathered(rows)[0]
    return gathered


def from_first(values: Tensor) -> Tensor:
    """What the first process has, in all of them: for draws that all must share, though each has its own generator.

    Args:
        values: Overwritten in the other processes. All must call, with the same shape and type.
    """
    if num_processes() > 1:
        distributed.broadcast(values, 0)
    return values


class _Gather(torch.autograd.Function):
    """`_gathered`, whose gradient is this process' part of the whole one, times the number of processes."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        gathered, ctx.start = _gathered(rows)
        ctx.length = len(rows)
        return gathered

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0][ctx.start : ctx.start + ctx.length] * num_processes()


def _gathered(rows: Tensor) -> tuple[Tensor, int]:
    """The rows of all processes, and where this one's begin."""
    length = torch.tensor([len(rows)], device=rows.device)
    lengths = [torch.zeros_like(length) for _ in range(num_processes())]
    distributed.all_gather(lengths, length)
    counts = [int(count) for count in lengths]
    # A collective takes equal shapes: shorter parts are padded on the way and cut afterwards.
    padded = rows.new_zeros((max(counts), *rows.shape[1:]))
    padded[: len(rows)] = rows.detach()
    parts = [torch.empty_like(padded) for _ in counts]
    distributed.all_gather(parts, padded)
    whole = torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
    return whole, sum(counts[: process_rank()])


@contextmanager
def one_average(wrapped: nn.Module, *others: nn.Module) -> Iterator[None]:
    """Inside, backward passes add up gradients in each process alone; at the end they are averaged once.

    Args:
        wrapped: The DistributedDataParallel around the model, or what one process has in its place. Under Lightning
            it is `self.trainer.strategy.model`.
        others: Modules with parameters outside of it, such as a loss that learns its temperature.

    Note:
        Gradients that were there before are averaged along, so start from none (`optimizer.zero_grad()`). After an
        error inside nothing is averaged, for the other processes would wait for ever.
    """
    if isinstance(wrapped, DistributedDataParallel):
        with wrapped.no_sync():
            yield
    else:
        yield
    average_gradients(wrapped, *others)


def average_gradients(*modules: nn.Module) -> None:
    """Replace every gradient by its mean over the processes, as DistributedDataParallel does in a backward pass.

    A parameter without a gradient counts as one of 0, and stays without where no process has one.
    """
    if num_processes() == 1:
        return
    # By identity: two modules may share a parameter, and it is averaged once.
    parameters = list(
        {
            id(parameter): parameter
            for module in modules
            for parameter in module.parameters()
            if parameter.requires_grad
        }.values()
    )
    if not parameters:
        return
    present = torch.tensor(
        [parameter.grad is not None for parameter in parameters],
        dtype=torch.uint8,
        device=parameters[0].device,
    )
    distributed.all_reduce(present, distributed.ReduceOp.MAX)
    under_way = []
    for parameter, is_present in zip(parameters, present.tolist(), strict=True):
        if is_present:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            under_way.append((parameter.grad, distributed.all_reduce(parameter.grad, async_op=True)))
    for gradient, work in under_way:
        if work is not None:
            work.wait()
        gradient.div_(num_processes())


# The others decode and compute nothing, but a first read of a large cache is slow.
_PATIENCE = timedelta(hours=1)
_LAST_WORDS_S = 60.0


@contextmanager
def processes(count: int, work: Callable[..., None], *arguments: Any) -> Iterator[None]:
    """Inside, this process is rank 0 of `count`; each of the others calls `work(rank, *arguments)`.

    Args:
        count: With 1 nothing is started.
        work: A function of a module, as other processes have to find it.
        arguments: Whatever can be pickled.

    Raises:
        SoundseekError: One of the others failed, with its own message.
        WorkerError: One of the others was killed.
    """
    if count == 1:
        yield
        return
    port = _free_port()
    context = multiprocessing.get_context("spawn")
    told = context.SimpleQueue()
    others = [
        context.Process(target=_other, args=(rank, count, port, told, work, arguments), daemon=False)
        for rank in range(1, count)
    ]
    for other in others:
        other.start()
    try:
        with _joined(0, count, port):
            try:
                yield
            except BaseException as error:
                # Before this process leaves the group: the others would complain that it has gone.
                if failure := _failure(others, told, wait_s=0 if _is_ours(error) else _LAST_WORDS_S / 10):
                    raise failure from error
                _end(others)
                raise
        if failure := _failure(others, told, wait_s=_LAST_WORDS_S):
            raise failure
    finally:
        _end(others)


def _is_ours(error: BaseException) -> bool:
    """Whether an error began in this process: a group that breaks because of another one is a RuntimeError."""
    return isinstance(error, SoundseekError) or not isinstance(error, Exception)


def _failure(others: Sequence[Any], told: Any, *, wait_s: float) -> SoundseekError | None:
    """Why a process of the others failed, in its own words where it has any; None if none has."""
    deadline = time.monotonic() + wait_s
    for other in others:
        other.join(max(0.0, deadline - time.monotonic()))
    failed = [other.exitcode for other in others if other.exitcode]
    if not failed:
        return None
    if not told.empty():
        return SoundseekError(str(told.get()))
    killed = [-code for code in failed if code < 0]
    if killed:
        return WorkerError(
            f"a training process was killed (signal {killed[0]}), often because memory ran out; what is done is kept: "
            "give the same command again with --resume"
        )
    return SoundseekError(
        f"{len(failed)} of {1 + len(others)} training processes failed (exit codes {failed}); see above"
    )


def _end(others: Sequence[Any]) -> None:
    for other in others:
        if other.is_alive():
            other.terminate()
    for other in others:
        other.join(_LAST_WORDS_S)
        if other.is_alive():
            other.kill()
            other.join()


def _other(
    rank: int, count: int, port: int, told: Any, work: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    """What another process does; an expected error goes to the first one in place of a traceback."""
    try:
        with _joined(rank, count, port):
            work(rank, *arguments)
    except SoundseekError as error:
        told.put(str(error))
        raise SystemExit(1) from error


@contextmanager
def _joined(rank: int, count: int, port: int) -> Iterator[None]:
    """This process as a member of the group; Lightning takes the group that it finds."""
    facts = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "NODE_RANK": "0",
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
    }
    before = {name: os.environ.get(name) for name in facts}
    os.environ.update(facts)
    if torch.cuda.is_available():
        torch.cuda.set_device(rank)
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    try:
        distributed.init_process_group(backend, rank=rank, world_size=count, timeout=_PATIENCE)
        yield
    finally:
        leave_group()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
