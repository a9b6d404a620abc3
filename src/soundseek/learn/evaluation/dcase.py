"""The DCASE challenge's files: ground truth, a system's output, and the scores of one against the other.

Ground truth is `file_name,caption_1,...,caption_5`, output is `caption,file_name_1,...,file_name_10`; UTF-8
with or without a BOM, any line ending, captions and file names taken literally (no trimming: Clotho has names
with spaces).

Every caption cell of the ground truth is one query with one right clip, the clip of its row (5225 queries for
Clotho). One text may stand in the ground truth several times. Then either the output holds one row for it (or
several that agree) and each of its queries is scored with that row, against its own clip; or the output holds
as many rows as the ground truth has such queries, and they belong together in file order, as a system that
answers query by query writes them. Any other number of rows that disagree is an error. (The challenge's
script keeps the last clip and the last row of such a text and drops the rest; where every text is different
the numbers are the same.)
"""

from __future__ import annotations

import csv
import difflib
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from soundseek.errors import DataError
from soundseek.learn.evaluation.intervals import Interval, jackknife_interval

NUM_PREDICTIONS = 10
PREDICTION_HEADER = ("caption", *(f"file_name_{place}" for place in range(1, NUM_PREDICTIONS + 1)))


@dataclass(frozen=True)
class Query:
    """One caption of the ground truth, its clip, and the line it stands in."""

    caption: str
    file_name: str
    line: int


@dataclass(frozen=True)
class Truth:
    """A ground truth file: its queries in file order, and every clip's line."""

    path: Path
    queries: tuple[Query, ...]
    lines: dict[str, int]


