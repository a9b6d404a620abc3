"""How fast an index run hears, and the time that is left: from bytes, the one measure that is known beforehand."""

from __future__ import annotations

# Sounds of different formats follow each other folder by folder, and a byte of MP3 takes ten times as long as one of
# WAV: what was measured half a minute ago counts half.
HALF_LIFE_S = 30.0
# Before so much is measured, the time left is a guess not worth showing.
FEWEST_FILES, SHORTEST_S = 2, 2.0


class Pace:
    """Bytes and seconds of sound heard in a second, measured once every worker has heard a file.

    Before that, the model is being loaded and all workers are at the beginning of their first files: a rate from the
    start of the run would be far too low, and one from the first file on too high.

    Args:
        workers: Files that are heard at the same time.
    """

    def __init__(self, workers: int) -> None:
        self._before = max(1, workers)
        self._files = 0
        self._last = 0.0
        self._measured_s = 0.0
        self._seconds = self._bytes = self._audio_s = 0.0

    def heard(self, size_bytes: int, audio_s: float, at: float) -> None:
        """A file has been heard.

        Args:
            size_bytes: Its size.
            audio_s: Its length.
            at: Now, in seconds on a clock that never goes back.
        """
        self._files += 1
        passed_s, self._last = at - self._last, at
        if self._files <= self._before:
            return
        kept = 0.5 ** (passed_s / HALF_LIFE_S)
        self._measured_s += passed_s
        self._seconds = self._seconds * kept + passed_s
        self._bytes = self._bytes * kept + size_bytes
        self._audio_s = self._audio_s * kept + audio_s

    def left_s(self, size_bytes: int) -> float | None:
        """Seconds that so many bytes will probably take; None as long as too little is measured."""
        if self._files < self._before + FEWEST_FILES or self._measured_s < SHORTEST_S or not self._bytes:
            return None
        return self._seconds * size_bytes / self._bytes

    @property
    def x_realtime(self) -> float | None:
        """Seconds of sound heard in a second; None before anything is measured."""
        return self._audio_s / self._seconds if self._seconds else None
