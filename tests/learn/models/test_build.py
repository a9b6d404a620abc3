"""MPNet and RoBERTa as text towers: positions that count from the padding's id, and no token types."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from toy_learning import make_toy_bert
from toy_towers import MAX_TOKENS, make_toy_mpnet, make_toy_roberta

from soundseek.errors import RecipeError
from soundseek.learn.export.export import _export_text
from soundseek.learn.models.build import build_trunk
from soundseek.learn.models.dual_encoder import DualEncoder
from soundseek.learn.models.text.bert import BertText

torch.set_num_threads(1)

MAKERS = {"mpnet": make_toy_mpnet, "roberta": make_toy_roberta}
SENTENCES = ["a low tone plays", "tone", "", "a low tone plays, it is low"]


@pytest.fixture(scope="module", params=MAKERS)
def directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MAKERS[request.param](tmp_path_factory.mktemp("towers") / request.param)


def load(directory: Path, max_tokens: int = MAX_TOKENS) -> BertText:
    return BertText.load(str(directory), pooling="mean", max_tokens=max_tokens)


def test_it_is_read_from_the_hubs_layout_with_its_own_marks_and_padding(directory: Path) -> None:
    assert {file.name for file in directory.iterdir()} >= {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    text = load(directory)
    assert text.width == 16
    token_ids, token_mask = text.tokenize(SENTENCES)
    assert (token_ids[:, 0] == 0).all()  # <s>
    assert torch.equal(token_mask, token_ids != 1)  # <pad>
    ends = token_mask.sum(dim=1) - 1
    assert (token_ids.gather(1, ends[:, None]) == 2).all()  # </s>
    assert not any(parameter.requires_grad for parameter in text.parameters())


@torch.no_grad()
def test_company_does_not_change_a_sentences_features(directory: Path) -> None:
    text = load(directory)
    among = text.features(SENTENCES)
    for number, sentence in enumerate(SENTENCES):
        alone = text.features([sentence])[0]
        torch.testing.assert_close(among[number], alone, atol=1e-5, rtol=0)
        token_ids, _ = text.tokenize([sentence])
        tokens = text.bert(input_ids=token_ids).last_hidden_state[0]
        torch.testing.assert_close(alone, tokens.mean(dim=0), atol=1e-5, rtol=0)
    assert (among[0] - among[1]).abs().max() > 0.1


@torch.no_grad()
def test_what_stands_in_the_padding_does_not_matter(directory: Path) -> None:
    text = load(directory)
    token_ids, token_mask = text.tokenize(SENTENCES)
    assert not token_mask.all()
    other = token_ids.masked_fill(~token_mask, 7)  # a word where the padding was
    torch.testing.assert_close(text(other, token_mask), text(token_ids, token_mask), atol=1e-5, rtol=0)


def test_word_order_makes_a_difference(directory: Path) -> None:
    first, second = load(directory).features(["low tone", "tone low"])
    assert (first - second).abs().max() > 0.05


@torch.no_grad()
def test_onnx_gives_the_same_padded_alone_and_at_full_length(directory: Path, tmp_path: Path) -> None:
    import onnxruntime

    text = load(MAKERS[directory.name](tmp_path / "one", num_layers=1))
    model = DualEncoder(dim=5, audio_width=3, text_width=16, text=text).eval()
    assert _export_text(model, tmp_path / "text.onnx", "fp32")["text"] > 0.99999
    session = onnxruntime.InferenceSession(str(tmp_path / "text.onnx"), providers=["CPUExecutionProvider"])
    assert [given.name for given in session.get_inputs()] == ["input_ids", "attention_mask"]  # no token types
    for batch in (SENTENCES, ["tone"], ["low " * 40]):
        token_ids, token_mask = text.tokenize(batch)
        feeds = {"input_ids": token_ids.numpy(), "attention_mask": token_mask.long().numpy()}
        found = session.run(None, feeds)[0]
        np.testing.assert_allclose(found, model.encode_text(token_ids, token_mask).numpy(), atol=1e-5)


def test_the_searching_halfs_tokenizer_gives_the_same_tokens(directory: Path, tmp_path: Path) -> None:
    """The published files carry padding and truncation of their own, which must not get through."""
    content = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
    content["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    published = tmp_path / "published"
    published.mkdir()
    for file in directory.iterdir():
        (published / file.name).write_bytes(file.read_bytes())
    (published / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    text = load(published)
    text.save_tokenizer(tmp_path / "tokenizer.json")
    searching = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    searching.enable_truncation(MAX_TOKENS)
    for sentence in (*SENTENCES, "low " * 40):
        assert searching.encode(sentence).ids == text.tokenize([sentence])[0][0].tolist()


def test_its_last_layers_can_be_trained(directory: Path) -> None:
    text = load(directory)
    chosen = text.train_last_layers(1)
    trained = {name for name, parameter in text.named_parameters() if parameter.requires_grad}
    assert len(chosen) == len(trained) > 0
    assert all(".layer.1." in name for name in trained)


def test_more_tokens_than_positions_is_an_error_that_says_how_many(directory: Path, tmp_path: Path) -> None:
    assert load(directory).features(["low " * 80]).isfinite().all()
    with pytest.raises(
        RecipeError, match=r"text\.max_tokens = 33, but .* has positions for 32; --set text\.max"
    ):
        load(directory, MAX_TOKENS + 1)
    bert = make_toy_bert(tmp_path / "bert")  # BERT counts from 0
    assert load(bert, 32).features(["tone " * 80]).isfinite().all()
    with pytest.raises(RecipeError, match="max_tokens = 33"):
        load(bert, 33)


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("mn04_as_mAP_432.pt", r"release v0\.0\.1 publishes mn04_as_mAP_432\.pt"),
        ("mine.pt", r"mine\.pt; give the file of the trunk.s weights, docs"),
    ],
)
def test_weights_that_are_not_there_say_where_they_are_published(
    file: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=told):
        build_trunk("efficientat", tmp_path / file)
