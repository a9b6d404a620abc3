"""One library with the vectors of two models: indexing, searching, ranking anew."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_model import make_toy_model

from soundseek.library import Library
from soundseek.library.further_models import folder_of_model, models_beside
from soundseek.model.registry import load_model

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_model(tmp_path_factory.mktemp("models") / "other", seed=1, name="other", scope="clip")


@pytest.fixture
def library(filled: Path, tmp_path: Path) -> Path:
    """A copy of the filled library, to be changed by the test."""
    return Path(shutil.copytree(filled, tmp_path / "library"))


def hits(run: subprocess.CompletedProcess[bytes]) -> list[dict[str, object]]:
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_a_second_model_fills_a_folder_inside_from_the_folders_of_the_first(
    soundseek: Run, library: Path, other_model: Path, sounds: Path, tmp_path: Path
) -> None:
    run = soundseek("index", "--library", library, "--model", other_model, "--workers", "0", "--json")
    assert hits(run)[0]["added"] == 7 and str(sounds) in run.stderr.decode()
    assert models_beside(library) == {"other": library / "models" / "other"}
    found = hits(soundseek("search", "a low tone", "--library", library, "--model", other_model))
    with Library.create(tmp_path / "alone", model=load_model(other_model)) as alone:
        alone.index(sounds)
        expected = [(hit.path, round(hit.score, 6)) for hit in alone.search("a low tone")]
    assert [(hit["path"], hit["score"]) for hit in found] == expected
    first = hits(soundseek("search", "a low tone", "--library", library))
    assert [hit["score"] for hit in first] != [hit["score"] for hit in found]
    assert hits(soundseek("info", "--library", library))[0]["further_models"] == ["other"]


@pytest.fixture
def two_models(soundseek: Run, library: Path, other_model: Path) -> Path:
    """The library with the vectors of a second model."""
    hits(soundseek("index", "--library", library, "--model", other_model, "--workers", "0", "--json"))
    return library


def in_library(folder: Path) -> set[str]:
    with Library.open(folder) as opened:
        return {file.path for file in opened.files()}


def test_a_model_that_lacks_what_another_has_just_met_is_named(
    soundseek: Run, two_models: Path, sounds: Path
) -> None:
    again = ("index", "--library", two_models, "--workers", "0", "--json")
    assert b"does not know" not in soundseek(*again).stderr
    hits(soundseek("forget", min(in_library(two_models)), "--library", two_models, "--json"))
    run = soundseek(*again)
    assert hits(run)[0]["added"] == 1
    assert (
        f"other does not know these changes yet: soundseek index --model other --library {two_models}"
        in run.stderr.decode()
    )
    told = soundseek("info", "--library", two_models, "--table").stdout.decode()
    assert f"{name_of_first(two_models)}, other (6 sounds)" in " ".join(told.split())


def test_further_models_that_cannot_be_read_are_named_and_nothing_is_changed_without_them(
    soundseek: Run, two_models: Path, sounds: Path, tmp_path: Path
) -> None:
    damaged = two_models / "models" / "other"
    (damaged / "library.sqlite").write_bytes(b"no database, " * 1_000)
    where = ("--library", two_models)
    (about,) = hits(soundseek("info", *where, "--json"))
    assert about["further_models"] == [] and list(about["damaged_models"]) == [str(damaged)]
    told = f"the library {damaged} cannot be used"
    assert told in " ".join(soundseek("info", *where, "--table").stdout.decode().split())
    assert f"not looked through: {told}" in soundseek("failures", *where).stderr.decode()
    run = soundseek("library", "check", *where, "--json")
    assert run.returncode == 1 and [each["path"] for each in map(json.loads, run.stdout.splitlines())] == [
        str(damaged)
    ]
    again = f"soundseek index --model other --library {two_models}"
    assert json.loads(run.stdout)["what"].endswith(f"with its own model: {again}")
    repaired = soundseek("library", "check", *where, "--repair", "--table")
    said = " ".join(repaired.stdout.decode().split())
    assert repaired.returncode == 1 and again in said and "library check --repair" not in said
    assert "1 further model cannot be read, which --repair does not mend" in said
    known = in_library(two_models)
    run = soundseek("forget", min(known), *where)
    assert run.returncode == 1 and told in run.stderr.decode() and in_library(two_models) == known
    shutil.copy(next(sounds.rglob("*.wav")), tmp_path / "new.wav")
    run = soundseek("index", tmp_path / "new.wav", *where, "--workers", "0")
    assert run.returncode == 0 and f"not told of these changes: {told}" in run.stderr.decode()
    assert (
        f"not copied: {told}" in soundseek("library", "copy", two_models, tmp_path / "copy").stderr.decode()
    )


def test_info_says_of_every_model_when_it_last_looked_for_changes(soundseek: Run, two_models: Path) -> None:
    first, further = hits(soundseek("info", "--library", two_models, "--json"))[0]["models"]
    assert (first["model"], further["model"]) == (name_of_first(two_models), "other")
    assert first["files"] == further["files"] == 7
    shown = {each["last_indexed"].replace("T", " ").replace("Z", " UTC") for each in (first, further)}
    told = soundseek("info", "--library", two_models, "--table").stdout.decode()
    assert all(when in told for when in shown) and "UTC, by other" in told


def name_of_first(library: Path) -> str:
    with Library.open(library) as opened:
        return opened.info().model


def test_what_is_forgotten_and_relocated_is_so_for_every_model(
    soundseek: Run, two_models: Path, sounds: Path, tmp_path: Path
) -> None:
    both = [two_models, two_models / "models" / "other"]
    gone = min(in_library(two_models))
    assert hits(soundseek("forget", gone, "--library", two_models, "--json")) == [{"forgotten": 1}]
    left = in_library(two_models)
    assert gone not in left and [in_library(folder) for folder in both] == [left, left]
    moved = Path(shutil.copytree(sounds, tmp_path / "moved"))
    run = soundseek("relocate", sounds, moved, "--library", two_models, "--json")
    assert hits(run) == [{"relocated": 6}]
    expected = {str(moved / Path(path).relative_to(sounds)) for path in left}
    assert [in_library(folder) for folder in both] == [expected, expected]
    run = soundseek("forget", tmp_path / "never", "--library", two_models)
    assert run.returncode == 2 and str(tmp_path / "never") in run.stderr.decode()


def test_a_copy_says_which_vectors_it_leaves_behind(soundseek: Run, two_models: Path, tmp_path: Path) -> None:
    run = soundseek("library", "copy", two_models, tmp_path / "copy")
    (told,) = [line for line in run.stderr.decode().splitlines() if "not copied" in line]
    assert "vectors of other" in told and not models_beside(tmp_path / "copy")
    *_, source, target = told.rpartition("soundseek ")[2].split()
    assert target == "TARGET"
    (report,) = hits(soundseek("library", "copy", source, tmp_path / "copy" / "models" / "other"))
    assert report["copied"] == 7 and list(models_beside(tmp_path / "copy")) == ["other"]


def test_failures_and_damage_of_every_model_are_named(
    soundseek: Run, two_models: Path, sounds: Path, other_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "more").mkdir()
    bad = tmp_path / "more" / "bad.wav"
    bad.write_bytes(b"RIFF no sound")
    for model in ("", other_model):
        chosen = ("--model", model) if model else ()
        soundseek("index", bad.parent, "--library", two_models, *chosen, "--workers", "0")
    (failure,) = hits(soundseek("failures", "--library", two_models, "--json"))
    assert failure["path"] == str(bad) and failure["models"] == ["toy", "other"]
    assert "toy, other" in soundseek("failures", "--library", two_models, "--table").stdout.decode()

    assert soundseek("library", "check", "--library", two_models).returncode == 0
    (rows,) = (two_models / "models" / "other").glob("vectors*")
    rows.write_bytes(rows.read_bytes()[:-8])
    run = soundseek("library", "check", "--library", two_models, "--json")
    assert run.returncode == 1 and run.stdout
    assert soundseek("library", "check", "--library", two_models, "--repair").returncode == 0
    assert soundseek("library", "check", "--library", two_models).returncode == 0


def test_a_model_without_vectors_in_a_library_says_how_to_make_them(
    soundseek: Run, library: Path, other_model: Path
) -> None:
    run = soundseek("search", "a low tone", "--library", library, "--model", other_model)
    assert run.returncode == 2
    message = run.stderr.decode()
    assert (
        f"{library} has no vectors of the model other yet" in message
        and f"soundseek index --model {other_model} --library {library}" in message
    )


def test_the_same_model_stays_where_it_is(library: Path, model_directory: Path, tmp_path: Path) -> None:
    model = load_model(model_directory)
    assert folder_of_model(library, model) == library
    assert folder_of_model(tmp_path / "nothing", model) == tmp_path / "nothing"


def test_another_version_of_a_model_is_refused_and_not_put_beside(
    soundseek: Run, library: Path, tmp_path: Path
) -> None:
    newer = make_toy_model(tmp_path / "newer", seed=2, name="toy")
    run = soundseek("search", "a low tone", "--library", library, "--model", newer)
    assert run.returncode != 0 and "was filled by toy as it was before" in run.stderr.decode()


@pytest.mark.parametrize("is_stored", [False, True], ids=["fresh", "stored"])
def test_another_model_ranks_the_proposed_files_anew(
    soundseek: Run, library: Path, other_model: Path, is_stored: bool
) -> None:
    if is_stored:
        hits(soundseek("index", "--library", library, "--model", other_model, "--workers", "0", "--json"))
    arguments = ("search", "a low tone", "--library", library, "-k", "3")
    plain = hits(soundseek(*arguments))
    ranked = hits(soundseek(*arguments, "--rerank", other_model))
    if not is_stored:
        assert not (library / "models").exists()
        hits(soundseek("index", "--library", library, "--model", other_model, "--workers", "0", "--json"))
    expected = hits(soundseek(*arguments, "--model", other_model))
    assert ranked == expected and ranked != plain  # 7 files: all are proposed


def test_only_what_the_first_model_proposes_is_ranked(
    soundseek: Run, library: Path, other_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundseek.library.rerank.PROPOSED", 2)
    arguments = ("search", "a low tone", "--library", library, "-k", "2")
    proposed = {hit["path"] for hit in hits(soundseek(*arguments))}
    assert {hit["path"] for hit in hits(soundseek(*arguments, "--rerank", other_model))} == proposed


def test_a_model_does_not_rank_its_own_hits_anew(
    soundseek: Run, library: Path, model_directory: Path
) -> None:
    run = soundseek("search", "a low tone", "--library", library, "--rerank", model_directory)
    assert run.returncode != 0 and "cannot rank its own hits anew" in run.stderr.decode()


def test_a_model_with_moments_of_its_own_needs_no_windows(soundseek: Run, library: Path) -> None:
    run = soundseek("search", "a low tone", "--library", library, "--windows")
    assert "has moments of its own, so --windows changes nothing" in run.stderr.decode()
    assert not any("window_s" in hit for hit in hits(run))


@pytest.fixture(scope="session")
def flat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that embeds a segment as a whole."""
    return make_toy_model(
        tmp_path_factory.mktemp("models") / "flat", seed=2, name="flat", scope="clip", is_linear=False
    )


