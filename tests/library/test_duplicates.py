"""Recordings that are there more than once: copies and parts are found, other takes are not."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from toy_model import make_toy_model

from soundseek._typing import FloatArray
from soundseek.library import Library
from soundseek.library.duplicates import (
    Candidates,
    KeptWaveforms,
    _group,
    _neighbours_together,
    compare_waveforms,
    correlate,
    duplicates_csv,
    duplicates_record,
    find_duplicates,
    kind_of_duplicate,
    outline_of,
    propose,
    surety,
)
from soundseek.library.store.base import SoundFile
from soundseek.model.model import Model

RATE_HZ = 16_000


def take(seed: int, seconds: float = 2.0) -> np.ndarray:
    """One of many takes of a rattle: the same spectrum and the same loudness over time, other grains."""
    noise = np.random.default_rng(seed).standard_normal(int(seconds * RATE_HZ))
    low = np.convolve(noise, np.hanning(9) / 4, "same")
    return 0.1 * low * (1 + np.sin(2 * np.pi * 2.0 * np.arange(len(low)) / RATE_HZ))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder = (tmp_path_factory.mktemp("sounds")).resolve()
    first, second, silence = take(1), take(2), np.zeros(RATE_HZ)
    soundfile.write(folder / "first.wav", first, RATE_HZ)
    soundfile.write(folder / "second.wav", second, RATE_HZ)
    soundfile.write(folder / "third.wav", take(3), RATE_HZ)
    soundfile.write(folder / "quiet.flac", 0.05 * first, RATE_HZ)
    soundfile.write(folder / "vorbis.ogg", first, RATE_HZ)
    soundfile.write(folder / "telephone.wav", soxr.resample(first, RATE_HZ, 8_000), 8_000)
    soundfile.write(folder / "trimmed.wav", first[RATE_HZ // 2 : -RATE_HZ // 4], RATE_HZ)
    soundfile.write(
        folder / "long.wav", np.concatenate([take(4, 3), silence, second, silence, take(5, 3)]), RATE_HZ
    )
    shutil.copy(folder / "third.wav", folder / "the same.wav")
    with Library.create(folder / "library", model=Model(make_toy_model(folder / "model"))) as made:
        made.index(*sorted(folder.glob("*.*")))
        yield made


def names(library: Library, **how: float) -> list[dict[str, tuple[str, str]]]:
    groups = find_duplicates(library.store, **how)  # type: ignore[arg-type]
    return [
        {Path(each.path).name: (each.kind, Path(each.of).name) for each in group.files} for group in groups
    ]


def test_copies_parts_and_identical_files_are_grouped_and_other_takes_are_not(library: Library) -> None:
    first, *others = names(library)
    assert set(first) == {"first.wav", "quiet.flac", "vorbis.ogg", "telephone.wav", "trimmed.wav"}
    assert first["trimmed.wav"][0] == "part"
    assert {first[name][0] for name in ("first.wav", "quiet.flac", "vorbis.ogg", "telephone.wav")} == {"copy"}
    assert sorted(sorted(group.items()) for group in others) == [
        [("long.wav", ("copy", "long.wav")), ("second.wav", ("part", "long.wav"))],
        [("the same.wav", ("copy", "the same.wav")), ("third.wav", ("identical", "the same.wav"))],
    ]


def test_the_first_of_a_group_is_a_copy_of_none_and_equals_are_copies_of_it(library: Library) -> None:
    groups = find_duplicates(library.store)
    assert all(group.files[0].of == group.files[0].path for group in groups)
    assert not any(each.of == each.path for group in groups for each in group.files[1:])
    assert {
        Path(each.of).name for each in groups[0].files if each.path.endswith(("quiet.flac", "vorbis.ogg"))
    } == {"first.wav"}


def test_a_part_says_where_it_lies(library: Library) -> None:
    groups = {Path(each.path).name: each for group in find_duplicates(library.store) for each in group.files}
    second, trimmed = groups["second.wav"], groups["trimmed.wav"]
    assert (second.start_s, second.end_s) == (pytest.approx(4.0, abs=0.01), pytest.approx(6.0, abs=0.01))
    assert trimmed.start_s == pytest.approx(0.5, abs=0.01) and trimmed.score > 0.95


def test_a_threshold_that_nothing_reaches_leaves_what_is_the_same_to_the_byte(library: Library) -> None:
    assert [set(group) for group in names(library, min_score=1.1)] == [{"third.wav", "the same.wav"}]


def test_scores_do_not_depend_on_level_polarity_and_offset(library: Library) -> None:
    by_name = {Path(file.path).name: file for file in library.store.files()}
    first = by_name["first.wav"]
    assert compare_waveforms(by_name["quiet.flac"], first)[0] > 0.95
    assert compare_waveforms(by_name["second.wav"], first)[0] < 0.2
    turned = np.concatenate([np.zeros(50), -3 * take(1)])
    score, start = correlate(take(1), turned)
    assert score == pytest.approx(1.0, abs=1e-4) and start == 50


def test_waveforms_are_compared_only_where_their_outlines_are_alike(library: Library) -> None:
    by_name = {Path(file.path).name: file for file in library.store.files()}
    read: list[str] = []

    class Told(KeptWaveforms):
        def read(self, path: str, rate_hz: int, start_s: float, end_s: float) -> FloatArray:
            read.append(Path(path).name)
            return super().read(path, rate_hz, start_s, end_s)

    def compared(one: str, other: str) -> float:
        return compare_waveforms(by_name[one], by_name[other], waveforms=kept)[0]

    kept = Told()
    assert compared("second.wav", "first.wav") < 0.2
    assert read == ["second.wav", "first.wav"]  # for their outlines
    compared("third.wav", "first.wav")
    assert read[2:] == ["third.wav"]  # the other outline is kept
    assert compared("quiet.flac", "first.wav") > 0.95
    assert read[3:] == ["quiet.flac", "quiet.flac", "first.wav"]


@pytest.mark.parametrize("shift", [0, 1, 3, 4, 7, 16])
def test_outlines_of_a_high_sound_are_alike_wherever_it_begins(shift: int) -> None:
    generator = np.random.default_rng(0)
    hiss = np.diff(generator.standard_normal(RATE_HZ + 64))
    whole = outline_of(np.diff(hiss).astype(np.float32), RATE_HZ)
    part = outline_of(np.diff(hiss[4000 + shift : 12_000]).astype(np.float32), RATE_HZ)
    other = outline_of(np.diff(generator.standard_normal(8_000), n=2).astype(np.float32), RATE_HZ)
    assert part.likeness(whole) > 0.6 and other.likeness(whole) < 0.4


def low_cut(samples: np.ndarray, least_hz: float) -> np.ndarray:
    spectrum = np.fft.rfft(samples)
    spectrum[: round(least_hz * len(samples) / RATE_HZ)] = 0
    return np.fft.irfft(spectrum, len(samples))


@pytest.fixture(scope="module")
def field() -> np.ndarray:
    """Wind, of which the level falls with pitch, and a chirping bird."""
    generator = np.random.default_rng(0)
    times_s = np.arange(2 * RATE_HZ) / RATE_HZ
    wind = low_cut(np.cumsum(generator.standard_normal(len(times_s))), 30)
    bird = low_cut(generator.standard_normal(len(times_s)), 2_000) * (np.sin(2 * np.pi * 3 * times_s) > 0)
    return 0.2 * wind / np.abs(wind).max() + 0.05 * bird / np.abs(bird).max()


@pytest.mark.parametrize("edit", ["low cut", "hum", "rumble"])
def test_a_copy_with_a_low_cut_or_a_hum_is_found(field: np.ndarray, edit: str, tmp_path: Path) -> None:
    times_s = np.arange(len(field)) / RATE_HZ
    rumble = np.cumsum(np.random.default_rng(1).standard_normal(len(field)))
    edited = {
        "low cut": low_cut(field, 1_000),
        "hum": 0.5 * field + 0.1 * np.sin(2 * np.pi * 200 * times_s),
        "rumble": 0.5 * field + 0.3 * rumble / np.abs(rumble).max(),
    }[edit]
    one, other = written(tmp_path / "one.wav", field), written(tmp_path / "other.wav", edited)
    assert compare_waveforms(other, one)[0] > 0.45


def test_files_of_a_twentieth_of_a_second_are_compared(tmp_path: Path) -> None:
    click = take(1, 0.05)
    one, other = written(tmp_path / "one.wav", click), written(tmp_path / "other.wav", -0.5 * click)
    assert compare_waveforms(other, one)[0] > 0.95
    shorter = written(tmp_path / "shorter.wav", click[:-1])
    assert compare_waveforms(shorter, one) == (0.0, 0.0)


def thump(hz: float, decay: float, noise: float = 0.0) -> np.ndarray:
    """Half a second of a drum: a tone that dies away, and as much noise."""
    times_s = np.arange(RATE_HZ // 2) / RATE_HZ
    hiss = np.random.default_rng(int(hz)).standard_normal(len(times_s))
    return (np.sin(2 * np.pi * hz * times_s) + noise * hiss) * np.exp(-decay * times_s)


def test_thumps_are_copies_only_where_they_are_nearly_the_same(tmp_path: Path) -> None:
    drum = written(tmp_path / "drum.wav", 0.5 * thump(60, 12))
    another = written(tmp_path / "another.wav", 0.5 * thump(65, 26))
    copy = written(tmp_path / "copy.wav", 0.1 * thump(60, 12, noise=0.005))
    pattern, text = (np.diff(thump(*each)) for each in ((60, 12), (65, 26)))
    alike = abs(pattern @ text) / np.linalg.norm(pattern) / np.linalg.norm(text)
    assert 0.45 < alike < 0.62  # by their waveforms they would be copies
    assert compare_waveforms(another, drum) == (0.0, 0.0)
    assert compare_waveforms(copy, drum)[0] > 0.9


def test_scores_are_told_in_words_too(library: Library) -> None:
    files = [file for group in find_duplicates(library.store, min_score=0.3) for file in group.files]
    assert all(file.surety == surety(file.score) for file in files)
    assert [surety(score) for score in (1.0, 0.6, 0.59, 0.5, 0.49)] == ["sure"] * 2 + ["likely"] * 2 + [
        "maybe"
    ]


def test_a_longer_file_is_told_to_hold_all_and_more_not_to_be_the_same_recording(tmp_path: Path) -> None:
    longest, part, other = (
        replace(written(tmp_path / name, take(seed, seconds)), content_hash=name.encode())
        for name, seed, seconds in (("longest.wav", 1, 3.0), ("part.wav", 2, 1.0), ("other.wav", 3, 2.0))
    )
    files = [longest, part, other]
    matched = [(0.9, 1, 0, 1.0), (0.8, 1, 2, 0.5)]  # the part lies in both
    by_content = {file.content_hash: [file] for file in files}
    shown = _group([0, 1, 2], files, matched, by_content).files
    told = [(Path(each.path).name, each.kind, Path(each.of).name, each.score, each.start_s) for each in shown]
    assert told == [
        ("longest.wav", "copy", "longest.wav", 1.0, 0.0),
        ("other.wav", "contains", "part.wav", 0.8, -0.5),
        ("part.wav", "part", "longest.wav", 0.9, 1.0),
    ]


def written(path: Path, samples: np.ndarray) -> SoundFile:
    """A file of a library, as far as its waveform is compared."""
    soundfile.write(path, samples, RATE_HZ, subtype="FLOAT")
    return SoundFile(**{
        **dict.fromkeys(SoundFile.__dataclass_fields__),
        "path": str(path), "sample_rate_hz": RATE_HZ, "duration_s": len(samples) / RATE_HZ,
    })  # type: ignore[arg-type]  # fmt: skip


def test_candidates_of_a_file_follow_it(library: Library) -> None:
    files = list(library.store.files())[:5]
    near = [[(4, None)], [], [(1, None)], [], [(0, None), (2, None)]]
    longer: list[list[tuple[int, float]]] = [[], [], [], [], [(3, 0.0)]]
    assert list(_neighbours_together(Candidates(files, near, longer))) == [0, 4, 2, 1, 3]


def test_a_file_that_is_gone_is_no_copy_of_anything(library: Library, tmp_path: Path) -> None:
    first = next(file for file in library.store.files() if file.path.endswith("first.wav"))
    gone = type(first)(**{**vars(first), "path": str(tmp_path / "gone.wav")})
    assert compare_waveforms(gone, first) == (0.0, 0.0)


def test_each_content_is_proposed_once_and_nothing_to_itself(library: Library) -> None:
    found = propose(library.store)
    assert len(found.files) == len({file.content_hash for file in found.files}) == 8
    for number, (whole, longer) in enumerate(zip(found.whole, found.longer, strict=True)):
        assert number not in [other for other, _ in (*whole, *longer)]
        for other, around_s in longer:
            assert found.files[other].duration_s > found.files[number].duration_s and around_s >= 0


def test_an_empty_library_has_none(tmp_path: Path) -> None:
    model = Model(make_toy_model(tmp_path / "model"))
    with Library.create(tmp_path / "library", model=model) as library:
        assert find_duplicates(library.store) == []


def test_json_and_csv_have_a_record_for_each_file(library: Library) -> None:
    groups = find_duplicates(library.store)
    rows = list(csv.DictReader(io.StringIO(duplicates_csv(groups))))
    records = [file for group in groups for file in duplicates_record(group)["files"]]
    assert [row["path"] for row in rows] == [record["path"] for record in records]
    firsts = [group.files[0].path for group in groups]
    assert [row["path"] for row in rows if not row["kind"]] == firsts
    assert [row["path"] for row in rows if not row["of"]] == firsts
    assert {row["group"] for row in rows} == {"1", "2", "3"} and set(records[0]) == set(rows[0]) - {"group"}


def test_progress_ends_with_all_files(library: Library) -> None:
    told: list[tuple[int, int]] = []
    find_duplicates(library.store, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (8, 8)


def test_where_a_stretch_alone_is_shared_both_files_have_more(tmp_path: Path) -> None:
    shared = take(11, 7.0)
    end = np.concatenate([0.1 * take(12, 13.0), shared])  # the stretch ends the one and begins the other
    start = np.concatenate([shared, 0.1 * take(13, 10.0)])
    longer = written(tmp_path / "longer.wav", end)
    shorter = written(tmp_path / "shorter.wav", start)
    score, start_s = compare_waveforms(shorter, longer)
    assert score > 0.9 and start_s == pytest.approx(13.0, abs=0.05)
    assert kind_of_duplicate(shorter.duration_s, longer.duration_s, start_s) == "overlap"
    # What comes before the longer one's beginning is no trimmed silence.
    early = written(tmp_path / "early.wav", np.concatenate([0.1 * take(14, 10.0), shared]))
    late = written(tmp_path / "late.wav", np.concatenate([shared, 0.1 * take(15, 13.0)]))
    score, start_s = compare_waveforms(early, late)
    assert score > 0.9 and start_s == pytest.approx(-10.0, abs=0.05)
    assert kind_of_duplicate(early.duration_s, late.duration_s, start_s) == "overlap"
