"""Who may import whom, held by reading every import of the package; those inside functions count as well."""

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

# A layer may import itself and whatever stands before it.
LAYERS = ("errors", "audio", "model", "library", "cli")
LEARN_MAY_IMPORT = (
    "soundseek.errors", "soundseek.audio", "soundseek.model.card", "soundseek.model.bundled",
    "soundseek.model.offers", "soundseek.model.probes", "soundseek.model.spelling",
)  # fmt: skip
LEARNING_COMMANDS = {
    f"cli/{name}.py"
    for name in (
        "data", "recipes", "distill", "train", "tune", "average", "evaluate", "robustness", "export", "score",
        "reproduce", "get",
    )
}  # fmt: skip

# Inside `learn`, a file of a later row may import earlier rows; one row may import itself.
LEARN_ROWS = (
    (
        "recipe", "recipe_sections", "recipe_values", "cost", "nearest", "encoders", "towers", "attention", "heads",
        "losses", "cider", "augment", "schedules", "distributed",
    ),
    ("dual_encoder", "chunked", "launch"),
    (
        "data", "mixtures", "teachers", "objective", "distill", "legs", "runs", "step", "training", "evaluation",
    ),
    (
        "average", "export", "quantize", "calibrate", "model_card", "planned", "reproduce", "tune", "tune_plot",
        "join", "words",
    ),
)  # fmt: skip

# Each third party has one home; the learning half has its own door to those that it shares.
HOMES = {
    "soundfile": {"audio/decode.py", "audio/encode.py"},
    "soxr": {"audio/decode.py"},
    "av": {"audio/formats.py"},
    # The store loads it before usearch and uses nothing of it; see there.
    "onnxruntime": {"model/embedder.py", "learn/export.py", "learn/calibrate.py", "library/store/sqlite.py"},
    "spellchecker": {"model/spelling.py"},
    "sqlite3": {"library/store/connect.py", "library/store/sqlite.py"},
    "usearch": {"library/store/sqlite.py"},
    "transformers": {"learn/data/back_translation.py", "learn/encoders/bert.py"},
    "lightning": {"learn/training.py", "learn/step.py"},
    "gensim": {"learn/encoders/word_vectors.py"},
    "py7zr": {"learn/data/archives.py"},
    "sklearn": {"learn/evaluation/sound_map.py"},
    "optuna": {"learn/tune.py"},
    "yaml": {"learn/recipe.py", "learn/recipe_values.py", "learn/tune.py", "learn/data/convert.py"},
}
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
    "sklearn",
}
ONLY_COMMAND_LINE = {"typer", "rich"}
# What the searching half imports and does without: an extra of the same pyproject.toml brings it.
BROUGHT_BY_AN_EXTRA = {"av": "formats"}


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


def layer_of(file: str) -> str:
    return file.split("/")[0].removesuffix(".py")


def learn_row(module: str) -> int:
    """Row of a module inside `learn`: `learn/encoders/bert.py` and `soundseek.learn.encoders.bert` alike."""
    parts = module.removesuffix(".py").replace("/", ".").removeprefix("soundseek.").split(".")
    part = parts[1] if len(parts) > 1 else "__init__"
    if part == "__init__":
        return 0
    rows = [number for number, row in enumerate(LEARN_ROWS) if part in row]
    assert rows, f"learn/{part} has no place in LEARN_ROWS; give it one"
    return rows[0]


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


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_itself_and_what_lies_below(layer: str) -> None:
    allowed = {f"soundseek.{name}" for name in LAYERS[: LAYERS.index(layer) + 1]}
    ours = [each for each in IMPORTS if layer_of(each.file) == layer and each.top == "soundseek"]
    assert ours or layer == "errors", (
        f"no file of {layer} imports anything of ours: is the layer still there?"
    )
    wrong = [
        each
        for each in ours
        if ".".join(each.name.split(".")[:2]) not in allowed
        and not (layer == "cli" and each.name == "soundseek")
        and not (each.file in LEARNING_COMMANDS and each.name.startswith("soundseek.learn"))
    ]
    assert not wrong, "\n".join(map(str, wrong))


def test_the_learning_half_imports_little_of_the_searching_half() -> None:
    ours = [each for each in IMPORTS if layer_of(each.file) == "learn" and each.top == "soundseek"]
    assert ours
    allowed = (*LEARN_MAY_IMPORT, "soundseek.learn")
    wrong = [each for each in ours if not any(f"{each.name}.".startswith(f"{name}.") for name in allowed)]
    assert not wrong, "\n".join(map(str, wrong))


def test_the_learning_half_has_rows_of_its_own() -> None:
    inner = [
        each
        for each in IMPORTS
        if layer_of(each.file) == "learn" and each.name.startswith("soundseek.learn.")
    ]
    assert inner
    wrong = [each for each in inner if learn_row(each.name) > learn_row(each.file)]
    assert not wrong, "\n".join(map(str, wrong))


def test_the_command_line_imports_learn_only_while_a_command_runs() -> None:
    eager = [
        each
        for each in IMPORTS
        if layer_of(each.file) == "cli"
        and (each.name.startswith("soundseek.learn") or each.top in ONLY_LEARNING)
        and not (each.is_lazy or each.is_for_types)
    ]
    assert not eager, "\n".join(map(str, eager))


def test_the_searching_half_has_no_use_for_pytorch() -> None:
    searching = [
        each for each in IMPORTS if layer_of(each.file) != "learn" and each.file not in LEARNING_COMMANDS
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
        if layer_of(each.file) != "learn"
        and each.top not in {"soundseek", *sys.stdlib_module_names}
        and not each.is_for_types
    ]
    assert {"numpy", "spellchecker", "av"} <= {each.top for each in outside}
    brought, homes = required_by("dependencies"), packages_distributions()
    assert "numpy" in brought and not {"av", "torch"} & brought
    wrong = []
    for each in outside:
        extra = BROUGHT_BY_AN_EXTRA.get(each.top)
        names = {name.lower() for name in homes.get(each.top, [each.top])}
        if not names & (required_by(extra) if extra else brought):
            wrong.append(f"{each}, which no plain install brings: {sorted(names)}")
    assert not wrong, "\n".join(wrong)


def test_only_the_command_line_talks_to_the_terminal() -> None:
    wrong = [each for each in IMPORTS if each.top in ONLY_COMMAND_LINE and layer_of(each.file) != "cli"]
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import soundseek", {"numpy", "onnxruntime", "pydantic", "typer", "rich", "torch", "spellchecker"}),
        (
            "import soundseek.cli.main; soundseek.cli.main.group()",
            {"onnxruntime", "usearch", "torch", "soundfile"},
        ),
        ("import soundseek.cli.search", {"onnxruntime", "usearch", "torch", "soundfile", "spellchecker"}),
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
