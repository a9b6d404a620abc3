"""POST /search, GET /similar and GET /moments, against the library itself."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tones import write_tone
from toy_model import make_toy_model

from soundseek.errors import QueryError
from soundseek.library import Library
from soundseek.model import manners
from soundseek.model.match import MatchCalibration
from soundseek.model.registry import load_model
from soundseek.server.problems import ProblemError
from soundseek.server.processes import RETRY_AFTER_S
from soundseek.server.searching import Embedded


@pytest.fixture
def library(filled: Path) -> Any:
    with Library.open(filled, create=False) as opened:
        yield opened


def test_a_search_finds_what_the_library_finds(client: Any, library: Library) -> None:
    answer = client.post("search", json={"text": "rain on a tent", "k": 5}).json()
    hits = library.search("rain on a tent", k=5)
    assert [hit["path"] for hit in answer["hits"]] == [hit.path for hit in hits]
    for mine, theirs in zip(answer["hits"], hits, strict=True):
        assert mine["score"] == pytest.approx(theirs.score, abs=1e-6)
        assert mine["match"] == pytest.approx(theirs.match, abs=1e-4)
        assert (mine["start_s"], mine["end_s"], mine["moment_s"]) == (
            theirs.start_s,
            theirs.end_s,
            theirs.moment_s,
        )
        assert mine["moments"] == pytest.approx(theirs.moments, abs=1e-6)
    assert answer["total"] == 7 and answer["next_offset"] == 5


def test_a_sound_in_a_manner_is_found_as_the_library_finds_it(
    client: Any, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manners, "_MOST_TO_CHANGE_PLACES", 100.0)  # so much that the manner alone orders
    monkeypatch.setattr(manners, "_LEAST_STANDING", -1000.0)
    request = {"text": "tone in the distance", "k": 7, "keywords": "off"}
    answer = client.post("search", json=request).json()
    hits = library.search("tone in the distance", k=7, keywords="off")
    assert [(hit["path"], hit["score"]) for hit in answer["hits"]] == [
        (hit.path, pytest.approx(hit.score, abs=1e-6)) for hit in hits
    ]
    said = answer["searched_for"]
    assert (said["query"], said["typed"], said["manners"]) == ("tone", "tone in the distance", ["distant"])
    plain = client.post("search", json={**request, "text": "tone"}).json()
    typed = client.post("search", json={**request, "as_typed": True}).json()
    direction = library.model.manners["distant"].direction
    by_manner = sorted(hits, key=lambda hit: -float(np.asarray(hit.vector, np.float32) @ direction))
    assert [hit["path"] for hit in answer["hits"]] == [hit.path for hit in by_manner]
    assert [hit["path"] for hit in plain["hits"]] != [hit.path for hit in by_manner]
    scores = [{hit["path"]: hit["score"] for hit in each["hits"]} for each in (answer, plain, typed)]
    for each in scores:  # of another segment, perhaps
        each.pop(next(path for path in each if path.endswith("long.wav")))
    assert scores[0] == pytest.approx(scores[1]) and scores[0] != scores[2]
    assert typed["searched_for"] is None


def test_a_mood_is_said_with_its_alternatives(client: Any, library: Library) -> None:
    reading = library.read("creepy")
    said = client.post("search", json={"text": "creepy"}).json()["searched_for"]
    assert len(reading.alternatives) > 2
    assert said["alternatives"] == [list(texts) for texts in reading.alternatives]
    assert said["queries"] == [text for texts in said["alternatives"] for text in texts]
    walla = client.post("search", json={"text": "walla"}).json()["searched_for"]
    assert len(walla["alternatives"]) <= 1 < len(walla["queries"])


def test_how_sure_hits_are_is_what_the_library_says(serve: Any, sounds: Path, tmp_path: Path) -> None:
    directory = make_toy_model(tmp_path / "sure")
    # The higher a hit scores, the surer it is, by itself and beside what varied sounds score.
    varied = np.eye(16, dtype=np.float16)[:9]
    MatchCalibration(varied, np.zeros(4), np.ones(4), np.array([0.0, 1, 0.1, 0, 0]), 1_000).write(directory)
    with Library.create(tmp_path / "library", model=load_model(directory)) as library:
        library.index(sounds)
        expected = library.search("a tone", k=7, keywords="off")
    request = {"text": "a tone", "k": 4, "keywords": "off"}
    client = serve(tmp_path / "library")
    hits = client.post("search", json=request).json()["hits"]
    hits += client.post("search", json={**request, "offset": 4}).json()["hits"]
    assert [hit["match"] for hit in hits] == [pytest.approx(hit.match, abs=1e-4) for hit in expected]
    assert len({hit["match"] for hit in hits}) == 7
    sentence = "a tone while a dog barks"  # of its parts, too, the hits are as sure as the library's
    with Library.open(tmp_path / "library", model=load_model(directory)) as library:
        expected = library.search(sentence, k=4, keywords="off")
    hits = client.post("search", json={**request, "text": sentence}).json()["hits"]
    assert [hit["match"] for hit in hits] == [pytest.approx(hit.match, abs=1e-4) for hit in expected]
    only_out = client.post("search", json={"text": "no music", "k": 4}).json()["hits"]
    assert len(only_out) == 4 and {hit["match"] for hit in only_out} == {None}


def test_the_model_is_loaded_before_anybody_asks(serve: Any, filled: Path) -> None:
    client = serve(filled)

    async def warm(_: Any) -> None:
        await client.app.app.app.state.soundseek.warm_up()

    client.run(warm)
    state = client.app.app.app.state.soundseek
    assert state.searching._texts.get((load_fingerprint(filled), False, "sound")) is not None


def load_fingerprint(library: Path) -> str:
    with Library.open(library, create=False) as opened:
        return opened.store.identity.fingerprint


def test_negatives_and_segments_mean_what_they_mean_in_python(client: Any, library: Library) -> None:
    request = {"text": "a tone", "not": [{"text": "music"}], "per": "segment", "k": 4}
    answer = client.post("search", json=request).json()
    hits = library.search("a tone", without=["music"], segments=True, k=4)
    assert [(hit["path"], hit["start_s"]) for hit in answer["hits"]] == [
        (hit.path, hit.start_s) for hit in hits
    ]
    assert answer["total"] == library.info().segments


def test_pages_follow_each_other_without_gap_or_repetition(client: Any) -> None:
    whole = client.post("search", json={"text": "tone", "k": 7}).json()["hits"]
    pages, offset = [], 0
    while offset is not None:
        page = client.post("search", json={"text": "tone", "k": 3, "offset": offset}).json()
        pages += page["hits"]
        offset = page["next_offset"]
    assert pages == whole


def test_an_item_as_example_is_like_its_file_as_example(client: Any, library: Library, sounds: Path) -> None:
    answer = client.get("similar", params={"id": client.id_of("tone2.wav"), "k": 3}).json()
    hits = library.similar(sounds / "tone2.wav", k=3)
    assert [hit["path"] for hit in answer["hits"]] == [hit.path for hit in hits]
    assert [hit["score"] for hit in answer["hits"]] == pytest.approx([hit.score for hit in hits], abs=1e-3)
    by_path = client.post("search", json={"like": [{"path": str(sounds / "tone2.wav")}], "k": 3}).json()
    assert by_path["hits"] == answer["hits"]
    assert answer["total"] == 6  # the example itself is no hit


def test_the_region_of_an_example_finds_that_region_first(client: Any) -> None:
    id = client.id_of("long.wav")
    answer = client.get(
        "similar", params={"id": id, "start_s": 5, "end_s": 15, "per": "segment", "k": 1}
    ).json()
    assert (answer["hits"][0]["id"], answer["hits"][0]["score"]) == (id, pytest.approx(1.0, abs=1e-3))


def test_weights_move_a_query_from_one_example_to_the_other(client: Any) -> None:
    low, high = client.id_of("tone0.wav"), client.id_of("tone5.wav")

    def scores(like: list[dict[str, Any]]) -> dict[str, float]:
        hits = client.post("search", json={"like": like, "k": 10}).json()["hits"]
        return {hit["name"]: hit["score"] for hit in hits if hit["name"] not in ("tone0.wav", "tone5.wav")}

    one = scores([{"id": low}])
    other = scores([{"id": high}])
    assert scores([{"id": low}, {"id": high, "weight": 0.0}]) == one
    assert scores([{"id": low, "weight": 0.0}, {"id": high}]) == other != one
    twice = scores([{"id": low, "weight": 2.0}, {"id": high, "weight": 2.0}])
    assert twice == pytest.approx(scores([{"id": low}, {"id": high}]), abs=1e-5)  # only their ratio counts


def test_filters_of_a_form_are_conditions_of_where(client: Any, sounds: Path) -> None:
    filters = {"duration_s": {"min": 10}, "format": ["wav"], "folder": [str(sounds)], "name": "long"}
    answer = client.post("search", json={"text": "tone", "filters": filters}).json()
    assert [hit["name"] for hit in answer["hits"]] == ["long.wav"] and answer["total"] == 1
    both = client.post("search", json={"text": "tone", "where": "duration < 10", "filters": filters}).json()
    assert both["hits"] == [] and both["total"] == 0
    later = client.post("search", json={"text": "tone", "filters": {"modified_after": "2400"}}).json()
    assert later["total"] == 0


def test_a_search_inside_results_stays_inside_them(client: Any) -> None:
    within = [client.id_of("tone1.wav"), client.id_of("tone4.wav"), "0" * 32 + "-" + "0" * 8]
    answer = client.post("search", json={"text": "tone", "within": within, "k": 10}).json()
    assert {hit["name"] for hit in answer["hits"]} == {"tone1.wav", "tone4.wav"} and answer["total"] == 2
    assert client.post("search", json={"text": "tone", "within": []}).json()["hits"] == []


@pytest.fixture
def doubled(tmp_path: Path, model_directory: Path) -> tuple[Path, Path]:
    """A library of one sound under two names and of another one, and its folder."""
    folder = tmp_path.resolve() / "sounds"
    folder.mkdir()
    write_tone(folder / "a.wav", frequency_hz=440)
    (folder / "copy.wav").write_bytes((folder / "a.wav").read_bytes())
    write_tone(folder / "b.wav", frequency_hz=880)
    with Library.open(tmp_path / "library", model=load_model(model_directory), create=True) as library:
        library.index(folder)
    return tmp_path / "library", folder


def test_copies_are_one_hit_that_names_the_others_unless_they_are_to_be_shown(
    serve: Any, doubled: Any
) -> None:
    client, folder = serve(doubled[0]), doubled[1]
    hits = client.post("search", json={"text": "tone"}).json()["hits"]
    (one,) = (hit for hit in hits if hit["name"] != "b.wav")
    assert len(hits) == 2 and {one["path"], *one["also_at"]} == {
        str(folder / "a.wav"),
        str(folder / "copy.wav"),
    }
    shown = client.post("search", json={"text": "tone", "duplicates": "show"}).json()["hits"]
    assert len(shown) == 3 and all(hit["also_at"] == [] for hit in shown)
    similar = client.get("similar", params={"id": one["id"]}).json()["hits"]
    assert [hit["name"] for hit in similar] == ["b.wav"]  # a copy of the example is no answer
    pages = [
        client.post("search", json={"text": "tone", "k": 1, "offset": offset}).json() for offset in (0, 1)
    ]
    assert [page["hits"][0] for page in pages] == hits and pages[1]["next_offset"] is None


def test_what_is_not_there_now_is_no_hit_unless_it_is_to_be_shown(serve: Any, doubled: Any) -> None:
    client = serve(doubled[0])
    (doubled[1] / "b.wav").unlink()
    assert "b.wav" not in {hit["name"] for hit in client.post("search", json={"text": "tone"}).json()["hits"]}
    shown = client.post("search", json={"text": "tone", "missing": "show"}).json()["hits"]
    assert "b.wav" in {hit["name"] for hit in shown}


def test_why_names_the_words_that_carried_a_hit(client: Any, library: Library) -> None:
    answer = client.post("search", json={"text": "a dog barks", "k": 2, "why": True}).json()
    hits = library.search("a dog barks", k=2)
    assert [hit["why"] for hit in answer["hits"]] == library.explain("a dog barks", hits)


@pytest.mark.parametrize(
    ("request_", "status", "told"),
    [
        ({}, 422, "nothing to look for"),
        ({"text": "   "}, 422, "nothing to look for"),
        (
            {"text": "x", "where": "duratoin < 5"},
            422,
            "where knows no field 'duratoin'; did you mean 'duration'",
        ),
        ({"text": "x", "filters": {"modified_after": "soon"}}, 422, "soon"),
        ({"text": "x", "kk": 5}, 422, "kk"),
        ({"text": "x", "k": 0}, 422, "body.k"),
        ({"like": [{"id": "0" * 32 + "-" + "0" * 8}]}, 404, "search again"),
        ({"like": [{"path": "/etc/passwd"}]}, 404, "POST /uploads"),
        ({"like": [{"upload": "0" * 32}]}, 404, "send the sound again"),
        ({"like": [{"path": "/a", "upload": "0" * 32}]}, 422, "exactly one of"),
        ({"like": [{"path": "/a", "start_s": 2, "end_s": 1}]}, 422, "must lie behind"),
    ],
)
def test_a_request_that_cannot_be_answered_is_told_what_to_do(
    client: Any, request_: dict[str, Any], status: int, told: str
) -> None:
    answer = client.post("search", json=request_)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert told in answer.json()["detail"]


def test_moments_are_those_of_the_hits(client: Any) -> None:
    answer = client.post("search", json={"text": "tone", "where": "name = long.wav"}).json()
    (hit,) = answer["hits"]
    id = hit["id"]
    moments = client.get(f"moments/{id}", params={"query": answer["query"]}).json()
    by_start = {segment["start_s"]: segment["score"] for segment in moments["segments"]}
    assert by_start[hit["start_s"]] == pytest.approx(hit["score"], abs=1e-5)
    # Of segments that score alike, the one that is heard as what was asked for is the hit.
    assert hit["score"] == pytest.approx(max(by_start.values()), abs=1e-3)
    assert len(moments["scores"]) == pytest.approx(22.0 / moments["frame_s"], abs=1)
    if hit["start_s"] == 0:
        same, own = moments["scores"][:10], hit["moments"][:10]  # before the next one overlaps
    else:
        same, own = moments["scores"][-10:], hit["moments"][-10:]
    assert same == pytest.approx(own, abs=1e-4)
    assert client.get(f"moments/{id}", params={"text": "tone"}).json()["scores"] == moments["scores"]


@pytest.fixture(scope="module")
def flat_library(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of a model that has no moments, without windows."""
    folder = tmp_path_factory.mktemp("flat")
    model = load_model(make_toy_model(folder / "model", is_linear=False))
    with Library.create(folder / "library", model=model) as library:
        library.index(sounds)
    return folder / "library"


