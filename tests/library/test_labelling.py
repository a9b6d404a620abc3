"""Zero-shot labels: the nearest words of a list, and how probable they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tones import write_tone
from toy_model import make_toy_model

from soundseek.errors import DecodeError, QueryError
from soundseek.library import Library
from soundseek.library.labelling import LabelledSound, Labeller, SoundLabel, label_record, labels_csv
from soundseek.model.model import Model

WORDS = {"dog": (1, 0, 0), "rain": (0, 1, 0), "bird": (0, 0, 1), "storm": (0, 0.6, 0.8)}


class Listener:
    """A model that knows four words; `match` grows with the score and falls with the number of candidates."""

    dim = 3
    fingerprint = "listener"

    def __init__(self, *, is_calibrated: bool = True) -> None:
        self.match = SimpleNamespace(probabilities=self._probabilities) if is_calibrated else None

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([WORDS[text.removeprefix("there is ")] for text in texts], np.float32)

    def embed_file(self, path: object, **options: object) -> object:
        raise NotImplementedError

    @staticmethod
    def _probabilities(query: np.ndarray, scores: np.ndarray, *, num_files: int) -> np.ndarray:
        return scores / num_files


def labeller(*labels: str, is_calibrated: bool = True) -> Labeller:
    return Labeller(Listener(is_calibrated=is_calibrated), labels, as_typed=True)


def test_the_nearest_labels_come_first_with_their_cosines() -> None:
    ((first, second),) = labeller("dog", "rain", "bird").of_vectors(np.array([[0.6, 0.8, 0.0]]), k=2)
    assert (first.label, second.label) == ("rain", "dog")
    assert (first.score, second.score) == (pytest.approx(0.8), pytest.approx(0.6))


def test_a_label_is_as_probable_as_the_best_of_so_many_candidates() -> None:
    of_two, of_four = (
        labeller(*words).of_vectors(np.array([[1.0, 0, 0]]), k=1)[0][0].match
        for words in (("dog", "rain"), ("dog", "rain", "bird", "storm"))
    )
    assert of_two == pytest.approx(0.5) and of_four == pytest.approx(0.25)


def test_improbable_labels_are_left_out_on_request_where_the_model_can_say() -> None:
    sounds = np.array([[1.0, 0, 0], [0, 0, 0.1]])
    certain, nothing = labeller("dog", "bird").of_vectors(sounds, k=2, min_match=0.4)
    assert [each.label for each in certain] == ["dog"] and nothing == ()
    plain = labeller("dog", is_calibrated=False)
    assert plain.of_vectors(sounds, k=1)[0][0].match is None
    with pytest.raises(QueryError, match="soundseek calibrate"):
        plain.of_vectors(sounds, min_match=0.4)
    with pytest.raises(QueryError, match="k is 0"):
        plain.of_vectors(sounds, k=0)


def test_texts_of_one_label_count_as_their_mean() -> None:
    both = labeller("dog", "rain")
    candidate = both.labels.candidates[0]
    object.__setattr__(candidate, "texts", ("rain", "bird"))
    assert both.vectors[0] == pytest.approx([0, 0.5**0.5, 0.5**0.5])


def test_json_and_csv_say_the_same() -> None:
    wood = SoundLabel("DOORS WOOD", 0.1234567, 0.51239, "DOORWood", "DOORS", "WOOD")
    sound = LabelledSound("/a, b.wav", 1.0, 2.5, (wood, SoundLabel("x", 0.1)))
    assert label_record(sound)["labels"][0] == {
        "label": "DOORS WOOD", "score": 0.123457, "match": 0.5124, "cat_id": "DOORWood", "category": "DOORS",
        "subcategory": "WOOD",
    }  # fmt: skip
    header, first, second = labels_csv([sound]).splitlines()
    assert header == "path,start_s,end_s,rank,label,score,match,cat_id,category,subcategory"
    assert first == '"/a, b.wav",1.000,2.500,1,DOORS WOOD,0.123457,0.5124,DOORWood,DOORS,WOOD'
    assert second == '"/a, b.wav",1.000,2.500,2,x,0.1,,,,'
    assert labels_csv([sound], header=False).splitlines() == [first, second]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(make_toy_model(tmp_path_factory.mktemp("model")))


class Deaf(Model):
    """Knows words, and embeds no file."""

    def embed_file(self, path: object, **options: object) -> object:  # type: ignore[override]
        raise DecodeError(str(path), "is embedded again")


def test_files_of_a_library_are_not_embedded_again_and_get_the_same_labels(
    tmp_path: Path, model: Model
) -> None:
    sounds = tmp_path / "sounds"
    (sounds / "deep").mkdir(parents=True)
    write_tone(sounds / "long.wav", frequency_hz=440.0, duration_s=22.0)
    write_tone(sounds / "deep" / "low.wav", frequency_hz=110.0)
    (sounds / "notes.txt").write_text("no sound")
    labels = ["a low tone", "a high tone", "noise"]
    with Library.create(tmp_path / "library", model=model) as library:
        fresh = library.label(sounds, labels=labels, k=3)
        library.index(sounds)
    with Library.open(tmp_path / "library", model=Deaf(model.directory)) as library:
        known = library.label(sounds, sounds / "long.wav", labels=labels, k=3)
        parts = library.label(sounds / "long.wav", labels=labels, k=1, segments=True)
        write_tone(tmp_path / "new.wav", frequency_hz=880.0)
        with pytest.raises(DecodeError, match="embedded again"):
            library.label(tmp_path / "new.wav", labels=labels)
    assert [Path(each.path).name for each in known] == ["low.wav", "long.wav"]
    for one, other in zip(fresh, known, strict=True):
        assert [each.label for each in one.labels] == [each.label for each in other.labels]
        assert [each.score for each in one.labels] == pytest.approx(
            [each.score for each in other.labels], abs=1e-3
        )
    assert known[1].end_s == pytest.approx(22.0)
    assert [(part.start_s, part.end_s) for part in parts] == [(0, 10), (5, 15), (12, 22)]
