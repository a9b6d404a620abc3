"""A model directory from a stranger: it loads or is refused in words, runs no code and reads nothing outside itself."""

from __future__ import annotations

import ast
import copy
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from steel.examples import few
from toy_model import DIM, make_toy_model

from soundseek.errors import ModelError, SoundseekError
from soundseek.model.config import AUDIO_FILE, CONFIG_FILE, TEXT_FILE, TOKENIZER_FILE
from soundseek.model.model import Model
from soundseek.model.onnx_files import need_own_numbers

SOURCES = Path(__file__).parents[2] / "src" / "soundseek"


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_model(tmp_path_factory.mktemp("model") / "toy")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "x.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(8000), 16_000)
    return path


def use(directory: Path, sound: Path) -> None:
    """Do with a model what index and search do; warnings of odd front ends are its own business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Model(directory)
        model.embed_text(["rain"])
        model.embed_file(sound)


def changed(toy: Path, into: Path, change: Callable[[onnx.ModelProto], None], name: str = TEXT_FILE) -> Path:
    """A copy of the toy model with another network."""
    into.mkdir()
    for path in toy.iterdir():
        (into / path.name).write_bytes(path.read_bytes())
    network = onnx.load(str(into / name))
    change(network)
    (into / name).write_bytes(network.SerializeToString())
    return into


# --- Networks ---------------------------------------------------------------------------------------------------------


def external(tensor: TensorProto, location: str) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(256 * DIM * 4))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value


@pytest.mark.parametrize(
    "location", ["../secret", "{absolute}", "x/../../secret", "linked.bin", "/dev/zero", "own.bin"]
)
def test_numbers_from_another_file_are_never_read(location: str, toy: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(np.full((256, DIM), 3, np.float32).tobytes())
    location = location.format(absolute=secret)
    model = changed(toy, tmp_path / "model", lambda network: external(network.graph.initializer[0], location))
    (model / "linked.bin").symlink_to(secret)
    (model / "own.bin").write_bytes(secret.read_bytes())
    with pytest.raises(ModelError, match="takes its numbers from another file"):
        Model(model).embed_text(["rain"])


def hide_in_a_constant(network: onnx.ModelProto) -> None:
    constant = helper.make_node(
        "Constant", [], ["c"], value=numpy_helper.from_array(np.zeros((256, DIM), np.float32))
    )
    external(constant.attribute[0].t, "../secret")
    network.graph.node.insert(0, constant)


def hide_in_a_branch(network: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros((256, DIM), np.float32), "inner")
    external(tensor, "../secret")
    branch = helper.make_graph([], "branch", [], [], [tensor])
    network.graph.node.insert(
        0, helper.make_node("If", ["which"], ["o"], then_branch=branch, else_branch=branch)
    )


def hide_in_a_sparse_tensor(network: onnx.ModelProto) -> None:
    external(network.graph.sparse_initializer.add().values, "../secret")


def hide_in_a_function(network: onnx.ModelProto) -> None:
    function = network.functions.add()
    function.name, function.domain = "f", "d"
    constant = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.zeros(3, np.float32)))
    external(constant.attribute[0].t, "../secret")
    function.node.append(constant)


@pytest.mark.parametrize(
    "hide", [hide_in_a_constant, hide_in_a_branch, hide_in_a_sparse_tensor, hide_in_a_function]
)
def test_numbers_from_another_file_are_found_wherever_they_hide(
    hide: Callable[[onnx.ModelProto], None], toy: Path, tmp_path: Path
) -> None:
    model = changed(toy, tmp_path / "model", hide)
    with pytest.raises(ModelError, match="takes its numbers from another file"):
        need_own_numbers(model / TEXT_FILE)


def test_networks_that_hold_their_numbers_pass(toy: Path) -> None:
    for path in [toy / AUDIO_FILE, toy / TEXT_FILE, *SOURCES.glob("model/bundled/*/*.onnx")]:
        need_own_numbers(path)


def test_a_network_of_another_authors_operators_is_refused(toy: Path, tmp_path: Path) -> None:
    def call_home(network: onnx.ModelProto) -> None:
        network.graph.node[-1].op_type, network.graph.node[-1].domain = "RunShell", "com.example"
        network.opset_import.append(helper.make_opsetid("com.example", 1))

    with pytest.raises(ModelError, match="is damaged"):
        Model(changed(toy, tmp_path / "model", call_home)).embed_text(["rain"])


def test_a_tensor_that_is_declared_huge_is_refused(toy: Path, tmp_path: Path) -> None:
    def declare(network: onnx.ModelProto) -> None:
        table = network.graph.initializer[0]
        table.dims[:] = [1 << 40, DIM]

    with pytest.raises(ModelError, match="is damaged"):
        Model(changed(toy, tmp_path / "model", declare)).embed_text(["rain"])


def test_a_network_that_makes_a_huge_tensor_is_short_of_memory_and_says_so(toy: Path, tmp_path: Path) -> None:
    def grow(network: onnx.ModelProto) -> None:
        shape = numpy_helper.from_array(np.array([1 << 40, 1 << 10], np.int64), "shape")
        network.graph.initializer.append(shape)
        network.graph.node.insert(0, helper.make_node("ConstantOfShape", ["shape"], ["huge"]))
        network.graph.node.insert(1, helper.make_node("ReduceMax", ["huge"], ["most"], keepdims=0))
        last = network.graph.node[-1]
        name, last.output[0] = last.output[0], "before"
        network.graph.node.append(helper.make_node("Add", ["before", "most"], [name]))

    with pytest.raises((ModelError, MemoryError)):
        Model(changed(toy, tmp_path / "model", grow)).embed_text(["rain"])


def test_a_network_of_another_width_is_told_from_the_configs(toy: Path, tmp_path: Path) -> None:
    model = changed(toy, tmp_path / "model", lambda network: None)
    config = json.loads((model / CONFIG_FILE).read_text())
    (model / CONFIG_FILE).write_text(json.dumps(config | {"dim": DIM + 1}))
    with pytest.raises(ModelError, match=f"of shape .*{DIM}.*config.json says dim {DIM + 1}"):
        Model(model).embed_text(["rain"])


# --- Random spoiling --------------------------------------------------------------------------------------------------

NUMBERS = [0, 1, -1, 2, 1.5, 1e308, float("nan"), float("inf"), 10**6, 10**9, 10**18, 2**63, 2**70]
VALUES = st.one_of(
    st.sampled_from([*NUMBERS, None, True, "", "\0", "../../etc/passwd", [], {}, [[]]]),
    st.integers(), st.floats(), st.text(max_size=9),
)  # fmt: skip


def places_in(value: object, place: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every key of nested dictionaries."""
    if not isinstance(value, dict):
        return []
    return [
        each for key, inner in value.items() for each in [(*place, key), *places_in(inner, (*place, key))]
    ]