def test_window_scores_are_the_moments_of_a_model_that_has_none(
    serve: Any, sounds: Path, flat_library: Path, tmp_path: Path
) -> None:
    with Library.open(flat_library, create=False) as library:
        expected = library.score_windows(library.search("hum", k=7), "hum")
    client = serve(flat_library)
    assert client.get("library").json()["has_moments"] is False
    flat = client.post("search", json={"text": "hum", "k": 7}).json()["hits"]
    assert {hit["window_s"] for hit in flat} == {None}
    hits = client.post("search", json={"text": "hum", "k": 7, "windows": True}).json()["hits"]
    for hit, known, before in zip(hits, expected, flat, strict=True):
        assert (hit["path"], hit["score"]) == (known.path, before["score"])
        assert (hit["window_s"], hit["frame_s"], hit["moment_s"]) == (2.0, 1.0, known.moment_s)
        assert hit["moments"] == pytest.approx(known.moments, abs=1e-5)
    assert len(hits[[hit["name"] for hit in hits].index("long.wav")]["moments"]) == 9
    # A file that is not there any more keeps its hit, with a warning.
    lost = sounds / "tone3.wav"
    lost.rename(tmp_path / "tone3.wav")
    try:
        request = {"text": "hum", "k": 7, "windows": True, "missing": "show"}
        answer = client.post("search", json=request).json()
    finally:
        (tmp_path / "tone3.wav").rename(lost)
    assert len(answer["hits"]) == 7 and ["tone3.wav" in each for each in answer["warnings"]] == [True]


