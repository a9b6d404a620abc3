"""A server with several libraries: each has a page and an API of its own, and says which others there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tones import write_tone

from soundseek.errors import UsageError
from soundseek.library import Library
from soundseek.model.registry import load_model
from soundseek.server.config import ServerConfig, served_libraries


@pytest.fixture
def birds(tmp_path: Path, model_directory: Path) -> Path:
    write_tone(tmp_path / "blackbird.wav", frequency_hz=900.0)
    with Library.create(tmp_path / "Birds", model=load_model(model_directory)) as library:
        library.index(tmp_path / "blackbird.wav")
    return tmp_path / "Birds"


def test_each_library_answers_at_its_address(serve: Any, copy_of: Path, birds: Path) -> None:
    client = serve(copy_of, served=served_libraries([copy_of, birds]))
    answers = {}
    for address in ("/", "/libraries/birds/"):
        hits = client.post(f"{address}api/v1/search", json={"text": "a tone"}).json()["hits"]
        answers[address] = {hit["name"] for hit in hits}
        assert "soundseek" in client.get(address).text
        can = client.get(f"{address}api/v1/capabilities").json()
        assert [(each["name"], each["address"], each["is_this"]) for each in can["libraries"]] == [
            ("library", "/", address == "/"),
            ("Birds", "/libraries/birds/", address != "/"),
        ]
        assert client.get(f"{address}page/js/main.js").status_code == 200
    assert answers["/libraries/birds/"] == {"blackbird.wav"} and len(answers["/"]) == 7
    (blackbird,) = client.get("/libraries/birds/api/v1/items").json()["items"]
    assert client.get(f"/libraries/birds/api/v1/audio/{blackbird['id']}").status_code == 200
    assert client.get(f"audio/{blackbird['id']}").status_code == 404
    assert client.get("/libraries/none/api/v1/items").status_code == 404


def test_the_guard_stands_before_all_of_them(serve: Any, copy_of: Path, birds: Path) -> None:
    served = served_libraries([copy_of, birds])
    client = serve(copy_of, token="a token of sixteen", served=served)
    for path in ("/api/v1/items", "/libraries/birds/api/v1/items"):
        refused = client.get(path)
        assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")
        allowed = client.get(path, headers={"Authorization": "Bearer a token of sixteen"})
        assert allowed.status_code == 200
    big = b"x" * (ServerConfig(copy_of).access.max_body_bytes + 1)
    headers = {"Authorization": "Bearer a token of sixteen", "Content-Type": "application/json"}
    assert client.post("/libraries/birds/api/v1/search", content=big, headers=headers).status_code == 413


def test_libraries_of_the_command_line_are_folders_named_once(copy_of: Path, birds: Path) -> None:
    from soundseek.cli.serve import server_config, with_libraries

    config = server_config(copy_of, None, "127.0.0.1", None, [], [])
    assert [each.path for each in with_libraries(config, [copy_of, birds]).served] == [copy_of, birds]
    with pytest.raises(UsageError, match="given twice"):
        with_libraries(config, [copy_of, copy_of])
    with pytest.raises(UsageError, match="no such folder"):
        with_libraries(config, [copy_of, birds / "none"])