def test_windows_that_are_kept_are_shown_without_hearing_a_hit_again(
    soundseek: Run, sounds: Path, flat_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(sounds, tmp_path / "sounds")
    where = ("--library", tmp_path / "library", "--model", flat_model)
    run = soundseek("index", tmp_path / "sounds", *where, "--windows", "--workers", "0", "--table")
    assert "windows kept for moments" in run.stdout.decode(), run.stderr
    about = hits(soundseek("info", "--library", tmp_path / "library"))[0]
    assert about["windows"] and about["window_bytes"] == 2 * about["dim"] * about["windows"]
    heard = {hit["path"]: hit for hit in hits(soundseek("search", "a low tone", *where, "--windows"))}
    for file in (tmp_path / "sounds").rglob("*.*"):
        file.write_bytes(b"no sound any more")
    run = soundseek("search", "a low tone", *where)
    assert "moments are scores of windows of 2 s" in run.stderr.decode()
    assert {hit["path"]: hit for hit in hits(run)} == heard


def test_no_library_is_made_for_windows_that_a_model_has_no_use_for(
    soundseek: Run, sounds: Path, other_model: Path, tmp_path: Path
) -> None:
    run = soundseek("index", sounds, "--library", tmp_path / "new", "--model", other_model, "--windows")
    assert run.returncode != 0 and "other has moments of its own" in run.stderr.decode()
    assert not (tmp_path / "new").exists()
