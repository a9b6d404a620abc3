"""The tools for assistants, asked with the mcp package's own client: within the process, over stdio, over HTTP."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from soundseek.library import Library
from soundseek.server.app import create_app
from soundseek.server.config import ServerConfig
from soundseek.server.guard import Access
from soundseek.server.mcp_tools import build_mcp, closing_state
from soundseek.server.state import State

TOKEN = "a-token-of-some-length"
Ask = Callable[[Client], Awaitable[Any]]


def ask(library: Path, question: Ask, **settings: Any) -> Any:
    async def run() -> Any:
        state = State(ServerConfig(library=library, **settings))
        async with closing_state(state), Client(build_mcp(state)) as client:
            return await question(client)

    return asyncio.run(run())


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return str(result.content[0].text)  # type: ignore[union-attr]


def test_every_tool_and_parameter_says_what_it_is_for(filled: Path) -> None:
    async def question(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"search", "similar", "describe", "label", "duplicates", "export"}
        for tool in tools.values():
            assert tool.description and tool.output_schema
            for name, schema in tool.input_schema["properties"].items():
                assert schema.get("description"), f"{tool.name}: {name}"
        assert "describing them in words" in (client.instructions or "")

    ask(filled, question)


def test_a_search_gives_what_the_library_gives(filled: Path) -> None:
    async def question(client: Client) -> dict[str, Any]:
        return await call(
            client, "search", text="a low tone", negatives=["music"], k=3, where="duration < 10"
        )

    answer = ask(filled, question)
    with Library.open(filled, create=False) as library:
        hits = library.search("a low tone", without=["music"], k=3, where="duration < 10")
    assert [(hit["path"], hit["moment_s"]) for hit in answer["hits"]] == [
        (hit.path, hit.moment_s) for hit in hits
    ]
    assert answer["total"] == 6 and all("moments" not in hit for hit in answer["hits"])


def test_what_the_user_has_taught_turns_a_search(copy_of: Path, sounds: Path) -> None:
    with Library.open(copy_of, create=False) as library:
        library.mark("mine", right=[sounds / "tone4.wav"], wrong=[sounds / "long.wav"])
        expected = [hit.path for hit in library.search("a tone", taught="mine", k=5)]

    async def question(client: Client) -> None:
        hits = (await call(client, "search", text="a tone", taught="mine", k=5))["hits"]
        assert [hit["path"] for hit in hits] == expected
        assert "not taught 'yours', but 'mine'" in await refused(client, "search", text="a", taught="yours")

    ask(copy_of, question)


def test_a_label_is_chosen_from_a_list_or_from_ones_own_words(filled: Path, sounds: Path) -> None:
    async def question(client: Client) -> None:
        path = str(sounds / "long.wav")
        own = await call(client, "label", sound=path, labels=["a low tone", "rain"], k=1)
        assert own["path"] == path and own["labels"][0]["label"] in ("a low tone", "rain")
        ucs = await call(client, "label", sound=path, labels=["ucs"], start_s=12, k=3)
        assert (ucs["start_s"], ucs["end_s"], len(ucs["labels"])) == (12, 22, 3)
        assert all(label["cat_id"] for label in ucs["labels"])
        assert "behind the end" in await refused(client, "label", sound=path, labels=["rain"], start_s=40)

    ask(filled, question)


def test_similar_describe_and_lists_take_an_id_or_a_path(filled: Path, sounds: Path) -> None:
    async def question(client: Client) -> None:
        path = str(sounds / "long.wav")
        about = await call(client, "describe", sound=path)
        assert (about["name"], about["duration_s"]) == ("long.wav", 22.0)
        assert await call(client, "describe", sound=about["id"]) == about
        by_path = await call(client, "similar", sound=path, start_s=0, end_s=5, k=2)
        assert by_path == await call(client, "similar", sound=about["id"], start_s=0, end_s=5, k=2)
        regions = [{"id": about["id"], "start_s": 1.0, "end_s": 2.0, "score": 0.5}]
        labels = await call(client, "export", sounds=regions, format="audacity", label_text="a hum")
        assert labels["text"] == "1.000000\t2.000000\ta hum 0.50\n"
        assert path in (await call(client, "export", sounds=regions))["text"]

    ask(filled, question)


def test_copies_go_only_where_they_are_allowed(filled: Path, tmp_path: Path) -> None:
    out = tmp_path.resolve() / "out"
    out.mkdir()

    async def question(client: Client) -> None:
        hit = (await call(client, "search", text="tone", k=1))["hits"][0]
        cut = {
            "sounds": [{"id": hit["id"], "start_s": 0.5, "end_s": 1.0, "score": 0.5}],
            "format": "folder",
            "cut": {},
        }
        written = await call(client, "export", folder=str(out), **cut)
        assert [Path(each["path"]).parent for each in written["files"]] == [out]
        assert Path(written["files"][0]["path"]).is_file()
        assert "--root" in await refused(client, "export", folder=str(out.parent), **cut)
        assert "where to write" in await refused(client, "export", **cut)

    ask(filled, question, roots=(out,))


def test_what_cannot_be_done_is_told_to_the_assistant(filled: Path, tmp_path: Path) -> None:
    async def question(client: Client) -> None:
        assert "did you mean 'duration'" in await refused(client, "search", text="x", where="duratoin < 3")
        assert "nothing to look for" in await refused(client, "search", text="  ")
        assert "search for it" in await refused(client, "describe", sound="/etc/passwd")
        assert "take one from a hit" in await refused(client, "describe", sound="long.wav")

    ask(filled, question)

    async def without_library(client: Client) -> str:
        return await refused(client, "search", text="x")

    assert "not there yet" in ask(tmp_path / "none", without_library)


@pytest.mark.skipif(os.name != "posix", reason="names of any bytes")
def test_a_name_that_is_no_utf8_is_told_as_escapes(tmp_path: Path, model_directory: Path) -> None:
    from tones import write_tone

    from soundseek.model.registry import load_model

    (tmp_path / "sounds").mkdir()
    write_tone(tmp_path / "sounds" / os.fsdecode(b"r\xe4in.wav"), frequency_hz=440)
    with Library.open(tmp_path / "library", model=load_model(model_directory), create=True) as library:
        library.index(tmp_path / "sounds")

    async def question(client: Client) -> None:
        (hit,) = (await call(client, "search", text="rain"))["hits"]
        assert hit["path"].endswith(r"r\udce4in.wav")
        assert (await call(client, "describe", sound=hit["id"]))["name"] == r"r\udce4in.wav"

    ask(tmp_path / "library", question)


def test_the_command_answers_over_stdio(filled: Path) -> None:
    async def run() -> list[str]:
        command = [sys.executable, "-m", "soundseek", "mcp", "--library", str(filled)]
        server = StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ))
        async with Client(server) as client:
            return [hit["path"] for hit in (await call(client, "search", text="tone", k=2))["hits"]]

    with Library.open(filled, create=False) as library:
        assert asyncio.run(run()) == [hit.path for hit in library.search("tone", k=2)]


@asynccontextmanager
async def listening(config: ServerConfig) -> Any:
    """A server on a free port of this machine; its address."""
    server = uvicorn.Server(uvicorn.Config(create_app(config), port=0, log_level="error"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await task


def test_the_server_answers_over_http_behind_its_token(filled: Path) -> None:
    async def run() -> None:
        async with listening(ServerConfig(library=filled, access=Access(token=TOKEN))) as address:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            async with (
                httpx2.AsyncClient(headers=headers) as http,
                Client(streamable_http_client(f"{address}/mcp", http_client=http)) as client,
            ):
                assert len((await call(client, "search", text="tone", k=2))["hits"]) == 2
            async with httpx2.AsyncClient() as http:
                assert (await http.post(f"{address}/mcp", json={})).status_code == 401
                foreign = {**headers, "Origin": "http://evil.example"}
                assert (await http.post(f"{address}/mcp", json={}, headers=foreign)).status_code == 403

    asyncio.run(run())
