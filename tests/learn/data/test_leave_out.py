"""Clips that are left out are heard nowhere, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_learning import make_toy_data, toy_recipe

from soundseek.errors import DataError, RecipeFileError
from soundseek.learn.data.pairs import Corpus
from soundseek.learn.data.prepare import prepare
from soundseek.learn.models.build import build_recipe_text, build_recipe_trunk

MIXED = ("data.degraded_versions=1", "data.overlays=8", "data.sequences=8", "data.joined_captions=2")
ALTERED = ("data.altered.copies=20", "data.scenes=6")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SOUNDSEEK_CACHE", str(tmp_path / "cache"))
    make_toy_data(tmp_path / "data")
    return tmp_path


def planned(place: Path, *settings: str) -> Corpus:
    recipe = toy_recipe(place, *MIXED, *settings)
    return prepare(recipe, place / "data", build_recipe_text(recipe), build_recipe_trunk(recipe)).corpus


def names(corpus: Corpus) -> set[str]:
    return {part.name for sound in corpus.sounds() for part in sound.parts}


def test_a_clip_that_is_left_out_is_heard_neither_alone_nor_in_a_mixture(place: Path) -> None:
    (place / "out.txt").write_text("tone.wav\n\nwhistle.wav\n", encoding="utf-8")
    whole, rest = planned(place), planned(place, f"data.leave_out={place / 'out.txt'}")
    assert names(whole) - names(rest) == {"tone.wav", "whistle.wav"}
    assert len(rest.clips) == 4 and 0 < len(rest.mixtures) < len(whole.mixtures)
    assert set(rest.sounds()) < set(whole.sounds())  # so that no cached frame is made again
    assert "tone is heard" not in rest.texts


def test_nor_in_another_manner_or_a_scene(place: Path) -> None:
    (place / "out.txt").write_text("tone.wav\n", encoding="utf-8")
    whole, rest = planned(place, *ALTERED), planned(place, *ALTERED, f"data.leave_out={place / 'out.txt'}")
    assert len(whole.altered) == 20 and "scene" in {each.sounds[0].kind for each in whole.mixtures}
    assert "tone.wav" in {each.sounds[0].parts[0].name for each in whole.altered}
    assert "tone.wav" not in names(rest) and set(rest.sounds()) < set(whole.sounds())


def test_a_run_learns_from_altered_clips_and_balanced_ones(place: Path) -> None:
    files = sorted((place / "data" / "development").glob("*.wav"))
    rows = [f"{path.name},{'tonal' if number else 'rare'}" for number, path in enumerate(files)]
    (place / "data" / "metadata.csv").write_text("\n".join(["file_name,label", *rows]), encoding="utf-8")
    balance = "data.balance=[{column: label, power: 1.0}]"
    recipe = toy_recipe(place, *ALTERED, balance, "data.altered.share=1.0")
    data = prepare(recipe, place / "data", build_recipe_text(recipe), build_recipe_trunk(recipe))
    assert data.corpus.weights is not None
    heavy = int(data.corpus.weights.argmax())
    assert data.corpus.clips[heavy].sounds[0].parts[0].name == files[0].name
    assert data.corpus.weights[heavy] == pytest.approx(len(files) / 2)
    said = [batch.says_how for batch in data.batches(0)]
    assert said and all(each is not None for each in said) and any(bool(each.any()) for each in said)
    (place / "data" / "metadata.csv").write_text("file_name,label\nother.wav,x\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"metadata.csv has no row of [\w-]+\.wav"):
        prepare(recipe, place / "data", build_recipe_text(recipe), build_recipe_trunk(recipe))
    (place / "data" / "metadata.csv").unlink()
    with pytest.raises(
        DataError, match=r"data.balance needs .*metadata.csv, with the columns file_name and label"
    ):
        prepare(recipe, place / "data", build_recipe_text(recipe), build_recipe_trunk(recipe))


def test_what_cannot_be_left_out_is_named(place: Path) -> None:
    with pytest.raises(RecipeFileError, match="no file"):
        planned(place, f"data.leave_out={place / 'none.txt'}")
    (place / "out.txt").write_text("drum.wav\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"drum\.wav"):
        planned(place, f"data.leave_out={place / 'out.txt'}")
    everything = "\n".join(path.name for path in (place / "data" / "development").glob("*.wav"))
    (place / "out.txt").write_text(everything, encoding="utf-8")
    with pytest.raises(DataError, match="all clips"):
        planned(place, f"data.leave_out={place / 'out.txt'}")


def test_a_list_may_have_a_byte_order_mark_and_has_to_be_utf8(place: Path) -> None:
    (place / "out.txt").write_bytes(b"\xef\xbb\xbftone.wav\r\n")
    assert "tone.wav" not in names(planned(place, f"data.leave_out={place / 'out.txt'}"))
    (place / "out.txt").write_bytes(b"tone.wav\ncaf\xe9.wav\n")
    with pytest.raises(DataError, match=r"out.txt, line 2: the byte 0xe9 is not UTF-8"):
        planned(place, f"data.leave_out={place / 'out.txt'}")
