"""Files of a library as the API names and shows them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundseek.audio.files import printable_path
from soundseek.library.paths import is_url
from soundseek.library.store.base import Description
from soundseek.server.problems import ProblemError

if TYPE_CHECKING:
    from soundseek.library.collections import Entry
    from soundseek.library.store.base import SoundFile, Store
    from soundseek.library.taught import Mark

# What Chromium, Firefox and Safari all play, up to PLAIN_RATE_HZ and two channels.
_MEDIA_TYPES = {
    "WAV": "audio/wav",
    "FLAC": "audio/flac",
    "MP3": "audio/mpeg",
    "OGG/VORBIS": "audio/ogg",
    "OGG/OPUS": "audio/ogg",
    "MP4/AAC": "audio/mp4",
}
_OTHER_TYPES = {
    "AIFF": "audio/aiff",
    "AU": "audio/basic",
    "CAF": "audio/x-caf",
    "RF64": "audio/wav",
    "W64": "audio/x-w64",
    "AAC": "audio/aac",
    "AAC/AAC": "audio/aac",
}
PLAIN_RATE_HZ = 48_000


def item_id(file: SoundFile) -> str:
    """The id of a file: the hash of its content, a hyphen, and eight digits of its path's."""
    return f"{file.content_hash.hex()}-{_path_digits(file.path)}"


def entry_facts(entry: Entry | Mark, favourites: Collection[str]) -> dict[str, Any]:
    """What collections and what was taught say of a sound in them."""
    return {
        "path": entry.path,
        "start_s": entry.start_s,
        "end_s": entry.end_s,
        "added_at": entry.added_at,
        "item": None if entry.file is None else file_facts(entry.file, favourites),
    }


def find_file(store: Store, id: str) -> SoundFile:
    """The file of an id: that of its path, or one with the same content where it has moved.

    Raises:
        ProblemError: "not-found" where there is none.
    """
    content, _, path_digits = id.partition("-")
    same = store.same_content(bytes.fromhex(content))
    if not same:
        raise ProblemError(
            "not-found", f"the library has no item {id} (any more): it was changed or removed; search again"
        )
    return next((file for file in same if _path_digits(file.path) == path_digits), same[0])


def find_files(store: Store, ids: Sequence[str]) -> list[SoundFile]:
    """The files of some ids that are still in the library."""
    found = []
    for id in ids:
        try:
            found.append(find_file(store, id))
        except ProblemError:
            continue
    return found


def file_facts(file: SoundFile, favourites: Collection[str] = ()) -> dict[str, Any]:
    """The fields of `FileFacts`.

    Args:
        file: The file.
        favourites: Paths of favourites.
    """
    folder, name = os.path.split(file.path)
    about = file.description or Description()
    return {
        "id": item_id(file),
        "path": file.path,
        "name": name,
        "folder": folder,
        "duration_s": file.duration_s,
        "sample_rate_hz": file.sample_rate_hz,
        "channels": file.channels,
        "format": file.format,
        "size_bytes": file.size_bytes,
        "bit_depth": about.bit_depth,
        "loudness_dbfs": None if about.loudness_dbfs is None else round(about.loudness_dbfs, 2),
        "modified": when(file.mtime_ns / 1e9),
        "media_type": media_type(file.format),
        "needs_preview": needs_preview(file),
        "is_favourite": file.path in favourites,
    }


def media_type(format: str) -> str:
    """The media type of a format; bytes of which nothing is known where it has none."""
    return _MEDIA_TYPES.get(format) or _OTHER_TYPES.get(format, "application/octet-stream")


def needs_preview(file: SoundFile) -> bool:
    """Whether some browser cannot play the file itself."""
    return file.format not in _MEDIA_TYPES or file.sample_rate_hz > PLAIN_RATE_HZ or file.channels > 2


def when(timestamp_s: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC; beyond the years that a calendar has, its first or last day."""
    try:
        moment = datetime.fromtimestamp(timestamp_s, timezone.utc)
    except (OverflowError, OSError, ValueError):
        moment = datetime(9999 if timestamp_s > 0 else 1, 1, 1, tzinfo=timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def servable_path(file: SoundFile, roots: Collection[str]) -> Path:
    """The real path of a library's file, if it may be read.

    Args:
        file: What the library knows of it.
        roots: Folders, themselves without links, below which it must lie when all links are followed.

    Raises:
        ProblemError: "gone" where it is no regular file (any more), "forbidden" where a link leads out of the roots.
    """
    shown = printable_path(file.path)
    if is_url(file.path):
        raise ProblemError(
            "gone",
            f"{shown} lies in a bucket, and this server does not fetch it; to hear it, download it from there",
        )
    try:
        real = Path(file.path).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        raise ProblemError(
            "gone", f"{shown} is not there any more; put it back, or index its folder again"
        ) from None
    has_links = str(real) != file.path
    if has_links and not any(real.is_relative_to(root) for root in roots):
        raise ProblemError(
            "forbidden",
            f"{shown} leads to {printable_path(str(real))}, outside the library's folders; to allow it, start "
            f"the server with --root {printable_path(str(real.parent))}",
        )
    if not real.is_file():
        raise ProblemError("gone", f"{shown} is no regular file any more; index its folder again")
    return real


def _path_digits(path: str) -> str:
    return hashlib.blake2b(os.fsencode(path), digest_size=4).hexdigest()
