"""Every way in which a directory of captioned sounds can be wrong is named, and a right one is not."""

from __future__ import annotations

import shutil
import wave
from pathlib import Path

import pytest
import soundfile
from tones import write_tone

from soundseek.errors import DataError
from soundseek.learn.datasets.check import DataProblem, check_data


def write_captions(data: Path, split: str, names: list[str]) -> None:
    lines = [f"{name},one of it,two of it" for name in names]
    (data / f"captions_{split}.csv").write_text("\n".join(["file_name,caption_1,caption_2", *lines]) + "\n")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two clips to learn from and one to test with, all different."""
    for split, names in {"development": ["a.wav", "b.wav"], "evaluation": ["c.wav"]}.items():
        (tmp_path / split).mkdir()
        for name in names:
            write_tone(tmp_path / split / name, frequency_hz=100.0 * ord(name[0]), duration_s=0.5)
        write_captions(tmp_path, split, names)
    return tmp_path


def problems(data: Path) -> list[DataProblem]:
    return list(check_data(data).problems)


def test_a_right_directory_has_no_problem_and_is_counted(data: Path) -> None:
    report = check_data(data)
    assert report.problems == ()
    assert [(s.split, s.clips, s.captions, s.sounds) for s in report.splits] == [
        ("development", 2, 4, 2),
        ("evaluation", 1, 2, 1),
    ]
    assert report.splits[0].audio_s == pytest.approx(1.0)


def test_a_missing_and_a_surplus_file_are_named(data: Path) -> None:
    (data / "development" / "a.wav").rename(data / "development" / "z.wav")
    assert problems(data) == [
        DataProblem("missing", "development", "a.wav", "listed, and not there"),
        DataProblem("surplus", "development", "z.wav", "there, and not listed"),
    ]


def test_hidden_files_are_not_surplus_and_files_in_folders_are(data: Path) -> None:
    (data / "development" / ".DS_Store").write_bytes(b"x")
    (data / "development" / "@eaDir").mkdir()
    (data / "development" / "@eaDir" / "a.wav").write_bytes(b"x")
    (data / "development" / "deep").mkdir()
    write_tone(data / "development" / "deep" / "d.wav", frequency_hz=50.0, duration_s=0.1)
    assert [problem.file for problem in problems(data)] == ["deep/d.wav"]


def test_a_cut_off_file_and_a_text_are_undecodable(data: Path) -> None:
    path = data / "development" / "a.wav"
    path.write_bytes(path.read_bytes()[:5000])
    (data / "evaluation" / "c.wav").write_text("no sound")
    cut, text = problems(data)
    assert (cut.kind, cut.split, cut.file) == ("undecodable", "development", "a.wav")
    assert cut.detail.startswith("truncated: its header says")
    assert (text.kind, text.split, text.file) == ("undecodable", "evaluation", "c.wav")


def test_a_silent_file_is_named_and_not_counted_as_a_sound(data: Path) -> None:
    with wave.open(str(data / "evaluation" / "c.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(32_000))
    report = check_data(data)
    (problem,) = report.problems
    assert (problem.kind, problem.file) == ("silent", "c.wav")
    assert report.splits[1].sounds == 0


def test_a_copy_in_the_same_split_is_a_duplicate_in_any_lossless_format(data: Path) -> None:
    samples, rate_hz = soundfile.read(data / "development" / "a.wav", dtype="int16")
    soundfile.write(data / "development" / "copy.flac", samples, rate_hz)
    write_captions(data, "development", ["a.wav", "b.wav", "copy.flac"])
    assert problems(data) == [
        DataProblem("duplicate", "development", "copy.flac", "the same sound as development/a.wav")
    ]


def test_a_copy_in_another_split_stands_in_two_splits(data: Path) -> None:
    shutil.copy(data / "development" / "a.wav", data / "evaluation" / "other.wav")
    write_captions(data, "evaluation", ["c.wav", "other.wav"])
    assert problems(data) == [
        DataProblem("two splits", "evaluation", "other.wav", "the same sound as development/a.wav")
    ]


def test_one_sample_makes_another_sound(data: Path) -> None:
    samples, rate_hz = soundfile.read(data / "development" / "a.wav", dtype="int16")
    samples[7] += 1
    soundfile.write(data / "development" / "b.wav", samples, rate_hz)
    assert problems(data) == []


def test_a_clip_in_three_splits_is_named_once_for_each_further_one(data: Path) -> None:
    (data / "validation").mkdir()
    for split in ("validation", "evaluation"):
        shutil.copy(data / "development" / "a.wav", data / split / "a.wav")
        write_captions(data, split, ["a.wav"])
        (data / f"metadata_{split}.csv").write_text("file_name,sound_id\na.wav,7\n")
    (data / "metadata_development.csv").write_text("file_name,sound_id\na.wav,7\n")
    (data / "evaluation" / "c.wav").unlink()
    assert problems(data) == [
        DataProblem("two splits", "validation", "a.wav", "the same sound as development/a.wav"),
        DataProblem("two splits", "evaluation", "a.wav", "the same sound as validation/a.wav"),
    ]


def test_two_cuts_of_one_recording_in_two_splits_are_named(data: Path) -> None:
    """As Freesound's 86161 in Clotho: other samples, another name, the same `sound_id`."""
    (data / "metadata_development.csv").write_text("file_name,sound_id\na.wav,86161\nb.wav,Not found\n")
    (data / "metadata_evaluation.csv").write_text("file_name,sound_id\nc.wav,86161\n")
    assert problems(data) == [
        DataProblem(
            "two splits", "evaluation", "c.wav", "cut from the same recording (86161) as development/a.wav"
        )
    ]


