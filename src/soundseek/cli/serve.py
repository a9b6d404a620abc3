"""`soundseek serve`: the search page and the HTTP API."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundseek.cli.options import LibrariesOption, ModelOption, option, whole_number
from soundseek.cli.output import printable
from soundseek.errors import UsageError
from soundseek.library.location import engine_of, shown_location

if TYPE_CHECKING:
    from soundseek.server.config import ServerConfig

NEEDS = ("fastapi", "uvicorn", "prometheus_client")
PORT = 8765
SHUTDOWN_S = 3


def serve_command(
    library: LibrariesOption = None,
    model: ModelOption = None,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Where to listen; 0.0.0.0 for the whole network.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            "--port", parser=whole_number(0, "ports"), metavar="N", help="Which port; 0: any free one."
        ),
    ] = PORT,
    open_page: Annotated[bool, option("--open", help="Open the page in your browser.")] = False,
    token: Annotated[
        Path | None,
        option(
            "--token",
            metavar="FILE",
            help="A file with the token that clients must bring; made if it is not there. Away from this machine one "
            "is needed, and made up if you give none.",
        ),
    ] = None,
    root: Annotated[
        list[Path] | None,
        option(
            "--root",
            metavar="DIR",
            help="A folder that may be indexed and exported into from the page; repeatable. Default: your home folder "
            "where only this machine can ask, else none.",
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        option("--name", metavar="HOST", help="A name that the server goes by in your network; repeatable."),
    ] = None,
) -> None:
    """Search in the browser, and answer other programs over HTTP (docs/api.md). Everything stays on this machine.

    soundseek serve --open
    """
    from soundseek.cli.extras import need

    need(NEEDS, extra="serve", why="the search page belongs to an extra")
    if port > 65535:
        raise UsageError(f"--port {port}: ports end at 65535")
    folders = library or []
    config = server_config(folders[0] if folders else None, model, host, token, root or (), name or ())
    if len(folders) > 1:
        config = with_libraries(config, folders)
    listening = _listen(host, port)
    with listening:
        addresses = typable_addresses(host, listening.getsockname()[1])
        _say(config, addresses, token)
        if open_page:
            _open_soon(addresses[0])
        _run(config, listening)


def server_config(
    library: str | Path | None,
    model: str | None,
    host: str,
    token: Path | None,
    roots: list[Path] | tuple[Path, ...],
    names: list[str] | tuple[str, ...],
) -> ServerConfig:
    """What a server is started with, from what was typed.

    Raises:
        UsageError: A folder, a model or a token file is not what it should be.
    """
    from soundseek.cli.index import default_workers
    from soundseek.cli.options import need_folder, need_library_folder, need_model
    from soundseek.library import default_library_path
    from soundseek.model.registry import load_model
    from soundseek.server.config import ServerConfig
    from soundseek.server.guard import Access, is_loopback, new_token

    need_model(model)
    if model is not None:
        load_model(model)  # what is wrong with it is told now, and not to the first who searches
    if library is not None:
        need_library_folder(library)
    for each in roots:
        need_folder(each, "--root", "it takes a folder of sounds")
    is_local = is_loopback(host)
    secret = read_token(token) if token is not None else None
    if secret is None and not is_local:
        secret = new_token()
    allowed = tuple(roots) or ((Path.home(),) if is_local else ())
    own_names = {"localhost", *(each.lower() for each in names)}
    if not is_local:
        own_names |= {host.lower(), socket.gethostname().lower()}
    return ServerConfig(
        library=_whole_location(library or default_library_path()),
        model=model,
        roots=tuple(each.expanduser().resolve() for each in allowed),
        access=Access(token=secret, names=frozenset(own_names), any_address=not is_local),
        is_local=is_local,
        index_workers=max(1, default_workers() - 1),
    )


def _whole_location(location: str | Path) -> str | Path:
    """A location that is the same in every process: a folder's path from the root, or a URI."""
    return location if engine_of(location) is not None else Path(location).expanduser().absolute()


