"""Sounds in buckets, by fsspec: what lies there, and a file of this machine for as long as one of them is embedded.

Their paths are URLs, such as s3://bucket/folder/rain.wav. Whatever goes wrong is an OSError that says why, as on a
disk.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from soundseek._install import install_command

BLOCK_BYTES = 1 << 20
_NS = 1_000_000_000


class ListedFile(NamedTuple):
    """What a listing tells of a file.

    Attributes:
        size_bytes: Its size.
        mtime_ns: When it was last written; where the listing has an entity tag, the digits below the second are made
            from that, so that a file which is written twice in a second is known to be another.
    """

    size_bytes: int
    mtime_ns: int


def look_at(url: str) -> None:
    """Ask whether a bucket, a folder with something in it, or a file is there.

    Raises:
        OSError: It is not, or it cannot be reached; `strerror` says why.
    """
    with _reasons():
        files, name = _opened(url)
        files.invalidate_cache()
        files.info(name)


def remote_files(url: str) -> dict[str, ListedFile]:
    """URL -> what the listing tells, of all files at or below a URL; empty where there is nothing.

    Raises:
        OSError: It cannot be listed.
    """
    with _reasons():
        files, name = _opened(url)
        files.invalidate_cache()
        found = _found_below(files, name)
    return {
        url + path[len(name) :]: ListedFile(int(about.get("size") or 0), _stamp(about))
        for path, about in found.items()
        if not path.endswith("/")
    }


def read_remote(url: str) -> bytes:
    """The bytes of a small file.

    Raises:
        OSError: It cannot be read.
    """
    with _reasons():
        files, name = _opened(url)
        content: bytes = files.cat_file(name)
        return content


def bucket_of(url: str) -> str:
    """The bucket that a URL lies in, itself a URL.

    >>> bucket_of("s3://sounds/rain/1.wav")
    's3://sounds'
    """
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


@contextmanager
def fetched(url: str, tick: Callable[[], None]) -> Iterator[tuple[str, bytes]]:
    """A copy of a remote file, of the same extension, which is removed behind the block; and its content hash.

    Args:
        url: The file.
        tick: Is called after each megabyte.

    Raises:
        OSError: It cannot be read, or there is no room for it.
    """
    folder = tempfile.mkdtemp(prefix=_prefix(os.getpid()))
    try:
        copy = Path(folder, f"sound{os.path.splitext(url)[1]}")  # noqa: PTH122
        digest = hashlib.blake2b(digest_size=16)
        with _reasons():
            files, name = _opened(url)
            with files.open(name, "rb") as source, copy.open("wb") as target:
                while block := source.read(BLOCK_BYTES):
                    digest.update(block)
                    target.write(block)
                    tick()
        yield str(copy), digest.digest()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_copies_of(pid: int | None) -> None:
    """Remove what a process that was killed had fetched."""
    if pid is not None:
        for folder in Path(tempfile.gettempdir()).glob(f"{_prefix(pid)}*"):
            shutil.rmtree(folder, ignore_errors=True)


def _prefix(pid: int) -> str:
    return f"soundseek-fetched-{pid}-"


def _opened(url: str) -> tuple[Any, str]:
    """fsspec's file system of a URL, and the name there; what it needs to know, it finds in the environment."""
    import fsspec

    files, name = fsspec.url_to_fs(url)
    return files, str(name)


def _found_below(files: Any, name: str) -> dict[str, dict[str, Any]]:
    """What a file system's own `find` tells of all that lies below a name, or its listings, folder by folder.

    fsspec's generic `find` leaves out the folders that cannot be listed, so that their files would be taken as gone;
    its `walk(on_error="raise")` hands that wish to no subfolder.
    """
    from fsspec.asyn import AsyncFileSystem
    from fsspec.spec import AbstractFileSystem

    kind = type(files)
    own = getattr(kind, "_find", AsyncFileSystem._find) is not AsyncFileSystem._find
    if own or kind.find is not AbstractFileSystem.find:
        return dict(files.find(name, detail=True))
    found: dict[str, dict[str, Any]] = {}
    folders = [name]
    while folders:
        folder = folders.pop()
        for about in files.ls(folder, detail=True):
            if about["type"] != "directory":
                found[about["name"]] = about
            elif about["name"].rstrip("/") != folder.rstrip("/"):
                folders.append(about["name"])
    return found


def _stamp(about: Mapping[str, Any]) -> int:
    """The time of a file in ns since 1970, see `ListedFile`; 0 where a listing tells none."""
    written = next(
        (about[key] for key in ("LastModified", "mtime", "updated", "created") if about.get(key)), 0
    )
    if isinstance(written, str):
        written = datetime.fromisoformat(written.replace("Z", "+00:00"))
    written_s = written.timestamp() if isinstance(written, datetime) else float(written)
    tag = about.get("ETag") or about.get("etag")
    if not tag:
        return round(written_s * _NS)
    digest = hashlib.blake2b(str(tag).encode(), digest_size=8).digest()
    return int(written_s) * _NS + int.from_bytes(digest, "big") % _NS


@contextmanager
def _reasons() -> Iterator[None]:
    """Give every error of a bucket the form of a disk's: those of botocore and others have no class in common."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, "no such bucket, or nothing in it by that name") from error
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or str(error)) from error
    except ImportError as error:
        wanted = install_command("s3")
        raise OSError(errno.ENOSYS, f"{error}; what reads s3:// comes with: {wanted}") from error
    except Exception as error:
        raise OSError(errno.EIO, " ".join(str(error).split()) or type(error).__name__) from error
