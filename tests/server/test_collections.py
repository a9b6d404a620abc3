"""Collections over HTTP; what they keep is tested in tests/library/test_collections.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def test_a_collection_lives_from_its_making_to_its_removal(serve: Any, copy_of: Path) -> None:
    client = serve(copy_of)
    made = client.post("collections", json={"name": "doors"})
    assert made.status_code == 201
    id, item = made.json()["id"], client.id_of("tone1.wav")
    assert client.post("collections", json={"name": "doors"}).status_code == 409
    added = client.post(
        f"collections/{id}/items",
        json={"items": [{"id": item, "start_s": 0.5, "end_s": 1.0, "note": "creak"}]},
    )
    assert added.json()["count"] == 1
    (entry,) = client.get(f"collections/{id}").json()["items"]
    assert (entry["item"]["id"], entry["start_s"], entry["note"]) == (item, 0.5, "creak")
    assert client.get(f"items/{item}").json()["collections"] == [id]
    assert client("PATCH", f"collections/{id}", json={"name": "old doors"}).json()["name"] == "old doors"
    assert client("DELETE", f"collections/{id}/items/{entry['entry']}").status_code == 204
    assert client("DELETE", f"collections/{id}/items/{entry['entry']}").status_code == 404
    assert client("DELETE", f"collections/{id}").status_code == 204
    assert client.get(f"collections/{id}").status_code == 404


def test_favourites_show_on_hits_and_items(serve: Any, copy_of: Path) -> None:
    client = serve(copy_of)
    assert client.get("collections").json()["collections"][0]["id"] == "favourites"
    item = client.id_of("tone1.wav")
    assert client.post("collections/favourites/items", json={"items": [{"id": item}]}).json()["count"] == 1
    hits = client.post("search", json={"text": "tone"}).json()["hits"]
    assert {hit["name"] for hit in hits if hit["is_favourite"]} == {"tone1.wav"}
    assert client.items()["tone1.wav"]["is_favourite"]
    assert client("PATCH", "collections/favourites", json={"name": "x"}).status_code == 409


def test_a_collection_is_read_in_pages(serve: Any, copy_of: Path) -> None:
    client = serve(copy_of)
    ids = [{"id": item["id"]} for item in client.items().values()]
    client.post("collections/favourites/items", json={"items": ids})
    first = client.get("collections/favourites", params={"k": 5}).json()
    rest = client.get("collections/favourites", params={"k": 5, "offset": first["next_offset"]}).json()
    assert [each["item"]["id"] for each in (*first["items"], *rest["items"])] == [each["id"] for each in ids]
    assert rest["next_offset"] is None


def test_what_is_no_collection_is_told(client: Any) -> None:
    for name in ("99", "1"):
        assert client.get(f"collections/{name}").status_code == 404
    for name in ("0", "-1", "x", "1e3", "9" * 30):
        assert client.get(f"collections/{name}").status_code == 422
    for name in ("", "   ", "x" * 201):
        assert client.post("collections", json={"name": name}).status_code == 422
    unknown = {"items": [{"id": "0" * 32 + "-" + "0" * 8}]}
    assert client.post("collections/favourites/items", json=unknown).status_code == 404
