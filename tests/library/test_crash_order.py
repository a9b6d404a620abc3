"""Compiled libraries that are loaded in any order: one of them, for scans, once crashed what was loaded after it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from toy_model import make_toy_model

SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from library.stores import DIM, IDENTITY, sound_file, sound_from_frames
from soundseek.library.store.base import Changes, Question
from soundseek.library.store.sqlite import SqliteStore
from soundseek.model.model import Model

folder = Path(sys.argv[1])
store = SqliteStore.open(folder / "library", identity=IDENTITY)
with store.writing():
    store.commit(Changes(sounds=[sound_from_frames(sound_file("/a.wav"), np.eye(DIM, dtype=np.float16), [(0, 2)])]))
assert "onnxruntime" not in sys.modules and "numkong" not in sys.modules
question = Question(np.eye(DIM, dtype=np.float32)[0])
assert store.shortlist(question, segments=1, files=1)[0].file.path == "/a.wav"
assert "numkong" in sys.modules and "onnxruntime" not in sys.modules
assert Model(folder / "toy").embed_text(["a dog"]).shape == (1, 16)
"""


def test_a_process_that_has_searched_can_still_load_a_model(tmp_path: Path) -> None:
    """A server that answers `similar` first would have died of the first question in words."""
    make_toy_model(tmp_path / "toy")
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], cwd=tests, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.returncode} {done.stderr}"
