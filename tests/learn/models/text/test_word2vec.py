"""The Word2Vec text tower: means of known words, alike in both halves, and plain words about unknown ones."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from toy_learning import make_toy_trunk
from toy_words import REAL_VECTORS, make_toy_vectors, write_glove

from soundseek.errors import DataError, ModelError, RecipeError
from soundseek.learn.export.export import _export_text, export_audio
from soundseek.learn.models.audio.compact import CompactTrunk
from soundseek.learn.models.build import build_text
from soundseek.learn.models.dual_encoder import DualEncoder
from soundseek.learn.models.text.word2vec import Word2VecText, lowercase_word
from soundseek.model.config import AudioTowerConfig, ModelConfig, TextTowerConfig, fingerprint
from soundseek.model.model import Model

torch.set_num_threads(1)

WORDS = ["a", "dog", "barks", "rain"]
VECTORS = np.array([[1.0, 0, 0], [0, 2, 0], [0, 0, 4], [3, 2, 0]])
MEAN = [1.0, 1.0, 1.0]


@pytest.fixture
def text() -> Word2VecText:
    return Word2VecText(WORDS, VECTORS, max_tokens=8)


def features(text: Word2VecText, sentence: str) -> list[float]:
    """The features of any sentence, as a search has them."""
    result: list[float] = text(*text.tokenize([sentence]))[0].tolist()
    return result


def test_a_sentence_is_the_mean_of_its_words(text: Word2VecText) -> None:
    found = text.features(["a dog barks", "rain"])
    np.testing.assert_allclose(found, [[1 / 3, 2 / 3, 4 / 3], [3, 2, 0]], atol=1e-6)


def test_a_sentence_of_three_words_gives_five_tokens(text: Word2VecText) -> None:
    token_ids, token_mask = text.tokenize(["a dog barks", "meow", ""])
    assert token_ids.tolist() == [[2, 4, 5, 6, 3], [2, 1, 3, 0, 0], [2, 3, 0, 0, 0]]
    assert token_mask.sum(dim=1).tolist() == [5, 3, 2]


@pytest.mark.parametrize(
    "sentence",
    ["A DOG BARKS.", "a, dog - barks!", "a_dog/barks", "a dog’s barks", "  a\tdog\nbarks ", "a dog's barks"],
)
def test_case_and_punctuation_change_nothing(text: Word2VecText, sentence: str) -> None:
    assert features(text, sentence) == features(text, "a dog barks")


def test_unknown_words_are_skipped(text: Word2VecText) -> None:
    assert features(text, "a Yeti dog barks") == features(text, "a dog barks")


@pytest.mark.parametrize("sentence", ["yeti", "", "?!"])
def test_a_sentence_without_known_words_is_the_mean_of_all_words(text: Word2VecText, sentence: str) -> None:
    assert features(text, sentence) == MEAN


def test_a_caption_without_known_words_is_refused_by_name(text: Word2VecText) -> None:
    with pytest.raises(DataError, match=r"caption 'yeti howls' has no word .* 4 word vectors \(2 such"):
        text.features(["a dog", "yeti howls", "?"])


@given(st.lists(st.lists(st.sampled_from([*WORDS, "yeti", "..."]), max_size=9), min_size=1, max_size=5))
def test_company_does_not_change_a_sentences_features(sentences: list[list[str]]) -> None:
    text = Word2VecText(WORDS, VECTORS, max_tokens=8)
    texts = [" ".join(words) for words in sentences]
    together = text(*text.tokenize(texts))
    for row, sentence in enumerate(texts):
        assert np.allclose(together[row], features(text, sentence), atol=1e-6)


def test_a_long_sentence_is_cut_and_keeps_its_end_mark(text: Word2VecText) -> None:
    token_ids, _ = text.tokenize(["dog " * 20])
    assert token_ids.tolist() == [[2, *[5] * 6, 3]]


def test_the_table_is_frozen_until_it_is_asked_for(text: Word2VecText) -> None:
    assert text.train_last_layers(0) == [] and not text.table.requires_grad
    for asked in (1, "all"):
        (table,) = text.train_last_layers(asked)  # type: ignore[arg-type]
        assert table is text.table and table.requires_grad and table.dtype == torch.float32
    text(*text.tokenize(["a yeti"])).sum().backward()
    assert table.grad is not None and table.grad.nonzero()[:, 0].unique().tolist() == [4]  # "a" alone
    with pytest.raises(RecipeError, match="trained_layers = 2, but word vectors are 1 layer"):
        text.train_last_layers(2)


def test_the_digest_tells_words_vectors_and_length_apart() -> None:
    towers = [
        Word2VecText(WORDS, VECTORS, max_tokens=8),
        Word2VecText(WORDS[::-1], VECTORS, max_tokens=8),
        Word2VecText(WORDS, VECTORS + 1, max_tokens=8),
        Word2VecText(WORDS, VECTORS, max_tokens=9),
    ]
    assert len({tower.digest for tower in towers}) == 4
    assert towers[0].digest == Word2VecText(WORDS, VECTORS, max_tokens=8).digest


def test_a_saved_tower_loads_as_it_was(text: Word2VecText, tmp_path: Path) -> None:
    text.save(tmp_path / "words.safetensors")
    loaded = Word2VecText.load(tmp_path / "words.safetensors", max_tokens=8)
    assert (loaded.words, loaded.digest, loaded.width) == (text.words, text.digest, 3)
    assert features(loaded, "a dog") == features(text, "a dog") and not loaded.training


def test_a_tower_is_built_by_name_from_its_file(tmp_path: Path) -> None:
    path = write_glove(tmp_path / "glove.txt", {"dog": (1, 0), "New_York": (5, 5), "Cat": (0, 1)})
    text = build_text("word2vec", pooling="mean", max_tokens=8, weights=path)
    assert text.kind == "word2vec" and text.features(["cat dog"]).tolist() == [[0.5, 0.5]]
    with pytest.raises(RecipeError, match=r"--set text\.weights=FILE"):
        build_text("word2vec", pooling="mean", max_tokens=8)
    with pytest.raises(RecipeError, match=r"no file .*none\.safetensors"):
        build_text("word2vec", pooling="mean", max_tokens=8, weights=tmp_path / "none.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="holds no word vectors"):
        Word2VecText.load(tmp_path / "other.safetensors")
    save_file({"table": torch.zeros(5, 2)}, tmp_path / "cut.safetensors", metadata={"word2vec": '["a", "b"]'})
    with pytest.raises(ModelError, match="2 words, but 5 rows"):
        Word2VecText.load(tmp_path / "cut.safetensors")


@pytest.mark.parametrize(
    ("word", "typed"),
    [
        ("dog", "dog"),
        ("Dog", "dog"),
        ("café", "café"),
        ("dog's", None),
        ("New_York", None),
        (",", None),
        ("", None),
    ],
)
def test_only_what_a_sentence_can_hold_is_a_word(word: str, typed: str | None) -> None:
    assert lowercase_word(word) == typed


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> DualEncoder:
    """A dual encoder with a toy trunk and toy word vectors, its heads as drawn."""
    folder = tmp_path_factory.mktemp("towers")
    torch.manual_seed(0)
    trunk = CompactTrunk.load(make_toy_trunk(folder / "trunk.safetensors"))
    text = Word2VecText.load(make_toy_vectors(folder / "glove.txt"), max_tokens=16)
    return DualEncoder(dim=6, audio_width=trunk.width, text_width=text.width, trunk=trunk, text=text).eval()


@pytest.fixture(scope="module")
def exported(trained: DualEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its model directory."""
    out = tmp_path_factory.mktemp("exported")
    text, trunk = trained.text, trained.trunk
    assert isinstance(text, Word2VecText) and isinstance(trunk, CompactTrunk)
    assert export_audio(trained, out / "audio.onnx")["audio"] > 0.9999
    assert _export_text(trained, out / "text.onnx", "fp32")["text"] > 0.9999
    text.save_tokenizer(out / "tokenizer.json")
    ModelConfig(
        name="toy",
        version="1",
        dim=6,
        front_end=trunk.front_end,
        audio=AudioTowerConfig(
            frame_hop=trunk.frame_hop,
            scope="local",
            context_frames=trunk.context_frames,
            min_frames=trunk.min_frames,
        ),
        text=TextTowerConfig(kind=text.kind, max_tokens=text.max_tokens),
        fingerprint=fingerprint(out, trunk.front_end),
    ).write(out)
    return out


