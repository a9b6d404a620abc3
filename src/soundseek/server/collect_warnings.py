"""What soundseek warns of while it answers one request, for the answer instead of the server's log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_WARNINGS: ContextVar[list[str] | None] = ContextVar("warnings", default=None)


class _Collector(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        warnings = _WARNINGS.get()
        if warnings is not None:
            warnings.append(record.getMessage())


_COLLECTOR = _Collector(logging.WARNING)


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """A list that fills with what is warned of in this block, in this thread."""
    logger = logging.getLogger("soundseek")
    if _COLLECTOR not in logger.handlers:
        logger.addHandler(_COLLECTOR)
    warnings: list[str] = []
    token = _WARNINGS.set(warnings)
    try:
        yield warnings
    finally:
        _WARNINGS.reset(token)
