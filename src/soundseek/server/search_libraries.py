"""One search over several of the libraries that a server has: one list of hits, each with its library's address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from soundseek.server.problems import ProblemError
from soundseek.server.schemas import HitAnswer, SearchAnswer, SearchRequest

if TYPE_CHECKING:
    from soundseek.library import Library
    from soundseek.server.state import State


async def search_together(states: Mapping[str, State], request: SearchRequest) -> SearchAnswer:
    """The best hits of the libraries that a request names, as one list.

    Args:
        states: Address -> library, of all that the server has.
        request: Names some of them.

    Raises:
        ProblemError: "not-found" where there is no library at an address, "query" where different models filled them.
    """
    unknown = [address for address in request.libraries if address not in states]
    if unknown:
        raise ProblemError(
            "not-found",
            f"no library is at {unknown[0]!r}; there are {', '.join(states)} (GET /capabilities)",
        )
    chosen = {address: states[address] for address in dict.fromkeys(request.libraries)}
    models = await asyncio.gather(*(each.with_library(_model_of) for each in chosen.values()))
    if len({fingerprint for _, fingerprint in models}) > 1:
        told = ", ".join(f"{address} by {name}" for address, (name, _) in zip(chosen, models, strict=True))
        raise ProblemError(
            "query",
            f"different models filled these libraries ({told}), so scores cannot be compared; search one",
        )
    # Of each as many as the page would need, if all were of it.
    asked = request.model_copy(update={"offset": 0, "k": request.offset + request.k})
    answers = await asyncio.gather(*(each.with_library(_search_of(each, asked)) for each in chosen.values()))
    hits = [
        hit.model_copy(update={"library": address})
        for address, answer in zip(chosen, answers, strict=True)
        for hit in answer.hits
    ]
    ranks = any(hit.moments for hit in hits)
    hits.sort(key=(lambda hit: (-hit.rank_score, hit.path)) if ranks else (lambda hit: (0.0, hit.path)))
    if request.per == "file":
        hits = _once_each(hits, by_content=request.duplicates == "hide")
    page = hits[request.offset : request.offset + request.k]
    has_more = len(hits) > request.offset + request.k or any(answer.next_offset for answer in answers)
    return answers[0].model_copy(
        update={
            "hits": page,
            "warnings": list(dict.fromkeys(each for answer in answers for each in answer.warnings)),
            "total": sum(answer.total for answer in answers),
            "next_offset": request.offset + request.k if has_more and page else None,
            "elapsed_ms": max(answer.elapsed_ms for answer in answers),
        }
    )


def _once_each(hits: list[HitAnswer], *, by_content: bool) -> list[HitAnswer]:
    """Each file once, whichever libraries hold it; or each content, whose other places the hit names."""
    kept: dict[str, HitAnswer] = {}
    for hit in hits:
        key = hit.id.partition("-")[0] if by_content else hit.path
        first = kept.setdefault(key, hit)
        if first is not hit and first.path != hit.path and hit.path not in first.also_at:
            first.also_at.append(hit.path)
    return list(kept.values())


def _search_of(state: State, request: SearchRequest) -> Callable[[Library], SearchAnswer]:
    return lambda library: state.searching.search(library, request)


def _model_of(library: Library) -> tuple[str, str]:
    identity = library.store.identity
    return identity.name, identity.fingerprint
