from __future__ import annotations

from pathlib import Path

import pytest

from soundseek.audio.logmel import PAPER_FRONT_END
from soundseek.errors import RecipeError
from soundseek.learn.models.audio.cnn14 import CNN14Config
from soundseek.learn.models.audio.trunk import trunk_config
from soundseek.learn.recipe.keys import Recipe
from soundseek.learn.recipe.load import (
    changed,
    differences,
    load_recipe,
    recipe_names,
    resolved,
    save_recipe,
    stage_recipes,
)

PAPER = ("cnn14", "graph-attention", "self-attention", "self-attention-supervised")


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_can_be_read_and_says_its_own_name(name: str) -> None:
    assert load_recipe(name).name == name


def test_the_papers_numbers_are_those_of_section_three() -> None:
    base = load_recipe("base")
    assert (base.dim, base.training.batch_size, base.training.learning_rate) == (1024, 60, 1e-4)
    assert (base.loss.temperature, base.loss.temperature_mode, base.training.optimizer) == (
        0.07,
        "fixed",
        "adam",
    )
    assert base.text.pooling == "cls"


def test_the_papers_towers_are_trained_whole_on_its_own_log_mel() -> None:
    base = load_recipe("base")
    assert (base.audio.trunk, base.audio.trained_blocks, base.text.trained_layers) == ("cnn14", "all", "all")
    assert base.audio.spec_augment and base.training.retrain_on_validation
    config = trunk_config("cnn14", CNN14Config, base.audio.trunk_options)
    assert config.front_end == PAPER_FRONT_END and config.reduced_width == 1024


@pytest.mark.parametrize("name", recipe_names())
def test_frozen_is_an_overlay_of_every_recipe(name: str) -> None:
    recipe, plain = load_recipe(f"{name}+frozen"), load_recipe(name)
    assert (recipe.audio.trained_blocks, recipe.text.trained_layers, recipe.stages) == (0, 0, {})
    assert recipe.name == plain.name and recipe.audio.attention == plain.audio.attention
    assert recipe.notes.startswith(plain.notes.strip()) and "cached" in recipe.notes


def test_another_trunk_or_attention_does_not_inherit_options(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "extends: self-attention\nname: mine\naudio: {trunk: cnn10, attention_options: {hidden_width: 8}}\n"
    )
    assert load_recipe(path).audio.trunk_options == {}
    assert load_recipe(path).audio.attention_options == {"hidden_width": 8}
    assert load_recipe(path, ["audio.attention=graph"]).audio.attention_options == {}
    both = ["audio.attention_options.slope=0.1", "audio.attention=graph"]
    assert load_recipe(path, both).audio.attention_options == {"slope": 0.1}
    assert (
        load_recipe("base", ["audio.trunk_options.norms=frozen"]).audio.trunk_options["reduction"] == "linear"
    )


def test_the_papers_systems_differ_only_in_attention_and_loss() -> None:
    plain = [
        load_recipe(name, ["name=same", "audio.attention=none", "loss.name=nt-xent"]).model_dump()
        for name in PAPER
    ]
    assert all(each == plain[0] for each in plain)
    assert [load_recipe(name).audio.attention for name in PAPER] == ["none", "graph", "self", "self"]
    assert [load_recipe(name).loss.name for name in PAPER] == ["nt-xent"] * 3 + ["supervised-contrastive"]


def test_a_recipe_survives_a_round_trip_through_its_file(tmp_path: Path) -> None:
    recipe = load_recipe(
        "soundseek-small", ["audio.weights=a b.safetensors", "data.listener_captions.path=x.csv"]
    )
    save_recipe(recipe, tmp_path / "recipe.yaml")
    assert load_recipe(tmp_path / "recipe.yaml") == recipe


def test_settings_are_read_as_yaml_and_small_numbers_as_people_write_them() -> None:
    recipe = load_recipe(
        "base",
        ["training.learning_rate=1e-3", "audio.weights=null", "data.train_splits=[development, validation]"],
    )
    assert recipe.training.learning_rate == 0.001
    assert recipe.audio.weights is None
    assert recipe.data.train_splits == ("development", "validation")


