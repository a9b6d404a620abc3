"""Words turn towards the remembered sounds that they name, by hand; and never towards those of another model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from soundseek._vectors import unit_rows
from soundseek.errors import ModelError
from soundseek.model.memory import MEMORY_FILE, TEMPERATURE, WEIGHT, SoundMemory

EAST, NORTH = np.float32([1, 0]), np.float32([0, 1])


def test_words_turn_towards_the_nearest_sound_by_its_weight() -> None:
    near = np.float32([0.8, 0.6])
    (turned,) = SoundMemory(np.stack([near, -EAST])).turned(EAST[None])
    # The other sound is 1.8 away, sixty times the temperature: only the near one counts.
    by_hand = EAST + WEIGHT * near
    np.testing.assert_allclose(turned, by_hand / np.linalg.norm(by_hand), atol=1e-6)


def test_sounds_count_the_less_the_further_they_are() -> None:
    angle = np.arccos(1 - TEMPERATURE)  # so much further that it counts 1/e
    further = np.float32([np.cos(angle), np.sin(angle)])
    (turned,) = SoundMemory(np.stack([EAST, further])).turned(EAST[None])
    mean = EAST + further / np.e
    by_hand = EAST + WEIGHT * mean / np.linalg.norm(mean)
    np.testing.assert_allclose(turned, by_hand / np.linalg.norm(by_hand), atol=1e-6)


def test_each_of_several_words_turns_as_it_does_alone() -> None:
    sounds = np.random.default_rng(0).standard_normal((40, 8)).astype(np.float32)
    words = np.random.default_rng(1).standard_normal((5, 8)).astype(np.float32)
    memory = SoundMemory(sounds / np.linalg.norm(sounds, axis=1, keepdims=True))
    words /= np.linalg.norm(words, axis=1, keepdims=True)
    together = memory.turned(words)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    for word, turned in zip(words, together, strict=True):
        np.testing.assert_array_equal(memory.turned(word[None])[0], turned)
        assert (memory.sounds @ turned).max() > (memory.sounds @ word).max()


def test_what_is_heard_as_another_kind_comes_behind_what_is_heard_as_the_one_asked_for() -> None:
    saxophone, clarinet, rain = np.eye(4, dtype=np.float32)[:3]
    memory = SoundMemory(np.stack([saxophone, clarinet, rain]))
    asked = unit_rows((0.9 * saxophone + clarinet)[None])
    loud_saxophone, far_clarinet = unit_rows(np.stack([saxophone, clarinet + rain]))
    # By their scores it would be the other way round.
    assert loud_saxophone @ asked[0] > far_clarinet @ asked[0] > 0
    added = memory.heard_as_asked(np.stack([loud_saxophone, far_clarinet, asked[0]]), asked)
    assert added[0] < added[1] < added[2] < 0


def test_of_a_sentence_each_sound_that_it_names_must_be_heard() -> None:
    dog, rain, other = np.eye(4, dtype=np.float32)[:3]
    memory = SoundMemory(np.stack([dog, rain, other]))
    sentence = np.stack([*unit_rows((dog + rain)[None]), dog, rain])
    of_both, of_one = memory.heard_as_asked(unit_rows(np.stack([dog + rain, dog])), sentence)
    assert of_both > of_one + 0.5


def test_what_is_written_is_read_to_a_byte_and_a_directory_without_it_has_none(tmp_path: Path) -> None:
    assert SoundMemory.read(tmp_path, dim=2) is None
    sounds = np.float32([[0.6, 0.8], [-0.28, 0.96]])
    SoundMemory(sounds).write(tmp_path)
    read = SoundMemory.read(tmp_path, dim=2)
    assert read is not None
    np.testing.assert_allclose(read.sounds, sounds, atol=1 / 127)
    np.testing.assert_allclose(np.linalg.norm(read.sounds, axis=1), 1, atol=1e-6)


def test_a_kind_whose_clips_cancel_each_other_out_is_not_kept(tmp_path: Path) -> None:
    SoundMemory(np.float32([[0, 0], [1, 0]])).write(tmp_path)
    read = SoundMemory.read(tmp_path, dim=2)
    assert read is not None
    np.testing.assert_array_equal(read.sounds, [[1, 0]])


def test_a_file_of_another_model_or_a_damaged_one_is_named(tmp_path: Path) -> None:
    SoundMemory(np.stack([EAST, NORTH])).write(tmp_path)
    with pytest.raises(ModelError, match=r"of another model \(shape \(2, 2\)\).*soundseek calibrate"):
        SoundMemory.read(tmp_path, dim=3)
    whole = (tmp_path / MEMORY_FILE).read_bytes()
    for content in (b"", b"PK no archive", whole[: len(whole) // 2]):
        (tmp_path / MEMORY_FILE).write_bytes(content)
        with pytest.raises(ModelError, match=r"is damaged.*soundseek calibrate"):
            SoundMemory.read(tmp_path, dim=2)


def test_a_memory_of_another_model_of_the_same_dimension_is_refused(tmp_path: Path) -> None:
    sounds = np.stack([EAST, NORTH])
    SoundMemory(sounds, heard_by="aaaaaaaaaaaa").write(tmp_path)
    own = SoundMemory.read(tmp_path, dim=2, hears_like="aaaaaaaaaaaa")
    assert own is not None and own.heard_by == "aaaaaaaaaaaa"
    with pytest.raises(
        ModelError, match=r"is of the model a{12}, and this directory's is b{12}; .*soundseek calibrate"
    ):
        SoundMemory.read(tmp_path, dim=2, hears_like="bbbbbbbbbbbb")
    SoundMemory(sounds).write(tmp_path)  # a file of before does not say
    former = SoundMemory.read(tmp_path, dim=2, hears_like="bbbbbbbbbbbb")
    assert former is not None and former.heard_by == ""


@pytest.mark.parametrize(
    "sounds", [np.zeros((0, 2), np.int8), np.ones((2, 2), np.float32), np.ones(2, np.int8)]
)
def test_what_is_no_memory_is_refused(tmp_path: Path, sounds: np.ndarray) -> None:
    np.savez(tmp_path / MEMORY_FILE, sounds=sounds)
    with pytest.raises(ModelError, match="of another model"):
        SoundMemory.read(tmp_path, dim=2)