@few
@given(data=st.data(), value=VALUES)
def test_a_config_of_any_values_loads_or_is_refused(
    data: st.DataObject, value: Any, toy: Path, sound: Path
) -> None:
    good = json.loads((toy / CONFIG_FILE).read_text())
    spoilt = copy.deepcopy(good)
    place = data.draw(st.sampled_from(places_in(good)))
    inside = spoilt
    for key in place[:-1]:
        inside = inside[key]
    if data.draw(st.integers(0, 9)):
        inside[place[-1]] = value
    else:
        del inside[place[-1]]
    try:
        (toy / CONFIG_FILE).write_text(json.dumps(spoilt))
        use(toy, sound)
    except (SoundseekError, MemoryError):
        pass
    finally:
        (toy / CONFIG_FILE).write_text(json.dumps(good))


@few
@given(name=st.sampled_from([TEXT_FILE, AUDIO_FILE, TOKENIZER_FILE, CONFIG_FILE]), data=st.data())
def test_a_file_with_other_bytes_loads_or_is_refused(
    name: str, data: st.DataObject, toy: Path, sound: Path
) -> None:
    good = (toy / name).read_bytes()
    spoilt = bytearray(good)
    for at in data.draw(st.lists(st.integers(0, len(good) - 1), min_size=1, max_size=4)):
        spoilt[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        spoilt = spoilt[: data.draw(st.integers(0, len(good)))]
    try:
        (toy / name).write_bytes(spoilt)
        use(toy, sound)
    except (SoundseekError, MemoryError):
        pass
    finally:
        (toy / name).write_bytes(good)


# --- No pickle in the searching half ---------------------------------------------------------------------------------

PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch"}
RUNS_TEXT = {"eval", "exec", "compile", "__import__"}


def unsafe_in(source: str) -> list[str]:
    """What in a module could run code that came as data: pickles, np.load with them, eval."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        found += [f"import {name}" for name in names if name.split(".")[0] in PICKLES]
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = getattr(node.func, "value", None)
        if called in RUNS_TEXT and owner is None:
            found.append(f"{called}()")
        if called == "load" and isinstance(owner, ast.Name) and owner.id in {"np", "numpy"}:
            pickled = {keyword.arg: keyword.value for keyword in node.keywords}.get("allow_pickle")
            if not (isinstance(pickled, ast.Constant) and pickled.value is False):
                found.append("np.load without allow_pickle=False")
    return found


def test_the_searching_half_unpickles_and_evaluates_nothing_and_no_array_is_a_pickle() -> None:
    sources = {
        path.relative_to(SOURCES).as_posix(): path.read_text(encoding="utf-8")
        for path in SOURCES.rglob("*.py")
    }
    assert len(sources) > 200
    assert any("np.load(" in source for name, source in sources.items() if not name.startswith("learn/"))
    found = {name: unsafe_in(source) for name, source in sources.items()}
    assert {name: what for name, what in found.items() if what and not name.startswith("learn/")} == {}
    # The learning half reads published checkpoints, but no pickle in the disguise of an array.
    assert {name: what for name, what in found.items() if any("np.load" in each for each in what)} == {}


def test_what_would_unpickle_or_evaluate_is_found() -> None:
    for source in (
        "import pickle",
        "from joblib import load",
        "np.load(p)",
        "np.load(p, allow_pickle=True)",
        "eval(x)",
    ):
        assert unsafe_in(source), source
    assert unsafe_in("np.load(p, allow_pickle=False); json.load(f); re.compile(p); model.eval()") == []
