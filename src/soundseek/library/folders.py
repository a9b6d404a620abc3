"""What a library is told about its folders: that one is gone for good, or is now in another place."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping, Sequence

from soundseek.errors import UsageError
from soundseek.library.paths import absolute, is_at_or_below, is_there, is_url, known_as, moved_below, on_disk
from soundseek.library.remote import remote_files
from soundseek.library.store.base import Changes, Store

# ruff: noqa: PTH110, PTH116 (paths stay strings: one need not be text)


def forget_folders(
    store: Store, folders: Sequence[str | os.PathLike[str]], *, missing_only: bool = False
) -> int:
    """Drop the vectors, failures and roots at or below some paths; how many sounds that were.

    Args:
        store: Where they are.
        folders: Folders or files, which need not be there.
        missing_only: Drop only what is not there now; nothing of a bucket, which only an index run asks.

    Raises:
        UsageError: Nothing is known of one of them.
        LibraryError: Another process is writing.
    """
    with store.writing():
        names = [_known_name(store, folder) for folder in folders]
        sounds = {path for name in names for path in store.states(name)}
        failed = {failure.path for name in names for failure in store.failures(name)}
        roots = {root for root in store.roots() if any(is_at_or_below(root, name) for name in names)}
        if missing_only:
            sounds, failed = ({path for path in paths if not is_there(path)} for paths in (sounds, failed))
            roots = {root for root in roots if not is_there(root)}
        store.commit(Changes(removed=[*sounds, *failed - sounds], forgotten_roots=[*roots]))
        store.compact()
    return len(sounds)


def relocate_folder(store: Store, old: str | os.PathLike[str], new: str | os.PathLike[str]) -> int:
    """Give everything at or below `old` its place at or below `new`; how many sounds that were.

    Raises:
        UsageError: Nothing is known of `old`, `new` is not there, or none of the sounds is in it.
        LibraryError: Another process is writing.
    """
    target = on_disk(absolute(new, "NEW"))
    in_bucket = _listed(target)
    if not (in_bucket or os.path.exists(target)):
        raise UsageError(
            f"{target} is not there; give the folder in which the sounds of {os.fspath(old)} are now"
        )
    with store.writing():
        source = _known_name(store, old)
        states = store.states(source)
        if source == target:
            raise UsageError(f"{source} is where it was; give the folder in which its sounds are now")
        if states and not any(
            _size_of(moved_below(path, source, target), in_bucket) == state.size_bytes
            for path, state in states.items()
        ):
            raise UsageError(
                f"none of the {len(states)} sounds of {source} is in {target} (by the same names below it "
                f"and of the same sizes); to drop them: soundseek forget {source}"
            )
        moved = store.relocate(source, target)
        is_folder = target not in in_bucket if in_bucket else os.path.isdir(target)  # noqa: PTH112
        if is_folder and not any(is_at_or_below(target, root) for root in store.roots()):
            store.commit(Changes(roots={target: 0 if in_bucket else os.stat(target).st_dev}))
    return moved


def _known_name(store: Store, path: str | os.PathLike[str]) -> str:
    """The name under which a store knows something at or below a path.

    Raises:
        UsageError: It knows nothing of it.
    """
    given = absolute(path, "FOLDER")
    roots = store.roots()
    alike = [root for root in roots if _composed(root) == _composed(given)]
    for name in dict.fromkeys([given, on_disk(given), *alike, known_as(given, roots) or given]):
        if name in roots or store.states(name) or store.failures(name):
            return name
    listed = ", ".join(sorted(roots)) or "none"
    raise UsageError(f"{given} is not in the library {store.location}; its folders: {listed}")


def _composed(path: str) -> str:
    return unicodedata.normalize("NFC", path)


def _listed(target: str) -> dict[str, int]:
    """Sizes in bytes of the files of a bucket at or below a URL; empty of a path of this machine.

    Raises:
        UsageError: The bucket cannot be listed.
    """
    if not is_url(target):
        return {}
    try:
        return {path: file.size_bytes for path, file in remote_files(target).items()}
    except OSError as error:
        raise UsageError(f"{target} cannot be listed ({error.strerror}); nothing was changed") from error


def _size_of(path: str, in_bucket: Mapping[str, int]) -> int | None:
    """Bytes of a file, None of one that is not there."""
    if is_url(path):
        return in_bucket.get(path)
    try:
        return os.stat(path).st_size
    except OSError:
        return None
