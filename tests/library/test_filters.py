"""The language of --where: what it accepts, what it means, how it refuses."""

from __future__ import annotations

import os
import sqlite3
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from library.filter_cases import ACCENTS, CASES, CONDITIONS, FILES, matches
from library.stores import sound_file

from soundseek.errors import QueryError
from soundseek.library.filters import (
    IS_BELOW,
    PATH_HAS,
    Condition,
    file_name,
    is_below,
    parse_where,
    path_has,
    to_sql,
)
from soundseek.library.store import tables as schema
from soundseek.library.store.base import SoundFile


def by_sql(condition: Condition, files: dict[str, SoundFile]) -> set[str]:
    connection = sqlite3.connect(":memory:")
    connection.create_function(IS_BELOW, 2, is_below)
    for statement in schema.TABLES:
        connection.execute(statement)
    connection.create_function(PATH_HAS, 2, path_has)
    for number, file in enumerate(files.values()):
        place = (number, file_name(file.path), number, 1, number, 1)
        connection.execute(schema.INSERT_FILE, (*schema.row_of(file), *place))
        schema.describe_file(connection, number, file.path, file.description)
    sql, values = to_sql(condition)
    names = list(files)
    found = connection.execute(f"SELECT id FROM files WHERE {sql}", values).fetchall()
    connection.close()
    return {names[number] for (number,) in found}


def selected(text: str, files: dict[str, SoundFile] = FILES) -> set[str]:
    """The files that fulfil a condition; asked in SQL and in Python, which must agree."""
    condition = parse_where(text)
    by_python = {name for name, file in files.items() if matches(condition, file)}
    assert by_sql(condition, files) == by_python
    return by_python


@pytest.mark.parametrize(
    ("text", "expected"),
    CASES,
)
def test_a_condition_selects_the_same_files_in_sql_and_in_python(text: str, expected: set[str]) -> None:
    assert selected(text) == expected


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name ~ caf\xe9", {"mac", "typed"}),
        ("name = 'CAF\xc9*'", {"mac", "typed"}),
        ("name != 'caf\xe9*'", {"outside"}),
        ("folder = /m/\xdcbung", {"mac", "typed"}),
        ("folder = /m/\xdcbung/", {"mac", "typed"}),
        ("folder != /m/\xdcbung", {"outside"}),
        ("folder = /m", {"mac", "typed", "outside"}),
        ("folder = /m/\xfcbung", set()),
    ],
)
def test_accents_are_compared_as_letters_however_they_are_written(
    text: str, expected: set[str], form: str
) -> None:
    assert selected(unicodedata.normalize(form, text), ACCENTS) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("format = m4a", {"mac"}),
        ("format = .M4A", {"mac"}),
        ("format = aac", {"mac"}),
        ("format = wav", {"typed"}),
        ("format = wave", {"typed"}),
        ("format = bwf", {"typed"}),
        ("format = rf64", {"typed"}),
        ("format = aif", {"outside"}),
        ("format = aiff", {"outside"}),
        ("format = aifc", {"outside"}),
        ("format != wav", {"mac", "outside"}),
        ("format = *", set()),
        ("format = av", set()),
        ("format ~ ai", {"outside"}),
    ],
)
def test_a_format_is_also_how_the_name_ends(text: str, expected: set[str]) -> None:
    assert selected(text, ACCENTS) == expected


@pytest.mark.parametrize(
    ("typed", "format"),
    [("mkv", "MATROSKA/OPUS"), ("mka", "MATROSKA/OPUS"), ("ac-3", "AC3/AC3"), ("e-ac-3", "EAC3/EAC3")],
)
def test_a_format_has_the_names_that_people_write(typed: str, format: str) -> None:
    files = {"it": replace(ACCENTS["mac"], path="/m/sound", format=format), "other": ACCENTS["typed"]}
    assert selected(f"format = {typed}", files) == {"it"}


