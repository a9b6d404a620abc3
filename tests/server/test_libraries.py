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


def test_several_libraries_are_one_list(serve: Any, copy_of: Path, birds: Path, sounds: Path) -> None:
    client = serve(copy_of, served=served_libraries([copy_of, birds]))
    both = ["/", "/libraries/birds/"]
    one = {"text": "a tone", "k": 20, "keywords": "off"}
    alone = {address: client.post(f"{address}api/v1/search", json=one).json() for address in both}
    asked = {**one, "libraries": both}
    answer = client.post("search", json=asked).json()
    assert answer == {
        **client.post("/libraries/birds/api/v1/search", json=asked).json(),
        "elapsed_ms": answer["elapsed_ms"],
    }
    ranked = []
    for path in (copy_of, birds):
        with Library.open(path, create=False) as library:
            ranked += library.search("a tone", k=20, keywords="off")
    expected = [hit.path for hit in sorted(ranked, key=lambda hit: -hit.rank_score)]
    assert [hit["path"] for hit in answer["hits"]] == expected and answer["total"] == 8
    scores = {hit["path"]: hit["score"] for each in alone.values() for hit in each["hits"]}
    assert {hit["path"]: hit["score"] for hit in answer["hits"]} == scores
    homes = {hit["name"]: hit["library"] for hit in answer["hits"]}
    assert homes["blackbird.wav"] == "/libraries/birds/" and homes["long.wav"] == "/"
    for hit in answer["hits"]:
        assert client.get(f"{hit['library']}api/v1/audio/{hit['id']}").status_code == 200
    pages = [client.post("search", json={**asked, "k": 3, "offset": offset}).json() for offset in (0, 3, 6)]
    assert [hit["id"] for page in pages for hit in page["hits"]] == [hit["id"] for hit in answer["hits"]]
    assert [page["next_offset"] for page in pages] == [3, 6, None]
    (bird,) = [hit for hit in answer["hits"] if hit["name"] == "blackbird.wav"]
    like = client.post("search", json={"like": [{"id": bird["id"]}], "libraries": both}).json()["hits"]
    assert len(like) == 7 and bird["id"] not in [hit["id"] for hit in like]
    listed = client.post("search", json={"where": "duration < 9", "libraries": both}).json()["hits"]
    assert [hit["path"] for hit in listed] == sorted(hit["path"] for hit in listed) and len(listed) == 7


def test_a_file_that_two_libraries_hold_is_a_hit_once(
    serve: Any, copy_of: Path, sounds: Path, tmp_path: Path, model_directory: Path
) -> None:
    copy = tmp_path / "copy.wav"
    copy.write_bytes((sounds / "tone1.wav").read_bytes())
    with Library.create(tmp_path / "More", model=load_model(model_directory)) as library:
        library.index(sounds / "tone2.wav", copy)
    client = serve(copy_of, served=served_libraries([copy_of, tmp_path / "More"]))
    asked = {"text": "a tone", "libraries": ["/", "/libraries/more/"]}
    hits = client.post("search", json=asked).json()["hits"]
    assert sorted(hit["name"] for hit in hits if "tone2" in hit["name"]) == ["tone2.wav"] and len(hits) == 7
    (first,) = [hit for hit in hits if hit["path"].endswith(("tone1.wav", "copy.wav"))]
    assert len(first["also_at"]) == 1
    assert len(client.post("search", json={**asked, "duplicates": "show"}).json()["hits"]) == 8


def test_libraries_of_other_models_and_unknown_ones_are_refused(
    serve: Any, copy_of: Path, birds: Path, tmp_path: Path
) -> None:
    from toy_model import make_toy_model

    other = load_model(make_toy_model(tmp_path / "other", seed=7, name="other"))
    with Library.create(tmp_path / "Other", model=other) as library:
        library.index(tmp_path / "blackbird.wav")
    client = serve(copy_of, served=served_libraries([copy_of, birds, tmp_path / "Other"]))
    refused = client.post("search", json={"text": "a", "libraries": ["/", "/libraries/other/"]})
    assert refused.status_code == 422 and "different models" in refused.json()["detail"]
    unknown = client.post("search", json={"text": "a", "libraries": ["/libraries/fish/"]})
    assert unknown.status_code == 404 and "/libraries/birds/" in unknown.json()["detail"]