def test_windows_that_a_library_keeps_are_the_moments_without_being_asked_for(
    serve: Any, sounds: Path, tmp_path: Path
) -> None:
    directory = make_toy_model(tmp_path / "flat", is_linear=False)
    with Library.create(tmp_path / "library", model=load_model(directory)) as library:
        library.index(sounds, windows=True)
        expected = library.search("hum", k=7)
    client = serve(tmp_path / "library")
    answer = client.post("search", json={"text": "hum", "k": 7}).json()
    hits = answer["hits"]
    for hit, known in zip(hits, expected, strict=True):
        assert (hit["path"], hit["window_s"], hit["frame_s"]) == (known.path, 2.0, 1.0)
        assert (hit["moment_s"], hit["moments"]) == (known.moment_s, pytest.approx(known.moments, abs=1e-5))
    # And those of the whole file: 21 windows in 22 s, of which the hit has those whose middle lies in its segment.
    (long,) = (hit for hit in hits if hit["name"] == "long.wav")
    over_time = client.get(f"moments/{long['id']}", params={"query": answer["query"]}).json()
    assert (over_time["window_s"], over_time["frame_s"], len(over_time["scores"])) == (2.0, 1.0, 21)
    inside = [n for n in range(21) if long["start_s"] <= n + 1 <= long["end_s"]]
    assert [over_time["scores"][n] for n in inside] == pytest.approx(long["moments"], abs=1e-5)
    assert over_time["moment_s"] == int(np.argmax(over_time["scores"])) + 1.0
    coarse = client.get(f"moments/{long['id']}", params={"query": answer["query"], "n": 5}).json()
    assert (coarse["frame_s"], coarse["moment_s"]) == (5.0, over_time["moment_s"])
    assert max(coarse["scores"]) == max(over_time["scores"])


