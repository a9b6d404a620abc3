"""Who may import whom, and that a public name means one thing, held by reading every file of the package.

Imports inside functions count as well.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "soundseek"

# The rooms of the house, from the ground up. A room may import itself and the rooms of earlier lines, and nothing
# of its own line. Of the searching half `learn` knows what a model directory is, and `query`'s terms of the trade.
ROOMS = (
    ("errors", "_typing", "_install", "_lazy"),
    ("_vectors", "_files", "_threads"),
    ("audio",),
    ("model",),
    ("query",),
    ("learn",),
    ("library",),
    ("server",),
    ("cli",),
)
# Of `model`, the learning half may use what describes and reads a model directory, not the library above it.
LEARN_USES_OF_MODEL = {
    "config",
    "manners",
    "match",
    "memory",
    "model",
    "published",
    "registry",
    "spelling",
    "stretches",
}
# Of `query`, the lexicon, how terms and words are looked up, and what the codes of the Universal Category System mean.
LEARN_USES_OF_QUERY = {"lexicon", "looked_up", "text", "ucs"}

# The rooms inside `learn`, in the same manner.
LEARN_ROOMS = (
    ("recipe",),
    ("models", "datasets", "parallel", "checkpoint"),
    ("data", "losses"),
    ("evaluation",),
    ("training", "distill", "report"),
    ("experiments", "export"),
)

# The commands that train and measure import `learn`, inside their functions.
LEARNING_COMMANDS = {
    f"cli/{name}.py"
    for name in (
        "adapt", "data", "recipes", "distill", "train", "tune", "average", "evaluate", "robustness", "calibrate",
        "export", "score", "reproduce", "get", "push",
    )
}  # fmt: skip

# Each third party has one home; the learning half has its own door to those that it shares.
HOMES = {
    "soundfile": {"audio/decode.py", "audio/excerpt.py", "learn/evaluation/corruptions.py"},
    "soxr": {"audio/resampling.py", "audio/excerpt.py", "audio/combined_sources.py"},
    "av": {"audio/ffmpeg.py"},
    "onnxruntime": {
        "model/model.py", "learn/export/export.py", "learn/export/quantize.py",
    },
    "spellchecker": {"model/spelling.py"},
    "sqlite3": {f"library/store/{name}.py" for name in ("connection", "side_tables", "sqlite", "terms")},
    "psycopg": {"library/store/postgres.py", "library/store/postgres_connection.py"},
    "pymilvus": {"library/store/milvus_connection.py"},
    "numkong": {"library/store/estimates.py"},
    "ray": {"library/ray_workers.py"},
    "fsspec": {"library/remote.py"},
    "uvicorn": {"cli/serve.py"},
    "openTSNE": {"server/sound_map.py"},
    "tinytag": {"audio/tags.py"},
    "wavinfo": {"audio/tags.py"},
    "mcp": {"server/mcp_tools.py"},
    "pandas": {"library/hits.py"},
    "watchfiles": {"library/watching.py"},
    "prometheus_client": {"server/metrics.py"},
    "transformers": {
        "learn/data/back_translation.py", "learn/models/text/bert.py", "learn/export/clap.py",
        "learn/export/htsat.py", "learn/export/msclap.py",
    },
    "huggingface_hub": {"learn/export/hub.py"},
    "lightning": {f"learn/training/{name}.py" for name in ("train", "module", "resume")},
    "gensim": {"learn/models/text/word2vec.py"},
    "py7zr": {"learn/datasets/archives.py"},
    "optuna": {"learn/experiments/tune.py"},
    "yaml": {"learn/recipe/load.py", "learn/experiments/tune.py", "learn/datasets/audiocaps_macs_wavcaps.py"},
}  # fmt: skip
ONLY_LEARNING = {
    "torch",
    "torchaudio",
    "scipy",
    "yaml",
    "lightning",
    "transformers",
    "onnx",
    "matplotlib",
    "gensim",
}
ONLY_COMMAND_LINE = {"typer", "rich"}
# What the searching half imports and does without: an extra of the same pyproject.toml brings it.
BROUGHT_BY_AN_EXTRA = {
    "watchfiles": "watch",
    "av": "formats", "fastapi": "serve", "starlette": "serve", "uvicorn": "serve", "prometheus_client": "serve",
    "openTSNE": "serve",
    "mcp": "mcp",
    "pandas": "notebook",
    "psycopg": "postgres",
    "ray": "ray",
    "fsspec": "s3",
    "pymilvus": "milvus", "milvus_lite": "milvus",
}  # fmt: skip
ONLY_SERVER = {"fastapi", "starlette", "prometheus_client"}


@dataclass(frozen=True)
class Import:
    file: str  # relative to the package, with forward slashes
    name: str  # dotted, with the imported name where it is a module of ours
    line: int
    is_lazy: bool  # inside a function
    is_for_types: bool  # under TYPE_CHECKING: never happens at run time

    @property
    def top(self) -> str:
        return self.name.split(".")[0]

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.name}"


def imports_of(file: Path, package: Path = PACKAGE) -> list[Import]:
    """Every import statement of a file."""
    relative = file.relative_to(package).as_posix()
    found: list[Import] = []

    def walk(node: ast.AST, is_lazy: bool, is_for_types: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                names = [alias.name for alias in child.names]
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, (
                    f"{relative}:{child.lineno} is a relative import; write the whole name"
                )
                names = [f"{child.module}.{alias.name}" for alias in child.names]
            else:
                inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
                checking = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
                walk(child, is_lazy or inside, is_for_types or checking)
                continue
            found.extend(Import(relative, name, child.lineno, is_lazy, is_for_types) for name in names)

    walk(ast.parse(file.read_text(encoding="utf-8")), False, False)
    return found


IMPORTS = [found for file in sorted(PACKAGE.rglob("*.py")) for found in imports_of(file)]


def room_of(name: str) -> str:
    """Room of a file or module: `library/scan.py`, `soundseek.library.scan` -> "library"."""
    parts = name.removesuffix(".py").replace("/", ".").removeprefix("soundseek.").split(".")
    return parts[0]


def learn_room_of(name: str) -> str:
    """Room inside `learn`: `learn/models/text/bert.py`, `soundseek.learn.models` -> "models"; `learn` itself -> ""."""
    parts = name.removesuffix(".py").replace("/", ".").removeprefix("soundseek.").split(".")
    return "" if len(parts) < 2 or parts[1] == "__init__" else parts[1]


def storey(room: str, rooms: tuple[tuple[str, ...], ...]) -> int:
    """Which line of the list a room stands in."""
    lines = [number for number, line in enumerate(rooms) if room in line]
    assert lines, f"{room} has no place in the list of rooms; give it one"
    return lines[0]


def is_climbing(upper: str, lower: str, rooms: tuple[tuple[str, ...], ...]) -> bool:
    """Whether `upper` imports a room that does not lie below it."""
    return upper != lower and storey(lower, rooms) >= storey(upper, rooms)


def test_the_walk_sees_every_kind_of_import(tmp_path: Path) -> None:
    file = tmp_path / "cli" / "x.py"
    file.parent.mkdir()
    file.write_text(
        "from typing import TYPE_CHECKING\nimport torch.nn\n"
        "if TYPE_CHECKING:\n    import rich\n"
        "def f():\n    if 1:\n        from soundseek.learn import training\n"
    )
    seen = [(each.name, each.is_lazy, each.is_for_types) for each in imports_of(file, tmp_path)]
    assert seen == [
        ("typing.TYPE_CHECKING", False, False),
        ("torch.nn", False, False),
        ("rich", False, True),
        ("soundseek.learn.training", True, False),
    ]


def test_a_room_imports_only_itself_and_what_lies_below() -> None:
    ours = [each for each in IMPORTS if each.name.startswith("soundseek.") and "/" in each.file]
    assert {room_of(each.file) for each in ours} >= {"audio", "model", "library", "learn", "cli"}
    wrong = [
        each
        for each in ours
        if is_climbing(room_of(each.file), room_of(each.name), ROOMS)
        or (
            room_of(each.name) == "learn"
            and room_of(each.file) == "cli"
            and each.file not in LEARNING_COMMANDS
        )
    ]
    assert not wrong, "\n".join(map(str, wrong))


def test_the_learning_half_uses_of_the_searching_half_only_what_a_model_directory_is() -> None:
    of_model = [
        each for each in IMPORTS if room_of(each.file) == "learn" and each.name.startswith("soundseek.model.")
    ]
    assert of_model
    wrong = [each for each in of_model if each.name.split(".")[2] not in LEARN_USES_OF_MODEL]
    of_query = [
        each for each in IMPORTS if room_of(each.file) == "learn" and each.name.startswith("soundseek.query.")
    ]
    assert of_query
    wrong += [each for each in of_query if each.name.split(".")[2] not in LEARN_USES_OF_QUERY]
    assert not wrong, "\n".join(map(str, wrong))


def test_the_rooms_of_the_learning_half_have_an_order_of_their_own() -> None:
    learning = [each for each in IMPORTS if room_of(each.file) == "learn" and learn_room_of(each.file)]
    inner = [each for each in learning if each.name.startswith("soundseek.learn.")]
    assert {room for line in LEARN_ROOMS for room in line} == {learn_room_of(each.file) for each in learning}
    wrong = [
        each for each in inner if is_climbing(learn_room_of(each.file), learn_room_of(each.name), LEARN_ROOMS)
    ]
    assert not wrong, "\n".join(map(str, wrong))


def test_an_import_of_a_room_above_is_seen() -> None:
    assert is_climbing("audio", "library", ROOMS) and is_climbing("learn", "library", ROOMS)
    assert not is_climbing("library", "audio", ROOMS) and not is_climbing("cli", "cli", ROOMS)


def test_the_command_line_imports_learn_only_while_a_command_runs() -> None:
    eager = [
        each
        for each in IMPORTS
        if room_of(each.file) == "cli"
        and (each.name.startswith("soundseek.learn") or each.top in ONLY_LEARNING)
        and not (each.is_lazy or each.is_for_types)
    ]
    assert not eager, "\n".join(map(str, eager))


def test_the_searching_half_has_no_use_for_pytorch() -> None:
    searching = [
        each for each in IMPORTS if room_of(each.file) != "learn" and each.file not in LEARNING_COMMANDS
    ]
    wrong = [each for each in searching if each.top in ONLY_LEARNING]
    assert len(searching) > 20
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize("package", HOMES)
def test_a_third_party_has_one_home(package: str) -> None:
    users = {each.file for each in IMPORTS if each.top == package and not each.is_for_types}
    assert users, f"nobody imports {package}; drop it from HOMES and pyproject.toml"
    assert users <= HOMES[package], (
        f"{package} is imported outside its home: {sorted(users - HOMES[package])}"
    )


def required_by(key: str) -> set[str]:
    """Names of the distributions in one list of pyproject.toml: `dependencies`, or an extra."""
    text = (PACKAGE.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(rf"^{key} = \[(?:\n((?:.*\n)*?)|(.*))\]$", text, re.MULTILINE)
    assert listed, f"pyproject.toml has no list {key}"
    lines = re.sub(r"^\s*#.*$", "", listed[1] or listed[2], flags=re.MULTILINE)
    return {name.lower() for name in re.findall(r'"([\w-]+)', lines)}


def test_a_plain_install_brings_whatever_the_searching_half_imports() -> None:
    outside = [
        each
        for each in IMPORTS
        if room_of(each.file) != "learn"
        and each.top not in {"soundseek", *sys.stdlib_module_names}
        and not each.is_for_types
    ]
    assert {"numpy", "spellchecker", "av"} <= {each.top for each in outside}
    brought, homes = required_by("dependencies"), packages_distributions()
    assert "numpy" in brought and not {"av", "torch"} & brought
    wrong = []
    for each in outside:
        extra = BROUGHT_BY_AN_EXTRA.get(each.top)
        names = {name.lower().replace("_", "-") for name in homes.get(each.top, [each.top])}
        if not names & (required_by(extra) if extra else brought):
            wrong.append(f"{each}, which no plain install brings: {sorted(names)}")
    assert not wrong, "\n".join(wrong)


def test_only_the_command_line_talks_to_the_terminal() -> None:
    wrong = [each for each in IMPORTS if each.top in ONLY_COMMAND_LINE and room_of(each.file) != "cli"]
    assert not wrong, "\n".join(map(str, wrong))


def test_only_the_server_speaks_http() -> None:
    users = [each for each in IMPORTS if each.top in ONLY_SERVER]
    assert users
    wrong = [each for each in users if room_of(each.file) != "server"]
    assert not wrong, "\n".join(map(str, wrong))


def public_names(source: str) -> set[str]:
    """Functions, classes and types that a file defines at its top and does not keep to itself."""
    names: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            written = {each.id for each in targets if isinstance(each, ast.Name)}
            names |= {name for name in written if name[0].isupper() and not name.isupper()}
    return {name for name in names if not name.startswith("_")}


def test_functions_classes_and_types_are_seen_and_constants_are_not() -> None:
    source = (
        "def f(): ...\nasync def g(): ...\nclass C: ...\nKind = int\nSound: TypeAlias = 'str'\n"
        "LIMIT = 3\nname = 4\ndef _own(): ...\n_Own = int\n"
    )
    assert public_names(source) == {"f", "g", "C", "Kind", "Sound"}


def test_a_public_name_is_defined_once() -> None:
    homes: dict[str, list[str]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        for name in public_names(file.read_text(encoding="utf-8")):
            homes.setdefault(name, []).append(file.relative_to(PACKAGE).as_posix())
    assert len(homes) > 500
    twice = [f"{name}: {', '.join(files)}" for name, files in sorted(homes.items()) if len(files) > 1]
    assert not twice, "one name for two things; give one of them another\n" + "\n".join(twice)


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import soundseek", {"numpy", "onnxruntime", "pydantic", "typer", "rich", "torch", "spellchecker"}),
        (
            "import soundseek.cli.main; soundseek.cli.main.group()",
            {"onnxruntime", "numkong", "torch", "soundfile"},
        ),
        (
            "import soundseek.cli.search",
            {"onnxruntime", "numkong", "torch", "soundfile", "spellchecker"},
        ),
        (
            "from soundseek import Library, load_model",
            {"spellchecker", "torch", "scipy", "yaml", "lightning", "transformers", "rich"},
        ),
    ],
)
def test_an_import_brings_nothing_heavy_along(statement: str, forbidden: set[str]) -> None:
    script = f"import sys; {statement}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert not forbidden & {name.split(".")[0] for name in loaded.split()}
