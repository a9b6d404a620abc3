"""Example sounds that clients send: embedded in a process that can be killed, and forgotten after an hour."""

from __future__ import annotations

import secrets
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from soundseek.server.problems import ProblemError

if TYPE_CHECKING:
    from soundseek.library.regions import Embedded

KEPT_S = 3600.0
MAX_KEPT = 200


@dataclass(frozen=True, eq=False)
class Upload:
    """An example sound.

    Attributes:
        id: Its name in requests.
        name: As the client called it.
        format: "WAV", "OGG/VORBIS" ...
        sample_rate_hz: Its own rate.
        channels: Its own channels.
        embedded: What the model made of it.
        fingerprint: Of that model.
        used_at: Seconds since 1970.
    """

    id: str
    name: str
    format: str
    sample_rate_hz: int
    channels: int
    embedded: Embedded
    fingerprint: str
    used_at: float

    @property
    def expires_at(self) -> float:
        """Seconds since 1970."""
        return self.used_at + KEPT_S


class Uploads:
    """The uploads of the last hour, the latest `MAX_KEPT` of them; only what the model made of them is kept."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._kept: dict[str, Upload] = {}
        self._mutex = threading.Lock()

    def put(
        self,
        name: str,
        *,
        format: str,
        sample_rate_hz: int,
        channels: int,
        embedded: Embedded,
        fingerprint: str,
    ) -> Upload:
        """Keep one under a name that nobody guesses."""
        upload = Upload(
            secrets.token_hex(16),
            name,
            format,
            sample_rate_hz,
            channels,
            embedded,
            fingerprint,
            self._clock(),
        )
        with self._mutex:
            self._forget_old()
            while len(self._kept) >= MAX_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[upload.id] = upload
        return upload

    def get(self, id: str) -> Upload:
        """An upload; it is kept for another hour.

        Raises:
            ProblemError: "not-found" where there is none (any more).
        """
        with self._mutex:
            self._forget_old()
            upload = self._kept.pop(id, None)
            if upload is None:
                raise ProblemError("not-found", f"there is no upload {id} (any more); send the sound again")
            self._kept[id] = replace(upload, used_at=self._clock())
            return self._kept[id]

    def remove(self, id: str) -> None:
        """Forget one.

        Raises:
            ProblemError: "not-found" where there is none (any more).
        """
        with self._mutex:
            if self._kept.pop(id, None) is None:
                raise ProblemError("not-found", f"there is no upload {id} (any more)")

    def _forget_old(self) -> None:
        now = self._clock()
        for id in [id for id, upload in self._kept.items() if upload.expires_at < now]:
            del self._kept[id]


async def receive_file(chunks: AsyncIterator[bytes], folder: Path, most_bytes: int) -> Path:
    """The body of a request as a file.

    Raises:
        ProblemError: "too-large", or "request" where it is empty.
    """
    num_bytes = 0
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        path = Path(file.name)
        try:
            async for chunk in chunks:
                num_bytes += len(chunk)
                if num_bytes > most_bytes:
                    raise ProblemError(
                        "too-large",
                        f"an example sound may have {most_bytes:,} bytes; cut it shorter and send it again",
                    )
                file.write(chunk)
            if not num_bytes:
                raise ProblemError("request", "the request has no body; send the sound file as the body")
        except BaseException:
            path.unlink()
            raise
    return path
