"""Windows that overlap on one moment become one event with its begin and end."""

from __future__ import annotations

import itertools
from collections import defaultdict

import numpy as np
import pytest
from library.stores import DIM, IDENTITY, sound_file, sound_from_frames

from soundseek.audio.segments import plan_segments
from soundseek.library.hits import Hit
from soundseek.library.library import name_query
from soundseek.library.search import SearchOptions, find, find_any
from soundseek.library.store.base import Changes, Per, Question
from soundseek.library.store.exact import LONG_FILE, OF_A_LONG_FILE
from soundseek.library.store.sqlite import SqliteStore
from soundseek.model.memory import SoundMemory
from soundseek.query import as_typed

FRAME_S = 0.5
EAST, NORTH, UP = np.eye(DIM, dtype=np.float32)[:3]


def recording(store: SqliteStore, path: str, duration_s: float, *events: tuple[float, float, float]) -> None:
    """A recording that points up, with events (begin, end, strength) to the east, in windows of ten seconds."""
    frames = np.tile(UP, (round(duration_s / FRAME_S), 1))
    for start_s, end_s, strength in events:
        frames[round(start_s / FRAME_S) : round(end_s / FRAME_S)] = strength * EAST + (1 - strength) * UP
    segments = plan_segments(duration_s)
    spans = [(round(each.start_s / FRAME_S), round(each.end_s / FRAME_S)) for each in segments]
    sound = sound_from_frames(sound_file(path, duration_s=duration_s), frames, spans)
    with store.writing():
        store.commit(Changes([sound]))


@pytest.fixture
def store() -> SqliteStore:
    return SqliteStore.temporary(IDENTITY)


def test_an_event_in_two_windows_is_one_hit_with_its_begin_and_end(store: SqliteStore) -> None:
    recording(store, "/a.wav", 60.0, (26.0, 29.0, 1.0))
    (hit,) = find(store, EAST, SearchOptions(k=5, per="segment"))
    assert hit.start_s == pytest.approx(26, abs=FRAME_S) and hit.end_s == pytest.approx(29, abs=FRAME_S)
    assert hit.start_s <= hit.moment_s <= hit.end_s
    assert len(hit.moments) == round((hit.end_s - hit.start_s) / FRAME_S)


def test_each_event_is_a_hit_of_its_own_the_clearest_first(store: SqliteStore) -> None:
    recording(store, "/a.wav", 60.0, (4.0, 6.0, 0.7), (26.0, 29.0, 1.0), (33.0, 35.0, 0.8))
    hits = find(store, EAST, SearchOptions(k=9, per="segment"))
    assert [round(hit.start_s) for hit in hits] == [26, 33, 4]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_a_sound_that_lasts_is_one_event(store: SqliteStore) -> None:
    recording(store, "/a.wav", 40.0)
    (hit,) = find(store, UP, SearchOptions(k=5, per="segment"))
    assert (hit.start_s, hit.end_s) == (0, 40)


def test_events_that_answer_two_queries_are_one_place_though_they_begin_apart(store: SqliteStore) -> None:
    frames = np.tile(UP, (80, 1))
    frames[20:32], frames[24:40] = EAST, frames[24:40] + NORTH
    frames[24:32] += EAST
    sound = sound_from_frames(sound_file("/a.wav", duration_s=40.0), frames, [(0, 80)])
    with store.writing():
        store.commit(Changes([sound]))
    options = SearchOptions(k=9, per="segment")
    apart = [find(store, query, options)[0] for query in (EAST, NORTH)]
    assert apart[0].start_s < apart[1].start_s < apart[0].end_s
    (hit,) = find_any(store, [EAST, NORTH], options)
    assert hit.start_s == apart[0].start_s


def test_no_moment_lies_in_two_events(store: SqliteStore) -> None:
    """A lower peak has a lower edge, which may lie below all of a higher one beside it."""
    generator = np.random.default_rng(0)
    for number in range(8):
        strengths = generator.random(30)
        recording(
            store,
            f"/{number}.wav",
            60.0,
            *((2.0 * at, 2.0 * at + 2, each) for at, each in enumerate(strengths)),
        )
    by_file: dict[str, list[Hit]] = defaultdict(list)
    for hit in find(store, EAST, SearchOptions(k=200, per="segment")):
        by_file[hit.path].append(hit)
    assert max(map(len, by_file.values())) > 1
    for hits in by_file.values():
        hits.sort(key=lambda hit: hit.start_s)
        assert all(earlier.end_s <= later.start_s + 1e-6 for earlier, later in itertools.pairwise(hits))


def test_the_rest_of_a_clip_that_has_answered_is_no_event(store: SqliteStore) -> None:
    recording(store, "/a.wav", 9.0, (2.0, 3.0, 1.0), (6.0, 7.0, 0.1))
    assert len(find(store, EAST, SearchOptions(k=5, per="segment"))) == 1