def test_a_setting_leaves_its_neighbours_alone() -> None:
    assert load_recipe("base", ["loss.temperature=0.1"]).loss.name == "nt-xent"


def test_a_file_extends_a_recipe_or_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "first.yaml").write_text("extends: graph-attention\nname: first\ndim: 64\n")
    (tmp_path / "second.yml").write_text("extends: first.yaml\nname: second\n")
    recipe = load_recipe(tmp_path / "second.yml")
    assert (recipe.name, recipe.dim, recipe.audio.attention) == ("second", 64, "graph")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("trainning.epochs=3", "did you mean 'training'"),
        ("training.epoch=3", "did you mean 'epochs'"),
        ("data.listener_captions={path: x, shares: 1}", "did you mean 'share'"),
        ("training.epochs=-1", "training.epochs = -1"),
        ("loss.name=tripled", "nt-xent"),
        ("training.epochs", "not key=value"),
        ("dim=[", "no YAML"),
    ],
)
def test_a_wrong_setting_says_what_would_be_right(setting: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("base", [setting])


@pytest.mark.parametrize(
    "setting",
    ["training.epochs=yes", "training.learning_rate=true", "dim=on", "audio.dropout=false", "seed=no"],
)
def test_a_truth_value_is_no_number(setting: str) -> None:
    key = setting.partition("=")[0].rpartition(".")[2]
    with pytest.raises(
        RecipeError, match=f"{key} = (true|false): yes, no, true and false are no value of it"
    ):
        load_recipe("base", [setting])


def test_an_order_of_copies_needs_copies() -> None:
    assert load_recipe("frozen-mn04", ["data.altered.copies=5", "loss.copy_order=0.5"]).loss.copy_order == 0.5
    with pytest.raises(
        RecipeError, match=r"copy_order = 0.5 orders altered copies, .* set data.altered.share"
    ):
        load_recipe("frozen-mn04", ["loss.copy_order=0.5"])


def test_altered_clips_need_cached_frames() -> None:
    load_recipe("frozen-mn04", ["data.altered.copies=5"])
    with pytest.raises(
        RecipeError, match=r"data.altered .* set altered = null, or trained_blocks to a number"
    ):
        load_recipe("cnn14", ["data.altered.copies=5", "audio.trained_blocks=all"])


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="no recipe 'self-atention'; did you mean 'self-attention'"):
        load_recipe("self-atention")


def test_a_missing_file_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no recipe file"):
        load_recipe(tmp_path / "mine.yaml")


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2\n", "extends: circle.yaml\n"])
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "circle.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError):
        load_recipe(path)


