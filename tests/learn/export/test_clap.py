"""LAION's CLAP from a hub to a model directory: the vectors of transformers, and every way to fail."""

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import huggingface_hub.file_download
import numpy as np
import pytest
import soundfile
import torch
from hub_server import COMMIT, Hub, serving_hub
from safetensors.torch import load_file
from toy_clap import make_toy_clap
from toy_learning import make_toy_data
from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

from soundseek.audio.logmel import CLAP_FRONT_END, LogMel
from soundseek.errors import DataError, DecodeError, ModelError, UsageError
from soundseek.learn.datasets.download import CannotFetchError
from soundseek.learn.export import get_published as getting
from soundseek.learn.export.clap import clap_front_end, clap_towers
from soundseek.learn.export.get_published import GetOptions, get_from_hub, get_published
from soundseek.learn.export.hub import hub_header, push_model
from soundseek.model.config import ModelConfig
from soundseek.model.model import Model
from soundseek.model.published import CLAP_FILES, PUBLISHED, HubFile, HubSource, PublishedModel

REPO, WEIGHTS = "somebody/tiny-clap", "model.safetensors"
RATE = CLAP_FRONT_END.sample_rate_hz


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_clap(tmp_path_factory.mktemp("hub") / "tiny-clap")


@pytest.fixture
def hub(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub with the checkpoint, told to `huggingface_hub` by the variable that users set."""
    content = {path.name: path.read_bytes() for path in checkpoint.iterdir()}
    monkeypatch.setattr(huggingface_hub.file_download.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(
        huggingface_hub.constants, "HF_HUB_DISABLE_XET", True
    )  # the hub's other way of storing
    with serving_hub(Hub({REPO: content})) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture(scope="module")
def made(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model directory, exported once from a snapshot."""
    out = tmp_path_factory.mktemp("models") / "tiny"
    assert get_published(tiny(), out, GetOptions(source=checkpoint)) == "made"
    return out


@pytest.fixture
def quick_export(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies the exported model in place of an export that takes seconds; weights are read and checked as ever."""

    def export_towers(towers: Any, out: Path, card: Any, **rest: Any) -> None:
        shutil.copytree(made, out)

    monkeypatch.setattr(getting, "export_towers", export_towers)


def tiny(**weights: Any) -> PublishedModel:
    source = HubSource(REPO, "main", (*CLAP_FILES, HubFile(WEIGHTS, **weights)))
    return PublishedModel(
        "tiny", "clap", (source,), "MIT", "A toy.", ("Somebody",), (), {"ESC-50 acc": 0.5}, "a paper", 10, 10
    )


def twenty_sounds() -> list[np.ndarray]:
    """Mono waveforms at CLAP's rate: noise, tones, clicks and near silence, from 15 ms to the whole window."""
    generator = np.random.default_rng(0)
    sounds = []
    for number, seconds in enumerate(np.geomspace(0.015, 10.0, 20)):
        time_s = np.arange(round(seconds * RATE)) / RATE
        noise = generator.standard_normal(len(time_s))
        shape = (noise, np.sin(2 * np.pi * 220 * (1 + number) * time_s), (noise > 1).astype(float))[
            number % 3
        ]
        sounds.append((shape * 10.0 ** -(number % 4)).astype(np.float32))
    return sounds


def test_the_log_mel_is_that_of_the_feature_extractor(checkpoint: Path) -> None:
    extractor = ClapFeatureExtractor.from_pretrained(checkpoint)
    log_mel = LogMel(clap_front_end(checkpoint))
    for waveform in twenty_sounds():
        expected = extractor(waveform, sampling_rate=RATE)["input_features"][0][0]
        found = log_mel.of_window(waveform)
        assert found.shape == (1001, 64)
        np.testing.assert_allclose(found, expected, atol=2e-5)  # decibels, from -100 on


def test_twenty_sounds_have_the_vectors_of_transformers(checkpoint: Path, made: Path) -> None:
    extractor, network = (
        ClapFeatureExtractor.from_pretrained(checkpoint),
        ClapModel.from_pretrained(checkpoint),
    )
    model, sounds = Model(made), twenty_sounds()
    found = model.embed_audio([(waveform, RATE) for waveform in sounds])
    features = torch.from_numpy(
        np.stack([extractor(waveform, sampling_rate=RATE)["input_features"][0] for waveform in sounds])
    )
    with torch.no_grad():
        expected = network.eval().get_audio_features(input_features=features.float()).pooler_output
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
    assert np.abs(found[0] - found[1]).max() > 1e-2  # the toy hears a difference


def test_sentences_have_the_vectors_of_transformers(checkpoint: Path, made: Path) -> None:
    tokenizer, network = (
        AutoTokenizer.from_pretrained(checkpoint),
        ClapModel.from_pretrained(checkpoint).eval(),
    )
    model = Model(made)
    assert (model.config.text.kind, model.config.text.max_tokens) == ("roberta", 62)
    for text in ("a dog barks while it rains", "", "Birds, sing!  ñ 雨", "thunder " * 40):
        read = tokenizer([text], return_tensors="pt", truncation=True)
        with torch.no_grad():
            expected = network.get_text_features(**read).pooler_output[0].numpy()
        np.testing.assert_allclose(model.embed_text(text), expected, atol=1e-4)


def test_a_long_file_is_windows_of_ten_seconds_every_five(made: Path, tmp_path: Path) -> None:
    model = Model(made)
    waveform = np.random.default_rng(1).standard_normal(round(23.5 * RATE)).astype(np.float32) / 10
    soundfile.write(tmp_path / "noise.wav", waveform, RATE, "FLOAT")
    embedding = model.embed_file(tmp_path / "noise.wav")
    assert [(s.start_s, s.end_s) for s in embedding.segments] == [(0, 10), (5, 15), (10, 20), (13.5, 23.5)]
    alone = [
        model.embed_audio((waveform[round(s.start_s * RATE) :][: 10 * RATE], RATE))
        for s in embedding.segments
    ]
    np.testing.assert_allclose(embedding.vectors, np.stack(alone), atol=1e-6)
    assert embedding.frames.shape == (4, model.dim) and embedding.frame_s == 10.0


def test_an_interrupted_download_goes_on_and_becomes_a_model(
    hub: Hub, tmp_path: Path, quick_export: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = len(hub.repos[REPO][WEIGHTS]) // 2000 * 1000
    hub.hang_up_after = [half]
    monkeypatch.setattr(
        huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1000
    )  # what it writes at once: 10 MB
    told: list[tuple[str, int, int]] = []
    out = tmp_path / "models" / "tiny"
    done = get_published(
        tiny(), out, GetOptions(downloads=tmp_path / "downloads", report=lambda *each: told.append(each))
    )
    assert done == "made" and Model(out).dim == 64
    assert [wanted for name, wanted in hub.ranges if name == WEIGHTS] == ["", f"bytes={half}-"]
    size = len(hub.repos[REPO][WEIGHTS])
    assert told[-1] == (WEIGHTS, size, size)


def test_a_download_that_breaks_off_again_and_again_is_told_as_such(hub: Hub, tmp_path: Path) -> None:
    hub.hang_up_after = [50_000] * 30
    with pytest.raises(CannotFetchError, match=rf"{REPO} broke off again and again .* it goes on"):
        get_published(tiny(), tmp_path / "x", GetOptions(downloads=tmp_path / "d"))


def test_the_card_says_where_the_weights_come_from(made: Path) -> None:
    card = ModelConfig.read(made)
    assert (card.name, card.license, card.scores) == ("tiny", "MIT", {"ESC-50 acc": 0.5})
    assert card.training["made from"] == f"{REPO} at main" and card.training["scores from"] == "a paper"
    assert card.training["parity"]["audio"] > 0.9999 and card.training["parity"]["text"] > 0.9999
    assert card.audio.scope == "window" and not Model(made).has_moments


def test_a_model_that_is_here_is_not_made_again(
    checkpoint: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(getting, "export_towers", None)
    assert get_published(tiny(), made, GetOptions(source=checkpoint)) == "here"


def test_damaged_weights_are_loaded_once_more_and_then_named(
    hub: Hub, tmp_path: Path, quick_export: None
) -> None:
    good = hub.repos[REPO][WEIGHTS]
    bad = good[:-1] + bytes([good[-1] ^ 1])
    hub.send_instead[WEIGHTS] = [bad]
    assert get_published(tiny(), tmp_path / "once", GetOptions(downloads=tmp_path / "a")) == "made"
    hub.send_instead[WEIGHTS] = [bad, bad]
    with pytest.raises(
        DataError, match=rf"{REPO}'s {WEIGHTS} has the sha256 \w{{64}}, published is \w{{64}}"
    ):
        get_published(tiny(), tmp_path / "never", GetOptions(downloads=tmp_path / "b"))
    assert not (tmp_path / "never").exists() and not (tmp_path / "b" / "tiny" / WEIGHTS).exists()


def test_a_small_file_is_checked_by_the_digest_that_git_gives_it(
    hub: Hub, tmp_path: Path, quick_export: None
) -> None:
    good = hub.repos[REPO]["config.json"]
    bad = good.replace(b"1", b"7", 1)
    assert len(bad) == len(good) and bad != good
    hub.send_instead["config.json"] = [bad, bad]
    with pytest.raises(
        DataError, match=rf"{REPO}'s config.json has git's digest \w{{40}}, published is \w{{40}}"
    ):
        get_published(tiny(), tmp_path / "never", GetOptions(downloads=tmp_path / "d"))
    assert not (tmp_path / "d" / "tiny" / "config.json").exists()


def test_another_size_than_the_published_one_is_named(hub: Hub, tmp_path: Path) -> None:
    size = len(hub.repos[REPO][WEIGHTS])
    with pytest.raises(DataError, match=rf"has {size:,} bytes, published are {size + 1:,}"):
        get_published(tiny(size_bytes=size + 1), tmp_path / "x", GetOptions(downloads=tmp_path / "d"))


def test_too_few_bytes_are_told_as_such(hub: Hub, tmp_path: Path) -> None:
    hub.send_instead[WEIGHTS] = [hub.repos[REPO][WEIGHTS][:100]] * 9
    with pytest.raises(DataError, match="sent another number of bytes than it had promised"):
        get_published(tiny(), tmp_path / "x", GetOptions(downloads=tmp_path / "d"))


def test_a_full_disk_is_told_before_the_download(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: _Disk(free=10_000))
    with pytest.raises(DataError, match=rf"{REPO} needs .* and .* has 0\.0 MB left"):
        get_published(tiny(), tmp_path / "x", GetOptions(downloads=tmp_path / "d"))
    assert not any(name == WEIGHTS for name, _ in hub.ranges)


class _Disk:
    def __init__(self, free: int) -> None:
        self.free = free


def test_a_disk_that_fills_up_meanwhile_is_told(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(huggingface_hub.file_download, "http_get", full)
    with pytest.raises(DataError, match=f"no space left for {REPO}"):
        get_published(tiny(), tmp_path / "x", GetOptions(downloads=tmp_path / "d"))


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        ((403, "GatedRepo"), "is gated: accept its terms there, then log in with: hf auth login"),
        ((401, "RepoNotFound"), "does not exist, or is private: log in with: hf auth login"),
        ((403, ""), "answers 403: you may not read it; log in"),
        ((500, ""), "answers 500; try again later"),
    ],
)
def test_a_refusal_is_one_line_with_the_next_step(
    hub: Hub, tmp_path: Path, refusal: tuple[int, str], message: str
) -> None:
    hub.refuse[REPO] = refusal
    with pytest.raises(CannotFetchError) as raised:
        get_published(tiny(), tmp_path / "x", GetOptions(downloads=tmp_path / "d"))
    assert message in str(raised.value) and "\n" not in str(raised.value)
    assert str(raised.value).startswith(f"{hub.url}/{REPO}")


def test_a_missing_revision_and_a_missing_file_are_named(hub: Hub, tmp_path: Path) -> None:
    source = replace(tiny().sources[0], revision="f" * 40)
    with pytest.raises(CannotFetchError, match=f"has no revision {'f' * 40}"):
        get_published(
            replace(tiny(), sources=(source,)), tmp_path / "x", GetOptions(downloads=tmp_path / "d")
        )
    del hub.repos[REPO]["config.json"]
    with pytest.raises(CannotFetchError, match=rf"{REPO} has no config\.json at main"):
        get_published(tiny(), tmp_path / "x", GetOptions(downloads=tmp_path / "d"))


def test_no_hub_at_all_leads_to_a_folder_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CannotFetchError, match=r"http://127\.0\.0\.1:9 cannot be reached for .* --from DIR"):
        get_published(tiny(), tmp_path / "x", GetOptions(downloads=tmp_path / "d"))


def test_a_snapshot_is_compared_with_what_was_published(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{REPO}'s {WEIGHTS} has the sha256"):
        get_published(tiny(sha256="0" * 64), tmp_path / "x", GetOptions(source=checkpoint))
    with pytest.raises(UsageError, match=r"has no config\.json; it takes a folder with the files of"):
        get_published(tiny(), tmp_path / "x", GetOptions(source=tmp_path))


def test_a_fused_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    fused = make_toy_clap(tmp_path / "fused", fused=True)
    with pytest.raises(
        ModelError, match="is a fused checkpoint, which hears a long file as three random crops"
    ):
        clap_towers(fused)


def test_weights_that_lack_a_tensor_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    lacking = Path(shutil.copytree(checkpoint, tmp_path / "lacking"))
    tensors = load_file(lacking / WEIGHTS)
    del tensors["audio_projection.linear1.weight"]
    save_file(tensors, lacking / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(
        ModelError, match=r"lacks weights of a ClapModel, .*audio_projection\.linear1\.weight"
    ):
        clap_towers(lacking)


def test_a_model_directory_goes_to_the_hub_and_comes_back(
    hub: Hub, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CannotFetchError, match="log in with"):
        push_model(made, "me/mine")
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    assert push_model(made, "me/mine") == f"{hub.url}/me/mine"
    readme = hub.pushed["me/mine"]["README.md"].decode()
    assert (
        readme.startswith("---\nlibrary_name: soundseek\n")
        and "license: mit\n" in readme
        and "# tiny" in readme
    )
    assert set(hub.pushed["me/mine"]) == {path.name for path in made.iterdir()}
    hub.repos["me/mine"] = hub.pushed["me/mine"]
    out = tmp_path / "mine"
    assert get_from_hub("me/mine", "main", out, GetOptions(downloads=tmp_path / "d")) == "made"
    np.testing.assert_array_equal(Model(out).embed_text("thunder"), Model(made).embed_text("thunder"))
    assert get_from_hub("me/mine", COMMIT, out, GetOptions(downloads=tmp_path / "d")) == "here"


def test_a_clap_of_any_user_is_built(hub: Hub, tmp_path: Path, quick_export: None) -> None:
    assert get_from_hub(REPO, "main", tmp_path / "x", GetOptions(downloads=tmp_path / "d")) == "made"
    hub.repos["a/picture"] = {"config.json": b"{}"}
    with pytest.raises(ModelError, match="holds neither a soundseek model directory nor a ClapModel"):
        get_from_hub("a/picture", "main", tmp_path / "y", GetOptions(downloads=tmp_path / "d"))


def test_a_licence_that_the_hub_has_no_name_for_is_still_said(made: Path) -> None:
    card = ModelConfig.read(made).model_copy(update={"license": "My own terms 1.0"})
    assert "license: other\nlicense_name: my-own-terms-1-0\n" in hub_header(card)


def test_what_is_published_is_pinned() -> None:
    for name, model in PUBLISHED.items():
        weights = [file for source in model.sources for file in source.files if file.sha256]
        assert name == model.name and len(weights) == 1 and len(weights[0].sha256) == 64
        assert (
            model.license and model.credits and model.scores and model.scores_source and model.download_bytes
        )


def test_short_windows_are_clips_of_their_own(made: Path, tmp_path: Path) -> None:
    model = Model(made)
    waveform = np.random.default_rng(2).uniform(-0.5, 0.5, 12 * RATE).astype(np.float32)
    soundfile.write(tmp_path / "noise.wav", waveform, RATE, subtype="FLOAT")
    (first, vectors), (last, _) = model.embed_windows(tmp_path / "noise.wav", [(5.0, 9.5), (11.0, 12.0)])
    assert [(w.start_s, w.end_s) for w in first] == [(5.0, 7.0), (6.0, 8.0), (7.5, 9.5)]
    assert [(w.start_s, w.end_s) for w in last] == [(11.0, 12.0)]
    alone = [
        model.embed_audio((waveform[round(w.start_s * RATE) : round(w.end_s * RATE)], RATE)) for w in first
    ]
    np.testing.assert_allclose(vectors, np.stack(alone), atol=1e-6)
    with pytest.raises(DecodeError, match=r"it ends before 20\.00 s"):
        model.embed_windows(tmp_path / "noise.wav", [(20.0, 22.0)])


def test_the_commands_that_embed_and_measure_run_with_it(made: Path, say: Any, tmp_path: Path) -> None:
    data = make_toy_data(tmp_path / "clotho", ("evaluation",))
    library, model = str(tmp_path / "library"), str(made)
    folder = data / "evaluation"
    sound = str(min(folder.glob("*.wav")))

    def records(*arguments: str) -> list[dict[str, Any]]:
        code, shown, complaint = say(*arguments, "--json")
        assert code == 0, complaint
        return [json.loads(line) for line in shown.splitlines()]

    (report,) = records("index", str(folder), "--library", library, "--model", model, "--workers", "0")
    assert report["added"] == 6
    assert len(records("search", "a tone", "--library", library, "--windows")) == 6
    assert [hit["path"] for hit in records("similar", sound, "--library", library)].count(sound) == 0
    (said,) = records("label", sound, "--model", model, "-k", "2")
    assert len(said["labels"]) == 2
    (explained,) = records("explain", sound, "a tone", "--library", library)
    assert explained["path"] == sound
    (scores,) = records("evaluate", model, "--data", str(data))
    assert scores["num_clips"] == 6
    (robust,) = records("robustness", model, "--data", str(data))
    assert robust["rows"][0]["name"] == "as is"
