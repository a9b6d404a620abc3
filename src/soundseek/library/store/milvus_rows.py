"""What lies where of a library in Milvus, and how a filter becomes a Milvus expression.

Four Milvus collections hold a library of the name N. Milvus has no joins, so a segment carries the facts of its file
that filters ask for; and no transactions, so a segment counts once its file's row names its `file_id`.

    N_segments   a row a segment: its vector, times and frames, and the facts of its file; partitioned by file
    N_frames     the frames of a file as text (base64), as many a row as Milvus's longest text has room for
    N_files      a row a file, by its path: the facts, as filters ask for them and whole
    N_notes      what else a library knows: failures, folders, settings, collections, its state
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from soundseek._typing import AnyFloatArray
from soundseek.library.filters import (
    DESCRIBED_COLUMNS,
    FORMAT_ALIASES,
    And,
    Comparison,
    Condition,
    Not,
    Span,
    caseless,
    composed,
    file_name,
    join_tests,
    number_tests,
    storable,
)
from soundseek.library.store.base import Description, EmbeddedSound, SoundFile
from soundseek.library.store.terms import tag_part, terms_of_files

FORMAT = "1"
LONGEST_TEXT = 65_535
"""Bytes of a VARCHAR."""
MOST_ROWS = 16_384
"""Rows that one search or query may bring."""
MOST_TERMS = 4_096
_LONGEST_TERM = 512
_ROWS_OF_A_FILE = 1 << 20
"""Segments, and rows of frames, that a file may have: a row's key is `file_id * _ROWS_OF_A_FILE + number`."""

# Facts of a file that filters ask for: name, type, whether it may be missing.
FACTS: tuple[tuple[str, str, bool], ...] = (
    ("path", "VARCHAR", False),
    ("composed_path", "VARCHAR", False),
    ("caseless_path", "VARCHAR", False),
    ("name", "VARCHAR", False),
    ("kind", "VARCHAR", False),
    ("tag_line", "VARCHAR", False),
    ("duration_s", "DOUBLE", False),
    ("sample_rate_hz", "INT64", False),
    ("mtime_ns", "INT64", False),
    ("channels", "INT64", False),
    ("size_bytes", "INT64", False),
    ("bit_depth", "INT64", True),
    ("loudness_dbfs", "DOUBLE", True),
)


def key_of(file_id: int, number: int) -> int:
    """The primary key of a file's segment, or row of frames."""
    return file_id * _ROWS_OF_A_FILE + number


def hex_path(path: str) -> str:
    """A path as letters that any text field takes and that sort as its bytes do."""
    return os.fsencode(path).hex()


def facts_of_files(files: Sequence[SoundFile]) -> list[dict[str, Any]]:
    """Of each file the fields of `FACTS`, and its `terms`."""
    described = [(file.path, file.description) for file in files]
    return [
        {
            "path": hex_path(file.path),
            "composed_path": hex_path(composed(file.path)),
            "caseless_path": storable(caseless(file.path)),
            "name": file_name(file.path),
            "kind": f"/{storable(file.format).lower()}/",
            "tag_line": _within(line),
            "duration_s": float(file.duration_s),
            "sample_rate_hz": file.sample_rate_hz,
            "mtime_ns": file.mtime_ns,
            "channels": file.channels,
            "size_bytes": file.size_bytes,
            "bit_depth": file.description.bit_depth if file.description else None,
            "loudness_dbfs": _number(file.description.loudness_dbfs) if file.description else None,
            "terms": [term for term in terms if len(term.encode()) <= _LONGEST_TERM][:MOST_TERMS],
        }
        for file, (terms, line) in zip(files, terms_of_files(described), strict=True)
    ]


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _within(text: str) -> str:
    """A text up to its last word that Milvus has room for."""
    if len(text.encode()) <= LONGEST_TEXT:
        return text
    return text.encode()[: LONGEST_TEXT - 1].decode("utf-8", "ignore").rpartition(" ")[0] + " "


def text_of_file(file: SoundFile) -> str:
    """Everything that is known of a file, as JSON; of tags as many as there is room for."""
    known = {**asdict(file), "path": hex_path(file.path), "content_hash": file.content_hash.hex()}
    text = json.dumps(known)
    while len(text) > LONGEST_TEXT:
        tags = known["description"]["tags"]
        known["description"]["tags"] = tuple(
            tag for tag in tags if tag != max(tags, key=lambda tag: len(tag[1]))
        )
        text = json.dumps(known)
    return text


