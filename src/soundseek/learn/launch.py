"""Several processes for one training run: this one is the first, the others are started and joined here."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import distributed, multiprocessing

from soundseek.errors import SoundseekError
from soundseek.learn.distributed import leave_group

_PATIENCE = timedelta(
    hours=1
)  # the others decode and compute nothing, but a first read of a large cache is slow
_LAST_WORDS_S = 60


@contextmanager
def processes(count: int, work: Callable[..., None], *arguments: Any) -> Iterator[None]:
    """Inside, this process is rank 0 of `count`; each of the others calls `work(rank, *arguments)`.

    Args:
        count: With 1 nothing is started.
        work: A function of a module, as other processes have to find it.
        arguments: Whatever can be pickled.

    Raises:
        SoundseekError: One of the others failed; its own message stands on stderr.
    """
    if count == 1:
        yield
        return
    port = _free_port()
    context = multiprocessing.get_context("spawn")
    others = [
        context.Process(target=_other, args=(rank, count, port, work, arguments), daemon=False)
        for rank in range(1, count)
    ]
    for other in others:
        other.start()
    try:
        with _joined(0, count, port):
            yield
        for other in others:
            other.join(_LAST_WORDS_S)
    finally:
        failed = [other.exitcode for other in others if other.exitcode]
        for other in others:
            if other.is_alive():
                other.terminate()
                other.join()
    if failed:
        raise SoundseekError(
            f"{len(failed)} of {count} training processes failed (exit codes {failed}); see above"
        )


def _other(rank: int, count: int, port: int, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    with _joined(rank, count, port):
        work(rank, *arguments)


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
