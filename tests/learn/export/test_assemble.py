"""Heads joined with a trunk from a web server that misbehaves, from a file, onto disks that are full."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tones import write_tone
from toy_learning import make_toy_trunk
from toy_offer import TRUNK, load_script, make_toy_run, published_at, write_facts
from web_server import Site, serving

from soundseek.errors import DataError, ModelError, SoundseekError, UsageError
from soundseek.learn.datasets.download import CannotFetchError, Patience
from soundseek.learn.evaluation.match import fit_match
from soundseek.learn.export import assemble as joining
from soundseek.learn.export.assemble import get_model
from soundseek.learn.export.golden_vectors import agreement, save_probes
from soundseek.learn.models.build import build_text
from soundseek.learn.recipe.load import load_recipe
from soundseek.learn.training.run_folder import MODEL_FILE, build_dual_encoder
from soundseek.model.config import ModelConfig
from soundseek.model.manners import MannerDirection, write_manners
from soundseek.model.match import MATCH_FILE, MatchCalibration
from soundseek.model.memory import MEMORY_FILE
from soundseek.model.model import Model
from soundseek.model.registry import AVAILABLE, GOLDEN_FILE, HEADS_FILE, HEADS_RECIPE_FILE, AvailableModel
from soundseek.model.spelling import WORDS_FILE, Spelling, write_words

QUICK = Patience(attempts=3, wait_s=0.0, timeout_s=60.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_run(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def carried(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy offer that the script made of a run; and `kept` beside it, the joined model."""
    offered = tmp_path_factory.mktemp("offered") / "toy-plus"
    write_facts(offered, run / TRUNK)
    script = load_script()
    script.refuse_what_users_lack = lambda recipe: None  # the toy's text tower is a local directory
    script.portable = lambda recipe: joining.with_trunk(recipe, None)
    script.carry(run, offered, precision="fp32", scores={"mAP10": 0.5}, keep=offered.parent / "kept")
    return offered


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tones in three splits: 44 to remember, 40 to fit on and one to score."""
    folder = tmp_path_factory.mktemp("sounds")
    for split, number in (("development", 44), ("validation", 40), ("evaluation", 1)):
        (folder / split).mkdir()
        rows = ["file_name,caption_1"]
        for each in range(number):
            write_tone(folder / split / f"{split}{each}.wav", frequency_hz=200 + 90 * each, duration_s=0.3)
            rows.append(f"{split}{each}.wav,tone number {each}")
        (folder / f"captions_{split}.csv").write_text("\n".join(rows))
    labels = [f"development{each}.wav,{'low' if each < 42 else 'high'}" for each in range(44)]
    (folder / "metadata.csv").write_text("\n".join(["file_name,label", *labels]))
    return folder


@pytest.fixture
def offered(carried: Path, tmp_path: Path) -> Path:
    """The toy offer, to be changed by the test."""
    return Path(shutil.copytree(carried, tmp_path / "offered" / "toy-plus"))


@pytest.fixture
def trunk(run: Path) -> Path:
    return run / TRUNK


@pytest.fixture
def site(trunk: Path) -> Site:
    return Site({TRUNK: trunk.read_bytes()})


@pytest.fixture
def quick_join(carried: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies the joined model in place of an export that takes seconds; the trunk is checked as ever."""

    def export_run(run: Path, out: Path, **rest: Any) -> None:
        joining.load_recipe(run / "recipe.yaml")
        shutil.copytree(carried.parent / "kept", out)

    monkeypatch.setattr(joining, "export_run", export_run)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_interrupted_download_goes_on_and_becomes_a_model(
    offered: Path, site: Site, tmp_path: Path, quick_join: None
) -> None:
    half = len(site.files[TRUNK]) // 2
    site.hang_up_after = [half]
    out = tmp_path / "models" / "toy-plus"
    with serving(site):
        published_at(offered, site.url)
        got = get_model(offered, out, downloads=tmp_path / "downloads", patience=QUICK)
    assert [wanted for _, wanted in site.requests] == ["", f"bytes={half}-"]
    assert (got.directory, got.done) == (out, "made") and got.agreement > 0.9999
    assert names(out.parent) == ["toy-plus"]  # no scratch folder stays
    card, offer = ModelConfig.read(out), AvailableModel.read(offered)
    assert (card.name, card.license, card.scores) == ("toy-plus", "CC0-1.0", {"mAP10": 0.5})
    assert card.fingerprint == Model(out).fingerprint == offer.fingerprint != ""
    assert "Somebody" in (out / "README.md").read_text()
    again = get_model(
        offered, out, downloads=tmp_path / "downloads"
    )  # the server is gone, and nobody asks it
    assert again.done == "here"


