"""Example sounds that are sent: what they find, and what becomes of those that are too large, slow, many or bad."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from soundseek.server import processes
from soundseek.server.problems import ProblemError
from soundseek.server.processes import Processes
from soundseek.server.uploads import KEPT_S, MAX_KEPT, Uploads


def test_an_uploaded_sound_finds_what_the_same_file_finds(client: Any, sounds: Path) -> None:
    content = (sounds / "tone2.wav").read_bytes()
    sent = client.post("uploads", params={"name": "my tone.wav"}, content=content)
    assert sent.status_code == 201
    about = sent.json()
    assert (about["name"], about["duration_s"], about["format"]) == ("my tone.wav", 2.0, "WAV")
    answer = client.post("search", json={"like": [{"upload": about["upload"]}], "k": 1}).json()
    assert answer["hits"][0]["name"] == "tone2.wav" and answer["hits"][0]["score"] == pytest.approx(
        1.0, abs=1e-3
    )
    assert answer["total"] == 7
    region = [{"upload": about["upload"], "start_s": 0.5, "end_s": 1.0}]
    assert client.post("search", json={"like": region, "k": 1}).json()["hits"][0]["name"] == "tone2.wav"
    assert client("DELETE", f"uploads/{about['upload']}").status_code == 204
    assert client("DELETE", f"uploads/{about['upload']}").status_code == 404
    assert client.post("search", json={"like": region}).status_code == 404


@pytest.mark.parametrize(
    ("content", "status", "told"),
    [
        (b"", 422, "no body"),
        (b"<html>no sound</html>", 415, "text, not sound"),
        (b"RIFF\x00\x00\x00\x00WAVE", 415, "my.wav"),
        (os.urandom(4096), 415, "my.wav"),
        (b"\0" * 4096, 415, "zero bytes"),
    ],
)
def test_what_is_no_sound_is_told_by_its_own_name(
    client: Any, content: bytes, status: int, told: str
) -> None:
    answer = client.post("uploads", params={"name": "my.wav"}, content=content)
    assert answer.status_code == status and told in answer.json()["detail"]


def test_too_many_bytes_are_refused_as_they_come(serve: Any, filled: Path) -> None:
    client = serve(filled, max_upload_bytes=10_000)

    async def endless() -> Any:
        while True:  # it would never end if all of it were read
            yield b"x" * 1000

    answer = client.post("uploads", content=endless())
    assert answer.status_code == 413 and "10,000 bytes" in answer.json()["detail"]


def test_too_many_seconds_are_refused(serve: Any, filled: Path, sounds: Path) -> None:
    client = serve(filled, max_upload_s=5)
    answer = client.post("uploads", content=(sounds / "long.wav").read_bytes())
    assert answer.status_code == 413 and "5 s" in answer.json()["detail"]


def test_nothing_of_an_upload_stays_on_the_disk(serve: Any, filled: Path, sounds: Path) -> None:
    client = serve(filled)
    temporary = client.app.app.app.state.soundseek.temporary
    client.post("uploads", content=(sounds / "tone2.wav").read_bytes())
    client.post("uploads", content=b"no sound")
    assert list(temporary.iterdir()) == []


def test_uploads_expire_an_hour_after_their_last_use_and_the_oldest_make_room() -> None:
    now = 0.0
    uploads = Uploads(clock=lambda: now)
    about = {"format": "WAV", "sample_rate_hz": 1, "channels": 1, "embedded": None, "fingerprint": "x"}
    first = uploads.put("a", **about)  # type: ignore[arg-type]
    now = KEPT_S - 1
    assert uploads.get(first.id).expires_at == now + KEPT_S
    now += KEPT_S + 1
    with pytest.raises(ProblemError, match="send the sound again"):
        uploads.get(first.id)
    ids = [uploads.put(str(number), **about).id for number in range(MAX_KEPT + 1)]  # type: ignore[arg-type]
    with pytest.raises(ProblemError):
        uploads.get(ids[0])
    assert uploads.get(ids[-1]).name == str(MAX_KEPT)


# --- Processes that can be killed ---------------------------------------------------------------------------------


def _double(number: int) -> int:
    return 2 * number


def _sleep(flag: str) -> None:
    Path(flag).touch()
    time.sleep(600)


def _crash() -> None:
    os._exit(11)


def _fill_memory() -> int:
    return len(np.ones(1 << 29, np.float64))  # 4 GB


def _bug() -> None:
    raise KeyError("oops")


def test_a_crash_or_a_slow_call_costs_one_process_and_the_next_call_has_another() -> None:
    async def calls() -> None:
        pool = Processes("tests", num=1, num_waiting=0, timeout_s=240)
        try:
            assert await pool.run(_double, 4) == 8
            with pytest.raises(ProblemError, match="died") as died:
                await pool.run(_crash)
            assert died.value.kind == "no-sound"
            assert await pool.run(_double, 5) == 10
            with pytest.raises(RuntimeError, match="KeyError"):
                await pool.run(_bug)
            pool.timeout_s = 0.2
            with pytest.raises(ProblemError, match=r"not done after 0\.2 s"):
                await pool.run(time.sleep, 600)
        finally:
            pool.close()

    asyncio.run(calls())


def test_a_call_whose_caller_has_gone_is_not_begun_and_counts_until_its_place_is_free(tmp_path: Path) -> None:
    async def calls() -> None:
        pool = Processes("tests", num=1, num_waiting=1, timeout_s=240)
        try:
            running = asyncio.create_task(pool.run(_sleep, str(tmp_path / "first")))
            while not (tmp_path / "first").exists():
                await asyncio.sleep(0.01)
            waiting = asyncio.create_task(pool.run(_sleep, str(tmp_path / "second")))
            await asyncio.sleep(0)
            assert pool.pending == 2
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            assert pool.pending == 1
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            assert pool.pending == 1, "its process works on"
            pool._all[0].kill()
            assert await pool.run(_double, 4) == 8
            assert pool.pending == 0 and not (tmp_path / "second").exists()
        finally:
            pool.close()

    asyncio.run(calls())


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA is Linux's")
def test_a_file_that_takes_too_much_memory_does_not_take_the_machine() -> None:
    async def call() -> None:
        pool = Processes("tests", num=1, num_waiting=0, timeout_s=240)
        try:
            with pytest.raises(ProblemError, match="more memory"):
                await pool.run(_fill_memory)
        finally:
            pool.close()

    asyncio.run(call())


def test_a_slow_decode_delays_no_search_and_too_many_are_refused(
    serve: Any, filled: Path, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(filled, num_waiting_uploads=0)
    state = client.app.app.app.state.soundseek
    flag = tmp_path / "decoding"

    async def meanwhile(http: httpx.AsyncClient) -> None:
        slow = asyncio.create_task(state.upload_processes.run(_sleep, str(flag)))
        while not flag.exists():  # until the process is up and at it
            await asyncio.sleep(0.01)
        answer = await http.post("/api/v1/search", json={"text": "tone"})
        assert answer.status_code == 200 and not slow.done()
        refused = await http.post("/api/v1/uploads", content=(sounds / "tone2.wav").read_bytes())
        assert refused.status_code == 429 and refused.headers["retry-after"] == str(processes.RETRY_AFTER_S)
        state.upload_processes._all[0].kill()
        with pytest.raises(ProblemError):
            await slow
        again = await http.post("/api/v1/uploads", content=(sounds / "tone2.wav").read_bytes())
        assert again.status_code == 201

    client.run(meanwhile)