def with_libraries(config: ServerConfig, folders: Sequence[str | Path]) -> ServerConfig:
    """The same with several libraries, each at an address of its own.

    Raises:
        UsageError: One is no folder, or is named twice.
    """
    from dataclasses import replace

    from soundseek.cli.options import need_library_folder
    from soundseek.server.config import served_libraries

    for folder in folders:
        need_library_folder(folder, is_new=False)
    absolute = [_whole_location(folder) for folder in folders]
    if len(set(absolute)) < len(absolute):
        raise UsageError(
            f"--library is given twice for one folder; give each of {', '.join(map(shown_location, folders))} once"
        )
    return replace(config, library=absolute[0], served=served_libraries(absolute))


def read_token(path: Path) -> str:
    """The token in a file, which is made, for its owner alone, where it is not there.

    Raises:
        UsageError: It cannot be read, or is too short to be safe.
    """
    from soundseek.server.guard import new_token

    try:
        if not path.exists():
            made = new_token()
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(made + "\n")
            return made
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"--token {path} cannot be read ({reason}); name a file with one line") from error
    if len(secret) < 16 or not secret.isprintable() or not secret.isascii():
        raise UsageError(
            f"--token {path}: a token has at least 16 letters and digits; remove it to have one made"
        )
    return secret


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(512)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(
            f"{host}:{port} cannot be listened on ({reason}); is soundseek running already? Else choose another --port"
        ) from error
    return listening


def typable_addresses(host: str, port: int) -> list[str]:
    """Where a browser finds a server: first from this machine; for "all addresses" (0.0.0.0, ::) also from others.

    Example:
        >>> typable_addresses("192.168.0.7", 80), typable_addresses("::1", 80)
        (['http://192.168.0.7:80'], ['http://[::1]:80'])
    """
    plain = host.strip("[]")
    hosts = [plain]
    if plain in ("", "0.0.0.0", "::"):
        hosts = ["127.0.0.1", _own_address() or socket.gethostname()]
    shown = dict.fromkeys(f"[{each}]" if ":" in each else each for each in hosts)
    return [f"http://{each}:{port}" for each in shown]


def _own_address() -> str | None:
    """The address of this machine on the way to other networks, None without one; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # of the range that is kept for documentation
        except OSError:
            return None
        address: str = probe.getsockname()[0]
        return address


def _say(config: ServerConfig, addresses: list[str], token: Path | None) -> None:
    here, *elsewhere = addresses
    others = f", for other machines on {elsewhere[0]}" if elsewhere else ""
    folders = [each.path for each in config.served] or [config.library]
    named = ", ".join(printable(shown_location(folder)) for folder in folders)
    kind = "library" if len(folders) == 1 else "libraries"
    is_empty = is_still_empty(config.library)
    print(
        f"soundseek answers on {here}{others} ({kind} {named}); Ctrl-C ends it",
        file=sys.stderr,
    )
    if is_empty:
        print(
            "no library is there yet; to make it, add a folder on the page, or: "
            f"soundseek index FOLDER --library {printable(shlex.quote(str(config.library)))}",
            file=sys.stderr,
        )
    if config.access.token is not None:
        where = f"is in {printable(str(token))}" if token is not None else f"is {config.access.token}"
        print(f"the token that clients must bring {where}", file=sys.stderr)


def is_still_empty(location: str | Path) -> bool:
    """Whether a folder holds no library so far; what an engine holds is not asked for.

    Raises:
        LibraryError: Nobody may look into the folder.
    """
    from soundseek.library.library import holds_library

    return engine_of(location) is None and not holds_library(str(location))


def _open_soon(address: str) -> None:
    """Open the browser; the socket listens already, so the page comes as soon as the server runs."""
    import threading
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


def _run(config: ServerConfig, listening: socket.socket) -> None:
    import uvicorn

    from soundseek.server.app import create_app

    settings = uvicorn.Config(
        create_app(config),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
        timeout_keep_alive=30,
    )
    if hasattr(signal, "SIGHUP") and callable(signal.getsignal(signal.SIGHUP)):
        signal.signal(
            signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM)
        )  # which the server ends by itself
    uvicorn.Server(settings).run(sockets=[listening])
