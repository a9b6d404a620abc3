"""`/api/v1/taught`, and searches by what was taught."""

from __future__ import annotations

from pathlib import Path

import pytest
from server.conftest import Serve

from soundseek.library import Library


def test_a_sound_is_taught_and_searched_for(serve: Serve, copy_of: Path) -> None:
    client = serve(copy_of)
    assert client.get("taught").json() == {"taught": []}
    made = client.post("taught", json={"name": "my tones"})
    assert made.status_code == 201 and made.json()["name"] == "my tones"
    assert client.post("taught", json={"name": "my tones"}).status_code == 409
    at = f"taught/{made.json()['id']}"
    hits = client.post("search", json={"text": "a tone"}).json()["hits"]
    marks = [
        {"id": hits[-1]["id"], "is_right": True},
        {"id": hits[0]["id"], "start_s": 0.0, "end_s": 0.5, "is_right": False},
    ]
    assert client.post(f"{at}/marks", json={"marks": marks}).json()["right"] == 1
    contents = client.get(at).json()
    assert [(each["is_right"], each["item"]["id"], each["end_s"]) for each in contents["marks"]] == [
        (True, hits[-1]["id"], None),
        (False, hits[0]["id"], 0.5),
    ]
    asked = {"text": "a tone", "taught": "my tones"}
    answer = client.post("search", json=asked).json()
    with Library.open(copy_of, create=False) as library:
        expected = library.search("a tone", taught="my tones", k=20)
    assert [hit["path"] for hit in answer["hits"]] == [hit.path for hit in expected]
    assert [hit["score"] for hit in answer["hits"]] == pytest.approx(
        [hit.score for hit in expected], abs=1e-4
    )
    assert all(hit["match"] is None for hit in answer["hits"])
    alone = client.post("search", json={"taught": "my tones"}).json()
    assert alone["hits"][0]["id"] == hits[-1]["id"] and alone["query"]
    moments = client.get(f"moments/{hits[-1]['id']}", params={"query": answer["query"]})
    assert moments.status_code == 200
    untouched = client.post("search", json={**asked, "taught_weight": 0}).json()["hits"]
    assert [hit["path"] for hit in untouched] == [hit["path"] for hit in hits]


def test_names_and_marks_are_changed_and_removed(serve: Serve, copy_of: Path) -> None:
    client = serve(copy_of)
    at = f"taught/{client.post('taught', json={'name': 'a'}).json()['id']}"
    assert client("PATCH", at, json={"name": "b"}).json()["name"] == "b"
    id = client.id_of("tone1.wav")
    client.post(f"{at}/marks", json={"marks": [{"id": id, "is_right": False}]})
    only_wrong = client.post("search", json={"taught": "b"})
    assert only_wrong.status_code == 422 and "mark a sound that is right" in only_wrong.json()["detail"]
    (mark,) = client.get(at).json()["marks"]
    assert client("DELETE", f"{at}/marks/{mark['mark']}").status_code == 204
    assert client("DELETE", f"{at}/marks/{mark['mark']}").status_code == 404
    assert client("DELETE", at).status_code == 204
    gone = client.post("search", json={"text": "a tone", "taught": "b"})
    assert gone.status_code == 404 and "not taught 'b'" in gone.json()["detail"]
    for method, path, body in (
        ("GET", at, None),
        ("PATCH", at, {"name": "c"}),
        ("DELETE", at, None),
        ("POST", f"{at}/marks", {"marks": [{"id": id, "is_right": True}]}),
    ):
        assert client(method, path, json=body).status_code == 404