def test_a_file_is_found_by_its_best_moment(store: SqliteStore) -> None:
    # By their means, the faint sound that lasts would come first.
    recording(store, "/short event.wav", 10.0, (4.0, 6.0, 1.0))
    recording(store, "/faint.wav", 10.0, (0.0, 10.0, 0.25))
    assert [hit.path for hit in find(store, EAST, SearchOptions(k=2, by="mean"))] == [
        "/faint.wav",
        "/short event.wav",
    ]
    assert [hit.path for hit in find(store, EAST, SearchOptions(k=2))] == ["/short event.wav", "/faint.wav"]


def test_what_has_both_sounds_of_a_sentence_comes_first(store: SqliteStore) -> None:
    both = np.tile(EAST, (20, 1))
    both[10:] = NORTH
    with store.writing():
        for path, frames in (("/both.wav", both), ("/one.wav", np.tile(EAST + 0.4 * NORTH, (20, 1)))):
            store.commit(Changes([sound_from_frames(sound_file(path), frames, [(0, 20)])]))
    sentence = (1.2 * EAST + 0.6 * NORTH) / np.hypot(1.2, 0.6)
    assert find(store, sentence, SearchOptions(k=1))[0].path == "/one.wav"
    assert find(store, np.stack([sentence, EAST, NORTH]), SearchOptions(k=1))[0].path == "/both.wav"


def test_a_long_file_is_looked_at_however_many_short_ones_come_first_by_their_means(
    store: SqliteStore,
) -> None:
    recording(store, "/long.wav", 5.0 * (LONG_FILE + 1), (31.0, 33.0, 1.0))
    with store.writing():
        files = [
            sound_file(f"/{number}.wav", content_hash=number.to_bytes(16, "big")) for number in range(40)
        ]
        frames = np.tile(0.6 * EAST + 0.4 * NORTH, (4, 1))
        store.commit(Changes([sound_from_frames(file, frames, [(0, 4)]) for file in files]))
    shortlist = store.shortlist(Question(EAST), segments=10, files=10)
    assert sum(match.file.path == "/long.wav" for match in shortlist) == OF_A_LONG_FILE
    assert any(match.start_s <= 31 and match.end_s >= 33 for match in shortlist if len(match.frames) > 4)


def test_the_shortlist_keeps_to_the_files_that_may_answer(store: SqliteStore) -> None:
    for number in range(6):
        recording(store, f"/{number}.wav", 70.0 if number % 2 else 10.0)
    only = ["/1.wav", "/2.wav"]
    found = store.shortlist(Question(UP, only=only), segments=99, files=99)
    assert {match.file.path for match in found} == set(only)
    left = store.shortlist(Question(UP, leave_out=["/3.wav"]), segments=99, files=99)
    assert {match.file.path for match in left} == {f"/{number}.wav" for number in (0, 1, 2, 4, 5)}
    assert store.shortlist(Question(UP, only=[]), segments=9, files=9) == []


@pytest.mark.parametrize("per", ["file", "segment"])
def test_what_is_heard_as_another_sound_comes_behind_whatever_its_score(store: SqliteStore, per: Per) -> None:
    # Close to what is asked for, but as close to another; or further away, and close to nothing else.
    close, asked = 0.72 * EAST + 0.694 * NORTH, EAST
    faint = 0.7 * EAST + 0.714 * UP
    for path, vector in (("/close.wav", close), ("/faint.wav", faint)):
        sound = sound_from_frames(sound_file(path), np.tile(vector, (20, 1)), [(0, 20)])
        with store.writing():
            store.commit(Changes([sound]))
    memory = SoundMemory(np.stack([EAST, NORTH]))
    by_score = find(store, asked, SearchOptions(k=2, per=per))
    as_heard = find(store, asked, SearchOptions(k=2, per=per, memory=memory))
    assert [hit.path for hit in by_score] == ["/close.wav", "/faint.wav"]
    assert [hit.path for hit in as_heard] == ["/faint.wav", "/close.wav"]
    assert {hit.path: hit.score for hit in by_score} == {hit.path: hit.score for hit in as_heard}
    assert as_heard[0].rank_score > as_heard[1].rank_score


def test_a_file_whose_name_has_the_words_is_not_lowered_by_what_it_is_heard_as(store: SqliteStore) -> None:
    for path in ("/east wind.wav", "/other.wav"):
        sound = sound_from_frames(sound_file(path), np.tile(0.72 * EAST + 0.694 * NORTH, (20, 1)), [(0, 20)])
        with store.writing():
            store.commit(Changes([sound]))
    names = name_query(as_typed("east wind"), "auto")
    memory = SoundMemory(np.stack([EAST, NORTH]))
    plain = find(store, EAST, SearchOptions(k=2, names=names))
    as_heard = find(store, EAST, SearchOptions(k=2, names=names, memory=memory))
    lowered = [before.rank_score - now.rank_score for before, now in zip(plain, as_heard, strict=True)]
    assert [hit.path for hit in as_heard] == ["/east wind.wav", "/other.wav"]
    assert lowered[0] == 0 < lowered[1]
