"""Install wheel and sdist of soundseek into an environment of their own and search samples/, as a new user would.

    python -m build && python scripts/try_wheel.py dist

Both have to hold everything that is carried: the model, the page, the recipes; and both have to find the same.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parents[1] / "samples"
QUERY, ANSWER = "a dog barks", "dog"
CARRIED = (
    "soundseek/model/bundled/soundseek-small/audio.onnx", "soundseek/model/bundled/soundseek-small/text.onnx",
    "soundseek/server/page/index.html", "soundseek/learn/recipes/self-attention.yaml", "soundseek/py.typed",
)  # fmt: skip


def main(folder: Path) -> None:
    (wheel,), (sdist,) = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    in_wheel = set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2].removeprefix("src/") for name in archive.getnames()}
    for name in CARRIED:
        for kind, names in (("wheel", in_wheel), ("sdist", in_sdist)):
            if name not in names:
                raise SystemExit(
                    f"the {kind} lacks {name}: see [tool.setuptools.package-data] in pyproject.toml"
                )
    with tempfile.TemporaryDirectory() as directory:
        environment = Path(directory) / "environment"
        venv.create(environment, with_pip=True)
        binaries = environment / ("Scripts" if sys.platform == "win32" else "bin")
        pip = [
            binaries / "python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-compile",
        ]
        soundseek = binaries / "soundseek"
        subprocess.run([*pip, wheel.resolve()], check=True)
        first = search_samples(soundseek, Path(directory) / "library")
        # The sdist builds the same again, from nothing but what it holds.
        subprocess.run([*pip, "--force-reinstall", "--no-deps", sdist.resolve()], check=True)
        again = search_samples(soundseek, Path(directory) / "library-of-sdist")
        if again != first:
            raise SystemExit(f"the wheel finds {first}, and what the sdist builds {again}")
        torch = subprocess.run([binaries / "python", "-c", "import torch"], capture_output=True, check=False)
        if torch.returncode == 0:
            raise SystemExit("the searching half brought PyTorch along")
    print(
        f"{wheel.name} and {sdist.name}: installed, and {QUERY!r} finds {Path(first['path']).name} "
        f"({first['score']:.2f}) with both"
    )


def search_samples(soundseek: Path, library: Path) -> dict[str, Any]:
    """Path and score of what an installed soundseek finds first in the samples, as a new user would."""
    subprocess.run([soundseek, "index", SAMPLES, "--library", library], check=True, cwd=library.parent)
    found = subprocess.run(
        [soundseek, "search", QUERY, "--library", library, "--json"],
        check=True, cwd=library.parent, capture_output=True, text=True,
    )  # fmt: skip
    first = json.loads(found.stdout.splitlines()[0])
    if ANSWER not in Path(first["path"]).name:
        raise SystemExit(f"{QUERY!r} found {first['path']} first")
    return {"path": first["path"], "score": first["score"]}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
