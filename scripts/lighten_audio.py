"""Write `audio.onnx` of model directories again as an export of today writes it, with the same weights.

    python scripts/lighten_audio.py src/soundseek/model/bundled/soundseek-small

The vectors stay, and so does the fingerprint in `config.json`: nothing has to be embedded again.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np

from soundseek.learn.export.export import least_cosine, run_onnx
from soundseek.learn.export.lighter import lighten
from soundseek.learn.export.quantize import calibration_log_mels
from soundseek.model.config import AUDIO_FILE, ModelConfig

LEAST_COSINE = 0.999999


def main() -> None:
    """Rewrite the directories that are named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directories", type=Path, nargs="+", help="model directories")
    for directory in parser.parse_args().directories:
        print(f"{directory}: {lightened(directory)}")


def lightened(directory: Path) -> str:
    """What became of a model directory, in words."""
    there = directory / AUDIO_FILE
    with tempfile.TemporaryDirectory(dir=directory.parent) as folder:
        made = Path(folder) / AUDIO_FILE
        shutil.copy(there, made)
        if not lighten(made):
            return "stays as it is: it has no compact trunk with a tagger, or is written so already"
        worst = 1.0
        for log_mel in calibration_log_mels(ModelConfig.read(directory).front_end):
            feeds = {"log_mel": log_mel[None]}
            before, after = run_onnx(there, feeds)[0], run_onnx(made, feeds)[0]
            worst = min(worst, least_cosine(np.asarray(before), np.asarray(after)))
        if worst < LEAST_COSINE:
            return f"stays as it is: a frame written so would have a cosine of {worst:.6f} with what it was"
        made.replace(there)
    return f"written again, least cosine of a frame {worst:.7f}"


if __name__ == "__main__":
    main()
