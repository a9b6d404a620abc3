"""Keep the mp3 decoder's own chatter off stderr, and nothing else.

libmpg123 (inside libsndfile) prints warnings about damaged files straight to file descriptor 2, and
libsndfile has no switch for it. For the milliseconds of one call, descriptor 2 leads into a scratch file;
what other threads write there meanwhile is passed on when the last overlapping call ends, only the decoder's own
lines are dropped.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

# Line beginnings found in libmpg123 1.32; an unknown line is passed on, never lost.
_DECODER_LINE = re.compile(
    rb"^(?:Note: (?:Illegal Audio-MPEG|Trying to resync|Skipped|Hit end of|Junk at|Cut frame|Xing|broken"
    rb"|missing \d+ bytes|Looks like|Input data end|free format)"
    rb"|Warning: (?:Xing stream|Big change|Encountered more|Real sample count|Cannot read next)"
    rb"|\[(?:src/)?libmpg123/)[^\n]*\n|^\n(?=Warning: )",
    re.MULTILINE,
)


class _Muffler:
    """How many calls are running, where descriptor 2 led before, and what was caught."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._stderr = -1
        self._scratch: IO[bytes] | None = None

    def enter(self) -> bool:
        with self._lock:
            if self._depth == 0:
                try:
                    self._stderr = os.dup(2)
                except OSError:  # a process without stderr has nothing to keep clean
                    return False
                if self._scratch is None:
                    self._scratch = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (lives as long as the process)
                os.dup2(self._scratch.fileno(), 2)
            self._depth += 1
            return True

    def leave(self) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                # Only now: while another call runs, a line may be half written, and what is written between
                # reading the file and emptying it would be lost.
                os.dup2(self._stderr, 2)
                self._pass_on()
                os.close(self._stderr)

    def _pass_on(self) -> None:
        assert self._scratch is not None
        if not self._scratch.tell():  # shared with descriptor 2: where the last writer stopped
            return
        self._scratch.seek(0)
        caught = self._scratch.read()
        self._scratch.seek(0)
        self._scratch.truncate()
        kept = _DECODER_LINE.sub(b"", caught)
        while kept:
            kept = kept[os.write(self._stderr, kept) :]


_muffler = _Muffler()


@contextmanager
def without_decoder_chatter() -> Iterator[None]:
    """Run a decoder call with its warnings dropped from descriptor 2; safe in threads, costs some 10 µs."""
    if not _muffler.enter():
        yield
        return
    try:
        yield
    finally:
        _muffler.leave()
