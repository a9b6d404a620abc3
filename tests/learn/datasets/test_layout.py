from __future__ import annotations

from pathlib import Path

import pytest

from soundseek.errors import DataError
from soundseek.learn.datasets.layout import Clip, read_split


def write(directory: Path, table: bytes, sounds: tuple[str, ...] = ("a.wav", "b.wav")) -> Path:
    (directory / "development").mkdir()
    for name in sounds:
        (directory / "development" / name).write_bytes(b"")
    (directory / "captions_development.csv").write_bytes(table)
    return directory


def test_clips_come_in_the_order_of_the_table(tmp_path: Path) -> None:
    write(
        tmp_path, b'file_name,caption_1,caption_2\nb.wav,"Rain, then wind",Rain\na.wav,Birds,A bird sings\n'
    )
    folder = tmp_path / "development"
    assert read_split(tmp_path, "development") == [
        Clip(folder / "b.wav", ("Rain, then wind", "Rain")),
        Clip(folder / "a.wav", ("Birds", "A bird sings")),
    ]


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    write(tmp_path, b"\xef\xbb\xbffile_name,caption_1\r\na.wav,Rain\r\n")
    assert read_split(tmp_path, "development")[0].captions == ("Rain",)


def test_empty_captions_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, b"file_name,caption_1,caption_2,caption_3\na.wav,, Rain ,\n")
    assert read_split(tmp_path, "development")[0].captions == ("Rain",)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (b"file_name,caption_1\na.wav,x\nmissing.wav,x\n", "line 3: no sound .*missing.wav"),
        (b"file_name,caption_1\na.wav,x\na.wav,y\n", "line 3: a.wav stands in line 2 already"),
        (b"file_name,caption_1\na.wav,\n", "line 2: a.wav has no caption"),
        (b"name,caption_1\na.wav,x\n", "line 1: expected file_name,caption_1"),
        (b"file_name,text\na.wav,x\n", "line 1: expected file_name,caption_1"),
        (b"file_name,caption_1\n", "lists no clip"),
        (b"file_name;caption_1\na.wav;Rain, then wind\n", "line 1: .*semicolons or tabs .*commas"),
        (b"file_name\tcaption_1\na.wav\tRain\n", "line 1: .*semicolons or tabs .*commas"),
        (b"file_name,caption_1\na.wav,\xff\xfe\n", "line 2: the byte 0xff is not UTF-8"),
        (b"file_name,caption\na.wav,Rain, then wind\n", "line 2: 3 cells, and the header has 2"),
        (
            b'file_name,caption_1\na.wav,"Hey\nb.wav,x\n',
            "line 2: a double quote opens a cell and is never closed",
        ),
        (b"file_name,caption_id,caption_length\na.wav,7,3\n", "line 1: expected file_name,caption_1"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, table: bytes, message: str) -> None:
    write(tmp_path, table)
    with pytest.raises(DataError, match=message):
        read_split(tmp_path, "development")


def test_only_columns_called_caption_hold_captions(tmp_path: Path) -> None:
    write(
        tmp_path,
        b"file_name,caption_id,caption,caption_length,caption_2\na.wav,10007,A dog barks,3,Barking\n",
    )
    assert read_split(tmp_path, "development")[0].captions == ("A dog barks", "Barking")


def test_a_missing_split_says_which_there_are(tmp_path: Path) -> None:
    write(tmp_path, b"file_name,caption_1\na.wav,x\n")
    with pytest.raises(DataError, match=r"no captions_test.csv; it has captions_development.csv"):
        read_split(tmp_path, "test")


def test_a_directory_without_captions_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected Clotho's layout"):
        read_split(tmp_path / "nowhere", "development")
