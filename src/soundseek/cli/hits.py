"""Hits in each output format, and why they were found."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundseek.cli.output import Format, console, hits_table, printable, write, write_json_lines

if TYPE_CHECKING:
    from soundseek.library import Hit

FIRST_KEYS = ("path", "start_s", "end_s", "score", "moments")


def show_hits(hits: Sequence[Hit], why: Sequence[Sequence[str]] | None, output: Format) -> None:
    """Write hits to stdout.

    Args:
        hits: Best first.
        why: For each hit the words that carried it; None if nobody asked.
        output: The format.
    """
    if output == "csv":
        write(csv_text(hits))
    elif output == "m3u":
        write(m3u_text(hits))
    elif output == "json":
        write_json_lines(
            record(hit, None if why is None else why[position]) for position, hit in enumerate(hits)
        )
    elif not hits:
        write("nothing found; is the library filled? See: soundseek info\n")
    else:
        terminal = console()
        reasons = [", ".join(words) for words in why] if why is not None else [""] * len(hits)
        terminal.print(hits_table(hits, reasons, terminal.width))


def record(hit: Hit, why: Sequence[str] | None = None) -> dict[str, Any]:
    """A hit as JSON sees it: path, start_s, end_s, score and moments first, then whatever else it carries."""
    fields = asdict(hit)
    ordered = {key: fields.pop(key) for key in FIRST_KEYS} | fields
    ordered["score"] = round(ordered["score"], 6)
    ordered["moments"] = [round(moment, 6) for moment in ordered["moments"]]
    return ordered if why is None else ordered | {"why": list(why)}


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
    """Hits as an extended M3U playlist; VLC plays just the moment, other players the whole file.

    A path that is not plain text on one line is written as a file: address, which says the same bytes.
    """
    lines = ["#EXTM3U"]
    for hit in hits:
        seconds = max(1, round(hit.end_s - hit.start_s))
        lines += [
            f"#EXTINF:{seconds},{hit.score:.3f} {printable(Path(hit.path).name)}",
            f"#EXTVLCOPT:start-time={hit.start_s:.3f}",
            f"#EXTVLCOPT:stop-time={hit.end_s:.3f}",
            hit.path if hit.path.isprintable() else Path(hit.path).absolute().as_uri(),
        ]
    return "\n".join(lines) + "\n"
