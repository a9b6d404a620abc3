"""`/api/v1/duplicates`: the search, its events, what is kept, and what changes under it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import soundfile
from mcp import Client as McpClient

from soundseek.library import Library
from soundseek.library.duplicates import find_duplicates
from soundseek.server import mcp_tools
from soundseek.server.config import ServerConfig
from soundseek.server.mcp_tools import build_mcp, closing_state
from soundseek.server.state import State


@pytest.fixture
def with_copies(copy_of: Path, sounds: Path, tmp_path: Path) -> Path:
    """The library, and in it a quieter copy of a tone and a part of another one."""
    more = tmp_path.resolve() / "more"
    more.mkdir()
    for name, source, first, last in (("quiet.flac", "tone2.wav", 0, None), ("part.wav", "long.wav", 20, 60)):
        samples, rate_hz = soundfile.read(sounds / source)
        part = samples[first * rate_hz // 10 : None if last is None else last * rate_hz // 10]
        soundfile.write(more / name, 0.4 * part, rate_hz)
    with Library.open(copy_of, create=False) as library:
        library.index(more)
    return copy_of


async def ended(http: httpx.AsyncClient) -> list[dict[str, Any]]:
    """The events of a search up to its end."""
    answer = await http.get("/api/v1/duplicates/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [part.split("\n") for part in answer.text.split("\n\n") if part.startswith("event: duplicates")]
    return [json.loads(lines[1].removeprefix("data: ")) for lines in events]


def test_groups_are_those_of_the_library_with_items_to_play(serve: Any, with_copies: Path) -> None:
    client = serve(with_copies)
    nothing = client.get("duplicates").json()
    assert (nothing["state"], nothing["groups"], nothing["total"]) == ("none", [], 0)
    started = client.post("duplicates", json={"min_score": 0.5})
    assert started.status_code == 202 and started.json()["state"] == "running"
    *_, last = client.run(ended)
    assert (last["state"], last["min_score"], last["progress"], last["is_stale"]) == (
        "ready",
        0.5,
        None,
        False,
    )
    with Library.open(with_copies, create=False) as library:
        expected = find_duplicates(library.store, min_score=0.5)
    found = client.get("duplicates").json()
    assert found["total"] == len(expected) > 0
    assert found["more_files"] == sum(len(group.files) - 1 for group in expected)
    assert [
        [(each["path"], each["kind"], each["of"], each["score"]) for each in group["files"]]
        for group in found["groups"]
    ] == [[(each.path, each.kind, each.of, each.score) for each in group.files] for group in expected]
    items = [each["item"] for group in found["groups"] for each in group["files"]]
    assert client.get(f"audio/{items[0]['id']}").status_code == 200
    page = client.get("duplicates", params={"k": 1, "offset": 1}).json()
    assert page["groups"] == found["groups"][1:2]
    assert page["next_offset"] == (2 if len(expected) > 2 else None)


def test_what_was_found_outlives_the_server_and_says_when_the_library_has_changed(
    serve: Any, with_copies: Path, tmp_path: Path
) -> None:
    first = serve(with_copies)
    first.post("duplicates", json={})
    first.run(ended)
    before = first.get("duplicates").json()
    again = serve(with_copies)
    assert again.get("duplicates").json() == before
    gone = before["groups"][0]["files"][-1]["path"]
    with Library.open(with_copies, create=False) as library:
        library.forget(gone)
    after = again.get("duplicates").json()
    assert after["is_stale"]
    files = {each["path"]: each["item"] for group in after["groups"] for each in group["files"]}
    assert files[gone] is None and sum(item is None for item in files.values()) == 1


def test_one_search_at_a_time_which_can_be_stopped(serve: Any, with_copies: Path) -> None:
    client = serve(with_copies)

    async def start_and_stop(http: httpx.AsyncClient) -> list[int]:
        codes = [(await http.post("/api/v1/duplicates", json={})).status_code for _ in range(2)]
        await http.post("/api/v1/duplicates/stop")
        return codes

    assert client.run(start_and_stop) == [202, 409]
    *_, last = client.run(ended)
    assert last["state"] == "stopped" and last["error"] is None
    assert client.get("duplicates").json()["groups"] == []
    assert client.post("duplicates/stop").json()["state"] == "stopped"


def test_a_search_that_cannot_keep_what_it_found_says_why(serve: Any, with_copies: Path) -> None:
    client = serve(with_copies)
    (with_copies / "cache").write_bytes(b"no folder")
    client.post("duplicates", json={})
    *_, last = client.run(ended)
    assert last["state"] == "failed" and "cache cannot be written to" in last["error"]


@pytest.mark.parametrize("score", [0.0, 1.5, "much"])
def test_a_score_that_is_none_is_refused(serve: Any, filled: Path, score: object) -> None:
    assert serve(filled).post("duplicates", json={"min_score": score}).status_code == 422


def test_an_assistant_waits_for_the_groups(with_copies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_tools, "PATIENCE_S", 240.0)  # the search lets all others go first

    async def run() -> dict[str, Any]:
        state = State(ServerConfig(library=with_copies))
        async with closing_state(state), McpClient(build_mcp(state)) as client:
            answers = [await client.call_tool("duplicates", {"k": 5}) for _ in range(2)]
            assert answers[0].structured_content == answers[1].structured_content
            return dict(answers[0].structured_content or {})

    answer = asyncio.run(run())
    names = [{Path(each["path"]).name for each in group["files"]} for group in answer["groups"]]
    assert answer["state"] == "ready" and {"quiet.flac", "tone2.wav"} in names
