"""Words, lengths and durations of captioned sounds, counted by hand beside it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from tones import write_tone

from soundseek.errors import DataError
from soundseek.learn.datasets.describe import (
    Spread,
    describe_data,
    plot_descriptions,
    words_of,
    write_word_counts,
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    tables = {
        "development": "file_name,caption_1,caption_2\na.wav,A dog barks.,the dog\nb.wav,Rain,Rain\n",
        "evaluation": "file_name,caption_1,caption_2\nc.wav,A wolf howls,a dog\n",
    }
    for split, table in tables.items():
        (tmp_path / split).mkdir()
        (tmp_path / f"captions_{split}.csv").write_text(table)
    for place, duration_s in {"development/a": 1.0, "development/b": 3.0, "evaluation/c": 2.0}.items():
        write_tone(tmp_path / f"{place}.wav", frequency_hz=200.0, duration_s=duration_s)
    return tmp_path


def test_words_are_counted_without_case_and_punctuation(data: Path) -> None:
    development = describe_data(data)[0]
    assert development.words == {"a": 1, "dog": 2, "barks": 1, "the": 1, "rain": 2}
    told = development.to_dict(num_words=2)
    assert told["frequent_words"] == {"dog": 2, "rain": 2}
    assert (told["vocabulary"], told["tokens"], told["once_only"]) == (5, 7, 3)
    assert (told["clips"], told["captions"], told["distinct_captions"]) == (2, 4, 3)
    assert told["shared_captions"] == 0  # a clip that says the same twice shares nothing


def test_captions_that_another_clip_has_are_counted(data: Path) -> None:
    table = data / "captions_development.csv"
    table.write_text(table.read_text().replace("the dog", "Rain"))
    assert describe_data(data)[0].to_dict()["shared_captions"] == 2


def test_a_table_that_could_be_misread_is_not_described(data: Path) -> None:
    (data / "captions_development.csv").write_text("file_name,caption_1\na.wav,A dog, barking\n")
    with pytest.raises(DataError, match="line 2: 3 cells"):
        describe_data(data)


def test_lengths_and_durations_have_their_middle_and_ends(data: Path) -> None:
    told = describe_data(data)[0].to_dict()
    assert told["caption_words"] == {"least": 1, "mean": 7 / 4, "median": 1.5, "most": 3}
    assert told["duration_s"] == {"least": 1.0, "mean": 2.0, "median": 2.0, "most": 3.0}
    assert told["audio_s"] == 4.0


def test_words_never_trained_on_are_shared_out_three_ways(data: Path) -> None:
    development, evaluation = describe_data(data)
    assert development.unseen_words is None
    # a, wolf, howls, dog: two of four are new, two of five tokens (a twice), one of two captions.
    assert evaluation.unseen_words == 2 / 4
    assert evaluation.unseen_tokens == 2 / 5
    assert evaluation.unseen_captions == 1 / 2


def test_a_missing_sound_has_no_duration_and_stops_nothing(data: Path) -> None:
    (data / "development" / "b.wav").unlink()
    assert describe_data(data)[0].durations_s == (1.0,)


def test_the_table_of_words_has_a_column_for_each_split(data: Path, tmp_path: Path) -> None:
    write_word_counts(describe_data(data), tmp_path / "words.csv")
    with (tmp_path / "words.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[:3] == [["word", "development", "evaluation"], ["a", "1", "2"], ["dog", "2", "1"]]
    assert len(rows) == 1 + 7


def test_the_plot_is_a_picture_with_four_fields(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    plot_descriptions(describe_data(data), tmp_path / "plot.png")
    height, width, _ = imread(tmp_path / "plot.png").shape
    assert (width, height) == (1440, 1080)
    picture = imread(tmp_path / "plot.png")[..., :3].min(axis=2) < 0.9
    for part in (picture[:540, :720], picture[:540, 720:], picture[540:, :720], picture[540:, 720:]):
        assert 0.005 < part.mean() < 0.5


def test_a_split_without_sounds_can_be_plotted(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "captions_development.csv").write_text("file_name,caption_1\n")
    plot_descriptions(describe_data(tmp_path), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_nothing_spreads_to_zero() -> None:
    assert Spread.of([]) == Spread(0.0, 0.0, 0.0, 0.0)
    assert words_of("don't, “far-off” 3 DOGS_") == ["don't", "far", "off", "3", "dogs"]
