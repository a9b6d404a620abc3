from __future__ import annotations

from pathlib import Path

import pytest

from soundseek.errors import DataError
from soundseek.learn.datasets.tables import inspect_csv, read_csv, read_lines


def table(folder: Path, content: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_rows_come_by_column_with_the_line_that_they_begin_on(tmp_path: Path) -> None:
    path = table(tmp_path, 'id,caption\n\n1,"Rain,\nthen ""wind"""\n2, A man says "hi" \n3\n')
    assert [(row.line, row.cells) for row in read_csv(path, "caption")] == [
        (3, {"id": "1", "caption": 'Rain,\nthen "wind"'}),
        (5, {"id": "2", "caption": 'A man says "hi"'}),
        (6, {"id": "3", "caption": ""}),
    ]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_line_ends_and_byte_order_marks_of_any_system_change_nothing(tmp_path: Path, line_end: str) -> None:
    path = table(tmp_path, "\ufeffid,caption,\n1,Rain,\n2,Wind,\n".replace("\n", line_end))
    rows = read_csv(path, "id")
    assert [row.cells for row in rows] == [{"id": "1", "caption": "Rain"}, {"id": "2", "caption": "Wind"}]
    assert rows[1].line == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,caption\n1,Rain\n2,Rain, then wind\n", r"table.csv, line 3: 3 cells, and the header has 2; .*quotes"),
        ("id,caption,x\n1,Rain\n", "line 2: 2 cells, and the header has 3; .*line break"),
        ('id,caption\n1,"Hey\n2,Rain\n', "line 2: a double quote opens a cell and is never closed"),
        ('id,caption\n1,"Hey\n2,"Wind" blows\n', "line 2: a double quote opens .*line 3, does not end it"),
        ('id,caption\n1,"Hey\n2,Rain\n3,x"\n4,Wind\n', "line 2: .*swallows rows below, such as '2,Rain'"),
        ('id,caption\na.wav,"Hey\nb c.ogg,Rain"\n', "line 2: .*swallows rows below, such as 'b c.ogg,Rain"),
        ("id,caption,caption\n1,Rain,Wind\n", "line 1: the column caption stands there twice"),
        ("name,caption\n1,Rain\n", "line 1: expected id,caption, found name,caption"),
        ("id;caption\n1;Rain\n", "line 1: expected id,caption, found id;caption; separate cells by commas"),
        ("", "line 1: expected id,caption, found nothing"),
        (b"id,caption\n1,Rain\n2,Caf\xe9\n", "line 3: the byte 0xe9 is not UTF-8; save the file as UTF-8"),
        ("id,caption\n1,Rain\0\n", "line 2: a zero byte"),
        ("id,caption\n1,Rain\n".encode("utf-16"), "line 1: the byte 0xff is not UTF-8"),
    ],
)  # fmt: skip
def test_what_could_be_misread_is_refused_with_its_line(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_csv(table(tmp_path, content), "id", "caption")


def test_a_caption_of_two_lines_in_quotes_is_one_cell(tmp_path: Path) -> None:
    (row,) = read_csv(table(tmp_path, 'id,caption\n1,"A dog barks,\nthen, far away, a bell"\n'), "id")
    assert row.cells["caption"] == "A dog barks,\nthen, far away, a bell"


def test_every_faulty_row_is_listed_and_the_others_are_read(tmp_path: Path) -> None:
    found = inspect_csv(table(tmp_path, "id,caption\n1,a,b\n2,Rain\n3,c,d\n"), "id")
    assert [fault.line for fault in found.faults] == [2, 4]
    assert [row.cells["id"] for row in found.rows] == ["2"]
    with pytest.raises(DataError, match=r"line 2: .*\(1 more line is wrong\)"):
        read_csv(found.path, "id")


def test_another_encoding_can_be_allowed(tmp_path: Path) -> None:
    (row,) = read_csv(table(tmp_path, b"id\nCaf\xe9\n"), "id", encoding="iso-8859-1")
    assert row.cells["id"] == "Café"


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.csv: cannot be read: No such file"):
        read_csv(tmp_path / "none.csv", "id")


def test_a_list_is_read_without_byte_order_mark_and_blank_lines(tmp_path: Path) -> None:
    assert read_lines(table(tmp_path, "\ufeffa.wav\r\n\n b.wav \n")) == ["a.wav", "b.wav"]
    with pytest.raises(DataError, match=r"table.csv, line 1: the byte 0xe9 is not UTF-8"):
        read_lines(table(tmp_path, b"caf\xe9.wav\n"))