def file_of_text(text: str) -> SoundFile:
    """The file that `text_of_file` wrote."""
    known = json.loads(text)
    about = known.pop("description")
    if about is not None:
        about = Description(**{**about, "tags": tuple((str(a), str(b)) for a, b in about["tags"])})
    known["path"] = os.fsdecode(bytes.fromhex(known["path"]))
    known["content_hash"] = bytes.fromhex(known["content_hash"])
    return SoundFile(**known, description=about)


def segment_rows(file_id: int, sound: EmbeddedSound, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a sound's segments; vectors are rounded to 16 bits, as every store keeps them."""
    vectors = sound.vectors.astype(np.float16).astype(np.float32)
    return [
        {
            **facts,
            "id": key_of(file_id, number),
            "file_id": file_id,
            "number": number,
            "start_s": float(start_s),
            "end_s": float(end_s),
            "first_frame": int(first),
            "last_frame": int(last),
            "vector": vector,
        }
        for number, ((start_s, end_s), (first, last), vector) in enumerate(
            zip(sound.times_s.tolist(), sound.spans.tolist(), vectors, strict=True)
        )
    ]


def frames_a_row(dim: int) -> int:
    """How many frames a row of text has room for."""
    return max(1, LONGEST_TEXT // 4 * 3 // (2 * dim))


def frame_rows(frames_id: int, frames: AnyFloatArray) -> list[dict[str, Any]]:
    """The rows of a sound's frames."""
    size = frames_a_row(frames.shape[1])
    halves = np.ascontiguousarray(frames, dtype="<f2")
    return [
        {
            "id": key_of(frames_id, number),
            "file_id": frames_id,
            "number": number,
            "frames": base64.b64encode(halves[first : first + size].tobytes()).decode("ascii"),
            "vector": [0.0, 0.0],
        }
        for number, first in enumerate(range(0, len(halves), size))
    ]


def frames_of_text(text: str, dim: int) -> AnyFloatArray:
    """`(frames, dim)` float16 of one row.

    Raises:
        ValueError: The text was changed.
    """
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f2").reshape(-1, dim)


def in_quotes(text: str) -> str:
    r"""A text in a Milvus expression.

    >>> print(in_quotes('say "no" \\ yes'))
    "say \"no\" \\ yes"
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def contains(field: str, part: str) -> str:
    """The expression "the field has this part"."""
    return f"{field} like {in_quotes('%' + _plain(part) + '%')}"


def _plain(text: str) -> str:
    """A text whose letters stand for themselves in a pattern."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def below(field: str, folder: str) -> str:
    """The expression "the field is the `hex_path` of something in this folder"."""
    inside = hex_path(folder.rstrip(os.sep) + os.sep)
    # All hex digits come before "g".
    return f'({field} >= "{inside}" and {field} < "{inside}g")'


def expression(condition: Condition) -> str:
    """The Milvus expression of a condition."""
    if isinstance(condition, Not):
        return f"(not ({expression(condition.part)}))"
    if isinstance(condition, Comparison):
        return _comparison(condition)
    glue = " and " if isinstance(condition, And) else " or "
    return f"({glue.join(expression(part) for part in condition.parts)})"


def _comparison(comparison: Comparison) -> str:
    field, operator, value = comparison.field, comparison.operator, comparison.value
    if isinstance(value, Span):
        column, glue, tests = number_tests(field, operator, value)
        joined = join_tests(glue.lower(), [f"{column} {sign} {bound!r}" for sign, bound in tests])
        return f"({column} is not null and {joined})" if field in DESCRIBED_COLUMNS else joined
    text = _text(field, operator, value)
    return f"(not ({text}))" if operator == "!=" else text


def _text(field: str, operator: str, value: str) -> str:
    if field == "folder":
        return below("composed_path", composed(value))
    value = storable(value)
    if field == "tag":
        return contains("tag_line", tag_part(value))
    if field == "path":
        return contains("caseless_path", value)
    if field == "name":
        if operator == "~":
            return contains("name", value)
        return f"name like {in_quotes(_plain(value).replace('*', '%').replace('?', '_'))}"
    if operator == "~":
        return f"({contains('kind', value)} or {contains('name', f'.{value}')})"
    kinds = [contains("kind", f"/{part}/") for part in FORMAT_ALIASES.get(value, (value,))]
    ending = in_quotes("%" + _plain(f".{value}"))
    return f"({' or '.join([*kinds, f'name like {ending}'])})"
