"""The rows of Table I and the recipe beyond: what each changes, that it learns, stops and goes on, and is searched."""

from __future__ import annotations

import csv
import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from quick_processes import exit_code, train_and_die
from safetensors.torch import load_file
from toy_learning import make_toy_bert, make_toy_data
from toy_towers import make_toy_mpnet, make_toy_roberta
from toy_wordnet import make_toy_wordnet
from toy_words import make_toy_vectors

from soundseek.learn.export.export import export_run
from soundseek.learn.models.audio.trunk import trunk_config
from soundseek.learn.models.build import TRUNKS, build_trunk
from soundseek.learn.recipe.load import Recipe, differences, load_recipe
from soundseek.learn.recipe.stages import plan_phases
from soundseek.learn.report.paper_numbers import TABLE_ONE
from soundseek.learn.training.run_folder import load_run
from soundseek.learn.training.train import train
from soundseek.model.model import Model

torch.set_num_threads(1)

LARGE = "soundseek-large"
NAMES = (*TABLE_ONE, LARGE)

TRIPLET = "loss.name training.batch_size training.retrain_on_validation training.schedule training.patience"
WORDS = "text.tower text.pooling text.trained_layers"
CHANGES = {
    "dcase2022-baseline": (
        f"dim audio.trunk audio.weights audio.learning_rate audio.spec_augment {WORDS} text.head {TRIPLET} "
        "training.epochs training.learning_rate"
    ),
    "p-gat": f"audio.attention {WORDS}",
    "atae-np-f": (
        f"audio.trained_blocks audio.spec_augment audio.trunk_options audio.head {WORDS} text.head "
        "training.learning_rate stages"
    ),
    "passt-mpnet": (
        "dim audio.trunk audio.weights audio.trained_blocks audio.spec_augment audio.head audio.tag_share "
        f"{WORDS} text.head {TRIPLET} loss.margin training.epochs training.learning_rate"
    ),
    "relax": "loss.name loss.caption_similarity",
    "smbo": "audio.trunk audio.weights audio.gain_db audio.mix_share text.augment loss.temperature_mode stages",
    "mei-surrey": (
        "audio.trunk_options audio.pooling audio.head audio.head_width text.dropout text.head text.head_width "
        "training.schedule training.gradient_clip"
    ),
    "sjtu": (
        "audio.trunk_options audio.pooling audio.crop_s loss.temperature_mode training.batch_size training.schedule "
        "training.warmup_share stages"
    ),
    "cnn14": "",
    "graph-attention": "audio.attention",
    "self-attention": "audio.attention",
    "self-attention-supervised": "audio.attention loss.name",
    LARGE: (
        "audio.trunk audio.weights audio.spec_augment audio.learning_rate audio.head text.tower text.pooling "
        "text.learning_rate text.head loss.name loss.soft_targets training.epochs training.optimizer "
        "training.weight_decay training.schedule training.final_share training.warmup_share"
    ),
}
"""What a recipe says otherwise than base.yaml."""
WHOLE = ("audio.trunk_options", "text.augment", "loss.soft_targets", "stages")

SMALL_TRUNKS = {
    "cnn14": "{widths: [4, 4, 4, 8, 8, 8], reduced_width: 8}",
    "cnn10": "{widths: [4, 4, 8, 8]}",
    "crnn": "{widths: [4, 4, 4, 4, 4], width: 8}",
    "passt": "{width: 16, depth: 1, num_heads: 2}",
}
SMALL = (
    "dim=8", "text.max_tokens=16",
    "audio.learning_rate=0.003", "text.learning_rate=0.003", "training.learning_rate=0.003",
    "training.epochs=3", "training.batch_size=12",  # all pairs: an epoch is a step
    "audio.spec_augment=false",  # its stripes are longer than a toy
    "training.patience=0", "training.workers=0", "training.extraction_workers=0",
)  # fmt: skip
OTHER_DATA = {"atae-np-f": ["freesound-titles"], "smbo": ["audiocaps"], "sjtu": ["audiocaps", "macs"]}


