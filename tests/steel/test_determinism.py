"""The same sounds give the same library, whatever the workers, order and threads; equal scores keep an order."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from library.best_matches import best_matches
from library.stores import IDENTITY, sound_of_vectors
from steel.killing import Contents
from toy_model import make_toy_model

from soundseek import Library
from soundseek.library.copy import digest_of_sound
from soundseek.library.store.base import Changes
from soundseek.library.store.sqlite import SqliteStore
from soundseek.model.model import Model

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    generator = np.random.default_rng(0)
    for number in range(8):
        seconds = 0.5 + 3.1 * number
        wave = 0.1 * generator.standard_normal((round(seconds * RATE_HZ), 1 + number % 2))
        suffix = ("wav", "flac", "ogg")[number % 3]
        soundfile.write(folder / f"{number}.{suffix}", wave, RATE_HZ)
    return folder


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_model(tmp_path_factory.mktemp("model") / "toy", context=64)


def digests(library: Library) -> Contents:
    """Digest of all that is held of each file, by its name."""
    found = {}
    for path in library.store.states("/"):
        sound = library.store.read(path)
        assert sound is not None
        found[Path(path).name] = digest_of_sound(sound)
    return found


def indexed(sounds: Path, toy: Path, at: Path, *, workers: int = 0, one_by_one: bool = False) -> Contents:
    with Library.open(at, model=Model(toy), create=True) as library:
        if one_by_one:
            for path in sorted(sounds.iterdir(), reverse=True):
                library.index(path)
        else:
            library.index(sounds, workers=workers)
        return digests(library)


def test_workers_order_and_a_second_run_change_no_bit(sounds: Path, toy: Path, tmp_path: Path) -> None:
    first = indexed(sounds, toy, tmp_path / "first")
    assert len(first) == 8
    assert indexed(sounds, toy, tmp_path / "second") == first
    assert indexed(sounds, toy, tmp_path / "backwards", one_by_one=True) == first
    assert indexed(sounds, toy, tmp_path / "one", workers=1) == first
    assert indexed(sounds, toy, tmp_path / "four", workers=4) == first


VECTORS = """
import sys
from pathlib import Path
import numpy as np
from soundseek.model.model import Model
from soundseek.model.registry import load_model

model = Model(load_model().directory, threads=int(sys.argv[3]))
rows = [model.embed_file(path).vectors for path in sorted(Path(sys.argv[1]).iterdir())]
np.save(sys.argv[2], np.concatenate([*rows, model.embed_text(["rain on a tent", "a dog barks"])]))
"""


def test_threads_change_no_vector_of_the_bundled_model(sounds: Path, tmp_path: Path) -> None:
    few = tmp_path / "sounds"
    few.mkdir()
    for path in sorted(sounds.iterdir())[:4]:
        shutil.copy(path, few)
    made = []
    for threads in (1, 3):
        out = tmp_path / f"{threads}.npy"
        environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        subprocess.run(
            [sys.executable, "-c", VECTORS, few, out, str(threads)], check=True, env=environment, timeout=240
        )
        made.append(np.load(out, allow_pickle=False))
    np.testing.assert_array_equal(made[0][:-2], made[1][:-2])  # of sounds: what a library keeps
    np.testing.assert_allclose(made[0][-2:], made[1][-2:], atol=1e-6)  # of words, which are never kept


def test_ties_keep_the_order_in_which_sounds_came_in_whatever_is_asked(tmp_path: Path) -> None:
    east, tied = np.eye(2, IDENTITY.dim, dtype=np.float32)[[0]], [f"/{name}.wav" for name in "fbdace"]
    store = SqliteStore.open(tmp_path / "library", identity=IDENTITY)
    with store.writing():
        for path in tied:
            store.commit(Changes(sounds=[sound_of_vectors(path, east)]))
        for per in ("file", "segment"):
            for k in (1, 3, 6, 20):
                found = [m.file.path for m in best_matches(store, east[0], k=k, per=per)]  # type: ignore[arg-type]
                assert found == tied[:k]
        store.commit(Changes(removed=[tied[2]]))
        store.compact(dead_share=0.0)
        assert [m.file.path for m in best_matches(store, east[0], k=3)] == [tied[0], tied[1], tied[3]]
    store.close()
