"""Adapting to one's own sounds: the gain is real, and nothing else moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tones import write_tone
from toy_model import make_toy_model

from soundseek import Library
from soundseek._vectors import unit_rows
from soundseek.errors import DataError, LibraryError, UsageError
from soundseek.learn import adapt
from soundseek.learn.datasets.own_sounds import OwnClip
from soundseek.learn.export.adapt import (
    AdaptConfig,
    General,
    OwnVectors,
    fit_text_map,
    held_out_precision,
    mapped,
    own_vectors,
)
from soundseek.model.match import MatchCalibration
from soundseek.model.memory import SoundMemory
from soundseek.model.model import Model
from soundseek.model.spelling import read_words

torch.set_num_threads(1)

QUICK = AdaptConfig(steps=40, learning_rate=0.02, anchor=0.1, batch_size=32)
PITCHES_HZ = {"zork": 200, "blip": 1500, "quux": 5000}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy model that knows some varied sounds, and 24 tones in three folders."""
    folder = tmp_path_factory.mktemp("adapt")
    model = Model(make_toy_model(folder / "model"))
    noises = unit_rows(np.random.default_rng(0).standard_normal((12, 16)).astype(np.float32))
    SoundMemory(noises).write(model.directory)
    MatchCalibration(noises, np.zeros(4), np.ones(4), np.zeros(5), 9, is_of_memory=True).write(
        model.directory
    )
    for label, pitch_hz in PITCHES_HZ.items():
        (folder / "mine" / label).mkdir(parents=True)
        for number in range(8):
            write_tone(
                folder / "mine" / label / f"{number}.wav",
                frequency_hz=pitch_hz * 1.02**number,
                duration_s=0.4,
            )
    return folder


@pytest.fixture(scope="module")
def adapted(place: Path) -> Path:
    """The model directory of those tones; a file among them is no sound."""
    (place / "mine" / "blip" / "bad.wav").write_text("no sound")
    said: list[str] = []
    steps: list[tuple[str, int, int]] = []
    report = adapt(
        place / "mine",
        place / "adapted",
        start=place / "model",
        config=QUICK,
        report=lambda *step: steps.append(step),
        say=said.append,
    )
    assert report.clips == 24 and report.labels == 3 and report.kind == "labels"
    assert len(report.skipped) == 1 and "bad.wav" in said[0]
    assert report.held_out == 24  # every tenth in its turn
    assert report.after > report.before + 0.1 and report.gain.low > 0
    assert report.gain.value == pytest.approx(report.after - report.before)
    assert ("embedding your sounds", 25, 25) in steps and ("learning", QUICK.steps, QUICK.steps) in steps
    assert report.to_dict()["directory"] == str(place / "adapted")
    return place / "adapted"


def test_the_adapted_model_finds_what_the_start_did_not(place: Path, adapted: Path) -> None:
    paths = sorted((place / "mine").rglob("[0-9].wav"))
    labels = [path.parent.name for path in paths]
    found = {}
    for name in ("model", "adapted"):
        model = Model(place / name)
        scores = model.embed_text(list(PITCHES_HZ)) @ model.embed_audio(paths).T
        first = [[labels[place] for place in np.argsort(-row)[:8]] for row in scores]
        found[name] = sum(
            row.count(label) for row, label in zip(first, PITCHES_HZ, strict=True)
        )  # of three times eight
    assert found["adapted"] >= 20 > found["model"]


def test_what_the_start_remembers_is_remembered_for_sounds_keep_their_vectors(
    place: Path, adapted: Path
) -> None:
    start, made = Model(place / "model"), Model(adapted)
    assert start.memory is not None and made.memory is not None and made.match is not None
    np.testing.assert_array_equal(made.memory.sounds, start.memory.sounds)
    assert made.match.is_of_memory and len(made.match.reference) == 12
    sounds = sorted((place / "mine" / "zork").glob("*.wav"))
    np.testing.assert_array_equal(made.embed_audio(sounds), start.embed_audio(sounds))


def test_its_card_says_what_it_was_made_of(adapted: Path, place: Path) -> None:
    card, start = Model(adapted).config, Model(place / "model")
    said = card.training["adapted"]
    assert card.name == "adapted" and said["start"]["fingerprint"] == start.fingerprint
    assert said["clips"] == 24 and said["gain"]["low"] > 0 and said["steps"] == QUICK.steps
    assert str(place) not in (adapted / "config.json").read_text()
    assert {"zork", "blip", "quux", "sound"} <= read_words(adapted / "words.txt").keys()


