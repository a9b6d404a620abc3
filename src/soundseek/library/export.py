"""Hits as text for other programs: JSON lines, CSV, playlists."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from soundseek.library.search import Hit

FIRST_KEYS = ("path", "start_s", "end_s", "score", "moments")


def record(hit: Hit) -> dict[str, Any]:
    """A hit as JSON sees it: path, start_s, end_s, score and moments first, then whatever else it carries."""
    fields = asdict(hit)
    ordered = {key: fields.pop(key) for key in FIRST_KEYS} | fields
    ordered["score"] = round(ordered["score"], 6)
    ordered["moments"] = [round(moment, 6) for moment in ordered["moments"]]
    return ordered


def json_lines(hits: Iterable[Hit]) -> Iterator[str]:
    r"""One JSON object a hit, each ending in a newline; bytes of a path that are no UTF-8 appear as `\udcXX`."""
    for hit in hits:
        yield json.dumps(record(hit)) + "\n"


def csv_text(hits: Sequence[Hit]) -> str:
    """Hits as CSV with a header; the moments of a hit stand in one cell, a space between them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FIRST_KEYS)
    for hit in hits:
        moments = " ".join(f"{moment:.6f}" for moment in hit.moments)
        writer.writerow([hit.path, f"{hit.start_s:.3f}", f"{hit.end_s:.3f}", f"{hit.score:.6f}", moments])
    return text.getvalue()


def m3u_text(hits: Sequence[Hit]) -> str:
    """Hits as an extended M3U playlist; VLC plays just the segment, other players the whole file.

    A path that is not plain text on one line is written as a file: address, which says the same bytes.
    """
    lines = ["#EXTM3U"]
    for hit in hits:
        seconds = max(1, round(hit.end_s - hit.start_s))
        name = os.fsencode(Path(hit.path).name).decode("utf-8", "backslashreplace")
        title = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in name)
        lines += [
            f"#EXTINF:{seconds},{hit.score:.3f} {title}",
            f"#EXTVLCOPT:start-time={hit.start_s:.3f}",
            f"#EXTVLCOPT:stop-time={hit.end_s:.3f}",
            hit.path if hit.path.isprintable() else Path(hit.path).absolute().as_uri(),
        ]
    return "\n".join(lines) + "\n"
