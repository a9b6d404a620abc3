"""An ONNX file, before ONNX Runtime sees it: does it hold its numbers itself, or name other files to read them from?

The wire format of protocol buffers is read just as far as this needs; see `onnx.proto` of ONNX.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from soundseek.errors import ModelError

# Numbers of fields of onnx.proto: message -> field -> message that lies in it.
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of a tensor
_DEEPEST = 100
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5


def need_own_numbers(path: Path) -> None:
    """Refuse an ONNX file that takes numbers from another file.

    soundseek writes none, the fingerprint of a model would not cover them, and older ONNX Runtimes read them from
    wherever the file says, `../../.ssh/id_rsa` as well.

    Raises:
        ModelError: It does, or it is no ONNX file.
    """
    with path.open("rb") as file:
        try:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:  # no bytes at all
            raise ModelError(f"{path} is damaged: it is empty; export or fetch the model again") from None
    with content:
        try:
            external = _has_external(content, 0, len(content), "model", 0)
        except (IndexError, ValueError) as error:
            raise ModelError(
                f"{path} is damaged: it is no ONNX file; export or fetch the model again"
            ) from error
    if external:
        raise ModelError(
            f"{path} takes its numbers from another file, which a model directory does not do; export the model again "
            "with all of them in it"
        )


def _has_external(content: mmap.mmap, at: int, end: int, message: str, depth: int) -> bool:
    if depth > _DEEPEST:
        raise ValueError(f"messages in each other, {depth} deep")
    inside = _INSIDE.get(message, {})
    for field, value, stop in _fields(content, at, end):
        if message == "tensor":
            if field == _EXTERNAL_DATA or (field == _DATA_LOCATION and stop < 0 and value != 0):
                return True
        elif field in inside and stop >= 0 and _has_external(content, value, stop, inside[field], depth + 1):
            return True
    return False


def _fields(content: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number of each field with the range of its bytes `(number, from, to)`; of a plain number, `(number, it, -1)`.

    Raises:
        ValueError: It is no message.
        IndexError: It is cut off.
    """
    while at < end:
        key, at = _varint(content, at, end)
        kind, field = key & 7, key >> 3
        if kind == _VARINT:
            value, at = _varint(content, at, end)
            yield field, value, -1
            continue
        if kind == _BYTES:
            length, at = _varint(content, at, end)
        elif kind in (_FIXED_64, _FIXED_32):
            length = 8 if kind == _FIXED_64 else 4
        else:
            raise ValueError(f"a field of kind {kind}")
        if length > end - at:
            raise ValueError("a field that ends behind its message")
        yield field, at, at + length
        at += length


def _varint(content: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise ValueError("a number that is cut off")
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number that does not end")