def test_a_library_of_the_start_is_taken_over_without_embedding(place: Path, adapted: Path) -> None:
    location = place / "library"
    with Library.open(location, model=Model(place / "model"), create=True) as library:
        assert library.index(place / "mine").added == 24
    with Library.open(location, model=Model(adapted)) as library:
        report = library.index()
        assert report.unchanged == 24 and not report.added and not report.changed
        assert library.info().model == "adapted"
        hit = library.search("zork", k=1)[0]
    with Library.open(location) as library:  # from now on it is the library's own
        assert library.model.fingerprint == Model(adapted).fingerprint
        assert library.search("zork", k=1)[0].path == hit.path and "zork" in hit.path
    with Library.open(location, model=Model(place / "model")) as library:
        library.index()  # and back
        assert library.info().model == "toy"
    with pytest.raises(LibraryError, match="not by other"):
        Library.open(location, model=Model(make_toy_model(place / "other", seed=3, name="other")))


def test_what_lies_at_out_stays(place: Path) -> None:
    out = place / "there"
    out.mkdir(exist_ok=True)
    with pytest.raises(UsageError, match="there exists; choose another --out"):
        adapt(place / "mine", out, start=place / "model")
    assert not list(out.iterdir())


def test_a_stop_leaves_nothing_behind(place: Path) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if what == "learning":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt(place / "mine", place / "stopped", start=place / "model", config=QUICK, report=stop)
    assert not [path for path in place.iterdir() if "stopped" in path.name]


def test_too_little_is_refused_with_how_much_there_is(place: Path, tmp_path: Path) -> None:
    for number in range(25):
        (tmp_path / "one" / "hum").mkdir(parents=True, exist_ok=True)
        (tmp_path / "one" / "hum" / f"{number}.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"all 25 sounds have the label 'hum'.*give at least two"):
        adapt(tmp_path / "one", tmp_path / "out", start=place / "model")
    (tmp_path / "few" / "a").mkdir(parents=True)
    (tmp_path / "few" / "a" / "1.wav").write_bytes(b"")
    (tmp_path / "few" / "loose.wav").write_bytes(b"")
    with pytest.raises(
        DataError, match="1 sounds to learn from, and 20 are the least; 1 sounds have no label"
    ):
        adapt(tmp_path / "few", tmp_path / "out", start=place / "model")


def test_files_that_cannot_be_read_count_for_nothing(place: Path, tmp_path: Path) -> None:
    for number in range(25):
        folder = tmp_path / "mine" / ("a" if number % 2 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.wav").write_text("no sound")
    with pytest.raises(DataError, match=r"0 sounds to learn from.*25 files could not be read"):
        adapt(tmp_path / "mine", tmp_path / "out", start=place / "model")


def two_captions() -> OwnVectors:
    """Two sounds along the axes, each asked for by what lies beside the other."""
    eye = np.eye(4, dtype=np.float32)
    alike = [np.array([0]), np.array([1])]
    return OwnVectors(eye[:2], eye[[1, 0]], np.array([0, 1]), alike, np.array([0, 1]))


def test_words_turn_to_their_sounds_and_other_sentences_stay() -> None:
    own, eye = two_captions(), np.eye(4, dtype=np.float32)
    general = General(eye[2:], np.empty((0, 4), np.float32))
    difference = fit_text_map(own, general, AdaptConfig(steps=200, learning_rate=0.05, anchor=1.0))
    turned = mapped(own.text, difference)
    assert (turned * own.audio).sum(axis=1).min() > 0.9
    assert (mapped(general.sentences, difference) * general.sentences).sum(axis=1).min() > 0.99
    _, before, after = held_out_precision(own, general, difference, np.array([0, 1]))
    assert before.tolist() == [0.5, 0.5] and after.tolist() == [1.0, 1.0]


def test_a_share_of_the_change_is_taken() -> None:
    own, general = two_captions(), General(np.eye(4, dtype=np.float32)[2:], np.empty((0, 4), np.float32))
    whole = fit_text_map(own, general, AdaptConfig(steps=5))
    half = fit_text_map(own, general, AdaptConfig(steps=5, share=0.5))
    np.testing.assert_allclose(half, whole / 2, atol=1e-7)
    assert np.abs(whole).max() > 1e-4


def test_captions_describe_every_clip_of_their_label_or_words(place: Path) -> None:
    clips = [
        OwnClip(Path("1"), ("Dog", "barks"), "dog", "r"),
        OwnClip(Path("2"), ("a dog",), "dog", "r"),
        OwnClip(Path("3"), ("seal", "Barks"), "seal", "s"),
    ]
    own = own_vectors(Model(place / "model"), clips, np.eye(3, 16, dtype=np.float32))
    assert [each.tolist() for each in own.alike] == [[0, 1], [0, 1, 2], [0, 1], [2], [0, 2]]
    assert own.owners.tolist() == [0, 0, 1, 2, 2] and own.recordings.tolist() == [0, 0, 1]
