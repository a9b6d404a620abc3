"""Indexing over HTTP, and a library that changes, moves or goes under the running server."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
from tones import write_tone
from toy_model import make_toy_model

from soundseek.library import Library
from soundseek.model.registry import load_model


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An allowed root with two folders of sounds and one hidden folder."""
    root = tmp_path.resolve() / "root"
    for folder in ("a", "b", ".hidden"):
        (root / folder).mkdir(parents=True)
    write_tone(root / "a" / "one.wav", frequency_hz=440)
    write_tone(root / "b" / "two.wav", frequency_hz=880)
    (root / "b" / "bad.wav").write_bytes(b"no sound at all")
    return root


async def ended(http: httpx.AsyncClient, job: str) -> dict[str, Any]:
    """The last event of a job."""
    answer = await http.get(f"/api/v1/jobs/{job}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [part.split("\n") for part in answer.text.split("\n\n") if part.startswith("event: job")]
    assert all(lines[0] == "event: job" and lines[1].startswith("data: ") for lines in events)
    return json.loads(events[-1][1].removeprefix("data: "))  # type: ignore[no-any-return]


def test_folders_are_listed_below_the_roots_alone(
    serve: Any, filled: Path, root: Path, tmp_path: Path
) -> None:
    client = serve(filled, roots=(root,))
    assert [each["path"] for each in client.get("folders").json()["folders"]] == [str(root)]
    inside = client.get("folders", params={"path": str(root)}).json()
    assert [each["name"] for each in inside["folders"]] == ["a", "b"] and inside["parent"] is None
    assert client.get("folders", params={"path": str(root / "a")}).json()["parent"] == str(root)
    (root / "out").symlink_to(tmp_path)
    for path, status in [
        (str(tmp_path), 403),
        (f"{root}/..", 403),
        (f"{root}/out", 403),
        (f"{root}x", 403),
        ("/", 403),
        (f"{root}/nothing", 404),
        (f"{root}/a/one.wav", 404),
        ("a", 422),
        ("a\0b", 422),
    ]:
        assert client.get("folders", params={"path": path}).status_code == status, path
        assert client.post("jobs", json={"folders": [path]}).status_code == status, path


def test_a_run_fills_a_library_that_was_not_there(
    serve: Any, root: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("SOUNDSEEK_MODEL", str(make_toy_model(tmp_path / "toy")))
    client = serve(tmp_path / "new" / "library", roots=(root,))
    nothing = client.post("search", json={"text": "tone"})
    assert nothing.status_code == 409 and nothing.json()["type"] == "/problems/no-library"
    assert client.get("health").json()["status"] == "no library"
    assert client.get("capabilities").json()["index"] is True
    assert client.post("jobs", json={}).status_code == 409
    started = client.post("jobs", json={"folders": [str(root / "a"), str(root / "b")]})
    assert started.status_code == 202
    job = client.run(lambda http: ended(http, started.json()["id"]))
    assert (job["state"], job["report"]["added"], job["report"]["failed"]) == ("done", 2, 1)
    assert job["progress"]["files_done"] == job["progress"]["files_total"] == 3
    assert set(client.items()) == {"one.wav", "two.wav"}
    (failure,) = client.get("failures").json()["failures"]
    assert failure["path"].endswith("bad.wav") and failure["reason"]
    assert client.get("jobs").json()["jobs"] == [job] and client.get("health").json()["status"] == "ok"
    assert client.post("search", json={"text": "tone"}).json()["total"] == 2


def test_a_run_stops_and_goes_on_and_there_is_one_at_a_time(serve: Any, copy_of: Path, root: Path) -> None:
    client = serve(copy_of, roots=(root,))
    with Library.open(copy_of, create=False) as library:
        before = library.info().files

    async def stop_at_once(http: httpx.AsyncClient) -> tuple[dict[str, Any], dict[str, Any]]:
        first = (await http.post("/api/v1/jobs", json={"folders": [str(root / "a")]})).json()
        second = await http.post("/api/v1/jobs", json={"folders": [str(root / "b")]})
        assert second.status_code == 409 and f"job {first['id']} is under way" in second.json()["detail"]
        assert (await http.post(f"/api/v1/jobs/{first['id']}/resume")).status_code == 409
        stopping = (await http.post(f"/api/v1/jobs/{first['id']}/stop")).json()
        assert stopping["state"] == "stopping"
        stopped = await ended(http, first["id"])
        assert (await http.post(f"/api/v1/jobs/{first['id']}/stop")).json() == stopped
        resumed = await http.post(f"/api/v1/jobs/{first['id']}/resume")
        assert resumed.json()["state"] == "running" and resumed.json()["report"] is None
        return stopped, await ended(http, first["id"])

    stopped, done = client.run(stop_at_once)
    assert stopped["state"] == "stopped" and stopped["error"] is None
    assert done["state"] == "done" and done["report"]["added"] + done["report"]["unchanged"] == 1
    assert client.get("items").json()["total"] == before + 1


def test_a_run_that_cannot_go_on_says_why(serve: Any, copy_of: Path, root: Path) -> None:
    client = serve(copy_of, roots=(root,))
    with Library.open(copy_of, create=False) as library, library.store.writing():
        started = client.post("jobs", json={"folders": [str(root / "a")]}).json()
        job = client.run(lambda http: ended(http, started["id"]))
    assert job["state"] == "failed" and "wait until it is done" in job["error"]
    assert client.get("jobs/99").status_code == 404
    assert serve(copy_of).post("jobs", json={"folders": [str(root)]}).status_code == 403


def test_a_run_that_cannot_be_followed_refuses_no_later_one(
    serve: Any, copy_of: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(copy_of, roots=(root,))

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a line that nobody understands")

    with monkeypatch.context() as patched:
        patched.setattr("soundseek.server.jobs.JobReport", broken)
        patched.setattr(broken, "model_fields", {}, raising=False)
        started = client.post("jobs", json={"folders": [str(root / "a")]}).json()
        job = client.run(lambda http: ended(http, started["id"]))
    assert job["state"] == "failed" and "a line that nobody understands" in job["error"]
    assert client.post("jobs", json={"folders": [str(root / "a")]}).status_code == 202


def test_what_a_run_tells_the_server_has_no_list_of_paths(copy_of: Path, root: Path) -> None:
    from soundseek.server.index_process import index_folders

    request = {"library": str(copy_of), "model": None, "folders": [str(root / "a")], "workers": 0}
    report = index_folders({**request, "max_duration_s": 0.5}, lambda kind, value: None)
    assert report["added"] == 1 and not report["interrupted"]
    assert all(isinstance(value, int | float) for value in report.values())


def test_the_server_ends_the_run_that_it_began(copy_of: Path, root: Path) -> None:
    from soundseek.server.jobs import Jobs

    async def begin_and_close() -> int | None:
        jobs = Jobs(copy_of, None, 1, lambda: 0.0)
        job = await jobs.start([str(root)], 3600.0)
        process = jobs._runs[job.id].process
        await jobs.close()
        assert process is not None
        return process.exit_code

    assert asyncio.run(begin_and_close()) is not None


# --- The library under the running server -------------------------------------------------------------------------


def test_what_another_process_indexes_is_found_at_once(serve: Any, copy_of: Path, root: Path) -> None:
    client = serve(copy_of)
    before = client.get("library").json()
    with Library.open(copy_of, create=False) as library:
        library.index(root / "a")
    after = client.get("library").json()
    assert after["files"] == before["files"] + 1 and after["version"] > before["version"]
    assert "one.wav" in client.items()


def test_a_library_that_goes_and_comes_back_is_told_of_and_found_again(serve: Any, copy_of: Path) -> None:
    client = serve(copy_of)
    id = client.id_of("tone1.wav")
    away = copy_of.rename(copy_of.with_name("away"))
    for answer in (
        client.post("search", json={"text": "tone"}),
        client.get(f"items/{id}"),
        client.get(f"audio/{id}"),
        client.get(f"peaks/{id}"),
        client.get("collections"),
        client.post("collections", json={"name": "x"}),
    ):
        assert answer.status_code == 409 and "moved or removed; put it back" in answer.json()["detail"]
    assert not copy_of.exists()  # nothing made a folder in its place
    away.rename(copy_of)
    assert client.post("search", json={"text": "tone"}).json()["total"] == 7


def test_another_library_in_its_place_is_opened_whatever_model_filled_it(
    serve: Any, copy_of: Path, root: Path, tmp_path: Path
) -> None:
    client = serve(copy_of)
    query = client.post("search", json={"text": "tone"}).json()["query"]
    other = load_model(make_toy_model(tmp_path / "other", seed=7, name="other"))
    with Library.create(tmp_path / "next", model=other) as library:
        library.index(root / "a")
    shutil.rmtree(copy_of)
    (tmp_path / "next").rename(copy_of)
    answer = client.post("search", json={"text": "tone"}).json()
    assert [hit["name"] for hit in answer["hits"]] == ["one.wav"]
    assert client.get("library").json()["model"] == "other"
    assert client.get(f"moments/{answer['hits'][0]['id']}", params={"query": query}).status_code == 410


def test_a_library_that_is_damaged_is_told_of(serve: Any, copy_of: Path) -> None:
    client = serve(copy_of)
    (copy_of / "damaged").write_bytes(b"no database" * 1000)
    (copy_of / "damaged").replace(copy_of / "library.sqlite")  # at no moment is there none
    answer = client.post("search", json={"text": "tone"})
    assert answer.status_code == 503 and "damaged" in answer.json()["detail"]
