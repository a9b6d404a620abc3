"""`/api/v1/labels`."""

from __future__ import annotations

from pathlib import Path

import pytest
from server.conftest import Serve

from soundseek.library import Library

OWN = ["a low tone", "a high tone", "rain"]


def test_labels_of_items_are_those_that_the_library_gives(serve: Serve, filled: Path, sounds: Path) -> None:
    client = serve(filled)
    ids = [client.id_of("tone1.wav"), client.id_of("long.wav")]
    answer = client.post("labels", json={"items": [{"id": id} for id in ids], "labels": OWN, "k": 2})
    assert answer.status_code == 200
    with Library.open(filled) as library:
        expected = library.label(sounds / "tone1.wav", sounds / "long.wav", labels=OWN, k=2)
    for got, wanted in zip(answer.json()["sounds"], expected, strict=True):
        assert (got["path"], got["end_s"]) == (wanted.path, pytest.approx(wanted.end_s))
        assert [each["label"] for each in got["labels"]] == [each.label for each in wanted.labels]
        assert [each["score"] for each in got["labels"]] == pytest.approx(
            [each.score for each in wanted.labels], abs=1e-5
        )


def test_a_part_and_every_segment_have_labels_of_their_own(serve: Serve, filled: Path) -> None:
    client = serve(filled)
    id = client.id_of("long.wav")
    (part,) = client.post(
        "labels", json={"items": [{"id": id, "start_s": 12, "end_s": 22}], "labels": "ucs", "k": 3}
    ).json()["sounds"]
    segments = client.post(
        "labels", json={"items": [{"id": id}], "labels": "ucs", "per": "segment", "k": 3}
    ).json()
    assert [(each["start_s"], each["end_s"]) for each in segments["sounds"]] == [(0, 10), (5, 15), (12, 22)]
    assert (part["start_s"], part["end_s"]) == (12, 22)
    assert [each["label"] for each in part["labels"]] == [
        each["label"] for each in segments["sounds"][-1]["labels"]
    ]
    assert all(each["cat_id"] and each["category"] for each in part["labels"])


def test_own_labels_are_read_unless_they_are_taken_as_typed(serve: Serve, filled: Path) -> None:
    client = serve(filled)
    request = {"items": [{"id": client.id_of("tone1.wav")}], "labels": ["walla"], "k": 1}
    read, typed = (client.post("labels", json={**request, "as_typed": flag}).json() for flag in (False, True))
    of_read, of_typed = (each["sounds"][0]["labels"][0] for each in (read, typed))
    assert of_read["label"] == of_typed["label"] == "walla" and of_read["score"] != of_typed["score"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"labels": []}, 422),
        ({"labels": [" "]}, 422),
        ({"labels": "audiset"}, 422),
        ({"items": []}, 422),
        ({"items": [{"id": "0" * 32 + "-" + "0" * 8}]}, 404),
        ({"items": [{"id": "LONG", "start_s": 30}]}, 422),
    ],
)
def test_what_cannot_be_labelled_is_said(
    serve: Serve, filled: Path, change: dict[str, list[dict[str, object]]], status: int
) -> None:
    client = serve(filled)
    id = client.id_of("long.wav")
    request = {"items": [{"id": id}], "labels": OWN, **change}
    for item in request["items"]:
        item.update(id=id if item["id"] == "LONG" else item["id"])  # type: ignore[attr-defined]
    answer = client.post("labels", json=request)
    assert answer.status_code == status and answer.json()["detail"]