# A value just inside and just outside of what a number, a rate or a date stands for.
@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("duration = 4", {"duration_s": 4.004}, {"duration_s": 4.02}),
        ("rate = 44.1k", {"sample_rate_hz": 44100}, {"sample_rate_hz": 44101}),
        ("rate = 16.001k", {"sample_rate_hz": 16001}, {"sample_rate_hz": 16000}),
        ("modified = 2024", {"mtime_ns": 1735646400 * 10**9}, {"mtime_ns": 1735819200 * 10**9}),
        ("modified = 2024-02", {"mtime_ns": 1709164800 * 10**9}, {"mtime_ns": 1709337600 * 10**9}),
        ("modified = 1969-12-31", {"mtime_ns": -43_200 * 10**9}, {"mtime_ns": 43_200 * 10**9}),
    ],
)
def test_where_a_value_ends(text: str, inside: dict[str, float], outside: dict[str, float]) -> None:
    files = {"inside": sound_file("/a.wav", **inside), "outside": sound_file("/b.wav", **outside)}
    assert selected(text, files) == {"inside"}


def test_a_folder_ends_where_its_name_ends() -> None:
    files = {name: sound_file(f"/a/{name}") for name in ("b/c.wav", "b0.wav", "b1/c.wav", "b.wav")}
    assert selected("folder = /a/b", files) == {"b/c.wav"}


def test_a_tilde_is_the_home_folder_and_a_relative_folder_starts_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", "/s")
    assert selected("folder = ~/wet") == {"rain"}
    monkeypatch.chdir(tmp_path)
    condition = parse_where("folder = here")
    assert matches(condition, sound_file(str(tmp_path / "here" / "a.wav")))


def test_a_value_is_never_pasted_into_sql() -> None:
    text = 'name = "x\'); DROP TABLE files; --"'
    sql, values = to_sql(parse_where(text))
    assert (sql, values) == ("name GLOB ?", ["x'); drop table files; --"])
    assert selected(text) == set()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a field .* it ends there"),
        ("duraton < 5", r"no field 'duraton'; did you mean 'duration'\? Fields: duration, format, rate"),
        ("xyzzy = 5", r"no field 'xyzzy'; fields: duration"),
        ("duration 5", "expected one of = != .* after 'duration'"),
        ("duration <", "expected a value .* after 'duration <'"),
        ("duration < five", "duration < 'five': not understood; write seconds"),
        ("duration < 1.2.3", "not understood"),
        ("duration ~ 5", "duration cannot be compared with '~'; it takes ="),
        ("folder < /s", "folder cannot be compared with '<'; it takes = !="),
        ("name > a", "name cannot be compared with '>'"),
        ("rate = fast", "write the file's sample rate"),
        ("modified > yesterday", "write a date"),
        ("modified > 2024-13-01", "write a date"),
        ("name = ''", "needs a value"),
        ("name = heavy rain", "a value with spaces needs quotes.*found 'rain'"),
        ("name = 'rain", "expected a value"),
        ("format = wav and", "expected a field"),
        ("and format = wav", "expected a field"),
        ("(format = wav", r"closing parenthesis '\)'.*it ends there"),
        ("format = wav)", r"expected 'and' or 'or'.*found '\)'"),
        ("not", "expected a field"),
        ("(" * 200 + "format = wav" + ")" * 200, "nested more than 50 deep"),
        ("not " * 5000 + "format = wav", "nested more than 50 deep"),
        (" or ".join(["format = wav"] * 201), "more than 200 comparisons"),
    ],
)
def test_a_condition_that_makes_no_sense_says_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        parse_where(text)


def test_as_many_comparisons_as_allowed_are_no_trouble_for_sqlite() -> None:
    assert selected(" or ".join(["format = wav"] * 200)) == {"bell"}
    assert selected("(" * 50 + "format = wav" + ")" * 50) == {"bell"}


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_condition_or_a_query_error(text: str) -> None:
    try:
        condition = parse_where(text)
    except QueryError:
        return
    to_sql(condition)


@given(CONDITIONS)
@settings(max_examples=200, deadline=None)
def test_sql_and_python_agree_on_any_condition(text: str) -> None:
    selected(text)


def test_a_name_is_compared_as_valid_text_without_case() -> None:
    assert file_name("/s/BELL\udcff.wav") == "bell\ufffd.wav"
    assert os.fsencode("/s/BELL\udcff.wav").endswith(b"\xff.wav")
