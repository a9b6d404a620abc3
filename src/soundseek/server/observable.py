"""A value that changes while several clients wait for news of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

HEARTBEAT_S = 15.0


class Observable(Generic[T]):
    """A value and whoever waits for the next one; used from the event loop alone."""

    def __init__(self, value: T) -> None:
        self.value = value
        self._changed = asyncio.Condition()
        self._version = 0

    async def put(self, value: T) -> None:
        """A new value, told to everyone who follows."""
        self.value = value
        async with self._changed:
            self._version += 1
            self._changed.notify_all()

    async def follow(self, is_last: Callable[[T], bool]) -> AsyncIterator[T | None]:
        """The value now and after each change, up to the one that `is_last`; None where nothing was new for a while."""
        seen = -1
        while True:
            if self._version != seen:
                seen = self._version
                value = self.value
                yield value
                if is_last(value):
                    return
            async with self._changed:
                if self._version != seen:
                    continue
                try:
                    await asyncio.wait_for(self._changed.wait(), HEARTBEAT_S)
                except asyncio.TimeoutError:
                    yield None
