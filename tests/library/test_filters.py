"""The language of --where: what it accepts, what it means, how it refuses."""

from __future__ import annotations

import fnmatch
import os
import sqlite3
import unicodedata
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from library.stores import sound_file

from soundseek.errors import QueryError
from soundseek.library.filters import (
    FIELDS,
    FORMAT_ALIASES,
    IS_BELOW,
    PATH_HAS,
    And,
    Condition,
    Not,
    Or,
    Span,
    file_name,
    is_below,
    parse_where,
    path_has,
    to_sql,
)
from soundseek.library.store import tables as schema
from soundseek.library.store.base import Description, SoundFile

MAY_NOON = int(datetime(2024, 5, 1, 12).timestamp()) * 10**9
FACTS = {
    "bell": ("/s/Church BELL.wav", 4.0, 44100, "WAV", MAY_NOON),
    "rain": ("/s/wet/rain 100%.ogg", 90.0, 48000, "OGG/VORBIS", 0),
    "odd": ("/s/wet\udcff/[x]_rain.mp3", 3600.0, 8000, "MP3", 1),
    "outside": ("/s-more/Straße.flac", 0.25, 96000, "FLAC", 2),
}
# Channels, bytes, and what the file says of itself; nothing is known of the last one, of an earlier soundseek.
MORE: dict[str, tuple[int, int, Description | None]] = {
    "bell": (1, 500, Description((("scene", "12"), ("note", "Café bells")), 16, -23.0)),
    "rain": (2, 20_000_000, Description((("scene", "120"),), None, -40.5)),
    "odd": (6, 1_500, Description((), 24)),
    "outside": (2, 20_000_001, None),
}
FILES = {
    name: sound_file(
        path,
        duration_s=duration,
        sample_rate_hz=rate,
        format=form,
        mtime_ns=mtime,
        channels=MORE[name][0],
        size_bytes=MORE[name][1],
        description=MORE[name][2],
    )
    for name, (path, duration, rate, form, mtime) in FACTS.items()
}
# As a Mac writes them, with a letter and its accent apart, and as a keyboard does.
ACCENTS = {
    "mac": sound_file("/m/U\u0308bung/Cafe\u0301 1.m4a", format="MP4/AAC"),
    "typed": sound_file("/m/\xdcbung/Caf\xe9 2.wav", format="RF64"),
    "outside": sound_file("/m/\xdcbungen/cafe.aif", format="AIFF"),
}


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


def matches(condition: Condition, file: SoundFile) -> bool:
    """Whether a file fulfils a condition, asked in plain Python."""
    if isinstance(condition, And):
        return all(matches(part, file) for part in condition.parts)
    if isinstance(condition, Or):
        return any(matches(part, file) for part in condition.parts)
    if isinstance(condition, Not):
        return not matches(condition.part, file)
    field, operator, value = condition.field, condition.operator, condition.value
    if isinstance(value, Span):
        about = file.description or Description()
        number = {
            "duration": file.duration_s, "rate": file.sample_rate_hz, "modified": file.mtime_ns,
            "channels": file.channels, "size": file.size_bytes, "bits": about.bit_depth,
            "loudness": about.loudness_dbfs,
        }[field]  # fmt: skip
        if number is None:  # what is not known fulfils nothing
            return False
        low, high = value.low, value.high
        return {
            "=": low <= number < high, "!=": not low <= number < high, "<": number < low, ">=": number >= low,
            ">": number > high if high == low else number >= high,
            "<=": number <= high if high == low else number < high,
        }[operator]  # fmt: skip
    composed = unicodedata.normalize("NFC", file.path)
    name = (
        composed.rsplit("/", 1)[-1].casefold().encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    )
    if field == "folder":
        is_so = composed.startswith(unicodedata.normalize("NFC", value).rstrip("/") + "/")
    elif field == "format":
        kind = file.format.lower()
        if operator == "~":
            return value in kind or f".{value}" in name
        is_so = bool(set(FORMAT_ALIASES.get(value, (value,))) & {*kind.split("/"), kind}) or name.endswith(
            f".{value}"
        )
    elif field == "path":
        return value in composed.casefold().encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    elif field == "tag":
        said = " ".join(f"| {key} {text} |" for key, text in (file.description or Description()).tags)
        plain = unicodedata.normalize("NFD", said.casefold()).encode("ascii", "ignore").decode()
        return f" {value.rstrip('*')}{'' if value.endswith('*') else ' '}" in plain.replace("bells", "bell")
    elif operator == "~":
        return value in name
    else:
        is_so = fnmatch.fnmatchcase(name, value.replace("[", "[[]"))
    return is_so == (operator == "=")


