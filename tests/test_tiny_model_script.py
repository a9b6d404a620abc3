"""scripts/tiny_model.py: the words of soundseek-small over another trunk, and a projector that is fitted to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_tables import script

from soundseek import load_model
from soundseek.audio.logmel import FrontEndConfig

torch = pytest.importorskip("torch")


def test_a_tiny_model_has_the_words_of_its_teacher_and_is_fitted_to_what_it_hears(
    tmp_path: Path,
) -> None:
    from soundseek.learn.models.audio.compact import BlocksConfig, CompactConfig, CompactTrunk
    from soundseek.learn.models.audio.compact_layers import TagsConfig

    tiny_model = script("tiny_model")
    torch.manual_seed(0)
    config = CompactConfig(
        stem_width=4,
        stages=(BlocksConfig(width=8, expansion=1, kernel=3, stride=4, blocks=1),),
        tags=TagsConfig(hidden=8),
        front_end=FrontEndConfig(hop_length=640),
    )
    CompactTrunk(config).save(tmp_path / "trunk.safetensors")
    seconds = np.arange(16_000) / 32_000
    sounds = []
    for number, hz in enumerate((100, 400, 1600, 6400)):
        sounds.append(tmp_path / f"{number}.wav")
        soundfile.write(sounds[-1], 0.3 * np.sin(2 * np.pi * hz * seconds), 32_000)
    small = load_model("soundseek-small")

    cosine = tiny_model.write_tiny_model(
        tmp_path / "trunk.safetensors", small.directory, tmp_path / "tiny", []
    )
    tiny_model.write_tiny_model(tmp_path / "trunk.safetensors", small.directory, tmp_path / "fitted", sounds)

    tiny, fitted = load_model(tmp_path / "tiny"), load_model(tmp_path / "fitted")
    assert cosine > 0.9999
    assert tiny.config.name == "soundseek-tiny" and tiny.front_end.hop_length == 640
    assert tiny.front_end.peak_dbfs == small.front_end.peak_dbfs
    assert tiny.fingerprint != small.fingerprint
    assert tiny.match is not None and tiny.memory is not None and tiny.manners.keys() == small.manners.keys()
    assert tiny.match.heard_by == tiny.memory.heard_by == tiny.fingerprint
    np.testing.assert_array_equal(tiny.embed_text(["a dog barks"]), small.embed_text(["a dog barks"]))
    wanted = small.embed_audio(sounds)
    as_it_stands, moved = (float((each.embed_audio(sounds) * wanted).sum()) for each in (tiny, fitted))
    assert moved > as_it_stands + 0.5