class StopError(Exception):
    """Whoever trains had enough."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data with others beside it, and every tower small."""
    directory = tmp_path_factory.mktemp("toy")
    make_toy_data(directory / "data")
    for other in {name for names in OTHER_DATA.values() for name in names}:
        (directory / other / "development").mkdir(parents=True)
        with (directory / other / "captions_development.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["file_name", "caption_1"])
            for name in ("whistle", "low-hum"):
                source = directory / "data" / "development" / f"{name}.wav"
                shutil.copyfile(source, directory / other / "development" / f"{name}.wav")
                rows.writerow([f"{name}.wav", f"{name.replace('-', ' ')} sounds"])
    make_toy_bert(directory / "bert-base-uncased", num_layers=1)
    make_toy_mpnet(directory / "all-mpnet-base-v2", num_layers=1)
    make_toy_roberta(directory / "roberta-base", num_layers=1)
    make_toy_vectors(directory / "words.txt")
    make_toy_wordnet(directory / "wordnet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOUNDSEEK_CACHE", str(directory / "cache"))
        patch.setenv("SOUNDSEEK_WORDNET", str(directory / "wordnet"))
        yield directory


@pytest.fixture(scope="module")
def trained(place: Path) -> Callable[[str], Path]:
    """Name of a recipe -> its run at toy size, made when it is asked for first."""
    runs: dict[str, Path] = {}

    def run(name: str) -> Path:
        if name not in runs:
            runs[name] = train(toy(name, place, run), place / "data", place / "runs" / name)
        return runs[name]

    return run


def toy(name: str, place: Path, teacher: Callable[[str], Path], *settings: str) -> Recipe:
    """A recipe with nothing changed but sizes, rates, and where its files are."""
    plain = load_recipe(name)
    options = SMALL_TRUNKS[plain.audio.trunk.removesuffix("+tags")]
    small = [*SMALL, f"audio.trunk_options={options}", "audio.weights=null"]
    small += [f"stages.{stage}.epochs=3" for stage in plain.stages]
    if plain.text.tower == "word2vec":
        small.append(f"text.weights={place / 'words.txt'}")
    else:
        small.append(f"text.tower={place / Path(plain.text.tower).name}")
    if plain.text.head == "identity" and plain.text.tower != "word2vec":
        small.append("dim=16")
    if plain.loss.soft_targets:
        small.append(f"loss.soft_targets.runs=[{teacher('passt-mpnet')}]")
    if name not in ("sjtu", "mei-surrey"):  # twice the work; these two do it for all
        small.append("training.retrain_on_validation=false")
    if not plain.audio.is_online:
        small.append(f"audio.weights={saved_trunk(load_recipe(name, small), place)}")
    return load_recipe(name, [*small, *settings])


def saved_trunk(recipe: Recipe, place: Path) -> Path:
    """Weights in place of the published ones."""
    path = place / f"{recipe.name}.safetensors"
    if not path.exists():
        options = recipe.audio.trunk_options
        if recipe.audio.trunk.endswith("+tags"):
            options = {**options, "head": "tagger"}
        trunk = build_trunk(recipe.audio.trunk.removesuffix("+tags"), None, options, trained=True)
        trunk.save(path)  # type: ignore[operator]
    return path


def losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_only_what_its_row_needs(name: str) -> None:
    found = differences([load_recipe("base"), load_recipe(name)]).keys() - {"name", "notes"}
    keys = {next((whole for whole in WHOLE if key.startswith(whole)), key) for key in found}
    # Another trunk takes the options of base.yaml's away.
    assert keys - ({"audio.trunk_options"} if "audio.trunk" in keys else set()) == set(CHANGES[name].split())


@pytest.mark.parametrize("name", NAMES)
def test_two_steps_on_one_batch_lower_its_loss(
    name: str, place: Path, trained: Callable[[str], Path]
) -> None:
    run = trained(name)
    first = plan_phases(load_recipe(run / "recipe.yaml"), run)[0].folder
    found = losses(first)
    assert len(found) == 3 and min(found[1:]) < found[0]  # random impostors are not always as hard


@pytest.mark.parametrize("name", NAMES)
def test_stopped_after_an_epoch_it_ends_with_the_same_bits(
    name: str, place: Path, trained: Callable[[str], Path], tmp_path: Path
) -> None:
    def stop(metrics: dict[str, float]) -> None:
        if metrics["epoch"] == 1:
            raise StopError

    recipe, out = toy(name, place, trained), tmp_path / "run"
    with pytest.raises(StopError):
        train(recipe, place / "data", out, on_epoch=stop)
    train(recipe, place / "data", out, resume=True)
    assert (out / "model.safetensors").read_bytes() == (trained(name) / "model.safetensors").read_bytes()


@pytest.mark.parametrize("name", ["dcase2022-baseline", "smbo"])
def test_killed_it_ends_with_the_same_bits(
    name: str, place: Path, trained: Callable[[str], Path], tmp_path: Path
) -> None:
    recipe, out = toy(name, place, trained), tmp_path / "run"
    assert exit_code(train_and_die, recipe, place / "data", out, 2) == -signal.SIGKILL
    train(recipe, place / "data", out, resume=True)
    assert (out / "model.safetensors").read_bytes() == (trained(name) / "model.safetensors").read_bytes()


# One of each kind; the paper's four are exported by the tests of export and training.
@pytest.mark.parametrize("name", ["dcase2022-baseline", "passt-mpnet", "atae-np-f", "mei-surrey"])
def test_exported_it_searches_with_the_same_vectors(
    name: str, place: Path, trained: Callable[[str], Path], tmp_path: Path
) -> None:
    run = trained(name)
    parity = export_run(run, tmp_path / "model", precision="float32")
    assert parity["audio"] > 0.9999 and parity["text"] > 0.9999
    model, (learned, _) = Model(tmp_path / "model"), load_run(run)
    assert learned.text is not None
    with torch.no_grad():
        ours = learned.encode_text(*learned.text.tokenize(["a low tone plays"]))[0].numpy()
    assert model.embed_text(["a low tone plays"])[0] @ ours > 0.9999
    sounds = sorted((place / "data" / "validation").iterdir())
    scores = model.embed_text(["a whistle"]) @ model.embed_audio(sounds).T
    assert scores.shape == (1, 6) and (abs(scores) <= 1.001).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("overlay", ["frozen", "two-cores"])
def test_its_stand_in_keeps_attention_loss_pooling_and_heads(name: str, overlay: str) -> None:
    plain, stand_in = load_recipe(name), load_recipe(f"{name}+{overlay}")
    kept = ("attention", "pooling", "head", "head_width", "head_on", "tag_share")
    assert [getattr(stand_in.audio, key) for key in kept] == [getattr(plain.audio, key) for key in kept]
    assert stand_in.loss == plain.loss and stand_in.text.head == plain.text.head
    assert stand_in.stages == {}
    cached = (overlay, name) != ("two-cores", "dcase2022-baseline")
    assert stand_in.audio.is_online is not cached and not stand_in.text.is_online
    trunk_config(
        stand_in.audio.trunk, TRUNKS[stand_in.audio.trunk]().config, stand_in.audio.trunk_options
    )  # it takes its options
    if plain.audio.tag_share:
        assert stand_in.audio.trunk == "efficientat+tags"


def test_the_second_stage_starts_where_the_first_ended(trained: Callable[[str], Path]) -> None:
    run = trained("atae-np-f")
    noisy, fine = (load_file(folder / "model.safetensors") for folder in (run / "stages/noisy", run))
    distance = torch.dist(noisy["audio_projector.0.weight"], fine["audio_projector.0.weight"])
    assert 0 < distance < 0.1 * noisy["audio_projector.0.weight"].norm()
