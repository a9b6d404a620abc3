"""What a server is started with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from soundseek.library.location import EngineLocation
from soundseek.server.guard import Access


@dataclass(frozen=True)
class ServedLibrary:
    """One of the libraries of a server that has several.

    Attributes:
        name: What people call it.
        path: Its folder, or an engine's URI.
        address: Where its page is, and below it its API.
    """

    name: str
    path: Path | str
    address: str


def served_libraries(folders: Sequence[Path | str]) -> tuple[ServedLibrary, ...]:
    """Names and addresses of some libraries: the first one is at `/`, another at `/libraries/NAME/`.

    >>> [each.address for each in served_libraries([Path("/a/Foley"), Path("/b/My Birds"), Path("/c/foley")])]
    ['/', '/libraries/my-birds/', '/libraries/foley-2/']
    """
    served: list[ServedLibrary] = []
    taken: set[str] = set()
    for folder in folders:
        title = folder.name if isinstance(folder, Path) else EngineLocation.parse(folder).name
        plain = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "library"
        name, number = plain, 1
        while name in taken:
            number += 1
            name = f"{plain}-{number}"
        taken.add(name)
        shown = title if number == 1 else f"{title} ({number})"
        served.append(ServedLibrary(shown, folder, f"/libraries/{name}/" if served else "/"))
    return tuple(served)


@dataclass(frozen=True)
class ServerConfig:
    """What a server is started with.

    Attributes:
        library: The library's folder, or an engine's URI.
        model: Name or directory of the model; None takes the one that filled the library.
        roots: Folders that may be indexed and exported into, and that links may lead to; absolute, without links.
        access: Who may ask.
        is_local: Browser and server are on one machine: a file manager may be opened.
        max_upload_bytes: Of an example sound.
        max_upload_s: Of its length.
        upload_timeout_s: A sound that takes longer to decode is refused.
        num_waiting_uploads: Uploads that may wait for the one that is being decoded.
        media_timeout_s: The same for waveforms, previews and cuts of the library's own files.
        num_waiting_windows: Files whose windows may wait to be embedded, where moments are window scores.
        map_timeout_s: The same for the map of the library.
        search_threads: Searches at the same time.
        index_workers: Processes that decode and embed while folders are indexed.
        served: All libraries of a server that has several; `library` is the first of them.
    """

    library: Path | str
    model: str | None = None
    roots: tuple[Path, ...] = ()
    access: Access = field(default_factory=Access)
    is_local: bool = True
    max_upload_bytes: int = 64 << 20
    max_upload_s: float = 600.0
    upload_timeout_s: float = 60.0
    num_waiting_uploads: int = 4
    media_timeout_s: float = 120.0
    num_waiting_windows: int = 20
    map_timeout_s: float = 3600.0
    search_threads: int = 4
    index_workers: int = 1
    served: tuple[ServedLibrary, ...] = ()
