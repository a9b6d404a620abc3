"""Tables and lists that people write by hand, read strictly: whatever could be misread is named with its line."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from soundseek.audio.decode import AUDIO_EXTENSIONS
from soundseek.errors import DataError


@dataclass(frozen=True)
class TableFault:
    """Something wrong with a table.

    Attributes:
        line: Where, from 1; 0 where it concerns the whole file.
        reason: What is wrong and how to mend it.
    """

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}" if self.line else self.reason


class TableError(DataError):
    """A table or list that cannot be read at all.

    Args:
        path: The file.
        fault: What is wrong with it.
    """

    def __init__(self, path: Path, fault: TableFault) -> None:
        super().__init__(f"{path}, {fault}" if fault.line else f"{path}: {fault}")
        self.fault = fault


@dataclass(frozen=True)
class CsvRow:
    """One row of a table.

    Attributes:
        line: The line on which it begins, from 1; the header is on line 1.
        cells: By column, without white space at either end.
    """

    line: int
    cells: dict[str, str]


@dataclass(frozen=True)
class CsvTable:
    """A CSV file with a header.

    Attributes:
        path: The file.
        columns: Names in the header, without empty ones.
        rows: Those without a fault.
        faults: What is wrong, in the order of the lines.
    """

    path: Path
    columns: tuple[str, ...] = ()
    rows: list[CsvRow] = field(default_factory=list)
    faults: list[TableFault] = field(default_factory=list)


def read_csv(
    path: Path, *required: str, encoding: str = "utf-8", mend: Callable[[str], str] | None = None
) -> list[CsvRow]:
    """The rows of a CSV file with a header.

    Args:
        path: The file.
        required: Columns that it must have; others may stand beside them.
        encoding: Of a file that is not UTF-8.
        mend: From the text to one with as many lines, for a publisher's known mistakes.

    Raises:
        TableError: The file cannot be read, a column is missing, or a row has another number of cells than the header
            (an unquoted comma or line break), or a quote that never closes; the message names the line.
    """
    table = inspect_csv(path, *required, encoding=encoding, mend=mend)
    raise_first(table.path, table.faults)
    return table.rows


def raise_first(path: Path, faults: Sequence[TableFault]) -> None:
    """Raise a TableError that names the first of the faults of a file; return if there are none."""
    if faults:
        first = min(faults, key=lambda fault: fault.line)
        others = len(faults) - 1
        more = f" ({others} more line{'s are' if others > 1 else ' is'} wrong)" if others else ""
        raise TableError(path, TableFault(first.line, first.reason + more))


def inspect_csv(
    path: Path, *required: str, encoding: str = "utf-8", mend: Callable[[str], str] | None = None
) -> CsvTable:
    """As `read_csv`, with every fault collected and none raised; without rows where a column is missing."""
    try:
        text = read_text(path, encoding=encoding)
    except TableError as error:
        return CsvTable(path, faults=[error.fault])
    text = mend(text) if mend else text
    # Lines are split as csv does it; strict: a quote that opens a cell has to close it.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    table = CsvTable(path)
    header: list[str] = []
    line = 1
    try:
        header = [name.strip() for name in next(reader, [])]
        table = CsvTable(path, tuple(filter(None, header)))
        if fault := _header_fault(header, required):
            table.faults.append(TableFault(1, fault))
            return table
        line = reader.line_num + 1
        for cells in reader:
            if cells and (fault := _row_fault(cells, header)):
                table.faults.append(TableFault(line, fault))
            elif cells:  # else a blank line
                padded = [*cells, *[""] * (len(header) - len(cells))]
                by_name = zip(header, map(str.strip, padded), strict=True)
                table.rows.append(CsvRow(line, {name: cell for name, cell in by_name if name}))
            line = reader.line_num + 1
    except csv.Error as error:
        table.faults.append(TableFault(line, _syntax_fault(str(error), reader.line_num)))
    return table


def read_text(path: Path, *, encoding: str = "utf-8") -> str:
    """The text of a file, without a byte order mark.

    Args:
        path: The file.
        encoding: Of a file that is not UTF-8.

    Raises:
        TableError: The file cannot be read, or is not in this encoding; the message names the line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TableError(path, TableFault(0, f"cannot be read: {error.strerror or error}")) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            return content.decode(encoding)
        line = content.count(b"\n", 0, error.start) + 1
        reason = f"the byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise TableError(path, TableFault(line, reason)) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise TableError(path, TableFault(line, "a zero byte, so this is no text, or the file is damaged"))
    return text


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank, without white space at either end.

    Raises:
        TableError: As `read_text`.
    """
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def _header_fault(header: Sequence[str], required: Sequence[str]) -> str:
    found = f"found {','.join(header) or 'nothing'}"
    doubled = [name for name in dict.fromkeys(header) if name and header.count(name) > 1]
    if doubled:
        return f"the column {doubled[0]} stands there twice"
    has_other_separator = len(header) == 1 and any(each in header[0] for each in ";\t")
    if has_other_separator and not required:
        return f"{found}, cells that semicolons or tabs separate; separate them by commas"
    if all(name in header for name in required):
        return ""
    hint = "; separate cells by commas" if has_other_separator else ""
    expected = f"a column {required[0]!r}" if len(required) == 1 else ",".join(required)
    return f"expected {expected}, {found}{hint}"


def _row_fault(cells: Sequence[str], header: Sequence[str]) -> str:
    """Why a row cannot be trusted; "" if it can."""
    told = f"{len(cells)} cell{'s' * (len(cells) != 1)}, and the header has {len(header)}"
    if len(cells) > len(header):
        return f"{told}; write a cell with a comma inside in double quotes"
    if 1 < len(cells) < len(header):  # a first cell alone is a row without the others
        return (
            f"{told}; write a cell with a line break inside in double quotes, and a comma for each empty cell"
        )
    swallowed = (line for cell in cells for line in cell.splitlines()[1:] if _begins_a_row(line))
    if (line := next(swallowed, None)) is not None:
        return f"a double quote opens a cell and swallows rows below, such as {line.strip()[:40]!r}"
    return ""


def _begins_a_row(line: str) -> bool:
    """Whether a line inside a quoted cell looks like a row of its own: a sound's name or a number, then cells."""
    first, comma, _ = line.partition(",")
    is_sound = Path(first.strip()).suffix.lower() in AUDIO_EXTENSIONS
    return bool(comma) and (is_sound or first.strip().isdecimal())


def _syntax_fault(error: str, line: int) -> str:
    if "expected after" in error:
        return (
            f"a double quote opens a cell, and the next one, on line {line}, does not end it; close the cell, and "
            "write a quote inside a cell as two"
        )
    if "field larger" in error:
        return f"a cell of more than {csv.field_size_limit():,} letters: a double quote opens one and is never closed"
    if "end of data" in error:
        return "a double quote opens a cell and is never closed"
    return error
