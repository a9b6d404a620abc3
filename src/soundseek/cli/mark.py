"""`soundseek mark`: hits that are right or wrong teach a library a sound, kept by name."""

from __future__ import annotations

import itertools
import math
import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from soundseek.cli.index import counted
from soundseek.cli.options import JsonOption, LibraryOption, TableOption, argument, open_library, option
from soundseek.cli.output import choose_format, clock, printable, write, write_json_lines
from soundseek.errors import UsageError

if TYPE_CHECKING:
    from soundseek.library.library import MarkedPlace
    from soundseek.library.taught import Mark, TaughtSound, TaughtSounds

_REGION = re.compile(r"^(.+)@(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)$", re.DOTALL)


def mark_command(
    name: Annotated[
        str | None, argument(metavar="NAME", help="What the sound is called, as 'my knocks'.")
    ] = None,
    right: Annotated[
        list[str] | None,
        option(
            "--right",
            metavar="FILE",
            help="A sound of the library that is it; FILE@1.5-3 marks the part from 1.5 s to 3 s. Repeatable.",
        ),
    ] = None,
    wrong: Annotated[
        list[str] | None, option("--wrong", metavar="FILE", help="One that is not. Repeatable.")
    ] = None,
    unmark: Annotated[
        list[str] | None, option("--unmark", metavar="FILE", help="Take the marks of a file away.")
    ] = None,
    rename: Annotated[str | None, option("--rename", metavar="NEW", help="Another name.")] = None,
    forget: Annotated[bool, option("--forget", help="Forget the name and its marks.")] = False,
    library: LibraryOption = None,
    json: JsonOption = False,
    table: TableOption = False,
) -> None:
    """Teach a library a sound by hits that are right or wrong; without NAME, list what it was taught.

    Search with it: soundseek search "knock" --taught "my knocks"
    """
    output = choose_format(json=json, table=table)
    if name is None and (right or wrong or unmark or rename or forget):
        raise UsageError("NAME is missing: what the sound is called, as 'my knocks'")
    if forget and (right or wrong or unmark or rename):
        raise UsageError("--forget forgets the name and all its marks; leave the other options out")
    from soundseek.library.taught import TaughtSounds

    with open_library(library, None, create=False) as opened:
        sounds = TaughtSounds(opened.store)
        if name is None:
            _show_all(sounds.all(), output)
            return
        if right or wrong:
            is_it, is_not = ([_place(each) for each in places or ()] for places in (right, wrong))
            opened.mark(name, right=is_it, wrong=is_not)
        taught = sounds.named(name)
        if forget:
            sounds.remove(taught.id)
            _show_forgotten(taught, output)
            return
        for path in unmark or ():
            _unmark(sounds, taught, path)
        if rename is not None:
            sounds.rename(taught.id, rename)
        marks = sounds.marks(taught.id)
        _show_marks(sounds.get(taught.id), marks, output)
    for path in _contradicting(marks):
        told = f"{path} is marked right and wrong for the same part of it; take its marks away with --unmark FILE"
        print(printable(told), file=sys.stderr)


def _place(text: str) -> MarkedPlace:
    """`FILE` or `FILE@START-END`, as a place to mark; a file that is called so is itself."""
    match = _REGION.match(text)
    if match is None or Path(text).exists():
        return text
    return match[1], float(match[2]), float(match[3])


def _unmark(sounds: TaughtSounds, taught: TaughtSound, path: str) -> None:
    from soundseek.library.paths import absolute, on_disk

    names = {path, on_disk(absolute(path, "the file of a mark"))}
    marks = [mark for mark in sounds.marks(taught.id) if mark.path in names]
    if not marks:
        raise UsageError(
            f"{path} is not marked in {taught.name!r}; its marks: soundseek mark {taught.name!r}"
        )
    for mark in marks:
        sounds.discard(taught.id, mark.id)


def _contradicting(marks: Sequence[Mark]) -> list[str]:
    """The sounds of which a moment is both in a right and in a wrong mark."""
    by_sound: dict[bytes, list[Mark]] = defaultdict(list)
    for mark in marks:
        by_sound[mark.content_hash].append(mark)
    found = {
        one.path
        for own in by_sound.values()
        for one, other in itertools.combinations(own, 2)
        if one.is_right != other.is_right
        and (one.start_s or 0.0) < (math.inf if other.end_s is None else other.end_s)
        and (other.start_s or 0.0) < (math.inf if one.end_s is None else one.end_s)
    }
    return sorted(found)


def _show_forgotten(taught: TaughtSound, output: str) -> None:
    if output == "json":
        write_json_lines([{"forgotten": taught.name, "right": taught.right, "wrong": taught.wrong}])
    else:
        write(f"{printable(taught.name)} forgotten: {taught.right} right, {taught.wrong} wrong\n")


def _show_all(found: list[TaughtSound], output: str) -> None:
    if output == "json":
        write_json_lines(_fields(each) for each in found)
        return
    for each in found:
        write(f"{printable(each.name)}: {each.right} right, {each.wrong} wrong\n")
    if not found:
        write("nothing was taught so far; soundseek mark NAME --right FILE teaches\n")


def _show_marks(taught: TaughtSound, marks: list[Mark], output: str) -> None:
    if output == "json":
        shown = [
            {name: getattr(mark, name) for name in ("path", "start_s", "end_s", "is_right", "added_at")}
            for mark in marks
        ]
        write_json_lines([{**_fields(taught), "marks": shown}])
        return
    write(f"{printable(taught.name)}: {counted(taught.right + taught.wrong, 'mark')}\n")
    for mark in marks:
        part = "" if mark.start_s is None and mark.end_s is None else f" from {clock(mark.start_s or 0.0)}"
        part += "" if mark.end_s is None else f" to {clock(mark.end_s)}"
        gone = "" if mark.file is not None else " (not in the library now)"
        write(f"  {'right' if mark.is_right else 'wrong'}  {printable(mark.path)}{part}{gone}\n")


def _fields(taught: TaughtSound) -> dict[str, Any]:
    return {
        "name": taught.name,
        "right": taught.right,
        "wrong": taught.wrong,
        "created_at": taught.created_at,
        "modified_at": taught.modified_at,
    }
