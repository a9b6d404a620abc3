"""What a scan passes by: patterns of `--exclude` and `.soundseekignore`, and folders that a system keeps for itself."""

from __future__ import annotations

import codecs
import os
import re
import unicodedata
from collections.abc import Sequence

from pathspec import GitIgnoreSpec

from soundseek.errors import UsageError

IGNORE_FILE = ".soundseekignore"
"""In any folder: patterns as in a .gitignore, for what lies below."""


class Ignored:
    """Patterns that hold below some folders, the outermost first; patterns of an inner folder decide over an outer's.

    Args:
        specs: For each folder its patterns.
    """

    def __init__(self, specs: Sequence[tuple[str, GitIgnoreSpec]] = ()) -> None:
        self._specs = tuple(specs)

    def __bool__(self) -> bool:
        return bool(self._specs)

    def covers(self, path: str, *, is_folder: bool) -> bool:
        """Whether a file or folder is passed by."""
        for folder, spec in reversed(self._specs):
            inside = path[len(folder) :].lstrip(os.sep) + ("/" if is_folder else "")
            found = spec.check_file(unicodedata.normalize("NFC", inside)).include
            if found is not None:
                return found
        return False

    def within(self, folder: str, content: bytes) -> Ignored:
        """These patterns, and below a folder those of its ignore file.

        Raises:
            UsageError: A line is no pattern, or the file no text.
        """
        return Ignored((*self._specs, (folder, spec_of(_lines(content)))))


def pattern_of_path(inside: str, *, is_folder: bool) -> str:
    """The line of an ignore file that leaves out one file or folder alone.

    Args:
        inside: Its path below the folder of the ignore file.
        is_folder: Whether all that lies below it is meant.

    Example:
        >>> pattern_of_path("takes/rain [1].wav", is_folder=False)
        '/takes/rain \\\\[1].wav'
    """
    pattern = "/" + re.sub(r"([\\*?\[])", r"\\\1", inside.replace(os.sep, "/"))
    if is_folder:
        return f"{pattern}/"
    return f"{pattern[:-1]}\\ " if pattern.endswith(" ") else pattern


def _lines(content: bytes) -> list[str]:
    """The lines of an ignore file, as any editor may have saved it: UTF-8, with a mark or without, or UTF-16."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace").splitlines()
    if b"\0" in content:
        raise UsageError("it holds a zero byte, so it is no text; save it as UTF-8")
    lines = []
    for line in content.decode("utf-8-sig", "surrogateescape").splitlines():
        lines.append(line)  # bytes that are no UTF-8 are those of a name that is none either
        if any("\udc80" <= letter <= "\udcff" for letter in line):
            lines.append(os.fsencode(line).decode("latin-1"))  # or an old editor's letters
    return lines


def excluded(patterns: Sequence[str], root: str) -> Ignored:
    """The patterns of `--exclude` below a scanned folder; one that is a path below it is taken as such.

    Raises:
        UsageError: It is no pattern.
    """
    lines = []
    for pattern in patterns:
        path = os.path.expanduser(pattern)  # noqa: PTH111
        inside = os.path.join(root, "")  # noqa: PTH118
        lines.append(f"/{path[len(inside) :]}" if path.startswith(inside) else pattern)
    return Ignored([(root, spec_of(lines))]) if lines else Ignored()


def spec_of(patterns: Sequence[str]) -> GitIgnoreSpec:
    """Patterns that can be matched.

    Raises:
        UsageError: One is none.
    """
    for pattern in patterns:
        try:
            if not isinstance(pattern, str):
                raise ValueError(type(pattern).__name__)
            GitIgnoreSpec.from_lines([unicodedata.normalize("NFC", pattern)])
        except ValueError as error:
            raise UsageError(
                f"{pattern!r} is no pattern of files; write it as in a .gitignore: *.tmp.wav, Trash/, /Takes/old"
            ) from error
    return GitIgnoreSpec.from_lines([unicodedata.normalize("NFC", pattern) for pattern in patterns])
