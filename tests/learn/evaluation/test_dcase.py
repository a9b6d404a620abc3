"""The DCASE files: scores by hand, and every way a file can be wrong."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from dcase_files import write_predictions, write_truth
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soundseek.errors import DataError
from soundseek.learn.evaluation.dcase import (
    PREDICTION_HEADER,
    read_predictions,
    read_truth,
    score_predictions,
)

CLIPS = [f"clip {number}.wav" for number in range(12)]
HEADER = ",".join(PREDICTION_HEADER)


def ranked(name: str, place: int) -> list[str]:
    """Ten clips with `name` at `place`; 11 leaves it out."""
    others = [clip for clip in CLIPS if clip != name][:10]
    return [*others[: place - 1], name, *others[place - 1 :]][:10]


def write_pair(folder: Path, places: dict[str, int]) -> tuple[Path, Path]:
    """One caption "Sound of CLIP" a clip; `places` says where it is found, 1 where it does not."""
    truth, output = folder / "truth.csv", folder / "output.csv"
    write_truth(truth, {clip: [f"Sound of {clip}"] for clip in CLIPS})
    rows = [ranked(clip, places.get(clip, 1)) for clip in CLIPS]
    write_predictions(output, [f"Sound of {clip}" for clip in CLIPS], rows)
    return truth, output


def lines_of(output: Path) -> list[str]:
    return output.read_text(encoding="utf-8").split("\n")


def test_scores_by_hand(tmp_path: Path) -> None:
    truth, output = write_pair(
        tmp_path, {"clip 0.wav": 2, "clip 1.wav": 5, "clip 2.wav": 10, "clip 3.wav": 11}
    )
    scores = score_predictions(truth, output)
    assert scores.R1.value == pytest.approx(8 / 12)
    assert scores.R5.value == pytest.approx(10 / 12)
    assert scores.R10.value == pytest.approx(11 / 12)
    assert scores.mAP10.value == pytest.approx((8 + 1 / 2 + 1 / 5 + 1 / 10) / 12)
    # Jackknife of a share p over n queries: SE = sqrt(p (1 - p) / (n - 1)).
    error = math.sqrt(8 / 12 * 4 / 12 / 11)
    assert scores.R1.low == pytest.approx(8 / 12 - 1.959964 * error, abs=1e-6)
    assert scores.R1.high == pytest.approx(8 / 12 + 1.959964 * error, abs=1e-6)
    assert list(scores.to_dict()) == ["R1", "R5", "R10", "mAP10"]
    assert set(scores.to_dict()["R1"]) == {"value", "low", "high"}


def test_files_that_were_written_are_read_back_whatever_the_text(tmp_path: Path) -> None:
    captions_of = {
        "a, b.wav": 'He says "hi", twice',
        'quote"d".wav': "naïve 犬, ü",
        "r.wav": "carriage\rreturn",
        "n.wav": "two\nlines",
        "Edit Radio .wav": " spaces  kept ",
        "05769 carpenter&#39;s.wav": "it's; ok",
        " x.wav": "NA",
    }
    names, odd = list(captions_of), list(captions_of.values())
    truth, output = tmp_path / "truth.csv", tmp_path / "output.csv"
    write_truth(truth, {name: [caption] for name, caption in captions_of.items()})
    write_predictions(output, odd, [[name, *(n for n in names if n != name)] for name in names])
    read = read_truth(truth)
    assert [query.caption for query in read.queries] == odd
    assert list(read.lines) == names
    assert score_predictions(truth, output).R1.value == 1.0


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_line_endings_and_a_bom_change_nothing(tmp_path: Path, ending: str, bom: str) -> None:
    truth, output = write_pair(tmp_path, {"clip 4.wav": 3})
    expected = score_predictions(truth, output)
    for path in (truth, output):
        path.write_bytes((bom + ending.join(lines_of(path))).encode())
    assert score_predictions(truth, output) == expected


def test_the_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    truth, output = write_pair(tmp_path, {"clip 4.wav": 3, "clip 7.wav": 11})
    expected = score_predictions(truth, output)
    header, *rows = lines_of(output)
    output.write_text("\n".join([header, *reversed([row for row in rows if row])]), encoding="utf-8")
    assert score_predictions(truth, output) == expected


def test_the_row_of_a_clip_with_fewer_captions_has_empty_cells(tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("file_name,caption_1,caption_2\na.wav,one,\nb.wav,two,three\n", encoding="utf-8")
    assert [(q.caption, q.file_name, q.line) for q in read_truth(truth).queries] == [
        ("one", "a.wav", 2),
        ("two", "b.wav", 3),
        ("three", "b.wav", 3),
    ]


def test_a_collection_of_three_clips_needs_three_predictions(tmp_path: Path) -> None:
    truth, output = tmp_path / "truth.csv", tmp_path / "output.csv"
    write_truth(truth, {"a": ["x"], "b": ["y"], "c": ["z"]})
    write_predictions(output, ["x", "y", "z"], [["a", "b", "c"], ["a", "b", "c"], ["a", "b", "c"]])
    assert score_predictions(truth, output).mAP10.value == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    write_predictions(output, ["x", "y", "z"], [["a", "b", "c"], ["a", "b"], ["a", "b", "c"]])
    with pytest.raises(DataError, match="line 3: 2 predictions for 'y'; give 3"):
        score_predictions(truth, output)
    write_predictions(output, ["x", "y", "z"], [["a", "b", "c"], ["a", "", "b", "c"], ["a", "b", "c"]])
    with pytest.raises(DataError, match="line 3: 3 predictions for 'y'; give 3, best first and without gaps"):
        score_predictions(truth, output)


def twins(folder: Path, rows: list[tuple[str, list[str]]]) -> tuple[Path, Path]:
    """The text "rain" belongs to clips a and b, "wind" to c; three clips in all."""
    truth, output = folder / "truth.csv", folder / "output.csv"
    write_truth(truth, {"a": ["rain"], "b": ["rain"], "c": ["wind"]})
    write_predictions(output, [caption for caption, _ in rows], [names for _, names in rows])
    return truth, output


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_text_of_two_clips_is_two_queries_and_one_row_answers_both(tmp_path: Path, times: int) -> None:
    truth, output = twins(tmp_path, [*[("rain", ["a", "b", "c"])] * times, ("wind", ["c", "a", "b"])])
    scores = score_predictions(truth, output)
    assert scores.R1.value == pytest.approx(2 / 3)
    assert scores.mAP10.value == pytest.approx((1 + 1 / 2 + 1) / 3)


def test_as_many_differing_rows_as_queries_belong_together_in_file_order(tmp_path: Path) -> None:
    rows = [("rain", ["a", "c", "b"]), ("wind", ["c", "a", "b"]), ("rain", ["b", "c", "a"])]
    assert score_predictions(*twins(tmp_path, rows)).R1.value == 1.0


def test_two_answers_to_one_query_are_named_with_both_lines(tmp_path: Path) -> None:
    rows = [("rain", ["a", "b", "c"]), ("wind", ["c", "a", "b"]), ("wind", ["a", "c", "b"])]
    with pytest.raises(DataError, match=r"output.csv, line 4: caption 'wind' is answered in line 3 already"):
        score_predictions(*twins(tmp_path, rows))


def test_a_caption_twice_on_one_clip_is_two_queries(tmp_path: Path) -> None:
    truth, output = tmp_path / "truth.csv", tmp_path / "output.csv"
    write_truth(truth, {"a": ["rain", "rain"], "b": ["wind"]})
    write_predictions(output, ["rain", "wind"], [["a", "b"], ["a", "b"]])
    assert score_predictions(truth, output).R1.value == pytest.approx(2 / 3)


def test_a_missing_query_is_named_with_its_line_in_the_ground_truth(tmp_path: Path) -> None:
    truth, output = write_pair(tmp_path, {})
    kept = [line for line in lines_of(output) if not line.startswith(("Sound of clip 4", "Sound of clip 7"))]
    output.write_text("\n".join(kept), encoding="utf-8")
    expected = r"no row for caption 'Sound of clip 4.wav' of .*truth.csv, line 6 \(2 queries are missing\)"
    with pytest.raises(DataError, match=expected):
        score_predictions(truth, output)


def broken(lines: list[str], line: int, new: str) -> str:
    return "\n".join([*lines[: line - 1], new, *lines[line:]])


@pytest.mark.parametrize(
    ("new", "named"),
    [
        ("Sound of clip 0.wav,clip 1.wav,clip 2.wav", "line 2: 2 predictions for"),
        ("Sound of clip 0.wav," + ",".join(CLIPS[:9]) + ",", "line 2: 9 predictions"),
        ("Sound of clip 0.wav,," + ",".join(CLIPS[:9]), "line 2: 9 predictions"),
        ("Sound of clip 0.wav," + ",".join(CLIPS[:11]), "line 2: 12 cells where the header has 11"),
        ("Sound of clip 0.wav,clip 99.wav," + ",".join(CLIPS[:9]), "line 2: file 'clip 99.wav' is not in"),
        ("Sound of clip 0.wav,clip1.wav," + ",".join(CLIPS[2:11]), "did you mean 'clip 1.wav'"),
        ("Sound of clip 0.wav,clip 0.wav," + ",".join(CLIPS[:9]), "line 2: file 'clip 0.wav' stands twice"),
        ("Sound of clip 0,." + ",".join(CLIPS[:9]), "line 2: 9 predictions for 'Sound of clip 0'"),
        ("Sound of klip 0.wav," + ",".join(CLIPS[:10]), "line 2: caption 'Sound of klip 0.wav' is not in"),
        ('"Sound of" clip 0.wav,' + ",".join(CLIPS[:10]), "line 2: no valid CSV"),
    ],
)
def test_a_wrong_row_is_named_with_its_line(tmp_path: Path, new: str, named: str) -> None:
    truth, output = write_pair(tmp_path, {})
    output.write_text(broken(lines_of(output), 2, new), encoding="utf-8")
    with pytest.raises(DataError, match=r"output\.csv, " if named.startswith("line") else named) as caught:
        score_predictions(truth, output)
    assert named in str(caught.value)


def test_a_line_is_counted_in_the_file_and_not_in_rows(tmp_path: Path) -> None:
    truth, output = tmp_path / "truth.csv", tmp_path / "output.csv"
    write_truth(truth, {"a": ["two\nlines"], "b": ["one"]})
    output.write_text(f'{HEADER}\n\n"two\nlines",a,b\none,a,z\n', encoding="utf-8")
    with pytest.raises(DataError, match="line 5: file 'z'"):
        score_predictions(truth, output)


def test_a_quote_that_never_ends_is_named_where_it_begins(tmp_path: Path) -> None:
    truth, output = write_pair(tmp_path, {})
    output.write_text(broken(lines_of(output), 4, '"Sound of'), encoding="utf-8")
    with pytest.raises(DataError, match="line 4: no valid CSV"):
        score_predictions(truth, output)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "line 1: the header is ''"),
        ("caption,file\n", "line 1: the header is 'caption,file'"),
        (HEADER.replace(",", ";") + "\n", "line 1: the header is 'caption;file_name_1"),
    ],
)
def test_a_wrong_header_is_shown(tmp_path: Path, text: str, named: str) -> None:
    truth, output = write_pair(tmp_path, {})
    output.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        score_predictions(truth, output)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "line 1: the header is ''"),
        ("file,caption_1\n", "line 1: the header is 'file,caption_1'"),
        ("file_name,caption_1\n", "no clip below the header"),
        ("file_name,caption_1\na.wav,x\n\na.wav,y\n", "line 4: 'a.wav' stands in line 2 already"),
        ("file_name,caption_1\na.wav,\n", "line 2: no caption for 'a.wav'"),
        ("file_name,caption_1\na.wav\n", "line 2: no caption for 'a.wav'"),
        ("file_name,caption_1\n,x\n", "line 2: a row without a file name"),
        ("file_name,caption_1\na.wav,x, and y\n", "line 2: 3 cells where the header has 2"),
    ],
)
def test_a_wrong_ground_truth_is_named_with_its_line(tmp_path: Path, text: str, named: str) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_truth(truth)
    assert named in str(caught.value)
    assert str(truth) in str(caught.value)


def test_bytes_that_are_not_utf8_are_named_with_their_line(tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_bytes(b"file_name,caption_1\na.wav,x\nb.wav,caf\xe9\n")
    with pytest.raises(DataError, match="line 3: byte 0xe9 is not UTF-8"):
        read_truth(truth)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv cannot be read"):
        read_truth(tmp_path / "none.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_truth(tmp_path)


caption_text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1).filter(str.strip)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(captions=st.lists(caption_text, min_size=1, max_size=14, unique=True), seed=st.integers(0, 999))
def test_scores_equal_a_plain_count_for_any_captions(tmp_path: Path, captions: list[str], seed: int) -> None:
    generator = np.random.default_rng(seed)
    names = [f"{number}.wav" for number in range(len(captions))]
    rows = [[names[item] for item in generator.permutation(len(names))[:10]] for _ in captions]
    truth, output = tmp_path / "truth.csv", tmp_path / "output.csv"
    write_truth(truth, {name: [caption] for name, caption in zip(names, captions, strict=True)})
    write_predictions(output, captions, rows)
    scores = score_predictions(truth, output)
    hits = [row.index(name) + 1 if name in row else 99 for name, row in zip(names, rows, strict=True)]
    assert scores.R5.value == pytest.approx(np.mean([place <= 5 for place in hits]))
    assert scores.mAP10.value == pytest.approx(np.mean([1 / place if place < 99 else 0 for place in hits]))


def test_what_is_written_is_what_the_challenge_asks_for(tmp_path: Path) -> None:
    _, output = write_pair(tmp_path, {})
    with output.open(encoding="utf-8", newline="") as file:
        header, first, *_ = csv.reader(file)
    assert header[0] == "caption"
    assert header[1:] == [f"file_name_{place}" for place in range(1, 11)]
    assert first == ["Sound of clip 0.wav", *ranked("clip 0.wav", 1)]


def test_more_than_ten_names_are_cut(tmp_path: Path) -> None:
    truth, output = write_pair(tmp_path, {})
    write_predictions(output, [f"Sound of {clip}" for clip in CLIPS], [CLIPS] * 12)
    assert all(len(row) == 10 for row in read_predictions(output, read_truth(truth)))
