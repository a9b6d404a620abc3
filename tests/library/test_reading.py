"""A library reads a mistyped query as it was meant, in a search and in its explanation."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tones import write_tone
from toy_model import make_toy_model

from soundseek.errors import QueryError
from soundseek.library import Library, LibrarySet
from soundseek.library.hit_formats import searched_for
from soundseek.model import manners
from soundseek.model.manners import MannerDirection, write_manners
from soundseek.model.match import MatchCalibration
from soundseek.model.memory import SoundMemory
from soundseek.model.model import Model
from soundseek.model.spelling import WORDS_FILE, write_words
from soundseek.model.stretches import scores_of_sentences, segment_scores


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder = tmp_path_factory.mktemp("spelling")
    write_words(make_toy_model(folder / "toy"), ["a high tone", "rain and thunder"])
    for number in range(4):
        write_tone(folder / f"tone{number}.wav", frequency_hz=200.0 * 2**number)
    with Library.create(folder / "library", model=Model(folder / "toy")) as opened:
        opened.index(folder)
        yield opened


def test_a_search_finds_what_was_meant_and_logs_what_it_searched_for(
    library: Library, caplog: pytest.LogCaptureFixture
) -> None:
    meant = library.search("a high tone", without=["thunder"])
    assert not caplog.records
    with caplog.at_level(logging.WARNING, logger="soundseek"):
        assert library.search("a hihg tone", without=["thnder"]) == meant
    assert [record.getMessage() for record in caplog.records] == [
        "searched for 'a high tone' (typed 'a hihg tone'); as_typed=True searches for the words as they are",
        "searched for 'thunder' (typed 'thnder'); as_typed=True searches for the words as they are",
    ]


def test_as_typed_is_what_the_model_makes_of_the_letters(
    library: Library, caplog: pytest.LogCaptureFixture
) -> None:
    (query,) = library.model.embed_text(["a hihg tone"])
    for hit in library.search("a hihg tone", as_typed=True):
        sound = library.model.embed_file(hit.path)
        segments = [sound.frames[first:last] for first, last in sound.spans]
        scores = segment_scores(segments, query[None], frame_s=[sound.frame_s] * len(segments))
        assert hit.score == pytest.approx(float(scores.max()), abs=1e-3)
    assert library.search("a hihg tone", as_typed=True) != library.search("a high tone")
    assert not caplog.records


def test_an_explanation_names_the_words_that_were_meant(library: Library) -> None:
    hits = library.search("hihg tnoe")
    assert library.explain("hihg tnoe", hits) == library.explain("high tone", hits)
    typed = library.explain("hihg tnoe", hits, as_typed=True)
    assert {word for words in typed for word in words} <= {"hihg", "tnoe"}


def test_the_correction_can_be_asked_for(library: Library) -> None:
    assert library.read("A hihg tnoe, zindle").text == "A high tone, zindle"


def test_an_example_alone_needs_no_words(library: Library, caplog: pytest.LogCaptureFixture) -> None:
    (path, *_) = [hit.path for hit in library.search("tone")]
    assert len(library.similar(path)) == 3 and not caplog.records


def test_no_words_need_no_model(library: Library, tmp_path: Path) -> None:
    shutil.copytree(Path(library.info().path), tmp_path / "library")
    with Library.open(tmp_path / "library") as opened:
        with pytest.raises(QueryError, match="nothing to look for"):
            opened.search(" ", without=["", "  "])
        assert opened._model is None, "a model was loaded to read nothing"
        assert opened.read("a hihg tone").text == "a high tone"
        assert opened._model is not None


def test_a_damaged_list_is_named_once_and_the_search_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = make_toy_model(tmp_path / "toy")
    (directory / WORDS_FILE).write_text("no list\n")
    with Library.create("memory://", model=Model(directory)) as opened:
        assert opened.search("tnoe") == opened.search("tnoe", as_typed=True) == []
        assert opened.read("tnoe").text == "tnoe"
    assert ["words.txt, line 1: " in record.getMessage() for record in caplog.records] == [True]


def test_a_manner_orders_what_the_sound_finds(
    tmp_path: Path, library: Library, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(Path(library.info().path), tmp_path / "library")
    shutil.copytree(library.model.directory, tmp_path / "toy")
    hits = library.search("a high tone", keywords="off")
    first, last = (np.asarray(hit.vector, np.float32) for hit in (hits[0], hits[-1]))
    between = (last - first) / np.linalg.norm(last - first)
    middle = float((first + last) @ between / 2)
    monkeypatch.setattr(manners, "_MOST_TO_CHANGE_PLACES", 100.0)
    write_manners(tmp_path / "toy", {"muffled": MannerDirection(between, middle, 1.0, worth=100.0)})
    with Library.open(tmp_path / "library", model=Model(tmp_path / "toy")) as with_manners:
        found = with_manners.search("muffled a high tone", keywords="off")
        assert [hit.path for hit in found] != [hit.path for hit in hits] and found[0].path == hits[-1].path
        assert {hit.path: hit.score for hit in found} == {hit.path: hit.score for hit in hits}
        assert found.reading is not None and found.reading.manners == ("muffled",)
        assert searched_for(found.reading) == {
            "query": "a high tone", "typed": "muffled a high tone", "manners": ["muffled"],
        }  # fmt: skip
        told = "searched for 'a high tone', 'muffled' first (typed 'muffled a high tone'); as_typed=True"
        assert caplog.records[-1].getMessage().startswith(told)
        assert with_manners.search("a high tone", keywords="off") == hits
        typed = with_manners.search("muffled a high tone", as_typed=True, keywords="off")
        assert typed == library.search("muffled a high tone", as_typed=True, keywords="off")
        why = with_manners.explain("muffled a high tone", found)
        assert why == library.explain("muffled a high tone", found, as_typed=True)


def test_a_hit_is_as_sure_of_a_sound_in_a_manner_as_of_the_sound(tmp_path: Path, library: Library) -> None:
    shutil.copytree(Path(library.info().path), tmp_path / "library")
    shutil.copytree(library.model.directory, tmp_path / "toy")
    dim = library.store.identity.dim
    reference = np.random.default_rng(0).standard_normal((9, dim)).astype(np.float16)
    sure = MatchCalibration(reference, np.zeros(6), np.ones(6), np.float64([0, 3, 1, 1, 0, 1, 1]), 99)
    sure.write(tmp_path / "toy")
    hit = library.search("a high tone", k=1, keywords="off")[0]
    across = np.random.default_rng(1).standard_normal(dim).astype(np.float32)
    assert hit.vector is not None
    # a direction in which neither the sound, nor the words, nor the reference differ
    basis = np.linalg.qr(np.stack([hit.vector, library.model.embed_text("a high tone"), *reference]).T)[0]
    across -= basis @ (basis.T @ across)
    write_manners(tmp_path / "toy", {"muffled": MannerDirection(across / np.linalg.norm(across), 0.0, 0.05)})
    with Library.open(tmp_path / "library", model=Model(tmp_path / "toy")) as opened:
        plain = {each.path: each.match for each in opened.search("a high tone", keywords="off")}
        muffled = {each.path: each.match for each in opened.search("muffled a high tone", keywords="off")}
    assert muffled[hit.path] == pytest.approx(plain[hit.path], abs=1e-5)


def test_hits_of_words_are_ranked_by_what_they_are_heard_as_too(tmp_path: Path, library: Library) -> None:
    shutil.copytree(Path(library.info().path), tmp_path / "library")
    shutil.copytree(library.model.directory, tmp_path / "toy")
    text = "a high tone"
    plain = library.search(text, keywords="off")
    assert [hit.rank_score for hit in plain] == [hit.score for hit in plain]
    SoundMemory(np.array([hit.vector for hit in plain], np.float32)).write(tmp_path / "toy")
    with Library.open(tmp_path / "library", model=Model(tmp_path / "toy")) as remembering:
        found = remembering.search(text, keywords="off")
        assert all(hit.rank_score < hit.score for hit in found)
        assert [hit.rank_score for hit in found] == sorted((hit.rank_score for hit in found), reverse=True)
        # An example is a sound as it is.
        by_example = remembering.search(text, like=[plain[-1].path], keywords="off")
        assert by_example and [hit.rank_score for hit in by_example] == [hit.score for hit in by_example]


def test_words_are_looked_for_as_the_sounds_that_they_name(tmp_path: Path, library: Library) -> None:
    shutil.copytree(Path(library.info().path), tmp_path / "library")
    shutil.copytree(library.model.directory, tmp_path / "toy")
    text, unwanted = "a high tone", "thunder"
    last = library.search(text, keywords="off")[-1]
    assert last.vector is not None
    memory = SoundMemory(np.asarray(last.vector, np.float32)[None])
    memory.write(tmp_path / "toy")
    with Library.open(tmp_path / "library", model=Model(tmp_path / "toy")) as remembering:
        found = remembering.search(text, keywords="off")
        words, away = library.model.embed_text([text, unwanted])
        turned = memory.turned(words[None])[0]
        without = turned - 0.5 * away  # what is unwanted does not turn
        # Of a sentence that names two sounds the whole stays, and the parts turn.
        both = remembering.search(f"{text} while rain falls", as_typed=True, keywords="off")
        whole, rain = library.model.embed_text([f"{text} while rain falls", "rain falls"])
        of_both = np.stack([whole, turned, memory.turned(rain[None])[0]])
        less = remembering.search(text, without=[unwanted], keywords="off")
        for hits, vectors in (
            (found, turned[None]),
            (less, (without / np.linalg.norm(without))[None]),
            (both, of_both),
        ):
            for hit in hits:
                sound = remembering.model.embed_file(hit.path)
                segments = [sound.frames[first:last] for first, last in sound.spans]
                scores = segment_scores(segments, vectors, frame_s=[sound.frame_s] * len(segments))
                assert hit.score == pytest.approx(float(scores_of_sentences(scores).max()), abs=2e-3)
        explained = remembering.explain_file(found[0].path, text)
        assert explained.hit.score == pytest.approx(found[0].score, abs=2e-3)
    before = {hit.path: hit.score for hit in library.search(text, keywords="off")}
    assert next(hit.score for hit in found if hit.path == last.path) > before[last.path] + 0.01


def test_similar_says_where_what_the_model_remembers_is_nearer_than_all_hits(
    tmp_path: Path, library: Library
) -> None:
    example, *others = sorted(file.path for file in library.files())
    far = library.similar(example)
    assert {hit.path for hit in far} == set(others) and not far.nothing_alike  # it remembers nothing
    sound = library.vectors(example).vectors.mean(axis=0)
    for remembered, is_nearer in ((sound, True), (-sound, False)):
        folder = tmp_path / str(is_nearer)
        shutil.copytree(Path(library.info().path), folder / "library")
        shutil.copytree(library.model.directory, folder / "toy")
        SoundMemory(np.float32([remembered / np.linalg.norm(remembered)])).write(folder / "toy")
        with Library.open(folder / "library", model=Model(folder / "toy")) as opened:
            hits = opened.similar(example)
            assert max(hit.score for hit in hits) < 0.89 and hits.nothing_alike == is_nearer
            assert not opened.search("a high tone", like=[example]).nothing_alike
            assert not opened.search(like=[example, others[0]]).nothing_alike
            shutil.copy(example, folder / "copy.wav")  # not of the library: its own file is the nearest
            assert not opened.similar(folder / "copy.wav").nothing_alike
        with LibrarySet.open([folder / "library", folder / "library"], model=Model(folder / "toy")) as both:
            assert both.similar(example).nothing_alike == is_nearer
    # Without its model a library still says what is like its own sounds.
    shutil.rmtree(folder / "toy")
    with Library.open(folder / "library") as without:
        assert not without.similar(example).nothing_alike
