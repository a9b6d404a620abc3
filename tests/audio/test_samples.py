"""samples/ holds what its SOURCES.csv says: real, varied, small, free, and every one can be decoded."""

from __future__ import annotations

import csv
import importlib.util
import os
from pathlib import Path

import pytest

from soundseek.audio.decode import open_audio

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"
SOUNDS = Path(os.environ.get("SOUNDSEEK_SOUNDS") or ROOT.parent / "shared" / "sounds")
FREE = ("GPL-", "CC0", "CC BY 3.0", "CC BY-SA ", "Free Art License", "Artistic-1.0")


def sources() -> list[dict[str, str]]:
    with (SAMPLES / "SOURCES.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_sound_has_its_source_and_every_source_its_sound() -> None:
    named = [row["file"] for row in sources()]
    there = [path.relative_to(SAMPLES).as_posix() for path in SAMPLES.rglob("*.ogg")]
    assert len(named) >= 100
    assert sorted(named) == sorted(there)


def test_every_source_is_complete_and_its_licence_is_free() -> None:
    for row in sources():
        assert all(row[key] for key in ("title", "origin", "author", "licence", "clip")), row
        assert row["licence"].startswith(FREE), row


def test_all_samples_together_stay_below_8_mb() -> None:
    assert sum(path.stat().st_size for path in SAMPLES.rglob("*")) < 8e6


def test_every_sample_can_be_decoded() -> None:
    for row in sources():
        with open_audio(SAMPLES / row["file"], sample_rate_hz=16_000) as stream:
            num_samples = sum(len(block) for block in stream)
        assert num_samples == pytest.approx(stream.info.duration_s * 16_000, abs=2), row["file"]
        assert stream.info.format == "OGG/VORBIS"


@pytest.mark.skipif(
    not (SOUNDS / "metadata.csv").is_file(), reason=f"the captioned sounds are not at {SOUNDS}"
)
def test_the_script_chooses_the_same_samples_again(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "choose_samples.py"
    specification = importlib.util.spec_from_file_location("choose_samples", script)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    rows = module.choose(module.read_rows(SOUNDS))
    assert {row["split"] for row in rows} == {"validation", "evaluation"}
    module.write_samples(SOUNDS, tmp_path, rows)
    assert (tmp_path / "SOURCES.csv").read_bytes() == (SAMPLES / "SOURCES.csv").read_bytes()
    for row in sources():
        assert (tmp_path / row["file"]).read_bytes() == (SAMPLES / row["file"]).read_bytes()
