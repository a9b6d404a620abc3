"""One's own sounds: what a table, a folder or a file name says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundseek.errors import DataError, UsageError
from soundseek.learn.datasets.own_sounds import captions_of_path, find_own_sounds


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


@pytest.mark.parametrize(
    ("path", "captions"),
    [
        (
            "DOORWood_Old Cellar Door Slam_JD.wav",
            ("Old Cellar Door Slam", "door opening or shutting", "wooden door opening or closing"),
        ),
        ("WTHRThun/01.wav", ("thunder rumbling",)),
        ("Weather - Thunder/x.wav", ("weather thunder", "thunder rumbling")),
        ("Doors/Wood/a.wav", ("wood", "door opening or shutting", "wooden door opening or closing")),
        ("sounds/dog_bark2/1.wav", ("the sound of dog bark", "dog bark")),
        ("Beasts/BigDog/1.wav", ("the sound of big dog", "beasts big dog", "big dog")),
        ("wav/take 01.wav", ()),
        ("take 01.wav", ()),
        ("01/02.wav", ()),
    ],
)
def test_names_and_folders_become_captions(path: str, captions: tuple[str, ...]) -> None:
    assert captions_of_path(Path(path)) == captions


def test_a_folder_of_folders_has_a_label_each_and_names_what_has_none(tmp_path: Path) -> None:
    touch(tmp_path / "dog/1.wav", tmp_path / "dog/2.ogg", tmp_path / "cat/1.wav", tmp_path / "loose.wav")
    touch(tmp_path / "cat/notes.txt", tmp_path / "cat/.hidden.wav")
    found = find_own_sounds(tmp_path)
    assert found.kind == "labels" and found.unlabelled == (tmp_path / "loose.wav",)
    assert [(clip.path.name, clip.label) for clip in found.clips] == [
        ("1.wav", "cat"),
        ("1.wav", "dog"),
        ("2.ogg", "dog"),
    ]


def test_folders_that_a_system_keeps_for_itself_are_no_labels(tmp_path: Path) -> None:
    for name in (
        "door/a.wav",
        "@eaDir/a.wav",
        "$RECYCLE.BIN/b.wav",
        "door/@eaDir/a.wav/c.wav",
        "rain/._b.wav",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [clip.path for clip in find_own_sounds(tmp_path).clips] == [tmp_path / "door" / "a.wav"]


def test_a_table_has_its_sounds_beside_it_or_in_the_folder_of_its_name(tmp_path: Path) -> None:
    text = "file_name,caption_1,caption_2\na.wav,A Dog barks.,Barking\n"
    (tmp_path / "mine.csv").write_text(text)
    found = find_own_sounds(tmp_path / "mine.csv")
    assert found.kind == "captions" and found.clips[0].path == tmp_path / "a.wav"
    assert found.clips[0].captions == ("A Dog barks.", "Barking") and found.clips[0].label == "a dog barks"
    touch(tmp_path / "mine/a.wav")
    (tmp_path / "captions_mine.csv").write_text(text)
    assert find_own_sounds(tmp_path / "captions_mine.csv").clips[0].path == tmp_path / "mine/a.wav"


def test_of_clothos_layout_validation_and_evaluation_are_left_alone(tmp_path: Path) -> None:
    for split in ("development", "extra", "validation", "evaluation"):
        (tmp_path / f"captions_{split}.csv").write_text(f"file_name,caption_1\n{split}.wav,a sound\n")
    (tmp_path / "metadata.csv").write_text("file_name,split,recording_id\ndevelopment.wav,development,r7\n")
    clips = find_own_sounds(tmp_path).clips
    assert [clip.path.name for clip in clips] == ["development.wav", "extra.wav"]
    assert clips[0].recording == "r7" and clips[1].recording != "r7"


def test_splits_that_only_measure_are_refused(tmp_path: Path) -> None:
    (tmp_path / "captions_evaluation.csv").write_text("file_name,caption_1\na.wav,a sound\n")
    with pytest.raises(UsageError, match=r"kept for measuring; rename one to captions_development.csv"):
        find_own_sounds(tmp_path)


def test_what_cannot_be_learned_from_is_refused_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no file or folder .*nowhere; give a CSV"):
        find_own_sounds(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="holds no sound"):
        find_own_sounds(tmp_path)
    touch(tmp_path / "a.wav")
    with pytest.raises(UsageError, match=r'says nothing of its 1 sounds.*"DOORWood_Old Cellar Door.wav"'):
        find_own_sounds(tmp_path)
    (tmp_path / "bad.csv").write_text("file_name,caption_1\na.wav,one,two\n")
    with pytest.raises(DataError, match=r"bad\.csv, line 2"):
        find_own_sounds(tmp_path / "bad.csv")