@dataclass(frozen=True)
class Prediction:
    """One row of a system's output: the clips it found for a caption, best first."""

    file_names: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class DcaseScores:
    """The challenge's four numbers as fractions, each with its 95 % jackknife interval."""

    R1: Interval
    R5: Interval
    R10: Interval
    mAP10: Interval

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Plain numbers for JSON."""
        return asdict(self)


def score_predictions(truth_path: str | Path, predictions_path: str | Path) -> DcaseScores:
    """The scores of a system's output, soundseek's or not.

    Raises:
        DataError: Either file is malformed, or the output does not answer the ground truth; names file and
            line.
    """
    truth = read_truth(truth_path)
    answers = read_predictions(predictions_path, truth)
    places = np.array(
        [
            answer.index(query.file_name) + 1 if query.file_name in answer else np.inf
            for query, answer in zip(truth.queries, answers, strict=True)
        ]
    )
    return DcaseScores(
        R1=jackknife_interval(places <= 1),
        R5=jackknife_interval(places <= 5),
        R10=jackknife_interval(places <= 10),
        mAP10=jackknife_interval(1 / places),  # one right clip a query: 1 / its place, 1 / inf beyond ten
    )


def read_truth(path: str | Path) -> Truth:
    """A ground truth file; a clip may have fewer captions than the header has columns, but not none.

    Raises:
        DataError: Malformed; names file and line.
    """
    path = Path(path)
    rows = _rows(path)
    line, header = next(rows, (1, []))
    if len(header) < 2 or header != ["file_name", *(f"caption_{n}" for n in range(1, len(header)))]:
        raise _error(path, line, f"the header is {_shown(header)}; ground truth has file_name,caption_1,...")
    queries: list[Query] = []
    lines: dict[str, int] = {}
    for line, row in rows:
        if len(row) > len(header):
            raise _too_many(path, line, row, header)
        name, captions = row[0], [caption for caption in row[1:] if caption.strip()]
        if not name.strip() or not captions:
            raise _error(path, line, "a row without a file name" if captions else f"no caption for {name!r}")
        if name in lines:
            raise _error(path, line, f"{name!r} stands in line {lines[name]} already; give a clip one row")
        lines[name] = line
        queries += [Query(caption, name, line) for caption in captions]
    if not queries:
        raise _error(path, line, "no clip below the header")
    return Truth(path, tuple(queries), lines)


def read_predictions(path: str | Path, truth: Truth) -> list[tuple[str, ...]]:
    """For every query of the ground truth, in its order, the ten clips that a system found, best first.

    A collection of fewer than ten clips needs as many predictions as it has clips; the other cells stay
    empty.

    Raises:
        DataError: A malformed row, an unknown or repeated file, a caption that is missing, unknown or
            answered differently; names file and line.
    """
    path = Path(path)
    wanted: dict[str, list[Query]] = defaultdict(list)
    for query in truth.queries:
        wanted[query.caption].append(query)
    found: dict[str, list[Prediction]] = defaultdict(list)
    for caption, prediction in _prediction_rows(path, truth):
        if caption not in wanted:
            near = _nearest(caption, wanted)
            raise _error(path, prediction.line, f"caption {caption!r} is not in {truth.path}{near}")
        found[caption].append(prediction)
    missing = [query for query in truth.queries if query.caption not in found]
    if missing:
        more = f" ({len(missing)} queries are missing)" if len(missing) > 1 else ""
        where = f"{truth.path}, line {missing[0].line}"
        raise DataError(
            f"{path}: no row for caption {missing[0].caption!r} of {where}{more}; answer every query"
        )
    rows = {caption: iter(_row_of_each_query(path, wanted[caption], found[caption])) for caption in found}
    return [next(rows[query.caption]).file_names for query in truth.queries]


def _prediction_rows(path: Path, truth: Truth) -> Iterator[tuple[str, Prediction]]:
    """Caption and checked prediction of every row."""
    rows = _rows(path)
    line, header = next(rows, (1, []))
    if tuple(header) != PREDICTION_HEADER:
        raise _error(path, line, f"the header is {_shown(header)}; output has {','.join(PREDICTION_HEADER)}")
    num_expected = min(NUM_PREDICTIONS, len(truth.lines))
    for line, row in rows:
        if len(row) > len(header):
            raise _too_many(path, line, row, header)
        names = tuple(name for name in row[1:] if name)
        if names != tuple(row[1 : len(names) + 1]) or len(names) < num_expected:
            what = f"{len(names)} predictions for {row[0]!r}"
            raise _error(path, line, f"{what}; give {num_expected}, best first and without gaps")
        for place, name in enumerate(names):
            if name not in truth.lines:
                near = _nearest(name, truth.lines)
                raise _error(path, line, f"file {name!r} is not in {truth.path}{near}")
            if name in names[:place]:
                raise _error(path, line, f"file {name!r} stands twice among the predictions for {row[0]!r}")
        yield row[0], Prediction(names, line)


def _row_of_each_query(path: Path, queries: list[Query], rows: list[Prediction]) -> list[Prediction]:
    """The row of each query with one text; see the module for texts that stand several times."""
    other = next((row for row in rows if row.file_names != rows[0].file_names), None)
    if other is None:
        return [rows[0]] * len(queries)
    if len(rows) != len(queries):
        what = f"caption {queries[0].caption!r} is answered in line {rows[0].line} already, and differently"
        raise _error(path, other.line, f"{what}; the ground truth asks it {len(queries)} times")
    return rows


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line (of a row's start) and cells of each row that is not blank."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        what = f"byte {error.object[error.start]:#04x} is not UTF-8"
        raise _error(path, line, f"{what}; save the file as UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _error(path, line, f"no valid CSV ({error}); quote cells with commas or quotes") from error
        if row:
            yield line, row


def _too_many(path: Path, line: int, row: list[str], header: list[str]) -> DataError:
    what = f"{len(row)} cells where the header has {len(header)}"
    return _error(path, line, f"{what}; quote cells that hold commas")


def _error(path: Path, line: int, what: str) -> DataError:
    return DataError(f"{path}, line {line}: {what}")


def _shown(header: list[str]) -> str:
    return repr(",".join(header)[:120])


def _nearest(text: str, known: Iterable[str]) -> str:
    match = difflib.get_close_matches(text, list(known), n=1, cutoff=0.8)
    return f"; did you mean {match[0]!r}?" if match else ""
