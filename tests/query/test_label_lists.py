"""Lists of labels: AudioSet's names, UCS, a file, labels of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundseek.errors import QueryError, UsageError
from soundseek.learn.models.audio.tags import read_class_names
from soundseek.query import Reading
from soundseek.query.label_lists import as_read, audioset, label_list, ucs_categories


def test_audiosets_names_are_those_that_taggers_give() -> None:
    assert [each.label for each in audioset().candidates] == read_class_names()
    assert all(text and text == text.lower() for each in audioset().candidates for text in each.texts)


def test_ucs_has_a_code_a_category_and_words_for_each() -> None:
    candidates = ucs_categories().candidates
    assert len(candidates) == len({each.cat_id for each in candidates}) == 752
    thunder = next(each for each in candidates if each.cat_id == "THUN")
    assert (thunder.category, thunder.subcategory, thunder.label) == ("WEATHER", "THUNDER", "WEATHER THUNDER")
    assert thunder.texts[0] == "thunder rumbling"


def test_a_file_has_a_label_on_each_line_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_bytes(b"\xef\xbb\xbfdog  barking\r\n\r\nrain\ndog barking\n")
    found = label_list(str(path), as_read)
    assert found.name == str(path) and [each.label for each in found.candidates] == ["dog barking", "rain"]
    assert label_list(["rain", "rain "], as_read).candidates == found.candidates[1:]


def test_own_labels_are_read_as_queries_and_shown_as_they_were_written() -> None:
    def read(text: str) -> Reading:
        return (
            Reading(text, (("a crowd", "many people"),))
            if text in ("walla", "👥")
            else Reading(text, (), ("x",))
        )

    walla, nothing, signs = label_list(["walla", "no music", "👥"], read).candidates
    assert walla.label == "walla" and walla.texts == ("a crowd", "many people")
    assert nothing.texts == ("no music",) and signs.texts == walla.texts


def test_a_label_that_cannot_be_read_is_named() -> None:
    def read(text: str) -> Reading:
        raise QueryError("nothing to look for")

    with pytest.raises(UsageError, match=r"the label '!!!' cannot be read: nothing to look for"):
        label_list(["!!!"], read)
    with pytest.raises(UsageError, match="more than 1,000 letters"):
        label_list(["x" * 1_001], as_read)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\n \n", "holds no label"),
        (b"dog\nc\0at\n", "zero byte"),
        (b"\xff\xfe\x00", "no UTF-8"),
        (b"a\n" * 600_000, "megabyte"),
    ],
)
def test_what_is_no_list_is_refused_by_name(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "list"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=told) as error:
        label_list(path, as_read)
    assert str(path) in str(error.value)


def test_a_misspelt_list_says_which_there_are() -> None:
    with pytest.raises(UsageError, match=r"'audiset'.*audioset, ucs, or a text file"):
        label_list("audiset", as_read)
    with pytest.raises(UsageError, match="10,000 are the most"):
        label_list([str(number) for number in range(10_001)], as_read)