def _sleep(flag: str) -> None:
    Path(flag).touch()
    time.sleep(600)


async def _until_it_runs(flag: Path) -> None:
    while not flag.exists():
        await asyncio.sleep(0.01)


def test_too_many_searches_for_window_scores_are_refused(
    serve: Any, flat_library: Path, tmp_path: Path
) -> None:
    client = serve(flat_library, num_waiting_windows=0)
    processes = client.app.app.app.state.soundseek.window_processes

    async def meanwhile(http: httpx.AsyncClient) -> None:
        other = asyncio.create_task(processes.run(_sleep, str(tmp_path / "embeds")))
        await _until_it_runs(tmp_path / "embeds")
        refused = await http.post("/api/v1/search", json={"text": "hum", "windows": True})
        assert refused.status_code == 429 and refused.headers["retry-after"] == str(RETRY_AFTER_S)
        assert "windows" in refused.json()["detail"] and "try again" in refused.json()["detail"]
        assert (await http.post("/api/v1/search", json={"text": "hum"})).status_code == 200
        processes._all[0].kill()
        with pytest.raises(ProblemError):
            await other

    client.run(meanwhile)


def test_whoever_leaves_has_no_further_windows_embedded(
    serve: Any, flat_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(flat_library)
    state = client.app.app.app.state.soundseek
    embedded: list[str] = []

    async def leave(http: httpx.AsyncClient) -> None:
        has_begun, is_over = asyncio.Event(), asyncio.Event()

        async def embeds_for_ever(function: Any, directory: str, path: str, spans: Any) -> None:
            embedded.append(path)
            has_begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                is_over.set()

        monkeypatch.setattr(state.window_processes, "run", embeds_for_ever)
        body = json.dumps({"text": "hum", "windows": True}).encode()
        headers = {"host": "127.0.0.1", "content-type": "application/json"}
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": "/api/v1/search", "raw_path": b"/api/v1/search", "query_string": b"", "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }  # fmt: skip
        messages: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await has_begun.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None: ...

        await asyncio.wait_for(client.app(scope, receive, send), 60)
        assert is_over.is_set()

    client.run(leave)
    assert len(embedded) == 1