def test_an_unknown_recording_matches_no_other(data: Path) -> None:
    (data / "metadata_development.csv").write_text("file_name,sound_id\na.wav,Not found\n")
    (data / "metadata_evaluation.csv").write_text("file_name,sound_id\nc.wav,Not found\n")
    assert problems(data) == []


def test_one_table_of_metadata_may_stand_for_all_splits(data: Path) -> None:
    lines = ["file_name,split,recording_id", "a.wav,development,rec-1", "b.wav,development,rec-1"]
    (data / "metadata.csv").write_text("\n".join([*lines, "c.wav,evaluation,rec-2"]))
    assert problems(data) == []
    (data / "metadata.csv").write_text("\n".join([*lines, "c.wav,evaluation,rec-1"]))
    assert [problem.file for problem in problems(data)] == ["c.wav"]


def test_the_same_name_in_two_splits_is_told_unless_metadata_knows_better(data: Path) -> None:
    (data / "evaluation" / "c.wav").rename(data / "evaluation" / "a.wav")
    write_captions(data, "evaluation", ["a.wav"])
    assert problems(data) == [
        DataProblem("two splits", "evaluation", "a.wav", "development lists a sound of this name as well")
    ]
    (data / "metadata_development.csv").write_text("file_name,sound_id\na.wav,1\n")
    (data / "metadata_evaluation.csv").write_text("file_name,sound_id\na.wav,2\n")
    assert problems(data) == []


@pytest.mark.parametrize(
    ("table", "detail"),
    [
        ("file_name,caption_1\n", "lists no clip"),
        ("", "line 1: expected file_name,caption_1,..., found nothing"),
        ("name,text\na.wav,x\n", "line 1: expected file_name,caption_1,..., found name,text"),
        ("file_name,caption_1\na.wav,x\nb.wav\n", "line 3: b.wav has no caption"),
        ("file_name,caption_1\na.wav,x\nb.wav,y\na.wav,z\n", "line 4: a.wav stands in line 2 already"),
        ("file_name,caption_1\na.wav,x\nb.wav,y\n,z\n", "line 4: no file name"),
    ],
)
def test_a_wrong_table_is_named_with_its_line(data: Path, table: str, detail: str) -> None:
    (data / "captions_development.csv").write_text(table)
    found = [each for each in problems(data) if each.kind == "captions"]
    assert found == [DataProblem("captions", "development", "captions_development.csv", detail)]


def test_a_table_that_is_no_utf8_is_named(data: Path) -> None:
    (data / "captions_development.csv").write_bytes(b"file_name,caption_1\ncaf\xe9.wav,x\n")
    (found,) = [each for each in problems(data) if each.kind == "captions"]
    assert found.detail == "line 2: the byte 0xe9 is not UTF-8; save the file as UTF-8"


def test_rows_that_could_be_misread_are_each_named(data: Path) -> None:
    (data / "captions_development.csv").write_text(
        "file_name,caption_1\na.wav,Rain, then wind\nb.wav,x\nc.wav,y,z\n"
    )
    found = [each.detail for each in problems(data) if each.kind == "captions"]
    assert [detail.partition(",")[0] for detail in found] == ["line 2: 3 cells", "line 4: 3 cells"]


def test_several_processes_find_the_same(data: Path) -> None:
    shutil.copy(data / "development" / "a.wav", data / "development" / "copy.wav")
    write_captions(data, "development", ["a.wav", "b.wav", "copy.wav"])
    (data / "evaluation" / "c.wav").write_bytes(b"")
    seen: list[tuple[str, int, int]] = []
    report = check_data(data, workers=2, report=lambda *each: seen.append(each))
    assert report == check_data(data)
    assert len(report.problems) == 2
    assert seen[-1] == ("decoding", 4, 4)


def test_a_directory_without_captions_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no captions_\{split\}\.csv; expected Clotho's layout"):
        check_data(tmp_path)
    with pytest.raises(DataError, match="is no directory"):
        check_data(tmp_path / "nowhere")
