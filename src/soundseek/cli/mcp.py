"""`soundseek mcp`: the library as tools for an AI assistant, over stdin and stdout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from soundseek.cli.options import LibraryOption, ModelOption, option

NEEDS = ("mcp", "fastapi", "prometheus_client")


def mcp_command(
    library: LibraryOption = None,
    model: ModelOption = None,
    root: Annotated[
        list[Path] | None,
        option(
            "--root",
            metavar="DIR",
            help="A folder that the assistant may copy sounds into; repeatable. Default: none.",
        ),
    ] = None,
) -> None:
    """Let an AI assistant search the library: it starts this command and talks to it over stdin and stdout.

    Tools: search, similar, describe, label, export. Over HTTP, `soundseek serve` has the same tools at /mcp.
    """
    from soundseek.cli.extras import need

    need(NEEDS, extra="mcp", why="tools for assistants belong to an extra")
    import asyncio
    from dataclasses import replace

    from soundseek.cli.serve import server_config
    from soundseek.server.mcp_tools import run_on_stdio
    from soundseek.server.state import State

    config = server_config(library, model, "127.0.0.1", None, root or [], [])
    # Without --root, an assistant may write nowhere: the home folder is a default for people.
    asyncio.run(run_on_stdio(State(replace(config, roots=config.roots if root else ()))))