def test_a_recipe_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Recipe(name="x").dim = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["audio.trained_blocks=2", "audio.spec_augment=true"],
            "audio: spec_augment .* cached; set trained_blocks",
        ),
        (["audio.trained_blocks=0", "audio.crop_s=10", "audio.gain_db=6"], "crop_s, gain_db"),
        (
            ["audio.trained_blocks=all", "audio.gain_db=6", "audio.trunk_options.peak_dbfs=-6.0"],
            "peak_dbfs undoes; leave one out",
        ),
        (
            ["audio.standardise=true"],
            "standardise = True was taken out: its experiment lost .*; leave it out",
        ),
        (["loss.same_meaning_cosine=0.9"], "same_meaning_cosine = 0.9 was taken out"),
        (["training.average=swa"], 'training.average: "swa" was taken out'),
        (["training.average_start=0.2"], "average_start = 0.2 was taken out"),
        (["audio.trained_blocks=-1"], "0 or more"),
        (["audio.trained_blocks=some"], "trained_blocks"),
        (
            ["audio.trunk=efficientat+amplitudes", "audio.tag_share=0.2", "text.trained_layers=0"],
            "names by probab",
        ),
        (["text.head_width=4"], "head_width is the hidden layer of head = mlp"),
        (["data.frames_per_sound=4", "audio.trained_blocks=all"], "among the frames of a frozen trunk"),
        (["text.weights=vectors.bin"], "word2vec"),
        (["loss.caption_similarity=0.5"], "plays no part in name = nt-xent"),
        (["loss.name=relaxed"], "needs caption_similarity"),
        (["loss.name=triplet", "loss.temperature_mode=learned"], "no temperature to learn"),
        (["training.schedule=plateau", "training.warmup_share=0.1"], "starts at its peak"),
        (
            ["training.schedule=plateau", "training.retrain_on_validation=true"],
            "asks validation for its rates",
        ),
        (["training.devices=7"], "cannot be shared by 7 devices"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("base", settings)


def test_precision_32_is_a_word_though_yaml_reads_a_number() -> None:
    assert load_recipe("base", ["training.precision=32"]).training.precision == "32"


STAGED = """
name: staged
audio: {trunk: cnn14, attention: graph}
training: {epochs: 9, batch_size: 8}
stages:
  broad: {data_sets: [audiocaps, .], epochs: 2, training: {learning_rate: 0.01}}
  narrow: {audio: {trained_blocks: all}}
"""


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    path = tmp_path / "staged.yaml"
    path.write_text(STAGED)
    return path


def test_a_stage_is_the_recipe_but_for_what_it_says(staged: Path) -> None:
    recipe = load_recipe(staged)
    broad, narrow = stage_recipes(recipe).values()
    assert list(recipe.stages) == ["broad", "narrow"]
    assert (broad.training.epochs, broad.training.learning_rate, broad.training.batch_size) == (2, 0.01, 8)
    assert (narrow.training.epochs, narrow.audio.trained_blocks, narrow.audio.attention) == (
        9,
        "all",
        "graph",
    )
    assert broad.audio.trained_blocks == 0 and not broad.stages
    assert recipe.stages["broad"].data_sets == (Path("audiocaps"), Path())


def test_a_recipe_without_stages_is_its_only_stage() -> None:
    recipe = load_recipe("base")
    assert stage_recipes(recipe) == {"": recipe}


def test_a_stage_is_set_shown_and_compared_by_its_name(staged: Path, tmp_path: Path) -> None:
    recipe = load_recipe(staged, ["stages.broad.epochs=5", "stages.narrow.training.batch_size=4"])
    assert [each.training.epochs for each in stage_recipes(recipe).values()] == [5, 9]
    assert [each.training.batch_size for each in stage_recipes(recipe).values()] == [8, 4]
    save_recipe(recipe, tmp_path / "saved.yaml")
    assert load_recipe(tmp_path / "saved.yaml") == recipe
    assert list(load_recipe(tmp_path / "saved.yaml").stages) == ["broad", "narrow"]
    assert differences([load_recipe(staged), recipe]) == {
        "stages.broad.epochs": [2, 5],
        "stages.narrow.training": [{}, None],
        "stages.narrow.training.batch_size": [None, 4],
    }


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("stages.broad.epoch=1", "did you mean 'epochs'"),
        (
            "stages.broad.training.epoch=1",
            "stage 'broad': unknown key 'training.epoch'; did you mean 'epochs'",
        ),
        (
            "stages.narrow.audio.attention=self",
            "stage 'narrow' changes audio.attention, but all stages train one",
        ),
        ("stages.narrow.training.batch_size=1", "stage 'narrow': training.batch_size = 1"),
    ],
)
def test_a_wrong_stage_is_refused_with_the_recipe(staged: Path, setting: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(staged, [setting])


def test_an_overlay_is_put_on_any_recipe(staged: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "small.yaml"
    overlay.write_text("dim: 4\nstages: null\naudio: {trunk_options: null}\n")
    recipe = load_recipe(f"{staged}+{overlay}", ["audio.attention=none"])
    assert (recipe.name, recipe.dim, recipe.stages, recipe.audio.attention) == ("staged", 4, {}, "none")
    assert recipe.audio.trunk_options == {}
    with pytest.raises(RecipeError, match="no overlay 'smal'"):
        load_recipe("base+smal")


def test_a_recipe_of_an_earlier_version_may_have_what_was_taken_out_at_its_usual_value(
    tmp_path: Path,
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "name: old\naudio: {standardise: false}\nloss: {same_meaning_cosine: null}\ntraining: {average_start: 0.5}\n"
    )
    assert load_recipe(path) == Recipe(name="old")


@pytest.mark.parametrize(
    "text",
    [
        "name: a\ntraining:\n  epochs: 2\naudio: {dropout: 0.2}\ntraining:\n  batch_size: 16\n",
        "name: a\ntraining:\n  epochs: 2\n  batch_size: 8\n\n  epochs: 3\n",
        "name: a\nstages:\n  one: {epochs: 1}\n  two: {}\n  one: {epochs: 2}\n",
    ],
)
def test_a_key_that_stands_twice_in_one_section_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(
        RecipeError, match=r"mine.yaml is no YAML: line [56]: '\w+' stands in line [23] already"
    ):
        load_recipe(path)


def test_a_key_twice_in_a_setting_is_refused() -> None:
    with pytest.raises(RecipeError, match="'slope' stands in line 1 already"):
        load_recipe("base", ["audio.attention_options={slope: 1, slope: 2}"])


def test_a_setting_may_hold_a_number_sign(tmp_path: Path) -> None:
    for path in (tmp_path / "my #1" / "w.pt", Path("#1/w.pt"), Path("a/w#2.pt")):
        assert load_recipe("base", [f"audio.weights={path}"]).audio.weights == path
    assert load_recipe("base", ['name="a # b"']).name == "a # b"


def test_a_tilde_is_the_home_folder_in_every_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    recipe = load_recipe(
        "base",
        [
            "audio.weights=~/w.pt", "text.tower=~/bert", "data.leave_out=~/out.txt",
            "data.listener_captions={path: ~/c.csv}", "loss.soft_targets={runs: [~/run]}",
        ],
    )  # fmt: skip
    assert recipe.audio.weights == tmp_path / "w.pt" and recipe.text.tower == str(tmp_path / "bert")
    assert recipe.data.leave_out == tmp_path / "out.txt"
    assert recipe.data.listener_captions and recipe.data.listener_captions.path == tmp_path / "c.csv"
    assert recipe.loss.soft_targets and recipe.loss.soft_targets.runs == (tmp_path / "run",)
    (tmp_path / "mine.yaml").write_text("extends: base\nname: mine\n")
    assert load_recipe("~/mine.yaml").name == "mine"


def test_a_plus_sign_in_a_files_path_parts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("c++")
    folder.mkdir()
    (folder / "mine.yaml").write_text("extends: cnn14\nname: mine\n")
    (folder / "over+lay.yaml").write_text("dim: 8\n")
    assert load_recipe("c++/mine.yaml").name == "mine"
    assert load_recipe("c++/mine.yaml+frozen").audio.trained_blocks == 0
    both = load_recipe("c++/mine.yaml+c++/over+lay.yaml+frozen")
    assert (both.name, both.dim, both.audio.trained_blocks) == ("mine", 8, 0)
    assert load_recipe("cnn14+c++/over+lay.yaml").dim == 8
    with pytest.raises(RecipeError, match=r"no recipe file c\+\+/none.yaml"):
        load_recipe("c++/none.yaml+frozen")


def test_a_changed_recipe_is_checked_as_if_it_had_been_written() -> None:
    base = load_recipe("base+frozen")
    other = changed(
        base, {"training.epochs": 2, "data.validation_split": None, "training.retrain_on_validation": False}
    )
    assert (other.training.epochs, other.data.validation_split, base.training.epochs) == (2, None, 50)
    with pytest.raises(RecipeError, match=r"training\.epochs = -1"):
        changed(base, {"training.epochs": -1})


def test_a_resolved_recipe_says_where_its_weights_are(tmp_path: Path) -> None:
    recipe = resolved(Recipe(name="a"), trunk=tmp_path / "trunk.pt", words=None)
    assert (recipe.trunk_file, recipe.audio.weights, recipe.text.weights) == (tmp_path / "trunk.pt",) * 2 + (
        None,
    )
    assert changed(recipe, {"seed": 3}).trunk_file == tmp_path / "trunk.pt"
