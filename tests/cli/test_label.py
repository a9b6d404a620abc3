"""`soundseek label`."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundseek.model.match import MatchCalibration
from soundseek.model.model import Model

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text("a low tone\na high tone\nrain\n")
    return path


def test_a_folder_and_a_file_are_labelled_with_words_of_a_list(
    soundseek: Run, filled: Path, sounds: Path, words: Path
) -> None:
    run = soundseek("label", sounds, sounds / "tone1.wav", "--library", filled, "--labels", words, "-k", "2")
    assert run.returncode == 0, run.stderr
    records = [json.loads(line) for line in run.stdout.splitlines()]
    assert [Path(record["path"]).name for record in records] == sorted(path.name for path in sounds.iterdir())
    for record in records:
        first, second = record["labels"]
        assert first["score"] >= second["score"] and {first["label"], second["label"]} < {
            "a low tone", "a high tone", "rain",
        }  # fmt: skip


def test_without_a_library_sounds_are_embedded(
    soundseek: Run, filled: Path, sounds: Path, words: Path
) -> None:
    alone = soundseek("label", sounds / "tone1.wav", "--labels", words, "-k", "3")
    known = soundseek("label", sounds / "tone1.wav", "--labels", words, "-k", "3", "--library", filled)
    one, other = (json.loads(run.stdout)["labels"] for run in (alone, known))
    assert [each["label"] for each in one] == [each["label"] for each in other]
    assert [each["score"] for each in one] == pytest.approx([each["score"] for each in other], abs=1e-3)


def test_csv_has_a_row_for_each_label_of_each_segment_and_one_header(
    soundseek: Run, filled: Path, sounds: Path
) -> None:
    run = soundseek("label", sounds, "--library", filled, "--labels", "ucs", "--segments", "-k", "2", "--csv")
    rows = list(csv.DictReader(io.StringIO(run.stdout.decode())))
    assert run.returncode == 0 and len(rows) == 2 * (6 + 3)
    assert all(f"{row['category']} {row['subcategory']}" == row["label"] and row["cat_id"] for row in rows)


def test_a_table_shows_file_label_and_score(soundseek: Run, filled: Path, sounds: Path) -> None:
    run = soundseek("label", sounds / "long.wav", "--library", filled, "-k", "1", "--segments", "--table")
    shown = run.stdout.decode()
    assert run.returncode == 0 and "label" in shown and shown.count("long.wav") == 3 and "0:12" in shown


def test_a_table_says_categories_of_ucs_as_people_write_them_and_json_as_ucs_does(
    soundseek: Run, filled: Path, sounds: Path
) -> None:
    asked = ("label", sounds / "long.wav", "--library", filled, "--labels", "ucs", "-k", "1")
    (record,) = map(json.loads, soundseek(*asked, "--json").stdout.splitlines())
    (label,) = record["labels"]
    assert label["label"] == f"{label['category']} {label['subcategory']}" and label["label"].isupper()
    shown = soundseek(*asked, "--table", COLUMNS="80").stdout.decode()
    assert f"{label['category'].capitalize()}: {label['subcategory'].lower()}" in shown
    assert label["label"] not in shown and label["cat_id"] in shown


def test_a_table_says_where_no_label_is_probable_enough(
    soundseek: Run, sounds: Path, words: Path, model_directory: Path, tmp_path: Path
) -> None:
    unsure = Path(shutil.copytree(model_directory, tmp_path / "unsure"))
    reference = np.zeros((1, Model(unsure).dim), np.float16)
    never = np.array([-9.0, 0, 0, 0, 0])
    MatchCalibration(reference, np.zeros(4), np.ones(4), never, 1_000).write(unsure)
    run = soundseek(
        "label", sounds / "tone1.wav", "--labels", words, "--min-match", "0.5", "--table", "--model", unsure
    )
    assert run.returncode == 0, run.stderr
    assert "none that is probable enough" in run.stdout.decode()


def test_a_bad_file_is_named_and_the_others_are_labelled(
    soundseek: Run, sounds: Path, words: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.wav").write_bytes(b"nothing")
    run = soundseek("label", tmp_path / "bad.wav", sounds / "tone1.wav", "--labels", words)
    assert run.returncode == 1 and len(run.stdout.splitlines()) == 1
    assert b"bad.wav: " in run.stderr and b"1 of 2 sounds could not be labelled" in run.stderr


def test_copies_carry_the_labels_and_the_files_stay(
    soundseek: Run, filled: Path, sounds: Path, words: Path, tmp_path: Path
) -> None:
    before = {path.name: path.read_bytes() for path in sounds.iterdir()}
    out = tmp_path / "copies"
    run = soundseek("label", sounds, "--library", filled, "--labels", words, "-k", "1", "--write-copy", out)
    assert run.returncode == 0, run.stderr
    assert {path.name: path.read_bytes() for path in sounds.iterdir()} == before
    for record in map(json.loads, run.stdout.splitlines()):
        copy = out / Path(record["path"]).name
        assert record["labels"][0]["label"].encode() in copy.read_bytes()
        assert (soundfile.read(copy)[0] == soundfile.read(record["path"])[0]).all()
    again = soundseek("label", sounds, "--library", filled, "--labels", words, "--write-copy", out)
    assert again.returncode == 1 and b"is there already and stays as it is" in again.stderr


def test_a_file_that_takes_no_tags_is_labelled_all_the_same(
    soundseek: Run, sounds: Path, words: Path, tmp_path: Path
) -> None:
    waveform, rate = soundfile.read(sounds / "tone1.wav")
    soundfile.write(tmp_path / "tone.ogg", waveform, rate)
    files = (tmp_path / "tone.ogg", sounds / "tone2.wav")
    run = soundseek("label", *files, "--labels", words, "-k", "1", "--write-copy", tmp_path / "copies")
    assert run.returncode == 1
    assert [json.loads(line)["path"] for line in run.stdout.splitlines()] == [str(path) for path in files]
    told = run.stderr.decode()
    assert "tone.ogg: tags can be written into" in told and "could not be labelled" not in told
    assert "1 of 2 sounds have no copy with their labels" in told
    assert [path.name for path in (tmp_path / "copies").iterdir()] == ["tone2.wav"]


def test_wrong_usage_says_what_to_do(soundseek: Run, sounds: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, told in (
        ((sounds, "--labels", "audiset"), b"audioset, ucs, or a text file"),
        ((tmp_path / "empty",), b"no sound in"),
        ((sounds, "--segments", "--write-copy", tmp_path), b"leave --segments out"),
        ((sounds, "--min-match", "0.5"), b"soundseek calibrate"),
    ):
        run = soundseek("label", *arguments)
        assert run.returncode == 2 and told in run.stderr, run.stderr
