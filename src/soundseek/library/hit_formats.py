"""Hits as text for other programs: JSON lines, CSV, playlists."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from soundseek.library.hits import Hit
from soundseek.query import Reading

FIRST_KEYS = ("path", "start_s", "end_s", "score", "moments")
CSV_COLUMNS = (
    "rank", "score", "path", "start_s", "end_s", "moment_s", "duration_s", "sample_rate_hz", "format",
    "match", "is_cut", "also_at", "keywords", "clock", "library", "why", "moments",
)  # fmt: skip


def record(hit: Hit) -> dict[str, Any]:
    """A hit as JSON sees it: path, start_s, end_s, score and moments first, then whatever else it carries.

    What the hit does not know is left out: `match`, `keywords`, `clock`, `library`.
    """
    fields = asdict(hit)
    ordered = {key: fields.pop(key) for key in FIRST_KEYS} | fields
    ordered["score"] = round(ordered["score"], 6)
    if hit.match is not None:
        ordered["match"] = round(hit.match, 4)
    for key in ("match", "keywords", "clock", "library", "window_s"):
        if not ordered[key] and ordered[key] != 0.0:
            del ordered[key]
    ordered["moments"] = [round(moment, 6) for moment in ordered["moments"]]
    return ordered


def searched_for(reading: Reading | None, negatives: Sequence[Reading] = ()) -> dict[str, Any]:
    """What a JSON record says of how a query was read: nothing where it was searched for as it was typed.

    Args:
        reading: The query's words; None of a query without any.
        negatives: The negatives that were given beside it.
    """
    about: dict[str, Any] = {}
    if reading is not None and not reading.is_as_typed:
        about = {"query": reading.text, "typed": reading.typed}
        if len(reading.texts) > 1:
            about["queries"] = list(reading.texts)
        if len(reading.alternatives) > 1:
            about["alternatives"] = [list(texts) for texts in reading.alternatives]
        if reading.manners:
            about["manners"] = list(reading.manners)
        if reading.language != "English":
            about["language"] = reading.language
    excluded = [*(reading.negatives if reading else ()), *(each.text for each in negatives)]
    if (reading is not None and reading.negatives) or not all(each.is_as_typed for each in negatives):
        about |= {"not": excluded, "not_typed": [each.typed for each in negatives]}
    for name in ("unread", "unknown"):
        met = [word for each in (reading, *negatives) if each is not None for word in getattr(each, name)]
        if met:
            about[name] = met
    return about


def csv_text(hits: Sequence[Hit], why: Sequence[Sequence[str]] | None = None) -> str:
    """Hits as CSV with a header: the rank, then what JSON has under the same names, the long moments last.

    A spreadsheet takes a cell that begins with =, +, - or @ for a formula. None here does, but for negative numbers:
    a library's paths are absolute, and the other texts are words and names of formats.

    Args:
        hits: Best first.
        why: For each hit the words that carried it, in one cell with a space between them, as the moments are; None
            leaves the column out.
    """
    lines = [_csv_line(CSV_COLUMNS if why is not None else [name for name in CSV_COLUMNS if name != "why"])]
    for rank, hit in enumerate(hits, 1):
        times = [f"{seconds:.3f}" for seconds in (hit.start_s, hit.end_s, hit.moment_s, hit.duration_s)]
        reason = [] if why is None else [" ".join(why[rank - 1])]
        moments = " ".join(f"{moment:.6f}" for moment in hit.moments)
        sure = "" if hit.match is None else f"{hit.match:.4f}"
        kind = [str(hit.sample_rate_hz), hit.format, sure, str(hit.is_cut).lower(), "\n".join(hit.also_at)]
        kind += [" ".join(hit.keywords), hit.clock or "", hit.library or ""]
        lines.append(_csv_line([str(rank), f"{hit.score:.6f}", hit.path, *times, *kind, *reason, moments]))
    return "".join(lines)


def _csv_line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    # Python's writer quotes the line ends that it writes itself; a file name may hold any.
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().removesuffix("\r\n") + "\n"


LEAD_S = 0.5


def m3u_text(hits: Sequence[Hit]) -> str:
    """Hits as an extended M3U playlist: VLC plays from just before the moment to the segment's end, others whole files.

    A path that is not plain text on one line is written as a file: address, which says the same bytes.
    """
    lines = ["#EXTM3U"]
    for hit in hits:
        # The moment is the middle of a frame; what sounds in it begins a little before.
        start_s = max(hit.start_s, hit.moment_s - LEAD_S)
        seconds = max(1, round(hit.end_s - start_s))
        name = os.fsencode(Path(hit.path).name).decode("utf-8", "backslashreplace")
        title = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in name)
        lines += [
            f"#EXTINF:{seconds},{hit.score:.3f} {title}",
            f"#EXTVLCOPT:start-time={start_s:.3f}",
            f"#EXTVLCOPT:stop-time={hit.end_s:.3f}",
            hit.path if hit.path.isprintable() else Path(hit.path).absolute().as_uri(),
        ]
    return "\n".join(lines) + "\n"
