"""Hits in a notebook: a table with players, and a pandas data frame."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundseek._install import install_command
from soundseek.audio.files import printable_path
from soundseek.errors import DecodeError, UsageError

if TYPE_CHECKING:
    from soundseek.library.search import Hit

MOST_PLAYERS = 20  # each is some 100 kB of the notebook's file
COLUMNS = ("score", "path", "start_s", "end_s", "moment_s", "duration_s", "sample_rate_hz", "format", "match")


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