SENTENCES = [
    "A high tone plays, then a low hum.",
    "hum",
    "the yeti's hum",
    "yeti",
    "",
    "?!",
    "Low LOW low_low " * 12,
]


@torch.no_grad()
def test_the_searching_half_gives_the_vectors_of_the_learning_half(
    trained: DualEncoder, exported: Path
) -> None:
    assert trained.text is not None
    expected = trained.encode_text(*trained.text.tokenize(SENTENCES)).numpy()
    np.testing.assert_allclose(Model(exported).embed_text(SENTENCES), expected, atol=1e-5)


def test_a_search_without_known_words_is_warned_of(exported: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = Model(exported)
    with caplog.at_level(logging.WARNING, logger="soundseek"):
        model.embed_text(["hum", "the yeti's hum", "", "  "])
        assert not caplog.records
        vectors = model.embed_text(["a hum", "Yeti howls!", "?!"])
    assert [record.getMessage() for record in caplog.records] == [
        "the model toy knows no word of 'Yeti howls!': what it finds for it means nothing",
        "the model toy knows no word of '?!': what it finds for it means nothing",
    ]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_the_exported_table_is_float16(trained: DualEncoder, exported: Path) -> None:
    assert trained.text is not None
    tables = [
        tensor
        for tensor in onnx.load(str(exported / "text.onnx")).graph.initializer
        if list(tensor.dims) == list(trained.text.table.shape)  # type: ignore[union-attr]
    ]
    assert [tensor.data_type for tensor in tables] == [onnx.TensorProto.FLOAT16]


@pytest.mark.skipif(not REAL_VECTORS.exists(), reason=f"needs real word vectors, {REAL_VECTORS.name}")
def test_real_vectors_bring_like_sentences_together() -> None:
    text = Word2VecText.load(REAL_VECTORS, num_words=20_000)
    dog, puppy, engine = torch.nn.functional.normalize(
        text.features(["a dog is barking loudly", "puppy barks", "car engine revving"]), dim=1
    )
    assert dog @ puppy > dog @ engine + 0.1
