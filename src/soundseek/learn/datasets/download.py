"""One published file -> the same file on disk: resumed where it stopped, tried again, verified."""

from __future__ import annotations

import errno
import hashlib
import http.client
import re
import shutil
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from soundseek._typing import Report
from soundseek.errors import DataError, UsageError
from soundseek.learn.datasets.sources import RemoteFile

_BLOCK_BYTES = 1 << 18
_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})  # HTTP codes after which it is worth another try
_LONGEST_WAIT_S = 60.0


class CannotFetchError(DataError):
    """A file cannot be had from where it is published: no network, or not there."""


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Attributes:
        attempts: Tries in a row that bring nothing; a try that brings bytes starts the count again.
        wait_s: Seconds before the second try; each further wait is twice as long, 60 s at most.
        timeout_s: Seconds without a byte after which a connection counts as dead.
    """

    attempts: int = 5
    wait_s: float = 1.0
    timeout_s: float = 60.0


def fetch(
    file: RemoteFile, folder: Path, *, report: Report | None = None, patience: Patience | None = None
) -> Path:
    """The file in `folder`: as it lies there if its digest is right, else downloaded.

    What has arrived stands in `NAME.part`, so that a later call goes on where this one stopped; a damaged file
    is replaced only once its successor is verified.

    Raises:
        CannotFetchError: No network, or the server does not have it.
        DataError: No space, or what the server sends has another size or digest.
        UsageError: A URL that is not http(s).
    """
    if urlsplit(file.url).scheme not in ("http", "https"):
        raise UsageError(f"{file.url}: only http:// and https:// can be downloaded")
    path = folder / file.name
    if is_intact(file, path):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    part = _Part(folder / f"{file.name}.part")
    kind, expected = file.digest
    for _ in range(2):  # bytes of an earlier call may be of another version: then once more from the start
        resumed = part.size > 0
        _complete(file, part, report, patience or Patience())
        found = digest_of(part.path, kind)
        if found == expected or not expected:
            part.path.replace(path)
            part.forget()
            return path
        part.forget()
        if not resumed:
            break
    raise DataError(
        f"{file.url} has the {kind} {found}, expected {expected}: "
        "it is damaged or not the published file; try again, or use another --mirror"
    )


def is_intact(file: RemoteFile, path: Path) -> bool:
    """Whether `path` is the published file; without a published digest, whether it is there and not empty."""
    if not path.is_file() or not path.stat().st_size:
        return False
    kind, expected = file.digest
    return not expected or digest_of(path, kind) == expected


def digest_of(path: Path, kind: str) -> str:
    """The digest of a file, in hexadecimal.

    Args:
        path: The file.
        kind: "md5" or "sha256".
    """
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def need_space(folder: Path, num_bytes: int, what: str) -> None:
    """Raise a DataError unless `folder`'s disk has room for `num_bytes` more."""
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise DataError(
            f"{what} needs {_amount(num_bytes)} and {folder} has {_amount(free)} left; "
            "free some space, or choose another folder"
        )


def _amount(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.1f} MB"


