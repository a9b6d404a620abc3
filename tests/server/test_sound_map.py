"""The map: alike lies together, the same each time, computed once and again after indexing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from soundseek.library import Library
from soundseek.server import sound_map
from soundseek.server.sound_map import lay_out_map, principal_components, read_map


def groups(num: int, *, dim: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of four groups that lie far apart, and the group of each."""
    generator = np.random.default_rng(0)
    centres = np.eye(dim, dtype=np.float32)[:4]
    group = np.arange(num) % 4
    vectors = centres[group] + 0.05 * generator.standard_normal((num, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), group


def share_with_own_nearest(points: np.ndarray, group: np.ndarray) -> float:
    """How many points have one of their own group as the nearest."""
    distances = ((points[:, None] - points[None]) ** 2).sum(axis=2) + np.eye(len(points)) * 1e9
    return float((group[distances.argmin(axis=1)] == group).mean())


def test_what_is_alike_lies_together_within_the_square() -> None:
    vectors, group = groups(200)
    told: list[float] = []
    points = lay_out_map(vectors, told.append)
    assert points.shape == (200, 2) and points.dtype == np.float32
    assert np.abs(points).max() == pytest.approx(1.0)
    assert share_with_own_nearest(points, group) == 1.0
    assert told == sorted(told) and told[-1] == 1.0
    assert (lay_out_map(vectors) == points).all()


def test_of_a_large_library_the_rest_is_put_among_its_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound_map, "MOST_EMBEDDED", 60)
    vectors, group = groups(300)
    assert share_with_own_nearest(lay_out_map(vectors), group) == 1.0


@pytest.mark.parametrize("num", [0, 1, 2, 5, 21])
def test_a_small_library_has_a_map_as_well(num: int) -> None:
    points = lay_out_map(groups(num)[0])
    assert points.shape == (num, 2) and np.isfinite(points).all()


def test_the_components_are_those_of_numpys_svd() -> None:
    vectors, _ = groups(50)
    centred = vectors - vectors.mean(axis=0)
    _, values, axes = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    found = principal_components(vectors)[:, :3]
    assert np.abs(found) == pytest.approx(np.abs(centred @ axes[:3].T), abs=1e-4)
    assert (found**2).sum(axis=0) == pytest.approx(values[:3] ** 2, rel=1e-4)


def when_ready(client: Any) -> dict[str, Any]:
    """The state of the map once it is that of the library now."""

    async def ask_wait_and_ask_again(http: httpx.AsyncClient) -> dict[str, Any]:
        await http.get("/api/v1/map")
        await client.app.app.app.state.soundseek.map.settled()
        return (await http.get("/api/v1/map")).json()  # type: ignore[no-any-return]

    state: dict[str, Any] = client.run(ask_wait_and_ask_again)
    return state


def test_the_map_is_computed_in_the_background_and_kept(serve: Any, copy_of: Path, sounds: Path) -> None:
    client = serve(copy_of)
    first = client.get("map").json()
    assert first["state"] == "computing" and first["count"] == 0
    state = when_ready(client)
    assert (state["state"], state["count"], state["folders"]) == ("ready", 7, [str(sounds)])
    content = client.get("map/points", params={"version": state["version"]}).content
    points = np.frombuffer(content, [("x", "<f4"), ("y", "<f4"), ("folder", "<u4")])
    assert len(points) == 7 and (points["folder"] == 0).all() and np.abs(points["x"]).max() <= 1
    asked = client.post("map/items", json={"version": state["version"], "points": [6, 0]}).json()["items"]
    assert [item["name"] for item in asked] == ["tone5.wav", "long.wav"]
    wanted = [asked[1]["id"], "0" * 32 + "-" + "0" * 8, asked[0]["id"]]
    found = client.post("map/find", json={"version": state["version"], "ids": wanted}).json()
    assert found == {"points": [0, None, 6]}
    labels = client.get("map/labels", params={"version": state["version"]}).json()
    with Library.open(copy_of, create=False) as library:
        best = library.label(sounds / "tone5.wav", labels="ucs", k=1)[0].labels[0].category
    assert labels["labels"][labels["label_of"][6]] == best and len(labels["label_of"]) == 7
    counts = [labels["label_of"].count(number) for number in range(len(labels["labels"]))]
    assert counts == sorted(counts, reverse=True) and min(counts) > 0
    assert client.get("map/labels", params={"version": state["version"] + 1}).status_code == 410
    assert serve(copy_of).get("map").json()["state"] == "ready"  # another server finds it
    kept = read_map(copy_of / "cache" / "map.npz")
    assert kept is not None and kept.packed() == content


def test_the_map_follows_the_library(serve: Any, copy_of: Path, tmp_path: Path) -> None:
    from tones import write_tone

    client = serve(copy_of)
    old = when_ready(client)
    write_tone(tmp_path / "new.wav", frequency_hz=333)
    with Library.open(copy_of, create=False) as library:
        library.index(tmp_path / "new.wav")
    stale = client.get("map").json()
    assert stale["is_stale"] and stale["count"] == 7  # the old one is shown meanwhile
    new = when_ready(client)
    assert new["count"] == 8 and new["version"] > old["version"]
    for answer in (
        client.get("map/points", params={"version": old["version"]}),
        client.post("map/items", json={"version": old["version"], "points": [0]}),
        client.post("map/find", json={"version": old["version"], "ids": ["0" * 32 + "-" + "0" * 8]}),
    ):
        assert answer.status_code == 410 and "GET /map again" in answer.json()["detail"]
    beyond = client.post("map/items", json={"version": new["version"], "points": [8]})
    assert beyond.status_code == 422 and "no point 8" in beyond.json()["detail"]


def test_a_damaged_map_is_computed_anew(serve: Any, copy_of: Path) -> None:
    (copy_of / "cache").mkdir()
    (copy_of / "cache" / "map.npz").write_bytes(b"no map")
    client = serve(copy_of)
    assert client.get("map").json()["state"] == "computing"
    assert when_ready(client)["count"] == 7
