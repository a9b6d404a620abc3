"""Progress on stderr: of an index run, of downloads and checks, of features and epochs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from soundseek.cli.output import clock, printable, short_path

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from soundseek.library import Progress

LINE_EVERY_S = 5.0
NAME_WIDTH = 32


class ProgressReport:
    """A callable for `Library.index(progress=...)`, to be used as a context manager.

    Args:
        terminal: Draw a bar; None asks stderr.
        now: Seconds on a clock that never goes back.
    """

    def __init__(self, *, terminal: bool | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._terminal = sys.stderr.isatty() if terminal is None else terminal
        self._now = now
        self._last_line = now()
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> ProgressReport:
        if self._terminal:
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            from soundseek.cli.output import console

            columns = (BarColumn(bar_width=24), TextColumn("{task.description}"))
            self._bar = Bar(*columns, console=console(stderr=True), transient=True)
            self._task = self._bar.add_task("looking for sounds …", total=None)
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        """Show how far the run is."""
        if self._bar is not None and self._task is not None:
            from rich.markup import escape

            name = escape(short_path(progress.current, NAME_WIDTH))
            self._bar.update(
                self._task,
                description=f"{progress_line(progress)}  [dim]{name}",
                completed=progress.audio_s,
                total=progress.audio_s + progress.audio_left_s,
            )
        elif self._now() - self._last_line >= LINE_EVERY_S:
            self._last_line = self._now()
            print(progress_line(progress), file=sys.stderr, flush=True)


def progress_line(progress: Progress) -> str:
    """Files and sound done, and speed and the time left as soon as they are known, in a few words."""
    line = f"{progress.files_done} of {progress.files_total} files"
    if progress.audio_s:
        total_s = progress.audio_s + progress.audio_left_s
        line += f", {clock(round(progress.audio_s))} of about {clock(round(total_s))} of sound"
    if progress.x_realtime is not None:
        line += f", {progress.x_realtime:.0f} x real time"
    return line if progress.eta_s is None else f"{line}, {clock(round(progress.eta_s))} left"


class CountProgress:
    """Says on stderr how much is done: a line that is written over on a terminal, else one every ten seconds."""

    def __init__(self, *, terminal: bool | None = None) -> None:
        self._terminal = sys.stderr.isatty() if terminal is None else terminal
        self._every_s = 0.2 if self._terminal else 10.0
        self._what = ""
        self._began = self._last = time.monotonic()
        self._began_at = 0
        self._shown = False

    def __enter__(self) -> CountProgress:
        return self

    def __exit__(self, *exception: object) -> None:
        self._wipe()

    def __call__(self, what: str, done: int, total: int) -> None:
        """So much is done."""
        now = time.monotonic()
        if what != self._what:
            self._what, self._began, self._began_at = what, now, done
        if now - self._last < self._every_s:
            return
        self._last = now
        line = f"{what}: {self.amount(done, total)}"
        if done > self._began_at and total > done:
            left_s = (now - self._began) / (done - self._began_at) * (total - done)
            line += f", {left_s / 60:.0f} min left" if left_s >= 60 else f", {left_s:.0f} s left"
        self._wipe()
        print(line, end="" if self._terminal else "\n", file=sys.stderr, flush=True)
        self._shown = self._terminal

    def say(self, line: str) -> None:
        """Something worth keeping."""
        self._wipe()
        print(printable(line), file=sys.stderr)

    def amount(self, done: int, total: int) -> str:
        """In words."""
        return f"{done:,} of {total:,}"

    def _wipe(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr)
            self._shown = False


class ByteProgress(CountProgress):
    """The same in megabytes."""

    def __enter__(self) -> ByteProgress:
        return self

    def amount(self, done: int, total: int) -> str:
        """In words; a server need not say how much there is."""
        return f"{done / 1e6:,.0f}" + (f" of {total / 1e6:,.0f} MB" if total else " MB")


class FeatureProgress:
    """Says on stderr, every few seconds, how many features are computed and how long the rest will take."""

    def __init__(self) -> None:
        self._what = ""
        self._began = self._last = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        """One more is done."""
        now = time.monotonic()
        if what != self._what or done == 1:
            self._what, self._began, self._last = what, now, now
        if done < total and now - self._last < LINE_EVERY_S:
            return
        self._last = now
        left_s = (now - self._began) / done * (total - done)
        print(f"{what}: {done:,} of {total:,}, {left_s / 60:.1f} min left", file=sys.stderr, flush=True)


def say_epoch(metrics: dict[str, float]) -> None:
    """Say on stderr how an epoch went."""
    scores = ""
    if "mAP10" in metrics:  # epochs that are known beforehand have no validation
        scores = f"validation mAP10 {100 * metrics['mAP10']:.1f} %  R10 {100 * metrics['R10']:.1f} %  "
    print(
        f"epoch {metrics['epoch']:.0f}  loss {metrics['loss']:.4f}  {scores}{metrics['seconds']:.1f} s",
        file=sys.stderr,
        flush=True,
    )
