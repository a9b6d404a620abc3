"""`Library` from end to end on a toy model: real files, real networks, 16 dimensions."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tones import write_tone
from toy_model import make_toy_model

from soundseek.errors import DecodeError, LibraryError, ModelError, QueryError, UsageError
from soundseek.library import Hit, Library, LibrarySet, default_library_path
from soundseek.library.library_model import identity_of
from soundseek.library.query_vectors import combine
from soundseek.model.model import Model
from soundseek.model.stretches import segment_scores

LONG_S = 32.0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(make_toy_model(tmp_path_factory.mktemp("models") / "toy"))


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    for number in range(5):
        write_tone(folder / f"tone{number}.wav", frequency_hz=200.0 * 2**number)
    write_tone(folder / "long.wav", frequency_hz=300.0, duration_s=LONG_S)
    (folder / "text.wav").write_text("this is no sound")
    return folder


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, model: Model, sounds: Path) -> Iterator[Library]:
    with Library.create(tmp_path_factory.mktemp("libraries") / "one", model=model) as opened:
        report = opened.index(sounds)
        assert (report.added, report.failed) == (6, 1)
        assert report.audio_s == pytest.approx(5 * 2 + LONG_S, abs=0.1)
        yield opened


def names(hits: list[Hit]) -> list[str]:
    return [Path(hit.path).name for hit in hits]


def test_a_search_ranks_files_as_the_model_does(library: Library, model: Model) -> None:
    hits = library.search("a high tone", k=10)
    assert len(hits) == 6 and len(set(names(hits))) == 6
    (query,) = model.embed_text(["a high tone"])
    for hit in hits:
        heard = model.embed_file(hit.path)
        segments = [heard.frames[first:last] for first, last in heard.spans]
        scores = segment_scores(segments, query[None], frame_s=[heard.frame_s] * len(segments))
        assert hit.score == pytest.approx(float(scores.max()), abs=1e-3)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_moments_cover_the_event(library: Library) -> None:
    for hit in library.search("a high tone", k=10, segments=True, without=["rain"]):
        assert len(hit.moments) == pytest.approx((hit.end_s - hit.start_s) / 0.32, abs=1)
        assert hit.start_s < hit.moment_s <= hit.end_s <= hit.duration_s + 1e-6


def test_windows_that_overlap_are_one_event_on_request(library: Library) -> None:
    hits = [hit for hit in library.search("tone", k=99, segments=True) if hit.path.endswith("long.wav")]
    assert 1 <= len(hits) < library.info().segments - 5
    hits.sort(key=lambda hit: hit.start_s)
    assert all(one.end_s <= other.start_s for one, other in itertools.pairwise(hits))
    assert max(hit.end_s for hit in hits) <= LONG_S + 0.01


def test_words_examples_and_negatives_make_one_query(library: Library, model: Model, sounds: Path) -> None:
    example = sounds / "tone3.wav"
    hits = library.search("low hum", like=[example], without=["rain", "wind"], k=99, as_typed=True)
    words, negatives = model.embed_text(["low hum"]), model.embed_text(["rain", "wind"])
    query = combine(np.concatenate([words, model.embed_audio([example])]), negatives)
    for hit in hits:
        best = float((model.embed_file(hit.path).vectors @ query).max())
        assert hit.score == pytest.approx(best, abs=1e-3)


def test_an_example_is_not_its_own_answer(library: Library, sounds: Path, tmp_path: Path) -> None:
    assert "tone3.wav" not in names(library.similar(sounds / "tone3.wav"))
    moments = names(library.similar(sounds / "tone3.wav", segments=True, k=99))
    assert "tone3.wav" not in moments and len(set(moments)) == library.info().files - 1
    copy = tmp_path / "copy.wav"
    shutil.copy(sounds / "tone3.wav", copy)
    best = library.similar(copy, k=1)[0]
    assert Path(best.path).name == "tone3.wav" and best.score == pytest.approx(1, abs=1e-3)


def test_a_relative_example_is_left_out_as_well(
    library: Library, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sounds)
    assert "tone3.wav" not in names(library.search(like=["tone3.wav"]))


def test_a_condition_limits_the_files(library: Library) -> None:
    assert names(library.search("tone", where="duration > 10")) == ["long.wav"]
    assert library.search("tone", where="format = mp3") == []
    assert set(names(library.search("tone", where="name = tone?.wav and not name ~ 3"))) == {
        "tone0.wav", "tone1.wav", "tone2.wav", "tone4.wav",
    }  # fmt: skip


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_a_search_for_nothing_is_refused(library: Library, empty: str | None) -> None:
    with pytest.raises(QueryError, match="nothing to look for"):
        library.search(empty, without=["rain"])


def test_a_model_may_be_given_by_its_directory(library: Library, model: Model, tmp_path: Path) -> None:
    location = library.store.location
    for each in (str(model.directory), model.directory):
        with Library.open(location, model=each) as opened:
            assert opened.model.fingerprint == model.fingerprint
        with LibrarySet.open([location], model=each) as several:
            assert several.model.fingerprint == model.fingerprint
    with Library.create(tmp_path / "new", model=str(model.directory)) as made:
        assert made.store.identity == library.store.identity


def test_what_is_no_model_is_named(library: Library) -> None:
    with pytest.raises(ModelError, match="no model 'x'"):
        Library.open(library.store.location, model="x")
    no_model: Any = 3
    with pytest.raises(UsageError, match="its name or its directory, not 3"):
        Library.open(library.store.location, model=no_model)


def test_python_is_told_of_arguments_and_not_of_options(library: Library) -> None:
    with pytest.raises(QueryError, match=r"like=\[FILE\]") as refused:
        library.search("")
    assert "--" not in str(refused.value)


def test_wrong_questions_are_refused(library: Library, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="k is a whole number of hits, not True"):
        library.search("tone", k=True)
    with pytest.raises(QueryError, match="k is 0"):
        library.search("tone", k=0)
    with pytest.raises(QueryError, match="no field 'colour'"):
        library.search("tone", where="colour = red")
    with pytest.raises(DecodeError, match=r"nothing\.wav"):
        library.similar(tmp_path / "nothing.wav")
    with pytest.raises(UsageError, match="workers"):
        library.index(tmp_path, workers=-1)
    with pytest.raises(UsageError, match="max_duration_s"):
        library.index(tmp_path, max_duration_s=0)


def test_one_text_or_path_in_the_place_of_a_list_is_refused(library: Library, sounds: Path) -> None:
    with pytest.raises(QueryError, match="take lists"):
        library.search("tone", without="rain")
    for example in (sounds / "tone3.wav", str(sounds / "tone3.wav")):
        with pytest.raises(QueryError, match="take lists"):
            library.search("tone", like=example)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [b"dog", ["dog"], Path("dog"), 1.5])
def test_a_query_of_another_type_is_refused(library: Library, text: Any) -> None:
    for ask in (library.search, library.read, lambda query: library.explain(query, [])):
        with pytest.raises(QueryError, match="a query is a text"):
            ask(text)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("k is a whole number", {"k": 1.5}),
        ("where takes a text", {"where": 3}),
        ("min_match is a number", {"min_match": "x"}),
        ("an example sound is a path", {"like": [None]}),
    ],
)
def test_an_option_of_another_type_is_refused(library: Library, name: str, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=name):
        library.search("rain", **options)


def test_a_path_a_label_and_a_number_of_another_type_are_refused(library: Library) -> None:
    calls: list[Callable[..., object]] = [library.index, library.forget, library.similar, library.label]
    for call in calls:
        with pytest.raises(UsageError, match="is a path, such as"):
            call(3)
    with pytest.raises(UsageError, match="is a path, such as"):
        library.relocate(1, 2)  # type: ignore[arg-type]
    for labels in (None, [1, 2], 3):
        with pytest.raises(UsageError, match="labels take a list of texts"):
            library.label("x.wav", labels=labels)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="3 is no pattern of files"):
        library.index(".", exclude=[3])  # type: ignore[list-item]
    with pytest.raises(UsageError, match="min_score is a number"):
        library.duplicates(min_score="high")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="workers is a number"):
        library.index(".", workers="x")  # type: ignore[arg-type]


def test_failures_are_listed(library: Library, sounds: Path) -> None:
    (failure,) = library.failures()
    assert failure.path == str(sounds / "text.wav")
    assert failure.reason and failure.seen_at.endswith("Z")


def test_info_says_what_there_is(library: Library, sounds: Path, model: Model) -> None:
    info = library.info()
    assert info.unmeasured == 0
    assert (info.files, info.failures, info.cut) == (6, 1, 0)
    assert info.folders == (str(sounds),)
    assert info.audio_hours == pytest.approx((5 * 2 + LONG_S) / 3600, rel=0.01)
    assert (info.model, info.fingerprint, info.dim) == ("toy", model.fingerprint, 16)
    assert info.bytes_on_disk > info.segments * 16 * 2
    assert info.last_indexed is not None and info.last_indexed.endswith("Z")


def test_a_library_remembers_its_model(
    library: Library, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOUNDSEEK_MODEL", raising=False)
    with Library.open(library.info().path) as again:
        assert again.model.fingerprint == model.fingerprint
        assert names(again.search("tone")) == names(library.search("tone"))


def test_another_model_is_refused(library: Library, tmp_path: Path) -> None:
    other = Model(make_toy_model(tmp_path / "other", seed=1, name="other"))
    with pytest.raises(LibraryError, match=r"filled by the model toy .*, not by other .*--library DIR"):
        Library.open(library.info().path, model=other)


def test_a_model_that_was_replaced_or_removed_is_noticed(tmp_path: Path) -> None:
    directory = make_toy_model(tmp_path / "toy")
    Library.create(tmp_path / "library", model=Model(directory)).close()
    make_toy_model(directory, seed=1)
    with (
        Library.open(tmp_path / "library") as library,
        pytest.raises(LibraryError, match="was filled by toy as it was before"),
    ):
        library.search("tone")
    shutil.rmtree(directory)
    with Library.open(tmp_path / "library") as library:
        assert library.info().model == "toy"
        with pytest.raises(ModelError, match=r"filled by the model toy .*cannot be loaded.*--model"):
            library.search("tone")


def test_reading_makes_no_library(tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="holds no library yet; make one with: soundseek index FOLDER"):
        Library.open(tmp_path / "nowhere", create=False)
    assert not (tmp_path / "nowhere").exists()


def test_the_advice_on_a_missing_library_names_it_unless_it_is_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LibraryError, match=rf"soundseek index FOLDER --library {tmp_path}/mine$"):
        Library.open("mine", create=False)
    with pytest.raises(LibraryError, match=r"soundseek index FOLDER$"):
        Library.open(create=False)


def test_a_new_library_takes_the_default_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDSEEK_MODEL", str(make_toy_model(tmp_path / "toy")))
    for location in (tmp_path / "library", "memory://"):
        with Library.create(location) as library:
            assert library.info().model == "toy"
            assert library.search("tone") == []


def test_the_default_library_is_in_the_users_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    if sys.platform == "linux":
        assert default_library_path() == Path("/data/soundseek/library")
    assert default_library_path().name == "library"


def test_a_library_in_memory_answers_like_one_on_disk(library: Library, model: Model, sounds: Path) -> None:
    with Library.create("memory://", model=model) as in_memory:
        in_memory.index(sounds)
        expected = library.search("tone", k=99, segments=True)
        found = in_memory.search("tone", k=99, segments=True)
        assert [(hit.path, hit.start_s) for hit in found] == [(hit.path, hit.start_s) for hit in expected]
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=1e-6)


def test_explanations_name_words_of_the_query(library: Library) -> None:
    hits = library.search("a quiet tone", k=99, segments=True)
    reasons = library.explain("a quiet tone", hits)
    assert len(reasons) == len(hits)
    assert all(set(words) <= {"quiet", "tone"} for words in reasons) and any(reasons)
    assert library.explain("a quiet tone", [Hit("/gone.wav", 0, 1, 0.5, (0.5,))]) == [[]]


def test_threads_may_search_while_another_indexes(
    library: Library, model: Model, sounds: Path, tmp_path: Path
) -> None:
    shutil.copytree(sounds, tmp_path / "sounds")
    answers: list[object] = []
    with Library.create(tmp_path / "library", model=model) as shared:
        shared.index(tmp_path / "sounds")

        def ask() -> None:
            try:
                answers.extend(len(shared.search("tone", k=50)) for _ in range(10))
            except Exception as error:
                answers.append(error)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(3):
            write_tone(tmp_path / "sounds" / f"new{number}.wav", frequency_hz=100.0 + number)
            shared.index(tmp_path / "sounds")
        for thread in threads:
            thread.join()
        assert len(answers) == 30 and set(answers) <= {6, 7, 8, 9}
        assert len(shared.search("tone", k=50)) == 9


def test_workers_fill_the_same_library(library: Library, model: Model, sounds: Path, tmp_path: Path) -> None:
    with Library.create(tmp_path / "library", model=model) as other:
        report = other.index(sounds, workers=2)
        assert (report.added, report.failed) == (6, 1)
        expected = library.search("tone", k=99, segments=True)
        found = other.search("tone", k=99, segments=True)
    assert [(hit.path, hit.start_s, hit.moments) for hit in found] == [
        (hit.path, hit.start_s, hit.moments) for hit in expected
    ]


def test_an_installed_model_is_remembered_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundseek.model.registry.models_folder", lambda: tmp_path / "models")
    inside = Model(make_toy_model(tmp_path / "models" / "toy"))
    outside = Model(make_toy_model(tmp_path / "toy"))
    assert identity_of(inside).source == "toy"
    assert identity_of(outside).source == str(tmp_path / "toy")


def test_asking_for_facts_loads_no_network(library: Library) -> None:
    script = (
        "import sys; from soundseek.library import Library\n"
        "with Library.open(sys.argv[1], create=False) as library:\n"
        "    library.info(), library.failures()\n"
        "print(*sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, library.info().path], capture_output=True, text=True, check=True
    )
    loaded = {name.split(".")[0] for name in run.stdout.split()}
    assert not {"onnxruntime", "soundfile", "tokenizers"} & loaded
    assert "numpy" in loaded


def test_a_path_may_be_bytes_of_any_kind(model: Model, tmp_path: Path) -> None:
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav")
    write_tone(Path(odd), frequency_hz=440.0)
    with Library.create(tmp_path / "library", model=model) as library:
        assert library.index(tmp_path).added == 1
        assert [hit.path for hit in library.search("tone")] == [odd]