def selected(text: str, files: dict[str, SoundFile] = FILES) -> set[str]:
    """The files that fulfil a condition; asked in SQL and in Python, which must agree."""
    condition = parse_where(text)
    by_python = {name for name, file in files.items() if matches(condition, file)}
    assert by_sql(condition, files) == by_python
    return by_python


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("duration < 5", {"bell", "outside"}),
        ("duration <= 4", {"bell", "outside"}),
        ("duration > 1:30", {"odd"}),
        ("duration >= 1.5min and duration < 1h", {"rain"}),
        ("duration = 1h", {"odd"}),
        ("duration = 0:00:04", {"bell"}),
        ("length = 250ms", {"outside"}),
        ("duration != 4 and duration != .25s", {"rain", "odd"}),
        ("rate = 44.1k", {"bell"}),
        ("rate >= 48kHz", {"rain", "outside"}),
        ("rate > 48000", {"outside"}),
        ("rate <= 44100", {"bell", "odd"}),
        ("sample_rate != 44100", {"rain", "odd", "outside"}),
        ("channels = 2", {"rain", "outside"}),
        ("channels = mono or channels > 2", {"bell", "odd"}),
        ("bits = 24", {"odd"}),
        ("bit_depth < 24bit", {"bell"}),
        ("not bits = 24", {"bell", "rain", "outside"}),
        ("size <= 20MB", {"bell", "rain", "odd"}),
        ("size >= 1.5kB and size < 0.02GB", {"odd"}),
        ("loudness > -30", {"bell"}),
        ("loudness = -40.5dBFS", {"rain"}),
        ("level <= -23dB", {"bell", "rain"}),
        ("path ~ /WET/", {"rain"}),
        ("path ~ wet", {"rain", "odd"}),
        ("not path ~ s-more", {"bell", "rain", "odd"}),
        ('tag ~ "scene 12"', {"bell"}),
        ('tag ~ "scene 12*"', {"bell", "rain"}),
        ("tag ~ cafe", {"bell"}),
        ('tag ~ "12 scene"', set()),
        ("tag ~ bell", {"bell"}),
        ("format = wav", {"bell"}),
        ("format == OGG", {"rain"}),
        ("format = vorbis", {"rain"}),
        ("format = ogg/vorbis", {"rain"}),
        ("format = og", set()),
        ("format ~ o", {"rain"}),
        ("format != mp3", {"bell", "rain", "outside"}),
        ("folder = /s", {"bell", "rain", "odd"}),
        ("folder = /s/", {"bell", "rain", "odd"}),
        ("folder = '/s/wet'", {"rain"}),
        ("folder != /s", {"outside"}),
        ("folder = /", {"bell", "rain", "odd", "outside"}),
        ("name ~ RAIN", {"rain", "odd"}),
        ("name ~ %", {"rain"}),
        ("name = 'church bell.wav'", {"bell"}),
        ("name = *.ogg", {"rain"}),
        ("name = [x]*", {"odd"}),
        ("name = ?x?_rain.mp3", {"odd"}),
        ("name = 'rain'", set()),
        ("name = STRASSE.flac", {"outside"}),
        ("name != *rain*", {"bell", "outside"}),
        ("modified = 2024", {"bell"}),
        ("modified = 2024-05", {"bell"}),
        ("modified = 2024-05-01", {"bell"}),
        ("modified = 2024-05-01T12:00", {"bell"}),
        ("modified = '2024-05-01 12:01'", set()),
        ("modified > 2024-05-01", set()),
        ("modified >= 2024-05-01", {"bell"}),
        ("modified < 2024-05-01", {"rain", "odd", "outside"}),
        ("modified <= 2024-05-01", {"bell", "rain", "odd", "outside"}),
        ("modified != 2024", {"rain", "odd", "outside"}),
        ("duration < 5 or rate < 10k and format = wav", {"bell", "outside"}),
        ("(duration < 5 or rate < 10k) and not format = wav", {"odd", "outside"}),
        ("not not format = wav", {"bell"}),
        ("NOT (format = wav OR format = mp3) AND duration<100", {"rain", "outside"}),
        ("((format=wav))", {"bell"}),
    ],
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
        ("format = rf64", {"typed"}),
        ("format = aif", {"outside"}),
        ("format = aiff", {"outside"}),
        ("format != wav", {"mac", "outside"}),
        ("format = *", set()),
        ("format = av", set()),
        ("format ~ ai", {"outside"}),
    ],
)
def test_a_format_is_also_how_the_name_ends(text: str, expected: set[str]) -> None:
    assert selected(text, ACCENTS) == expected


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
        ("xyzzy = 5", r"no field 'xyzzy'; Fields: duration"),
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


VALUES = {
    "duration": st.sampled_from(["4", "0.25s", "1:30", "1h"]),
    "rate": st.sampled_from(["44.1k", "48000", "8000Hz"]),
    "modified": st.sampled_from(["2024", "2024-05-01", "1970-01-01"]),
    "format": st.sampled_from(["wav", "vorbis", "o"]),
    "folder": st.sampled_from(["/s", "/s/wet", "/"]),
    "name": st.sampled_from(["rain", "*rain*", "[x]*"]),
    "path": st.sampled_from(["wet/", "s-more", "rain"]),
    "tag": st.sampled_from(["scene", '"scene 12"', "bell"]),
    "channels": st.sampled_from(["1", "stereo", "6"]),
    "bits": st.sampled_from(["16", "24bit"]),
    "size": st.sampled_from(["500", "1.5kB", "20MB"]),
    "loudness": st.sampled_from(["-23", "-40.5dB", "0"]),
}
COMPARISONS = st.sampled_from(sorted(FIELDS)).flatmap(
    lambda field: st.builds(
        lambda operator, value: f"{field} {operator} {value}",
        st.sampled_from(
            {
                "path": ["~"],
                "tag": ["~"],
                "format": ["=", "!="],
                "folder": ["=", "!="],
                "name": ["=", "!="],
            }.get(field, ["=", "!=", "<", "<=", ">", ">="])
        ),
        VALUES[field],
    )
)
CONDITIONS = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        st.builds("not ({})".format, inner),
        st.builds("({}) and {}".format, inner, COMPARISONS),
        st.builds("{} or ({})".format, COMPARISONS, inner),
    ),
    max_leaves=6,
)


@given(CONDITIONS)
@settings(max_examples=200, deadline=None)
def test_sql_and_python_agree_on_any_condition(text: str) -> None:
    selected(text)


def test_a_name_is_compared_as_valid_text_without_case() -> None:
    assert file_name("/s/BELL\udcff.wav") == "bell\ufffd.wav"
    assert os.fsencode("/s/BELL\udcff.wav").endswith(b"\xff.wav")
