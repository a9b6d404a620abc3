"""Processes of the learning half start in a moment; see `quick_processes`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from quick_processes import start_quickly


@pytest.fixture(scope="module", autouse=True)
def quick_processes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        start_quickly(patch)
        yield