@pytest.mark.parametrize("wrong", [{"k": 51}, {"libraries": ["/"]}])
def test_window_scores_are_of_a_few_hits_of_one_library(client: Any, wrong: dict[str, Any]) -> None:
    answer = client.post("search", json={"text": "hum", "windows": True, **wrong})
    assert answer.status_code == 422 and "windows" in answer.text


def test_a_model_with_moments_of_its_own_keeps_them(client: Any) -> None:
    assert client.get("library").json()["has_moments"] is True
    own = client.post("search", json={"text": "hum"}).json()["hits"]
    assert client.post("search", json={"text": "hum", "windows": True}).json()["hits"] == own


def test_fewer_points_than_moments_keep_the_best_one(client: Any) -> None:
    id = client.id_of("long.wav")
    fine = client.get(f"moments/{id}", params={"text": "tone"}).json()
    coarse = client.get(f"moments/{id}", params={"text": "tone", "n": 5}).json()
    assert len(coarse["scores"]) == 5 and max(coarse["scores"]) == max(fine["scores"])


def test_a_query_that_nobody_asked_is_gone(client: Any) -> None:
    answer = client.get(f"moments/{client.id_of('long.wav')}", params={"query": "0" * 32})
    assert answer.status_code == 410 and "search again" in answer.json()["detail"]
    neither = client.get(f"moments/{client.id_of('long.wav')}")
    assert neither.status_code == 422 and "either" in neither.json()["detail"]


