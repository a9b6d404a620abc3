"""soundseek's errors: each message says what was wrong, the value, and what to do next."""

from __future__ import annotations

import signal
from pathlib import Path


class SoundseekError(Exception):
    """Base of every error that soundseek raises on purpose."""


class UsageError(SoundseekError):
    """The caller asked for something impossible; the command line exits with 2."""


class DecodeError(SoundseekError):
    """One file cannot be turned into sound; an index run names it and goes on.

    Args:
        path: The file.
        reason: What is wrong with it, without the path.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason


class MissingFileError(DecodeError, UsageError):
    """What the caller named as a sound file is not there, or is a folder, a pipe, a device."""


class ModelError(SoundseekError):
    """A model directory is missing, incomplete, damaged or of another version."""


class UnknownModelError(ModelError, UsageError):
    """There is no model of the name, or in the directory, that the caller named."""


class LibraryError(SoundseekError):
    """A library on disk cannot be opened, is damaged, or belongs to another model."""


class QueryError(UsageError):
    """A query cannot be understood: empty, an unknown field, a bad filter."""


class RecipeError(UsageError):
    """A training recipe is wrong: an unknown key, a value out of range."""


class DataError(SoundseekError):
    """A data set is incomplete or malformed; the message names file and line."""


class RecipeFileError(RecipeError, DataError):
    """A file that a recipe names is not there."""


class StorageError(SoundseekError):
    """A file cannot be written: the disk is full, or the folder is not writable; the message names it."""


class DivergedError(SoundseekError):
    """Training has left the numbers that can be computed with: the loss or a weight is NaN or infinite."""


class NotFiniteError(UsageError):
    """Numbers that cannot be compared were given: NaN or infinite ones."""


class WorkerError(SoundseekError):
    """A process that helps was killed from outside."""


class Terminated(KeyboardInterrupt):
    """The system has asked the process to end, or its terminal has gone; the command line exits with 143, or 129.

    Args:
        number: SIGTERM, or SIGHUP.
    """

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__()
        self.number = number