def test_a_download_stopped_by_the_user_goes_on_in_the_next_call(
    offered: Path, site: Site, tmp_path: Path, quick_join: None
) -> None:
    def stop(name: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    site.hang_up_after = [1000]
    out, downloads = tmp_path / "models" / "toy-plus", tmp_path / "downloads"
    with serving(site):
        published_at(offered, site.url)
        with pytest.raises(KeyboardInterrupt):
            get_model(offered, out, downloads=downloads, report=stop, patience=QUICK)
        assert not out.exists()
        assert get_model(offered, out, downloads=downloads, patience=QUICK).done == "made"
    assert site.requests[-1][1] == "bytes=1000-"


def test_wrong_bytes_are_named_and_thrown_away(offered: Path, site: Site, tmp_path: Path) -> None:
    good = site.files[TRUNK]
    site.files[TRUNK] = good[:-1] + bytes([good[-1] ^ 1])
    with serving(site):
        published_at(offered, site.url)
        with pytest.raises(DataError, match=r"trunk\.safetensors has the sha256 \w{64}, expected \w{64}"):
            get_model(offered, tmp_path / "m" / "toy-plus", downloads=tmp_path / "downloads", patience=QUICK)
    assert names(tmp_path / "downloads") == [] and names(tmp_path / "m") == []


def test_a_wrong_size_is_told_before_anything_is_loaded(offered: Path, site: Site, tmp_path: Path) -> None:
    size = len(site.files[TRUNK])
    site.files[TRUNK] += b"!"
    with serving(site):
        published_at(offered, site.url)
        with pytest.raises(DataError, match=rf"has {size + 1:,} bytes, expected {size:,}"):
            get_model(offered, tmp_path / "toy-plus", downloads=tmp_path / "downloads", patience=QUICK)
    assert names(tmp_path / "downloads") == []


def test_a_mirror_is_asked_instead_of_the_publisher(
    offered: Path, site: Site, tmp_path: Path, quick_join: None
) -> None:
    with serving(site):
        got = get_model(
            offered, tmp_path / "toy-plus", mirror=site.url, downloads=tmp_path / "d", patience=QUICK
        )
    assert got.done == "made" and site.requests == [(TRUNK, "")]


def test_without_internet_it_says_what_to_fetch_by_hand(
    offered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(request: object, timeout: float) -> None:
        raise urllib.request.URLError(socket.gaierror(-2, "Name or service not known"))  # type: ignore[attr-defined]

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    with pytest.raises(CannotFetchError) as told:
        get_model(offered, tmp_path / "toy-plus", downloads=tmp_path / "downloads", patience=QUICK)
    trunk = AvailableModel.read(offered).trunk
    for part in (trunk.url, trunk.sha256, f"{trunk.size_bytes:,} bytes", f"get toy-plus --trunk {TRUNK}"):
        assert part in str(told.value)


def test_too_little_space_is_seen_before_anything_is_fetched(
    offered: Path, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = AvailableModel.read(offered).working_bytes
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=needed - 1))
    with serving(site):
        published_at(offered, site.url)
        with pytest.raises(DataError, match=rf"toy-plus needs {needed / 1e6:.1f} MB and .* MB left"):
            get_model(offered, tmp_path / "toy-plus", downloads=tmp_path / "downloads", patience=QUICK)
    assert site.requests == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        RuntimeError(f"I/O error: {os.strerror(errno.ENOSPC)} (os error 28)"),  # as safetensors puts it
    ],
)
def test_a_disk_that_fills_up_says_how_much_is_needed_and_leaves_nothing(
    error: Exception, offered: Path, trunk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export_run(run: Path, out: Path, **rest: Any) -> None:
        out.mkdir()
        (out / "audio.onnx").write_bytes(b"half")
        raise error

    monkeypatch.setattr(joining, "export_run", export_run)
    published_at(offered, "http://127.0.0.1:9")
    with pytest.raises(DataError, match=r"no space left in .*: making toy-plus needs \d+ MB there"):
        get_model(offered, tmp_path / "m" / "toy-plus", trunk=trunk)
    assert names(tmp_path / "m") == []


def test_other_errors_of_the_export_are_not_taken_for_a_full_disk(
    offered: Path, trunk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export_run(run: Path, out: Path, **rest: Any) -> None:
        raise ModelError("audio: ONNX Runtime agrees with PyTorch only to a cosine of 0.9")

    monkeypatch.setattr(joining, "export_run", export_run)
    with pytest.raises(ModelError, match=r"only to a cosine of 0\.9"):
        get_model(offered, tmp_path / "m" / "toy-plus", trunk=trunk)
    assert names(tmp_path / "m") == []


def test_the_same_tensors_in_another_file_do_and_others_do_not(
    offered: Path, trunk: Path, tmp_path: Path, quick_join: None
) -> None:
    with safe_open(trunk, "pt") as file:
        saying = file.metadata()
    save_file(load_file(trunk), tmp_path / "other.safetensors", metadata={**saying, "note": "packed anew"})
    assert (tmp_path / "other.safetensors").read_bytes() != trunk.read_bytes()
    assert (
        get_model(offered, tmp_path / "a" / "toy-plus", trunk=tmp_path / "other.safetensors").done == "made"
    )
    twin = make_toy_trunk(tmp_path / "twin.safetensors", seed=1)
    with pytest.raises(ModelError, match=r"other weights; toy-plus needs trunk\.safetensors \("):
        get_model(offered, tmp_path / "b" / "toy-plus", trunk=twin)
    with pytest.raises(SoundseekError, match=r"no file .*gone\.safetensors"):
        get_model(offered, tmp_path / "b" / "toy-plus", trunk=tmp_path / "gone.safetensors")


def test_a_model_that_gives_other_vectors_is_not_put_in_place(
    offered: Path, trunk: Path, tmp_path: Path, quick_join: None
) -> None:
    with np.load(offered / GOLDEN_FILE) as stored:
        vectors = {name: stored[name].astype(np.float32) for name in stored}
    vectors["text"][0] = -vectors["text"][0]
    save_probes(vectors, offered / GOLDEN_FILE)
    out = tmp_path / "m" / "toy-plus"
    with pytest.raises(ModelError, match=r"gives other vectors than it should: cosine -(1\.0|0\.9)"):
        get_model(offered, out, trunk=trunk)
    assert names(out.parent) == []


def test_a_damaged_model_is_mended_and_an_older_one_replaced(
    offered: Path, trunk: Path, tmp_path: Path, quick_join: None
) -> None:
    out = tmp_path / "m" / "toy-plus"
    get_model(offered, out, trunk=trunk)
    (out / "text.onnx").unlink()
    assert get_model(offered, out, trunk=trunk).done == "mended"
    (out / "audio.onnx").write_bytes(b"cut off")
    assert get_model(offered, out, trunk=trunk).done == "mended"
    ModelConfig.read(out).model_copy(update={"fingerprint": "older"}).write(out)
    assert get_model(offered, out, trunk=trunk).done == "replaced"
    assert get_model(offered, out, trunk=trunk).done == "here"
    assert names(out.parent) == ["toy-plus"]


def test_a_model_made_before_there_were_words_gets_them(
    offered: Path, trunk: Path, tmp_path: Path, quick_join: None
) -> None:
    out = tmp_path / "m" / "toy-plus"
    get_model(offered, out, trunk=trunk)
    assert not (out / WORDS_FILE).exists()
    write_words(offered, ["a dog barks"])
    assert get_model(offered, out).done == "mended"
    assert (out / WORDS_FILE).read_bytes() == (offered / WORDS_FILE).read_bytes()
    assert get_model(offered, out).done == "here"
    shutil.rmtree(out)
    assert get_model(offered, out, trunk=trunk).done == "made"
    assert Spelling.of(Model(out)).corrected("brks") == "barks"


def test_a_model_made_before_manners_were_known_gets_them(
    offered: Path, trunk: Path, tmp_path: Path, quick_join: None
) -> None:
    out = tmp_path / "m" / "toy-plus"
    get_model(offered, out, trunk=trunk)
    assert Model(out).manners == {}
    direction = np.ones(Model(out).dim, np.float32)
    write_manners(offered, {"muffled": MannerDirection(direction, 0.0, 1.0)})
    assert get_model(offered, out).done == "mended"
    assert sorted(Model(out).manners) == ["muffled"]
    assert get_model(offered, out).done == "here"


def test_how_sure_its_hits_are_comes_with_the_heads(
    offered: Path, trunk: Path, tmp_path: Path, quick_join: None
) -> None:
    out = tmp_path / "m" / "toy-plus"
    get_model(offered, out, trunk=trunk)
    assert Model(out).match is None
    fitted = MatchCalibration(np.eye(8, dtype=np.float16), np.zeros(4), np.ones(4), np.arange(5.0), 40)
    fitted.write(offered)
    assert get_model(offered, out).done == "mended"
    found = Model(out).match
    assert found is not None and (found.weights == fitted.weights).all()
    assert get_model(offered, out).done == "here"


def test_what_is_no_model_of_ours_is_left_alone(offered: Path, trunk: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "diary.txt").write_text("dear")
    with pytest.raises(UsageError, match=r"mine is there and is no toy-plus; move it away"):
        get_model(offered, out, trunk=trunk)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file is there and is no toy-plus"):
        get_model(offered, tmp_path / "file", trunk=trunk)
    assert (out / "diary.txt").read_text() == "dear"


def test_a_model_with_somebody_elses_file_in_it_is_not_replaced(
    carried: Path, offered: Path, trunk: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(carried.parent / "kept", tmp_path / "toy-plus"))
    ModelConfig.read(out).model_copy(update={"fingerprint": "older"}).write(out)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds more than the model \(notes\.txt\)"):
        get_model(offered, out, trunk=trunk)
    assert (out / "notes.txt").exists()


def test_stopping_midway_leaves_no_half_model_and_a_killed_run_is_swept_up(
    offered: Path, trunk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_join: None
) -> None:
    out = tmp_path / "m" / "toy-plus"
    with monkeypatch.context() as patched:

        def stopped(directory: Path, offered: Path) -> float:
            assert (directory / "config.json").is_file() and not out.exists()
            raise KeyboardInterrupt

        patched.setattr(joining, "check_golden", stopped)
        with pytest.raises(KeyboardInterrupt):
            get_model(offered, out, trunk=trunk)
        assert names(out.parent) == []
    old, new = (out.parent / f".toy-plus.making-{each}" for each in ("old", "new"))
    for folder in (old, new):
        (folder / "model").mkdir(parents=True)
    yesterday = time.time() - 86_400
    os.utime(old, (yesterday, yesterday))
    get_model(offered, out, trunk=trunk)
    assert names(out.parent) == [new.name, "toy-plus"]  # the new one may be somebody's who is at it now


def test_the_script_refuses_what_is_not_ours_to_carry(run: Path, tmp_path: Path) -> None:
    script = load_script()
    trunk = load_file(run / TRUNK)
    heads = load_file(run / MODEL_FILE)
    largest = max(trunk, key=lambda name: trunk[name].numel())
    for surplus, told in (
        ({f"trunk.{largest}": trunk[largest]}, "holds parts of a tower"),
        ({"text.bert.weight": trunk[largest]}, "holds parts of a tower"),
        ({"innocent": trunk[largest]}, "innocent is a tensor of the published trunk"),
        ({"large": trunk[largest].new_zeros(2_000_001)}, "8,000,"),
    ):
        save_file({**heads, **surplus}, tmp_path / MODEL_FILE)
        with pytest.raises(UsageError, match=told):
            script.heads_of(tmp_path, trunk)
    save_file(heads, tmp_path / MODEL_FILE)
    assert script.heads_of(tmp_path, trunk).keys() == heads.keys()


def test_what_is_remembered_and_how_sure_hits_are_is_carried_and_fitted_on_what_was_not_met_too(
    run: Path, carried: Path, sounds: Path, tmp_path: Path, quick_join: None
) -> None:
    script = load_script()
    script.refuse_what_users_lack = lambda recipe: None
    script.portable = lambda recipe: joining.with_trunk(recipe, None)
    script.fit_manners = lambda *given, **named: {}  # seconds, and tested where it is
    offered, joined, files = tmp_path / "offered", tmp_path / "joined", tmp_path / "files.txt"
    write_facts(offered, run / TRUNK)
    files.write_text("".join(f"development{each}.wav\n" for each in range(40)))
    unmet = (carried.parent / "kept", files)
    script.carry(run, offered, precision="fp32", data=sounds, unmet=unmet, keep=joined)
    for file in (MEMORY_FILE, MATCH_FILE):  # what users get is what was measured
        assert (offered / file).read_bytes() == (joined / file).read_bytes()
    size = sum(each.stat().st_size for each in joined.iterdir())
    assert AvailableModel.read(offered).size_bytes == pytest.approx(size, rel=0.001)
    model = Model(joined)
    assert model.memory is not None and len(model.memory.sounds) == 2
    assert model.match is not None and model.match.is_of_memory
    on_validation_alone = fit_match(model, sounds, reference_split="development")
    assert not np.allclose(model.match.weights, on_validation_alone.weights)
    without = script.not_met(*unmet, sounds)
    assert without.files == set(files.read_text().split())
    assert not np.allclose(without.model.memory.sounds, model.memory.sounds)


def test_the_script_refuses_another_trunk_and_a_text_tower_that_nobody_has(
    run: Path, carried: Path, tmp_path: Path
) -> None:
    script = load_script()
    offered = tmp_path / "offered"
    write_facts(offered, make_toy_trunk(tmp_path / TRUNK, seed=1))
    before = (offered / "offer.json").read_bytes()
    with pytest.raises(UsageError, match=r"bert is a local directory, which users do not have"):
        script.carry(run, offered, precision="fp32")
    script.refuse_what_users_lack = lambda recipe: None
    with pytest.raises(UsageError, match=r"is not trunk\.safetensors, on which these heads must be trained"):
        script.carry(run, offered, precision="fp32")
    assert (offered / "offer.json").read_bytes() == before and names(offered) == ["offer.json"]


def test_what_is_carried_names_no_place_of_the_machine_it_was_made_on(carried: Path) -> None:
    offer = AvailableModel.read(carried)
    assert offer.training["data"] == "sounds" and "trunk_sha256" not in offer.training
    assert load_script().portable_facts({"a": ["/home/me/x.csv"], "b": 1}) == {"a": ["x.csv"], "b": 1}


@pytest.mark.parametrize("directory", sorted(AVAILABLE.iterdir()), ids=lambda path: path.name)
def test_the_carried_heads_are_whole_small_and_fit_their_recipe(directory: Path) -> None:
    offer, recipe = AvailableModel.read(directory), load_recipe(directory / HEADS_RECIPE_FILE)
    heads = load_file(directory / HEADS_FILE)
    assert offer.name == directory.name and offer.scores and offer.credits
    assert recipe.audio.weights is None and recipe.audio.trained_blocks == 0
    text = build_text(recipe.text.tower, pooling=recipe.text.pooling, max_tokens=recipe.text.max_tokens)
    width = 384 + 527 if recipe.audio.trunk == "efficientat+amplitudes" else 384
    expected = build_dual_encoder(recipe, width, text.width, text=text).state_dict()
    assert {name: tuple(x.shape) for name, x in heads.items()} == {
        name: tuple(x.shape) for name, x in expected.items()
    }
    assert sum(file.stat().st_size for file in directory.iterdir()) < 9e6
    for name in ("offer.json", HEADS_RECIPE_FILE):
        text_of = (directory / name).read_text(encoding="utf-8").replace("https://", "")
        assert "/root" not in text_of and "/work" not in text_of and "/tmp" not in text_of


def test_the_agreement_of_a_model_with_its_own_probes_is_full(carried: Path) -> None:
    assert agreement(carried.parent / "kept", carried / GOLDEN_FILE) > 0.99999
