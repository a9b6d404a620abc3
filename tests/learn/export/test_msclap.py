"""Microsoft's CLAP of 2023: names, front end and tokens, held against the vectors of its own code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msclap_reference as reference
import numpy as np
import pytest
import torch
from toy_clap import write_gpt2_tokenizer

from soundseek.audio.logmel import MSCLAP_FRONT_END, LogMel, mel_matrix
from soundseek.errors import ModelError
from soundseek.learn.export.msclap import CHECKPOINT, msclap_towers
from soundseek.learn.export.towers import Towers

GOLDEN: dict[str, Any] = json.loads(reference.GOLDEN.read_text(encoding="utf-8"))


def write(folder: Path, **changed: torch.Tensor | None) -> Path:
    """The golden checkpoint in a folder, with some tensors changed or left out, and a tokenizer as GPT-2's."""
    state = reference.weights(GOLDEN["shapes"]) | changed
    torch.save({"model": {name: t for name, t in state.items() if t is not None}}, folder / CHECKPOINT)
    write_gpt2_tokenizer(folder / "tokenizer.json")
    return folder


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> Towers:
    return msclap_towers(write(tmp_path_factory.mktemp("msclap")))


def test_a_sound_has_the_vector_of_its_own_code(towers: Towers) -> None:
    log_mel = LogMel(towers.front_end).of_window(reference.waveform())
    assert log_mel.shape == (965, 64)
    with torch.no_grad():
        found = towers.audio(torch.from_numpy(log_mel[None]))[0].numpy()
    np.testing.assert_allclose(found, GOLDEN["audio"], atol=1e-4)


def test_a_sentence_has_the_vector_of_its_own_code(towers: Towers) -> None:
    ids = torch.tensor([reference.TOKEN_IDS])
    with torch.no_grad():
        found = towers.text(ids, torch.ones_like(ids))[0].numpy()
    np.testing.assert_allclose(found, GOLDEN["text"], atol=1e-4)


def test_a_text_ends_as_its_own_code_ends_it(towers: Towers, tmp_path: Path) -> None:
    """It appends " <|endoftext|>" to what was typed."""
    plain = write_gpt2_tokenizer(tmp_path / "plain.json")
    for text in ("a dog barks", "Rain!", ""):
        assert towers.tokenizer.encode(text).ids == plain.encode(f"{text} <|endoftext|>").ids


def test_mel_bands_of_another_rate_than_the_sound_are_noticed(tmp_path: Path) -> None:
    bands = torch.from_numpy(mel_matrix(MSCLAP_FRONT_END))
    name = "audio_encoder.base.htsat.logmel_extractor.melW"
    msclap_towers(write(tmp_path, **{name: bands}))
    with pytest.raises(ModelError, match="has other mel bands than MS-CLAP 2023"):
        msclap_towers(write(tmp_path, **{name: bands * 1.01}))


def test_what_a_checkpoint_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"its GPT-2 lacks h\.0\.attn\.c_attn\.weight"):
        msclap_towers(write(tmp_path, **{"caption_encoder.base.h.0.attn.c_attn.weight": None}))
    (tmp_path / CHECKPOINT).write_bytes(b"no checkpoint")
    with pytest.raises(ModelError, match=f"{CHECKPOINT} is no checkpoint of MS-CLAP"):
        msclap_towers(tmp_path)
