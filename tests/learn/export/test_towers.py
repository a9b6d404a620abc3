"""The recipe of docs/bring-your-own-model.md with a toy encoder, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from toy_clap import write_gpt2_tokenizer

from soundseek.audio.logmel import FrontEndConfig, LogMel
from soundseek.audio.segments import plan_windows
from soundseek.errors import ModelError
from soundseek.learn.export import towers as exporting
from soundseek.learn.export.towers import CardFacts, Towers, export_towers
from soundseek.library import Library
from soundseek.model.config import ModelConfig
from soundseek.model.model import Model

PAGE = Path(__file__).parents[3] / "docs" / "bring-your-own-model.md"


class MyAudio(nn.Module):
    """Log-mel `(1, time, 64)` -> `(1, 8)`."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 8))

    def forward(self, log_mel: Tensor) -> Tensor:
        return self.inner(log_mel).mean(dim=1)


class MyText(nn.Module):
    """Token ids `(batch, token)` -> `(batch, 8)`; it has no use for the mask."""

    def __init__(self, dim: int = 8) -> None:
        super().__init__()
        self.words = nn.Embedding(400, dim)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.words(input_ids).mean(dim=1)


@pytest.fixture(scope="module")
def networks() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    return MyAudio().eval(), MyText().eval()


@pytest.fixture(scope="module")
def mine(networks: tuple[nn.Module, nn.Module], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page's lines make of a toy encoder."""
    folder = tmp_path_factory.mktemp("mine")
    write_gpt2_tokenizer(folder / "tokenizer.json")
    lines = recipe().replace('"tokenizer.json"', repr(str(folder / "tokenizer.json")))
    lines = lines.replace('Path("my-model")', f"Path({str(folder / 'my-model')!r})")
    exec(compile(lines, str(PAGE), "exec"), {"my_audio": networks[0], "my_text": networks[1]})
    return folder / "my-model"


def recipe() -> str:
    """The page's lines of code."""
    found = re.search(
        r"<!-- run by .*? -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    assert found, f"{PAGE} has no recipe"
    return found[1]


def test_the_recipe_has_no_more_than_ten_lines() -> None:
    assert len([line for line in recipe().splitlines() if line.strip()]) <= 10


def test_the_recipe_makes_a_model_with_the_vectors_of_pytorch(
    mine: Path, networks: tuple[nn.Module, nn.Module]
) -> None:
    model = Model(mine)
    assert (model.dim, model.config.name, model.config.license) == (8, "my-model", "MIT")
    waveform = np.random.default_rng(0).standard_normal(16_000 * 3).astype(np.float32) / 10
    with torch.no_grad():
        heard = networks[0](torch.from_numpy(LogMel(model.front_end)(waveform))[None])[0].numpy()
        ids = torch.tensor([model._tokenizer.encode("a dog barks").ids])
        read = networks[1](ids, torch.ones_like(ids))[0].numpy()
    np.testing.assert_allclose(
        model.embed_audio((waveform, 16_000)), heard / np.linalg.norm(heard), atol=1e-3
    )
    np.testing.assert_allclose(model.embed_text("a dog barks"), read / np.linalg.norm(read), atol=1e-5)


def test_a_library_is_filled_and_searched_with_it(mine: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    (tmp_path / "sounds").mkdir()
    for name, seconds in (("short", 2), ("long", 23)):
        soundfile.write(
            tmp_path / "sounds" / f"{name}.wav", generator.uniform(-0.5, 0.5, 16_000 * seconds), 16_000
        )
    model = Model(mine)
    with Library.create(tmp_path / "library", model=model) as library:
        assert library.index(tmp_path / "sounds").added == 2
        hits = library.search("a dog barks")
        assert {Path(hit.path).stem for hit in hits} == {"short", "long"} and not model.has_moments
        assert all(len({*np.round(hit.moments, 4)}) == 1 for hit in hits)  # flat
        scored = library.score_windows(hits, "a dog barks")
    for hit, before in zip(scored, hits, strict=True):
        assert (hit.path, hit.score, hit.window_s) == (before.path, before.score, 2.0)
        windows = model.embed_windows(hit.path, [(hit.start_s, hit.end_s)])[0]
        expected = windows[1] @ model.embed_text("a dog barks")
        np.testing.assert_allclose(hit.moments, expected, atol=1e-6)
        best = windows[0][int(expected.argmax())]
        assert hit.moment_s == (best.start_s + best.end_s) / 2 and hit.vector is not None


def test_the_windows_of_a_file_are_those_of_its_parts(mine: Path, tmp_path: Path) -> None:
    sound = np.random.default_rng(1).uniform(-0.5, 0.5, int(16_000 * 7.3))
    soundfile.write(tmp_path / "sound.wav", sound, 16_000)
    model = Model(mine)
    kept = model.embed_file(tmp_path / "sound.wav", windows=True)
    plain = model.embed_file(tmp_path / "sound.wav")
    planned, vectors = model.embed_windows(tmp_path / "sound.wav", [(0.0, 7.3)])[0]
    assert kept.windows is not None and plain.windows is None
    assert [(w.start_s, w.end_s) for w in planned] == [(w.start_s, w.end_s) for w in plan_windows(7.3)]
    np.testing.assert_allclose(kept.windows, vectors, atol=1e-5)
    np.testing.assert_array_equal(kept.vectors, plain.vectors)


def test_towers_that_end_in_different_spaces_are_refused(
    networks: tuple[nn.Module, nn.Module], tmp_path: Path
) -> None:
    tokenizer = write_gpt2_tokenizer(tmp_path / "tokenizer.json")
    towers = Towers(networks[0], MyText(dim=5), tokenizer, FrontEndConfig(num_mels=64))
    with pytest.raises(
        ModelError, match=r"the text network gives embeddings \(5,\), the audio network \(8,\)"
    ):
        export_towers(towers, tmp_path / "out", CardFacts("uneven"))
    assert not (tmp_path / "out").exists()


def test_weights_go_along_when_they_are_asked_for(
    networks: tuple[nn.Module, nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = write_gpt2_tokenizer(tmp_path / "tokenizer.json")
    for name in ("_export_audio", "_export_text"):  # what they write is another test's
        monkeypatch.setattr(exporting, name, written_elsewhere)
    towers = Towers(*networks, tokenizer, FrontEndConfig(num_mels=64))
    export_towers(towers, tmp_path / "out", CardFacts("mine"), with_weights=True)
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert set(weights) == {"audio.inner.0.weight", "audio.inner.0.bias", "audio.inner.2.weight", "audio.inner.2.bias",
                            "text.words.weight"}  # fmt: skip
    assert ModelConfig.read(tmp_path / "out").fingerprint


def written_elsewhere(towers: Towers, path: Path, *rest: object) -> object:
    path.write_bytes(b"network")
    return ({}, 8) if path.name.startswith("audio") else {}
