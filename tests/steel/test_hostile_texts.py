"""Whatever people type, and whatever their tables and recipes hold: an answer or an error of soundseek's own."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from library.best_matches import best_matches
from library.stores import IDENTITY, sound_number
from steel.examples import few

from soundseek.audio.tags import read_tags
from soundseek.errors import QueryError, SoundseekError
from soundseek.library.filters import FIELDS, parse_where
from soundseek.library.ignore import spec_of
from soundseek.library.store.base import Changes, NameQuery
from soundseek.library.store.sqlite import SqliteStore
from soundseek.model.match import MatchCalibration
from soundseek.query import as_typed, read_query
from soundseek.query.label_lists import as_read, label_list
from soundseek.query.parts import sentence_parts

WORDS = [
    "dog", "no", "not", "without", "and", "-", "-rain", '"', "'", "(", ")", ",", "in the background", "AMBNatr_", "🐕",
    "ohne Hund", "chien", "狗", "звук", "\u202e", "\0", "\ud800", "kick 01.wav", "*", "OR", "NEAR(", "a" * 300,
]  # fmt: skip
TYPED = st.one_of(st.text(max_size=80), st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join))
SCRAPS = [
    *FIELDS, "=", "!=", "<", ">=", "~", "and", "or", "not", "(", ")", '"', "'x'", "30", "1e400", "-1", "2024-02-30",
    "nan", "44.1kHz", "1:99", "%", "\0", "\ud800", "10 MB", '"; DROP TABLE files; --"',
]  # fmt: skip
CONDITIONS = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(SCRAPS), max_size=14).map(" ".join))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SqliteStore:
    opened = SqliteStore.open(tmp_path_factory.mktemp("store") / "library", identity=IDENTITY)
    with opened.writing():
        opened.commit(Changes(sounds=[sound_number(number) for number in range(9)]))
    return opened


@few
@given(text=TYPED)
@example(text="not " * 200)
@example(text="(" * 500)
def test_a_query_is_read_whatever_is_typed(text: str) -> None:
    for read in (read_query, as_typed):
        try:
            reading = read(text)
        except QueryError:
            continue
        assert isinstance(reading.text, str)
    sentence_parts(text)


@few
@given(text=TYPED)
def test_names_are_asked_for_whatever_is_typed(text: str, store: SqliteStore) -> None:
    words = tuple(word for word in text.split() if word)
    found = best_matches(
        store, np.eye(1, IDENTITY.dim, dtype=np.float32)[0], k=20, names=NameQuery(text, words)
    )
    assert len(found) == 9


@few
@given(text=CONDITIONS)
@example(text="(" * 3000 + "duration < 1" + ")" * 3000)
@example(text=" and ".join(["duration < 1"] * 3000))
@example(text="not " * 3000 + "duration < 1")
def test_a_condition_selects_or_is_refused_and_changes_nothing(text: str, store: SqliteStore) -> None:
    try:
        condition = parse_where(text)
    except QueryError:
        return
    assert 0 <= store.count(condition)[0] == len(store.files(condition)) <= 9
    assert store.count() == (9, sum(1 + number % 4 for number in range(9)))


@few
@given(patterns=st.lists(st.text(max_size=30), max_size=4))
def test_patterns_to_exclude_are_patterns_or_refused(patterns: list[str]) -> None:
    with suppress(SoundseekError):
        spec_of(patterns).match_file("a/b.wav")


# --- Tables, lists, recipes -----------------------------------------------------------------------------------------

ODD_CELLS = [
    "",
    "a.wav",
    "../a.wav",
    "/etc/passwd",
    "x" * 500,
    '"',
    "a\nb",
    "\0",
    "=1+1",
    "é",
    "\ufeff",
    "1e999",
]
CELLS = st.one_of(st.sampled_from(ODD_CELLS), st.text(max_size=12))
HEADERS = [
    ["file_name", "caption_1"],
    ["file_name", "caption_1", "caption_2"],
    ["caption", "fname_1"],
    ["file_name"],
    [],
]


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """A CSV with a header that may fit, rows of any cells, and now and then bytes that are no text."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])))
    writer.writerow(draw(st.one_of(st.sampled_from(HEADERS), st.lists(CELLS, max_size=4))))
    writer.writerows(draw(st.lists(st.lists(CELLS, max_size=4), max_size=5)))
    content = text.getvalue().encode("utf-8", "surrogatepass")
    at = draw(st.integers(0, len(content)))
    return content[:at] + draw(st.binary(max_size=3)) + content[at:]


def read_captions(path: Path) -> None:
    from soundseek.learn.datasets.own_sounds import find_own_sounds

    for clip in find_own_sounds(path).clips:
        assert clip.captions


def read_predictions(path: Path) -> None:
    from soundseek.learn.evaluation.dcase import score_predictions

    score_predictions(path, path)


def read_labels(path: Path) -> None:
    assert label_list(path, as_read).candidates


def read_match(path: Path) -> None:
    path.rename(path.with_name("match.npz"))
    MatchCalibration.read(path.parent, dim=8)


@pytest.mark.parametrize("read", [read_captions, read_predictions, read_labels, read_match, read_tags])
@few
@given(content=st.one_of(tables(), st.binary(max_size=200)))
def test_a_table_is_read_or_refused(read: Callable[[Path], object], content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "captions_own.csv"
    path.write_bytes(content)
    try:
        read(path)
    except SoundseekError as error:
        assert str(error)


LINES = [
    "training:", "  epochs: 5", "  epochs: .nan", "  epochs: 1e400", "base: self-attention", "base: ../../x", "<<: *a",
    "a: &a [*a]", "!!python/object/apply:os.system [id]", "loss: {}", "? {}", "- 1", "seed: -1", "audio: null",
    "text:\n  weights: ../../etc/passwd", "2001-01-01: x", "2001-99-99: x", "x: !!binary '='", "\t",
]  # fmt: skip
YAML = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(LINES), max_size=6).map("\n".join))
LAUGHS = "a: &a [x, x]\n" + "\n".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in pairwise("abcdefghijkl")
)
SETTINGS = [
    "training.epochs=", "=", "a=1", "training.epochs=!!python/name:os.system", "seed=[[[[", "training=1",
    "training.epochs.x=1", "loss.kind=*a", "seed=1e999", "audio.=",
]  # fmt: skip


@few
@given(text=YAML)
@example(
    text="a: &a [x, x]\n"
    + "\n".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]" for n in range(8))
)
@example(text="[" * 2000)
def test_a_recipe_is_loaded_or_refused(text: str, tmp_path: Path) -> None:
    from soundseek.learn.recipe.load import load_recipe

    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        load_recipe(path)
    except SoundseekError as error:
        assert str(error)


@few
@given(setting=st.one_of(st.text(max_size=40), st.sampled_from(SETTINGS)))
def test_a_setting_is_taken_or_refused(setting: str) -> None:
    from soundseek.learn.recipe.load import load_recipe

    try:
        load_recipe("self-attention", [setting])
    except SoundseekError as error:
        assert str(error)
