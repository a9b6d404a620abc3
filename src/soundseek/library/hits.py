"""Hits: where a sound was found, as plain data; in a notebook a table with players, and a pandas data frame."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundseek._install import install_command
from soundseek.audio.files import printable_path
from soundseek.errors import DecodeError, UsageError

if TYPE_CHECKING:
    from soundseek._typing import AnyFloatArray
    from soundseek.query import Reading

MOST_PLAYERS = 20  # each is some 100 kB of the notebook's file
COLUMNS = ("score", "path", "start_s", "end_s", "moment_s", "duration_s", "sample_rate_hz", "format", "match")


@dataclass(frozen=True)
class Hit:
    """One place where a sound was found.

    Attributes:
        path: The file.
        start_s: Where the segment starts.
        end_s: Where it ends.
        score: How well it fits, -1 to 1: by the cosine of the query and the segment and, for the larger part, that of
            the query and the segment's best two seconds; of a sentence that names several sounds, its parts count as
            well. With example sounds it is the segment's cosine alone.
        moments: The score of each frame from `start_s` to `end_s`; their mean is the cosine of that whole stretch.
        duration_s: Length of the whole file.
        moment_s: The middle of the best frame, in seconds from the file's beginning.
        sample_rate_hz: The file's own rate.
        format: "WAV", "OGG/VORBIS" ...
        also_at: Paths of files with the same content, which are no hits of their own.
        is_cut: Only the beginning of the file is in the library, `duration_s` of it (`--max-duration`).
        match: Probability that a listener would agree, 0 to 1; None where the model does not say (see
            `soundseek calibrate`) or the query has example sounds or only excludes, for which it is not fitted.
        keywords: Words of the query that the file's name, folder or tags hold, where these counted.
        clock: When `moment_s` was recorded, as `2023-06-14T10:22:03.250`, where a Broadcast Wave file says so.
        library: The library that the hit is of, where several were searched.
        window_s: Where the moments are scores of windows of this length, each embedded alone, one a second (see
            `Library.score_windows`): their mean is not `score`. None where they are frames.
    """

    path: str
    start_s: float
    end_s: float
    score: float
    moments: tuple[float, ...]
    duration_s: float = 0.0
    moment_s: float = 0.0
    sample_rate_hz: int = 0
    format: str = ""
    also_at: tuple[str, ...] = ()
    is_cut: bool = False
    match: float | None = None
    keywords: tuple[str, ...] = ()
    clock: str | None = None
    library: str | None = None
    window_s: float | None = None

    @property
    def rank_score(self) -> float:
        """What hits are ranked by: the score, and what name, kinds of sound and manners add.

        A file's name that has the words adds something, and how it sounds where that was asked for; it is less where
        the sound is heard as something else than the words name.
        """
        return self.score + float(self.__dict__.get("_bonus", 0.0))

    @property
    def vector(self) -> AnyFloatArray | None:
        """`(dim,)` the segment's unit vector, of a hit that a search made; it is no field, so hits stay plain data."""
        vector: AnyFloatArray | None = self.__dict__.get("_vector")
        return vector


class Hits(list[Hit]):
    """Hits, best first, and what they were searched for.

    Attributes:
        reading: The query's words as they were read; None where no words were asked for.
        negatives: The readings of the negatives that were given beside it.
        nothing_alike: Of one example sound: perhaps no hit is like it, for kinds of sound that the model remembers
            (`model/memory.py`) are nearer to it.
    """

    def __init__(
        self,
        hits: Iterable[Hit] = (),
        *,
        reading: Reading | None = None,
        negatives: Sequence[Reading] = (),
        nothing_alike: bool = False,
    ) -> None:
        super().__init__(hits)
        self.reading = reading
        self.negatives = tuple(negatives)
        self.nothing_alike = nothing_alike

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` with a row for each hit; its index is the rank.

        Raises:
            UsageError: pandas is not installed.
        """
        return hits_frame(self)

    def _repr_html_(self) -> str:
        """What a notebook shows: a table with players."""
        return hits_html(self)


def hits_html(hits: Sequence[Hit]) -> str:
    """A table of hits, best first; the first `MOST_PLAYERS` play their segments, which are in the table itself."""
    rows = []
    for rank, hit in enumerate(hits, 1):
        name = escape(printable_path(Path(hit.path).name))
        player = _player(hit) if rank <= MOST_PLAYERS else ""
        rows.append(
            f'<tr><td>{rank}</td><td>{hit.score:.3f}</td><td title="{escape(printable_path(hit.path))}">{name}</td>'
            f"<td>{hit.start_s:.1f} to {hit.end_s:.1f} s</td><td>{hit.moment_s:.1f} s</td><td>{player}</td></tr>"
        )
    heads = "".join(f"<th>{head}</th>" for head in ("", "score", "file", "segment", "moment", "listen"))
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def hits_frame(hits: Sequence[Hit]) -> Any:
    """A `pandas.DataFrame` with a row for each hit and the columns `COLUMNS`; its index is the rank, from 1.

    Raises:
        UsageError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise UsageError(f"to_pandas() needs pandas, of an extra: {install_command('notebook')}") from error
    rows = [[getattr(hit, name) for name in COLUMNS] for hit in hits]
    index = pandas.RangeIndex(1, len(rows) + 1, name="rank")
    return pandas.DataFrame(rows, columns=list(COLUMNS), index=index)


def _player(hit: Hit) -> str:
    from soundseek.audio.excerpt import encoded_clip

    try:
        content, media_type = encoded_clip(hit.path, hit.start_s, hit.end_s)
    except (DecodeError, UsageError, OSError):
        return "<em>cannot be read now</em>"
    data = base64.b64encode(content).decode("ascii")
    return f'<audio controls preload="none" src="data:{media_type};base64,{data}"></audio>'
