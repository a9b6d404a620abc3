"""How many threads BLAS computes on: it reads the environment when it is loaded, and never again.

Embedding is faster on one. N workers with N threads each would fight over the same cores, and a single one
with two spends twice the processor time on as much sound: the matrices of a log-mel are small. This file
imports nothing that loads BLAS.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

_ENVIRONMENT = threading.RLock()


def compute_on_one_thread() -> None:
    """Let this process compute on one thread, unless the environment says otherwise; before numpy is loaded."""
    if not any(name in os.environ for name in THREAD_VARIABLES):
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))


@contextmanager
def single_threaded_children() -> Iterator[None]:
    """Child processes started in this block compute on one thread each, whatever the environment says.

    Several processes whose BLAS threads wait for each other were measured at seven times the CPU time.
    """
    with _ENVIRONMENT:
        before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
