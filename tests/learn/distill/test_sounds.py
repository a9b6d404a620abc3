"""Which sounds are learned from: several folders, and what is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundseek.errors import DataError
from soundseek.learn.distill import find_sounds


@pytest.fixture
def clotho(tmp_path: Path) -> Path:
    data = tmp_path / "clotho"
    for split, names in {"development": ("a.wav", "b.wav", "c.wav"), "validation": ("d.wav",)}.items():
        (data / split).mkdir(parents=True)
        for name in names:
            (data / split / name).write_bytes(b"x")
        rows = "".join(f"{name},a sound\n" for name in names)
        (data / f"captions_{split}.csv").write_text("file_name,caption_1\n" + rows)
    (data / "metadata.csv").write_text("file_name,set\na.wav,zoo\nb.wav,zoo\nc.wav,car\nd.wav,car\n")
    return data


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def test_captioned_and_uncaptioned_folders_are_heard_together(clotho: Path, tmp_path: Path) -> None:
    (tmp_path / "free" / "deep").mkdir(parents=True)
    for name in ("deep/x.opus", "y.FLAC", "notes.txt"):
        (tmp_path / "free" / name).write_bytes(b"x")
    sounds = find_sounds([clotho, tmp_path / "free"])
    assert names(sounds.train) == ["a.wav", "b.wav", "c.wav", "x.opus", "y.FLAC"]
    assert {name: names(paths) for name, paths in sounds.yardsticks.items()} == {"validation": ["d.wav"]}


def test_what_a_mac_or_a_nas_keeps_for_itself_is_no_sound_to_learn_from(tmp_path: Path) -> None:
    for name in (
        "a.wav",
        "._a.wav",
        ".AppleDouble/a.wav",
        "@eaDir/a.wav/x.wav",
        "deep/#recycle/a.wav",
        "__MACOSX/a.wav",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert find_sounds([tmp_path]).train == [tmp_path / "a.wav"]


@pytest.mark.parametrize(
    ("lines", "left_out"),
    [("zoo\n", ["a.wav", "b.wav"]), ("# by hand\n\nb.wav\n", ["b.wav"]), ("car\na.wav", ["a.wav", "c.wav"])],
)
def test_files_and_whole_collections_are_left_out(
    clotho: Path, tmp_path: Path, lines: str, left_out: list[str]
) -> None:
    (tmp_path / "left_out.txt").write_text(lines)
    sounds = find_sounds([clotho], tmp_path / "left_out.txt")
    assert names(sounds.yardsticks["left_out"]) == left_out
    assert names(sounds.train) == sorted({"a.wav", "b.wav", "c.wav"} - set(left_out))


def test_what_names_nothing_is_told_with_its_line(clotho: Path, tmp_path: Path) -> None:
    listing = tmp_path / "left_out.txt"
    listing.write_text("zoo\nzebra\n")
    with pytest.raises(DataError, match=r"line 2: 'zebra' is neither"):
        find_sounds([clotho], listing)
    listing.write_text("zoo\ncar\n")
    with pytest.raises(DataError, match="leaves out all 3 sounds"):
        find_sounds([clotho], listing)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no sound files"):
        find_sounds([tmp_path / "empty"])
