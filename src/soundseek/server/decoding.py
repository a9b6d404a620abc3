"""What the server's worker processes do: everything that opens a sound file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from soundseek.errors import DecodeError
from soundseek.library.regions import Embedded
from soundseek.server.problems import ProblemError

if TYPE_CHECKING:
    from soundseek._typing import FloatArray
    from soundseek.audio.decode import AudioInfo
    from soundseek.audio.segments import Segment
    from soundseek.model.model import Model


def embed(
    model_directory: str, path: str, max_duration_s: float, *, shown: str
) -> tuple[AudioInfo, Embedded]:
    """What a file is, and what the model makes of it.

    Args:
        model_directory: Where the model is.
        path: The file.
        max_duration_s: How long it may be.
        shown: What messages call it.

    Raises:
        DecodeError: It cannot be turned into sound.
        ProblemError: "too-large": it is longer than `max_duration_s`.
    """
    try:
        heard = _model(model_directory).embed_file(path, max_duration_s=max_duration_s)
    except DecodeError as error:
        raise DecodeError(shown, error.reason) from error
    if heard.info.truncated:
        raise ProblemError(
            "too-large", f"an example sound may be {max_duration_s:g} s long; send a part of it, or index it"
        )
    times_s = np.array([(segment.start_s, segment.end_s) for segment in heard.segments], np.float64)
    return heard.info, Embedded(times_s, heard.frames, heard.spans, heard.frame_s, heard.info.duration_s)


def embed_windows(
    model_directory: str, path: str, spans: Sequence[tuple[float, float]]
) -> list[tuple[list[Segment], FloatArray]]:
    """Short windows of some parts of a file and their vectors; see `Model.embed_windows`.

    Args:
        model_directory: Where the model is.
        path: The file.
        spans: `(start_s, end_s)` of each part.

    Raises:
        DecodeError: It cannot be decoded, or ends before a part begins.
    """
    return _model(model_directory).embed_windows(path, spans)


@lru_cache(maxsize=1)
def _model(directory: str) -> Model:
    from soundseek.model.model import Model

    return Model(Path(directory), threads=1)
