"""`match` on a toy world in which right and wrong hits are drawn from known distributions."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from soundseek.audio.decode import AudioInfo
from soundseek.audio.segments import Segment
from soundseek.errors import DataError
from soundseek.learn.datasets.layout import Clip
from soundseek.learn.evaluation import match
from soundseek.learn.evaluation.match import MatchQueries, Unmet, ask, check_match, fit_match
from soundseek.learn.evaluation.memory import Remembering, remember
from soundseek.learn.evaluation.scenes import Scene
from soundseek.model.match import MatchCalibration
from soundseek.model.model import AudioEmbedding

NUM_KINDS, PER_KIND, DIM = 20, 4, 24


class Toy:
    """Clip `k-n.wav` and the caption "k" lie near axis k."""

    def __init__(self, noise: float) -> None:
        self.noise = noise

    def _vector(self, name: str, noise: float) -> np.ndarray:
        kind = int(name.split("-")[0])
        vector = np.eye(DIM)[kind] + noise * np.random.default_rng(zlib.crc32(name.encode())).normal(size=DIM)
        return vector / np.linalg.norm(vector)

    def embed_file(self, path: Path) -> AudioEmbedding:
        """A quarter of a minute, all of it alike."""
        info = AudioInfo(str(path), "WAV", 8000, 1, 15.0)
        segments = (Segment(0.0, 10.0), Segment(5.0, 15.0))
        frames = np.tile(self._vector(path.stem, self.noise), (15, 1))
        spans = np.array([[0, 10], [5, 15]])
        return AudioEmbedding(
            info, segments, np.float32(frames[:2]), frames.astype(np.float16), spans, frame_s=1.0
        )

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        return np.float32([self._vector(text, 0.1) for text in texts])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    labels = []
    for split in ("development", "validation", "evaluation"):
        (folder / split).mkdir()
        rows = [("file_name", "caption_1")]
        for kind in range(NUM_KINDS):
            for number in range(PER_KIND):
                name = f"{kind}-{split}{number}.wav"
                (folder / split / name).write_bytes(b"")
                rows.append((name, f"{kind}-said{number}"))
                labels.append((name, str(kind)))
        with (folder / f"captions_{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    with (folder / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file_name", "label"), *labels])
    return folder


def test_what_is_said_to_be_right_is_right_as_often(data: Path) -> None:
    model = Toy(noise=0.3)
    fitted = fit_match(model, data, reference_split="development", scenes=0)
    report = check_match(fitted, ask(model, data, "evaluation", scenes=0, seed=1))
    assert report.calibration_error < 0.05
    assert report.auc_hits > 0.9 and report.auc_present > 0.9
    assert len(report.bins) == 15 and report.bins[-1][0] > 0.8 > 0.2 > report.bins[0][0]


def test_a_model_that_hears_nothing_is_never_sure(data: Path) -> None:
    model = Toy(noise=50.0)
    fitted = fit_match(model, data, reference_split="development", scenes=0)
    report = check_match(fitted, ask(model, data, "evaluation", scenes=0, seed=1))
    assert report.bins[-1][0] < 0.35 and 0.35 < report.auc_hits < 0.65


def test_sounds_that_were_not_met_make_it_less_sure(data: Path) -> None:
    # The split of the fit is much easier than what the other model has not met; the truth is in between.
    easy, hard = Toy(noise=0.2), Toy(noise=0.6)
    unmet = Unmet(hard, {path.name for path in (data / "development").iterdir() if path.stem[-1] != "0"})
    alone = fit_match(easy, data, reference_split="development", scenes=0)
    both = fit_match(easy, data, reference_split="development", scenes=0, unmet=unmet)
    asked = ask(hard, data, "evaluation", scenes=0, seed=1)
    errors = [check_match(fitted, asked).calibration_error for fitted in (alone, both)]
    assert errors[1] < 0.06 < errors[0]
    np.testing.assert_array_equal(both.reference, alone.reference)


def test_what_a_model_remembers_is_the_reference_and_turns_the_questions(data: Path) -> None:
    model = Toy(noise=0.3)
    remembering = Remembering(model, remember(model, data, split="development"))
    fitted = fit_match(remembering, data, reference_split="development", scenes=0)
    assert fitted.is_of_memory and fitted.reference is remembering.memory.sounds
    plain, turned = (ask(each, data, "evaluation", scenes=0, seed=1) for each in (model, remembering))
    first, second = (np.concatenate(each.queries) for each in (plain, turned))
    assert np.abs(first - second).max() > 0.05
    report = check_match(fitted, turned)
    assert report.calibration_error < 0.05 and report.auc_hits > 0.9


def test_only_the_named_files_are_asked(data: Path) -> None:
    names = {f"{kind}-development{number}.wav" for kind in range(12) for number in range(PER_KIND)}
    asked = ask(Toy(noise=0.1), data, "development", scenes=0, files=names)
    assert max(asked.num_files) == len(names)
    with pytest.raises(
        DataError, match="split development has 2 clips of the 2 files to take; 40 are needed"
    ):
        ask(Toy(noise=0.1), data, "development", scenes=0, files=set(sorted(names)[:2]))


def test_without_its_kind_no_hit_is_right(data: Path) -> None:
    asked = ask(Toy(noise=0.2), data, "validation", scenes=0)
    assert not asked.right[~asked.present].any()
    assert asked.right[asked.present].any(axis=1).mean() > 0.95
    assert (np.diff(asked.scores, axis=1) <= 0).all()


def test_a_sentence_that_names_two_sounds_is_asked_by_its_parts_and_answered_by_what_holds_both(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = Toy(noise=0.2)

    def both(model: Toy, clips: Sequence[Clip], scenes: Sequence[Scene]) -> list[AudioEmbedding]:
        """Of each scene the first half is the one sound, the rest the other."""
        found = []
        for scene in scenes:
            first, last = (model.embed_file(clips[n].path) for n in (scene.background, scene.event))
            frames = np.concatenate([first.frames[:5], last.frames[:5]])
            vectors = frames.astype(np.float32).mean(axis=0, keepdims=True)
            found.append(replace(first, segments=first.segments[:1], vectors=vectors, frames=frames,
                                 spans=np.array([[0, 10]])))  # fmt: skip
        return found

    monkeypatch.setattr(match, "embed_scenes", both)
    asked = ask(toy, data, "validation", scenes=30)
    names_two = np.array([len(query) == 3 for query in asked.queries])
    assert {len(query) for query in asked.queries} == {1, 3} and 30 < names_two.sum() < len(names_two) / 2
    there = asked.present & names_two
    assert asked.right[there].any(axis=1).mean() > 0.9 and not asked.right[names_two & ~there].any()
    # One of its two sounds alone is no answer, though a dozen clips of the library hold it.
    assert asked.right[there].sum(axis=1).max() <= 3
    several = asked.naming("several")
    assert len(several.queries) == names_two.sum() and set(map(len, several.queries)) == {3}
    # Fitted on such sentences, too, it is right about them; fitted without, it is too sure.
    errors = []
    for scenes in (0, 30):
        fitted = fit_match(toy, data, reference_split="development", scenes=scenes)
        errors.append(check_match(fitted, several).calibration_error)
    assert errors[1] < errors[0]
    # Above all by a line of their own, which leaves alone what names one sound.
    without = replace(fitted, sentence=(0.0, 1.0))
    assert check_match(without, several).calibration_error > errors[1] + 0.005
    one = asked.naming("one")
    assert {len(query) for query in one.queries} == {1}
    assert check_match(without, one) == check_match(fitted, one)


def test_a_report_by_hand() -> None:
    # Every hit has probability .5 and half of them are right: perfectly calibrated, and no hit above another.
    even = MatchCalibration(np.eye(2, dtype=np.float16), np.zeros(4), np.ones(4), np.zeros(5), 2)
    right = np.array([[True, False], [False, True]])
    asked = MatchQueries(
        np.eye(2, dtype=np.float32), np.zeros((2, 2), np.float32), right, np.array([True, False]), [2, 2]
    )
    report = check_match(even, asked)
    assert report.auc_hits == 0.5 and report.auc_present == 0.5
    assert all(probability == 0.5 for probability, _ in report.bins)


def test_too_few_clips_are_named(tmp_path: Path) -> None:
    (tmp_path / "validation").mkdir()
    (tmp_path / "validation" / "0-a.wav").write_bytes(b"")
    (tmp_path / "captions_validation.csv").write_text("file_name,caption_1\n0-a.wav,0-x\n")
    with pytest.raises(DataError, match="has 1 clips; 40 are needed"):
        ask(Toy(noise=0.1), tmp_path, "validation", scenes=0)
