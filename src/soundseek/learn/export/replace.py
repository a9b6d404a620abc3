"""A model directory is built beside its place, checked, and put there in one step.

So a stop, a full disk or a failed check leaves the model that was there, whole and under its own fingerprint.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soundseek._files import naming_the_disk
from soundseek.errors import DataError, ModelError, UsageError
from soundseek.learn.export.model_card import README_FILE
from soundseek.model.config import AUDIO_FILE, CONFIG_FILE, TEXT_FILE, TOKENIZER_FILE, ModelConfig
from soundseek.model.manners import MANNERS_FILE
from soundseek.model.match import MATCH_FILE
from soundseek.model.memory import MEMORY_FILE
from soundseek.model.spelling import WORDS_FILE

WEIGHTS_FILE = "model.safetensors"
QUERY_FILES = (WORDS_FILE, MANNERS_FILE, MEMORY_FILE, MATCH_FILE)
"""What a model may have beside its networks; no sound's vector depends on it. A match needs the memory before it."""

MODEL_FILES = frozenset(
    {AUDIO_FILE, CONFIG_FILE, README_FILE, TEXT_FILE, TOKENIZER_FILE, WEIGHTS_FILE, *QUERY_FILES}
)
"""What a model directory consists of; anything else in it is somebody's own."""

_STALE_AFTER_S = 3600.0  # a scratch folder that old belongs to a process that was killed


def refuse_other_folders(out: Path) -> None:
    """Raise UsageError unless `out` is missing, empty, or a model directory: what else is there is not ours.

    Raises:
        UsageError: Another kind of folder, such as a run, or a file.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir():
        raise UsageError(f"{out} is a file; choose another --out for the model directory")
    try:
        ModelConfig.read(out)
    except ModelError as error:
        found = ", ".join(sorted(path.name for path in out.iterdir())[:3])
        raise UsageError(
            f"{out} is there and is no model directory (it holds {found}); choose another --out, or an empty folder"
        ) from error


@contextmanager
def built_beside(out: Path, *, needs_bytes: int | None = None) -> Iterator[Path]:
    """Where to create a model directory; it takes the place of `out` when the block ends without an error.

    Files in `out` that no model directory consists of are kept.

    Args:
        out: The model directory.
        needs_bytes: What the building takes on disk, for the message when there is no space.

    Raises:
        DataError: The disk is full.
        StorageError: The folder that it shall lie in cannot be made.
    """
    if out.is_symlink():  # such as "current": what it leads to is replaced, and the link stays
        out = Path(os.path.realpath(out))
    with naming_the_disk(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{out.name}.making-"
    for stale in out.parent.glob(f"{prefix}*"):
        if time.time() - stale.stat().st_mtime > _STALE_AFTER_S:
            shutil.rmtree(stale, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=prefix, dir=out.parent))
    try:
        made = scratch / "model"  # for the block to create
        yield made
        _swap(made, out, scratch / "before")
    except Exception as error:  # the writers of ONNX and safetensors wrap the system's error in their own
        if getattr(error, "errno", None) != errno.ENOSPC and os.strerror(errno.ENOSPC) not in str(error):
            raise
        needed = f"making {out.name} needs {needs_bytes / 1e6:,.0f} MB there; " if needs_bytes else ""
        raise DataError(
            f"no space left in {out.parent}: {needed}free some, or choose another --out"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _swap(made: Path, out: Path, before: Path) -> None:
    """Put a finished directory in place; what was there comes back if that fails."""
    if out.exists():
        for path in out.iterdir():
            if path.name not in MODEL_FILES:
                _copy(path, made / path.name)
        out.replace(before)
    try:
        made.replace(out)
    except OSError:
        if before.exists():
            before.replace(out)
        raise


def _copy(path: Path, to: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.copytree(path, to, symlinks=True)
    else:
        shutil.copy2(path, to, follow_symlinks=False)
