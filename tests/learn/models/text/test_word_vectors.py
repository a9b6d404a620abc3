"""Files of word vectors: three formats, one table, and every way in which a file can be something else."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from toy_words import REAL_VECTORS, Vectors, write_binary, write_glove, write_text

from soundseek.errors import ModelError, RecipeError
from soundseek.learn.models.text.word2vec import WordVectors, lowercase_word, read_word_vectors

VECTORS: Vectors = {"dog": (1.0, 0.5, -2.0), "Rain": (0.0, 0.25, 4.0), "é": (-1.0, 3.0, 0.125)}
WRITERS = {"glove": write_glove, "text": write_text, "binary": write_binary}

Writer = Callable[[Path, Vectors], Path]


def read(path: Path, num_words: int = 100) -> WordVectors:
    return read_word_vectors(path, num_words=num_words, normalize=lowercase_word)


@pytest.fixture(params=WRITERS)
def write(request: pytest.FixtureRequest) -> Writer:
    return WRITERS[request.param]


@pytest.mark.parametrize("packed", [False, True])
def test_every_format_gives_the_numbers_that_were_written(
    write: Writer, packed: bool, tmp_path: Path
) -> None:
    path = write(tmp_path / "vectors", VECTORS)
    if packed:
        (tmp_path / "vectors.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = tmp_path / "vectors.gz"
    found = read(path)
    assert found.words == ("dog", "rain", "é")
    assert found.vectors.tolist() == [list(row) for row in VECTORS.values()]
    assert found.vectors.dtype == np.float32


def test_gensim_reads_the_same_from_text(tmp_path: Path) -> None:
    keyed_vectors = pytest.importorskip("gensim.models").KeyedVectors
    rows = np.random.default_rng(0).standard_normal((50, 7)).astype(np.float32)
    vectors = {f"word{number}": row.tolist() for number, row in enumerate(rows)}
    for name, write in (("glove", write_glove), ("text", write_text)):
        path = write(tmp_path / name, vectors)
        theirs = keyed_vectors.load_word2vec_format(str(path), no_header=name == "glove")
        ours = read_word_vectors(path, num_words=50, normalize=str)
        assert list(ours.words) == theirs.index_to_key
        assert np.array_equal(ours.vectors, theirs.vectors)


def test_the_most_frequent_words_are_kept(write: Writer, tmp_path: Path) -> None:
    path = write(tmp_path / "vectors", {f"w{number}": (number, 0.5) for number in range(20)})
    assert read(path, num_words=3).words == ("w0", "w1", "w2")


def test_a_word_is_sought_among_four_times_as_many_rows(write: Writer, tmp_path: Path) -> None:
    phrases = {f"New_York_{number}": (1.0, 0.5) for number in range(7)}
    found = read(write(tmp_path / "vectors", {**phrases, "dog": (2.0, 0.5), "cat": (3.0, 0.5)}), num_words=2)
    assert found.words == ("dog",)  # the eighth row; the ninth is never read


def test_the_lower_case_spelling_has_the_vector_and_the_first_the_place(
    write: Writer, tmp_path: Path
) -> None:
    vectors = {"The": (1.0, 0.5), "dog": (2.0, 0.5), "the": (3.0, 0.5), "THE": (4.0, 0.5)}
    found = read(write(tmp_path / "vectors", vectors))
    assert found.words == ("the", "dog")
    assert found.vectors[:, 0].tolist() == [3.0, 2.0]


def test_what_no_sentence_can_hold_is_left_out(write: Writer, tmp_path: Path) -> None:
    vectors = dict.fromkeys([",", "'s", "New_York", "high-pitched", "[UNK]", "rain", "4x4"], (1.0, 0.5))
    assert read(write(tmp_path / "vectors", vectors)).words == ("rain", "4x4")
    with pytest.raises(ModelError, match="no word that a sentence can hold"):
        read(write(tmp_path / "marks", {",": (1.0, 0.5), "--": (1.0, 0.5)}))


def test_the_first_of_two_rows_of_a_word_counts(write: Writer, tmp_path: Path) -> None:
    path = write(tmp_path / "vectors", {"dog": (1.0, 0.5), "cat": (2.0, 0.5)})
    path.write_bytes(path.read_bytes().replace(b"cat", b"dog"))
    assert read(path).vectors.tolist() == [[1.0, 0.5]]


def test_a_word_of_glove_may_contain_blanks(tmp_path: Path) -> None:
    path = write_glove(tmp_path / "vectors", {"dog": (1.0, 0.5), ". . .": (2.0, 0.5), "cat": (3.0, 0.5)})
    assert read(path).words == ("dog", "cat")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"text\.weights: no file .*vectors\.bin"):
        read(tmp_path / "vectors.bin")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no word vectors: it begins with b''"),
        (b"PK\x03\x04 a zip archive", "holds no word vectors"),
        (b"a caption, not numbers\n", "holds no word vectors"),
        (b"3 99999999\ndog 1", "claims 3 words of 99999999 dimensions"),
        (b"0 3\n", "claims 0 words"),
        (b"3 2\ndog 1 2\ncat 3 4\n", "ends after 2 of 3 words"),
        (b"dog 1 2\ncat 3\n", "word 2 has 1 numbers, not 2"),
        (b"dog 1 2\ncat 3 x\n", "cannot be read .*could not convert"),
        (b"dog 1 2\nc\xff 3 4\n", "cannot be read .*utf-8"),
        (b"2 3\ndog \x00\x00\x80\x3f", "cannot be read as word vectors .binary format"),
        (b"dog 1 2\ncat nan 4\n", "the vector of 'cat' has a number that is not finite"),
        (gzip.compress(b"dog 1 2\n" * 5000, mtime=0)[:-30], "damaged gzip|cannot be read"),
    ],
    ids=[
        "empty",
        "zip",
        "text",
        "too-wide",
        "no-words",
        "too-few-words",
        "short-row",
        "not-a-number",
        "not-utf8",
        "cut-binary",
        "nan",
        "cut-gzip",
    ],
)
def test_a_damaged_file_says_what_is_wrong(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "vectors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=says) as error:
        read(path)
    assert str(path) in str(error.value)


@pytest.mark.skipif(not REAL_VECTORS.exists(), reason=f"needs real word vectors, {REAL_VECTORS.name}")
def test_real_vectors_know_what_belongs_together() -> None:
    found = read(REAL_VECTORS, num_words=20_000)
    assert found.vectors.shape == (20_000, 100) and found.words[:3] == ("the", "of", "to")
    unit = found.vectors / np.linalg.norm(found.vectors, axis=1, keepdims=True)
    dog, cat, frankfurt = (unit[found.words.index(word)] for word in ("dog", "cat", "frankfurt"))
    assert dog @ cat > 0.8 > 0.3 > dog @ frankfurt
