"""Bytes that reach ever more branches, for the readers of what strangers write (by atheris, which Linux installs).

    pip install atheris && python benchmarks/coverage_fuzz.py TARGET [-max_total_time=600]

TARGET is one of where, query, onnx, parts, tags, sound; libFuzzer's other options go behind it. Ends with the bytes and
the traceback of the first error that is none of soundseek's own.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["soundseek", "tinytag", "wavinfo"]):
    from soundseek.audio.decode import read_audio
    from soundseek.audio.parts import find_parts
    from soundseek.audio.tags import read_tags
    from soundseek.errors import SoundseekError
    from soundseek.library.filters import parse_where, to_sql
    from soundseek.model.onnx_files import need_own_numbers
    from soundseek.query import read_query
    from soundseek.query.parts import sentence_parts

FILE = Path(tempfile.mkdtemp()) / "fuzzed.wav"


def where(data: bytes) -> None:
    """A condition of --where."""
    to_sql(parse_where(data.decode("utf-8", "surrogateescape")))


def query(data: bytes) -> None:
    """What is typed into a search."""
    text = data.decode("utf-8", "surrogateescape")
    read_query(text)
    sentence_parts(text)


def onnx(data: bytes) -> None:
    """A network."""
    FILE.write_bytes(data)
    need_own_numbers(FILE)


def parts(data: bytes) -> None:
    """The chunks of a sound file."""
    FILE.write_bytes(data)
    with FILE.open("rb") as file:
        find_parts(file, data[:4096], ".wav")


def tags(data: bytes) -> None:
    """What a sound file says of itself."""
    FILE.write_bytes(data)
    read_tags(FILE)


def sound(data: bytes) -> None:
    """A whole sound file."""
    FILE.write_bytes(data)
    read_audio(FILE, sample_rate_hz=8000, max_duration_s=5)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "where": where, "query": query, "onnx": onnx, "parts": parts, "tags": tags, "sound": sound,
}  # fmt: skip


def main() -> None:
    """Fuzz one target until libFuzzer's options say stop."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        raise SystemExit(f"name a target: {', '.join(TARGETS)}")
    target = TARGETS[sys.argv.pop(1)]

    def once(data: bytes) -> None:
        try:
            target(data)
        except SoundseekError:
            return

    atheris.Setup(sys.argv, once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
