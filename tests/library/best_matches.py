"""What a store's shortlist says is best: by means, each file once or every segment."""

from __future__ import annotations

from typing import Any

import numpy as np

from soundseek.library.store.base import Match, Per, Question, Store


def best_matches(store: Store, query: Any, *, k: int, per: Per = "file", **who: Any) -> list[Match]:
    """The best `k` files (each by its best segment) or segments; `who` says which may answer, as of a `Question`."""
    if k < 1:
        return []
    found = store.shortlist(Question(np.asarray(query), **who), segments=k, files=k)
    if per == "file":
        first: dict[str, Match] = {}
        for match in found:
            first.setdefault(match.file.path, match)
        found = list(first.values())
    return found[:k]
