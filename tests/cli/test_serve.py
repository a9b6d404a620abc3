"""`soundseek serve`: what it is started with, and a real start."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from soundseek.cli.serve import NEEDS, is_still_empty, read_token, server_config, typable_addresses
from soundseek.errors import UsageError
from soundseek.library.store.tables import DATABASE_FILE

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


def test_on_this_machine_no_token_is_needed_and_the_home_folder_may_be_indexed(filled: Path) -> None:
    config = server_config(filled, None, "127.0.0.1", None, [], [])
    assert config.access.token is None and config.is_local and config.roots == (Path.home().resolve(),)
    assert not config.access.knows_host("192.168.0.2")


def test_elsewhere_a_token_is_made_up_and_nothing_may_be_indexed(filled: Path, tmp_path: Path) -> None:
    config = server_config(filled, None, "0.0.0.0", None, [], ["NAS.local"])
    assert config.access.token and len(config.access.token) >= 32 and not config.is_local
    assert (
        config.roots == ()
        and config.access.knows_host("nas.local:80")
        and config.access.knows_host("10.0.0.1")
    )
    assert not config.access.knows_host("evil.example")
    other = server_config(filled, None, "0.0.0.0", None, [tmp_path], [])
    assert other.access.token != config.access.token and other.roots == (tmp_path.resolve(),)


def test_a_token_file_is_made_for_its_owner_alone_and_read_again(tmp_path: Path) -> None:
    made = read_token(tmp_path / "token")
    assert len(made) >= 32 and read_token(tmp_path / "token") == made
    if os.name == "posix":
        assert (tmp_path / "token").stat().st_mode & 0o077 == 0
    for content in (b"", b"short", b"\xff" * 40, "ü".encode() * 40, b"two words\nand lines of text"):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(UsageError, match="bad"):
            read_token(tmp_path / "bad")
    with pytest.raises(UsageError, match="cannot be read"):
        read_token(tmp_path)


def test_without_its_packages_it_says_what_to_install(
    soundseek: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib import util

    real = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name in NEEDS else real(name))
    for command in ("serve", "mcp"):
        run = soundseek(command)
        assert run.returncode == 2
        told = run.stderr.decode()
        assert (
            "not installed" in told
            and "pip install" in told
            and "[serve]" in told.replace("[mcp]", "[serve]")
        )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--port", "70000"], "ports end at 65535"),
        (["--port", "x"], "a whole number of ports"),
        (["--root", "/nowhere/at/all"], "--root"),
        (["--library", __file__], "a library is a folder"),
        (["--model", "none-such"], "none-such"),
        (["--host", "256.256.256.256"], "cannot be listened on"),
    ],
)
def test_what_makes_no_sense_is_refused_before_it_starts(
    soundseek: Run, options: list[str], told: str
) -> None:
    run = soundseek("serve", *options)
    assert run.returncode == 2 and told in " ".join(run.stderr.decode().split())


@pytest.mark.skipif(os.name != "posix", reason="SIGTERM")
def test_a_library_that_is_not_there_yet_is_told_and_the_page_comes(tmp_path: Path) -> None:
    library = tmp_path / "my library"
    command = [sys.executable, "-m", "soundseek", "serve", "--library", str(library), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = next(word for word in process.stderr.readline().split() if word.startswith("http://"))
        told = process.stderr.readline()
        assert "no library is there yet" in told and f"soundseek index FOLDER --library '{library}'" in told
        assert httpx.get(f"{address}/api/v1/health", timeout=30).json()["status"] == "no library"
        process.terminate()
    assert not library.exists()
    library.mkdir()
    assert is_still_empty(library) and not is_still_empty("postgresql://user@host/database")
    (library / DATABASE_FILE).touch()
    assert not is_still_empty(library)


def test_a_port_in_use_is_told(soundseek: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run = soundseek("serve", "--port", str(taken.getsockname()[1]))
    assert run.returncode == 2 and b"choose another --port" in run.stderr


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C as a signal")
def test_it_starts_answers_and_ends_with_ctrl_c(filled: Path, tmp_path: Path) -> None:
    second = shutil.copytree(filled, tmp_path / "second")
    command = [sys.executable, "-m", "soundseek", "serve", "--library", str(filled), "--library", str(second)]
    command += ["--port", "0"]
    token = tmp_path / "token"
    with subprocess.Popen([*command, "--token", str(token)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        told = process.stderr.readline()
        assert f"libraries {filled}, {second}" in told
        address = next(word for word in told.split() if word.startswith("http://"))
        assert str(token) in process.stderr.readline()
        headers = {"Authorization": f"Bearer {token.read_text().strip()}"}
        answer = httpx.post(
            f"{address}/api/v1/search", json={"text": "tone", "k": 1}, headers=headers, timeout=240
        )
        assert len(answer.json()["hits"]) == 1
        assert httpx.get(f"{address}/api/v1/items", timeout=240).status_code == 401
        process.send_signal(signal.SIGINT)
        assert process.wait(240) in (0, 130)
        assert "Traceback" not in process.stderr.read()


def test_the_address_that_is_told_can_be_typed() -> None:
    here, elsewhere = typable_addresses("0.0.0.0", 8765)
    assert here == "http://127.0.0.1:8765"
    assert "0.0.0.0" not in elsewhere and elsewhere.startswith("http://") and elsewhere.endswith(":8765")
    assert typable_addresses("::", 1)[0] == "http://127.0.0.1:1"
    assert typable_addresses("nas.local", 80) == ["http://nas.local:80"]
    assert typable_addresses("[::1]", 80) == typable_addresses("::1", 80) == ["http://[::1]:80"]