def test_the_vector_of_a_region_is_the_mean_of_its_frames() -> None:
    frames = np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 4.0], [-1.0, 0.0]])
    sound = Embedded(np.array([[0.0, 2.0]]), frames, np.array([[0, 4]]), 0.5, 2.0)
    assert sound.vector(1.0, 1.5).tolist() == pytest.approx([0.6, 0.8])
    assert sound.vector(0.0, 1.0).tolist() == pytest.approx([0.5**0.5, 0.5**0.5])
    assert sound.vector(1.6, 1.61).tolist() == pytest.approx(
        [-1.0, 0.0]
    )  # less than a frame is the frame around it
    with pytest.raises(QueryError, match="behind the end"):
        sound.vector(3.0, None)


def test_items_are_listed_counted_and_sorted(client: Any) -> None:
    by_length = client.get("items", params={"sort": "duration", "k": 2}).json()
    assert by_length["items"][0]["name"] == "long.wav" and by_length["next_offset"] == 2
    assert client.get("items", params={"where": "duration > 10"}).json()["total"] == 1
    item = client.get(f"items/{client.id_of('long.wav')}").json()
    assert item["is_there"] and item["segments"] > 1 and not item["needs_preview"]


def test_names_count_beside_the_sound_and_the_hit_says_so(client: Any) -> None:
    hits = client.post("search", json={"text": "tone4.wav"}).json()["hits"]
    assert (hits[0]["name"], hits[0]["keywords"]) == ("tone4.wav", ["tone4"])
    by_sound = client.post("search", json={"text": "tone4.wav", "keywords": "off"}).json()["hits"]
    assert {hit["name"]: hit["score"] for hit in hits} == {hit["name"]: hit["score"] for hit in by_sound}
    assert all(hit["keywords"] == [] for hit in by_sound)
    only = client.post("search", json={"text": "tone4 or nothing", "keywords": "only"}).json()["hits"]
    assert [hit["name"] for hit in only] == ["tone4.wav"]


def test_filters_without_words_list_files_by_path(client: Any) -> None:
    answer = client.post("search", json={"where": "name ~ tone", "k": 4}).json()
    assert [hit["name"] for hit in answer["hits"]] == [f"tone{number}.wav" for number in range(4)]
    assert (answer["total"], answer["next_offset"], answer["query"]) == (6, 4, None)
    assert {(hit["score"], hit["start_s"], hit["end_s"]) for hit in answer["hits"]} == {(0.0, 0.0, 2.0)}
    rest = client.post("search", json={"where": "name ~ tone", "k": 4, "offset": 4}).json()
    assert [hit["name"] for hit in rest["hits"]] == ["tone4.wav", "tone5.wav"]
    inside = {"where": "name ~ tone", "within": [rest["hits"][0]["id"]]}
    assert client.post("search", json=inside).json()["total"] == 1
    assert client.post("search", json={"where": " "}).status_code == 422


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"channels": {"max": 1.5}, "bit_depth": {"min": 15.5, "max": 16}}, 7),
        ({"size_bytes": {"min": 200_000}}, 1),
        ({"loudness_dbfs": {"max": -60}}, 0),
        ({"loudness_dbfs": {"min": -60, "max": 0}}, 7),
        ({"path": "/LONG"}, 1),
        ({"tag": "scene 12"}, 0),
    ],
)
def test_filters_of_a_form_ask_for_facts(client: Any, filters: dict[str, Any], expected: int) -> None:
    assert client.post("search", json={"filters": filters}).json()["total"] == expected
