"""Scores become probabilities: by hand, in order, and never from a file of another model."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soundseek._vectors import unit_rows
from soundseek.errors import ModelError, StorageError
from soundseek.model.match import MATCH_FILE, MatchCalibration, match_features, match_word
from soundseek.model.memory import SoundMemory
from soundseek.model.stretches import scores_of_sentences

REFERENCE = np.eye(4, dtype=np.float16)  # a query along one axis scores 1, 0, 0, 0
QUERY = np.float32([1, 0, 0, 0])


def calibration(weights: list[float]) -> MatchCalibration:
    num = len(weights) - 1
    return MatchCalibration(REFERENCE, np.zeros(num), np.ones(num), np.array(weights), 1_000)


def test_features_by_hand() -> None:
    (row,) = match_features(REFERENCE, QUERY, np.float32([0.5]), 100)
    mean, deviation = 0.25, np.sqrt(3) / 4  # of 1, 0, 0, 0
    highest = np.quantile([1, 0, 0, 0], 0.99)
    by_hand = [0.5, (0.5 - mean) / deviation, 0.5 - highest, np.log(100), 0.5 - 1, 0.25]
    np.testing.assert_allclose(row, by_hand, atol=1e-6)


def test_a_sentence_that_names_several_sounds_is_compared_with_what_sounds_score_for_it() -> None:
    both = unit_rows(np.float32([[1, 1, 0.2, 0], [1, 0, 0, 0], [0, 1, 0, 0]]))
    varied = unit_rows(np.random.default_rng(3).standard_normal((50, 4)).astype(np.float32))
    usual = scores_of_sentences(varied @ both.T)
    (row,) = match_features(varied, both, usual[[7]], 100)
    by_hand = [
        usual[7], (usual[7] - usual.mean()) / usual.std(), usual[7] - np.quantile(usual, 0.99), np.log(100),
        usual[7] - usual.max(), np.sort(usual)[-5:].mean(),
    ]  # fmt: skip
    np.testing.assert_allclose(row, by_hand, atol=1e-5)
    # By its least part a sound scores lower than by the sentence as a whole: that is no reason to doubt it.
    best = np.float32([usual.max()])
    assert match_features(varied, both, best, 100)[0, 4] == pytest.approx(0, abs=1e-6)
    assert match_features(varied, both[0], best, 100)[0, 4] < -0.1
    # A query that names one sound is the same, with and without a row of its own, to the last bit.
    alone = [match_features(varied, each, usual, 100) for each in (both[1], both[1:2])]
    np.testing.assert_array_equal(*alone)


def test_a_probability_by_hand() -> None:
    found = calibration([-1.0, 2.0, 0, 0, 0]).probabilities(QUERY, np.float32([0.5, 0.0]), num_files=9)
    np.testing.assert_allclose(found, [0.5, 1 / (1 + np.e)], atol=1e-6)


def test_what_names_several_sounds_is_turned_by_a_line_of_its_own(tmp_path: Path) -> None:
    plain = calibration([-1.0, 2.0, 0, 0, 0])
    replace(plain, sentence=(0.5, 3.0)).write(tmp_path)
    turned = MatchCalibration.read(tmp_path, dim=4)
    assert turned is not None
    sentence = unit_rows(np.float32([[1, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]]))
    scores = np.float32([0.5, 1.0])  # log-odds 0 and 1 for what names one sound
    found = turned.probabilities(sentence, scores, num_files=9)
    np.testing.assert_allclose(found, [1 / (1 + np.exp(-0.5)), 1 / (1 + np.exp(-3.5))], atol=1e-6)
    # To the last bit, one sound is what it was, and so is a sentence where none was fitted.
    for query, one, other in ((QUERY, turned, plain), (QUERY[None], turned, plain)):
        np.testing.assert_array_equal(
            *(each.probabilities(query, scores, num_files=9) for each in (one, other))
        )
    stored = dict(np.load(tmp_path / MATCH_FILE))
    del stored["sentence"]
    np.savez(tmp_path / MATCH_FILE, **stored)
    former = MatchCalibration.read(tmp_path, dim=4)
    assert former is not None
    np.testing.assert_array_equal(
        *(each.probabilities(sentence, scores, num_files=9) for each in (former, plain))
    )
    for broken in (np.zeros(3), np.array([0.0, np.nan])):
        np.savez(tmp_path / MATCH_FILE, **stored, sentence=broken)
        with pytest.raises(ModelError, match=r"is damaged.*soundseek calibrate"):
            MatchCalibration.read(tmp_path, dim=4)


def test_a_calibration_of_fewer_features_says_what_it_said(tmp_path: Path) -> None:
    calibration([-1.0, 2.0, 0, 0, 0]).write(tmp_path)  # as it was fitted before there were more
    former = MatchCalibration.read(tmp_path, dim=4)
    calibration([-1.0, 2.0, 0, 0, 0, 0.5, 0]).write(tmp_path)
    more = MatchCalibration.read(tmp_path, dim=4)
    assert former is not None and more is not None
    scores = np.float32([0.5])
    assert former.probabilities(QUERY, scores, num_files=9) == pytest.approx([0.5])
    # half a unit more for each unit below the highest of the reference, 1
    expected = 1 / (1 + np.exp(0.25))
    assert more.probabilities(QUERY, scores, num_files=9) == pytest.approx([expected], abs=1e-6)


def test_a_higher_score_is_surer_and_a_larger_library_less_so() -> None:
    fitted = calibration([0, 1.0, 1.0, 0.5, -0.5])
    found = fitted.probabilities(QUERY, np.float32([0.6, 0.4, 0.2]), num_files=100)
    assert (np.diff(found) < 0).all()
    larger = fitted.probabilities(QUERY, np.float32([0.6, 0.4, 0.2]), num_files=1_000)
    assert (larger < found).all()
    # Beyond what it was fitted on, a library counts as that large: nothing is known of a hundred thousand files.
    beyond = fitted.probabilities(QUERY, np.float32([0.6, 0.4, 0.2]), num_files=100_000)
    np.testing.assert_array_equal(beyond, larger)


def test_what_is_written_is_read_and_a_directory_without_it_has_none(tmp_path: Path) -> None:
    assert MatchCalibration.read(tmp_path, dim=4) is None
    written = calibration([-1.0, 2.0, 0.5, 0, -0.1])
    written.write(tmp_path)
    read = MatchCalibration.read(tmp_path, dim=4)
    assert read is not None
    scores = np.float32([0.3, 0.1])
    np.testing.assert_array_equal(
        read.probabilities(QUERY, scores, num_files=5), written.probabilities(QUERY, scores, num_files=5)
    )


def test_what_the_model_remembers_is_its_reference_and_stored_once(tmp_path: Path) -> None:
    memory = SoundMemory(REFERENCE.astype(np.float32))
    weights = np.array([-1.0, 2.0, 0.5, 0, -0.1, 0.5, 0])
    calibrated = MatchCalibration(memory.sounds, np.zeros(6), np.ones(6), weights, 99, is_of_memory=True)
    calibrated.write(tmp_path)
    with pytest.raises(ModelError, match=r"match\.npz needs memory\.npz beside it.*soundseek calibrate"):
        MatchCalibration.read(tmp_path, dim=4)
    memory.write(tmp_path)
    read = MatchCalibration.read(tmp_path, dim=4)
    assert read is not None and read.is_of_memory
    scores = np.float32([0.3, 0.1])
    found = [each.probabilities(QUERY, scores, num_files=5) for each in (read, calibrated)]
    np.testing.assert_allclose(*found, atol=1e-6)
    assert "reference" not in np.load(tmp_path / MATCH_FILE)


def test_a_file_of_another_model_or_a_damaged_one_is_named(tmp_path: Path) -> None:
    calibration([0.0] * 5).write(tmp_path)
    with pytest.raises(ModelError, match="of another model"):
        MatchCalibration.read(tmp_path, dim=8)
    for content in (b"", b"PK no archive", (tmp_path / MATCH_FILE).read_bytes()[:200]):
        (tmp_path / MATCH_FILE).write_bytes(content)
        with pytest.raises(ModelError, match=r"is damaged.*soundseek calibrate"):
            MatchCalibration.read(tmp_path, dim=4)


def test_a_calibration_of_another_model_of_the_same_dimension_is_refused(tmp_path: Path) -> None:
    replace(calibration([0.0] * 5), heard_by="aaaaaaaaaaaa").write(tmp_path)
    assert MatchCalibration.read(tmp_path, dim=4, hears_like="aaaaaaaaaaaa") is not None
    with pytest.raises(ModelError, match=r"of the model a{12}, and this directory's is b{12}.*calibrate"):
        MatchCalibration.read(tmp_path, dim=4, hears_like="bbbbbbbbbbbb")
    # So is the memory of another one that it is to be compared with.
    replace(calibration([0.0] * 5), is_of_memory=True).write(tmp_path)
    SoundMemory(REFERENCE.astype(np.float32), heard_by="aaaaaaaaaaaa").write(tmp_path)
    with pytest.raises(ModelError, match=r"memory\.npz is of the model a{12}"):
        MatchCalibration.read(tmp_path, dim=4, hears_like="bbbbbbbbbbbb")


def test_objects_that_run_code_are_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / MATCH_FILE, reference=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ModelError, match="is damaged"):
        MatchCalibration.read(tmp_path, dim=4)


def test_words_stand_at_their_bounds() -> None:
    assert [match_word(p) for p in (1.0, 0.8, 0.79, 0.5, 0.49, 0.2, 0.19, 0.0)] == [
        "sure", "sure", "likely", "likely", "maybe", "maybe", "unlikely", "unlikely",
    ]  # fmt: skip


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calibration([-1.0, 2.0, 0.5, 0, -0.1]).write(tmp_path)
    before = (tmp_path / MATCH_FILE).read_bytes()

    def half(file: Any, **arrays: Any) -> None:
        file.write(b"PK")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", half)
    with pytest.raises(StorageError, match=MATCH_FILE):
        calibration([0.0] * 5).write(tmp_path)
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [before]
