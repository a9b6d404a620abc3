"""Progress of an index run on stderr: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from soundseek.cli.output import clock, short_path

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
