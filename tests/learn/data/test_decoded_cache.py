from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundseek.errors import StorageError
from soundseek.learn.data.decoded_cache import open_waveforms

RATE_HZ = 8000


def write(path: Path, level: float) -> Path:
    """A constant, half a second long, always of the same size and date."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(RATE_HZ // 2, level, np.float32), RATE_HZ, subtype="PCM_16")
    os.utime(path, (1_600_000_000,) * 2)
    return path


def level(path: Path, cache: Path) -> float:
    return float(open_waveforms([path], RATE_HZ, cache)[path].mean())


def test_the_same_relative_path_in_another_folder_is_another_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, loud in (("a", 0.25), ("b", 0.5)):
        write(tmp_path / name / "sounds" / "x.wav", loud)
        monkeypatch.chdir(tmp_path / name)
        assert level(Path("sounds/x.wav"), tmp_path / "cache") == pytest.approx(loud, abs=1e-3)


def test_a_sound_replaced_in_place_with_the_same_size_and_date_is_decoded_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "x.wav", 0.25)
    assert level(path, tmp_path / "cache") == pytest.approx(0.25, abs=1e-3)
    before = path.stat()
    write(path, 0.5)
    assert (path.stat().st_size, path.stat().st_mtime) == (before.st_size, before.st_mtime)
    assert level(path, tmp_path / "cache") == pytest.approx(0.5, abs=1e-3)


def test_the_same_sounds_in_another_place_are_not_decoded_again(tmp_path: Path) -> None:
    decoded: list[str] = []
    for name in ("here", "there"):
        path = write(tmp_path / name / "x.wav", 0.25)
        open_waveforms([path], RATE_HZ, tmp_path / "cache", report=lambda *told: decoded.append(str(told)))
    assert len(decoded) == 1


def test_a_full_disk_is_named_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "x.wav", 0.25)
    usage = type("Usage", (), {"free": 0})
    monkeypatch.setattr("soundseek._files.shutil.disk_usage", lambda folder: usage)

    def full(*arguments: object) -> np.ndarray:  # type: ignore[type-arg]
        raise OSError("4000 requested and 12 written")

    monkeypatch.setattr(np, "clip", full)
    with pytest.raises(StorageError, match=r"waveforms.i16 cannot be written: the disk of .* is full"):
        open_waveforms([path], RATE_HZ, tmp_path / "cache")
    assert list((tmp_path / "cache" / "waveforms").iterdir()) == []
