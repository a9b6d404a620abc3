"""Several libraries searched as one, what a library tells of its files, and searches by a condition alone."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tones import write_tone
from toy_model import make_toy_model

from soundseek.errors import LibraryError, QueryError, UsageError
from soundseek.library import Library, LibrarySet
from soundseek.library.hit_formats import record
from soundseek.model.model import Model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(make_toy_model(tmp_path_factory.mktemp("models") / "toy"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, model: Model) -> tuple[Path, Path, Path]:
    """Two libraries of three sounds, of which one is in both, and the folder of the sounds."""
    sounds = tmp_path_factory.mktemp("sounds")
    for number, name in enumerate(("low door", "middle", "high")):
        write_tone(sounds / f"{name}.wav", frequency_hz=200.0 * 3**number)
    one, other = sounds.parent / "one.library", sounds.parent / "other.library"
    for location, names in ((one, ("low door", "middle")), (other, ("middle", "high"))):
        with Library.create(location, model=model) as library:
            library.index(*(sounds / f"{name}.wav" for name in names))
    return one, other, sounds


@pytest.fixture(scope="module")
def both(folders: tuple[Path, Path, Path], model: Model) -> Iterator[LibrarySet]:
    with LibrarySet.open(folders[:2], model=model) as opened:
        yield opened


def test_hits_are_merged_by_score_and_say_their_library(
    both: LibrarySet, folders: tuple[Path, Path, Path], model: Model
) -> None:
    hits = both.search("a tone", keywords="off")
    assert sorted(Path(hit.path).stem for hit in hits) == ["high", "low door", "middle"]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert {Path(hit.path).stem: hit.library for hit in hits if "middle" not in hit.path} == {
        "low door": str(folders[0]),
        "high": str(folders[1]),
    }
    assert record(hits[0])["library"] == hits[0].library
    with Library.open(folders[0], model=model) as alone:
        scores = {hit.path: hit.score for hit in alone.search("a tone", keywords="off")}
    assert {hit.path: hit.score for hit in hits}.items() >= scores.items()
    assert both.explain("a tone", hits) and len(both.search("a tone", k=1)) == 1


def test_a_name_in_any_of_them_is_the_first_hit(both: LibrarySet) -> None:
    for name in ("low door", "high"):
        assert Path(both.search(name)[0].path).stem == name
    assert both.search("low door")[0].keywords == ("low", "door")


def test_together_they_say_what_they_hold(both: LibrarySet, folders: tuple[Path, Path, Path]) -> None:
    assert (both.info().files, both.info().path) == (4, f"{folders[0]}, {folders[1]}")
    assert [Path(hit.path).stem for hit in both.search(where="duration < 60")] == [
        "high",
        "low door",
        "middle",
    ]
    assert Path(both.similar(folders[2] / "high.wav", k=5)[0].path).stem != "high"


def test_libraries_of_two_models_are_refused_before_anything_is_searched(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    other = Model(make_toy_model(tmp_path / "other", seed=7))
    with Library.create(tmp_path / "library", model=other):
        pass
    with pytest.raises(LibraryError, match=r"two models cannot be compared.*one by one"):
        LibrarySet.open([folders[0], tmp_path / "library"])
    with pytest.raises(LibraryError, match="holds no library"):
        LibrarySet.open([folders[0], tmp_path / "none"])
    with pytest.raises(UsageError, match="no library to search"):
        LibrarySet.open([])


def test_a_condition_alone_lists_files_by_path(folders: tuple[Path, Path, Path], model: Model) -> None:
    with Library.open(folders[0], model=model) as library:
        hits = library.search(where="name ~ d")
        assert [Path(hit.path).stem for hit in hits] == ["low door", "middle"]
        assert (hits[0].start_s, hits[0].end_s, hits[0].score, hits[0].moments) == (0.0, 2.0, 0.0, ())
        assert [Path(hit.path).stem for hit in library.search(" ", where="name ~ d", k=1)] == ["low door"]
        assert library.search(where="name ~ nothing") == []
        with pytest.raises(QueryError, match="nothing to look for"):
            library.search("")
        with pytest.raises(QueryError, match="keywords is 'on'"):
            library.search("tone", keywords="on")  # type: ignore[arg-type]


def test_files_and_vectors_come_out_of_a_library(folders: tuple[Path, Path, Path], model: Model) -> None:
    with Library.open(folders[0], model=model) as library:
        first, _ = files = library.files()
        assert [Path(file.path).stem for file in files] == ["low door", "middle"]
        assert (first.duration_s, first.format, first.channels, first.tags) == (2.0, "WAV", 1, {})
        assert first.description is not None and first.description.bit_depth == 16
        samples, _ = soundfile.read(first.path)
        level = 20 * np.log10(np.sqrt(np.mean(samples**2)))
        assert first.description.loudness_dbfs == pytest.approx(level, abs=1e-3)
        assert library.files("name = middle.wav") == [files[1]]
        found = library.vectors(first.path)
        assert (found.start_s.tolist(), found.end_s.tolist()) == ([0.0], [2.0])
        hit = library.search("a tone", where='name = "low door.wav"', keywords="off")[0]
        assert (found.vectors @ model.embed_text(["a tone"])[0])[0] == pytest.approx(
            np.mean(hit.moments), abs=1e-3
        )
        with pytest.raises(UsageError, match=r"nothing\.wav is not in the library"):
            library.vectors(Path(first.path).with_name("nothing.wav"))


def test_a_hit_of_a_broadcast_wave_says_the_time_of_day(tmp_path: Path, model: Model) -> None:
    write_tone(tmp_path / "take.wav", frequency_hz=500.0)
    body = (tmp_path / "take.wav").read_bytes()
    (rate_hz,) = struct.unpack_from("<I", body, body.index(b"fmt ") + 12)
    bext = struct.pack("<256s32s32s10s8sQH", b"", b"", b"", b"2023-06-14", b"", 86_399 * rate_hz, 0)
    body += struct.pack("<4sI", b"bext", 602) + bext.ljust(602, b"\0")
    (tmp_path / "take.wav").write_bytes(b"RIFF" + struct.pack("<I", len(body) - 8) + body[8:])
    with Library.create(tmp_path / "library", model=model) as library:
        library.index(tmp_path / "take.wav")
        (hit,) = library.search("a tone")
        (listed,) = library.search(where="channels = 1")
        assert library.store.file(hit.path).description.clock_at(hit.moment_s) == hit.clock  # type: ignore[union-attr]
        assert (listed.clock, record(listed)["clock"][:10]) == ("2023-06-14T23:59:59.000", "2023-06-14")
        assert hit.clock is not None and hit.clock > "2023-06-14T23:59:59.0"