class _Part:
    """A file that is not whole yet, with what the server said to recognise its version by."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tag = path.with_name(path.name + ".tag")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def tag(self) -> str:
        return self._tag.read_text(encoding="utf-8") if self._tag.exists() else ""

    def begin(self, tag: str) -> None:
        self.path.write_bytes(b"")
        self._tag.write_text(tag, encoding="utf-8")

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
        self._tag.unlink(missing_ok=True)


def _complete(file: RemoteFile, part: _Part, report: Report | None, patience: Patience) -> None:
    """Bring `part` to its full length, over as many connections as it takes."""
    failures, received = 0, False
    while True:
        before, wait_s = part.size, 0.0
        try:
            if _receive(file, part, report, patience.timeout_s):
                return
            reason = "the connection ended early"
        except urllib.error.HTTPError as error:
            if _says_whole(error, part.size):
                return
            reason, wait_s = _judge(file, part, error)
        except (OSError, http.client.HTTPException) as error:
            reason = _words(error)
            if _is_offline(error) and not received:
                raise CannotFetchError(f"{file.url}: {reason}") from error
        advanced = part.size > before
        received = received or advanced
        failures = 0 if advanced else failures + 1
        if failures >= patience.attempts:
            raise CannotFetchError(f"{file.url}: {reason}, {failures} times in a row")
        time.sleep(min(_LONGEST_WAIT_S, max(wait_s, patience.wait_s * 2.0 ** max(0, failures - 1))))


def _says_whole(error: urllib.error.HTTPError, size: int) -> bool:
    """Whether nothing lies behind `size` because that is all: an earlier call was stopped after the last byte."""
    return error.code == 416 and error.headers.get("Content-Range", "") == f"bytes */{size}"


def _judge(file: RemoteFile, part: _Part, error: urllib.error.HTTPError) -> tuple[str, float]:
    """Why the server refused and how long it asks to wait, if it is worth another try.

    Raises:
        CannotFetchError: It is not.
    """
    with error:
        reason = f"the server answers {error.code} {error.reason}"
        if error.code == 416:  # it has fewer bytes than we do: ours are of something else
            part.forget()
            return reason, 0.0
        if error.code not in _TEMPORARY:
            raise CannotFetchError(f"{file.url}: {reason}") from error
        asked = error.headers.get("Retry-After", "")
        return reason, float(asked) if asked.isdigit() else 0.0


def _is_offline(error: Exception) -> bool:
    """No such host, or no way to it: trying again within seconds does not help."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    unreachable = (errno.ENETUNREACH, errno.EHOSTUNREACH)
    return isinstance(cause, socket.gaierror) or getattr(cause, "errno", None) in unreachable


def _words(error: Exception) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return str(text)


def _receive(file: RemoteFile, part: _Part, report: Report | None, timeout_s: float) -> bool:
    """One connection's worth of bytes appended to `part`; whether it is whole now."""
    headers = {"User-Agent": "soundseek", "Accept-Encoding": "identity"}
    start = (
        part.size if part.tag or file.digest[1] else 0
    )  # else nothing would notice two versions glued together
    if start:
        headers["Range"] = f"bytes={start}-"
        if part.tag:
            headers["If-Range"] = part.tag
    request = urllib.request.Request(file.url, headers=headers)
    with urllib.request.urlopen(request, timeout=timeout_s) as response:
        begins, total = _place(response)
        if begins not in (0, start):
            part.forget()
            raise http.client.HTTPException(f"the server sends byte {begins} on, asked for {start} on")
        if file.size_bytes and total and total != file.size_bytes:
            part.forget()
            raise DataError(
                f"{file.url} has {total:,} bytes, expected {file.size_bytes:,}: it is not the published file; "
                "try again, or use another --mirror"
            )
        missing = max(0, total - begins)
        need_space(part.path.parent, missing, file.name)
        with _on_disk(part.path, missing):
            if not begins:
                part.begin(_tag(response))
            out = part.path.open("r+b")
        with out:
            done = out.seek(begins)
            while block := response.read(_BLOCK_BYTES):
                with _on_disk(part.path, total - done):
                    out.write(block)
                    out.flush()
                done += len(block)
                if report:
                    report(file.name, done, total)
    return done == total or not total


def _place(response: Any) -> tuple[int, int]:
    """The first byte that the response carries, and the length of the whole file (0 if not known)."""
    if response.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if not found:
            raise http.client.HTTPException("the server sends a part and does not say which")
        return int(found[1]), 0 if found[2] == "*" else int(found[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else 0


def _tag(response: Any) -> str:
    """A strong validator for If-Range, empty if the server gives none."""
    etag: str = response.headers.get("ETag", "")
    modified: str = response.headers.get("Last-Modified", "")
    return etag if etag and not etag.startswith("W/") else modified


@contextmanager
def _on_disk(path: Path, missing: int) -> Iterator[None]:
    """Errors of the disk as DataErrors, apart from those of the network: no use in trying again."""
    try:
        yield
    except OSError as error:
        still = f"; another {_amount(missing)} are needed" if missing > 0 else ""
        raise DataError(
            f"{path}: {_words(error)}{still}; free some space there, or choose another folder"
        ) from error
