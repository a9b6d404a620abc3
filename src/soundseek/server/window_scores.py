"""Window scores of a search's hits: moments where the model embeds a segment as a whole, as CLAP does.

The windows are decoded and embedded for the answer, in a process that can be killed, as uploads are.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from soundseek._typing import AnyFloatArray, FloatArray
from soundseek.audio.segments import WINDOW_HOP_S, Segment
from soundseek.library.hits import Hit
from soundseek.library.windows import with_window_scores
from soundseek.server.decoding import embed_windows
from soundseek.server.problems import ProblemError
from soundseek.server.schemas import HitAnswer, SearchAnswer

if TYPE_CHECKING:
    from soundseek.library import Library
    from soundseek.library.store.base import SoundFile
    from soundseek.server.state import State

Windows = list[tuple[list[Segment], AnyFloatArray]]


async def scored_by_windows(state: State, answer: SearchAnswer) -> SearchAnswer:
    """The same hits, their moments the scores of windows of two seconds; unchanged where the model has its own.

    A file that cannot be decoded keeps its hit as it is, and a warning names it.

    Raises:
        ProblemError: "busy" where too many such searches wait.
    """

    def read(library: Library) -> tuple[str | None, FloatArray | None]:
        directory: Path | None = getattr(library.model, "directory", None)
        if directory is None or answer.query is None or getattr(library.model, "has_moments", True):
            return None, None
        return os.fspath(directory), state.searching.vectors_of(library, answer.query)

    directory, queries = await state.with_library(read)
    if directory is None or queries is None:
        return answer
    hits, warnings = list(answer.hits), list(answer.warnings)
    places: dict[str, list[int]] = defaultdict(list)
    for place, hit in enumerate(hits):
        if hit.window_s is None:
            places[hit.id].append(place)
    for id, own in places.items():
        spans = [(hits[place].start_s, hits[place].end_s) for place in own]
        try:
            file, path = await state.file_of(id)
            windows = await state.window_processes.run(embed_windows, directory, str(path), spans)
        except ProblemError as problem:
            if problem.kind == "busy":
                raise
            warnings.append(f"no window scores: {problem.detail}")
            continue
        for place, found in zip(own, windows, strict=True):
            hits[place] = _scored(file, hits[place], found, queries)
    return answer.model_copy(update={"hits": hits, "warnings": warnings})


@dataclass(frozen=True)
class _Embedded:
    """Stands for the model: the windows of one file, which its process has embedded."""

    windows: Windows

    def embed_windows(self, path: str | os.PathLike[str], spans: Sequence[tuple[float, float]], /) -> Windows:
        return self.windows


def _scored(
    file: SoundFile, hit: HitAnswer, windows: tuple[list[Segment], AnyFloatArray], queries: FloatArray
) -> HitAnswer:
    plain = Hit(hit.path, hit.start_s, hit.end_s, hit.score, ())
    (scored,) = with_window_scores(_Embedded([windows]), [plain], queries)
    changed: Mapping[str, object] = {
        "moments": [round(moment, 6) for moment in scored.moments],
        "moment_s": scored.moment_s,
        "frame_s": WINDOW_HOP_S,
        "window_s": scored.window_s,
        "clock": hit.clock and file.description and file.description.clock_at(scored.moment_s),
    }
    return hit.model_copy(update=changed)
